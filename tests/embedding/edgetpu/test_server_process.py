"""The real server as a child, with the stand-in for libedgetpu: found, lost, hanging, aborting, orphaned."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from importlib.util import find_spec
import os
from pathlib import Path
import sys

import pytest

from embedding.edgetpu.client import ChildClient
from embedding.edgetpu.fallback import InThread
from embedding.edgetpu.supervisor import Child, Command, Patience
from embedding.edgetpu.twins import compare
from embedding.errors import ServerUnreachable
from embedding.network.model import read_model
from embedding.pictures import test_pictures
from embedding.runtimes.litert import LiteRTRuntime
from tests.embedding.graphs import restart_random, separable
from tests.standin.edgetpu import COMPILER, StandIn, compiled, twin

from .test_supervisor import Log, alive

pytestmark = [
    pytest.mark.skipif(COMPILER is None, reason="needs a C compiler (Debian: gcc, libc6-dev)"),
    pytest.mark.skipif(find_spec("aiohttp") is None, reason="the server needs aiohttp"),
]

MODEL = "small_edgetpu"
CORE = Path(__file__).parents[3] / "custom_components" / "coral_imprint" / "core"
QUICK = Patience(start=20, watch=0.2, answer=1, misses=3, grace=0.5, first_pause=0.02, longest_pause=0.05)


@pytest.fixture
def standin(tmp_path: Path) -> StandIn:
    return StandIn(tmp_path)


@pytest.fixture
def data() -> bytes:
    restart_random()
    return separable("uint8", 32, 32)


@pytest.fixture
def command(standin: StandIn, data: bytes, tmp_path: Path) -> Command:
    models = tmp_path / "models"
    models.mkdir()
    (models / f"{MODEL}.tflite").write_bytes(compiled(read_model(data)))
    arguments = ("--models", str(models), "--device", "usb:0", "--log-level", "warning")
    return Command(arguments=arguments, environment=standin.environment)


@asynccontextmanager
async def running(command: Command, patience: Patience = QUICK) -> AsyncIterator[tuple[Child, Log]]:
    log = Log()
    child = Child(command, patience=patience, listener=log)
    await child.start()
    try:
        yield child, log
    finally:
        await child.stop()


@asynccontextmanager
async def client_of(child: Child) -> AsyncIterator[ChildClient]:
    with ThreadPoolExecutor(1) as worker:
        client = ChildClient(child.socket, MODEL, worker)
        try:
            yield client
        finally:
            await client.aclose()


@pytest.mark.parametrize("same", [True, False])
async def test_likeness(command: Command, standin: StandIn, data: bytes, same: bool) -> None:
    """A device that computes what its twin does may share its fingerprint; one that computes something else may not."""
    model = read_model(data)
    runtime = LiteRTRuntime(model)
    async with running(command) as (child, log), client_of(child) as client:
        await log.state("serving")
        with ThreadPoolExecutor(1) as worker:
            cpu = InThread(runtime, worker)
            if same:
                with twin(standin, data):
                    likeness = await compare(client, cpu, model.input_size)
            else:
                likeness = await compare(client, cpu, model.input_size)
    assert likeness.may_share is same
    if same:
        assert likeness.least > 1 - 1e-6


async def test_device_that_comes_later(command: Command, standin: StandIn) -> None:
    """Without its device the server ends; once it is plugged in, the next start succeeds."""
    standin.set("refuse")
    async with running(command) as (child, log):
        fallen = await log.state("backing_off")
        assert (fallen.trouble, fallen.reason) == ("died", "ended with status 1")
        assert "can't be opened" in "".join(child.lines)
        standin.clear("refuse")
        await log.state("serving")


async def test_library_that_does_not_load(command: Command, standin: StandIn) -> None:
    """No libedgetpu: the server's last lines say so."""
    standin.library.unlink()
    async with running(command) as (child, log):
        assert (await log.state("backing_off")).trouble == "died"
        assert "libedgetpu" in "".join(child.lines)


async def test_abort_is_an_error_of_the_client(command: Command, standin: StandIn, data: bytes) -> None:
    """The picture under way is told at once; the same client works with the next process."""
    model = read_model(data)
    pixels = test_pictures.pictures(model.input_size)[0]
    async with running(command) as (child, log), client_of(child) as client:
        await log.state("serving")
        before = await client.embed(pixels)
        standin.set("abort")
        with pytest.raises(ServerUnreachable):
            await client.embed(pixels)
        assert "SIGABRT" in (await log.state("backing_off")).reason
        await log.state("serving")
        assert (await client.embed(pixels) == before).all()


async def test_opening_that_hangs(command: Command, standin: StandIn) -> None:
    """A libedgetpu may hang with Python's lock held: no signal handler of Python's runs then, and the process is killed."""
    standin.set("stall")
    patience = Patience(start=3, answer=0.2, grace=0.3, first_pause=0.02)
    async with running(command, patience) as (_, log):
        assert (await log.state("backing_off")).trouble == "not_ready"
        standin.clear("stall")
        await log.state("serving")


PARENT = """
import asyncio, os, sys
from embedding.edgetpu.supervisor import Child, Command
async def main():
    needed = {name: os.environ[name] for name in ("STANDIN_EDGETPU", "LD_LIBRARY_PATH")}
    command = Command(arguments=sys.argv[1:], environment=needed)
    child = Child(command, listener=lambda status: print(status.state, flush=True))
    await child.start()
    await asyncio.sleep(60)
asyncio.run(main())
"""


def server_of(parent: int) -> int:
    """Return the one process that a process started."""
    found = [
        int(pid) for task in Path(f"/proc/{parent}/task").iterdir() for pid in (task / "children").read_text().split()
    ]
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize("fault", ["", "stall"])
async def test_no_orphan_after_kill(command: Command, standin: StandIn, fault: str) -> None:
    """Killing the parent ends the server at once, whether it serves or hangs while it opens the device."""
    if fault:
        standin.set(fault)
    environment = os.environ | standin.environment | {"PYTHONPATH": str(CORE)}
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, *command.arguments, env=environment, stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    async with asyncio.timeout(30):
        assert (await parent.stdout.readline()).startswith(b"starting")
        if fault:
            await asyncio.sleep(3)
        else:
            assert (await parent.stdout.readline()).startswith(b"serving")
        server = server_of(parent.pid)
        assert alive(server)
        parent.kill()
        await parent.wait()
        while alive(server):
            await asyncio.sleep(0.02)


async def test_chaos(data: bytes) -> None:
    """Aborts, a hang and a device that vanishes, while eight tasks embed: the short form of ``bench/chaos.py``."""
    from bench import chaos

    found = await chaos.run(data, aborts=4, tasks=8, every=2, pause=0.02)
    assert chaos.verdict(found, most_seconds=2.0, most_mib=16.0) == []
    assert found["troubles"]["died"] == 4
    assert found["troubles"]["asked"] + found["troubles"].get("silent", 0) >= 1
