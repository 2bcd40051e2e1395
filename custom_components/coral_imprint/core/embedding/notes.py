"""Small files beside the extractors that spare a comparison at the next start; losing one costs time, never an answer."""

from contextlib import suppress
import logging
import os
from pathlib import Path
import tempfile

_LOGGER = logging.getLogger(__name__)

LARGEST = 16 << 20
"""Bytes; what is larger was not written by us."""


def write_note(path: Path, content: bytes) -> None:
    """Write a note, whole or not at all. A failed disk write is only logged. Blocking."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    except OSError as error:
        _LOGGER.debug("%s could not be written: %s", path, error)
        return
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        temporary.replace(path)
    except OSError as error:
        _LOGGER.debug("%s could not be written: %s", path, error)
        remove_note(temporary)


def read_note(path: Path) -> bytes | None:
    """Return what a note says; None where there is none that can be read. Blocking."""
    try:
        return path.read_bytes() if path.stat().st_size <= LARGEST else None
    except OSError as error:
        _LOGGER.debug("%s could not be read: %s", path, error)
        return None


def list_notes(folder: Path, pattern: str) -> list[Path]:
    """Return the notes whose names match, the oldest first. Blocking."""
    try:
        return sorted(folder.glob(pattern), key=lambda path: (path.stat().st_mtime_ns, path.name))
    except OSError as error:
        _LOGGER.debug("%s could not be listed: %s", folder, error)
        return []


def remove_note(path: Path) -> None:
    """Remove a note, if that works. Blocking."""
    with suppress(OSError):
        path.unlink()
