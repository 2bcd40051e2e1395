"""What happens when there is too much to do, or clients or devices misbehave. The device is one that waits to be told."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
import os
from pathlib import Path
import platform
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray
import pytest

from embedding.errors import EmbeddingError
from embedding.server import listen
from embedding.serving import application, connections, memory, worker as workers
from embedding.serving.application import ServerLimits, ServerState
from embedding.serving.auth import Guard
from embedding.serving.listening import unix_socket
from embedding.serving.memory import trim
from embedding.serving.metrics import Metrics
from embedding.serving.models import ModelOnDevice, Served, read_model_file
from embedding.serving.worker import Worker
from tests.embedding.graphs import separable

from .client import PATIENCE, Answer, ask_raw, infer_message, raw_request, read_answer
from .conftest import HEIGHT, WIDTH

INFER = "/v2/models/net/infer"
HEALTH = b"GET /v2/health/live HTTP/1.1\r\nHost: server\r\n\r\n"


class _Device:
    """A runtime that waits at every picture until it is let go."""

    family = "waiting"
    input_size = (WIDTH, HEIGHT)
    length = 3

    def __init__(self) -> None:
        self.go = threading.Semaphore(0)
        self.seen: list[int] = []
        self.fails = False

    def embed(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.seen.append(int(pixels[0, 0, 0]))
        assert self.go.acquire(timeout=PATIENCE)
        if self.fails:
            raise EmbeddingError("the device is broken")
        return np.array([3, 4, 0], np.float32)

    def close(self) -> None:
        """Hold nothing."""


class _House:
    """A server in this process."""

    def __init__(self, path: Path, state: ServerState, device: _Device) -> None:
        self.path, self.state, self.device = path, state, device

    async def ask(self, number: int = 0, count: int = 1, **parameters: Any) -> Answer:
        """Ask for the embeddings of pictures that are known by a number."""
        return await ask_raw(self.path, request(number, count, **parameters))

    @property
    def worker(self) -> Worker:
        return self.state.workers[0]


def request(number: int = 0, count: int = 1, **parameters: Any) -> bytes:
    pictures = np.full((count, HEIGHT, WIDTH, 3), number, np.uint8)
    return raw_request(INFER, infer_message(pictures, parameters=parameters))


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something to become true."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def serving(folder: Path, capacity: int = 4, limits: ServerLimits | None = None) -> AsyncIterator[_House]:
    """Serve the waiting device."""
    file = folder / "net.tflite"
    file.write_bytes(separable("uint8", HEIGHT, WIDTH))
    device, worker = _Device(), Worker("cpu", capacity)
    served = Served(read_model_file(file), (ModelOnDevice(worker, device),), capacity)
    state = ServerState(limits or ServerLimits(), Guard(None), Metrics(), (worker,), {"net": served}, ready=True)
    before = set(threading.enumerate())
    try:
        async with AsyncExitStack() as stack:
            stack.callback(worker.stop)
            await listen(stack, state, [unix_socket(folder / "socket")])
            yield _House(folder / "socket", state, device)
    finally:
        device.go.release(1000)
        for thread in set(threading.enumerate()) - before:
            thread.join(PATIENCE)


async def test_full_queue(tmp_path: Path) -> None:
    """Beyond the queue there is 503 with Retry-After, at once; who was accepted is answered."""
    async with serving(tmp_path) as house:
        accepted = [asyncio.create_task(house.ask(number)) for number in range(4)]
        await until(lambda: house.worker.pending == 4)
        refused = await house.ask(9)
        assert refused.status == 503
        assert int(refused.headers["retry-after"]) >= 1
        assert "full" in refused.error
        house.device.go.release(4)
        answers = await asyncio.gather(*accepted)
        assert {answer.status for answer in answers} == {200}
        np.testing.assert_allclose(answers[0].vectors, [[0.6, 0.8, 0]], atol=1e-7)
        assert sorted(house.device.seen) == [0, 1, 2, 3]
        assert house.worker.pending == 0


async def test_batches_fill_the_queue(tmp_path: Path) -> None:
    """What counts is pictures, and a batch is accepted as a whole or not at all."""
    async with serving(tmp_path) as house:
        first = asyncio.create_task(house.ask(1, 3))
        await until(lambda: house.worker.pending == 3)
        assert (await house.ask(2, 2)).status == 503
        assert (await house.ask(2, 5)).status == 400
        second = asyncio.create_task(house.ask(3, 1))
        await until(lambda: house.worker.pending == 4)
        house.device.go.release(4)
        assert ((await first).status, (await second).status) == (200, 200)
        assert house.device.seen == [1, 1, 1, 3]


async def test_deadline(tmp_path: Path) -> None:
    """Past its deadline a request is answered by 504, and what of it has not begun is not computed."""
    async with serving(tmp_path) as house:
        first = asyncio.create_task(house.ask(1))
        await until(lambda: house.device.seen == [1])
        assert (await house.ask(2, timeout=50_000)).status == 504
        late = await house.ask(3, 2, timeout=50_000)
        assert (late.status, "deadline" in late.error) == (504, True)
        house.device.go.release(10)
        assert (await first).status == 200
        assert (await house.ask(4)).status == 200
        assert house.device.seen == [1, 4]
        assert house.worker.pending == 0


async def test_deadline_within_a_batch(tmp_path: Path) -> None:
    """A batch whose deadline passes under way is left after the picture in hand."""
    async with serving(tmp_path, limits=ServerLimits(deadline=0.2)) as house:
        assert (await house.ask(1, 4)).status == 504
        house.device.go.release(10)
        await until(lambda: house.worker.pending == 0)
        assert house.device.seen == [1]


async def test_client_that_goes_away(tmp_path: Path) -> None:
    """Nobody waits: nothing is computed."""
    async with serving(tmp_path) as house:
        first = asyncio.create_task(house.ask(1))
        await until(lambda: house.device.seen == [1])
        _, writer = await asyncio.open_unix_connection(str(house.path))
        writer.write(request(2))
        await until(lambda: house.worker.pending == 2)
        writer.close()
        await until(lambda: house.worker.pending == 1)
        house.device.go.release(2)
        assert (await first).status == 200
        assert house.device.seen == [1]


async def test_failing_device(tmp_path: Path) -> None:
    """A device's error is the server's, in the device's words; the next request is another."""
    async with serving(tmp_path) as house:
        house.device.go.release(2)
        house.device.fails = True
        answer = await house.ask()
        assert (answer.status, "the device is broken" in answer.error) == (500, True)
        house.device.fails = False
        assert (await house.ask()).status == 200
        assert house.worker.pending == 0


