"""HTTP to this project's own server at a Unix socket, with nothing on the way that it does not need.

It earns its place beside aiohttp by Home Assistant's event loop. On a nearly quiet machine, in two runs of 40 s, asking by it held the
loop for over 5 ms in no callback, asking by aiohttp in 3 and 11 (docs/measurements.md). A picture costs 1.0 ms of the loop's processor
time instead of 1.6.

It is as strict as `http_transport.Http`: bounded in time and size, with an error of its own for each failure. Answers need a length
(RFC 9112, 6.3); chunked ones are refused.
"""

import asyncio
import contextlib
from http import HTTPStatus
import socket
from typing import Final, cast

from ..errors import ServerUnreachable, UnusableAnswer
from ..protocol.messages import JSON_LENGTH, Message, read_json_length
from ..protocol.tensors import ProtocolError
from .settings import METADATA_LIMIT, Access
from .statuses import ERROR_LIMIT, refusal

_END: Final = b"\r\n\r\n"
_LONGEST_HEAD: Final = 16 * 1024
_SEND_BUFFER: Final = 1 << 20
"""Bytes, as far as the system allows: a picture should leave at once, not in turns with the server's reading."""


class Wire:
    """The server at one Unix socket. Belongs to one event loop."""

    def __init__(self, path: str, access: Access) -> None:
        """Connect to nothing yet."""
        self.name = f"unix://{path}"
        self._path = path
        self._timeout = access.timeout
        self._idle: list[_WireConnection] = []
        self._busy: set[_WireConnection] = set()
        self._closed = False

    async def get(self, path: str) -> bytes:
        """Return the body of a ``GET``. Raises ServerError."""
        return (await self._ask("GET", path, None, METADATA_LIMIT)).body

    async def post(self, path: str, message: Message, limit: int) -> Message:
        """Return the answer to a request, of ``limit`` bytes at most. Raises ServerError."""
        return await self._ask("POST", path, message, limit)

    async def aclose(self) -> None:
        """Cut every connection."""
        self._closed = True
        for connection in (*self._idle, *self._busy):
            connection.abort()
        self._idle.clear()

    async def _ask(self, method: str, path: str, message: Message | None, limit: int) -> Message:
        head = _request(method, path, message)
        body = message.body if message else b""
        try:
            async with asyncio.timeout(self._timeout):
                try:
                    return await self._exchanged(head, body, limit)
                except _Stale:
                    # The server closed a connection that it had kept, just when it was used again.
                    return await self._exchanged(head, body, limit)
        except TimeoutError as error:
            seconds = f"{self._timeout:g} seconds"
            raise ServerUnreachable(f"{self.name} did not answer within {seconds}", server=self.name) from error
        except _Broken as error:
            raise UnusableAnswer(f"The answer of {self.name} {error}", server=self.name) from error
        except ConnectionResetError as error:
            raise ServerUnreachable(f"{self.name} dropped the connection", server=self.name) from error
        except OSError as error:
            raise ServerUnreachable(f"{self.name} can't be reached: {error}", server=self.name) from error

    async def _exchanged(self, head: bytes, body: bytes, limit: int) -> Message:
        """Send a request and read its answer, by a connection that is there or a new one."""
        connection = self._idle.pop() if self._idle else await self._connected()
        self._busy.add(connection)
        try:
            await connection.ask(head, body, limit)
            return self._read(connection)
        finally:
            self._busy.discard(connection)
            if connection.reusable and not self._closed:
                self._idle.append(connection)
            else:
                connection.abort()

    async def _connected(self) -> "_WireConnection":
        loop = asyncio.get_running_loop()
        _, made = await loop.create_unix_connection(lambda: _WireConnection(self._idle), self._path)
        return made

    def _read(self, connection: "_WireConnection") -> Message:
        """Return a complete answer as a message. Raises ServerError."""
        headers, body = connection.headers, connection.body
        if connection.status != HTTPStatus.OK:
            raise refusal(self.name, connection.status, connection.reason, headers.get("retry-after"), body)
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise _Broken("is compressed")
        try:
            return Message(body, read_json_length(headers.get(JSON_LENGTH.lower())))
        except ProtocolError as error:
            raise UnusableAnswer(f"The answer of {self.name}: {error}", server=self.name) from error


