"""Which class a file in an archive belongs to, by where it lies there and what it is called. Nothing is read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
import re
import stat
from typing import Final
import zipfile

from .. import names
from .manifest import Packed, PackedClass

_DATASET: Final = "dataset"
"""Frigate keeps what was sorted in ``dataset/<class>`` and what was not in ``train``, beside it."""
_TEACHABLE: Final = re.compile(r"(.+)-!-\d+")
"""Teachable Machine's project files (``.tm``) hold ``<class>-!-<number>.jpg``, in no folder."""
_UNIX_TIME: Final = re.compile(r"(?<![\d.])(1\d{9})(?:\.(\d{1,6})\d*)?(?!\d)")
"""Frigate's pictures are called ``<class>-<seconds since 1970>-<letters>.png``."""
_ARCHIVES: Final = frozenset({".zip", ".tm", ".7z", ".rar", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst"})
_OLDEST: Final = datetime(1990, 1, 1, tzinfo=UTC)
_UTF8: Final = 0x800
_ENCRYPTED: Final = 0x1
_METHODS: Final = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
"""Others aren't found in the wild, and LZMA takes as much memory as the file says."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that is left out."""

    name: str
    reason: str
    """One of ``unsafe_name``, ``link``, ``encrypted``, ``compression``, ``hidden``, ``archive``, ``not_a_picture``,
    ``not_sorted``, ``no_class``, ``too_large``, ``bomb``, ``damaged``."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A file that may be a picture, and where it belongs."""

    entry: zipfile.ZipInfo
    name: str
    label: str | None
    """None for what Frigate and others call "none": the background class, whatever its label."""
    background: bool
    class_id: str | None
    """Where a manifest tells it."""
    taken: datetime | None
    """UTC, as far as anything tells it."""


class Placing:
    """Places the files of one archive."""

    def __init__(
        self, paths: Sequence[str], classes: Sequence[PackedClass] | None, label: str | None, now: datetime
    ) -> None:
        """Take the files' paths, the manifest's classes, the label that is given to all where one is, and the present."""
        self._label = label
        self._latest = now.astimezone(UTC) + timedelta(days=1)
        self._folders: Mapping[str, PackedClass] = {one.folder: one for one in classes or ()}
        self._index: Mapping[str, tuple[PackedClass, Packed]] = {
            example.file: (one, example) for one in classes or () for example in one.examples
        }
        self._sorted = any(PurePosixPath(path).parent.parent.name == _DATASET for path in paths)

    def place(self, entry: zipfile.ZipInfo, path: str) -> Placed | Skipped | None:
        """Return where a file belongs, or why it is left out; None for a folder."""
        if path.endswith("/") and not entry.file_size:
            return None
        if reason := _refused(entry, path):
            return Skipped(_shown(path), reason)
        filed = self._index.get(path)
        taken = self._taken(entry, path, filed[1] if filed else None)
        if self._label is not None:
            return Placed(entry, _shown(path), self._label, False, None, taken)
        if own := filed[0] if filed else self._folders.get(PurePosixPath(path).parent.name):
            return Placed(entry, _shown(path), own.label, own.background, own.id, taken)
        if reason := self._homeless(path):
            return Skipped(_shown(path), reason)
        folder = _folder_of(path)
        if names.fold(folder.strip()) in names.RESERVED:
            return Placed(entry, _shown(path), None, True, None, taken)
        label = names.label_from_folder(folder, lambda _: False)
        return Placed(entry, _shown(path), label, False, None, taken)

    def _homeless(self, path: str) -> str | None:
        if not _folder_of(path):
            return "no_class"
        parents = PurePosixPath(path).parent
        return "not_sorted" if self._sorted and parents.parent.name != _DATASET else None

    def _taken(self, entry: zipfile.ZipInfo, path: str, filed: Packed | None) -> datetime | None:
        """Return when a picture was taken: as the manifest, its name or the zip says. The zip's clock has no zone."""
        stem = PurePosixPath(path).stem
        found = filed.taken if filed else names.moment(stem) if names.is_example_id(stem) else _unix_time(stem)
        if found is None:
            try:
                found = datetime(*entry.date_time, tzinfo=UTC)
            except ValueError:
                return None
        return found if _OLDEST <= found <= self._latest else None


def path_of(entry: zipfile.ZipInfo) -> str:
    """Return a file's path in the archive with slashes, in the characters that it was most likely written with."""
    name = entry.filename
    if not entry.flag_bits & _UTF8:
        # Read as code page 437, as the standard has it; many programs write UTF-8 without saying so.
        try:
            name = name.encode("cp437").decode("utf-8")
        except UnicodeError:
            name = entry.filename
    return name.replace("\\", "/")


def _refused(entry: zipfile.ZipInfo, path: str) -> str | None:
    """Return why a file is not even looked into."""
    parts = path.split("/")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    suffix = PurePosixPath(path).suffix.lower()
    if path.startswith("/") or ".." in parts or re.match(r"[A-Za-z]:", path) or any(ord(one) < 32 for one in path):
        return "unsafe_name"
    if kind not in (0, stat.S_IFREG):
        return "link"
    if any(not names.is_visible(part) for part in parts if part):
        return "hidden"
    if suffix not in names.PICTURE_SUFFIXES:
        return "archive" if suffix in _ARCHIVES else "not_a_picture"
    if entry.flag_bits & _ENCRYPTED:
        return "encrypted"
    return None if entry.compress_type in _METHODS else "compression"


def _folder_of(path: str) -> str:
    """Return the name of the folder that a picture lies in, or that of its class in a project of Teachable Machine's."""
    pure = PurePosixPath(path)
    found = _TEACHABLE.fullmatch(pure.stem)
    return found[1] if found else pure.parent.name


def _unix_time(stem: str) -> datetime | None:
    found = _UNIX_TIME.search(stem)
    if found is None:
        return None
    micro = (found[2] or "").ljust(6, "0")
    return datetime.fromtimestamp(int(found[1]), UTC) + timedelta(microseconds=int(micro))


def _shown(path: str) -> str:
    """Return a path as it may be shown and sent on: valid text, not endless."""
    text = "".join(one if one.isprintable() else "?" for one in path)
    return text if len(text) <= 200 else f"…{text[-199:]}"
