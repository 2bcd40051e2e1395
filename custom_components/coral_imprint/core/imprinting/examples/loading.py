"""Reading the tree of examples, and putting right what a crash or the user's own hands left in it."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
import json
from pathlib import Path
from typing import Any
from uuid import uuid4

from ..errors import StoreFailed
from . import atomic, names
from .bin import discard
from .records import Example, LearnedClass, Report, class_of, example_at, marker_of

BIN = ".bin"
UNREADABLE = ".unreadable"
ADOPTED = ".adopted.json"
"""Remembers which pictures with names of the user's have been looked into; without it they are looked into again."""

LARGEST = 64 * 1024 * 1024
"""Bytes a picture may have."""

Seen = dict[str, list[int]]
"""By file name: size and time of last change of a picture that was looked into."""


@dataclass
class Tree:
    """What is in a classifier's folder."""

    classes: dict[str, LearnedClass] = field(default_factory=dict)
    """By id, in creation order."""

    examples: dict[str, Example] = field(default_factory=dict)
    """By id."""


def next_moment(classes: Iterable[LearnedClass], now: datetime) -> datetime:
    """Return when a new class was made: now, but after all others, whatever the clock says."""
    return max([now, *(learned.created + timedelta(microseconds=1) for learned in classes)])


def folder_is_taken(root: Path, classes: Iterable[LearnedClass], name: str) -> bool:
    """Whether a class has the folder name, in any case, or something is there that can't be a class's folder."""
    path = root / name
    taken = any(names.fold(learned.folder) == names.fold(name) for learned in classes)
    return taken or path.is_symlink() or (path.exists() and not path.is_dir())


class Loader:
    """One pass over a classifier's folder. Used once."""

    def __init__(
        self, root: Path, to_jpeg: Callable[[bytes], bytes], unreadable: type[Exception], now: datetime
    ) -> None:
        """Take the folder, what makes a JPEG of a picture, what it raises if it can't, and the present."""
        self.root = root
        self.tree = Tree()
        self._to_jpeg = to_jpeg
        self._unreadable = unreadable
        self._now = now
        self._ids: set[str] = set()
        self._counts = dict.fromkeys(("adopted", "unreadable", "repaired", "failed"), 0)

    def run(self) -> Report:
        """Fill ``tree``. Raises StoreFailed where the folder can't be made or read at all."""
        atomic.make_folder(self.root)
        self._sweep(self.root)
        self._load_classes()
        for learned in self.tree.classes.values():
            self._align_folder(learned)
        newcomers = [
            (learned, path) for learned in self.tree.classes.values() for path in self._load_established(learned)
        ]
        for learned, path in newcomers:
            try:
                self._adopt(learned, path)
            except StoreFailed:
                self._counts["failed"] += 1
        for learned in self.tree.classes.values():
            self._remember(learned)
        return Report(**self._counts)

    # Classes

    def _load_classes(self) -> None:
        marked: list[LearnedClass] = []
        unmarked: list[Path] = []
        for folder in atomic.folders(self.root):
            if not names.is_visible(folder.name):
                continue
            self._sweep(folder)
            marker = folder / names.MARKER
            found = class_of(atomic.read(marker), folder.name) if _is_file(marker) else None
            if found is not None:
                marked.append(found)
            elif _is_file(marker) or any(_is_picture(path.name) for path, _ in atomic.files(folder)):
                unmarked.append(folder)
        # Of two folders with one id, the one that is called after its label is the original.
        for found in sorted(
            marked, key=lambda one: (one.created, not names.folder_fits(one.folder, one.label), one.folder)
        ):
            if found.id in self.tree.classes:
                unmarked.append(self.root / found.folder)
            elif self._label_is_taken(found.label):
                self._mark(replace(found, label=names.label_from_folder(found.label, self._label_is_taken)))
            else:
                self.tree.classes[found.id] = found
        for folder in unmarked:
            label = names.label_from_folder(folder.name, self._label_is_taken)
            created = next_moment(self.tree.classes.values(), self._now)
            self._mark(LearnedClass(uuid4().hex, label, False, created, folder.name))

    def _mark(self, learned: LearnedClass) -> None:
        """Make a folder a class; without its marker it is none, and the next load tries again."""
        try:
            atomic.write(self.root / learned.folder / names.MARKER, marker_of(learned))
        except StoreFailed:
            self._counts["failed"] += 1
            return
        self.tree.classes[learned.id] = learned
        self._counts["repaired"] += 1

    def _align_folder(self, learned: LearnedClass) -> None:
        """Call a class's folder after its label: renaming a class was cut off, or the user renamed the folder."""
        if names.folder_fits(learned.folder, learned.label):
            return
        others = [other for other in self.tree.classes.values() if other.id != learned.id]
        wanted = names.free_folder_name(
            learned.label,
            lambda name: (
                folder_is_taken(self.root, others, name)
                or ((self.root / name).exists() and not (self.root / name).samefile(self.root / learned.folder))
            ),
        )
        folder = move_class_folder(self.root, learned.folder, wanted)
        self.tree.classes[learned.id] = replace(learned, folder=folder)
        self._counts["repaired" if folder == wanted else "failed"] += 1

    def _label_is_taken(self, label: str) -> bool:
        return any(names.fold(learned.label) == names.fold(label) for learned in self.tree.classes.values())

    # Examples

    def _load_established(self, learned: LearnedClass) -> list[Path]:
        """Take in the examples of a class that were examples before; return the other pictures in its folder."""
        folder = self.root / learned.folder
        seen = _read_seen(folder / ADOPTED)
        newcomers = []
        for path, status in atomic.files(folder):
            if not _is_picture(path.name):
                continue
            established = path.suffix == names.SUFFIX and (
                seen.get(path.name) == [status.st_size, status.st_mtime_ns]
                or (names.is_example_id(path.stem) and status.st_size > 0)
            )
            if established and names.fold(path.stem) not in self._ids:
                self._take_in(example_at(path, learned.id, status))
            else:
                newcomers.append(path)
        return newcomers

    def _adopt(self, learned: LearnedClass, path: Path) -> None:
        """Make an example of a picture that the user dropped into a class's folder."""
        picture = atomic.read(path, LARGEST + 1)
        jpeg = self._converted(picture)
        if jpeg is None:
            self._set_aside(path)
            return
        if jpeg != picture:
            self._adopt_converted(learned, path, jpeg)
            return
        target = next(target for target in self._targets(path) if target == path or not _is_other(target, path))
        if target != path:
            atomic.move(path, target)
        self._take_in(example_at(target, learned.id, atomic.status(target)))
        self._counts["adopted"] += 1

    def _adopt_converted(self, learned: LearnedClass, path: Path, jpeg: bytes) -> None:
        """Put a picture's JPEG form beside it, then the picture itself in the bin."""
        for example_id in names.adopted_ids(path.stem):
            target = path.with_name(example_id + names.SUFFIX)
            if target != path and _holds(target, jpeg):
                # This was cut off half-way; the JPEG form is an example or a newcomer by itself.
                self._counts["repaired"] += 1
                break
            if names.fold(example_id) not in self._ids and not target.exists():
                atomic.write(target, jpeg)
                self._take_in(example_at(target, learned.id, atomic.status(target)))
                self._counts["adopted"] += 1
                break
        discard(self.root / BIN, path, f"{path.parent.name}/{path.name}", self._now)

    def _targets(self, path: Path) -> Iterator[Path]:
        """Yield where a picture may go in its folder: under ids that no example has, the nearest to its name first."""
        free = (example_id for example_id in names.adopted_ids(path.stem) if names.fold(example_id) not in self._ids)
        return (path.with_name(example_id + names.SUFFIX) for example_id in free)

    def _converted(self, picture: bytes) -> bytes | None:
        """Return a picture as JPEG, or None where it is none or too large."""
        if not 0 < len(picture) <= LARGEST:
            return None
        try:
            return self._to_jpeg(picture)
        except self._unreadable:
            return None

    def _take_in(self, example: Example) -> None:
        self.tree.examples[example.id] = example
        self._ids.add(names.fold(example.id))

    def _set_aside(self, path: Path) -> None:
        set_aside(self.root, path)
        self._counts["unreadable"] += 1

    def _remember(self, learned: LearnedClass) -> None:
        """Write down which pictures with names of the user's need no second look."""
        folder = self.root / learned.folder
        seen: Seen = {
            example.path.name: [example.size, example.mtime_ns]
            for example in self.tree.examples.values()
            if example.class_id == learned.id and not names.is_example_id(example.id)
        }
        if seen != _read_seen(folder / ADOPTED):
            try:
                atomic.write(folder / ADOPTED, json.dumps(seen, sort_keys=True).encode())
            except StoreFailed:
                self._counts["failed"] += 1

    def _sweep(self, folder: Path) -> None:
        try:
            self._counts["repaired"] += atomic.sweep(folder)
        except StoreFailed:
            self._counts["failed"] += 1


