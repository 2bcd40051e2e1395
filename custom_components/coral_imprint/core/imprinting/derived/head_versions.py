"""Versions of the head: every one that answered is kept for a while, and an earlier one can answer again.

A restored version is pinned: it answers, after restarts too, until it is unpinned or something is taught, undone or made
again. What it knew then it knows again, examples that were removed since included; ``forget`` removes the versions that
an example went into.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
import hashlib
import json
from pathlib import Path
import re
import struct
from typing import Any, Final, TypeVar
import zlib

from ..errors import StoreFailed, UnknownVersion, UnusableHead
from ..examples import atomic

KEPT_VERSIONS: Final = 50
"""Versions that are kept; the oldest go first."""

KEPT_BYTES: Final = 64 * 1024 * 1024
"""Bytes that versions may take together; the newest, and one that is pinned, are kept in any case."""

PIN: Final = "pinned.json"
SUFFIX: Final = ".head"
BAD_SUFFIX: Final = ".bad"

_MAGIC: Final = b"coral-imprint version\n"
_FORMAT: Final = 1
_SIZES: Final = struct.Struct("<III")
"""Bytes of the header, checksum of the header, checksum of all that follows it."""
_LONGEST_HEADER: Final = 1 << 20
_MARK: Final = 8
"""Bytes that stand for an example."""
_NAME: Final = re.compile(r"(\d{6,})" + re.escape(SUFFIX))

HeadT = TypeVar("HeadT")


@dataclass(frozen=True, slots=True)
class Version:
    """A head that answered once."""

    number: int
    """Rising; never given twice while a later one is kept."""

    made: datetime
    why: str
    """The change that made it: a kind of change (``Change.kind``) or a word of the caller's."""

    kind: str
    """The kind of head."""

    counts: Mapping[str, int]
    """Examples by class id."""

    taught: str
    """What was taught then: ``ExampleStore.taught``."""

    examples: int
    """How many examples it was made from."""

    size: int
    """Of the head, in bytes."""

    def as_dict(self, labels: Mapping[str, str]) -> dict[str, Any]:
        """Return what people are told of it; ``labels`` by class id."""
        return {
            "version": self.number,
            "made": self.made.isoformat(),
            "why": self.why,
            "head": self.kind,
            "examples": {labels.get(key, key): count for key, count in self.counts.items()},
        }


@dataclass(frozen=True, slots=True)
class _Pin:
    """Which version was restored."""

    number: int
    taught: str
    """What was taught when it was."""
    newest: int
    """The newest version then: a newer one, kept just before a crash, ends the pin."""


