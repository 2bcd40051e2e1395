"""The example store: whole frames as JPEG files in a folder per class. The disk is the truth, memory follows it."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from uuid import uuid4

from . import durable, names
from .bin import discard, purge
from .errors import ClassExists, StoreFailed, UnknownClass, UnknownExample, UnreadablePicture
from .loading import BIN, LARGEST, Loader, folder_is_taken, move_class_folder, next_moment, set_aside
from .records import Example, LearnedClass, Report, example_at, marker_of


def _utc_now() -> datetime:
    return datetime.now(UTC)


class ExampleStore:
    """The classes and examples of one classifier.

    For one owner: only one thread at a time may call what changes or reads the disk. What only reads memory
    (``classes``, ``class_named``, ``examples``) may be used from any thread at any time: memory is replaced as a whole,
    after the disk has the change. Everything that touches the disk may raise StoreFailed; then the change has either not
    happened or is seen by the next ``load``, and it may be tried again.
    """

    def __init__(
        self,
        root: Path,
        to_jpeg: Callable[[bytes], bytes],
        unreadable: type[Exception],
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        """Take the classifier's folder, which needs not exist, without touching it.

        ``to_jpeg`` returns a picture as JPEG, a JPEG unchanged, and raises ``unreadable`` where it can't; ``clock`` returns
        the time with its zone.
        """
        self.root = root
        self._to_jpeg = to_jpeg
        self._unreadable = unreadable
        self._clock = clock
        self._classes: Mapping[str, LearnedClass] = MappingProxyType({})
        self._examples: Mapping[str, Example] = MappingProxyType({})

    def load(self) -> Report:
        """Read the folder, put right what a crash left, adopt pictures that were dropped in.

        May be called again at any time.
        """
        loader = Loader(self.root, self._to_jpeg, self._unreadable, self._clock())
        report = loader.run()
        self._classes = MappingProxyType(loader.tree.classes)
        self._examples = MappingProxyType(loader.tree.examples)
        return report

    @property
    def classes(self) -> Mapping[str, LearnedClass]:
        """The classes by id, in creation order."""
        return self._classes

    def class_named(self, name: str) -> LearnedClass:
        """Return the class of this label, whatever its case, or of this id. Raises UnknownClass."""
        for learned in self._classes.values():
            if names.fold(learned.label) == names.fold(name.strip()):
                return learned
        if name in self._classes:
            return self._classes[name]
        raise UnknownClass(f"there is no class {name!r}", name=name)

    def examples(self, class_id: str | None = None) -> list[Example]:
        """Return the examples, or those of one class, in the order they were captured."""
        chosen = [one for one in self._examples.values() if class_id is None or one.class_id == class_id]
        return sorted(chosen, key=lambda one: (one.captured, one.id))

    def add_class(self, label: str, background: bool = False) -> LearnedClass:
        """Make a class. Raises InvalidLabel, ClassExists, StoreFailed."""
        kept = self._free_label(label)
        learned = LearnedClass(
            uuid4().hex,
            kept,
            background,
            next_moment(self._classes.values(), self._clock().astimezone(UTC)),
            names.free_folder_name(kept, lambda name: folder_is_taken(self.root, self._classes.values(), name)),
        )
        durable.make_folder(self.root / learned.folder)
        self._mark(learned)
        return learned

    def rename_class(self, class_id: str, label: str) -> LearnedClass:
        """Give a class another label; its id stays. Raises UnknownClass, InvalidLabel, ClassExists, StoreFailed."""
        learned = self._class(class_id)
        renamed = replace(learned, label=self._free_label(label, class_id))
        self._mark(renamed)
        others = [other for other in self._classes.values() if other.id != class_id]
        if names.folder_fits(learned.folder, renamed.label):
            return renamed
        folder = names.free_folder_name(renamed.label, lambda name: self._is_occupied(name, learned.folder, others))
        folder = move_class_folder(self.root, learned.folder, folder)
        renamed = replace(renamed, folder=folder)
        self._keep_class(renamed)
        self._examples = MappingProxyType(
            {
                one.id: replace(one, path=self.root / folder / one.path.name) if one.class_id == class_id else one
                for one in self._examples.values()
            }
        )
        return renamed

    def set_background(self, class_id: str, background: bool) -> LearnedClass:
        """Say whether a class means "nothing to report". Raises UnknownClass, StoreFailed."""
        learned = replace(self._class(class_id), background=background)
        self._mark(learned)
        return learned

    def remove_class(self, class_id: str) -> None:
        """Move a class with its examples to the bin. Raises UnknownClass, StoreFailed."""
        learned = self._class(class_id)
        self._discard(self.root / learned.folder, learned.folder)
        self._classes = MappingProxyType({key: one for key, one in self._classes.items() if key != class_id})
        self._examples = MappingProxyType({key: one for key, one in self._examples.items() if one.class_id != class_id})

    def add_example(self, class_id: str, picture: bytes) -> Example:
        """File a picture under a class; it is on disk when this returns.

        Raises UnknownClass, UnreadablePicture, StoreFailed.
        """
        learned = self._class(class_id)
        if len(picture) > LARGEST:
            raise UnreadablePicture(f"the picture has {len(picture)} bytes, at most {LARGEST} are taken")
        try:
            jpeg = self._to_jpeg(picture)
        except self._unreadable as err:
            raise UnreadablePicture(str(err)) from err
        folder = self.root / learned.folder
        path = next(
            path
            for example_id in names.example_ids(self._clock(), jpeg)
            if example_id not in self._examples and not (path := folder / f"{example_id}{names.SUFFIX}").exists()
        )
        try:
            durable.write(path, jpeg)
        except StoreFailed:
            # In place, perhaps, but not surely on disk: not acknowledged, so it must not turn up later.
            with suppress(StoreFailed):
                durable.remove(path)
            raise
        example = example_at(path, class_id, durable.status(path))
        self._examples = MappingProxyType({**self._examples, example.id: example})
        return example

    def read(self, example: Example) -> bytes:
        """Return an example's picture as it was filed. Raises StoreFailed."""
        return durable.read(example.path)

    def remove_example(self, example_id: str) -> None:
        """Move an example to the bin. Raises UnknownExample, StoreFailed."""
        example = self._example(example_id)
        self._discard(example.path, f"{example.path.parent.name}/{example.path.name}")
        self._forget_example(example_id)

    def set_aside(self, example_id: str) -> None:
        """Move an example that turns out to be unreadable out of its class. Raises UnknownExample, StoreFailed."""
        example = self._example(example_id)
        if example.path.exists():
            set_aside(self.root, example.path)
        self._forget_example(example_id)

    def purge(self, now: datetime) -> int:
        """Remove for good what was deleted more than a week ago; return how many deletions. Raises StoreFailed."""
        return purge(self.root / BIN, now)

    def _class(self, class_id: str) -> LearnedClass:
        if class_id not in self._classes:
            raise UnknownClass(f"there is no class {class_id!r}", name=class_id)
        return self._classes[class_id]

    def _example(self, example_id: str) -> Example:
        if example_id not in self._examples:
            raise UnknownExample(f"there is no example {example_id!r}", name=example_id)
        return self._examples[example_id]

    def _free_label(self, label: str, but_for: str | None = None) -> str:
        kept = names.check_label(label)
        for learned in self._classes.values():
            if learned.id != but_for and names.fold(learned.label) == names.fold(kept):
                raise ClassExists(f"there is a class {learned.label!r} already", name=learned.label)
        return kept

    def _is_occupied(self, name: str, own: str, others: list[LearnedClass]) -> bool:
        """Whether a class folder can't take this name from its own."""
        if folder_is_taken(self.root, others, name):
            return True
        path, current = self.root / name, self.root / own
        return path.exists() and not (current.exists() and path.samefile(current))

    def _mark(self, learned: LearnedClass) -> None:
        """Commit a class to disk, then to memory."""
        durable.write(self.root / learned.folder / names.MARKER, marker_of(learned))
        self._keep_class(learned)

    def _keep_class(self, learned: LearnedClass) -> None:
        self._classes = MappingProxyType({**self._classes, learned.id: learned})

    def _forget_example(self, example_id: str) -> None:
        self._examples = MappingProxyType({key: one for key, one in self._examples.items() if key != example_id})

    def _discard(self, path: Path, place: str) -> None:
        """Move something to the bin; the user may have removed it by hand before."""
        if path.exists():
            discard(self.root / BIN, path, place, self._clock())
