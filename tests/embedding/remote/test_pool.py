"""Several servers with the same model: who is asked, who is left alone, and what becomes of looks meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from aiohttp import web
import numpy as np
import pytest

from embedding.errors import ModelChanged, ServerBusy, ServerError, ServerUnreachable
from embedding.remote import Access, CheckPace, RemoteEmbedder, open_remote_embedder
from tests.embedding.sample_pictures import encode, scene

from .running import free_ports
from .scripted import MODEL, SIDE, Fault, Scripted, drop, hang, replies, serving

PACE = CheckPace(check_every=0.1, probe_every=60, first_backoff=0.02, longest_backoff=0.1, busy_patience=0.5)
PICTURE = encode(scene(320, 240))


@asynccontextmanager
async def opened(
    scripts: Sequence[Scripted], session: aiohttp.ClientSession, timeout: float = 20, more: Sequence[str] = ()
) -> AsyncIterator[RemoteEmbedder]:
    """Open the scripted servers' model, and wait until all that are sound are known to be."""
    async with (
        serving(*scripts) as urls,
        open_remote_embedder([*more, *urls], MODEL, session, Access(timeout=timeout), pace=PACE) as embedder,
    ):
        yield embedder


async def all_healthy(embedder: RemoteEmbedder, wanted: Sequence[bool]) -> None:
    """Wait until the servers are as they should be."""
    async with asyncio.timeout(20):
        while [member.healthy for member in embedder.servers] != list(wanted):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("fault", [replies(500), drop, replies(200, b"<html>"), replies(404), replies(503)])
async def test_looks_go_on_when_a_server_fails(fault: Fault, session: aiohttp.ClientSession) -> None:
    """Not one look is lost, whatever the first server does; and once it is sound, it is asked again."""
    first, second = Scripted(), Scripted()
    async with opened((first, second), session) as embedder:
        await all_healthy(embedder, (True, True))
        expected = await embedder.embed(PICTURE)
        assert first.batches[-1] == 1
        first.fault = fault
        for _ in range(10):
            np.testing.assert_array_equal(await embedder.embed(PICTURE), expected)
        served = len(first.batches)
        first.fault = None
        async with asyncio.timeout(20):
            while len(first.batches) < served + 12:  # a probe of nine pictures, and then looks
                np.testing.assert_array_equal(await embedder.embed(PICTURE), expected)
                await asyncio.sleep(0.01)


async def test_hanging_server_costs_one_timeout(session: aiohttp.ClientSession) -> None:
    first, second = Scripted(), Scripted()
    async with opened((first, second), session, timeout=1.5) as embedder:
        await all_healthy(embedder, (True, True))
        first.fault, first.broken = hang, True
        asked = first.requests
        for _ in range(5):
            await embedder.embed(PICTURE)
        assert first.requests == asked + 1
        assert not embedder.servers[0].healthy


async def test_server_that_is_not_there_at_first(session: aiohttp.ClientSession) -> None:
    port = free_ports()[0]
    second = Scripted()
    async with opened((second,), session, more=[f"http://127.0.0.1:{port}"]) as embedder:
        await embedder.embed(PICTURE)
        assert isinstance(embedder.servers[0].error, ServerUnreachable)
        first = Scripted()
        async with serving(first, port=port):
            await all_healthy(embedder, (True, True))
            asked = len(first.batches)
            await embedder.embed(PICTURE)
            assert first.batches[asked:] == [1]


async def test_server_with_another_model_is_not_asked(session: aiohttp.ClientSession) -> None:
    first, second = Scripted(), Scripted(turned=True)
    async with opened((first, second), session) as embedder:
        async with asyncio.timeout(20):
            while not isinstance(embedder.servers[1].error, ModelChanged):
                await asyncio.sleep(0.01)
        expected = await embedder.embed(PICTURE)
        first.fault = replies(500)
        first.broken = True
        with pytest.raises(ServerError):
            await embedder.embed(PICTURE)
        with pytest.raises(ModelChanged):
            await embedder.embed(PICTURE)
        second.turned = False
        await all_healthy(embedder, (False, True))
        np.testing.assert_array_equal(await embedder.embed(PICTURE), expected)


async def test_work_is_shared(session: aiohttp.ClientSession) -> None:
    """While one server is at work, the other gets what comes meanwhile."""
    first, second = Scripted(delay=0.1), Scripted(delay=0.1)
    async with opened((first, second), session) as embedder:
        await all_healthy(embedder, (True, True))
        first.batches.clear()
        second.batches.clear()
        pixels = np.asarray(scene(SIDE, SIDE))
        await asyncio.gather(*(embedder._batches.embed(pixels) for _ in range(32)))
        assert sum(first.batches) == sum(second.batches) == 16


async def test_all_busy(session: aiohttp.ClientSession) -> None:
    first, second = Scripted(), Scripted()
    async with opened((first, second), session) as embedder:
        await all_healthy(embedder, (True, True))
        first.fault = second.fault = replies(503, Retry_After="30")
        with pytest.raises(ServerBusy):
            await embedder.embed(PICTURE)
        asked = first.requests, second.requests
        with pytest.raises(ServerBusy):
            await embedder.embed(PICTURE)
        assert (first.requests, second.requests) == asked


async def test_unix_socket(session: aiohttp.ClientSession, tmp_path: Path) -> None:
    script = Scripted()
    application = web.Application()
    application.router.add_route("*", "/{any:.*}", script.handle)
    runner = web.AppRunner(application)
    await runner.setup()
    path = tmp_path / "a socket"
    await web.UnixSite(runner, path).start()
    try:
        async with open_remote_embedder([f"unix://{path}".replace(" ", "%20")], MODEL, session) as embedder:
            vector = await embedder.embed(PICTURE)
            assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
    finally:
        await runner.cleanup()
    assert not session.closed
