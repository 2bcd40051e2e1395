"""The device, its twin, and who answers."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
import pytest

from embedding.edgetpu.fallback import STUCK_AFTER, Fallback, InThread
from embedding.errors import EmbeddingError, InvalidPixels, RuntimeUnavailable, ServerBusy
from embedding.network.model import read_model
from embedding.runtimes.portable import PortableRuntime
from tests.embedding.graphs import classifier

PIXELS = np.zeros((8, 6, 3), np.uint8)
DEADLINE = 0.1


class Fake:
    """Answers as it is told: a vector, an error, or not at all."""

    def __init__(self, vector: list[float]) -> None:
        """Answer with a vector at first."""
        self.vector = np.array(vector, np.float32)
        self.error: Exception | None = None
        self.hangs = False
        self.asked = 0
        self.cancelled = 0

    async def embed(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed."""
        self.asked += 1
        if self.hangs:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        return self.vector


class Heard:
    """A fallback with fakes, and what it told."""

    def __init__(self, retry: float = 0.0, twin: bool = True) -> None:
        """Make one."""
        self.device = Fake([3.0, 4.0])
        self.twin = Fake([0.0, 2.0])
        self.told: list[tuple[bool, str]] = []
        self.stuck: list[str] = []
        self.fallback = Fallback(
            self.device,
            self.twin if twin else None,
            deadline=DEADLINE,
            retry=retry,
            listener=lambda connected, reason: self.told.append((connected, reason)),
            stuck=self.stuck.append,
        )

    async def connect(self) -> None:
        """Let the device answer once."""
        await self.fallback.embed(PIXELS)
        await self.attempted()
        assert self.fallback.connected

    async def attempted(self) -> None:
        """Wait for the attempt that is under way."""
        attempt = self.fallback._attempt
        assert attempt is not None
        await asyncio.wait((attempt,))


async def test_device_is_preferred() -> None:
    """The first picture finds the device; from then on it answers, with unit vectors."""
    heard = Heard()
    first = await heard.fallback.embed(PIXELS)
    assert not first.by_device
    np.testing.assert_allclose(first.embedding, [0, 1])
    await heard.attempted()
    assert heard.told == [(True, "")]
    second = await heard.fallback.embed(PIXELS)
    assert second.by_device
    np.testing.assert_allclose(second.embedding, [0.6, 0.8], rtol=1e-6)
    assert heard.twin.asked == 1


@pytest.mark.parametrize(
    "error", [EmbeddingError("it broke"), ConnectionResetError("it died"), RuntimeUnavailable("no")]
)
async def test_error_is_answered_by_the_twin(error: Exception) -> None:
    """A server that died in the middle costs nobody an answer."""
    heard = Heard(retry=3600)
    await heard.connect()
    heard.device.error = error
    answer = await heard.fallback.embed(PIXELS)
    assert not answer.by_device
    assert heard.told[-1] == (False, str(error))
    assert heard.fallback.reason == str(error)


async def test_hang_costs_the_deadline_once() -> None:
    """Pictures under way wait for the deadline, those after it do not wait at all."""
    heard = Heard(retry=3600)
    await heard.connect()
    heard.device.hangs = True
    loop = asyncio.get_running_loop()
    start = loop.time()
    answers = await asyncio.gather(*(heard.fallback.embed(PIXELS) for _ in range(8)))
    waited = loop.time() - start
    assert not any(answer.by_device for answer in answers)
    assert waited >= DEADLINE
    asked = heard.device.asked
    await asyncio.gather(*(heard.fallback.embed(PIXELS) for _ in range(8)))
    assert heard.device.asked == asked
    assert heard.device.cancelled == 8
    assert heard.told == [(True, ""), (False, "no answer within 0.1 s")]


