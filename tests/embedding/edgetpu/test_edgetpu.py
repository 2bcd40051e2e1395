"""The Edge TPU's embedder as a whole: device, twin, and what they have in common."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
import json
from pathlib import Path

import numpy as np
import pytest

from embedding import WHOLE, Region, RuntimeUnavailable, UnsupportedModel, open_embedder
from embedding.edgetpu.edgetpu_embedder import EdgeTPUEmbedder, EdgeTPUOptions, open_edgetpu_embedder
from embedding.edgetpu.supervisor import Patience
from embedding.errors import ModelError
from embedding.network.model import read_model
from tests.embedding.graphs import restart_random, separable
from tests.embedding.sample_pictures import encode, scene
from tests.standin.edgetpu import COMPILER, StandIn, compiled, twin

pytestmark = [
    pytest.mark.skipif(COMPILER is None, reason="needs a C compiler (Debian: gcc, libc6-dev)"),
    pytest.mark.skipif(find_spec("aiohttp") is None, reason="the server needs aiohttp"),
]

PATIENCE = Patience(start=20, watch=0.2, answer=1, misses=3, grace=0.5, first_pause=0.02, longest_pause=0.05)


class Case:
    """Files, a stand-in, and how to open them."""

    def __init__(self, folder: Path) -> None:
        """Write the files."""
        restart_random()
        self.data = separable("uint8", 32, 32)
        self.standin = StandIn(folder)
        self.cpu = folder / "small.tflite"
        self.cpu.write_bytes(self.data)
        self.compiled = folder / "small_edgetpu.tflite"
        self.compiled.write_bytes(compiled(read_model(self.data)))
        self.notes = folder / "notes"
        self.changes: list[bool] = []
        self.options = EdgeTPUOptions(environment=self.standin.environment, patience=PATIENCE, notes=self.notes)

    @asynccontextmanager
    async def open(self, with_twin: bool = True) -> AsyncIterator[EdgeTPUEmbedder]:
        """Open the embedder."""
        twin_file = self.cpu if with_twin else None
        opened: list[EdgeTPUEmbedder] = []
        async with open_edgetpu_embedder(
            self.compiled,
            twin_file,
            self.options,
            listener=lambda: self.changes.append(opened[0].connected if opened else False),
        ) as embedder:
            opened.append(embedder)
            yield embedder


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


PICTURE = encode(scene(64, 48))
REGION = Region(0.1, 0.2, 0.9, 0.8)


async def connected(embedder: EdgeTPUEmbedder, wanted: bool = True) -> None:
    async with asyncio.timeout(20):
        while embedder.connected is not wanted:
            await embedder.embed(PICTURE)
            await asyncio.sleep(0.02)


async def test_embeds_as_the_cpu_does(case: Case) -> None:
    """With a device that computes what its twin does, the vectors are those of the CPU, and so is their form."""
    async with open_embedder(case.cpu, "litert") as cpu:
        expected = await cpu.embed_regions(PICTURE, [REGION, WHOLE])
        length = cpu.length
    with twin(case.standin, case.data):
        async with case.open() as embedder:
            await connected(embedder)
            before = embedder.by_twin
            found = await embedder.embed_regions(PICTURE, [REGION, WHOLE])
            assert embedder.by_twin == before
            assert (embedder.length, embedder.runtime) == (length, "edgetpu")
            assert embedder.fingerprint(REGION) != embedder.fingerprint()
            assert embedder.frames > 1 and embedder.ms is not None
            assert embedder.likeness is not None and embedder.likeness.may_share
            report = json.loads(json.dumps(embedder.diagnostics()))
            assert report["connected"] and report["server"]["state"] == "serving"
    np.testing.assert_allclose(found, expected, atol=1e-6)
    with pytest.raises(RuntimeUnavailable):
        await embedder.embed(PICTURE)


async def test_falls_back_and_returns(case: Case) -> None:
    """An abort and an absence cost no picture; the listener hears of both ends."""
    with twin(case.standin, case.data):
        async with case.open() as embedder:
            await connected(embedder)
            expected = await embedder.embed(PICTURE)
            case.standin.set("refuse")
            case.standin.set("abort")
            np.testing.assert_allclose(await embedder.embed(PICTURE), expected, atol=1e-6)
            assert not embedder.connected
            case.standin.clear("refuse")
            await connected(embedder)
            np.testing.assert_allclose(await embedder.embed(PICTURE), expected, atol=1e-6)
    assert True in case.changes and False in case.changes


async def test_starts_without_the_device_once_the_twin_is_known(case: Case) -> None:
    """After a restart, the noted comparison lets the twin answer at once; without the note, nothing may."""
    with twin(case.standin, case.data):
        async with case.open():
            pass
        case.standin.set("refuse")
        async with case.open() as embedder:
            assert not embedder.connected
            await embedder.embed(PICTURE)
            assert embedder.by_twin == 1
        for note in case.notes.glob("*.likeness.json"):
            note.write_text("[1.0, 1.0]")
        with pytest.raises(RuntimeUnavailable, match="can't be opened"):
            async with case.open():
                pytest.fail("it must not open")


async def test_twin_that_embeds_otherwise_never_answers(case: Case) -> None:
    """A device that computes something else keeps its own fingerprint: while it is gone, there is no embedding."""
    async with case.open() as embedder:
        assert embedder.likeness is not None and not embedder.likeness.may_share
        await embedder.embed(PICTURE)
        assert embedder.by_twin == 0
        case.standin.set("refuse")
        case.standin.set("abort")
        with pytest.raises(RuntimeUnavailable):
            await embedder.embed(PICTURE)
        case.standin.clear("refuse")


async def test_without_a_twin(case: Case) -> None:
    """Where the CPU's file is missing, the device alone embeds."""
    async with case.open(with_twin=False) as embedder:
        await embedder.embed(PICTURE)
        assert embedder.connected and embedder.likeness is None


async def test_unusable_files(case: Case) -> None:
    """Files that are not what they should be are named, and nothing is left running."""
    good = case.compiled.read_bytes()
    case.compiled.write_bytes(case.data)
    with pytest.raises(UnsupportedModel, match="not compiled"):
        async with case.open():
            pytest.fail("it must not open")
    case.compiled.write_bytes(good)
    case.cpu.write_bytes(separable("uint8", 48, 32))
    with pytest.raises(ModelError, match="not the network"):
        async with case.open():
            pytest.fail("it must not open")