class HeadVersions:
    """The versions of one classifier's head, a file each. For one owner: not thread-safe.

    After each change of what is taught the owner keeps the new head (``keep``), or, where nothing is left to learn from,
    calls ``unpin``: both end a pin. While ``pinned`` returns a version nothing else is kept.
    """

    def __init__(self, folder: Path, clock: Callable[[], datetime]) -> None:
        """Read which versions there are; files that are none are set aside under ``.bad``.

        ``folder`` needs not exist; ``clock`` returns the time with its zone. Raises StoreFailed.
        """
        self._folder = folder
        self._clock = clock
        self._versions: dict[int, Version] = {}
        self._pin: _Pin | None = None
        if folder.is_dir():
            self._load()

    @property
    def versions(self) -> list[Version]:
        """The versions, newest first."""
        return list(reversed(self._versions.values()))

    def pinned(self, taught: str) -> Version | None:
        """Return the version that was restored and still answers, given what is taught now; None where none does."""
        pin = self._pin
        if pin is None or pin.taught != taught or max(self._versions, default=0) > pin.newest:
            return None
        return self._versions.get(pin.number)

    def current(self, taught: str) -> Version | None:
        """Return the version that answers: the pinned one, else the newest made from just what is taught now."""
        made = (version for version in reversed(self._versions.values()) if version.taught == taught)
        return self.pinned(taught) or next(made, None)

    def keep(
        self, head: bytes, *, taught: str, why: str, kind: str, counts: Mapping[str, int], examples: Iterable[str]
    ) -> Version:
        """Keep a head, as its ``save`` packed it, that answers from now on; nothing is pinned any more.

        ``examples`` are the ids of those it was made from. The newest version over again is not kept twice. Durable on
        return; the oldest versions go where there are too many. Raises StoreFailed.
        """
        marks = b"".join(sorted(map(_mark, examples)))
        newest = next(reversed(self._versions.values()), None)
        if newest is not None and newest.taught == taught and self._holds(newest, kind, marks + head):
            self.unpin()
            return newest
        number = newest.number + 1 if newest is not None else 1
        version = Version(number, self._clock(), why, kind, dict(counts), taught, len(marks) // _MARK, len(head))
        atomic.make_folder(self._folder)
        atomic.write(self._path(number), _packed(version, marks + head))
        self._versions[number] = version
        self.unpin()
        self._prune()
        return version

    def read(self, number: int) -> bytes:
        """Return the head of a version as it was packed. Raises UnknownVersion, UnusableHead, StoreFailed."""
        version = self._version(number)
        return self._body(version)[version.examples * _MARK :]

    def restore(self, number: int, load: Callable[[bytes], HeadT], taught: str) -> HeadT:
        """Load the head of a version and pin it for as long as just this is taught; durable on return.

        ``load`` returns the head that was packed, or raises what it raises for damaged bytes or a foreign fingerprint;
        then nothing changes. Raises UnknownVersion, UnusableHead, StoreFailed too.
        """
        head = load(self.read(number))
        pin = _Pin(number, taught, max(self._versions))
        atomic.write(self._folder / PIN, json.dumps({"version": _FORMAT, **asdict(pin)}).encode())
        self._pin = pin
        return head

    def unpin(self) -> bool:
        """Let the examples answer again; return whether a version was pinned. Raises StoreFailed."""
        if self._pin is None:
            return False
        atomic.remove(self._folder / PIN)
        self._pin = None
        return True

    def forget(self, examples: Collection[str]) -> int:
        """Remove every version that one of these examples went into; return how many. Raises StoreFailed.

        Files that were set aside as damaged, or not finished, go too: what they hold can't be told.
        """
        marks = {_mark(example_id) for example_id in examples}
        gone = [version.number for version in self._versions.values() if self._knows(version, marks)]
        for number in gone:
            self._remove(number)
        if self._folder.is_dir():
            atomic.sweep(self._folder)
            for path, _ in atomic.files(self._folder):
                if path.suffix == BAD_SUFFIX:
                    atomic.remove(path)
        return len(gone)

    def _knows(self, version: Version, marks: Collection[bytes]) -> bool:
        """Whether a version was made from an example, or is too damaged, or gone, to tell."""
        if not self._path(version.number).exists():
            return True
        try:
            body = self._body(version)
        except UnusableHead:
            return True
        return any(body[at : at + _MARK] in marks for at in range(0, version.examples * _MARK, _MARK))

    def _holds(self, version: Version, kind: str, body: bytes) -> bool:
        try:
            return version.kind == kind and self._body(version) == body
        except UnusableHead:
            return False

    def _version(self, number: int) -> Version:
        if number not in self._versions:
            raise UnknownVersion(f"there is no version {number}", name=str(number))
        return self._versions[number]

    def _body(self, version: Version) -> bytes:
        """Return the marks of a version's examples and its head. Raises UnusableHead, StoreFailed."""
        content = atomic.read(self._path(version.number))
        body = content[len(content) - version.examples * _MARK - version.size :]
        if _unpacked(content, version.number, len(content)) != version or zlib.crc32(body) != _checksum(content):
            raise UnusableHead("the version is damaged")
        return body

    def _prune(self) -> None:
        """Remove the oldest versions where there are too many; that the disk refuses is left to the next time."""
        room, number_left = KEPT_BYTES, KEPT_VERSIONS
        pinned = None if self._pin is None else self._pin.number
        for place, version in enumerate(self.versions):
            room -= version.size
            number_left -= 1
            if place and version.number != pinned and (room < 0 or number_left < 0):
                try:
                    self._remove(version.number)
                except StoreFailed:
                    return

    def _remove(self, number: int) -> None:
        atomic.remove(self._path(number))
        del self._versions[number]
        if self._pin is not None and self._pin.number == number:
            self.unpin()

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:06}{SUFFIX}"

    def _load(self) -> None:
        atomic.sweep(self._folder)
        found: dict[int, Version] = {}
        for path, status in atomic.files(self._folder):
            name = _NAME.fullmatch(path.name)
            if name is None:
                continue
            version = _unpacked(atomic.read(path, _LONGEST_HEADER), int(name[1]), status.st_size)
            if version is None:
                atomic.move(path, path.with_suffix(BAD_SUFFIX))
            else:
                found[version.number] = version
        self._versions = dict(sorted(found.items()))
        self._pin = self._read_pin()

    def _read_pin(self) -> _Pin | None:
        try:
            content: Any = json.loads(atomic.read(self._folder / PIN))
            pin = _Pin(int(content["number"]), str(content["taught"]), int(content["newest"]))
        except (StoreFailed, ValueError, KeyError, TypeError, RecursionError):
            return None
        return pin if pin.number in self._versions else None


def _mark(example_id: str) -> bytes:
    return hashlib.blake2b(example_id.encode("utf-8", "surrogateescape"), digest_size=_MARK).digest()


def _checksum(content: bytes) -> int:
    """Return what a whole file says is the checksum of its body."""
    return int(_SIZES.unpack_from(content, len(_MAGIC))[2])


def _packed(version: Version, body: bytes) -> bytes:
    header = json.dumps(
        {
            "format": _FORMAT,
            "number": version.number,
            "made": version.made.isoformat(),
            "why": version.why,
            "kind": version.kind,
            "counts": version.counts,
            "taught": version.taught,
            "examples": version.examples,
            "size": version.size,
        }
    ).encode()
    return _MAGIC + _SIZES.pack(len(header), zlib.crc32(header), zlib.crc32(body)) + header + body


def _unpacked(start: bytes, number: int, file_size: int) -> Version | None:
    """Return the version that a file's beginning describes, or None where it describes none."""
    at = len(_MAGIC) + _SIZES.size
    if not start.startswith(_MAGIC) or len(start) < at:
        return None
    length, checksum, _ = _SIZES.unpack_from(start, len(_MAGIC))
    header = start[at : at + length]
    if zlib.crc32(header) != checksum:
        return None
    try:
        content: Any = json.loads(header)
        version = Version(
            int(content["number"]),
            datetime.fromisoformat(content["made"]),
            str(content["why"]),
            str(content["kind"]),
            {str(class_id): int(count) for class_id, count in content["counts"].items()},
            str(content["taught"]),
            int(content["examples"]),
            int(content["size"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    whole = at + length + version.examples * _MARK + version.size
    return version if content["format"] == _FORMAT and version.number == number and whole == file_size else None