async def test_hanging_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Health says that a device hangs, so that whoever watches the server starts it anew."""
    monkeypatch.setattr(workers, "STALLED_SECONDS", 0.1)
    async with serving(tmp_path) as house:
        assert (await ask_raw(house.path, HEALTH)).status == 200
        waiting = asyncio.create_task(house.ask())
        await until(lambda: house.worker.stalled)
        for path in (b"live", b"ready"):
            answer = await ask_raw(house.path, HEALTH.replace(b"live", path))
            assert (answer.status, "cpu hangs" in answer.error) == (503, True)
        house.device.go.release()
        assert (await waiting).status == 200
        assert (await ask_raw(house.path, HEALTH)).status == 200


async def test_slow_body(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that comes too slowly is answered by 408, and its connection closed."""
    monkeypatch.setattr(application, "LEAST_RATE", 1e9)
    async with serving(tmp_path, limits=ServerLimits(read_seconds=0.1)) as house:
        reader, writer = await asyncio.open_unix_connection(str(house.path))
        writer.write(request()[:-5])
        answer = await asyncio.wait_for(read_answer(reader), PATIENCE)
        assert (answer.status, answer.headers["connection"]) == (408, "close")
        assert await asyncio.wait_for(reader.read(), PATIENCE) == b""
        writer.close()
        assert house.state.reading == 0


async def test_slow_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections that send nothing, or drip their head, are closed; others are served meanwhile."""
    monkeypatch.setattr("embedding.server.IDLE_SECONDS", 0.2)
    async with serving(tmp_path) as house:
        house.device.go.release()
        silent, _ = await asyncio.open_unix_connection(str(house.path))
        reader, writer = await asyncio.open_unix_connection(str(house.path))

        async def drip() -> None:
            for byte in b"GET /v2 HTTP/1.1\r\nHost: " + b"x" * 10_000:
                writer.write(bytes((byte,)))
                await asyncio.sleep(0.02)

        dripping = asyncio.create_task(drip())
        assert (await house.ask()).status == 200
        for client in (silent, reader):
            assert await asyncio.wait_for(client.read(), PATIENCE) == b""
        dripping.cancel()
        writer.close()


async def test_bodies_in_memory_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Announcing much keeps nobody out; sending much does, by 503."""
    size = 40_000
    monkeypatch.setattr(application, "BODIES_AT_ONCE", 1)
    head = f"POST {INFER} HTTP/1.1\r\nHost: server\r\nContent-Length: {size}\r\n\r\n".encode()
    async with serving(tmp_path, limits=ServerLimits(max_bytes=size)) as house:
        house.device.go.release()
        _, announcing = await asyncio.open_unix_connection(str(house.path))
        announcing.write(head)
        assert (await house.ask()).status == 200
        announcing.write(b"x" * (size - 1))
        await until(lambda: house.state.reading == size - 1)
        refused = await house.ask()
        assert (refused.status, "retry-after" in refused.headers) == (503, True)
        announcing.close()
        await until(lambda: house.state.reading == 0)


