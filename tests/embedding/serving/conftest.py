"""A server with small models, and leave to use TCP."""

import _socket
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
import socket

import pytest

from tests.embedding.graphs import restart_random, separable

from .client import Server, running

HEIGHT, WIDTH = 12, 16
KINDS = ("uint8", "int8", "float32")


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a model of each input type, and two files that are none."""
    folder = tmp_path_factory.mktemp("models")
    restart_random()
    for kind in KINDS:
        (folder / f"net_{kind}.tflite").write_bytes(separable(kind, HEIGHT, WIDTH))
    (folder / "broken.tflite").write_bytes(b"\0\0\0\0TFL3 and nothing else")
    (folder / "labels.txt").write_text("none")
    return folder


@pytest.fixture(autouse=True)
def sockets(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process reach servers on its own machine, by Unix sockets too, which Home Assistant's harness forbids."""
    if find_spec("pytest_socket"):
        request.getfixturevalue("socket_enabled")
        monkeypatch.setattr(socket.socket, "connect", _socket.socket.connect)


@pytest.fixture(scope="session")
def process(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start a server on a Unix socket."""
    with running("--models", models, "--unix", tmp_path_factory.mktemp("run") / "socket", ready=False) as process:
        yield process


@pytest.fixture
def server(process: Server, sockets: None) -> Server:
    """Return the server, ready."""
    process.wait_ready()
    return process
