"""One server that misbehaves: every fault has its name, costs bounded time and memory, and passes."""

import asyncio
import gzip
import json
import time
import tracemalloc
from typing import Any

import aiohttp
from aiohttp import web
import numpy as np
import pytest

from embedding.errors import (
    EmbeddingError,
    InvalidAddress,
    ModelChanged,
    NoSuchModel,
    NotAPicture,
    RuntimeUnavailable,
    ServerBusy,
    ServerDenied,
    ServerError,
    ServerRefused,
    ServerUnreachable,
    UnusableAnswer,
)
from embedding.remote import Access, RemoteEmbedder, open_remote_embedder
from tests.embedding.sample_pictures import encode, scene

from .running import free_ports
from .scripted import LENGTH, MODEL, Fault, Scripted, after, drop, hang, opened, replies, serving, trickle

PICTURE = encode(scene(320, 240))


def answer(outputs: Any, **more: Any) -> bytes:
    return json.dumps({"model_name": MODEL, "outputs": outputs, **more}).encode()


def output(**more: Any) -> dict[str, Any]:
    return {"name": "out", "datatype": "FP32", "shape": [1, LENGTH], "data": [1.0] * LENGTH} | more


FAULTS: dict[str, tuple[Fault, type[EmbeddingError]]] = {
    "500": (replies(500, b'{"error": "no memory"}'), ServerRefused),
    "400 that is no JSON": (replies(400, b"\xff\xfe"), ServerRefused),
    "404": (replies(404), NoSuchModel),
    "401": (replies(401), ServerDenied),
    "redirect": (replies(307, Location="http://127.0.0.1:9/"), ServerRefused),
    "204": (replies(204, b""), ServerRefused),
    "nothing": (replies(200, b""), UnusableAnswer),
    "HTML": (replies(200, b"<html>"), UnusableAnswer),
    "list": (replies(200, b"[]"), UnusableAnswer),
    "nested": (replies(200, b"[" * 100_000), UnusableAnswer),
    "no outputs": (replies(200, answer([])), UnusableAnswer),
    "outputs of another kind": (replies(200, answer({"out": 1})), UnusableAnswer),
    "other output": (replies(200, answer([output(name="other")])), UnusableAnswer),
    "too few numbers": (replies(200, answer([output(data=[1.0])])), UnusableAnswer),
    "other length": (replies(200, answer([output(shape=[1, 3], data=[1.0] * 3)])), UnusableAnswer),
    "other batch": (replies(200, answer([output(shape=[2, LENGTH], data=[1.0] * 2 * LENGTH)])), UnusableAnswer),
    "negative shape": (replies(200, answer([output(shape=[-1, LENGTH])])), UnusableAnswer),
    "endless shape": (replies(200, answer([output(shape=[1 << 30] * 8)])), UnusableAnswer),
    "integers": (replies(200, answer([output(datatype="INT32", data=[1] * LENGTH)])), UnusableAnswer),
    "unknown type": (replies(200, answer([output(datatype="BF16")])), UnusableAnswer),
    "NaN": (replies(200, answer([output(data=[float("nan")] * LENGTH)])), UnusableAnswer),
    "infinity": (replies(200, answer([output(data=[1e39] * LENGTH)])), UnusableAnswer),
    "zeros": (replies(200, answer([output(data=[0.0] * LENGTH)])), UnusableAnswer),
    "texts": (replies(200, answer([output(data=["1"] * LENGTH)])), UnusableAnswer),
    "bytes missing": (replies(200, answer([output(parameters={"binary_data_size": 192})])), UnusableAnswer),
    "bytes negative": (replies(200, answer([output(parameters={"binary_data_size": -1})])), UnusableAnswer),
    "length of JSON": (
        replies(200, answer([output()]), Inference_Header_Content_Length="99999999"),
        UnusableAnswer,
    ),
    "length of nonsense": (replies(200, b"{}", Inference_Header_Content_Length="-1"), UnusableAnswer),
    "compressed": (replies(200, gzip.compress(answer([output()])), Content_Encoding="gzip"), UnusableAnswer),
    "dropped": (drop, ServerUnreachable),
    "no answer": (hang, ServerUnreachable),
    "slow": (trickle(0.02), ServerUnreachable),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_every_fault_has_its_name_and_passes(name: str, session: aiohttp.ClientSession) -> None:
    """At first when the engine is opened, then in the middle of its work; afterwards the server is used again."""
    fault, error = FAULTS[name]
    timeout = 1.5 if error is ServerUnreachable else 20
    script = Scripted(fault=fault)
    with pytest.raises(error) as raised:
        async with opened(script, session, timeout=timeout):
            pytest.fail("the server is not usable")
    assert raised.value.details["server"] == script.url
    assert raised.value.details["reason"]

    script = Scripted()
    async with opened(script, session, timeout=timeout) as embedder:
        expected = await embedder.embed(PICTURE)
        script.fault = fault
        with pytest.raises(error):
            await embedder.embed(PICTURE)
        script.fault = None
        np.testing.assert_allclose(await until_embedded(embedder), expected, atol=1e-6)


async def until_embedded(embedder: RemoteEmbedder) -> Any:
    """Return an embedding as soon as there is one again."""
    async with asyncio.timeout(20):
        while True:
            try:
                return await embedder.embed(PICTURE)
            except ServerError:
                await asyncio.sleep(0.02)


async def test_one_dropped_connection_is_not_noticed(session: aiohttp.ClientSession) -> None:
    """Servers close connections that were idle, and may do so just when they are used again."""
    script = Scripted()
    async with opened(script, session) as embedder:
        dropped = 0

        async def once(request: Any) -> None:
            nonlocal dropped
            dropped += 1
            if dropped == 1:
                await drop(request)

        script.fault = once
        await embedder.embed(PICTURE)
        assert dropped == 2


@pytest.mark.parametrize("told", [True, False], ids=["length told", "length not told"])
async def test_huge_answer_takes_no_memory(told: bool, session: aiohttp.ClientSession) -> None:
    sent = 0

    async def flood(request: Any) -> Any:
        nonlocal sent
        response = web.StreamResponse()
        if told:
            response.content_length = 1 << 34
        await response.prepare(request)
        try:
            while True:
                await response.write(b"\0" * 65536)
                sent += 65536
        except (ConnectionError, aiohttp.ClientError):
            return response

    script = Scripted()
    async with opened(script, session) as embedder:
        await embedder.embed(PICTURE)
        script.fault = flood
        tracemalloc.start()
        with pytest.raises(UnusableAnswer, match="bytes"):
            await embedder.embed(PICTURE)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 8 << 20
        assert sent < 32 << 20


async def test_nobody_there(session: aiohttp.ClientSession) -> None:
    port = free_ports()[0]
    with pytest.raises(ServerUnreachable, match="can't be reached"):
        async with open_remote_embedder([f"127.0.0.1:{port}"], MODEL, session):
            pytest.fail("nobody is there")


async def test_token(session: aiohttp.ClientSession) -> None:
    script = Scripted(token="s3cret")
    async with opened(script, session) as embedder:
        await embedder.embed(PICTURE)
    async with serving(script) as urls:
        with pytest.raises(ServerDenied) as raised:
            async with open_remote_embedder(urls, MODEL, session, Access(token="wr0ng")):
                pytest.fail("the token is another one")
    assert "wr0ng" not in f"{raised.value} {raised.value.details} {Access(token='wr0ng')!r}"


async def test_token_does_not_follow_a_redirect(session: aiohttp.ClientSession) -> None:
    thief = Scripted()
    async with serving(thief):
        script = Scripted(token="s3cret", fault=replies(307, Location=f"{thief.url}/v2/models/{MODEL}/infer"))
        with pytest.raises(ServerRefused):
            async with opened(script, session):
                pytest.fail("it points elsewhere")
    assert not thief.paths


async def test_busy_server_is_waited_for_as_long_as_it_asks(session: aiohttp.ClientSession) -> None:
    script = Scripted()
    async with opened(script, session) as embedder:
        script.fault = replies(503, Retry_After="0.2")
        asyncio.get_running_loop().call_later(0.1, setattr, script, "fault", None)
        asked, start = script.requests, time.monotonic()
        await embedder.embed(PICTURE)
        assert time.monotonic() - start >= 0.19
        assert script.requests == asked + 2
        assert embedder.servers[0].healthy


async def test_busy_server_is_not_asked_before_its_time(session: aiohttp.ClientSession) -> None:
    script = Scripted()
    async with opened(script, session) as embedder:
        script.fault = replies(503, Retry_After="60")
        with pytest.raises(ServerBusy):
            await embedder.embed(PICTURE)
        asked = script.requests
        for _ in range(5):
            with pytest.raises(ServerBusy) as raised:
                await embedder.embed(PICTURE)
        assert raised.value.wait > 30
        await asyncio.sleep(0.25)
        assert script.requests == asked


async def test_dead_server_is_left_alone(session: aiohttp.ClientSession) -> None:
    """Looks fail at once while it is dead; only the checks in the background ask, and ever more rarely."""
    script = Scripted()
    async with opened(script, session) as embedder:
        script.fault, script.broken = replies(500), True
        with pytest.raises(ServerRefused):
            await embedder.embed(PICTURE)
        asked, paths = script.requests, len(script.paths)
        for _ in range(20):
            with pytest.raises(ServerUnreachable):
                await embedder.embed(PICTURE)
            await asyncio.sleep(0.02)
        assert script.requests == asked
        assert 1 <= len(script.paths) - paths <= 12


async def test_exchanged_model_is_noticed(session: aiohttp.ClientSession) -> None:
    """Where the server says another version, before anything of it is used; else at the next probe."""
    for version in ("2", None):
        script = Scripted(version=version and "1")
        async with opened(script, session) as embedder:
            await embedder.embed(PICTURE)
            script.turned, script.version = True, version
            if version is None:
                async with asyncio.timeout(20):
                    while embedder.servers[0].healthy:
                        await asyncio.sleep(0.02)
            with pytest.raises(ModelChanged):
                await embedder.embed(PICTURE)
            with pytest.raises(ModelChanged):
                await embedder.embed(PICTURE)
            script.turned = False
            await until_embedded(embedder)


async def test_new_version_of_the_same_model_goes_on(session: aiohttp.ClientSession) -> None:
    script = Scripted(version="1")
    async with opened(script, session) as embedder:
        expected = await embedder.embed(PICTURE)
        script.version = "2"
        np.testing.assert_array_equal(await embedder.embed(PICTURE), expected)
        asked = script.requests
        await embedder.embed(PICTURE)
        assert script.requests == asked + 1


async def test_closing_ends_what_is_under_way(session: aiohttp.ClientSession) -> None:
    script = Scripted()
    async with opened(script, session) as embedder:
        script.fault = hang
        looks = [asyncio.ensure_future(embedder.embed(PICTURE)) for _ in range(3)]
        await asyncio.sleep(0.2)
        start = time.monotonic()
        await embedder.aclose()
        ends = await asyncio.gather(*looks, return_exceptions=True)
        assert time.monotonic() - start < 5
        assert all(isinstance(end, RuntimeUnavailable) for end in ends)
        with pytest.raises(RuntimeUnavailable):
            await embedder.embed(PICTURE)
    assert not session.closed


async def test_no_picture(session: aiohttp.ClientSession) -> None:
    async with opened(Scripted(), session) as embedder:
        with pytest.raises(NotAPicture):
            await embedder.embed(b"<html>")


async def test_nothing_to_ask(session: aiohttp.ClientSession) -> None:
    for servers, model in (([], MODEL), (["localhost"], "")):
        with pytest.raises(InvalidAddress):
            async with open_remote_embedder(servers, model, session):
                pytest.fail("there is nothing to ask")


async def test_fault_after_good_answers_while_opening(session: aiohttp.ClientSession) -> None:
    """The server dies between one question of the negotiation and the next, wherever that is."""
    for good in range(1, 6):
        script = Scripted(fault=after(good, replies(500)))
        with pytest.raises(ServerRefused):
            async with opened(script, session):
                pytest.fail("the server died")
