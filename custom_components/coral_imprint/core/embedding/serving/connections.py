"""What stands between the sockets and the HTTP library: how many connections there may be, and how long a client may not read."""

import asyncio
import logging
from typing import Final, cast

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

MOST_CONNECTIONS: Final = 512
UNREAD_SECONDS: Final = 10.0
"""How long a client may leave its responses lying before its connection is cut."""

HTTP_LOGGER: Final = logging.getLogger(__name__)
"""What the HTTP library has to say."""


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether a record is about this server: clients that send no HTTP, or go away, must not fill its log with tracebacks."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError | ConnectionError))


HTTP_LOGGER.addFilter(_is_ours)


class Connections:
    """The connections that are open."""

    def __init__(self, server: web.Server, most: int = MOST_CONNECTIONS) -> None:
        """Take what speaks HTTP on each of them."""
        self._server = server
        self._most = most
        self.open = 0

    def __call__(self) -> "_Connection":
        """Return the protocol of a new connection."""
        return _Connection(self, self._server())

    @property
    def full(self) -> bool:
        """Whether there may be no more."""
        return self.open >= self._most


class _Connection(asyncio.Protocol):
    """Hands everything on to the HTTP library's own protocol."""

    def __init__(self, all_: Connections, inner: asyncio.Protocol) -> None:
        self._all = all_
        self._inner = inner
        self._transport: asyncio.Transport | None = None
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._all.full:
            transport.close()
            return
        self._all.open += 1
        self._transport = cast(asyncio.Transport, transport)
        self._inner.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.resume_writing()
        if self._transport is not None:
            self._transport = None
            self._all.open -= 1
            self._inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._transport is not None:
            self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received() if self._transport is not None else None

    def pause_writing(self) -> None:
        if self._transport is not None:
            self._unread = asyncio.get_running_loop().call_later(UNREAD_SECONDS, self._transport.abort)
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None
            self._inner.resume_writing()
