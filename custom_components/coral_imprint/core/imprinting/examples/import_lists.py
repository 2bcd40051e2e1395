"""Which examples came with which import: what the journal's one change per import stands for.

A list per import, appended to before the examples are put in place, so that whatever an import was cut off in is known.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from . import atomic, names

FOLDER: Final = ".imports"
_SUFFIX: Final = ".list"


class Imports:
    """The lists of a classifier's imports, by the imports' ids. For one owner: not thread-safe."""

    def __init__(self, root: Path) -> None:
        """Take the classifier's folder without touching it."""
        self._folder = root / FOLDER
        self._known: dict[str, Mapping[str, str]] = {}

    def examples(self, import_id: str) -> Mapping[str, str]:
        """Return the ids of the classes of an import's examples, by the examples' ids; those that never came to be too."""
        if import_id not in self._known:
            path = self._path(import_id)
            self._known[import_id] = _read(path) if path.is_file() else {}
        return self._known[import_id]

    def add(self, import_id: str, classes: Mapping[str, str]) -> None:
        """Note examples that are about to be put in place, and their classes. Raises StoreFailed, and then they must not be."""
        atomic.make_folder(self._folder)
        known = self.examples(import_id)
        before = sum(len(_line(*one)) for one in known.items())
        atomic.append(self._path(import_id), b"".join(_line(*one) for one in classes.items()), before)
        self._known[import_id] = {**known, **classes}

    def forget(self, example_id: str) -> None:
        """Strike an example from every list. Raises StoreFailed."""
        for path in self._paths():
            known = _read(path)
            if example_id in known:
                left = {key: own for key, own in known.items() if key != example_id}
                atomic.write(path, b"".join(_line(*one) for one in left.items()))
                self._known.pop(path.stem, None)

    def sweep(self, is_needed: Callable[[str], bool]) -> None:
        """Remove the lists of imports that nobody can undo any more. Raises StoreFailed."""
        for path in self._paths():
            if not is_needed(path.stem):
                atomic.remove(path)
                self._known.pop(path.stem, None)

    def _path(self, import_id: str) -> Path:
        return self._folder / (import_id + _SUFFIX)

    def _paths(self) -> Iterable[Path]:
        found = atomic.files(self._folder) if self._folder.is_dir() else []
        return [path for path, _ in found if path.suffix == _SUFFIX]


def _line(example_id: str, class_id: str) -> bytes:
    return f"{class_id} {example_id}\n".encode()


def _read(path: Path) -> dict[str, str]:
    """Return what a list says. A last line without an end was cut off: its examples were not put in place."""
    whole, _, _ = atomic.read(path).rpartition(b"\n")
    found: dict[str, str] = {}
    for line in whole.decode("ascii", "replace").splitlines():
        class_id, _, example_id = line.partition(" ")
        if names.is_example_id(example_id):
            found[example_id] = class_id
    return found
