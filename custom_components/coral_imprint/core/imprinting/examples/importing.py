"""Taking many pictures in as one change: an import, which one undo takes back."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
import hashlib
from pathlib import Path
from typing import Any, Final

from ..errors import StoreFailed
from . import atomic, names
from .archive import Archive, Picture, Skipped
from .import_lists import Imports
from .index import ExampleIndex
from .journal import IMPORTED, Change, Journal, Step
from .records import LearnedClass

_BACKGROUND: Final = "background"
"""Label of the class that is made for pictures of "none" where a classifier has no background class."""
SHOWN: Final = 20
"""Files that were left out and are named."""
PART: Final = 32
"""Pictures that are put in place together."""
PART_BYTES: Final = 16 * 1024 * 1024
"""Bytes after which no more are read to be put in place together."""


@dataclass
class ImportReport:
    """What became of each file of an import."""

    added: Counter[str] = field(default_factory=Counter)
    """New examples by class id."""
    there_already: Counter[str] = field(default_factory=Counter)
    """Pictures that their class had, by class id."""
    skipped: Counter[str] = field(default_factory=Counter)
    """Files that were left out, by reason: see ``archive.layouts.Skipped``."""
    named: list[Skipped] = field(default_factory=list)
    """The first SHOWN of those."""
    made: list[LearnedClass] = field(default_factory=list)
    """Classes that were made, each of which is a change of its own."""

    def skip(self, skipped: Skipped) -> None:
        """Count a file that was left out."""
        self.skipped[skipped.reason] += 1
        if len(self.named) < SHOWN:
            self.named.append(skipped)

    def as_dict(self, labels: Mapping[str, str]) -> dict[str, Any]:
        """Return what people are told of it; ``labels`` by class id."""
        return {
            "added": {labels[class_id]: count for class_id, count in self.added.items() if class_id in labels},
            "there_already": {labels[key]: count for key, count in self.there_already.items() if key in labels},
            "classes": [learned.label for learned in self.made],
            "skipped": dict(self.skipped),
            "files": [{"file": one.name, "reason": one.reason} for one in self.named],
        }


@dataclass(frozen=True, slots=True)
class _New:
    """A picture on its way to its place."""

    path: Path
    class_id: str
    jpeg: bytes


class Importing:
    """An import under way. For the store's owner, as the store itself; nothing else may change the store meanwhile."""

    def __init__(
        self,
        root: Path,
        index: ExampleIndex,
        journal: Journal,
        imports: Imports,
        *,
        to_jpeg: Callable[[bytes], bytes | None],
        add_class: Callable[[str, bool], LearnedClass],
        clock: Callable[[], datetime],
    ) -> None:
        """Take the parts of a store; nothing is changed before ``take``."""
        self.report = ImportReport()
        self._root = root
        self._index = index
        self._journal = journal
        self._imports = imports
        self._to_jpeg = to_jpeg
        self._add_class = add_class
        self._clock = clock
        self._step: Step | None = None
        self._digests: dict[str, bytes] = {}
        """Of examples that were looked into, by id."""
        self._sizes: dict[tuple[str, int], set[str]] = {}
        """Examples by class and size."""
        for example in index.examples.values():
            self._sizes.setdefault((example.class_id, example.size), set()).add(example.id)

    def begin(self, archive: Archive) -> None:
        """Make the classes that an archive's manifest tells of, and note what the archive leaves out. Raises StoreFailed."""
        for skipped in archive.skipped:
            self.report.skip(skipped)
        for one in archive.classes:
            self._class_of(one.id, one.label, one.background)

    def take(self, pictures: Iterator[Picture | Skipped]) -> bool:
        """Put the next few pictures in place; return whether there may be more.

        The good ones are on disk when this returns, and ``report`` tells about all. One that its class has already, byte
        for byte or as the JPEG that is made of it, is not filed again. Raises StoreFailed, UnusableArchive: what was put
        in place before that stays, and is in the report.
        """
        found: dict[str, _New] = {}
        size = 0
        try:
            for picture in pictures:
                if isinstance(picture, Skipped):
                    self.report.skip(picture)
                    continue
                self._take(picture, found)
                size += len(picture.content)
                if len(found) >= PART or size >= PART_BYTES:
                    return True
            return False
        finally:
            if found:
                self._begin()
                assert self._step
                self._imports.add(self._step.change.id, {key: new.class_id for key, new in found.items()})
                self._write(list(found.values()))

    def finish(self) -> ImportReport:
        """End the import, after ``take`` has failed too: from here on it can be undone."""
        if self._step and self._index.happened(self._step):
            self._journal.finish(self._step)
        self._step = None
        return self.report

    def _take(self, picture: Picture, found: dict[str, _New]) -> None:
        """Find a place for a picture, unless it needs none."""
        class_id = self._existing(picture.class_id, picture.label)
        if class_id and self._has(class_id, picture.content, found):
            self.report.there_already[class_id] += 1
            return
        jpeg = self._to_jpeg(picture.content)
        if jpeg is None:
            self.report.skip(Skipped(picture.name, "not_a_picture"))
            return
        class_id = self._class_of(picture.class_id, picture.label, picture.background)
        if jpeg is not picture.content and self._has(class_id, jpeg, found):
            self.report.there_already[class_id] += 1
            return
        folder = self._root / self._index.classes[class_id].folder
        example_id = next(
            example_id
            for example_id in names.example_ids(picture.taken or self._clock(), jpeg)
            if example_id not in self._index.examples
            and example_id not in found
            and not (folder / (example_id + names.SUFFIX)).exists()
        )
        found[example_id] = _New(folder / (example_id + names.SUFFIX), class_id, jpeg)

    def _has(self, class_id: str, content: bytes, found: Mapping[str, _New]) -> bool:
        """Whether a class has a picture of this content, or is about to have it."""
        if any(new.class_id == class_id and new.jpeg == content for new in found.values()):
            return True
        candidates = self._sizes.get((class_id, len(content)), ())
        return bool(candidates) and hashlib.sha256(content).digest() in map(self._digest, candidates)

    def _digest(self, example_id: str) -> bytes:
        """Return the digest of an example's picture; of one that can't be read, one that no picture has."""
        if example_id not in self._digests:
            example = self._index.examples.get(example_id)
            try:
                content = atomic.read(example.path) if example else None
            except StoreFailed:
                content = None
            self._digests[example_id] = b"" if content is None else hashlib.sha256(content).digest()
        return self._digests[example_id]

    def _existing(self, class_id: str | None, label: str | None) -> str | None:
        """Return the class that is there for pictures: of this id, of this label, or the oldest background class."""
        classes = self._index.classes
        if class_id in classes:
            return class_id
        if label is None:
            if oldest := next((one.id for one in classes.values() if one.background), None):
                return oldest
            label = _BACKGROUND
        return next((one.id for one in classes.values() if names.fold(one.label) == names.fold(label)), None)

    def _class_of(self, class_id: str | None, label: str | None, background: bool) -> str:
        """Return the class for pictures, which is made where there is none."""
        if existing := self._existing(class_id, label):
            return existing
        learned = self._add_class(_BACKGROUND if label is None else label, background)
        self.report.made.append(learned)
        return learned.id

    def _begin(self) -> None:
        """Note the import in the journal, once."""
        if self._step is not None:
            return
        now = self._clock()
        import_id = next(one for one in names.numbered_ids(names.stamp(now)) if not self._journal.mentions(one))
        number = self._journal.next_number()
        change = Change(number=number, at=now, subject="import", id=import_id, before=None, after=IMPORTED)
        step = Step("do", change)
        self._journal.begin(step)
        self._step = step

    def _write(self, pictures: Sequence[_New]) -> None:
        """Put pictures in place, and those that are there into memory."""
        written: list[_New] = []
        try:
            for new in pictures:
                try:
                    atomic.write(new.path, new.jpeg)
                except StoreFailed:
                    # In place, perhaps, but not surely on disk: not acknowledged, so it must not turn up later.
                    with suppress(StoreFailed):
                        atomic.remove(new.path)
                    raise
                written.append(new)
        finally:
            kept = self._index.keep_examples((new.path, new.class_id) for new in written)
            for example, new in zip(kept, written, strict=True):
                self.report.added[example.class_id] += 1
                self._digests[example.id] = hashlib.sha256(new.jpeg).digest()
                self._sizes.setdefault((example.class_id, example.size), set()).add(example.id)