def move_class_folder(root: Path, folder: str, wanted: str) -> str:
    """Give a class folder another name and return the one it has now.

    That the disk refuses is no error: the name is for looks only, and the next load tries again.
    """
    try:
        atomic.move(root / folder, root / wanted)
    except StoreFailed:
        # It may have got its name and the disk failed after that.
        return folder if (root / folder).is_dir() else wanted
    return wanted


def set_aside(root: Path, path: Path) -> None:
    """Move an unreadable file out of its class, to where the user finds it. Raises StoreFailed."""
    folder = root / UNREADABLE / path.parent.name
    atomic.make_folder(folder)
    free = (folder / f"{stem}{path.suffix}" for stem in names.numbered_ids(path.stem))
    atomic.move(path, next(target for target in free if not target.exists()))


def forget_seen(folder: Path, name: str) -> None:
    """Forget that a picture of this name was looked into in a folder. Raises StoreFailed."""
    seen = _read_seen(folder / ADOPTED)
    if name in seen:
        atomic.write(folder / ADOPTED, json.dumps({key: seen[key] for key in seen if key != name}).encode())
    elif not seen:
        # Empty or damaged: worth as much as none.
        atomic.remove(folder / ADOPTED)


def _is_picture(name: str) -> bool:
    return names.is_visible(name) and Path(name).suffix.lower() in names.PICTURE_SUFFIXES


def _is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _is_other(target: Path, path: Path) -> bool:
    """Whether a file is there already. It is the same one where only case differs and the disk ignores case."""
    return target.exists() and not target.samefile(path)


def _holds(path: Path, content: bytes) -> bool:
    return _is_file(path) and path.stat().st_size == len(content) and atomic.read(path) == content


def _read_seen(path: Path) -> Seen:
    """Return what ADOPTED remembers; nothing where it is missing or damaged."""
    if not _is_file(path):
        return {}
    try:
        content: Any = json.loads(atomic.read(path))
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
