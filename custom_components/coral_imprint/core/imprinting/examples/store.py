"""The example store: whole frames as JPEG files in a folder per class. The disk is the truth, memory follows it."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
import hashlib
from pathlib import Path
from uuid import uuid4

from ..errors import (
    ClassExists,
    NothingToRedo,
    NothingToUndo,
    StoreFailed,
    UndoImpossible,
    UnknownClass,
    UnknownExample,
    UnreadablePicture,
)
from . import atomic, names
from .bin import free_place, purge
from .importing import Importing
from .index import ExampleIndex, value_of
from .journal import Change, Journal, Step, Subject, Value, Way, moved
from .loading import BIN, LARGEST, Loader, folder_is_taken, forget_seen, next_moment, set_aside
from .picture_files import folders_of_pictures, originals_of, pictures_of
from .records import Example, LearnedClass, Report

JOURNAL = ".journal.json"


def _utc_now() -> datetime:
    return datetime.now(UTC)


class ExampleStore:
    """The classes and examples of one classifier.

    For one owner: only one thread at a time may call what changes or reads the disk. What only reads memory
    (``classes``, ``class_named``, ``examples``) may be used from any thread at any time: memory is replaced as a whole,
    after the disk has the change. Everything that touches the disk may raise StoreFailed; then the change has either not
    happened or is seen by the next ``load``, and it may be tried again.

    What changes classes, labels or examples is noted, and can be undone and made again in order, after a restart too:
    ``undo``, ``redo``. Ids outlive that. What is done by hand in the folders is not noted; where it is in the way of
    an undo, that change is given up with UndoImpossible and the one before it comes next.
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
        self.index = ExampleIndex(root)
        """What is filed, in memory. To be read by anyone, from any thread, and changed by the store alone."""
        self._journal = Journal(root / JOURNAL)

    def load(self) -> Report:
        """Read the folder, put right what a crash left, adopt pictures that were dropped in.

        May be called again at any time.
        """
        loader = Loader(self.root, self._to_jpeg, self._unreadable, self._clock())
        report = loader.run()
        self.index.take_over(loader.tree)
        self._journal.read()
        self._carry_on()
        self._journal.settle(self.index.happened, self._clock(), self.index.is_halfway)
        with suppress(StoreFailed):
            self.index.imports.sweep(self._journal.mentions)
        return report

    @property
    def classes(self) -> Mapping[str, LearnedClass]:
        """The classes by id, in creation order."""
        return self.index.classes

    def class_named(self, name: str) -> LearnedClass:
        """Return the class of this label, whatever its case, or of this id. Raises UnknownClass."""
        for learned in self.index.classes.values():
            if names.fold(learned.label) == names.fold(name.strip()):
                return learned
        if name in self.index.classes:
            return self.index.classes[name]
        raise UnknownClass(f"there is no class {name!r}", name=name)

    def examples(self, class_id: str | None = None) -> list[Example]:
        """Return the examples, or those of one class, in the order they were captured."""
        chosen = [one for one in self.index.examples.values() if class_id is None or one.class_id == class_id]
        return sorted(chosen, key=lambda one: (one.captured, one.id))

    @property
    def taught(self) -> str:
        """A digest (32 hexadecimal digits) of what is taught: classes, whether background, and the examples of each.

        The same again when it is undone; the labels don't matter.
        """
        lines = [f"{learned.id} {learned.background}" for learned in self.index.classes.values()]
        lines += [f"{one.class_id} {one.key.hex()}" for one in self.index.examples.values()]
        return hashlib.blake2b("\n".join(sorted(lines)).encode(), digest_size=16).hexdigest()

    @property
    def next_undo(self) -> Change | None:
        """The change that ``undo`` takes back, if nothing is in its way."""
        return self._journal.ahead("undo")

    @property
    def next_redo(self) -> Change | None:
        """The change that ``redo`` makes again, if nothing is in its way."""
        return self._journal.ahead("redo")

    def begin(self, labels: Iterable[str], background: str | None = None) -> None:
        """Make the first classes of a new classifier, which undoing does not reach; one that is there is left as it is.

        ``background`` is the label of one more that is background; none where it is None or empty. Raises InvalidLabel,
        StoreFailed; doing it again finishes it.
        """
        meanings = [*((label, False) for label in labels), *([(background, True)] if background else [])]
        for label, is_background in meanings:
            with suppress(ClassExists):
                self._make(self._new_class(label, is_background))

    def add_class(self, label: str, background: bool = False) -> LearnedClass:
        """Make a class. Raises InvalidLabel, ClassExists, StoreFailed."""
        learned = self._new_class(label, background)
        step = self._begin("class", learned.id, None, value_of(learned))
        self._make(learned)
        self._journal.finish(step)
        return learned

    def rename_class(self, class_id: str, label: str) -> LearnedClass:
        """Give a class another label; its id stays. Raises UnknownClass, InvalidLabel, ClassExists, StoreFailed."""
        learned = self.index.learned(class_id)
        return self._change_class(learned, self.index.free_label(label, class_id), learned.background)

    def set_background(self, class_id: str, background: bool) -> LearnedClass:
        """Say whether a class means "nothing to report". Raises UnknownClass, StoreFailed."""
        learned = self.index.learned(class_id)
        return self._change_class(learned, learned.label, background)

    def remove_class(self, class_id: str) -> None:
        """Move a class with its examples to the bin. Raises UnknownClass, StoreFailed."""
        learned = self.index.learned(class_id)
        if not (self.root / learned.folder).exists():
            # Removed by hand before.
            self.index.forget_class(class_id)
            return
        self._do("class", class_id, value_of(learned), None, learned.folder)

    def add_example(self, class_id: str, picture: bytes) -> Example:
        """File a picture under a class; it is on disk when this returns.

        Raises UnknownClass, UnreadablePicture, StoreFailed.
        """
        learned = self.index.learned(class_id)
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
            if example_id not in self.index.examples and not (path := folder / f"{example_id}{names.SUFFIX}").exists()
        )
        step = self._begin("example", path.stem, None, class_id)
        try:
            atomic.write(path, jpeg)
        except StoreFailed:
            # In place, perhaps, but not surely on disk: not acknowledged, so it must not turn up later.
            with suppress(StoreFailed):
                atomic.remove(path)
            raise
        example = self.index.keep_example(path, class_id)
        self._journal.finish(step)
        return example

    def begin_import(self) -> Importing:
        """Return what takes many pictures in as one change. Nothing else may change the store until it is finished."""
        return Importing(
            self.root,
            self.index,
            self._journal,
            self.index.imports,
            to_jpeg=lambda picture: self._converted(picture) if 0 < len(picture) <= LARGEST else None,
            add_class=self.add_class,
            clock=self._clock,
        )

    def read(self, example: Example) -> bytes:
        """Return an example's picture as it was filed. Raises StoreFailed."""
        return atomic.read(example.path)

    def relabel_example(self, example_id: str, class_id: str) -> Example:
        """File an example under another class; its id stays. Raises UnknownExample, UnknownClass, StoreFailed."""
        example = self.index.example(example_id)
        learned = self.index.learned(class_id)
        if example.class_id == class_id:
            return example
        if not example.path.exists() or (self.root / learned.folder / example.path.name).exists():
            # An attempt that failed came through after all, or a file of that name was dropped in: adopting renames it.
            self.load()
            example, learned = self.index.example(example_id), self.index.learned(class_id)
            if example.class_id == class_id:
                return example
        self._do("example", example_id, example.class_id, class_id)
        return self.index.examples[example_id]

    def remove_example(self, example_id: str) -> None:
        """Move an example to the bin. Raises UnknownExample, StoreFailed."""
        example = self.index.example(example_id)
        if not example.path.exists():
            # Removed by hand before.
            self.index.forget_example(example_id)
            return
        self._do("example", example_id, example.class_id, None, f"{example.path.parent.name}/{example.path.name}")

    def traces(self, example_id: str) -> list[Path]:
        """Return the files that hold an example's picture: in its class, in the bin, set aside; originals come first.

        Reads the folder anew. Raises UnknownExample where there is neither a picture nor a change of it; StoreFailed.
        """
        self.load()
        pictures = pictures_of(self.root, example_id)
        if not pictures and not self._journal.mentions(example_id):
            raise UnknownExample(f"there is no example {example_id!r}", name=example_id)
        return [*originals_of(self.root, example_id, pictures, self._converted), *pictures]

    def erase_example(self, example_id: str) -> int:
        """Remove a picture for good, out of its class and out of the bin; return how many files that were.

        Can't be undone, and the journal forgets the example. What was made from it elsewhere (embeddings, versions of
        the head) is not the store's: ``erasing.erase_example``. Raises UnknownExample, StoreFailed.
        """
        found = self.traces(example_id)
        self._journal.commit()
        self.index.imports.forget(example_id)
        for folder in folders_of_pictures(self.root):
            forget_seen(folder, example_id + names.SUFFIX)
        for path in found:
            atomic.remove(path)
        self.index.forget_example(example_id)
        self._journal.forget(example_id)
        return len(found)

    def set_aside(self, example_id: str) -> None:
        """Move an example that turns out to be unreadable out of its class. Raises UnknownExample, StoreFailed."""
        example = self.index.example(example_id)
        if example.path.exists():
            set_aside(self.root, example.path)
        self.index.forget_example(example_id)

    def undo(self) -> Change:
        """Take back the last change that is in force and return it.

        Raises NothingToUndo; UndoImpossible where something was changed by hand since, and then this change is given
        up; StoreFailed, and then trying again does not take back more than the one.
        """
        return self._step("undo")

    def redo(self) -> Change:
        """Make the change again that was undone last and return it. Raises NothingToRedo, and as ``undo``."""
        return self._step("redo")

    def purge(self, now: datetime) -> int:
        """Remove for good what was deleted more than a week ago; return how many deletions. Raises StoreFailed."""
        return purge(self.root / BIN, now)

    # Steps

    def _carry_on(self) -> None:
        """Finish moving the examples of imports whose undo or redo was cut off; a disk that refuses leaves it to the next load."""
        for step in self._journal.pending:
            if self.index.is_halfway(step):
                with suppress(StoreFailed):
                    self.index.perform(step)

    def _step(self, way: Way) -> Change:
        tried = [step for step in self._journal.pending if step.way == way]
        # What was done by hand since is seen, and whether an attempt that failed came through after all.
        self.load()
        if tried and self._journal.is_taken(tried[-1]):
            return tried[-1].change
        if any(map(self.index.is_halfway, self._journal.pending)):
            raise StoreFailed("an earlier undo could not be finished")
        change = self._journal.ahead(way)
        if change is None:
            raise NothingToUndo("nothing to undo") if way == "undo" else NothingToRedo("nothing to redo")
        step = Step(way, change)
        if reason := self.index.obstacle(step):
            self._journal.drop(change)
            raise UndoImpossible(reason)
        if step.target is None:
            step = moved(step, free_place(self.root / BIN, self.index.bin_name(change), self._clock()))
        self._journal.begin(step)
        self.index.perform(step)
        if step.origin is None and step.change.subject == "class":
            self.load()
        self._journal.finish(step)
        return step.change

    def _new_class(self, label: str, background: bool) -> LearnedClass:
        """Describe a class that is not there yet. Raises InvalidLabel, ClassExists."""
        kept, others = self.index.free_label(label), self.index.classes.values()
        return LearnedClass(
            uuid4().hex,
            kept,
            background,
            next_moment(others, self._clock().astimezone(UTC)),
            names.free_folder_name(kept, lambda name: folder_is_taken(self.root, others, name)),
        )

    def _make(self, learned: LearnedClass) -> None:
        atomic.make_folder(self.root / learned.folder)
        self.index.mark(learned)

    def _begin(self, subject: Subject, own_id: str, before: Value, after: Value, place: str = "") -> Step:
        """Note a change that is about to be made; ``place`` is what becomes of its name in the bin."""
        now = self._clock()
        where = free_place(self.root / BIN, place, now) if place else ""
        number = self._journal.next_number()
        change = Change(number=number, at=now, subject=subject, id=own_id, before=before, after=after, place=where)
        step = Step("do", change)
        self._journal.begin(step)
        return step

    def _do(self, subject: Subject, own_id: str, before: Value, after: Value, place: str = "") -> None:
        step = self._begin(subject, own_id, before, after, place)
        self.index.perform(step)
        self._journal.finish(step)

    def _change_class(self, learned: LearnedClass, label: str, background: bool) -> LearnedClass:
        if (label, background) != value_of(learned):
            self._do("class", learned.id, value_of(learned), (label, background))
            return self.index.classes[learned.id]
        return self.index.change_class(learned, label, background)

    def _converted(self, picture: bytes) -> bytes | None:
        try:
            return self._to_jpeg(picture)
        except self._unreadable:
            return None
