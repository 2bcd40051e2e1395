"""The files that hold an example's picture, wherever in the classifier's folder they lie."""

from collections.abc import Callable, Collection
from pathlib import Path

from . import atomic, names
from .loading import BIN, LARGEST, UNREADABLE


def folders_of_pictures(root: Path) -> list[Path]:
    """Return the folders that pictures may lie in: of classes, in the bin, of what was set aside. Raises StoreFailed."""
    classes = [folder for folder in atomic.folders(root) if names.is_visible(folder.name)]
    return [*classes, *_binned(root), *_folders(root / UNREADABLE)]


def pictures_of(root: Path, example_id: str) -> list[Path]:
    """Return the files that are called after an example. Raises StoreFailed."""
    if not example_id or Path(example_id).name != example_id:
        # It comes from the user, and must not lead out of the folders.
        return []
    paths = (folder / (example_id + names.SUFFIX) for folder in folders_of_pictures(root))
    return [path for path in paths if path.is_file() and not path.is_symlink()]


def originals_of(
    root: Path, example_id: str, pictures: Collection[Path], to_jpeg: Callable[[bytes], bytes | None]
) -> list[Path]:
    """Return the files in the bin that an example's ``pictures`` were made of, in another format. Raises StoreFailed.

    ``to_jpeg`` returns a picture as JPEG, None where it can't.
    """
    contents = {atomic.read(path) for path in pictures}
    found = []
    for path in [path for folder in _binned(root) for path, _ in atomic.files(folder)]:
        if path.suffix.lower() in names.PICTURE_SUFFIXES and _may_be_named(path.stem, example_id):
            content = atomic.read(path, LARGEST)
            if content not in contents and to_jpeg(content) in contents:
                found.append(path)
    return found


def _may_be_named(stem: str, example_id: str) -> bool:
    """Whether a picture that the user called ``stem`` may have got this id."""
    base = next(names.adopted_ids(stem))
    return example_id == base or (example_id.startswith(f"{base}-") and example_id[len(base) + 1 :].isdecimal())


def _binned(root: Path) -> list[Path]:
    return [folder for moment in _folders(root / BIN) for folder in atomic.folders(moment)]


def _folders(folder: Path) -> list[Path]:
    return atomic.folders(folder) if folder.is_dir() else []
