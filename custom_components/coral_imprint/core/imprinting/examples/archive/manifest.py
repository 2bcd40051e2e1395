"""The manifest: what an archive of examples says about them that folders and files can't."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
import json
from typing import Any, Final

from ...errors import InvalidLabel, UnusableArchive
from .. import names
from ..records import LearnedClass

NAME: Final = "coral_imprint.json"
"""At the top of the archive."""
_FORMAT: Final = "coral-imprint examples"
_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Packed:
    """An example in an archive."""

    id: str
    file: str
    """Its path in the archive."""
    taken: datetime
    """When it was captured, UTC: what occasions are told apart by."""


@dataclass(frozen=True, slots=True)
class PackedClass:
    """A class in an archive."""

    id: str
    label: str
    background: bool
    folder: str
    examples: tuple[Packed, ...]


def write_manifest(title: str, now: datetime, classes: Sequence[PackedClass]) -> bytes:
    """Return the manifest of a classifier called ``title`` as JSON."""
    content = {
        "format": _FORMAT,
        "version": _VERSION,
        "classifier": title,
        "exported": now.astimezone(UTC).isoformat(),
        "classes": [
            {
                "id": one.id,
                "label": one.label,
                "background": one.background,
                "folder": one.folder,
                "examples": [
                    {"id": example.id, "file": example.file, "taken": example.taken.isoformat()}
                    for example in one.examples
                ],
            }
            for one in classes
        ],
    }
    return json.dumps(content, ensure_ascii=False, indent=1).encode("utf-8", "replace")


def read_manifest(content: bytes) -> list[PackedClass] | None:
    """Return the classes of a manifest; None where it makes no sense.

    Raises UnusableArchive where a newer version wrote it, which folders alone would not do justice to.
    """
    try:
        plain: Any = json.loads(content)
        if plain["format"] != _FORMAT:
            return None
        if plain["version"] != _VERSION:
            raise UnusableArchive("it was made by a newer version of this integration")
        classes = [_class_of(one) for one in plain["classes"]]
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError, InvalidLabel):
        return None
    labels = [names.fold(one.label) for one in classes]
    return classes if len(set(labels)) == len(labels) else None


def packed_class(learned: LearnedClass, examples: Sequence[Packed]) -> PackedClass:
    """Describe a class and those of its examples that are in the archive."""
    return PackedClass(learned.id, learned.label, learned.background, learned.folder, tuple(examples))


def _class_of(plain: Any) -> PackedClass:
    background = plain["background"]
    if not isinstance(background, bool):
        raise TypeError("no class")
    return PackedClass(
        str(plain["id"]),
        names.check_label(str(plain["label"])),
        background,
        str(plain["folder"]),
        tuple(
            Packed(str(one["id"]), str(one["file"]), datetime.fromisoformat(one["taken"]).astimezone(UTC))
            for one in plain["examples"]
        ),
    )
