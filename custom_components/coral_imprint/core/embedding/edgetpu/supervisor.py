"""The inference server as a child process: started, watched, restarted, never left behind.

The server speaks HTTP on a Unix socket in a folder that only this user may enter, and answers ``GET /v2/health/ready`` with 200
once it can embed (Open Inference Protocol v2).
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
import logging
import os
from pathlib import Path
import signal
import sys
from typing import Final, Literal, TypeAlias

from .private_folder import PrivateFolder
from .process_pipes import Leash, Lines
from .spawn import Process

_LOGGER = logging.getLogger(__name__)

State: TypeAlias = Literal["starting", "serving", "backing_off", "stopped"]
Trouble: TypeAlias = Literal["not_started", "not_ready", "died", "silent", "asked"]
"""Why a child ended: it can't be executed; it was not ready in time; it ended; it stopped answering; `Child.restart` was called."""

_LAUNCHER: Final = Path(__file__).with_name("launcher.py")
_READY: Final = b"GET /v2/health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
_KEPT: Final = frozenset({"PATH", "HOME", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV"})
_KEPT_PREFIXES: Final = ("LC_", "PYTHON")
_POLL_SECONDS: Final = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """What the child executes."""

    arguments: Sequence[str] = ()
    """Of the server; ``--unix`` and the socket's path follow. Paths are absolute: the child's folder is the root."""
    module: str = "server"
    """A module of this package."""
    launcher: Path = _LAUNCHER
    """What runs the module."""
    python: str = sys.executable
    """The interpreter, 3.11 or newer; one of another environment may have pycoral, and needs this package's own requirements."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Added to what the child inherits: paths, language and Python's own settings, no tokens."""

    def line(self, socket: Path) -> list[str]:
        """Return the program and its arguments."""
        return [self.python, "-P", str(self.launcher), self.module, *self.arguments, "--unix", str(socket)]

    def variables(self) -> dict[str, str]:
        """Return the child's whole environment."""
        kept = {name: value for name, value in os.environ.items() if name in _KEPT or name.startswith(_KEPT_PREFIXES)}
        return kept | dict(self.environment)


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience:
    """Times, in seconds."""

    start: float = 60.0
    """Until the child has to be ready: the first use of a USB device loads its firmware."""
    watch: float = 5.0
    """Between two health checks."""
    answer: float = 3.0
    """Until a health check counts as missed."""
    misses: int = 3
    """Missed checks in a row after which the child is restarted."""
    grace: float = 5.0
    """Between the request to end and the kill."""
    first_pause: float = 0.5
    """Before the first restart; doubled before each that follows."""
    longest_pause: float = 60.0
    stable: float = 60.0
    """A child that served for so long is trusted again: the pauses start over."""

    def pause(self, failures: int) -> float:
        """Return how long to wait after so many failures in a row, at least 1."""
        # The exponent is bounded: a device may be gone for weeks.
        return min(self.longest_pause, self.first_pause * 2.0 ** min(failures - 1, 32))


@dataclass(frozen=True, slots=True)
class Status:
    """How the child is."""

    state: State
    starts: int = 0
    """Times it was started."""
    pid: int | None = None
    trouble: Trouble | None = None
    """What ended it the last time."""
    reason: str = ""
    """The same in English, with what the system said."""


Listener: TypeAlias = Callable[[Status], None]


async def is_ready(socket: Path, seconds: float) -> bool:
    """Return whether a server on a Unix socket says within ``seconds`` that it is ready."""
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_unix_connection(socket)
            try:
                writer.write(_READY)
                line = await reader.readline()
            finally:
                writer.close()
    except (OSError, ValueError):
        # ValueError: an answer without an end of its first line.
        return False
    return line.split()[1:2] == [b"200"]


class Child:
    """Keeps one server running, from `start` to `stop`. Belongs to one event loop."""

    def __init__(self, command: Command, *, patience: Patience | None = None, listener: Listener | None = None) -> None:
        """Take what to execute."""
        self.lines: deque[str] = deque(maxlen=50)
        """The last lines that the child wrote to its standard error."""
        self._command = command
        self._patience = patience or Patience()
        self.listener = listener
        """Called with every change of the status."""
        self._status = Status("stopped")
        self._folder: PrivateFolder | None = None
        self._task: asyncio.Task[None] | None = None
        self._ended: asyncio.Future[tuple[Trouble, str]] | None = None

    @property
    def status(self) -> Status:
        """How the child is now."""
        return self._status

    @property
    def socket(self) -> Path:
        """Where the server listens; the same through all restarts. Raises RuntimeError while stopped."""
        if self._folder is None:
            raise RuntimeError("The child was not started")
        return self._folder.path / "socket"

    async def start(self) -> None:
        """Begin to keep the server running; `status` says how far it is. Raises OSError where there is no place for a socket."""
        if self._task is not None:
            raise RuntimeError("The child was started before")
        loop = asyncio.get_running_loop()
        self._folder = await loop.run_in_executor(None, PrivateFolder)
        self._task = loop.create_task(self._supervise(), name="coral_imprint server")

    async def stop(self) -> None:
        """End the server and remove its socket; nothing is left when this returns."""
        if self._task is None or self._folder is None:
            return
        task, folder, self._task = self._task, self._folder, None
        task.cancel()
        await asyncio.wait((task,))
        await asyncio.get_running_loop().run_in_executor(None, folder.remove)
        self._folder = None
        self._tell("stopped")
        if not task.cancelled() and (error := task.exception()):
            raise error

    def restart(self, reason: str) -> None:
        """End a server that serves, so that it is started again; for callers that know better than its health checks."""
        if self._status.state == "serving":
            self._end("asked", reason)

    def _end(self, trouble: Trouble, reason: str) -> None:
        if self._ended is not None and not self._ended.done():
            self._ended.set_result((trouble, reason))

    def _tell(self, state: State, pid: int | None = None, trouble: Trouble | None = None, reason: str = "") -> None:
        starts = self._status.starts + (state == "starting")
        if state == "starting":
            # Until it serves, what was wrong before still is.
            trouble, reason = self._status.trouble, self._status.reason
        self._status = Status(state, starts, pid, trouble, reason)
        if self.listener is not None:
            self.listener(self._status)

    async def _supervise(self) -> None:
        """Start the server again and again."""
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            trouble, reason, served_since = await self._live()
            stable = served_since is not None and loop.time() - served_since >= self._patience.stable
            failures = 1 if stable else failures + 1
            pause = self._patience.pause(failures)
            _LOGGER.info("The server %s; it is started again in %.1f s", reason, pause)
            self._tell("backing_off", None, trouble, reason)
            await asyncio.sleep(pause)

    async def _live(self) -> tuple[Trouble, str, float | None]:
        """Start the server and wait for its end; returns why it ended and when it began to serve."""
        self._tell("starting")
        try:
            return await self._run()
        except OSError as error:
            # No program, no memory, no more files…
            return "not_started", f"can't be started: {error}", None

    async def _run(self) -> tuple[Trouble, str, float | None]:
        loop = asyncio.get_running_loop()
        self._ended = loop.create_future()
        await loop.run_in_executor(None, self.socket.unlink, True)
        process = Process(self._command.line(self.socket), self._command.variables())
        with Leash() as leash:
            async with Lines(self.lines) as lines:
                try:
                    await process.start(leash.fd, lines.fd)
                    leash.handed_over()
                    lines.handed_over()
                    return await self._watch(process)
                finally:
                    await self._finish(process)

    async def _watch(self, process: Process) -> tuple[Trouble, str, float | None]:
        """Wait until the server has ended or has to."""
        waiting = asyncio.create_task(process.wait())
        waiting.add_done_callback(self._note_exit)
        try:
            if ended := await self._become_ready():
                return *ended, None
            since = asyncio.get_running_loop().time()
            self._tell("serving", process.pid)
            return *await self._stay_ready(), since
        finally:
            waiting.cancel()

    def _note_exit(self, waiting: asyncio.Task[int]) -> None:
        if not waiting.cancelled():
            self._end("died", _exit_words(waiting.result()))

    async def _become_ready(self) -> tuple[Trouble, str] | None:
        """Wait until the server is ready; returns what came between."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._patience.start
        while not await is_ready(self.socket, self._patience.answer):
            if ended := await self._has_ended(_POLL_SECONDS):
                return ended
            if loop.time() >= until:
                return "not_ready", f"was not ready after {self._patience.start:g} s"
        return None

    async def _stay_ready(self) -> tuple[Trouble, str]:
        misses = 0
        while misses < self._patience.misses:
            if ended := await self._has_ended(self._patience.watch):
                return ended
            misses = 0 if await is_ready(self.socket, self._patience.answer) else misses + 1
        return "silent", f"missed {misses} health checks in a row"

    async def _has_ended(self, seconds: float) -> tuple[Trouble, str] | None:
        """Wait for the end; returns None where it did not come within ``seconds``."""
        if self._ended is None:
            return None
        await asyncio.wait((self._ended,), timeout=seconds)
        return self._ended.result() if self._ended.done() else None

    async def _finish(self, process: Process) -> None:
        """End the process, by force where it does not end by itself."""
        if process.pid is None or process.returncode is not None:
            return
        process.send(signal.SIGTERM)
        if await _within(process, self._patience.grace):
            return
        process.send(signal.SIGKILL)
        if not await _within(process, self._patience.grace):
            _LOGGER.error("The server (process %s) can't be killed; its driver may hang", process.pid)


async def _within(process: Process, seconds: float) -> bool:
    """Return whether a process ends within ``seconds``."""
    try:
        await asyncio.wait_for(process.wait(), seconds)
    except TimeoutError:
        return False
    return True


def _exit_words(status: int) -> str:
    """Say how a process ended."""
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"
