"""Reading a zip of pictures that anyone may have made: nothing in it is trusted, nothing is unpacked to disk.

A picture is read into memory, one at a time, and counted while it is read. What is wrong with one file leaves that file
out; only what is wrong with the whole makes the whole unusable.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from datetime import datetime
import io
from pathlib import Path
import struct
from types import TracebackType
from typing import BinaryIO, Final
import zipfile
import zlib

from ...errors import UnusableArchive
from .. import names
from .layouts import Placed, Placing, Skipped, path_of
from .limits import ArchiveLimits
from .manifest import NAME, PackedClass, read_manifest

_PART: Final = 1 << 18

# What the standard library raises on zips that are broken in one of the many possible ways.
_BROKEN: Final = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    LookupError,
    NotImplementedError,
    OverflowError,
    OSError,
    RuntimeError,
    ValueError,
)


@dataclass(frozen=True, slots=True)
class Picture:
    """A file of an archive that may be a picture, and where it belongs (see ``layouts.Placed``)."""

    name: str
    label: str | None
    background: bool
    class_id: str | None
    taken: datetime | None
    content: bytes


class Archive(AbstractContextManager["Archive"]):
    """A zip, open to be read. For one thread."""

    def __init__(
        self, path: Path, *, label: str | None = None, now: datetime, limits: ArchiveLimits | None = None
    ) -> None:
        """Open a zip and read its table of contents; links are followed.

        ``label`` is the class of all its pictures, wherever they lie; ``now`` the present, with its zone. Raises
        UnusableArchive, InvalidLabel, OSError.
        """
        label = None if label is None else names.check_label(label)
        self._limits = limits or ArchiveLimits()
        self._total = 0
        self.skipped: list[Skipped] = []
        """What is left out, as far as names and the table of contents tell it."""
        if not path.is_file():
            raise UnusableArchive("there is no such file")
        self._size = path.stat().st_size
        with ExitStack() as opened:
            self._zip = self._opened(opened.enter_context(path.open("rb")))
            entries = [(entry, path_of(entry)) for entry in self._zip.infolist()]
            if len(entries) > self._limits.entries:
                raise UnusableArchive(f"it holds {len(entries)} files, at most {self._limits.entries} are taken")
            manifest = self._manifest(entries)
            self.classes: tuple[PackedClass, ...] = () if label is not None else tuple(manifest or ())
            """The classes that the manifest tells of."""
            placing = Placing([own for _, own in entries], manifest, label, now)
            places = [placing.place(entry, own) for entry, own in entries if own != NAME]
            self._placed = [place for place in places if isinstance(place, Placed)]
            self.skipped += [place for place in places if isinstance(place, Skipped)]
            self._check()
            self._files = opened.pop_all()

    def __len__(self) -> int:
        """Return how many files may be pictures."""
        return len(self._placed)

    def pictures(self) -> Iterator[Picture | Skipped]:
        """Read the files that may be pictures, one by one. Raises UnusableArchive once all together are too much."""
        for placed in self._placed:
            content = self._read(placed.entry, self._limits.picture)
            if isinstance(content, str):
                yield Skipped(placed.name, content)
            else:
                yield Picture(placed.name, placed.label, placed.background, placed.class_id, placed.taken, content)

    def close(self) -> None:
        """Let go of the file."""
        self._zip.close()
        self._files.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of the file."""
        self.close()

    def _opened(self, file: BinaryIO) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(_Bounded(file, self._limits.directory))
        except _TooMuch as err:
            raise UnusableArchive("its table of contents is too large") from err
        except _BROKEN as err:
            raise UnusableArchive(f"it is no zip that can be read ({err})") from err

    def _manifest(self, entries: list[tuple[zipfile.ZipInfo, str]]) -> list[PackedClass] | None:
        found = next((entry for entry, path in entries if path == NAME), None)
        if found is None:
            return None
        content = self._read(found, self._limits.manifest)
        classes = None if isinstance(content, str) else read_manifest(content)
        if classes is None:
            # The folders speak for themselves, but for labels that no folder can have.
            self.skipped.append(Skipped(NAME, "damaged"))
        return classes

    def _check(self) -> None:
        """Refuse by the table of contents what is too much even if that is true."""
        declared = sum(placed.entry.file_size for placed in self._placed)
        if declared > self._limits.total:
            raise UnusableArchive(f"its pictures have {declared} bytes, at most {self._limits.total} are taken")
        labels = {placed.label for placed in self._placed} | {one.label for one in self.classes}
        if len(labels) > self._limits.classes:
            raise UnusableArchive(f"it holds {len(labels)} classes, at most {self._limits.classes} are taken")

    def _read(self, entry: zipfile.ZipInfo, most: int) -> bytes | str:
        """Return a file's content, or the reason why it is left out."""
        try:
            with self._zip.open(entry) as file:
                content = io.BytesIO()
                while part := file.read(_PART):
                    self._count(len(part))
                    content.write(part)
                    if content.tell() > most:
                        return "too_large"
                    if content.tell() > max(
                        self._limits.free, self._limits.ratio * min(entry.compress_size, self._size)
                    ):
                        return "bomb"
        except _BROKEN:
            return "damaged"
        return content.getvalue()

    def _count(self, size: int) -> None:
        self._total += size
        if self._total > self._limits.total:
            raise UnusableArchive(f"its pictures have more than {self._limits.total} bytes")


class _TooMuch(OSError):
    """More is asked for at once than may be held in memory."""


class _Bounded(io.RawIOBase):
    """A file of which no more than so many bytes are read at once: a zip's table of contents is read as a whole."""

    def __init__(self, file: BinaryIO, most: int) -> None:
        """Take the file, which is not closed with this, and the bound."""
        self._file = file
        self._most = most

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and 0 <= size <= self._most:
            return self._file.read(size)
        found = self._file.read(self._most + 1) if size is None or size < 0 else None
        if found is None or len(found) > self._most:
            raise _TooMuch
        return found
