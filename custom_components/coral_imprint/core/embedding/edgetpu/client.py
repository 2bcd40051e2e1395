"""The way to the device of a child: pictures one by one, sent together where they come together."""

from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..remote.batches import Batches
from ..remote.endpoint import Endpoint
from ..remote.settings import Access, ModelOptions
from ..remote.wire import Wire

_MOST_SECONDS = 5.0
"""For an answer. Whoever asks has a shorter deadline of their own."""


class ChildClient:
    """Embeds by a model of the server at a Unix socket, which may end and come back at any time. Belongs to one event loop."""

    def __init__(self, socket: Path, model: str, worker: Executor) -> None:
        """Ask nothing yet. ``socket`` is where the server listens, ``worker`` writes and reads long messages."""
        wire = Wire(str(socket), Access(timeout=_MOST_SECONDS))
        self._endpoint = Endpoint(wire, model, ModelOptions(binary=True), worker)
        self._batches = Batches(self._send, self._limits)

    async def embed(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the embedding of a picture. Raises ServerError, ServerBusy, UnsupportedModel and SelfTestFailed."""
        return await self._batches.embed(pixels)

    async def _send(self, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        if self._endpoint.contract is None:
            await self._endpoint.agree()
        return await self._endpoint.embed(pictures)

    def _limits(self) -> tuple[int, int]:
        """Return how many pictures a request may have, and how many requests may be under way."""
        contract = self._endpoint.contract
        return (contract.most if contract else 1), 1

    async def aclose(self) -> None:
        """Give up on what is under way."""
        await self._batches.aclose()
        await self._endpoint.aclose()
