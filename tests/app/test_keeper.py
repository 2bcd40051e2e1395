"""The app's programs with the real server, outside a container: started, announced, ended, aborted, plugged in."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
import json
import os
from pathlib import Path
import signal
import socket
import subprocess
import sys

import aiohttp
import pytest

from companion import health
from companion.keeper import Keeper, Pace, Supervisor
from companion.options import Options
from companion.server import Layout
from companion.token import ensure_token
from embedding.devices import EdgeTPU, Survey
from embedding.network.model import read_model
from tests.embedding.graphs import restart_random, separable
from tests.standin.edgetpu import COMPILER, StandIn, compiled, twin

from .conftest import EMBEDDING, PROGRAMS
from .fake_supervisor import TOKEN, FakeSupervisor, fake_supervisor

QUICK = Pace(first_pause=0.05, longest_pause=0.2, ready=0.05, announce=0.05, watch=0.1, strikes=2)
PATIENCE = 30
USB = EdgeTPU("usb", "usb:0", "/dev/bus/usb/001/002")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.02)


@dataclass
class App:
    """A keeper at work."""

    layout: Layout
    token: str
    supervisor: FakeSupervisor
    devices: list[EdgeTPU] = field(default_factory=list)
    ended: asyncio.Task[int] | None = None
    looks: int = 0
    """How often it was asked what is plugged in."""

    def survey(self) -> Survey:
        """Return what is plugged in."""
        self.looks += 1
        return Survey(Path("/usr/lib/libedgetpu.so.1"), tuple(self.devices))

    @property
    def models(self) -> list[list[str]]:
        """What was announced, in order."""
        return [message["config"]["models"] for message in self.supervisor.messages]

    async def ask(self, path: str, token: str | None = None) -> int:
        """Return the status of an answer."""
        headers = {"Authorization": f"Bearer {token or self.token}"}
        url = f"http://127.0.0.1:{self.layout.port}{path}"
        async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as response:
            return response.status

    async def infer(self, model: str) -> int:
        """Return the status of the answer to a picture."""
        tensor = {"name": "input", "datatype": "UINT8", "shape": [1, 32, 32, 3], "data": [7] * 3072}
        headers = {"Authorization": f"Bearer {self.token}"}
        url = f"http://127.0.0.1:{self.layout.port}/v2/models/{model}/infer"
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, headers=headers, json={"inputs": [tensor]}) as response,
        ):
            return response.status


@pytest.fixture(autouse=True)
def as_in_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the server's process find its package."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(EMBEDDING.parent), str(PROGRAMS))))


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    restart_random()
    (folder / "small.tflite").write_bytes(separable("uint8", 32, 32))
    return folder


@asynccontextmanager
async def running(models: Path, *devices: EdgeTPU) -> AsyncIterator[App]:
    layout = Layout(
        token=models.parent / "token",
        own_models=models,
        data_models=models / "none",
        host="127.0.0.1",
        port=free_port(),
    )
    async with fake_supervisor() as fake:
        app = App(layout, ensure_token(layout.token, None), fake, list(devices))
        supervisor = Supervisor(token=TOKEN, url=fake.url, host="abc-coral-imprint")
        options = Options(models=models / "none", log_level="warning")
        keeper = Keeper(layout, options, app.token, supervisor, pace=QUICK, look=app.survey)
        app.ended = asyncio.create_task(keeper.run())
        try:
            yield app
        finally:
            keeper.stopping.set()
            async with asyncio.timeout(PATIENCE):
                assert await app.ended in {0, 2}


def children(models: Path) -> list[int]:
    """Return the ids of this process's children that serve these models: other tests' servers may be running."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended
            continue
        if parent == os.getpid() and b"embedding.server" in words and bytes(models) in words:
            found.append(int(entry.name))
    return found


