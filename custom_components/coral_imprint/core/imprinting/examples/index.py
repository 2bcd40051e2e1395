"""The classes and examples of one classifier as they are filed: on disk, and in memory after the disk.

What the store does, undoes and makes again all comes down to ``perform``: an example, or a class, goes from one value to
another (``journal.Value``).
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
import threading
from types import MappingProxyType
from typing import Final

from ..errors import ClassExists, UnknownClass, UnknownExample
from . import atomic, names
from .bin import put
from .import_lists import Imports
from .journal import IMPORTED, Change, Step, Value
from .loading import BIN, Tree, folder_is_taken, move_class_folder
from .records import Example, LearnedClass, example_at, marker_of

CHANGED: Final = "it was changed in another way since"
GONE_FROM_BIN: Final = "it is not in the bin any more"
CLASS_GONE: Final = "its class is not there any more"
NAME_TAKEN: Final = "its name has been taken since"
NOT_EMPTY: Final = "the class holds pictures that were put there by hand"


class ExampleIndex:
    """Memory is replaced as a whole, after the disk has the change, so that any thread may read it at any time.

    Who replaces it holds a lock meanwhile: an example may be set aside while another one is filed, and neither may be lost.
    """

    def __init__(self, root: Path) -> None:
        """Take the classifier's folder without touching it."""
        self.root = root
        self.classes: Mapping[str, LearnedClass] = MappingProxyType({})
        """By id, in creation order."""
        self.examples: Mapping[str, Example] = MappingProxyType({})
        """By id."""
        self.imports = Imports(root)
        self._replacing = threading.RLock()
        self._counted: tuple[Mapping[str, LearnedClass], Mapping[str, Example], Mapping[str, int]] | None = None
        """Classes, examples and how many each class has, when they were counted last."""

    @property
    def counts(self) -> Mapping[str, int]:
        """How many examples each class has, by class id. Counted once after each change."""
        classes, examples, counted = self.classes, self.examples, self._counted
        if counted is None or counted[0] is not classes or counted[1] is not examples:
            found = Counter(example.class_id for example in examples.values())
            counts = MappingProxyType({class_id: found[class_id] for class_id in (*classes, *found)})
            self._counted = counted = (classes, examples, counts)
        return counted[2]

    def take_over(self, tree: Tree) -> None:
        """Take what was read from the folder for what is there."""
        with self._replacing:
            self.classes = MappingProxyType(tree.classes)
            self.examples = MappingProxyType(tree.examples)

    def learned(self, class_id: str) -> LearnedClass:
        """Return a class. Raises UnknownClass."""
        if class_id not in self.classes:
            raise UnknownClass(f"there is no class {class_id!r}", name=class_id)
        return self.classes[class_id]

    def example(self, example_id: str) -> Example:
        """Return an example. Raises UnknownExample."""
        if example_id not in self.examples:
            raise UnknownExample(f"there is no example {example_id!r}", name=example_id)
        return self.examples[example_id]

    def free_label(self, label: str, but_for: str | None = None) -> str:
        """Return the label as it is kept. Raises InvalidLabel, or ClassExists where another class has it."""
        kept = names.check_label(label)
        for learned in self.classes.values():
            if learned.id != but_for and names.fold(learned.label) == names.fold(kept):
                raise ClassExists(f"there is a class {learned.label!r} already", name=learned.label)
        return kept

    # What the disk has

    def mark(self, learned: LearnedClass) -> None:
        """Commit a class to disk, then to memory. Raises StoreFailed."""
        atomic.write(self.root / learned.folder / names.MARKER, marker_of(learned))
        self._keep_class(learned)

    def keep_example(self, path: Path, class_id: str) -> Example:
        """Take a file that is on disk into memory. Raises StoreFailed."""
        example = example_at(path, class_id, atomic.status(path))
        with self._replacing:
            self.examples = MappingProxyType({**self.examples, example.id: example})
        return example

    def keep_examples(self, placed: Iterable[tuple[Path, str]]) -> list[Example]:
        """Take files that are on disk, each with the id of its class, into memory together. Raises StoreFailed."""
        found = [example_at(path, class_id, atomic.status(path)) for path, class_id in placed]
        with self._replacing:
            self.examples = MappingProxyType({**self.examples, **{example.id: example for example in found}})
        return found

    def forget_example(self, example_id: str) -> None:
        """Take in that an example is not there any more."""
        self.forget_examples({example_id})

    def forget_examples(self, example_ids: Collection[str]) -> None:
        """Take in that examples are not there any more."""
        self._keep_only(lambda example: example.id not in example_ids)

    def forget_class(self, class_id: str) -> None:
        """Take in that a class is not there any more, nor its examples."""
        with self._replacing:
            self.classes = MappingProxyType({key: one for key, one in self.classes.items() if key != class_id})
            self._keep_only(lambda example: example.class_id != class_id)

    def _keep_only(self, stays: Callable[[Example], bool]) -> None:
        with self._replacing:
            self.examples = MappingProxyType({key: one for key, one in self.examples.items() if stays(one)})

    def change_class(self, learned: LearnedClass, label: str, background: bool) -> LearnedClass:
        """Give a class a label that is free and a meaning. Raises StoreFailed."""
        changed = replace(learned, label=label, background=background)
        self.mark(changed)
        if names.folder_fits(learned.folder, label):
            return changed
        others = [other for other in self.classes.values() if other.id != learned.id]
        wanted = names.free_folder_name(label, lambda name: self._is_occupied(name, learned.folder, others))
        folder = move_class_folder(self.root, learned.folder, wanted)
        changed = replace(changed, folder=folder)
        self._keep_class(changed)
        with self._replacing:
            self.examples = MappingProxyType(
                {
                    one.id: replace(one, path=self.root / folder / one.path.name) if one.class_id == learned.id else one
                    for one in self.examples.values()
                }
            )
        return changed

    # Steps

    def value(self, change: Change) -> Value:
        """Return what the example or class of a change has now; an import is there while any of its examples is."""
        if change.subject == "import":
            return IMPORTED if self._imported(change) else None
        if change.subject == "example":
            example = self.examples.get(change.id)
            return None if example is None else example.class_id
        learned = self.classes.get(change.id)
        return None if learned is None else value_of(learned)

    def happened(self, step: Step) -> bool:
        """Whether a step that was begun was taken."""
        if self.value(step.change) != step.target:
            return False
        if step.change.subject == "import" and step.target is not None:
            return step.way == "do" or not self._binned(step.change)
        return step.target is not None or self._in_bin(step.change).exists()

    def is_halfway(self, step: Step) -> bool:
        """Whether a step that was begun moved some of the examples that it is to move, and not all."""
        taken_back = step.change.subject == "import" and step.way != "do" and bool(step.change.place)
        return taken_back and not self.happened(step) and bool(self._binned(step.change))

    def bin_name(self, change: Change) -> str:
        """Return what the example, class or import of a change, which is there, is called in the bin."""
        if change.subject == "import":
            return change.id
        if change.subject == "class":
            return self.classes[change.id].folder
        path = self.examples[change.id].path
        return f"{path.parent.name}/{path.name}"

    def obstacle(self, step: Step) -> str | None:
        """Return why a change can't be undone or made again, or None where it can."""
        change, target = step.change, step.target
        if self.value(change) != step.origin:
            return CHANGED
        if step.origin is None and not self._in_bin(change).exists():
            return GONE_FROM_BIN
        if change.subject == "import":
            return self._import_obstacle(change) if step.way == "redo" else None
        if isinstance(target, str):
            if target not in self.classes:
                return CLASS_GONE
            return NAME_TAKEN if self._example_path(change.id, target).exists() else None
        if target is not None:
            others = (other for other in self.classes.values() if other.id != change.id)
            return NAME_TAKEN if any(names.fold(one.label) == names.fold(target[0]) for one in others) else None
        by_hand = change.before is None and any(one.class_id == change.id for one in self.examples.values())
        return NOT_EMPTY if change.subject == "class" and by_hand else None

    def perform(self, step: Step) -> None:
        """Take a step that nothing is in the way of; a class that comes back is in memory after the next load.

        Raises StoreFailed.
        """
        change, target = step.change, step.target
        if change.subject == "import":
            self._move_import(change, target)
        elif change.subject == "example":
            self._move_example(change, target)
        elif target is None:
            put(self.root / self.classes[change.id].folder, self._in_bin(change))
            self.forget_class(change.id)
        elif step.origin is None:
            atomic.move(self._in_bin(change), self.root / self._folder_back(change, str(target[0])))
        else:
            self.change_class(self.classes[change.id], str(target[0]), bool(target[1]))

    def _move_example(self, change: Change, target: Value) -> None:
        example = self.examples.get(change.id)
        source = self._in_bin(change) if example is None else example.path
        if target is None:
            put(source, self._in_bin(change))
            self.forget_example(change.id)
            return
        path = self._example_path(change.id, str(target))
        atomic.move(source, path)
        self.keep_example(path, str(target))

    def _move_import(self, change: Change, target: Value) -> None:
        """Move what is left of an import to its place in the bin, or what lies there back. Doing it again finishes it."""
        place, classes = self._in_bin(change), self.imports.examples(change.id)
        if target is None:
            atomic.make_folder(place)
            here = self._imported(change)
            atomic.move_all([(example.path, place / example.path.name) for example in here])
            self.forget_examples({example.id for example in here})
            return
        back = [(path, self._example_path(path.stem, classes[path.stem])) for path in self._binned(change)]
        atomic.move_all(back)
        self.keep_examples((path, classes[path.stem]) for _, path in back)

    def _imported(self, change: Change) -> list[Example]:
        """Return those of an import's examples that are there as they came."""
        found = ((self.examples.get(key), class_id) for key, class_id in self.imports.examples(change.id).items())
        return [example for example, class_id in found if example and example.class_id == class_id]

    def _binned(self, change: Change) -> list[Path]:
        """Return those of an import's pictures that are in the bin, and could go back."""
        place, classes = self._in_bin(change), self.imports.examples(change.id)
        found = [path for path, _ in atomic.files(place)] if place.is_dir() else []
        return [path for path in found if classes.get(path.stem) in self.classes and path.suffix == names.SUFFIX]

    def _import_obstacle(self, change: Change) -> str | None:
        """Return why an import can't be made again."""
        back = self._binned(change)
        if not back:
            return CLASS_GONE if any(path for path, _ in atomic.files(self._in_bin(change))) else GONE_FROM_BIN
        classes = self.imports.examples(change.id)
        taken = any(
            path.stem in self.examples or self._example_path(path.stem, classes[path.stem]).exists() for path in back
        )
        return NAME_TAKEN if taken else None

    def _in_bin(self, change: Change) -> Path:
        return self.root / BIN / (change.place or "nowhere")

    def _example_path(self, example_id: str, class_id: str) -> Path:
        return self.root / self.classes[class_id].folder / (example_id + names.SUFFIX)

    def _folder_back(self, change: Change, label: str) -> str:
        """Return the folder that a class comes back to: its own if nothing else has that."""
        own = self._in_bin(change).name
        return own if not self._blocks(own) else names.free_folder_name(label, self._blocks)

    def _blocks(self, name: str) -> bool:
        return folder_is_taken(self.root, self.classes.values(), name) or (self.root / name).exists()

    def _is_occupied(self, name: str, own: str, others: list[LearnedClass]) -> bool:
        """Whether a class folder can't take this name from its own."""
        if folder_is_taken(self.root, others, name):
            return True
        path, current = self.root / name, self.root / own
        return path.exists() and not (current.exists() and path.samefile(current))

    def _keep_class(self, learned: LearnedClass) -> None:
        with self._replacing:
            self.classes = MappingProxyType({**self.classes, learned.id: learned})


def value_of(learned: LearnedClass) -> Value:
    """Return what a change notes about a class."""
    return learned.label, learned.background
