"""Damaged and hostile zips of pictures, and what comes of reading them and of taking them into a store."""

from collections.abc import Mapping
import copy
from datetime import UTC, datetime, timedelta
from io import BytesIO
import json
from pathlib import Path
import random
import stat
import struct
import tempfile
from typing import Any, Final
import warnings
import zipfile

from embedding import NotAPicture, check_picture, to_jpeg
from imprinting import Archive, ArchiveLimits, ExampleStore, ImprintingError, Skipped, check_labels, write_archive
from tests.embedding.sample_pictures import encode, scene

from .models import WrongAnswer
from .mutations import BLIND, NASTY, spliced

NOW: Final = datetime(2026, 11, 20, 18, 30, tzinfo=UTC)
LIMITS: Final = ArchiveLimits(
    directory=1 << 16, entries=200, classes=20, manifest=1 << 16, picture=1 << 18, free=1 << 14, total=1 << 20
)
"""So low that damage meets them."""
_MANIFEST: Final = "coral_imprint.json"
_STORED_EVERY: Final = 4
"""One in so many cases is taken into a store too."""

_NAMES: Final = (
    "../1.jpg", "/open/1.jpg", "C:\\open\\1.jpg", "..\\1.jpg", "open/../../../1.jpg", "//server/open/1.jpg", "open//1.jpg", "./open/1.jpg", "open/./1.jpg",
    "none/1.jpg", "unknown/1.jpg", "CON/1.jpg", "open /1.jpg", " /1.jpg", "/1.jpg", "...../1.jpg", "\u202egpj/1.jpg", "o\u0308ffen/1.jpg", "\ufeff/1.jpg",
    "open\0/1.jpg", "open/1.jpg\0.txt", "open/\n.jpg", "x" * 300 + "/1.jpg", "open/" + "y" * 300 + ".jpg", "-!-0.jpg", "a-!-9.jpg", "dataset/open/1.jpg",
    "train/1.jpg", "open/1.zip", "open/", ".open/1.jpg", "_/1.jpg", "open/20260304T050608000Z-1f2e3d.jpg", "open/99999999T999999999Z-1f2e3d.jpg",
    "open/open-1999999999.123456789-x.png", "open/open-1.5-x.png", "\U0001f600/1.jpg", "a:b*c?/1.jpg", "/" * 200 + "1.jpg", "a/" * 150 + "1.jpg", ".", "..", "",
)  # fmt: skip
_VALUES: Final[tuple[object, ...]] = (
    None, True, 0, -1, 1e308, 2**70, "", "none", "x" * 100_000, "\ud800", "\0", "../..", "open", [], {}, [[]], "2026-11-20", "0001-01-01T00:00:00+00:00",
    "9999-12-31T23:59:59-23:59", "20261120T183000Z",
)  # fmt: skip
_HEADERS: Final[Mapping[bytes, tuple[tuple[int, str], ...]]] = {
    b"PK\x03\x04": ((4, "<H"), (6, "<H"), (8, "<H"), (10, "<I"), (14, "<I"), (18, "<I"), (22, "<I"), (26, "<H"), (28, "<H")),
    b"PK\x01\x02": (
        *((place, "<H") for place in (4, 6, 8, 10, 12, 14, 28, 30, 32, 34, 36)),
        *((place, "<I") for place in (16, 20, 24, 38, 42)),
    ),
    b"PK\x05\x06": ((4, "<H"), (6, "<H"), (8, "<H"), (10, "<H"), (12, "<I"), (16, "<I"), (20, "<H")),
    b"PK\x06\x06": ((4, "<Q"), (24, "<Q"), (32, "<Q"), (40, "<Q"), (48, "<Q")),
    b"PK\x06\x07": ((4, "<I"), (8, "<Q"), (16, "<I")),
}  # fmt: skip
"""Fields of a zip's headers, by their signatures (PKWARE's APPNOTE 6.3, section 4.3)."""


class _Unseekable(BytesIO):
    """A stream, for which lengths are written behind the files."""

    def seekable(self) -> bool:
        return False

    def tell(self) -> int:
        raise OSError

    def seek(self, *_: int) -> int:
        raise OSError


