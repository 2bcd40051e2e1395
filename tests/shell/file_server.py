"""A real HTTP server on this machine that serves one file, as rudely as it is told to."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
import hashlib
from http import HTTPStatus

from custom_components.coral_imprint.core.embedding import PublishedFile

HOST = "127.0.0.1"
NAME = "net.tflite"


@dataclass(kw_only=True)
class Request:
    """A request, and the way to answer it byte by byte."""

    path: str
    headers: dict[str, str]
    """By lower-case name."""
    content: bytes
    """The file as it should be."""
    writer: asyncio.StreamWriter
    server: FileServer
    sent: int = 0
    """Bytes of body that were sent."""

    @property
    def start(self) -> int:
        """First byte that is asked for."""
        asked = self.headers.get("range", "bytes=0-")
        assert asked.startswith("bytes=") and asked.endswith("-")
        return int(asked[6:-1])

    async def head(self, status: int, **headers: object) -> None:
        """Send the head of an answer; underscores in names are hyphens."""
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", "Connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.writer.write("\r\n".join([*lines, "", ""]).encode())
        await self.writer.drain()

    async def body(self, data: bytes) -> None:
        """Send some of the body, and let it arrive before anything else happens."""
        self.writer.write(data)
        self.sent += len(data)
        await self.writer.drain()
        await asyncio.sleep(0.005)


type Answer = Callable[[Request], Awaitable[None]]


async def good(request: Request) -> None:
    """Answer as a good server does."""
    await cut(len(request.content))(request)


def cut(end: int, *, abort: bool = False, read: bool = False) -> Answer:
    """Announce everything and stop before the byte ``end`` of the file.

    ``abort`` resets the connection. ``read`` waits until `FileServer.note` was told that all was read: an HTTP client may
    drop what has arrived but was not read when the connection ends.
    """

    async def answer(request: Request) -> None:
        size, start = len(request.content), request.start
        if start >= size and "range" in request.headers:
            await request.head(416, Content_Length=0, Content_Range=f"bytes */{size}")
            return
        if start:
            content_range = f"bytes {start}-{size - 1}/{size}"
            await request.head(206, Content_Length=size - start, Content_Range=content_range)
        else:
            await request.head(200, Content_Length=size)
        await request.body(request.content[start:end])
        while read and request.server.received < end:
            await asyncio.sleep(0.001)
        if abort:
            request.writer.transport.abort()

    return answer


def whole(data: bytes, **headers: object) -> Answer:
    """Send a body with status 200, whatever part was asked for; its length is announced unless headers say otherwise."""

    async def answer(request: Request) -> None:
        await request.head(200, **({"Content_Length": len(data)} | headers))
        await request.body(data)

    return answer


def status(code: int, **headers: object) -> Answer:
    """Send a status and a few words."""

    async def answer(request: Request) -> None:
        await request.head(code, Content_Length=5, **headers)
        await request.body(b"Sorry")

    return answer


def instead_of(answer: Answer, content: bytes) -> Answer:
    """Answer as if the file were another one."""

    async def changed(request: Request) -> None:
        request.content = content
        await answer(request)

    return changed


@dataclass
class FileServer:
    """Answers one request per connection: in turn as it is told, the last way for ever."""

    content: bytes
    answers: list[Answer] = field(default_factory=lambda: [good])
    requests: list[Request] = field(default_factory=list)
    port: int = 0
    received: int = 0
    """Bytes of the file that a listener to the download's progress was told of."""
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        """Address of the folder that every file is in."""
        return f"http://{HOST}:{self.port}/"

    @property
    def sent(self) -> int:
        """Bytes of body that all answers had."""
        return sum(request.sent for request in self.requests)

    def answer(self, *answers: Answer) -> None:
        """Answer so from now on, and forget the requests so far."""
        self.answers = list(answers)
        self.requests.clear()
        self.received = 0

    def note(self, received: int, _total: int | None) -> None:
        """Listen to the progress of the download."""
        self.received = received

    def published(self, *, known: bool = True, name: str = NAME) -> PublishedFile:
        """Return what identifies the file; without size and SHA-256 where they are not ``known``."""
        return PublishedFile(
            name=name,
            url=self.url + name,
            size=len(self.content) if known else None,
            sha256=hashlib.sha256(self.content).hexdigest() if known else None,
            blob=hashlib.sha1(b"blob %d\0" % len(self.content) + self.content).hexdigest(),
        )

    async def start(self) -> None:
        """Listen; on the same port as before, if there was one."""
        self._server = await asyncio.start_server(self._serve, HOST, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Refuse connections from now on; end those there are."""
        if self._server:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        try:
            first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            request = Request(path=first.split()[1], headers=headers, content=self.content, writer=writer, server=self)
            self.requests.append(request)
            turn = min(len(self.requests), len(self.answers)) - 1
            await self.answers[turn](request)
        except ConnectionError, asyncio.IncompleteReadError:
            pass
        finally:
            self._tasks.discard(task)
            writer.close()
