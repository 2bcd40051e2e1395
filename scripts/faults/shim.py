"""The disk and the clock of another process, which can be made to misbehave: see ``shim.c``."""

from enum import IntEnum
import mmap
from pathlib import Path
import shutil
import struct
import subprocess

SOURCE = Path(__file__).with_name("shim.c")
_LAYOUT = struct.Struct("@4q")
_FIELD = struct.Struct("@q")
_DISK, _ROOM, _CLOCK, _REFUSED = range(0, _LAYOUT.size, _FIELD.size)


class Disk(IntEnum):
    """How the disk behaves."""

    SOUND = 0
    FULL = 1
    READ_ONLY = 2
    FAILING = 3
    """fsync fails."""


class ShimError(RuntimeError):
    """The shim could not be compiled."""


class Shim:
    """Controls one process that is started with ``environment``. Several may follow each other: faults stay."""

    def __init__(self, folder: Path, root: Path) -> None:
        """Compile into a folder; the faults are those of what lies below ``root``. Raises ShimError."""
        library, self._file = folder / "shim.so", folder / "control"
        folder.mkdir(parents=True, exist_ok=True)
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            raise ShimError("no C compiler")
        command = [compiler, "-shared", "-fPIC", "-O2", "-Wall", "-o", str(library), str(SOURCE), "-ldl"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ShimError(done.stderr[-2000:])
        self._file.write_bytes(bytes(_LAYOUT.size))
        with self._file.open("r+b") as file:
            self._control = mmap.mmap(file.fileno(), _LAYOUT.size)
        self.environment = {
            "LD_PRELOAD": str(library),
            "CORAL_FAULTS": str(self._file),
            "CORAL_FAULTS_ROOT": str(root.resolve()),
        }

    def _set(self, at: int, value: int) -> None:
        self._control[at : at + _FIELD.size] = _FIELD.pack(value)

    def _get(self, at: int) -> int:
        value: int = _FIELD.unpack_from(self._control, at)[0]
        return value

    def disk(self, state: Disk, room: int = 0) -> None:
        """Let the disk behave so; ``room`` (bytes) is what a full one still takes."""
        self._set(_ROOM, room)
        self._set(_DISK, state)

    def clock(self, seconds: float) -> None:
        """Let the time of day be so many seconds ahead of the real one."""
        self._set(_CLOCK, round(1e9 * seconds))

    @property
    def refused(self) -> int:
        """Operations that were refused so far."""
        return self._get(_REFUSED)