async def test_oversize(tmp_path: Path) -> None:
    """A body beyond the limit is refused before it is read; so is one that does not say how long it is."""
    async with serving(tmp_path, limits=ServerLimits(max_bytes=1000)) as house:
        reader, writer = await asyncio.open_unix_connection(str(house.path))
        writer.write(f"POST {INFER} HTTP/1.1\r\nHost: server\r\nContent-Length: 1001\r\n\r\n".encode())
        assert (await asyncio.wait_for(read_answer(reader), PATIENCE)).status == 413
        writer.close()
        chunked = f"POST {INFER} HTTP/1.1\r\nHost: server\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        assert (await ask_raw(house.path, chunked.encode())).status == 411


async def test_too_many_connections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections beyond the limit are closed at once; when others go, there is room again."""
    monkeypatch.setattr(connections.Connections.__init__, "__defaults__", (2,))
    async with serving(tmp_path) as house:
        held = [await asyncio.open_unix_connection(str(house.path)) for _ in range(2)]
        for _, writer in held:
            writer.write(HEALTH)
        for reader, _ in held:
            assert (await asyncio.wait_for(read_answer(reader), PATIENCE)).status == 200
        third, _ = await asyncio.open_unix_connection(str(house.path))
        assert await asyncio.wait_for(third.read(), PATIENCE) == b""
        held[0][1].close()
        house.device.go.release()

        async def again() -> bool:
            try:
                return (await house.ask()).status == 200
            except (asyncio.IncompleteReadError, ConnectionError):
                return False

        async with asyncio.timeout(PATIENCE):
            while not await again():
                await asyncio.sleep(0.01)
        held[1][1].close()


async def _ask_without_reading(writer: asyncio.StreamWriter) -> None:
    """Ask until the connection is cut."""
    async with asyncio.timeout(PATIENCE):
        while True:
            writer.write(HEALTH.replace(b"/health/live", b"/models/net") * 100)
            await writer.drain()
            await asyncio.sleep(0.01)


async def test_client_that_does_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers that nobody fetches are not kept for ever."""
    monkeypatch.setattr(connections, "UNREAD_SECONDS", 0.2)
    async with serving(tmp_path) as house:
        _, writer = await asyncio.open_unix_connection(str(house.path), limit=1)
        with pytest.raises(ConnectionError):
            await _ask_without_reading(writer)
        assert (await ask_raw(house.path, HEALTH)).status == 200


async def test_stop_waits_for_nobody(tmp_path: Path) -> None:
    """What waits when the server stops is not computed, and no thread is left."""
    async with serving(tmp_path) as house:
        waiting = [asyncio.create_task(house.ask(number)) for number in range(3)]
        await until(lambda: house.worker.pending == 3)
        house.worker.stop()
        house.device.go.release(10)
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        assert sum(isinstance(answer, Answer) and answer.status == 200 for answer in answers) == 1
        assert (await house.ask()).status == 503
        assert len(house.device.seen) == 1
        assert house.worker.pending == 0


async def test_memory_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was freed goes back to the system, again and again."""
    calls: list[bool] = []
    monkeypatch.setattr(memory, "EVERY_SECONDS", 0.001)
    monkeypatch.setattr(memory, "trim", lambda: calls.append(True))
    trimming = asyncio.create_task(memory.keep_trimming())
    await until(lambda: len(calls) > 2)
    trimming.cancel()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_trim() -> None:
    """Holes among what is in use, which the C library keeps, are given back."""

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")

    blocks = [b"x" * 100_000 for _ in range(1_000)]
    kept = blocks[::20]
    del blocks
    before = resident()
    assert trim()
    assert before - resident() > 50_000_000
    assert len(kept) == 50


async def test_many_connections_at_once(tmp_path: Path) -> None:
    """As many as may be open may come in the same moment: none is lost."""
    async with serving(tmp_path) as house:
        answers = await asyncio.gather(*(ask_raw(house.path, HEALTH) for _ in range(300)))
        assert {answer.status for answer in answers} == {200}
