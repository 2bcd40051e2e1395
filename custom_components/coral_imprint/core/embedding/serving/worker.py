"""One thread per device, and the queue before it.

Interpreters are not thread-safe and a device does one thing at a time: what a device has to do goes through its one thread. The
queue is bounded, and what nobody waits for any more is not computed.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
import math
import threading
import time
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..runtimes.runtime import Runtime

_Result = TypeVar("_Result")

STALLED_SECONDS: Final = 10.0
"""A picture that takes longer than this hangs: none takes a tenth of it on the slowest machine."""

_SMOOTHING: Final = 0.1
"""Weight of a new picture in the mean time per picture."""

_TINY: Final = np.float32(1e-6)


class QueueFull(Exception):
    """There is no room before a device for so many pictures."""

    def __init__(self, retry_after: int) -> None:
        """Take the seconds after which there should be room."""
        super().__init__(f"The queue is full, try again in {retry_after} s")
        self.retry_after = retry_after


class Abandoned(Exception):
    """Whoever asked waits no longer."""


class Ticket:
    """Tells the worker that a batch is not waited for any more."""

    __slots__ = ("given_up",)

    def __init__(self) -> None:
        """Wait."""
        self.given_up = False


class Worker:
    """A device's thread. Its methods may be called from any thread, `embed` from an event loop."""

    def __init__(self, device: str, capacity: int, timed: Callable[[float], None] = lambda seconds: None) -> None:
        """Take the device's name, how many pictures may wait or be under way, and who is told the seconds of each."""
        self.device = device
        self.capacity = capacity
        self._timed = timed
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"device {device}")
        self._lock = threading.Lock()
        self._pending = 0
        self._seconds = 0.0
        self._busy_since: float | None = None

    @property
    def pending(self) -> int:
        """Pictures that wait or are under way."""
        return self._pending

    @property
    def stalled(self) -> bool:
        """Whether the device has been at one picture for longer than any takes."""
        since = self._busy_since
        return since is not None and time.monotonic() - since > STALLED_SECONDS

    @property
    def retry_after(self) -> int:
        """Whole seconds, at least 1, after which what is pending now should be done."""
        return max(1, math.ceil(self._pending * self._seconds))

    def check_room(self, pictures: int = 1) -> None:
        """Raise QueueFull where so many more pictures may not be handed in."""
        if self._pending + pictures > self.capacity:
            raise QueueFull(self.retry_after)

    async def call(self, function: Callable[[], _Result]) -> _Result:
        """Run something else in the device's thread, such as loading a model. Not counted as pending."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

    async def embed(self, runtime: Runtime, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed pictures, one after the other.

        Args:
            runtime: one that was opened in this worker's thread.
            pictures: (n, height, width, 3), RGB, 0 to 255.

        Returns:
            Shape (n, length), each row of length 1; one that is all zeros stays so.

        Raises QueueFull, and what the runtime raises. Where the caller is cancelled, the pictures left are not computed.

        """
        with self._lock:
            self.check_room(len(pictures))
            self._pending += len(pictures)
        ticket = Ticket()
        try:
            work = self._thread.submit(self._embed_all, runtime, pictures, ticket)
        except RuntimeError:
            # The server is being stopped.
            self._done(len(pictures))
            raise QueueFull(1) from None
        try:
            return await asyncio.wrap_future(work)
        finally:
            ticket.given_up = True
            if work.cancelled():
                # It never began, so that nothing in the thread counts it.
                self._done(len(pictures))

    def _embed_all(self, runtime: Runtime, pictures: NDArray[np.uint8], ticket: Ticket) -> NDArray[np.float32]:
        """Do the work, in the thread."""
        left = len(pictures)
        try:
            result = np.empty((left, runtime.length), np.float32)
            for number, picture in enumerate(pictures):
                if ticket.given_up:
                    raise Abandoned
                result[number] = unit(self._embed_one(runtime, picture))
                left -= 1
                self._done(1)
            return result
        finally:
            self._done(left)

    def _embed_one(self, runtime: Runtime, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        start = self._busy_since = time.monotonic()
        try:
            return runtime.embed(picture)
        finally:
            self._busy_since = None
            seconds = time.monotonic() - start
            self._seconds += (_SMOOTHING if self._seconds else 1.0) * (seconds - self._seconds)
            self._timed(seconds)

    def _done(self, pictures: int) -> None:
        with self._lock:
            self._pending -= pictures

    def stop(self) -> None:
        """Take no more work, forget what waits, don't wait for what is under way: it may hang."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale an embedding to length 1, as `layout.join` does; one that is all zeros stays so."""
    scaled: NDArray[np.float32] = vector / max(np.linalg.norm(vector), _TINY)
    return scaled.astype(np.float32, copy=False)
