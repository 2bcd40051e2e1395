"""Which file a server's model was made from: told by what both make of the test pictures, whatever the server calls it."""

from collections.abc import Iterable
import hashlib
from pathlib import Path

import numpy as np

from ..errors import SelfTestFailed
from ..published.catalogue import Extractor
from ..runtimes import selftest
from ..runtimes.choice import choose_runtime
from .identity import Probe


def likely(extractors: Iterable[Extractor], probe: Probe, size: tuple[int, int], sha256: str | None) -> list[Extractor]:
    """Return the published extractors that a model may be made from, the likeliest first.

    First the one whose file has the SHA-256 that the server names; then those whose known similarities of the test pictures are the
    model's. ``size``: width and height of its pictures.
    """
    named: list[Extractor] = []
    alike: list[Extractor] = []
    for one in extractors:
        files = (one.file, one.edgetpu) if one.edgetpu else (one.file,)
        if sha256 is not None and any(file.sha256 == sha256 for file in files):
            named.append(one)
        elif (one.input_size, one.length) == (size, probe.units.shape[1]) and _alike(probe, size, one.file.sha256):
            alike.append(one)
    return named + alike


def _alike(probe: Probe, size: tuple[int, int], sha256: str | None) -> bool:
    """Return whether the test pictures' similarities are known for a file, and the model's."""
    if sha256 is None or sha256 not in selftest.references():
        return False
    try:
        probe.check(size, sha256)
    except SelfTestFailed:
        return False
    return True


def is_model(data: bytes, probe: Probe, size: tuple[int, int], *, threads: int = 1, proofs: Path | None = None) -> bool:
    """Return whether a TFLite file embeds the test pictures as a server's model does, on this machine's CPU.

    Takes as long as opening the extractor. Blocking. Raises ModelError's kinds, RuntimeUnavailable and SelfTestFailed where the file
    can't be used here at all.
    """
    runtime, _ = choose_runtime(data, "auto", threads, proofs=proofs)
    try:
        if (runtime.input_size, runtime.length) != (size, probe.units.shape[1]):
            return False
        units = selftest.check(runtime, hashlib.sha256(data).hexdigest())
    finally:
        runtime.close()
    return Probe(units.astype(np.float32)).same(probe)