class _Broken(Exception):
    """An answer is not what HTTP, or who asked, allows; the message goes on after “The answer of …”."""


class _Stale(ConnectionResetError):
    """A connection that had served before ended before anything of an answer came."""


class _WireConnection(asyncio.Protocol):
    """One connection: one request and its answer at a time."""

    def __init__(self, idle: "list[_WireConnection]") -> None:
        """Take the connections that nobody uses, of which it is no longer one when it is closed."""
        self.status = 0
        self.reason = ""
        self.headers: dict[str, str] = {}
        self.body = b""
        self.reusable = False
        """Whether the last answer was complete, and another may follow."""
        self._idle = idle
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[None] | None = None
        self._buffer = bytearray()
        self._wanted: int | None = None
        self._limit = 0
        self._served = False

    async def ask(self, head: bytes, body: bytes, limit: int) -> None:
        """Send a request and wait for its answer. Raises _Broken, _Stale, ConnectionResetError."""
        if self._transport is None:
            raise _Stale
        self.reusable, self._limit, self._wanted = False, limit, None
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.writelines((head, body))
        await self._answer

    def abort(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        with contextlib.suppress(OSError):
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.reusable = False
        if self in self._idle:
            self._idle.remove(self)
        nothing_came = self._served and self._wanted is None and not self._buffer
        self._fail(_Stale() if nothing_came else ConnectionResetError())

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._answer.done():
            self.abort()  # nobody asked
            return
        self._buffer += data
        try:
            self._take()
        except _Broken as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)

    def _take(self) -> None:
        """Take what is there of the answer; the end of it wakes who asked."""
        if self._wanted is None:
            end = self._buffer.find(_END)
            if max(end, len(self._buffer) if end < 0 else 0) > _LONGEST_HEAD:
                raise _Broken("has an endless head")
            if end < 0:
                return
            self._read_head(bytes(self._buffer[:end]))
            del self._buffer[: end + len(_END)]
        wanted = self._wanted or 0
        if len(self._buffer) > wanted:
            raise _Broken("is longer than it says")
        if len(self._buffer) == wanted:
            self.body = bytes(self._buffer)
            self._buffer.clear()
            self._served = True
            self.reusable = self.headers.get("connection", "").lower() != "close"
            if self._answer is not None:
                self._answer.set_result(None)

    def _read_head(self, head: bytes) -> None:
        first, *lines = head.decode("latin-1").split("\r\n")
        version, _, rest = first.partition(" ")
        status, _, self.reason = rest.partition(" ")
        if version != "HTTP/1.1" or not (status.isascii() and status.isdecimal() and len(status) == 3):
            raise _Broken("is no HTTP")
        self.status = int(status)
        self.headers = {}
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon or name.lower() in self.headers:
                raise _Broken("has a header twice, or one that is none")
            self.headers[name.lower()] = value.strip()
        length = self.headers.get("content-length", "")
        if "transfer-encoding" in self.headers or not (length.isascii() and length.isdecimal() and len(length) < 12):
            raise _Broken("does not say how long it is")
        limit = self._limit if self.status == HTTPStatus.OK else ERROR_LIMIT
        if int(length) > limit:
            raise _Broken(f"has {length} bytes; {limit} is the most")
        self._wanted = int(length)


def _request(method: str, path: str, message: Message | None) -> bytes:
    """Return a request's head."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Accept-Encoding: identity"]
    if message:
        lines += [f"{name}: {value}" for name, value in message.headers.items()]
        lines.append(f"Content-Length: {len(message.body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")
