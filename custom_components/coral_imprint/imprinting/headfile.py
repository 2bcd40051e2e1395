"""A head as bytes: a line that names the format, a JSON header, the arrays, a checksum. Nothing in it can run."""

from collections.abc import Sequence
import json
import math
import struct
from typing import Any
import zlib

import numpy as np
from numpy.typing import NDArray

from .errors import UnusableHead

MAGIC = b"coral-imprint head\n"
VERSION = 1

_NUMBER = struct.Struct("<I")
_FLOAT = np.dtype("<f4")


def pack(
    fingerprint: str,
    classes: Sequence[str],
    scale: float,
    gains: NDArray[np.float32],
    prototypes: NDArray[np.float32],
) -> bytes:
    """Return a head's parts as bytes: prototypes of shape (C, d), gains of shape (C,)."""
    header = json.dumps(
        {
            "version": VERSION,
            "fingerprint": fingerprint,
            "classes": list(classes),
            "length": prototypes.shape[1],
            "scale": scale,
        }
    ).encode()
    arrays = gains.astype(_FLOAT).tobytes() + prototypes.astype(_FLOAT).tobytes()
    body = MAGIC + _NUMBER.pack(len(header)) + header + arrays
    return body + _NUMBER.pack(zlib.crc32(body))


def unpack(data: bytes, fingerprint: str) -> tuple[tuple[str, ...], float, NDArray[np.float32], NDArray[np.float32]]:
    """Return what ``pack`` was given: classes, scale, gains, prototypes (read-only).

    Raises UnusableHead where the bytes are damaged, of another version, or of another fingerprint.
    """
    body, checksum = data[: -_NUMBER.size], data[-_NUMBER.size :]
    start = len(MAGIC) + _NUMBER.size
    if not body.startswith(MAGIC) or len(body) < start or _NUMBER.pack(zlib.crc32(body)) != checksum:
        raise UnusableHead("not a head, or damaged")
    end = start + int(_NUMBER.unpack_from(body, len(MAGIC))[0])
    try:
        header: Any = json.loads(body[start:end])
        version = header["version"]
        if version != VERSION:
            raise UnusableHead(f"version {version} of the format is unknown")
        if header["fingerprint"] != fingerprint:
            raise UnusableHead("made from other embeddings")
        classes = tuple(str(name) for name in header["classes"])
        scale = float(header["scale"])
        shape = (len(classes), int(header["length"]))
        values = np.frombuffer(body, _FLOAT, offset=end).astype(np.float32, copy=False)
        gains, prototypes = values[: len(classes)], values[len(classes) :].reshape(shape)
    except (ValueError, KeyError, TypeError) as err:
        raise UnusableHead("its parts don't fit each other") from err
    if not (math.isfinite(scale) and scale > 0 and np.isfinite(values).all() and len(set(classes)) == len(classes)):
        raise UnusableHead("its values are no head's")
    return classes, scale, gains, prototypes
