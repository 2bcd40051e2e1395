"""Embeddings kept between runs, one file per fingerprint. Derived from the examples: losing it costs only time."""

from collections.abc import Collection, Iterator
import hashlib
from pathlib import Path
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from ..examples import atomic

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
        atomic.make_folder(folder)
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
        atomic.write_at(self.path, _record(key, kept), self._end())
        self._records += 1

    def compact(self, live_keys: Collection[bytes]) -> bool:
        """Forget all keys but these where more than half of the file is dead; return whether. Raises StoreFailed."""
        live = {key: vector for key in live_keys if (vector := self._vectors.get(key)) is not None}
        if 2 * len(live) >= self._records:
            return False
        self._replace(live)
        return True

    def forget(self, *, all_but: Collection[bytes]) -> int:
        """Leave no vectors but those of these keys, nor earlier ones of theirs, in the file either; return how many keys went.

        Raises StoreFailed, and then nothing is forgotten.
        """
        left = {key: vector for key, vector in self._vectors.items() if key in all_but}
        gone = len(self._vectors) - len(left)
        if len(left) != self._records or self._is_torn():
            self._replace(left)
        return gone

    def drop(self) -> None:
        """Remove the file and forget everything; ``put`` raises StoreFailed afterwards. Raises StoreFailed."""
        self._vectors = {}
        self._records = 0
        atomic.remove(self.path)

    def _replace(self, vectors: dict[bytes, NDArray[np.float32]]) -> None:
        atomic.write(self.path, self._header + b"".join(_record(key, vector) for key, vector in vectors.items()))
        self._vectors = vectors
        self._records = len(vectors)

    def _is_torn(self) -> bool:
        """Whether a failed write left something behind the last whole record."""
        return self.path.exists() and atomic.status(self.path).st_size > self._end()

    def _end(self) -> int:
        return len(self._header) + self._records * self._record_bytes

    def _load(self) -> None:
        content = atomic.read(self.path) if self.path.exists() else b""
        if not content.startswith(self._header):
            if content:
                atomic.move(self.path, self.path.with_suffix(BAD_SUFFIX))
            atomic.write(self.path, self._header)
            return
        for record in _records_in(content, len(self._header), self.length):
            vector = np.frombuffer(record, _FLOAT, self.length, KEY_BYTES).astype(np.float32, copy=False)
            self._vectors[record[:KEY_BYTES]] = vector
            self._records += 1
        if len(content) > self._end():
            atomic.write(self.path, content[: self._end()])


def forget_in_folder(folder: Path, *, all_but: Collection[bytes], in_use: Collection[Path] = ()) -> int:
    """Leave no vectors but those of some keys in the cache files of a folder but those in use; return how many files changed.

    For caches that nobody has open: the open ones have ``EmbeddingCache.forget``. Files of which it can't be told what they
    hold (damaged, set aside, half-written, of another version) are removed. Raises StoreFailed.
    """
    if not folder.is_dir():
        return 0
    changed = atomic.sweep(folder)
    for path, _ in atomic.files(folder):
        if path.suffix == BAD_SUFFIX:
            atomic.remove(path)
            changed += 1
        elif path.suffix == SUFFIX and path not in in_use:
            changed += _forget_in_file(path, all_but)
    return changed


def _forget_in_file(path: Path, all_but: Collection[bytes]) -> bool:
    content = atomic.read(path)
    start, length = _header_in(content)
    if not start:
        atomic.remove(path)
        return True
    whole = [record for record in _records_in(content, start, length) if record[:KEY_BYTES] in all_but]
    # Of a key that is there twice, the last one counts.
    left = content[:start] + b"".join({record[:KEY_BYTES]: record for record in whole}.values())
    if left == content:
        return False
    atomic.write(path, left)
    return True


def _header_in(content: bytes) -> tuple[int, int]:
    """Return the bytes of a file's header and the length of its vectors; (0, 0) where it has none that is whole."""
    numbers = content[len(_MAGIC) : len(_MAGIC) + _NUMBERS.size]
    if not content.startswith(_MAGIC) or len(numbers) < _NUMBERS.size:
        return 0, 0
    version, length, named = _NUMBERS.unpack(numbers)
    end = len(_MAGIC) + _NUMBERS.size + named
    whole = content[end : end + _CHECKSUM.size] == _CHECKSUM.pack(zlib.crc32(content[:end]))
    return (end + _CHECKSUM.size, length) if whole and version == _VERSION and length else (0, 0)


def _records_in(content: bytes, start: int, length: int) -> Iterator[bytes]:
    """Yield the records for vectors of a length up to the first that is damaged or cut off."""
    size = KEY_BYTES + _FLOAT.itemsize * length + _CHECKSUM.size
    for at in range(start, len(content) - size + 1, size):
        record = content[at : at + size]
        if _CHECKSUM.pack(zlib.crc32(record[: -_CHECKSUM.size])) != record[-_CHECKSUM.size :]:
            return
        yield record


def _header(fingerprint: str, length: int) -> bytes:
    text = fingerprint.encode()
    header = _MAGIC + _NUMBERS.pack(_VERSION, length, len(text)) + text
    return header + _CHECKSUM.pack(zlib.crc32(header))


def _record(key: bytes, vector: NDArray[np.float32]) -> bytes:
    body = key + vector.astype(_FLOAT, copy=False).tobytes()
    return body + _CHECKSUM.pack(zlib.crc32(body))
