"""What a server takes is found by trial, and what is due together goes together."""

import asyncio
from typing import Any

import aiohttp
import numpy as np
import pytest

from embedding.errors import ServerBusy, UnsupportedModel
from tests.embedding.sample_pictures import scene

from .scripted import SIDE, Scripted, embed, opened

PIXELS = np.asarray(scene(SIDE, SIDE, seed=5))


async def test_looks_that_are_due_together_go_together(session: aiohttp.ClientSession) -> None:
    script = Scripted(delay=0.05)
    async with opened(script, session, max_batch=16) as embedder:
        script.batches.clear()
        given = [np.asarray(scene(SIDE, SIDE, seed=seed)) for seed in range(40)]
        got = await asyncio.gather(*(embedder._batches.embed(pixels) for pixels in given))
        assert script.batches == [16, 16, 8]
        np.testing.assert_array_equal(got, embed(np.array(given)))


async def test_what_is_not_wanted_any_more_is_not_sent(session: aiohttp.ClientSession) -> None:
    script = Scripted(delay=0.1)
    async with opened(script, session) as embedder:
        script.batches.clear()
        first = asyncio.ensure_future(embedder._batches.embed(PIXELS))
        await asyncio.sleep(0.05)
        others = [asyncio.ensure_future(embedder._batches.embed(PIXELS)) for _ in range(5)]
        await asyncio.sleep(0)
        for other in others[:3]:
            other.cancel()
        await asyncio.gather(first, *others[3:])
        assert script.batches == [1, 2]


async def test_endless_queue_is_refused(session: aiohttp.ClientSession) -> None:
    script = Scripted(delay=0.05)
    async with opened(script, session) as embedder:
        ends = await asyncio.gather(*(embedder._batches.embed(PIXELS) for _ in range(300)), return_exceptions=True)
        assert sum(isinstance(end, ServerBusy) for end in ends) == 300 - 256
        assert sum(isinstance(end, np.ndarray) for end in ends) == 256


@pytest.mark.parametrize(
    ("script", "most", "binary"),
    [
        (Scripted(), 8, None),
        (Scripted(most=3), 2, None),
        (Scripted(most=1), 1, None),
        (Scripted(json_only=True), 8, False),
        (Scripted(shape=[3, SIDE, SIDE, 3]), 3, None),
        (Scripted(shape=[1, SIDE, SIDE, 3]), 1, None),
        (Scripted(metadata={"parameters": {"max_batch_size": 5}}), 5, None),
    ],
    ids=["any", "less than asked", "one by one", "JSON alone", "three always", "one always", "told"],
)
async def test_what_the_server_takes_is_found_by_trial(
    script: Scripted, most: int, binary: bool | None, session: aiohttp.ClientSession
) -> None:
    async with opened(script, session) as embedder:
        contract = embedder.servers[0].endpoint.contract
        assert contract is not None
        assert contract.most == most
        assert binary is None or contract.binary == binary
        given = [np.asarray(scene(SIDE, SIDE, seed=seed)) for seed in range(7)]
        got = await asyncio.gather(*(embedder._batches.embed(pixels) for pixels in given))
        np.testing.assert_allclose(got, embed(np.array(given)), rtol=1e-6)


@pytest.mark.parametrize(
    "metadata",
    [
        {"inputs": []},
        {"inputs": None},
        {"inputs": [{"name": "in", "datatype": "BYTES", "shape": [-1]}]},
        {"inputs": [{"name": "in", "datatype": "UINT8", "shape": [-1, 1, 1, 3]}]},
        {"inputs": [{"name": "in", "datatype": "UINT8", "shape": [-1, -1, -1, 3]}]},
        {"inputs": [{"name": "in", "datatype": "UINT8", "shape": [10**9, SIDE, SIDE, 3]}]},
        {"inputs": [{"name": name, "datatype": "UINT8", "shape": [-1, SIDE, SIDE, 3]} for name in "ab"]},
        {"outputs": []},
        {"outputs": [{"name": name, "datatype": "FP32", "shape": [-1, 5]} for name in "ab"]},
        {"outputs": "x"},
    ],
    ids=str,
)
async def test_model_that_is_no_extractor(metadata: dict[str, Any], session: aiohttp.ClientSession) -> None:
    with pytest.raises(UnsupportedModel):
        async with opened(Scripted(metadata=metadata), session):
            pytest.fail("it is none")


async def test_what_the_caller_knows_of_a_silent_server(session: aiohttp.ClientSession) -> None:
    script = Scripted(metadata={"inputs": [], "outputs": None})
    async with opened(script, session, input="in", output="out", size=(SIDE, SIDE)) as embedder:
        got = await embedder._batches.embed(PIXELS)
        np.testing.assert_allclose(got, embed(PIXELS[np.newaxis])[0], rtol=1e-6)
