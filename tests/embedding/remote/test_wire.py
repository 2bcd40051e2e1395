"""The client of this project's own server at a Unix socket: what may come back, and what happens to connections."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from embedding.errors import (
    NoSuchModel,
    ServerBusy,
    ServerDenied,
    ServerError,
    ServerRefused,
    ServerUnreachable,
    UnusableAnswer,
)
from embedding.protocol.messages import JSON_LENGTH, Message
from embedding.remote.settings import METADATA_LIMIT, Access
from embedding.remote.wire import Wire

LIMIT = 4096
PICTURE = Message(b"{}" + bytes(600_000), 2)
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

pytestmark = pytest.mark.usefixtures("sockets")


class Server:
    """Reads requests, and answers them with bytes."""

    def __init__(self, *answers: bytes) -> None:
        """Take the answers to one request after the other; the last one to all that follow."""
        self.answers = list(answers)
        self.connections = 0
        self.asked: list[tuple[str, bytes]] = []
        self.hang_up_after = 0
        """Requests on a connection, after which it is closed; 0: never."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection."""
        self.connections += 1
        try:
            for number in range(1, 1_000_000):
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                lengths = [line[16:] for line in head.split("\r\n") if line.startswith("Content-Length: ")]
                self.asked.append((head, await reader.readexactly(int(lengths[0])) if lengths else b""))
                writer.write(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])
                await writer.drain()
                if number == self.hang_up_after:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def wired(folder: Path, script: Script, timeout: float = 10.0) -> AsyncIterator[Wire]:
    """Run a server, and yield the way to it."""
    path = folder / "socket"
    server = await asyncio.start_unix_server(script, path)
    wire = Wire(str(path), Access(timeout=timeout))
    try:
        yield wire
    finally:
        await wire.aclose()
        server.close()
        await server.wait_closed()


async def test_many_requests_by_one_connection(tmp_path: Path) -> None:
    """Messages arrive whole, however long they are, and answers with what their headers say."""
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n" + f"{JSON_LENGTH}: 2\r\n\r\n".encode() + b"{}ab"
    server = Server(GOOD, answer)
    async with wired(tmp_path, server.serve) as wire:
        assert await wire.get("/v2") == b"{}"
        for _ in range(20):
            assert await wire.post("/v2/models/m/infer", PICTURE, LIMIT) == Message(b"{}ab", 2)
    assert server.connections == 1
    head, body = server.asked[-1]
    assert head.startswith("POST /v2/models/m/infer HTTP/1.1\r\nHost: localhost\r\n")
    assert body == PICTURE.body
    assert server.asked[0][0].startswith("GET /v2 HTTP/1.1\r\n")


async def test_requests_at_the_same_time(tmp_path: Path) -> None:
    """Each has a connection, which is used again."""
    server = Server(GOOD)
    async with wired(tmp_path, server.serve) as wire:
        for _ in range(3):
            await asyncio.gather(*(wire.post("/x", PICTURE, LIMIT) for _ in range(4)))
    assert server.connections == 4


@pytest.mark.parametrize("piece", [1, 7])
async def test_answers_in_pieces(tmp_path: Path, piece: int) -> None:
    async def slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for at in range(0, len(GOOD), piece):
            writer.write(GOOD[at : at + piece])
            await asyncio.sleep(0)
        writer.close()

    async with wired(tmp_path, slowly) as wire:
        assert await wire.get("/") == b"{}"


