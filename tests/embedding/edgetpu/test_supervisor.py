"""The supervisor, with a small server that is told how to fail."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
import os
from pathlib import Path
import signal
import socket
import stat
import sys

import pytest

from embedding.edgetpu.private_folder import PrivateFolder, remove_abandoned
from embedding.edgetpu.supervisor import Child, Command, Patience, Status, is_ready

SERVER = Path(__file__).parents[2] / "standin" / "small_server.py"
QUICK = Patience(start=10, watch=0.05, answer=0.3, misses=2, grace=0.5, first_pause=0.01, longest_pause=0.04, stable=60)


class Log:
    """Statuses as they came."""

    def __init__(self) -> None:
        """Begin with none."""
        self.all: list[Status] = []
        self._changed = asyncio.Event()

    def __call__(self, status: Status) -> None:
        """Take the next one."""
        self.all.append(status)
        self._changed.set()

    async def until(self, wanted: Callable[[Status], bool]) -> Status:
        """Wait for a status that was not waited for before."""
        seen = 0
        async with asyncio.timeout(20):
            while True:
                while seen < len(self.all):
                    seen += 1
                    if wanted(self.all[seen - 1]):
                        status = self.all[seen - 1]
                        del self.all[:seen]
                        return status
                self._changed.clear()
                await self._changed.wait()

    async def state(self, state: str) -> Status:
        """Wait for a state."""
        return await self.until(lambda status: status.state == state)


@asynccontextmanager
async def running(*words: str, patience: Patience = QUICK, **more: str) -> AsyncIterator[tuple[Child, Log]]:
    log = Log()
    command = Command(arguments=words, launcher=SERVER, environment=more)
    child = Child(command, patience=patience, listener=log)
    await child.start()
    try:
        yield child, log
    finally:
        await child.stop()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_serves_and_stops() -> None:
    """A child gets ready, is told to be, and leaves nothing."""
    async with running("late=0.2") as (child, log):
        assert child.status.state == "stopped"
        assert (await log.state("starting")).starts == 1
        serving = await log.state("serving")
        assert serving.pid is not None and alive(serving.pid)
        assert await is_ready(child.socket, 1)
        assert stat.S_IMODE(child.socket.parent.stat().st_mode) == 0o700
        folder = child.socket.parent
    assert not alive(serving.pid)
    assert not folder.exists()
    assert child.status.state == "stopped"
    with pytest.raises(RuntimeError, match="not started"):
        _ = child.socket


async def test_is_started_once() -> None:
    """Two supervisors would fight for one device."""
    async with running() as (child, _):
        with pytest.raises(RuntimeError, match="before"):
            await child.start()


async def test_comes_back_after_an_abort() -> None:
    """An abort is noticed at once, told with its signal, and the server comes back on the same socket."""
    async with running("die=0.2") as (child, log):
        path = child.socket
        first = await log.state("serving")
        fallen = await log.state("backing_off")
        assert (fallen.trouble, fallen.pid) == ("died", None)
        assert "SIGABRT" in fallen.reason
        starting = await log.state("starting")
        assert (starting.starts, starting.trouble) == (2, "died")
        second = await log.state("serving")
        assert second.pid != first.pid
        assert child.socket == path


async def test_kill_from_outside() -> None:
    """The memory killer's way."""
    async with running() as (_, log):
        serving = await log.state("serving")
        assert serving.pid is not None
        os.kill(serving.pid, signal.SIGKILL)
        assert "SIGKILL" in (await log.state("backing_off")).reason
        await log.state("serving")


async def test_exit_status_is_told() -> None:
    """A server that refuses to start says why in its last lines."""
    async with running("exit=3") as (child, log):
        assert (await log.state("backing_off")).reason == "ended with status 3"
        assert child.lines[-1].startswith("environment:")