async def test_server_is_started_announced_and_ended(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPERVISOR_TOKEN", TOKEN)
    async with running(models) as app:
        app.supervisor.refuse = 2
        await until(lambda: bool(app.supervisor.messages))
        config = app.supervisor.messages[0]["config"]
        assert config == {
            "host": "abc-coral-imprint", "port": app.layout.port, "token": app.token, "models": ["small"],
        }  # fmt: skip
        assert app.supervisor.refused == [502, 502]
        (process,) = children(models)
        assert TOKEN.encode() not in Path(f"/proc/{process}/environ").read_bytes()
        # What was announced holds.
        assert await app.ask("/v2/models/small") == 200
        assert await app.ask("/v2/models/small", "x" * 32) == 401
        assert await asyncio.to_thread(health.main, app.layout.port) == 0
    assert not children(models)
    assert await asyncio.to_thread(health.main, app.layout.port) == 1


async def test_server_that_is_killed_comes_back(models: Path) -> None:
    async with running(models) as app:
        await until(lambda: len(app.models) == 1)
        (process,) = children(models)
        os.kill(process, signal.SIGKILL)
        await until(lambda: len(app.models) == 2)
        assert await app.ask("/v2/health/ready") == 200
        assert children(models) != [process]


async def test_server_that_hangs_is_replaced(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("companion.server._TIMEOUT", aiohttp.ClientTimeout(total=0.3))
    monkeypatch.setattr("companion.server.STOP_SECONDS", 0.3)
    async with running(models) as app:
        await until(lambda: len(app.models) == 1)
        (process,) = children(models)
        os.kill(process, signal.SIGSTOP)
        await until(lambda: len(app.models) == 2)
        assert not Path(f"/proc/{process}").exists()


async def test_options_that_the_server_refuses_end_the_app(models: Path) -> None:
    (models.parent / "token").write_text("")
    async with running(models) as app:
        # Somebody breaks the token behind the app's back.
        app.layout.token.write_text("short")
        assert app.ended is not None
        async with asyncio.timeout(PATIENCE):
            assert await app.ended == 2


@pytest.mark.skipif(COMPILER is None, reason="needs a C compiler (Debian: gcc, libc6-dev)")
async def test_edge_tpu_is_used_lost_and_found(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the stand-in for libedgetpu: plugged in while the app runs, aborting, gone, back."""
    standin = StandIn(tmp_path)
    for key, value in standin.environment.items():
        monkeypatch.setenv(key, value)
    data = (models / "small.tflite").read_bytes()
    (models / "small_edgetpu.tflite").write_bytes(compiled(read_model(data)))
    async with running(models) as app:
        await until(lambda: len(app.models) == 1)
        assert app.models[-1] == ["small"]
        with twin(standin, data):
            app.devices.append(USB)
            await until(lambda: len(app.models) == 2)
            assert app.models[-1] == ["small", "small_edgetpu"]
            # Coral's library ends its process in the middle of a picture.
            standin.set("abort")
            with pytest.raises(aiohttp.ClientError):
                await app.infer("small_edgetpu")
            await until(lambda: len(app.models) == 3)
            assert app.models[-1] == ["small", "small_edgetpu"]
            assert await app.infer("small_edgetpu") == 200
            # Gone with the process: the processor serves until it is back.
            standin.attach(0)
            app.devices.clear()
            (process,) = children(models)
            os.kill(process, signal.SIGABRT)
            await until(lambda: len(app.models) == 4)
            assert app.models[-1] == ["small"]
            standin.attach()
            app.devices.append(USB)
            await until(lambda: len(app.models) == 5)
            assert app.models[-1] == ["small", "small_edgetpu"]
            # Gone and back without a word: what the server holds is of no use any more.
            app.devices.clear()
            looks = app.looks
            await until(lambda: app.looks >= looks + 4)
            assert len(app.models) == 5
            app.devices.append(USB)
            await until(lambda: len(app.models) == 6)


def test_app_starts_and_ends_as_in_a_container(image: Path, models: Path, tmp_path: Path) -> None:
    """The whole program, from the options to the signal that ends it, without a Supervisor."""
    options = tmp_path / "options.json"
    options.write_text(json.dumps({"device": "cpu", "log_level": "debug"}))
    port = free_port()
    program = (
        "import sys; from pathlib import Path; from companion.__main__ import main; from companion.server import Layout\n"
        f"sys.exit(main(Layout(options=Path({str(options)!r}), token=Path({str(tmp_path / 'token')!r}), "
        f"own_models=Path({str(models)!r}), host='127.0.0.1', port={port})))"
    )
    environment = {key: value for key, value in os.environ.items() if key not in {"PYTHONPATH", "SUPERVISOR_TOKEN"}}
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=image, env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                if "no Supervisor to tell" in line:
                    break
            assert health.main(port) == 0
        finally:
            process.terminate()
        log = process.stderr.read()
        assert process.wait(PATIENCE) == 0, log
    assert health.main(port) == 1


def test_app_ends_where_its_options_cannot_be_used(image: Path, tmp_path: Path) -> None:
    options = tmp_path / "options.json"
    options.write_text('{"device": "gpu"}')
    program = (
        "import sys; from pathlib import Path; from companion.__main__ import main; from companion.server import Layout\n"
        f"sys.exit(main(Layout(options=Path({str(options)!r}), token=Path({str(tmp_path / 'token')!r}))))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=image, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert result.returncode == 2
    assert "device is one of auto, usb, pci, cpu" in result.stderr
    assert not (tmp_path / "token").exists()
