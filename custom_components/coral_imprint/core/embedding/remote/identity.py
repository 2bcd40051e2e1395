"""Which model a server has: known by what it makes of the test pictures.

Names and versions say what somebody called a model. What an embedding depends on is the model itself, and that shows in its embeddings
of pictures that are the same everywhere. They are compared with room for roundings, so that the same network counts as the same on
another server, processor or runtime; another network, layout or range of pixels does not.
"""

from dataclasses import dataclass
import hashlib
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..errors import EmbeddingError, UnusableAnswer
from ..pictures import test_pictures
from ..runtimes import selftest

LEAST_COSINE: Final = 0.98
"""Between two embeddings of a test picture by the same model. Sound runtimes that round in other ways have 0.9895 at least on the
published extractors (`selftest`)."""

MOST_DISAGREEMENT: Final = 0.02
"""Mean squared distance of the embeddings, as a share of their variance over the pictures; those runtimes have 0.015 at most."""

_DECIMALS: Final = 4


@dataclass(frozen=True, slots=True)
class Probe:
    """A model's unit embeddings of the test pictures."""

    units: NDArray[np.float32]
    """(pictures, length), each of length 1."""

    @classmethod
    def of(cls, vectors: NDArray[np.float32]) -> "Probe":
        """Take the test pictures' embeddings of any length but 0. Raises UnusableAnswer where they are all the same."""
        units = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
        if not np.ptp(units, axis=0).any():
            raise UnusableAnswer("All test pictures have the same embedding")
        return cls(units)

    @property
    def id(self) -> str:
        """Hexadecimal digits that stand for this probe; another one of the same model may have others: see `same`."""
        rounded = np.rint(self.units.astype(np.float64) * 10**_DECIMALS).astype("<i4")
        return hashlib.sha256(f"{test_pictures.VERSION} {rounded.shape}".encode() + rounded.tobytes()).hexdigest()[:16]

    def same(self, other: "Probe") -> bool:
        """Whether both are of the same model, as far as embeddings tell."""
        ours, theirs = self.units.astype(np.float64), other.units.astype(np.float64)
        if ours.shape != theirs.shape or (ours * theirs).sum(axis=1).min() < LEAST_COSINE:
            return False
        variance = ((theirs - theirs.mean(axis=0)) ** 2).sum()
        return bool(((ours - theirs) ** 2).sum() <= MOST_DISAGREEMENT * variance)

    def check(self, size: tuple[int, int], sha256: str) -> None:
        """Compare with what is known of a published extractor of that file. Raises SelfTestFailed."""
        selftest.check(_Recorded(self.units, size), sha256)


class _Recorded:
    """A runtime that embedded the test pictures before, for `selftest.check`."""

    family = "remote"

    def __init__(self, units: NDArray[np.float32], size: tuple[int, int]) -> None:
        self.input_size = size
        self.length = units.shape[1]
        self._pending = iter(units)

    def embed(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the next picture's embedding."""
        try:
            return next(self._pending)
        except StopIteration:
            raise EmbeddingError("There are more test pictures than embeddings") from None

    def close(self) -> None:
        """Hold nothing."""
