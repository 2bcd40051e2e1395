"""Pictures that are due together go together: whatever comes while requests are under way waits, and makes up the next one."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import EmbeddingError, RuntimeUnavailable, ServerBusy

WAITING: Final = 256
"""Pictures that may wait; more are refused at once."""

_Waiting: TypeAlias = tuple[NDArray[np.uint8], asyncio.Future[NDArray[np.float32]]]


class Batches:
    """Makes batches of single pictures. Adds no delay: where nothing is under way, a picture goes with those of the same moment."""

    def __init__(
        self,
        send: Callable[[Sequence[NDArray[np.uint8]]], Awaitable[NDArray[np.float32]]],
        limits: Callable[[], tuple[int, int]],
    ) -> None:
        """``send`` embeds several pictures; ``limits`` returns how many it may get, and how many calls may be under way."""
        self._send = send
        self._limits = limits
        self._waiting: deque[_Waiting] = deque()
        self._sending: set[asyncio.Task[None]] = set()
        self._closed = False

    async def embed(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the embedding of one picture, not normalised. Raises what ``send`` raises, and ServerBusy."""
        if self._closed:
            raise RuntimeUnavailable("the engine was stopped")
        if len(self._waiting) >= WAITING:
            raise ServerBusy(f"{WAITING} pictures are waiting for the server already", wait=1.0, server="")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[NDArray[np.float32]] = loop.create_future()
        self._waiting.append((pixels, future))
        # What else runs at this moment may bring pictures too.
        loop.call_soon(self._go_on)
        return await future

    def _go_on(self) -> None:
        """Send what waits, as far as the limits allow."""
        most, parallel = self._limits()
        while len(self._sending) < max(1, parallel) and (batch := self._next(most)):
            task = asyncio.get_running_loop().create_task(self._serve(batch))
            self._sending.add(task)
            task.add_done_callback(self._sent)

    def _next(self, most: int) -> list[_Waiting]:
        """Take the oldest pictures whose callers still want them."""
        batch: list[_Waiting] = []
        while self._waiting and len(batch) < max(1, most):
            pixels, future = self._waiting.popleft()
            if not future.done():
                batch.append((pixels, future))
        return batch

    async def _serve(self, batch: Sequence[_Waiting]) -> None:
        try:
            vectors = await self._send([pixels for pixels, _ in batch])
            for (_, future), vector in zip(batch, vectors, strict=True):
                if not future.done():
                    future.set_result(vector)
        except EmbeddingError as error:
            _fail(batch, error)
        finally:
            _fail(batch, RuntimeUnavailable("the engine was stopped"))

    def _sent(self, task: asyncio.Task[None]) -> None:
        self._sending.discard(task)
        if not self._closed:
            self._go_on()

    async def aclose(self) -> None:
        """Give up on everything that waits or is under way: their callers get RuntimeUnavailable."""
        self._closed = True
        _fail(self._waiting, RuntimeUnavailable("the engine was stopped"))
        self._waiting.clear()
        tasks = list(self._sending)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _fail(batch: Iterable[_Waiting], error: EmbeddingError) -> None:
    """Let those know that have no answer yet."""
    for _, future in batch:
        if not future.done():
            future.set_exception(error)