async def test_pauses_grow_and_end() -> None:
    """Exponential from the first to the longest; a stable life starts them over."""
    patience = Patience(first_pause=0.5, longest_pause=60)
    assert [patience.pause(failures) for failures in range(1, 10)] == [0.5, 1, 2, 4, 8, 16, 32, 60, 60]
    assert patience.pause(100_000) == 60


@pytest.mark.parametrize(("stable", "growing"), [(60.0, True), (0.1, False)])
async def test_stable_life_starts_pauses_over(stable: float, growing: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What served long enough is restarted as quickly as the first time."""
    asked: list[int] = []

    def pause(_: Patience, failures: int) -> float:
        asked.append(failures)
        return 0.01

    monkeypatch.setattr(Patience, "pause", pause)
    patience = Patience(start=10, watch=5, grace=0.5, stable=stable)
    async with running("die=0.6", patience=patience) as (_, log):
        for _number in range(3):
            await log.state("backing_off")
    assert asked == ([1, 2, 3] if growing else [1, 1, 1])


async def test_not_ready_in_time() -> None:
    """A server that never gets ready is ended and started again."""
    patience = Patience(start=0.4, watch=5, answer=0.2, grace=0.5, first_pause=0.01)
    async with running("late=60", patience=patience) as (_, log):
        assert (await log.state("backing_off")).trouble == "not_ready"
        assert (await log.state("starting")).starts == 2


async def test_silent_server_is_restarted() -> None:
    """A process that lives, but answers no health check."""
    async with running("silent=0.6") as (_, log):
        serving = await log.state("serving")
        fallen = await log.state("backing_off")
        assert fallen.trouble == "silent"
        assert serving.pid is not None and not alive(serving.pid)
        await log.state("serving")


async def test_deaf_server_is_killed() -> None:
    """SIGTERM is a request, SIGKILL is not."""
    async with running("deaf") as (_, log):
        serving = await log.state("serving")
    assert serving.pid is not None and not alive(serving.pid)


async def test_restart_by_request() -> None:
    """Whoever sees that the device hangs can have the server restarted."""
    async with running() as (child, log):
        await log.state("serving")
        child.restart("the device hangs")
        fallen = await log.state("backing_off")
        assert (fallen.trouble, fallen.reason) == ("asked", "the device hangs")
        child.restart("nothing is running now, so that this has no effect")
        await log.state("serving")


async def test_no_such_program() -> None:
    """An interpreter that is not there is told, not raised, and tried again."""
    log = Log()
    child = Child(Command(python="/nonexistent/python"), patience=QUICK, listener=log)
    await child.start()
    fallen = await log.state("backing_off")
    assert fallen.trouble == "not_started"
    assert "/nonexistent/python" in fallen.reason
    await log.state("starting")
    await child.stop()


async def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The child gets what it needs, not the parent's tokens."""
    monkeypatch.setenv("SUPERVISOR_TOKEN", "secret")
    monkeypatch.setenv("LC_TIME", "C")
    async with running(STANDIN_EDGETPU="/x") as (child, log):
        await log.state("serving")
        async with asyncio.timeout(10):
            while not child.lines:
                await asyncio.sleep(0.01)
        names = next(line for line in child.lines if line.startswith("environment:")).split()[1:]
    assert {"PATH", "LC_TIME", "STANDIN_EDGETPU"} <= set(names)
    assert "SUPERVISOR_TOKEN" not in names


async def test_noise_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    """Ten thousand lines are read, so that the child does not block, but neither kept nor logged."""
    caplog.set_level("DEBUG", "embedding.edgetpu.process_pipes")
    async with running("noise=10000") as (child, log):
        await log.state("serving")
        async with asyncio.timeout(10):
            while not child.lines[-1].startswith("environment:"):
                await asyncio.sleep(0.01)
        assert len(child.lines) == 50
        assert child.lines[-2].startswith("line 9999")
    assert sum(record.name == "embedding.edgetpu.process_pipes" for record in caplog.records) <= 101


async def test_nothing_leaks() -> None:
    """Neither descriptors nor tasks nor processes, whatever the child did."""
    async with running("die=0.05") as (_, log):
        await log.state("backing_off")
    before = descriptors()
    pids = []
    async with running("die=0.05") as (child, log):
        for _number in range(5):
            pids.append((await log.state("serving")).pid)
            await log.state("backing_off")
        assert child.status.starts >= 5
    await asyncio.sleep(0.05)
    assert descriptors() == before
    assert not any(alive(pid) for pid in pids if pid)
    assert {task for task in asyncio.all_tasks() if task is not asyncio.current_task()} == set()


async def test_stop_at_any_moment() -> None:
    """Stopping while it starts, serves or backs off ends it all the same."""
    for delay in (0, 0.001, 0.01, 0.03, 0.06, 0.1, 0.3):
        before = descriptors()
        async with running("die=0.1") as (child, _):
            await asyncio.sleep(delay)
            folder = child.socket.parent
        await asyncio.sleep(0.02)
        assert not folder.exists()
        assert descriptors() == before


def test_abandoned_folders_are_removed(tmp_path: Path) -> None:
    """What a killed process left goes; what a living one holds, and what is not ours, stays."""
    held = PrivateFolder(tmp_path)
    (held.path / "socket").touch()
    abandoned = tmp_path / "coral_imprint-abandoned"
    abandoned.mkdir()
    (abandoned / "socket").touch()
    (tmp_path / "coral_imprint-file").touch()
    (tmp_path / "other").mkdir()
    target = tmp_path / "target"
    target.mkdir()
    (tmp_path / "coral_imprint-link").symlink_to(target)
    remove_abandoned(tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {held.path.name, "coral_imprint-file", "other", "target", "coral_imprint-link"}
    held.remove()
    assert not held.path.exists()


def test_socket_paths_are_short_enough(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where the temporary folder's name is too long for a socket, another is taken."""
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / ("x" * 100)))
    folder = PrivateFolder()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder.path / "socket"))
    folder.remove()