class Archives:
    """Numbered damaged archives: the same seed and number give the same bytes."""

    def __init__(self) -> None:
        """Write the sound ones."""
        pictures = [encode(scene(24, 16, seed=seed)) for seed in range(4)]
        png = encode(scene(24, 16), "PNG")
        self._files: list[dict[str, bytes]] = [
            {"gate/open/1.jpg": pictures[0], "gate/open/2.png": png, "gate/closed/3.jpg": pictures[2], "gate/notes.txt": b"."},
            {
                "dataset/open/open-1732104012.345678-a1b2c3.png": png,
                "dataset/none/none-1732104013.5-a1b2c3.jpg": pictures[1],
                "train/1.webp": png,
            },
            {"manifest.json": b"{}", "Open-!-0.jpg": pictures[0], "Closed-!-0.jpg": pictures[1]},
            {"open/1.jpg": bytes(1 << 19), "open/2.jpg": pictures[0] + bytes(1 << 18), "inner.zip": _zip({"a/1.jpg": png})},
        ]  # fmt: skip
        self._files.append(_own(pictures))
        self._sources = [_zip(files, method) for files in self._files for method in (0, 8)]
        self._sources += [
            _zip(self._files[0], 8, _Unseekable()),
            b"#!/bin/sh\n" + self._sources[0],
            _linked(),
            _large(),
        ]

    def sound(self) -> bytes:
        """Return an archive without damage."""
        return self._sources[0]

    def case(self, seed: int, number: int) -> bytes:
        """Return a damaged archive; the first numbers are the sound ones."""
        if number < len(self._sources):
            return self._sources[number]
        chance = random.Random(f"{seed} {number}")
        way = chance.random()
        if way < 0.15:
            return self._renamed(chance)
        if way < 0.3:
            return self._lied_about(chance)
        source = chance.choice(self._sources)
        if way < 0.35:
            return spliced(source, chance.choice(self._sources), chance)
        data = bytearray(source)
        for _ in range(chance.choice([1, 1, 2, 4])):
            if data:
                (_aim if way < 0.75 else chance.choice(BLIND))(data, chance)
        return bytes(data)

    def _renamed(self, chance: random.Random) -> bytes:
        """Give files names that lead elsewhere, or that no folder could have."""
        files = chance.choice(self._files)
        many = chance.random() < 0.05
        names = [f"c{one % 40}/{one}.jpg" for one in range(chance.choice([100, 250, 2000]))] if many else list(files)
        contents = [content[:2000] for content in files.values()] if many else list(files.values())
        for _ in range(chance.randint(1, 3)):
            names[chance.randrange(len(names))] = chance.choice(_NAMES)
        return _zip({name: contents[place % len(contents)] for place, name in enumerate(names)}, chance.choice([0, 8]))

    def _lied_about(self, chance: random.Random) -> bytes:
        """Put a damaged manifest into our own archive."""
        files = dict(self._files[-1])
        manifest: Any = json.loads(files[_MANIFEST])
        for _ in range(chance.randint(1, 3)):
            _replace(manifest, chance)
        files[_MANIFEST] = json.dumps(manifest).encode()
        if chance.random() < 0.1:
            files[_MANIFEST] = b"[" * chance.randrange(60_000)
        return _zip(files, chance.choice([0, 8]))


def _zip(files: Mapping[str, bytes], method: int = 8, file: BytesIO | None = None) -> bytes:
    buffer = file or BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that are there twice
        with zipfile.ZipFile(buffer, "w", method) as archive:
            for name, content in files.items():
                entry = zipfile.ZipInfo(name or "x", (2026, 3, 4, 5, 6, 8))
                entry.filename = name
                archive.writestr(entry, content, method)
    return buffer.getvalue()


def _own(pictures: list[bytes]) -> dict[str, bytes]:
    """Return the files of an archive that was exported."""
    with tempfile.TemporaryDirectory() as folder:
        store = _store(Path(folder) / "gate")
        for label, background in (("open", False), ("a/b: c?", False), ("idle", True)):
            learned = store.add_class(label, background)
            for picture in pictures[:2]:
                store.add_example(learned.id, picture)
        path = Path(folder) / "gate.zip"
        write_archive(path, list(store.classes.values()), store.examples(), title="Gate", now=NOW)
        with zipfile.ZipFile(path) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
    # The only thing in it that chance decided.
    manifest = json.loads(files[_MANIFEST])
    for number, one in enumerate(manifest["classes"]):
        one["id"] = f"{number:032x}"
    return {**files, _MANIFEST: json.dumps(manifest).encode()}


def _linked() -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for kind in (stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR):
            entry = zipfile.ZipInfo(f"open/{kind}.jpg")
            entry.external_attr = (kind | 0o777) << 16
            archive.writestr(entry, "/etc/passwd")
    return buffer.getvalue()


def _large() -> bytes:
    """Return an archive in the form for files of more than 4 GiB."""
    buffer = BytesIO()
    entry = zipfile.ZipInfo("open/1.jpg", (2026, 3, 4, 5, 6, 8))
    with zipfile.ZipFile(buffer, "w") as archive, archive.open(entry, "w", force_zip64=True) as file:
        file.write(encode(scene(24, 16)))
    plain = buffer.getvalue()
    end = plain.rfind(b"PK\x05\x06")
    size, start = struct.unpack_from("<II", plain, end + 12)
    record = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, size, start)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, end, 1)
    return (
        plain[:end]
        + record
        + locator
        + struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 65535, 65535, 2**32 - 1, 2**32 - 1, 0)
    )


