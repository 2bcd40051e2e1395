"""A folder for a child's socket: this user's alone, and removed even if nobody is left to do it."""

import contextlib
import fcntl
import os
from pathlib import Path
import shutil
import stat
import tempfile
from typing import Final

_PREFIX: Final = "coral_imprint-"
_LONGEST_SOCKET: Final = 107
"""Bytes of a Unix socket's path on Linux (``sun_path``), without the final 0."""
_ROOM: Final = 40
"""Bytes left for the folder's and the socket's names."""


class PrivateFolder:
    """A new folder in the system's temporary one, mode 0700. Blocking.

    Its lock tells it from folders whose process was killed; those are removed when the next one is made.
    """

    def __init__(self, parent: Path | None = None) -> None:
        """Make it. Raises OSError."""
        parent_folder = parent or _temporary()
        remove_abandoned(parent_folder)
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent_folder))
        self._lock = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def remove(self) -> None:
        """Remove it with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def _temporary() -> Path:
    """Return the system's temporary folder, or /tmp where a socket's path would get too long."""
    folder = Path(tempfile.gettempdir())
    return folder if len(os.fsencode(folder)) <= _LONGEST_SOCKET - _ROOM else Path("/tmp")  # noqa: S108 - mkdtemp is safe


def remove_abandoned(parent: Path) -> None:
    """Remove folders of this user whose process has ended."""
    for folder in parent.glob(f"{_PREFIX}*"):
        # Another process may remove it at the same time.
        with contextlib.suppress(OSError):
            _remove_if_abandoned(folder)


def _remove_if_abandoned(folder: Path) -> None:
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        return
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)
