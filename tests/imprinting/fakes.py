"""Pictures and clocks for the example store's tests. The store only passes pictures on, so text does for them."""

from datetime import UTC, datetime, timedelta
import errno
import hashlib
from pathlib import Path
import random

import pytest

from imprinting import ExampleStore
from imprinting.examples import atomic

JPEG = b"\xff\xd8\xff"
OTHER = b"\x89PNG"
START = datetime(2026, 11, 20, 18, 30, 12, 345678, UTC)


class NotAPicture(Exception):
    """What the stand-in for the decoder raises."""


def jpeg(text: str) -> bytes:
    """Return a JPEG, as far as the store can tell."""
    return JPEG + text.encode() + bytes(range(256)) * 4


def png(text: str) -> bytes:
    """Return a picture that has to be converted."""
    return OTHER + jpeg(text)


def to_jpeg(picture: bytes) -> bytes:
    """Stand in for the decoder: JPEG unchanged, PNG converted, all else refused."""
    if picture.startswith(JPEG):
        return picture
    if picture.startswith(OTHER):
        return picture[len(OTHER) :]
    raise NotAPicture("no picture")


class Clock:
    """A clock that goes on by a second at each look at it."""

    def __init__(self, now: datetime = START) -> None:
        """Begin at a moment."""
        self.now = now

    def __call__(self) -> datetime:
        """Return the time."""
        self.now += timedelta(seconds=1)
        return self.now


def new_store(root: Path, clock: Clock | None = None) -> ExampleStore:
    """Return a store that has not loaded yet."""
    return ExampleStore(root, to_jpeg, NotAPicture, clock or Clock())


def loaded(root: Path) -> ExampleStore:
    """Return a store that has loaded."""
    store = new_store(root)
    store.load()
    return store


Snapshot = dict[str, tuple[bool, dict[str, bytes]]]


def snapshot(store: ExampleStore) -> Snapshot:
    """Return everything that a user can tell about a store: classes by label, pictures by id."""
    return {
        learned.label: (learned.background, {one.id: store.read(one) for one in store.examples(learned.id)})
        for learned in store.classes.values()
    }


def pictures_under(root: Path) -> set[str]:
    """Return digests of all files anywhere under a folder, but for the store's own notes."""
    return {
        hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file() and path.suffix != ".json" and not path.name.startswith(atomic.TEMPORARY)
    }


class Killed(BaseException):
    """The process ends here. No handler in the store may catch it."""


PRIMITIVES = (
    "step_open",
    "step_write",
    "step_sync",
    "step_rename",
    "step_mkdir",
    "step_unlink",
    "step_remove_tree",
)


class Fault:
    """Lets a number of primitive steps pass, then kills the process or has the disk refuse."""

    def __init__(self, patch: pytest.MonkeyPatch, passes: int, refusal: int | None = None, once: bool = False) -> None:
        """Take how many steps pass; the error number of the refusal, or None for a kill; whether only one step fails."""
        self.struck = False
        self.steps = 0
        self._passes = passes
        self._refusal = refusal
        self._once = once
        for name in PRIMITIVES:
            patch.setattr(atomic, name, self._wrapped(name))

    def _wrapped(self, name: str):  # type: ignore[no-untyped-def]
        real = getattr(atomic, name)

        def step(*arguments):  # type: ignore[no-untyped-def]
            self.steps += 1
            if self.steps <= self._passes or (self.struck and self._once):
                return real(*arguments)
            first, self.struck = not self.struck, True
            if name == "step_write" and first:
                # Part of the data gets through.
                descriptor, data, offset = arguments
                real(descriptor, data[: len(data) // 2], offset)
            if self._refusal is None:
                raise Killed
            raise OSError(self._refusal, "the disk refuses", "/a/private/path")

        return step


FULL = errno.ENOSPC
READ_ONLY = errno.EROFS


def shuffled(seed: int, items: list[bytes]) -> list[bytes]:
    """Return the items in an order that a seed decides."""
    return random.Random(seed).sample(items, len(items))