def _aim(data: bytearray, chance: random.Random) -> None:
    """Change a field of a header: what it says of lengths, methods, flags and places."""
    magic = chance.choice(list(_HEADERS))
    found, start = [], data.find(magic)
    while start >= 0:
        found.append(start)
        start = data.find(magic, start + 4)
    if not found:
        return
    offset, form = chance.choice(_HEADERS[magic])
    place = chance.choice(found) + offset
    if place + struct.calcsize(form) > len(data):
        return
    value = struct.unpack_from(form, data, place)[0] + chance.choice([-4, -1, 1, 4])
    if chance.random() < 0.7:
        value = chance.choice((*NASTY, 1 << 62, len(data), 1 << chance.randrange(16)))
    struct.pack_into(form, data, place, value % (1 << 8 * struct.calcsize(form)))


def _replace(node: Any, chance: random.Random) -> None:
    """Replace something in a tree by something nasty, or by another part of the tree."""
    while True:
        keys: list[Any] = list(node) if isinstance(node, dict) else list(range(len(node)))
        if not keys:
            return
        key = chance.choice(keys)
        if not isinstance(node[key], dict | list) or chance.random() < 0.2:
            node[key] = copy.deepcopy(chance.choice((*_VALUES, node[chance.choice(keys)])))
            return
        node = node[key]


def _whole_jpeg(data: bytes) -> bytes:
    check_picture(data)
    return to_jpeg(data)


def _store(root: Path) -> ExampleStore:
    store = ExampleStore(root, _whole_jpeg, NotAPicture, lambda: NOW)
    store.load()
    return store


def attempt(data: bytes) -> str:
    """Read an archive, and take it into a store; returns what it was refused for, or "right". Raises WrongAnswer."""
    # In memory where the system has a place for that: nothing here is to outlive a power cut.
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        path = Path(folder) / "a.zip"
        path.write_bytes(data)
        try:
            outcome = _read(path)
            if len(data) % _STORED_EVERY == 0:
                _take_in(path, Path(folder) / "gate")
        except ImprintingError as err:
            outcome = type(err).__name__
        left = {one.name for one in Path(folder).iterdir()}
        if left - {"a.zip", "gate"}:
            raise WrongAnswer(f"beside the classifier's folder: {left}")
        return outcome


def _read(path: Path) -> str:
    """Look at all that is read. Raises UnusableArchive, WrongAnswer."""
    total = found = 0
    with Archive(path, now=NOW, limits=LIMITS) as archive:
        for one in archive.pictures():
            if isinstance(one, Skipped):
                continue
            found, total = found + 1, total + len(one.content)
            if len(one.content) > LIMITS.picture or total > LIMITS.total:
                raise WrongAnswer(f"{len(one.content)} bytes, {total} in all")
            if one.label is not None and check_labels([one.label]) != [one.label]:
                raise WrongAnswer(f"label {one.label!r}")
            if one.taken and not NOW - timedelta(days=40 * 365) < one.taken <= NOW + timedelta(days=1):
                raise WrongAnswer(f"taken {one.taken}")
            if len(one.name) > 200 or not one.name.isprintable() or ".." in one.name.split("/"):
                raise WrongAnswer(f"name {one.name!r}")
        json.dumps([(one.name, one.reason) for one in archive.skipped]).encode()
    return "right" if found else "nothing in it"


def _take_in(path: Path, root: Path) -> None:
    """Import, look at the folders, take it back. Raises ImprintingError, WrongAnswer."""
    store = _store(root)
    importing = store.begin_import()
    try:
        with Archive(path, now=NOW, limits=LIMITS) as archive:
            importing.begin(archive)
            pictures = archive.pictures()
            while importing.take(pictures):
                pass
    finally:
        report = importing.finish()
        if len(store.examples()) != report.added.total():
            raise WrongAnswer(f"{len(store.examples())} examples, {report.added.total()} reported")
        _check_folders(store)
        if report.added:
            store.undo()
            if store.examples():
                raise WrongAnswer("something is left after the undo")


def _check_folders(store: ExampleStore) -> None:
    """See that a store that reads the folder anew finds the same, whole pictures, and no other file."""
    again = _store(store.root)
    if {one.id for one in again.examples()} != {one.id for one in store.examples()}:
        raise WrongAnswer("another store finds other examples")
    for example in again.examples():
        check_picture(again.read(example))
    folders = {learned.folder for learned in again.classes.values()}
    for path in store.root.rglob("*"):
        relative = path.relative_to(store.root)
        if path.is_symlink() or (path.is_file() and relative.parts[0] not in folders | {".journal.json", ".imports"}):
            raise WrongAnswer(f"a file in the wrong place: {relative}")
