"""A head as bytes: a line that names the format, a JSON header, the arrays, a checksum. Nothing in it can run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
import json
import math
import struct
from typing import Any
import zlib

import numpy as np
from numpy.typing import NDArray

from ..errors import UnusableHead

MAGIC = b"coral-imprint head\n"
VERSION = 2

_NUMBER = struct.Struct("<I")
_DTYPES: Mapping[str, np.dtype[Any]] = {"f4": np.dtype("<f4"), "f2": np.dtype("<f2"), "i4": np.dtype("<i4")}


@dataclass(frozen=True)
class HeadParts:
    """What a head of any kind is made of."""

    kind: str
    classes: tuple[str, ...]
    scale: float
    """Factor on the logits, above 0."""

    arrays: Mapping[str, NDArray[Any]]
    """By name: float32, float16 or int32; read-only."""


def pack(
    fingerprint: str, kind: str, classes: Sequence[str], scale: float, arrays: Mapping[str, NDArray[Any]]
) -> bytes:
    """Return a head's parts as bytes. Arrays are float32, float16 or int32."""
    header = json.dumps(
        {
            "version": VERSION,
            "fingerprint": fingerprint,
            "kind": kind,
            "classes": list(classes),
            "scale": scale,
            "arrays": {name: [f"{part.dtype.kind}{part.dtype.itemsize}", *part.shape] for name, part in arrays.items()},
        }
    ).encode()
    body = MAGIC + _NUMBER.pack(len(header)) + header
    for part in arrays.values():
        body += part.astype(part.dtype.newbyteorder("<")).tobytes()
    return body + _NUMBER.pack(zlib.crc32(body))


def unpack(data: bytes, fingerprint: str) -> HeadParts:
    """Return what ``pack`` was given.

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
        parts = HeadParts(
            str(header["kind"]),
            tuple(str(name) for name in header["classes"]),
            float(header["scale"]),
            _arrays(body[end:], header["arrays"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as err:
        raise UnusableHead("its parts don't fit each other") from err
    finite = all(np.isfinite(part).all() for part in parts.arrays.values())
    if not (
        math.isfinite(parts.scale) and parts.scale > 0 and finite and len(set(parts.classes)) == len(parts.classes)
    ):
        raise UnusableHead("its values are no head's")
    return parts


def _arrays(data: bytes, described: Mapping[str, Sequence[Any]]) -> dict[str, NDArray[Any]]:
    """Cut arrays out of the bytes that hold them one after the other. Raises ValueError where they don't fit."""
    found: dict[str, NDArray[Any]] = {}
    at = 0
    for name, (code, *sizes) in described.items():
        dtype = _DTYPES[code]
        shape = tuple(int(size) for size in sizes)
        if min(shape, default=0) < 0:
            raise ValueError("a size below 0")
        count = math.prod(shape)
        part = np.frombuffer(data, dtype, count, at) if count else np.zeros(0, dtype)
        found[name] = part.reshape(shape).astype(dtype.newbyteorder("="), copy=True)
        found[name].flags.writeable = False
        at += count * dtype.itemsize
    if at != len(data):
        raise ValueError("bytes are left over")
    return found
