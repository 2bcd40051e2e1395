"""Processes of inference servers, each in its own environment."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
import json
import os
from pathlib import Path
import subprocess
import sys
import time

import pytest

from embedding.network.model import Model

from .servers.dresses import DRESSES, Dress

ROOT = Path(__file__).parents[3]
SERVERS = "tests.embedding.remote.servers"
ENVIRONMENTS = Path(os.environ.get("CORAL_IMPRINT_SERVERS") or ROOT / ".dev")
"""Where the servers' environments are: what ``scripts/setup servers`` makes."""

PATIENCE = 60.0
"""Seconds for what takes a few on a machine that does nothing else."""

OUR_MODEL = "mobilenet_v1_0.25_128"
"""What this project's server calls the extractor: the catalogue's key."""

_ASK = """
import sys, time, urllib.error, urllib.request
for url in sys.argv[1:]:
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            break
        except OSError:
            time.sleep(0.1)
"""
_FREE = """
import socket
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
print(*(one.getsockname()[1] for one in held))
"""


@dataclass(frozen=True)
class Running:
    """A server that answers."""

    name: str
    url: str


def environment(name: str) -> Path:
    """Return the Python of a server's environment; skips where it is not there."""
    python = ENVIRONMENTS / name / "bin" / "python"
    if not python.is_file():
        pytest.skip(f"needs {name} ({ENVIRONMENTS / name}): run scripts/setup servers")
    return python


def free_ports() -> list[int]:
    """Return three ports that nothing uses; asked in a process of its own, which no harness keeps from sockets."""
    asked = subprocess.run([sys.executable, "-c", _FREE], check=True, capture_output=True, text=True)
    return [int(port) for port in asked.stdout.split()]


@contextmanager
def _process(
    name: str, command: Sequence[object], url: str, folder: Path, models: Sequence[str], more: Mapping[str, str]
) -> Iterator[Running]:
    """Run a server until all of its models are ready, and end it afterwards."""
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            list(map(str, command)),
            cwd=folder,
            env={**os.environ, **more},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        try:
            waiting = subprocess.Popen(
                [sys.executable, "-c", _ASK, *(f"{url}/v2/models/{name}/ready" for name in models)]
            )
            try:
                deadline = time.monotonic() + PATIENCE
                while waiting.poll() is None:
                    assert process.poll() is None, f"{name} ended: {_end(log)}"
                    assert time.monotonic() < deadline, f"{name} is not ready: {_end(log)}"
                    time.sleep(0.05)
            finally:
                waiting.kill()
                waiting.wait()
            yield Running(name, url)
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _end(log: Path) -> str:
    return log.read_text(errors="replace")[-1500:]


@contextmanager
def kserve(network: Path, folder: Path) -> Iterator[Running]:
    """Run KServe with a network in all of its dresses."""
    python, (port, *_) = environment("kserve"), free_ports()
    command = (python, "-m", f"{SERVERS}.kserve_server", network, "--http_port", str(port))
    url, more = f"http://127.0.0.1:{port}", {"PYTHONPATH": str(ROOT)}
    with _process("KServe", command, url, folder, list(DRESSES), more) as running:
        yield running


@contextmanager
def mlserver(network: Path, model: Model, folder: Path) -> Iterator[Running]:
    """Run MLServer with a network in all of its dresses; ``model`` is what the network was made from."""
    python, (http, grpc, metrics) = environment("mlserver"), free_ports()
    ports = {"http_port": http, "grpc_port": grpc, "metrics_port": metrics}
    (folder / "settings.json").write_text(json.dumps({"host": "127.0.0.1", "parallel_workers": 0, **ports}))
    for name, dress in DRESSES.items():
        (folder / name).mkdir()
        settings = {
            "name": name,
            "implementation": f"{SERVERS}.mlserver_model.Extractor",
            "parameters": {"uri": str(network), "version": "1"},
            **_described(dress, model),
        }
        (folder / name / "model-settings.json").write_text(json.dumps(settings))
    command = (python.with_name("mlserver"), "start", folder)
    url, more = f"http://127.0.0.1:{http}", {"PYTHONPATH": str(ROOT)}
    with _process("MLServer", command, url, folder, list(DRESSES), more) as running:
        yield running


def _described(dress: Dress, model: Model) -> dict[str, object]:
    """Return the metadata of a model; the protocol's have no place of their own for what pixels become."""
    width, height = model.input_size
    picture: dict[str, object] = {
        "name": dress.input,
        "datatype": dress.datatype,
        "shape": dress.input_shape(height, width),
    }
    if dress.datatype == "FP32":
        picture["parameters"] = dict(zip(("low", "high"), dress.pixel_range, strict=True))
    output = {"name": dress.output, "datatype": "FP32", "shape": dress.output_shape(model.length)}
    return {"inputs": [picture], "outputs": [output]}


@contextmanager
def ours(extractor: Path, folder: Path, *options: str) -> Iterator[Running]:
    """Run this project's server with an extractor."""
    (port, *_) = free_ports()
    command = (sys.executable, "-m", "embedding.server", "--models", extractor, "--port", str(port), *options)
    url, more = f"http://127.0.0.1:{port}", {"PYTHONPATH": str(ROOT / "custom_components" / "coral_imprint" / "core")}
    with _process("ours", command, url, folder, [OUR_MODEL], more) as running:
        yield running
