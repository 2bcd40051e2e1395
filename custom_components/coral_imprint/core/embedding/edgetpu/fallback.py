"""The Edge TPU where it answers, its twin on the CPU where it does not."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
import logging
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import EmbeddingError, InvalidPixels, ModelError, RuntimeUnavailable, SelfTestFailed, ServerBusy
from ..runtimes.runtime import Runtime

_LOGGER = logging.getLogger(__name__)

DEADLINE_SECONDS = 1.0
"""For the device. A USB device takes some milliseconds, and what is left of two seconds is enough for a slow CPU."""

RETRY_SECONDS = 2.0
"""Between two attempts at a device that did not answer."""

STUCK_AFTER = 3
"""Failures in a row, with `RETRY_SECONDS` between them, after which the device counts as stuck: one that was unplugged comes back for a
new process only."""


class Embeds(Protocol):
    """Whatever embeds pixels, wherever it runs."""

    async def embed(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the network's embedding, shape (length,), of RGB pixels (height, width, 3). Raises EmbeddingError, OSError."""


class InThread:
    """A runtime of this process, executed in a thread."""

    def __init__(self, runtime: Runtime, worker: Executor) -> None:
        """Take both; the caller closes them."""
        self._runtime = runtime
        self._worker = worker

    async def embed(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed pixels in the worker."""
        return await asyncio.get_running_loop().run_in_executor(self._worker, self._runtime.embed, pixels)


@dataclass(frozen=True, slots=True)
class FallbackAnswer:
    """An embedding and where it comes from."""

    embedding: NDArray[np.float32]
    """Shape (length,), of length 1."""
    by_device: bool
    """Whether the device computed it, not its twin: they may need fingerprints of their own (see `twins`)."""


ConnectionListener: TypeAlias = Callable[[bool, str], None]
"""Called with whether the device answers, and if not, why (English)."""


class Fallback:
    """Answers every picture, by the device as long as that answers. Belongs to one event loop.

    While the device does not answer, pictures go to the twin at once, and one of them every `RETRY_SECONDS` to the device too, without
    anyone waiting for it. Without a twin, every picture goes to the device.
    """

    def __init__(
        self,
        device: Embeds,
        twin: Embeds | None,
        *,
        deadline: float = DEADLINE_SECONDS,
        retry: float = RETRY_SECONDS,
        listener: ConnectionListener | None = None,
        stuck: Callable[[str], None] | None = None,
    ) -> None:
        """Take what embeds.

        Args:
            device: the client of the server that has the device.
            twin: the same extractor on the CPU; None where its file is missing.
            deadline: seconds for the device.
            retry: seconds between attempts at a device that does not answer.
            listener: told when the device begins or ceases to answer.
            stuck: told, with the reason, that the device goes on failing, so that its server can be restarted.

        """
        self.connected = False
        """Whether the device answered the last picture that it got."""
        self.reason = "It was not used yet"
        """Why it is not connected, in English; "" where it is."""
        self._device = device
        self.twin = twin
        """May be set and taken away at any time: whether the two may stand in for each other can turn out late."""
        self._deadline = deadline
        self._retry = retry
        self._listener = listener
        self._stuck = stuck
        self._told: bool | None = None
        self._failures = 0
        self._next_attempt = 0.0
        self._attempt: asyncio.Task[None] | None = None

    async def embed(self, pixels: NDArray[np.uint8]) -> FallbackAnswer:
        """Embed a picture.

        Raises InvalidPixels, and without a twin what the device raises, RuntimeUnavailable where it does not answer in time.
        """
        twin = self.twin
        if twin is None:
            return await self._ask(pixels)
        if self.connected:
            try:
                return await self._ask(pixels)
            except InvalidPixels:
                raise
            except (EmbeddingError, OSError) as error:
                _LOGGER.debug("The Edge TPU left a picture to its twin: %s", error)
        else:
            self._attempt_if_due(pixels)
        return FallbackAnswer(_unit(await twin.embed(pixels)), by_device=False)

    def retry_now(self) -> None:
        """Try the device with the next picture: its server says that it is ready."""
        self._next_attempt = 0.0

    async def aclose(self) -> None:
        """Give up an attempt that is under way."""
        if self._attempt is not None:
            self._attempt.cancel()
            await asyncio.wait((self._attempt,))

    async def _ask(self, pixels: NDArray[np.uint8]) -> FallbackAnswer:
        """Ask the device, and note how that went."""
        try:
            async with asyncio.timeout(self._deadline):
                embedding = await self._device.embed(pixels)
        except (InvalidPixels, ServerBusy):
            # The picture's fault, or that of too many pictures: nothing is wrong with the device.
            raise
        except TimeoutError as error:
            self._lost(f"no answer within {self._deadline:g} s")
            raise RuntimeUnavailable(f"The Edge TPU gave no answer within {self._deadline:g} s") from error
        except (EmbeddingError, OSError) as error:
            # A new server has the same model, and would embed as wrongly.
            self._lost(str(error), curable=not isinstance(error, ModelError | SelfTestFailed))
            raise
        self._found()
        return FallbackAnswer(_unit(embedding), by_device=True)

    def _attempt_if_due(self, pixels: NDArray[np.uint8]) -> None:
        now = asyncio.get_running_loop().time()
        if now < self._next_attempt or not (self._attempt is None or self._attempt.done()):
            return
        self._next_attempt = now + self._retry
        self._attempt = asyncio.create_task(self._try(pixels), name="coral_imprint attempt")

    async def _try(self, pixels: NDArray[np.uint8]) -> None:
        try:
            await self._ask(pixels)
        except (EmbeddingError, OSError) as error:
            _LOGGER.debug("The Edge TPU still does not answer: %s", error)

    def _found(self) -> None:
        self._failures = 0
        self.connected, self.reason = True, ""
        self._announce()

    def _lost(self, reason: str, *, curable: bool = True) -> None:
        """Note a failure. Pictures that were under way with the first one that failed say nothing new."""
        was_connected, self.connected, self.reason = self.connected, False, reason
        self._announce()
        if was_connected:
            self._next_attempt = asyncio.get_running_loop().time() + self._retry
        elif self.twin is not None and asyncio.current_task() is not self._attempt:
            return
        self._failures += curable
        if self._failures >= STUCK_AFTER:
            self._failures = 0
            if self._stuck is not None:
                self._stuck(reason)

    def _announce(self) -> None:
        """Tell the listener, where it has not been told already."""
        if self._told == self.connected:
            return
        self._told = self.connected
        if self._listener is not None:
            self._listener(self.connected, self.reason)


def _unit(embedding: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return an embedding of length 1; the server's already are, up to their last bits."""
    norm = float(np.linalg.norm(embedding))
    return embedding / np.float32(norm) if norm else embedding