async def test_returns_when_the_device_does() -> None:
    """Attempts go on behind the answers; one that succeeds ends the twin's turn."""
    heard = Heard()
    await heard.connect()
    heard.device.error = EmbeddingError("gone")
    await heard.fallback.embed(PIXELS)
    await heard.fallback.embed(PIXELS)
    await heard.attempted()
    assert not heard.fallback.connected
    heard.device.error = None
    assert not (await heard.fallback.embed(PIXELS)).by_device
    await heard.attempted()
    assert (await heard.fallback.embed(PIXELS)).by_device
    assert [connected for connected, _ in heard.told] == [True, False, True]


async def test_retry_now() -> None:
    """Whoever knows that the server is back needs not wait for the next attempt's time."""
    heard = Heard(retry=3600)
    await heard.connect()
    heard.device.error = EmbeddingError("gone")
    await heard.fallback.embed(PIXELS)
    heard.device.error = None
    asked = heard.device.asked
    await heard.fallback.embed(PIXELS)
    assert heard.device.asked == asked
    heard.fallback.retry_now()
    await heard.fallback.embed(PIXELS)
    await heard.attempted()
    assert heard.fallback.connected


async def test_one_attempt_at_a_time() -> None:
    """A device that hangs is not asked by everyone."""
    heard = Heard()
    heard.device.hangs = True
    await asyncio.gather(*(heard.fallback.embed(PIXELS) for _ in range(8)))
    assert heard.device.asked == 1
    await heard.fallback.aclose()
    assert heard.device.cancelled == 1


async def test_stuck_is_told() -> None:
    """Failures in a row, each an attempt of its own, ask for a new server; pictures under way together count once."""
    heard = Heard()
    await heard.connect()
    heard.device.hangs = True
    await asyncio.gather(*(heard.fallback.embed(PIXELS) for _ in range(8)))
    for _ in range(STUCK_AFTER - 1):
        assert heard.stuck == []
        await heard.fallback.embed(PIXELS)
        await heard.attempted()
    assert heard.stuck == ["no answer within 0.1 s"]
    await heard.fallback.embed(PIXELS)
    await heard.attempted()
    assert len(heard.stuck) == 1


async def test_never_connected_is_told() -> None:
    """A device that never answered is as bad as one that ceased to."""
    heard = Heard()
    heard.device.error = EmbeddingError("no device")
    await heard.fallback.embed(PIXELS)
    await heard.attempted()
    assert heard.told == [(False, "no device")]


async def test_busy_is_not_broken() -> None:
    """A full queue sends one picture to the twin, and changes nothing else."""
    heard = Heard()
    await heard.connect()
    heard.device.error = ServerBusy("too many", wait=1.0)
    assert not (await heard.fallback.embed(PIXELS)).by_device
    assert heard.fallback.connected
    assert heard.told == [(True, "")]


async def test_wrong_pixels_are_the_callers_fault() -> None:
    """They are raised, and say nothing about the device."""
    heard = Heard()
    await heard.connect()
    heard.device.error = InvalidPixels("wrong shape")
    with pytest.raises(InvalidPixels):
        await heard.fallback.embed(PIXELS)
    assert heard.fallback.connected


async def test_without_a_twin() -> None:
    """Every picture goes to the device; what goes wrong is raised by name."""
    heard = Heard(twin=False)
    assert (await heard.fallback.embed(PIXELS)).by_device
    heard.device.hangs = True
    with pytest.raises(RuntimeUnavailable, match="no answer within"):
        await heard.fallback.embed(PIXELS)
    heard.device.hangs = False
    heard.device.error = EmbeddingError("gone")
    with pytest.raises(EmbeddingError, match="gone"):
        await heard.fallback.embed(PIXELS)
    heard.device.error = None
    assert (await heard.fallback.embed(PIXELS)).by_device
    assert [connected for connected, _ in heard.told] == [True, False, True]


async def test_runtime_in_a_thread() -> None:
    """A runtime of this process embeds as it does alone."""
    runtime = PortableRuntime(read_model(classifier()[0]))
    pixels = np.random.default_rng(0).integers(0, 256, (8, 6, 3), np.uint8)
    with ThreadPoolExecutor(1) as worker:
        np.testing.assert_array_equal(await InThread(runtime, worker).embed(pixels), runtime.embed(pixels))
