"""Embeddings kept between runs, one file per fingerprint. Derived from the examples: losing it costs only time."""

from collections.abc import Collection
import hashlib
from pathlib import Path
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from . import durable

KEY_BYTES = 16
SUFFIX = ".emb"
BAD_SUFFIX = ".bad"

_MAGIC = b"coral-imprint embeddings\n"
_VERSION = 1
_NUMBERS = struct.Struct("<III")
"""Version, length of the vectors, bytes of the fingerprint."""
_CHECKSUM = struct.Struct("<I")
_FLOAT = np.dtype("<f4")


class EmbeddingCache:
    """Vectors by key, in memory and in one append-only file. For one owner: not thread-safe."""

    def __init__(self, folder: Path, fingerprint: str, length: int) -> None:
        """Open, or begin, the file for a fingerprint and vectors of a length, and read all of it.

        A torn end is cut off; a file that is none of this fingerprint's is set aside under the suffix ``.bad``. Raises
        StoreFailed, and ValueError where ``length`` is less than 1.
        """
        if length < 1:
            raise ValueError("vectors have at least one value")
        self.path = folder / (hashlib.sha256(fingerprint.encode()).hexdigest()[:32] + SUFFIX)
        self.length = length
        self._record_bytes = KEY_BYTES + _FLOAT.itemsize * length + _CHECKSUM.size
        self._header = _header(fingerprint, length)
        self._vectors: dict[bytes, NDArray[np.float32]] = {}
        self._records = 0
        durable.make_folder(folder)
        self._load()

    def __len__(self) -> int:
        """Return how many keys have a vector."""
        return len(self._vectors)

    def get(self, key: bytes) -> NDArray[np.float32] | None:
        """Return the vector of a key, shape (length,), float32, read-only; None where there is none."""
        return self._vectors.get(key)

    def put(self, key: bytes, vector: NDArray[np.float32]) -> None:
        """Keep a vector of shape (length,) under a key of 16 bytes, in place of an earlier one.

        Raises ValueError on another shape, a value that isn't finite or another size of key; StoreFailed where the disk
        refuses, and then the vector is kept in memory only.
        """
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes")
        if vector.shape != (self.length,):
            raise ValueError(f"a vector of shape {vector.shape}, expected ({self.length},)")
        if not np.isfinite(vector).all():
            raise ValueError("a vector has finite values")
        kept = vector.astype(np.float32)
        kept.flags.writeable = False
        self._vectors[key] = kept
        # Written to where the last whole record ends: what a failed write left there is written over.
        durable.write_at(self.path, _record(key, kept), self._end())
        self._records += 1

    def compact(self, live_keys: Collection[bytes]) -> bool:
        """Forget all keys but these where more than half of the file is dead; return whether. Raises StoreFailed."""
        live = {key: vector for key in live_keys if (vector := self._vectors.get(key)) is not None}
        if 2 * len(live) >= self._records:
            return False
        durable.write(self.path, self._header + b"".join(_record(key, vector) for key, vector in live.items()))
        self._vectors = live
        self._records = len(live)
        return True

    def forget(self, keys: Collection[bytes]) -> int:
        """Remove the vectors of these keys from the file too, earlier ones included; return how many keys had one.

        Raises StoreFailed, and then nothing is forgotten.
        """
        gone = {key for key in keys if key in self._vectors}
        left = {key: vector for key, vector in self._vectors.items() if key not in gone}
        if gone:
            durable.write(self.path, self._header + b"".join(_record(key, vector) for key, vector in left.items()))
            self._vectors, self._records = left, len(left)
        return len(gone)

    def drop(self) -> None:
        """Remove the file and forget everything; ``put`` raises StoreFailed afterwards. Raises StoreFailed."""
        self._vectors = {}
        self._records = 0
        durable.remove(self.path)

    def _end(self) -> int:
        return len(self._header) + self._records * self._record_bytes

    def _load(self) -> None:
        content = durable.read(self.path) if self.path.exists() else b""
        if not content.startswith(self._header):
            if content:
                durable.move(self.path, self.path.with_suffix(BAD_SUFFIX))
            durable.write(self.path, self._header)
            return
        for start in range(len(self._header), len(content) - self._record_bytes + 1, self._record_bytes):
            record = content[start : start + self._record_bytes]
            vector = np.frombuffer(record, _FLOAT, self.length, KEY_BYTES).astype(np.float32, copy=False)
            if _CHECKSUM.pack(zlib.crc32(record[: -_CHECKSUM.size])) != record[-_CHECKSUM.size :]:
                break
            self._vectors[record[:KEY_BYTES]] = vector
            self._records += 1
        if len(content) > self._end():
            durable.write(self.path, content[: self._end()])


def forget_in_folder(folder: Path, keys: Collection[bytes], in_use: Collection[Path] = ()) -> int:
    """Remove the vectors of some keys from every cache file in a folder but those in use; return from how many files.

    For caches that nobody has open: the open ones have ``EmbeddingCache.forget``. Files that were set aside as damaged
    are removed: what they hold can't be told. Raises StoreFailed.
    """
    changed = 0
    for path, _ in durable.files(folder) if folder.is_dir() else ():
        if path.suffix == BAD_SUFFIX:
            durable.remove(path)
            changed += 1
        elif path.suffix == SUFFIX and path not in in_use:
            changed += _forget_in_file(path, keys)
    return changed


def _forget_in_file(path: Path, keys: Collection[bytes]) -> bool:
    content = durable.read(path)
    numbers = content[len(_MAGIC) : len(_MAGIC) + _NUMBERS.size]
    if not content.startswith(_MAGIC) or len(numbers) < _NUMBERS.size:
        return False
    version, length, named = _NUMBERS.unpack(numbers)
    start = len(_MAGIC) + _NUMBERS.size + named + _CHECKSUM.size
    if version != _VERSION or not length:
        return False
    size = KEY_BYTES + _FLOAT.itemsize * length + _CHECKSUM.size
    records = [content[at : at + size] for at in range(start, len(content) - size + 1, size)]
    left = [record for record in records if record[:KEY_BYTES] not in keys]
    if len(left) == len(records):
        return False
    durable.write(path, content[:start] + b"".join(left))
    return True


def _header(fingerprint: str, length: int) -> bytes:
    text = fingerprint.encode()
    header = _MAGIC + _NUMBERS.pack(_VERSION, length, len(text)) + text
    return header + _CHECKSUM.pack(zlib.crc32(header))


def _record(key: bytes, vector: NDArray[np.float32]) -> bytes:
    body = key + vector.astype(_FLOAT, copy=False).tobytes()
    return body + _CHECKSUM.pack(zlib.crc32(body))
