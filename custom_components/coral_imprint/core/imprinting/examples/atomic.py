"""File operations that survive a crash or a power cut at any point.

Each one is made of the primitive steps below and leaves, wherever it is cut off, the old state or the new one, plus at
most a file with a temporary name. All raise StoreFailed, naming the file but never its folder, when the disk refuses.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
import os
from pathlib import Path
import shutil
from typing import BinaryIO

from ..errors import StoreFailed

TEMPORARY = ".tmp-"


# The primitive steps. Everything that changes the disk goes through one of them, so that a test can cut in anywhere.


def step_open(path: Path, flags: int) -> int:
    """Open a file or folder and return its descriptor."""
    return os.open(path, flags, 0o644)


def step_write(descriptor: int, data: memoryview, offset: int) -> int:
    """Write some of the data and return how many bytes."""
    return os.pwrite(descriptor, data, offset)


def step_sync(descriptor: int) -> None:
    """Wait until the disk has it."""
    os.fsync(descriptor)


def step_rename(source: Path, target: Path) -> None:
    """Give a file or folder another name; a file replaces another one."""
    source.replace(target)


def step_mkdir(path: Path) -> None:
    """Make one folder."""
    path.mkdir()


def step_unlink(path: Path) -> None:
    """Remove one file."""
    path.unlink()


def step_remove_tree(path: Path) -> None:
    """Remove a folder and everything in it; symbolic links are not followed."""
    shutil.rmtree(path)


def write(path: Path, data: bytes) -> None:
    """Put a file in place, whole or not at all, replacing an earlier one. On disk when it returns."""
    temporary = path.with_name(TEMPORARY + path.name)
    with _refusal_named(path):
        try:
            _fill(temporary, data)
            step_rename(temporary, path)
        except OSError:
            with suppress(OSError):
                step_unlink(temporary)
            raise
        _sync_folder(path.parent)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Give a file to write that is put in place when the block ends, whole; not at all where the block is left by an error."""
    temporary = path.with_name(TEMPORARY + path.name)
    with _refusal_named(path):
        descriptor = step_open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW)
        done = False
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file
                file.flush()
                step_sync(descriptor)
            step_rename(temporary, path)
            done = True
        finally:
            if not done:
                with suppress(OSError):
                    step_unlink(temporary)
        _sync_folder(path.parent)


def append(path: Path, data: bytes, offset: int) -> None:
    """Put data into a file behind what is known of it, making the file where ``offset`` is 0. On disk when it returns.

    Cut off, it leaves a part of the data, which the next attempt at the same offset overwrites.
    """
    with _refusal_named(path):
        descriptor = step_open(path, os.O_WRONLY | os.O_NOFOLLOW | (0 if offset else os.O_CREAT))
        try:
            _write_all(descriptor, data, offset)
            step_sync(descriptor)
        finally:
            os.close(descriptor)
        if not offset:
            _sync_folder(path.parent)


def write_at(path: Path, data: bytes, offset: int) -> None:
    """Write into an existing file; not atomic and not waited for: only for what can be derived again."""
    with _refusal_named(path):
        descriptor = step_open(path, os.O_WRONLY | os.O_NOFOLLOW)
        try:
            _write_all(descriptor, data, offset)
        finally:
            os.close(descriptor)


def move(source: Path, target: Path) -> None:
    """Rename a file or folder, perhaps into another folder of the same disk. On disk when it returns."""
    with _refusal_named(source):
        step_rename(source, target)
        _sync_folder(target.parent)
        if source.parent != target.parent:
            _sync_folder(source.parent)


def move_all(moves: Sequence[tuple[Path, Path]]) -> None:
    """Rename many files of the same disk, one after the other. On disk when it returns; cut off, some of them are moved."""
    for source, target in moves:
        with _refusal_named(source):
            step_rename(source, target)
    for folder in sorted({path.parent for move in moves for path in move}):
        with _refusal_named(folder):
            _sync_folder(folder)


def make_folder(path: Path) -> None:
    """Make a folder, and those above it that are missing. On disk when it returns."""
    if path.is_dir():
        return
    make_folder(path.parent)
    with _refusal_named(path):
        # Another owner may make the same parent at the same time.
        with suppress(FileExistsError):
            step_mkdir(path)
        _sync_folder(path.parent)


def remove(path: Path) -> None:
    """Remove a file if it is there. On disk when it returns."""
    with _refusal_named(path):
        try:
            step_unlink(path)
        except FileNotFoundError:
            return
        _sync_folder(path.parent)


def remove_tree(path: Path) -> None:
    """Remove a folder and everything in it. When cut off, part of it may be left."""
    with _refusal_named(path):
        step_remove_tree(path)
        _sync_folder(path.parent)


def read(path: Path, limit: int | None = None) -> bytes:
    """Read a file, at most ``limit`` bytes of it; symbolic links are not followed."""
    with _refusal_named(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "rb") as file:
            return file.read(-1 if limit is None else limit)


def open_file(path: Path) -> BinaryIO:
    """Open a file to be read part by part; symbolic links are not followed."""
    with _refusal_named(path):
        return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb")


def status(path: Path) -> os.stat_result:
    """Return size and times of a file; symbolic links are not followed."""
    with _refusal_named(path):
        return path.lstat()


def folders(folder: Path) -> list[Path]:
    """List the folders in a folder by name; symbolic links are left out."""
    with _refusal_named(folder), os.scandir(folder) as entries:
        return sorted(folder / entry.name for entry in entries if entry.is_dir(follow_symlinks=False))


def files(folder: Path) -> list[tuple[Path, os.stat_result]]:
    """List the regular files in a folder by name, with size and times; symbolic links are left out."""
    with _refusal_named(folder), os.scandir(folder) as entries:
        found = [entry for entry in entries if entry.is_file(follow_symlinks=False)]
        return sorted((folder / entry.name, entry.stat(follow_symlinks=False)) for entry in found)


def sweep(folder: Path) -> int:
    """Remove what a crash left under a temporary name in one folder; return how many files that were."""
    with _refusal_named(folder):
        leftovers = [path for path in folder.iterdir() if path.name.startswith(TEMPORARY) and not path.is_dir()]
        for path in leftovers:
            step_unlink(path)
    return len(leftovers)


def _fill(path: Path, data: bytes) -> None:
    descriptor = step_open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW)
    try:
        _write_all(descriptor, data, 0)
        step_sync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes, offset: int) -> None:
    left = memoryview(data)
    while left:
        written = step_write(descriptor, left, offset)
        left, offset = left[written:], offset + written


def _sync_folder(folder: Path) -> None:
    descriptor = step_open(folder, os.O_RDONLY)
    try:
        step_sync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _refusal_named(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as err:
        # The error's own text holds the whole path.
        raise StoreFailed(f"{path.name}: {err.strerror or type(err).__name__}") from err
