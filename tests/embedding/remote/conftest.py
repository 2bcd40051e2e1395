"""Real inference servers that nobody here wrote, started once, and leave to use sockets."""

import _socket
from collections.abc import AsyncIterator, Iterator
from importlib.util import find_spec
from pathlib import Path
import socket

import aiohttp
import pytest

from embedding.network.model import read_model
from embedding.runtimes.rewrite import cut_model
from tests.embedding.runtimes.test_parity import SHARED

from .running import Running, kserve, mlserver, ours


@pytest.fixture(autouse=True)
def sockets(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process reach servers on its own machine, by Unix sockets too, which Home Assistant's harness forbids."""
    if find_spec("pytest_socket"):
        request.getfixturevalue("socket_enabled")
        monkeypatch.setattr(socket.socket, "connect", _socket.socket.connect)


@pytest.fixture
async def session(sockets: None) -> AsyncIterator[aiohttp.ClientSession]:
    """Return a session such as Home Assistant's shared one."""
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture(scope="session")
def extractor() -> Path:
    """Return a published extractor."""
    path = SHARED / "models" / "mobilenet_v1_0.25_128_quant.tflite"
    if not path.is_file():
        pytest.skip("needs the models in ../shared/models")
    return path


@pytest.fixture(scope="session")
def cut(extractor: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the extractor cut at its embedding, as somebody would serve it."""
    path = tmp_path_factory.mktemp("cut") / "network.tflite"
    path.write_bytes(cut_model(read_model(extractor.read_bytes())))
    return path


@pytest.fixture(scope="session")
def kserve_server(cut: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Start KServe."""
    with kserve(cut, tmp_path_factory.mktemp("kserve")) as server:
        yield server


@pytest.fixture(scope="session")
def mlserver_server(cut: Path, extractor: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Start MLServer."""
    with mlserver(cut, read_model(extractor.read_bytes()), tmp_path_factory.mktemp("mlserver")) as server:
        yield server


@pytest.fixture(scope="session")
def our_server(extractor: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Start the project's own server."""
    with ours(extractor, tmp_path_factory.mktemp("ours"), "--runtime", "litert") as server:
        yield server
