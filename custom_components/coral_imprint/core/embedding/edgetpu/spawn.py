"""A process that is started and waited for without holding the interpreter, so that no event loop stands still meanwhile.

Whoever starts a process waits until it executes its program: on a busy machine, for its turn on a processor. `subprocess` and
`os.posix_spawn` hold the interpreter's lock until then, in whichever thread they are called; the C library's own ``posix_spawn``,
called by ctypes, does not.
"""

import asyncio
from collections.abc import Mapping, Sequence
import contextlib
import ctypes
import errno
import os
import signal
import threading
from typing import Any, Final

_SETSID: Final = 0x80
"""``POSIX_SPAWN_SETSID``, in glibc as in musl."""
_ROOM: Final = 1024
"""Bytes for the C library's own records, of which the greatest has 336."""


class Process:
    """A child process in a session of its own: a terminal's interrupt is for the parent alone. Belongs to one event loop."""

    def __init__(self, line: Sequence[str], environment: Mapping[str, str]) -> None:
        """Take the program (a path), its arguments and its whole environment."""
        self._line = line
        self._environment = environment
        self._lock = threading.Lock()
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[int] = self._loop.create_future()
        self.pid: int | None = None
        """None until it was started."""
        self.returncode: int | None = None
        """None while it runs; a signal's number, negated, where one ended it."""

    async def start(self, stdin: int, stderr: int) -> None:
        """Start it with two descriptors of the caller's; what it prints is dropped. Raises OSError.

        Where the caller is cancelled meanwhile, it is started nevertheless: `pid` tells.
        """
        starting = self._loop.run_in_executor(None, self._start, stdin, stderr)
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            await asyncio.wait((starting,))
            starting.exception()
            raise

    def _start(self, stdin: int, stderr: int) -> None:
        pid = _spawn(self._line, self._environment, stdin, stderr)
        try:
            threading.Thread(target=self._reap, args=(pid,), name="coral_imprint server", daemon=True).start()
        except RuntimeError as error:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise OSError(errno.EAGAIN, str(error)) from error
        self.pid = pid

    def _reap(self, pid: int) -> None:
        """Wait for the end, in a thread. Until it is noted, nobody else gets the process's number."""
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        with self._lock:
            _, status = os.waitpid(pid, 0)
            self.returncode = os.waitstatus_to_exitcode(status)
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            self._loop.call_soon_threadsafe(self._ended.set_result, self.returncode)

    async def wait(self) -> int:
        """Return the exit status, as in ``returncode``."""
        return await asyncio.shield(self._ended)

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if it still runs."""
        with self._lock:
            if self.pid is not None and self.returncode is None:
                os.kill(self.pid, number)


def _spawn(line: Sequence[str], environment: Mapping[str, str], stdin: int, stderr: int) -> int:
    """Start a process; returns its number. Raises OSError. Blocking, but other threads go on."""
    libc = ctypes.CDLL(None)
    pid = ctypes.c_int()
    actions, attributes = ctypes.create_string_buffer(_ROOM), ctypes.create_string_buffer(_ROOM)
    _check(libc.posix_spawn_file_actions_init(actions))
    _check(libc.posix_spawnattr_init(attributes))
    try:
        _check(libc.posix_spawnattr_setflags(attributes, ctypes.c_short(_SETSID)))
        _check(libc.posix_spawn_file_actions_adddup2(actions, stdin, 0))
        _check(libc.posix_spawn_file_actions_addopen(actions, 1, os.devnull.encode(), os.O_WRONLY, 0))
        _check(libc.posix_spawn_file_actions_adddup2(actions, stderr, 2))
        program = os.fsencode(line[0])
        arguments = _texts([os.fsencode(word) for word in line])
        variables = _texts([os.fsencode(f"{name}={value}") for name, value in environment.items()])
        _check(libc.posix_spawn(ctypes.byref(pid), program, actions, attributes, arguments, variables), line[0])
    finally:
        libc.posix_spawn_file_actions_destroy(actions)
        libc.posix_spawnattr_destroy(attributes)
    return pid.value


def _texts(texts: Sequence[bytes]) -> Any:
    """Return texts as C takes them: an array with a null pointer at its end."""
    if any(b"\0" in text for text in texts):
        raise OSError("a null byte in the command")
    return (ctypes.c_char_p * (len(texts) + 1))(*texts, None)


def _check(error: int, program: str | None = None) -> None:
    if error:
        raise OSError(error, os.strerror(error), program)
