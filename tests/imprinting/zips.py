"""Zips of class folders, sound and not, for the tests of archives."""

from collections.abc import Mapping
from pathlib import Path
import stat
import struct
from typing import Any
import zipfile

from imprinting import Archive, ArchiveLimits, ExampleStore, Importing, ImportReport, Skipped
from imprinting.examples.archive import Picture
from tests.imprinting.fakes import START

NAME = "coral_imprint.json"


def make(path: Path, files: Mapping[str, bytes], *, method: int = zipfile.ZIP_DEFLATED) -> Path:
    """Write a zip of files, in order."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, (2026, 3, 4, 5, 6, 8)), content, method)
    return path


def link(path: Path, name: str, target: str) -> Path:
    """Write a zip of one symbolic link."""
    entry = zipfile.ZipInfo(name)
    entry.create_system = 3
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(entry, target)
    return path


def patched(path: Path, offset: int, form: str, value: int, *, local: int | None = None) -> Path:
    """Overwrite a field of every entry in the table of contents, and, at ``local``, in what stands before each file."""
    data = bytearray(path.read_bytes())
    for magic, place in ((b"PK\x01\x02", offset), (b"PK\x03\x04", local)):
        start = data.find(magic)
        while place is not None and start >= 0:
            struct.pack_into(form, data, start + place, value)
            start = data.find(magic, start + 4)
    path.write_bytes(data)
    return path


def opened(path: Path, *, label: str | None = None, limits: ArchiveLimits | None = None) -> Archive:
    """Open an archive at the tests' present."""
    return Archive(path, label=label, now=START, limits=limits)


def read(path: Path, **options: Any) -> tuple[list[Picture], dict[str, str]]:
    """Return an archive's pictures, and why each other file is left out."""
    with opened(path, **options) as archive:
        found = [*archive.skipped, *archive.pictures()]
    pictures = [one for one in found if isinstance(one, Picture)]
    return pictures, {one.name: one.reason for one in found if isinstance(one, Skipped)}


def bring(store: ExampleStore, path: Path, *, label: str | None = None) -> ImportReport:
    """Import an archive as a whole."""
    importing = store.begin_import()
    with opened(path, label=label) as archive:
        return bring_opened(importing, archive)


def bring_opened(importing: Importing, archive: Archive) -> ImportReport:
    """Import an archive that is open."""
    importing.begin(archive)
    pictures = archive.pictures()
    try:
        while importing.take(pictures):
            pass
    finally:
        importing.finish()
    return importing.report
