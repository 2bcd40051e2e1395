"""Notes on disk of what models made of the test pictures, so that a model keeps its identity from one start to the next.

The embeddings are kept, not just their digest: the same model's next ones may be rounded in other ways.
"""

import hashlib
from io import BytesIO
import logging
from pathlib import Path

import numpy as np

from ..notes import list_notes, read_note, remove_note, write_note
from ..pictures import test_pictures
from .identity import Probe

_LOGGER = logging.getLogger(__name__)

_SUFFIX = ".probe.npy"
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
    noted = list_notes(folder, f"{prefix}-*{_SUFFIX}")
    for path in noted:
        if (known := _read(path)) is not None and probe.same(known):
            return path.name[len(prefix) + 1 : -len(_SUFFIX)]
    write_note(folder / f"{prefix}-{probe.id}{_SUFFIX}", _packed(probe))
    for path in noted[: max(0, len(noted) + 1 - _KEPT)]:
        remove_note(path)
    return probe.id


def _read(path: Path) -> Probe | None:
    """Return a noted probe, None where the file is none."""
    try:
        units = np.load(BytesIO(read_note(path) or b""), allow_pickle=False)
    except (ValueError, EOFError) as error:
        _LOGGER.debug("%s is no note: %s", path, error)
        return None
    if units.dtype != np.float32 or units.ndim != 2 or not units.size or not np.isfinite(units).all():
        return None
    return Probe(units)


def _packed(probe: Probe) -> bytes:
    stream = BytesIO()
    np.save(stream, probe.units, allow_pickle=False)
    return stream.getvalue()
