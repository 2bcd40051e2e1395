"""What the example store knows about classes and examples, and how a class is marked on disk."""

from dataclasses import dataclass
from datetime import UTC, datetime
import hashlib
import json
import os
from pathlib import Path
import re
from typing import Any

from ..errors import InvalidLabel
from . import names

_CLASS_ID = re.compile("[0-9a-f]{32}")


@dataclass(frozen=True)
class LearnedClass:
    """A class of one classifier. Never changes: a changed class is another object with the same id."""

    id: str
    """32 hexadecimal digits, for good."""

    label: str
    """What the user calls it."""

    background: bool
    """Whether it means "nothing to report"."""

    created: datetime
    """In UTC; no two classes of a classifier were made at the same moment."""

    folder: str
    """The name of its folder in the classifier's."""


@dataclass(frozen=True)
class Example:
    """A whole frame filed under a class."""

    id: str
    """Unique in the classifier; its file's name without the suffix."""

    class_id: str
    path: Path
    size: int
    """In bytes."""

    mtime_ns: int
    """When the file was last written, in nanoseconds since 1970."""

    captured: datetime
    """In UTC: from the id where it tells, else from ``mtime_ns``."""

    @property
    def key(self) -> bytes:
        """16 bytes that stand for this content under this id: the key to its embedding in the cache."""
        text = f"{self.id}\n{self.size}\n{self.mtime_ns}"
        return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).digest()


@dataclass(frozen=True, kw_only=True)
class Report:
    """What loading found and put right."""

    adopted: int = 0
    """Pictures the user dropped into class folders that became examples."""

    unreadable: int = 0
    """Files set aside because they are no pictures."""

    repaired: int = 0
    """Traces of a crash or of handiwork in the folders, put right."""

    failed: int = 0
    """Files and folders left as they are because the disk refused; tried again by the next load."""


def example_at(path: Path, class_id: str, status: os.stat_result) -> Example:
    """Describe the example in a file."""
    captured = names.moment(path.stem) if names.is_example_id(path.stem) else None
    if captured is None:
        captured = datetime.fromtimestamp(status.st_mtime_ns // 1_000_000_000, UTC)
    return Example(path.stem, class_id, path, status.st_size, status.st_mtime_ns, captured)


def marker_of(learned: LearnedClass) -> bytes:
    """Return the content of the marker that makes a folder a class."""
    content = {
        "version": 1,
        "id": learned.id,
        "label": learned.label,
        "background": learned.background,
        "created": learned.created.isoformat(),
    }
    return json.dumps(content, ensure_ascii=False, indent=1).encode()


def class_of(marker: bytes, folder: str) -> LearnedClass | None:
    """Return the class that a marker describes, or None where it describes none."""
    try:
        content: Any = json.loads(marker)
        class_id, label, background = content["id"], content["label"], content["background"]
        created = datetime.fromisoformat(content["created"]).astimezone(UTC)
        if not (_CLASS_ID.fullmatch(class_id) and isinstance(background, bool)):
            return None
        return LearnedClass(class_id, names.check_label(label), background, created, folder)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError, InvalidLabel):
        return None