async def test_health_of_others(tmp_path: Path) -> None:
    """No socket, no HTTP and no end of a line are not ready."""
    assert not await is_ready(tmp_path / "none", 1)
    answers = [b"", b"nonsense\n", b"HTTP/1.1 500 Oops\r\n", b"x" * 200_000, b"HTTP/1.1 200 OK\r\n"]

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answers.pop(0))
        writer.close()

    async with await asyncio.start_unix_server(answer, tmp_path / "socket"):
        assert [await is_ready(tmp_path / "socket", 1) for _ in range(5)] == [False, False, False, False, True]


PACKAGE = """
import ctypes, pathlib, sys
pathlib.Path(sys.argv[1]).write_text(str(__import__("os").getpid()))
ctypes.PyDLL(None).sleep(60)
"""
PARENT = """
import asyncio, sys
from embedding.edgetpu.supervisor import Child, Command
async def main():
    child = Child(Command(module="stalled", launcher=__import__("pathlib").Path(sys.argv[1]), arguments=[sys.argv[2]]))
    await child.start()
    await asyncio.sleep(60)
asyncio.run(main())
"""


async def test_no_orphan_after_kill(tmp_path: Path) -> None:
    """Killing the parent ends the child, even one that hangs in native code with Python's lock held."""
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "stalled.py").write_text(PACKAGE)
    launcher = package / "room" / "launcher.py"
    launcher.parent.mkdir()
    launcher.write_text(
        Path(sys.modules["embedding.edgetpu.supervisor"].__file__ or "").with_name("launcher.py").read_text()
    )
    core = str(Path(__file__).parents[3] / "custom_components" / "coral_imprint" / "core")
    note = tmp_path / "pid"
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, str(launcher), str(note), env=os.environ | {"PYTHONPATH": core}
    )
    async with asyncio.timeout(20):
        while not (note.exists() and note.read_text()):
            await asyncio.sleep(0.02)
        pid = int(note.read_text())
        assert alive(pid)
        parent.kill()
        await parent.wait()
        while alive(pid):
            await asyncio.sleep(0.02)
