"""The client against real servers, ours and those that nobody here wrote: same embeddings as in this process, whatever the dress."""

import asyncio
from dataclasses import replace
import hashlib
import json
import os
from pathlib import Path
import subprocess

import aiohttp
import numpy as np
from numpy.typing import NDArray
import pytest

from embedding.embedder import open_embedder
from embedding.errors import NoSuchModel, PixelRangeUnknown, SelfTestFailed, ServerError
from embedding.interface import PictureEmbedder
from embedding.network.model import read_model
from embedding.pictures.decoding import WHOLE, Region
from embedding.remote import ModelOptions, open_remote_embedder, served_models
from embedding.remote.remote_embedder import RemoteEmbedder
from embedding.runtimes import selftest
from embedding.runtimes.litert import LiteRTRuntime
from tests.embedding.sample_pictures import encode, scene

from .running import OUR_MODEL, ROOT, SERVERS, Running, environment
from .servers.dresses import DRESSES

THIRD_PARTIES = ("kserve_server", "mlserver_server")
LEAST_COSINE = 0.9999
PICTURES = 12


@pytest.fixture
def server(request: pytest.FixtureRequest, sockets: None) -> Running:
    """Return the server that a test is about."""
    running = request.getfixturevalue(request.param)
    assert isinstance(running, Running)
    return running


@pytest.fixture(scope="session")
def local(extractor: Path) -> LiteRTRuntime:
    """Return the extractor in this process."""
    return LiteRTRuntime(read_model(extractor.read_bytes()))


@pytest.fixture(scope="session")
def sha256(extractor: Path) -> str:
    """Return what names the extractor among the published ones."""
    return hashlib.sha256(extractor.read_bytes()).hexdigest()


def pictures(size: tuple[int, int]) -> list[NDArray[np.uint8]]:
    return [np.asarray(scene(*size, seed=seed)) for seed in range(PICTURES)]


