"""Processes that are started by the C library, while the interpreter goes on."""

import asyncio
from collections.abc import Iterator
import os
from pathlib import Path
import signal
import sys
import threading

import pytest

from embedding.edgetpu import spawn as module
from embedding.edgetpu.spawn import Process

ENVIRONMENT = {"NAME": "wörth"}


@pytest.fixture
def pipes() -> Iterator[tuple[int, int, int]]:
    """Return a child's standard input and error, and where the latter is read."""
    read, write = os.pipe()
    null = os.open(os.devnull, os.O_RDONLY)
    yield null, write, read
    for descriptor in (null, write, read):
        os.close(descriptor)


def python(code: str) -> Process:
    return Process([sys.executable, "-c", code], ENVIRONMENT)


async def test_runs_in_a_session_of_its_own(pipes: tuple[int, int, int]) -> None:
    """It gets its environment, its own session and nothing but what it was given; its end is told."""
    code = "import os, sys; print('lost'); print(os.environ['NAME'], os.getsid(0) == os.getpid(), file=sys.stderr); sys.exit(7)"
    process = python(code)
    await process.start(*pipes[:2])
    assert process.pid is not None
    assert await process.wait() == process.returncode == 7
    assert os.read(pipes[2], 100).decode() == "wörth True\n"
    # There is no such process any more, nor anything to wait for.
    assert not Path(f"/proc/{process.pid}").exists()
    process.send(signal.SIGKILL)


async def test_a_signal_ends_it(pipes: tuple[int, int, int]) -> None:
    process = python("import time; time.sleep(60)")
    await process.start(*pipes[:2])
    assert process.returncode is None
    process.send(signal.SIGTERM)
    assert await process.wait() == -signal.SIGTERM


async def test_what_can_not_be_started(pipes: tuple[int, int, int], tmp_path: Path) -> None:
    """The system's own reason is told, and nothing is left."""
    (tmp_path / "text").write_text("no program")
    for line, error in (
        (["/nowhere/at/all"], FileNotFoundError),
        ([str(tmp_path / "text")], PermissionError),
        (["/bin/sh", "a\0b"], OSError),
    ):
        process = Process(line, ENVIRONMENT)
        with pytest.raises(error):
            await process.start(*pipes[:2])
        assert process.pid is None


async def test_no_thread_to_wait_in(pipes: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that nobody would wait for is not left."""
    real, started = module._spawn, []

    def spawn(*arguments: object) -> int:
        started.append(real(*arguments))  # type: ignore[arg-type]
        return started[-1]

    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(module, "_spawn", spawn)
    process = python("import time; time.sleep(60)")
    with monkeypatch.context() as during:
        during.setattr(threading.Thread, "start", refuse)
        with pytest.raises(OSError, match="new thread"):
            process._start(*pipes[:2])
    assert process.pid is None
    assert started and not Path(f"/proc/{started[0]}").exists()


async def test_the_caller_may_go(pipes: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Cancelled while it is started, whoever asked finds it started, and can end it."""
    process = python("import time; time.sleep(60)")
    starting = asyncio.create_task(process.start(*pipes[:2]))
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert process.pid is not None
    process.send(signal.SIGKILL)
    assert await process.wait() == -signal.SIGKILL