FAULTS: dict[str, tuple[bytes, type[ServerError]]] = {
    "404": (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", NoSuchModel),
    "401": (b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", ServerDenied),
    "500": (b'HTTP/1.1 500 No\r\nContent-Length: 22\r\n\r\n{"error": "no memory"}', ServerRefused),
    "307": (b"HTTP/1.1 307 Go\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", ServerRefused),
    "503": (b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n", ServerBusy),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", UnusableAnswer),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", UnusableAnswer),
    "no status": (b"HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n", UnusableAnswer),
    "no length": (b"HTTP/1.1 200 OK\r\n\r\n{}", UnusableAnswer),
    "negative length": (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", UnusableAnswer),
    "two lengths": (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\ncontent-length: 3\r\n\r\n{}", UnusableAnswer),
    "chunked": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", UnusableAnswer),
    "no header": (b"HTTP/1.1 200 OK\r\nwhat is this\r\n\r\n", UnusableAnswer),
    "endless head": (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10_000, UnusableAnswer),
    "endless line": (b"H" * 100_000, UnusableAnswer),
    "too long": (b"HTTP/1.1 200 OK\r\nContent-Length: 4097\r\n\r\n", UnusableAnswer),
    "longer than told": (GOOD + b"more", UnusableAnswer),
    "compressed": (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 0\r\n\r\n", UnusableAnswer),
    "length of nonsense": (
        b"HTTP/1.1 200 OK\r\n" + JSON_LENGTH.encode() + b": -1\r\nContent-Length: 2\r\n\r\n{}",
        UnusableAnswer,
    ),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_every_fault_has_its_name_and_passes(tmp_path: Path, name: str) -> None:
    fault, error = FAULTS[name]
    server = Server(GOOD, fault, GOOD)
    async with wired(tmp_path, server.serve) as wire:
        await wire.post("/x", PICTURE, LIMIT)
        with pytest.raises(error) as raised:
            await wire.post("/x", PICTURE, LIMIT)
        assert raised.value.details["server"] == wire.name
        assert type(raised.value) is error
        assert await wire.post("/x", PICTURE, LIMIT) == Message(b"{}")
        if isinstance(raised.value, ServerBusy):
            assert raised.value.wait == 7
        if name == "500":
            assert "no memory" in str(raised.value)


async def test_longer_refusals_and_metadata(tmp_path: Path) -> None:
    """What is no embedding has limits of its own."""
    long = METADATA_LIMIT - 2
    server = Server(
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n{}" % (long + 2) + bytes(long),
        b"HTTP/1.1 400 Bad\r\nContent-Length: 99999\r\n\r\n" + bytes(99999),
    )
    async with wired(tmp_path, server.serve) as wire:
        assert len(await wire.get("/")) == METADATA_LIMIT
        with pytest.raises(UnusableAnswer, match="99999 bytes"):
            await wire.get("/")


async def test_a_kept_connection_that_was_closed_is_not_noticed(tmp_path: Path) -> None:
    """Whether the end was seen before it is used again or only then."""
    server = Server(GOOD)
    server.hang_up_after = 1
    async with wired(tmp_path, server.serve) as wire:
        await wire.post("/x", PICTURE, LIMIT)
        await wire.post("/x", PICTURE, LIMIT)
        await asyncio.sleep(0.05)
        await wire.post("/x", PICTURE, LIMIT)
    assert server.connections == 3


async def test_a_server_that_asks_to_close_is_obeyed(tmp_path: Path) -> None:
    server = Server(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}")
    async with wired(tmp_path, server.serve) as wire:
        await wire.get("/")
        await wire.get("/")
    assert server.connections == 2


async def test_dropped(tmp_path: Path) -> None:
    """An answer that ends half-way, and none at all."""
    for answer in (b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}"):
        server = Server(answer)
        server.hang_up_after = 1
        async with wired(tmp_path, server.serve) as wire:
            with pytest.raises(ServerUnreachable, match="dropped"):
                await wire.post("/x", PICTURE, LIMIT)


async def test_too_slow(tmp_path: Path) -> None:
    """A server that never ends its answer costs the time that was given, and its connection is not used again."""
    server = Server(GOOD[:-1])
    async with wired(tmp_path, server.serve, timeout=0.2) as wire:
        for _ in range(2):
            with pytest.raises(ServerUnreachable, match=r"within 0\.2 seconds"):
                await wire.post("/x", PICTURE, LIMIT)
    assert server.connections == 2


async def test_nobody_there(tmp_path: Path) -> None:
    wire = Wire(str(tmp_path / "socket"), Access())
    with pytest.raises(ServerUnreachable, match="can't be reached"):
        await wire.get("/")
    await wire.aclose()


async def test_what_nobody_asked_for_ends_the_connection(tmp_path: Path) -> None:
    sent = asyncio.Event()
    connections = 0

    async def talks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(GOOD)
        await asyncio.sleep(0.05)
        writer.write(GOOD)
        sent.set()
        await reader.read()
        writer.close()

    async with wired(tmp_path, talks) as wire:
        await wire.get("/")
        await sent.wait()
        await asyncio.sleep(0.05)
        await wire.get("/")
    assert connections == 2


async def test_closing_ends_what_is_under_way(tmp_path: Path) -> None:
    arrived = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await reader.read()
        writer.close()

    async with wired(tmp_path, hang) as wire:
        asking = asyncio.create_task(wire.get("/"))
        await arrived.wait()
        await wire.aclose()
        with pytest.raises(ServerUnreachable):
            await asking
