"""Notes on disk of what models made of the test pictures, so that a model keeps its identity from one start to the next.

The embeddings are kept, not just their digest: the same model's next ones may be rounded in other ways.
"""

from contextlib import suppress
import hashlib
from io import BytesIO
import logging
import os
from pathlib import Path
import tempfile

import numpy as np

from ..pictures import test_pictures
from .identity import Probe

_LOGGER = logging.getLogger(__name__)

_SUFFIX = ".probe.npy"
_MOST_BYTES = 16 << 20
_KEPT = 16
"""Probes per model's name, the last ones."""


def identity(folder: Path | None, model: str, probe: Probe) -> str:
    """Return hexadecimal digits that stand for a model: those of a noted probe that is of the same one, else the probe's own.

    A probe that is not known is noted. Without a folder, or where it can't be used, the same model may get another identity when a
    server rounds in another way. Blocking.
    """
    if folder is None:
        return probe.id
    prefix = hashlib.sha256(f"{test_pictures.VERSION} {model}".encode()).hexdigest()[:24]
    noted = _noted(folder, prefix)
    for path in noted:
        if (known := _read(path)) is not None and probe.same(known):
            return path.name[len(prefix) + 1 : -len(_SUFFIX)]
    _write(folder, f"{prefix}-{probe.id}{_SUFFIX}", probe)
    for path in noted[: max(0, len(noted) + 1 - _KEPT)]:
        with suppress(OSError):
            path.unlink()
    return probe.id


def _noted(folder: Path, prefix: str) -> list[Path]:
    """Return the notes about models of a name, the oldest first."""
    try:
        return sorted(folder.glob(f"{prefix}-*{_SUFFIX}"), key=lambda path: (path.stat().st_mtime_ns, path.name))
    except OSError as error:
        _LOGGER.debug("%s could not be listed: %s", folder, error)
        return []


def _read(path: Path) -> Probe | None:
    """Return a noted probe, None where the file is none."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            return None
        units = np.load(BytesIO(path.read_bytes()), allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        _LOGGER.debug("%s could not be read: %s", path, error)
        return None
    if units.dtype != np.float32 or units.ndim != 2 or not units.size or not np.isfinite(units).all():
        return None
    return Probe(units)


def _write(folder: Path, name: str, probe: Probe) -> None:
    """Write a note. Where that fails, the model's identity holds as long as its server rounds the same."""
    stream = BytesIO()
    np.save(stream, probe.units, allow_pickle=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=name)
    except OSError as error:
        _LOGGER.debug("%s could not be written: %s", folder / name, error)
        return
    path = Path(temporary)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(stream.getvalue())
        path.replace(folder / name)
    except OSError as error:
        _LOGGER.debug("%s could not be written: %s", folder / name, error)
        with suppress(OSError):
            path.unlink()