def cosines(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    cosine: NDArray[np.float32] = (one * other).sum(axis=1) / lengths
    return cosine


async def by(embedder: RemoteEmbedder, given: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Return what the network on the server makes of pictures, due at the same moment."""
    return np.array(await asyncio.gather(*(embedder._batches.embed(pixels) for pixels in given)))


def known(server: Running, dress: str, **more: object) -> ModelOptions:
    """Return what a user has to say of a model: metadata in KServe have no place for what pixels become."""
    worn = DRESSES[dress]
    silent = server.name == "KServe" and worn.datatype == "FP32"
    return replace(ModelOptions(pixel_range=worn.pixel_range if silent else None), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("server", THIRD_PARTIES, indirect=True)
@pytest.mark.parametrize("dress", list(DRESSES))
@pytest.mark.parametrize("binary", [None, False, True], ids=["any", "json", "bytes"])
async def test_same_embeddings_in_every_dress(
    server: Running, dress: str, binary: bool | None, local: LiteRTRuntime, session: aiohttp.ClientSession
) -> None:
    options = known(server, dress, binary=binary)
    if binary and server.name == "MLServer":
        with pytest.raises(ServerError):
            async with open_remote_embedder([server.url], dress, session, options=options):
                pytest.fail("MLServer takes no binary tensors")
        return
    worn = DRESSES[dress]
    async with open_remote_embedder([server.url], dress, session, options=options) as embedder:
        given = pictures(local.input_size)
        expected = np.array([local.embed(pixels) for pixels in given])
        assert cosines(await by(embedder, given), expected).min() >= LEAST_COSINE
        contract = embedder.servers[0].endpoint.contract
        assert contract is not None
        assert (contract.input, contract.output, contract.planar) == (worn.input, worn.output, worn.planar)
        assert contract.most == {-1: 8}.get(worn.batch, worn.batch)
        assert binary is None or contract.binary == binary


@pytest.mark.parametrize("binary", [None, False, True], ids=["any", "json", "bytes"])
async def test_our_own_server(
    our_server: Running, binary: bool | None, local: LiteRTRuntime, session: aiohttp.ClientSession
) -> None:
    options = ModelOptions(binary=binary)
    async with open_remote_embedder([our_server.url], OUR_MODEL, session, options=options) as embedder:
        given = pictures(local.input_size)
        expected = np.array([local.embed(pixels) for pixels in given])
        assert cosines(await by(embedder, given), expected).min() >= LEAST_COSINE


@pytest.mark.parametrize("server", THIRD_PARTIES, indirect=True)
async def test_whole_way_from_a_picture(server: Running, extractor: Path, session: aiohttp.ClientSession) -> None:
    """What comes out is what the embedder of this process has, regions included."""
    regions = (WHOLE, Region(0.25, 0.1, 0.5, 0.6))
    picture = encode(scene(1280, 720, seed=3))
    async with (
        open_embedder(extractor, "litert", strict=True) as here,
        open_remote_embedder([server.url], "plain", session) as there,
    ):
        embedders: list[PictureEmbedder] = [here, there]
        ours, theirs = [await embedder.embed_regions(picture, regions) for embedder in embedders]
        for one, other in zip(ours, theirs, strict=True):
            assert other.dtype == np.float32
            assert one @ other >= LEAST_COSINE
            assert np.linalg.norm(other) == pytest.approx(1, abs=1e-5)
        assert (there.length, there.frames) == (here.length, 1) == (theirs[0].size, 1)
        assert there.ms is not None
        assert len({there.fingerprint(), there.fingerprint(regions[1]), here.fingerprint()}) == 3


@pytest.mark.parametrize("server", [*THIRD_PARTIES, "our_server"], indirect=True)
async def test_list_of_models(server: Running, session: aiohttp.ClientSession) -> None:
    expected = [OUR_MODEL] if server.name == "ours" else sorted(DRESSES)
    assert await served_models(server.url, session) == expected
    assert await served_models(f"{server.url}/v2/models/one", session) == ["one"]


@pytest.mark.parametrize("server", [*THIRD_PARTIES, "our_server"], indirect=True)
async def test_model_that_is_not_there(server: Running, session: aiohttp.ClientSession) -> None:
    with pytest.raises(NoSuchModel) as raised:
        async with open_remote_embedder([server.url], "nobody's", session):
            pytest.fail("there is no such model")
    assert raised.value.details["server"] == server.url


async def test_range_of_pixels_is_asked_for(kserve_server: Running, session: aiohttp.ClientSession) -> None:
    """A model that takes real numbers is not fed by guess."""
    with pytest.raises(PixelRangeUnknown):
        async with open_remote_embedder([kserve_server.url], "planar", session):
            pytest.fail("nothing says what pixels become")


@pytest.mark.parametrize("dress", ["float", "planar", "loud"])
async def test_range_of_pixels_is_found_by_trial(
    kserve_server: Running, dress: str, sha256: str, session: aiohttp.ClientSession
) -> None:
    """A published extractor shows by its embeddings of the test pictures how it wants its pixels."""
    options = ModelOptions(sha256=sha256)
    async with open_remote_embedder([kserve_server.url], dress, session, options=options) as embedder:
        contract = embedder.servers[0].endpoint.contract
        assert contract is not None
        assert contract.pixel_range == DRESSES[dress].pixel_range


async def test_another_network_under_the_name_of_a_published_one(
    kserve_server: Running, session: aiohttp.ClientSession
) -> None:
    other = next(sha256 for sha256 in selftest.references() if sha256.startswith("f409"))
    with pytest.raises(SelfTestFailed):
        async with open_remote_embedder([kserve_server.url], "plain", session, options=ModelOptions(sha256=other)):
            pytest.fail("it is another network")


async def test_wrong_range_is_another_model(kserve_server: Running, session: aiohttp.ClientSession) -> None:
    """What the pixels become is part of an embedding's identity."""
    prints = set()
    for low, high in ((0.0, 1.0), (-1.0, 1.0)):
        options = ModelOptions(pixel_range=(low, high))
        async with open_remote_embedder([kserve_server.url], "planar", session, options=options) as embedder:
            prints.add(embedder.fingerprint())
    assert len(prints) == 2


@pytest.mark.parametrize("order", [("kserve_server", "mlserver_server"), ("mlserver_server", "kserve_server")])
async def test_same_model_on_different_servers(
    order: tuple[str, str], request: pytest.FixtureRequest, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """Whichever comes first, the fingerprint is the same; and both are asked."""
    one, other = (request.getfixturevalue(name) for name in order)
    async with open_remote_embedder([one.url, other.url], "plain", session, notes=tmp_path) as embedder:
        print_ = embedder.fingerprint()
        async with asyncio.timeout(20):
            while not all(member.healthy for member in embedder.servers):
                await asyncio.sleep(0.02)
    async with open_remote_embedder([other.url], "plain", session, notes=tmp_path) as embedder:
        assert embedder.fingerprint() == print_


def test_triton_client_talks_to_our_server(our_server: Running, local: LiteRTRuntime, tmp_path: Path) -> None:
    """Triton's own client, in its own environment, gets from our server what LiteRT computes here."""
    file = tmp_path / "pictures.npy"
    given = np.array(pictures(local.input_size))
    np.save(file, given)
    asked = subprocess.run(
        [
            environment("mlserver"),
            "-m",
            f"{SERVERS}.triton_client",
            our_server.url.removeprefix("http://"),
            OUR_MODEL,
            file,
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    told = json.loads(asked.stdout)
    assert told["live"] is told["ready"] is told["model ready"] is True
    assert told["metadata"]["name"] == OUR_MODEL
    expected = np.array([local.embed(pixels) for pixels in given])
    for encoding in ("json", "bytes"):
        got = np.array(told["embeddings"][encoding], np.float32)
        assert got.shape == expected.shape
        assert cosines(got, expected).min() >= LEAST_COSINE
