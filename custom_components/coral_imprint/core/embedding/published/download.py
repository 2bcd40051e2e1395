"""The disk's side of a download: a file grows under another name until it is whole and verified. Knows no network.

One writer at a time: whoever downloads sees to it that no two of them work on the same file in the same folder.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
import os
from pathlib import Path
from typing import Final

from ..errors import DownloadNotStored, ModelError, WrongContent
from .catalogue import LARGEST_MODEL, PublishedFile

SUFFIX: Final = ".part"


class Partial:
    """What is there of a file so far, as ``<name>.part`` beside where the file will be.

    It survives a restart, and a later download goes on from `size`. The file's own name appears only in `finish`, whole and
    verified. All methods block. Those that write raise DownloadNotStored, with the system's reason, when the disk refuses.
    """

    def __init__(self, file: PublishedFile, folder: Path) -> None:
        """Take up what an earlier download left in a folder, which is made if it is missing."""
        self._file = file
        self._target = folder / file.name
        self._path = folder / (file.name + SUFFIX)
        self._size = 0
        with self._refusal_named():
            folder.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):
                self._size = self._path.lstat().st_size
            if self._size > self._limit:
                self._remove()

    @property
    def size(self) -> int:
        """Bytes that are there, from the file's beginning: where to go on."""
        return self._size

    @property
    def _limit(self) -> int:
        return LARGEST_MODEL if self._file.size is None else self._file.size

    def append(self, data: bytes) -> None:
        """Add bytes at the end. Raises WrongContent, and forgets them all, where the file would get larger than it is."""
        if self._size + len(data) > self._limit:
            self.restart()
            raise self._wrong(f"it has more than {self._limit} bytes")
        with self._refusal_named():
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o644)
            try:
                left = memoryview(data)
                while left:
                    written = os.pwrite(descriptor, left, self._size)
                    left = left[written:]
                    # Counted at once: what was written before the disk got full needn't be fetched again.
                    self._size += written
            finally:
                os.close(descriptor)

    def restart(self) -> None:
        """Forget what is there."""
        with self._refusal_named():
            self._remove()

    def finish(self) -> Path:
        """Verify what is there and give it the file's name; return its path. On disk when it returns.

        Raises WrongContent, and forgets it all, where it is not the published file.
        """
        with self._refusal_named():
            if not self._size:
                raise self._wrong("nothing was received")
            try:
                _sync(self._path)
            except OSError:
                # What the disk failed to take is still shown by its cache: better to fetch it again than to believe that.
                with suppress(OSError):
                    self._remove()
                raise
            try:
                self._file.verify(self._path)
            except WrongContent:
                self._remove()
                raise
            except ModelError as err:
                raise DownloadNotStored(str(err), file=self._file.name) from err
            self._path.replace(self._target)
            self._size = 0
            _sync(self._target.parent)
        return self._target

    def _wrong(self, why: str) -> WrongContent:
        return WrongContent(f"{self._file.name} is not the published file: {why}", file=self._file.name)

    def _remove(self) -> None:
        self._path.unlink(missing_ok=True)
        self._size = 0

    @contextmanager
    def _refusal_named(self) -> Iterator[None]:
        try:
            yield
        except OSError as err:
            # The error's own text holds the whole path.
            raise DownloadNotStored(
                f"{self._file.name}: {err.strerror or type(err).__name__}", file=self._file.name
            ) from err


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
