"""What was acknowledged, held against what is on disk: nothing may be lost.

An example may be where the last change that was acknowledged put it, or where a change that was begun and not
acknowledged since would put it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
import hashlib
import json
from pathlib import Path

BIN = "(bin)"
"""Where removed examples, classes and classifiers are, for a week."""
ANYWHERE = "(anywhere)"
"""Of an example whose place several unordered changes may have decided: it must still be there."""


def digest(picture: bytes) -> bytes:
    """Return what a picture is known by."""
    return hashlib.blake2b(picture, digest_size=16).digest()


@dataclass
class Entry:
    """One acknowledged example."""

    classifier: str
    """The classifier's folder."""
    allowed: set[str]
    """Labels of the classes it may be in, or BIN, or ANYWHERE."""


@dataclass(frozen=True)
class Found:
    """One picture on disk."""

    classifier: str
    place: str
    path: Path


@dataclass
class Ledger:
    """The acknowledged examples of one house."""

    entries: dict[str, Entry] = field(default_factory=dict)
    """By example id."""
    acknowledged: int = 0
    """Changes that were acknowledged, captures included."""
    refused: int = 0
    """Changes that were answered by an error, or not at all."""

    def captured(self, classifier: str, label: str, *example_ids: str) -> None:
        """Take in that examples were acknowledged."""
        self.acknowledged += 1
        for example_id in example_ids:
            self.entries[example_id] = Entry(classifier, {label})

    @contextmanager
    def moving(self, example_id: str, place: str) -> Iterator[None]:
        """Take in that an example is to be moved: acknowledged where the block ends without an error."""
        entry = self.entries[example_id]
        before = set(entry.allowed)
        entry.allowed |= {place}
        yield
        if ANYWHERE not in before:
            entry.allowed = {place}

    def loosen(self, classifier: str) -> None:
        """Take in that a change is made to a classifier that may move any of its examples."""
        for entry in self.entries.values():
            if entry.classifier == classifier:
                entry.allowed = {ANYWHERE}

    def labelled(self, classifier: str, label: str) -> list[str]:
        """Return the examples that are surely in a class."""
        return [key for key, one in self.entries.items() if one.classifier == classifier and one.allowed == {label}]

    def check(self, folder: Path, sent: set[bytes]) -> list[str]:
        """Return what is wrong on disk. ``sent`` are the pictures that cameras showed, by digest."""
        found: dict[str, list[Found]] = {}
        for one in pictures(folder):
            found.setdefault(one.path.stem, []).append(one)
        wrong: list[str] = []
        for example_id, entry in self.entries.items():
            copies = found.get(example_id, [])
            if not copies:
                wrong.append(f"{entry.classifier}: {example_id} is lost; it was in {sorted(entry.allowed)}")
                continue
            if not any({ANYWHERE, one.place} & entry.allowed for one in copies):
                places = sorted(one.place for one in copies)
                wrong.append(f"{entry.classifier}: {example_id} is in {places}, not in {sorted(entry.allowed)}")
            if any(digest(one.path.read_bytes()) not in sent for one in copies):
                wrong.append(f"{entry.classifier}: {example_id} is not the picture that the camera sent")
            if sum(one.place != BIN for one in copies) > 1:
                wrong.append(f"{entry.classifier}: {example_id} is there twice")
        return wrong

    def unacknowledged(self, folder: Path) -> int:
        """Return how many pictures there are that nobody was told of: acknowledgements that a kill cut off."""
        return len({one.path.stem for one in pictures(folder)} - self.entries.keys())


def pictures(folder: Path) -> Iterator[Found]:
    """Yield the pictures of all classifiers, removed ones included."""
    for path in folder.rglob("*.jpg"):
        parts = path.relative_to(folder).parts
        if path.name.startswith("."):
            continue  # half-written
        if parts[0] == ".bin":
            yield Found(parts[2] if len(parts) > 3 else "", BIN, path)
        elif ".bin" in parts:
            yield Found(parts[0], BIN, path)
        elif len(parts) == 3:
            yield Found(parts[0], _label(path.parent), path)


def _label(folder: Path) -> str:
    try:
        return str(json.loads((folder / ".class.json").read_bytes())["label"])
    except OSError, ValueError, KeyError:
        return f"folder {folder.name}"


def counts(folder: Path, classifier: str) -> dict[str, int]:
    """Return how many examples each class of a classifier has on disk, by label."""
    found: dict[str, int] = {}
    for marker in (folder / classifier).glob("*/.class.json"):
        found[_label(marker.parent)] = sum(not path.name.startswith(".") for path in marker.parent.glob("*.jpg"))
    return found
