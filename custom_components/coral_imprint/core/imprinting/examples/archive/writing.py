"""Writing examples as one file: whole or not at all, with one picture's part in memory at a time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
import stat
from typing import Any, Final
import zipfile

from ...errors import StoreFailed
from .. import atomic, names
from ..records import Example, LearnedClass
from .manifest import NAME, Packed, packed_class, write_manifest

_PART: Final = 1 << 20
_EARLIEST: Final = datetime(1980, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(2107, 12, 31, tzinfo=UTC)
"""What a zip's clock can say."""


@dataclass(frozen=True, slots=True)
class Written:
    """What was written."""

    counts: Mapping[str, int]
    """Examples by class id."""
    missing: int
    """Examples that could not be read: removed by hand meanwhile, perhaps."""
    size: int
    """Of the file, in bytes."""

    def as_dict(self, labels: Mapping[str, str]) -> dict[str, Any]:
        """Return what people are told of it; ``labels`` by class id."""
        counts = {labels[class_id]: count for class_id, count in self.counts.items() if class_id in labels}
        return {"size": self.size, "examples": counts, "missing": self.missing}


def write_archive(
    path: Path, classes: Sequence[LearnedClass], examples: Sequence[Example], *, title: str, now: datetime
) -> Written:
    """Write classes and their examples (those of other classes are left out) to a zip, replacing what is there.

    ``<folder of the class>/<id>.jpg`` and the manifest, nothing compressed: JPEG doesn't shrink. Durable on return. Raises
    StoreFailed, and then what was there before still is.
    """
    atomic.make_folder(path.parent)
    filed: dict[str, list[Packed]] = {learned.id: [] for learned in classes}
    folders = {learned.id: learned.folder for learned in classes}
    wanted = [example for example in examples if example.class_id in filed]
    with atomic.replacing(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for example in wanted:
            # A name that is no valid text on disk has lone surrogates, which a zip can't hold.
            name = f"{folders[example.class_id]}/{example.id}{names.SUFFIX}".encode("utf-8", "replace").decode()
            if _put(archive, name, example):
                filed[example.class_id].append(Packed(example.id, name, example.captured))
        manifest = [packed_class(learned, filed[learned.id]) for learned in classes]
        archive.writestr(_entry(NAME, now), write_manifest(title, now, manifest))
    counts = {class_id: len(own) for class_id, own in filed.items()}
    return Written(counts, len(wanted) - sum(counts.values()), atomic.status(path).st_size)


def _put(archive: zipfile.ZipFile, name: str, example: Example) -> bool:
    """Copy a picture into the archive; return whether it could be opened."""
    entry = _entry(name, example.captured)
    try:
        source = atomic.open_file(example.path)
    except StoreFailed:
        return False
    with source:
        entry.file_size = example.size
        with archive.open(entry, "w") as target:
            while part := source.read(_PART):
                target.write(part)
    return True


def _entry(name: str, when: datetime) -> zipfile.ZipInfo:
    moment = min(max(when.astimezone(UTC), _EARLIEST), _LATEST)
    entry = zipfile.ZipInfo(name, (moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second))
    entry.create_system = 3  # Unix, which the next line is in the words of
    entry.external_attr = (stat.S_IFREG | 0o644) << 16
    return entry
