"""The two pipes to a child: one whose end says that the parent is gone, one for what the child writes to its standard error."""

import asyncio
from collections import deque
import contextlib
import logging
import os
import time
from types import TracebackType
from typing import Final, Self

_LOGGER = logging.getLogger(__name__)

LONGEST_LINE: Final = 500
"""Bytes; the rest of a line is dropped."""
MOST_LINES: Final = 100
"""Lines logged per `WINDOW_SECONDS`; the others are counted."""
WINDOW_SECONDS: Final = 60.0


class Leash:
    """A pipe that a child takes for its standard input; nothing is written to it. A context manager: it breaks at its end."""

    def __init__(self) -> None:
        """Open no pipe yet."""
        self.fd = self._held = -1

    def __enter__(self) -> Self:
        """Open the pipe; ``fd`` is the child's end."""
        self.fd, self._held = os.pipe()
        return self

    def handed_over(self) -> None:
        """Close the child's end here: the child has it."""
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Let go of the child."""
        self.handed_over()
        os.close(self._held)


class Lines(asyncio.Protocol):
    """A pipe that a child takes for its standard error: lines of it go into the log, bounded in length, number and memory.

    An async context manager: it listens until its end.
    """

    def __init__(self, kept: deque[str]) -> None:
        """Take where to keep lines."""
        self._kept = kept
        self._rest = b""
        self._skipping = False
        self._logged = 0
        self._window = 0.0
        self._transport: asyncio.BaseTransport | None = None
        self.fd = -1
        """The child's end."""

    async def __aenter__(self) -> Self:
        """Open the pipe and listen."""
        read, self.fd = os.pipe()
        with contextlib.ExitStack() as opened:
            opened.callback(self.handed_over)
            pipe = opened.enter_context(os.fdopen(read, "rb", 0))
            self._transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: self, pipe)
            # The transport closes the pipe from here on.
            opened.pop_all()
        return self

    def handed_over(self) -> None:
        """Close the child's end here: the child has it."""
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close what is open."""
        self.handed_over()
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Take what the child wrote."""
        *lines, rest = (self._rest + data).split(b"\n")
        for line in lines:
            if self._skipping:
                self._skipping = False
            else:
                self._take(line)
        if self._skipping:
            rest = b""
        elif len(rest) > LONGEST_LINE:
            self._take(rest)
            self._skipping, rest = True, b""
        self._rest = rest

    def connection_lost(self, exc: Exception | None) -> None:
        """Take the last line where it has no end."""
        if self._rest:
            self._take(self._rest)
        self._rest = b""

    def _take(self, raw: bytes) -> None:
        line = raw[:LONGEST_LINE].decode("utf-8", "replace").rstrip()
        if not line:
            return
        self._kept.append(line)
        now = time.monotonic()
        if now - self._window >= WINDOW_SECONDS:
            if self._logged > MOST_LINES:
                _LOGGER.debug("%s lines of the server were left out", self._logged - MOST_LINES)
            self._window, self._logged = now, 0
        self._logged += 1
        if self._logged <= MOST_LINES:
            _LOGGER.debug("Server: %s", line)
