"""What every head is and can do, whatever it was learned by."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
import itertools
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..errors import UnusableHead
from . import serialization

Floats = NDArray[np.float64]
Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Scores:
    """What a look's embedding says about each class, by class id."""

    cosine: Mapping[str, float]
    """Cosine to the class's nearest prototype, -1 to 1."""

    probability: Mapping[str, float]
    """Probabilities, adding up to 1. Empty where there are fewer than two classes: nothing to tell them from."""

    best: str | None = None
    """The most probable class; None without probabilities."""

    confidence: float = 0.0
    """The probability of ``best``, 0 to 1; 0 without one."""


@dataclass(frozen=True, eq=False)
class Head(ABC):
    """Everything learned from the examples. Never changes, so that any thread may score with it."""

    kind: str
    """How it was learned: imprint, modes, cosine, ridge, lda or neighbours."""

    classes: tuple[str, ...]
    """Class ids, in the order of the logits."""

    scale: float
    """Factor on the logits before the softmax, above 0."""

    _by_kind: ClassVar[dict[str, type["Head"]]] = {}

    def __init_subclass__(cls, kinds: tuple[str, ...] = (), **options: Any) -> None:
        """Make the class the one that heads of these kinds are loaded as."""
        super().__init_subclass__(**options)
        Head._by_kind |= dict.fromkeys(kinds, cls)

    def score(self, vector: Vectors) -> Scores:
        """Score one embedding of shape (d,), normalised here.

        Raises ValueError where the shape is another one, a value isn't finite or all are zero.
        """
        if not self.classes:
            return Scores({}, {})
        if vector.ndim != 1:
            raise ValueError(f"an embedding of shape {vector.shape}, expected (d,)")
        unit = self._unit(vector)
        cosine = dict(zip(self.classes, self._cosines(unit).tolist(), strict=True))
        if len(self.classes) < 2:
            return Scores(cosine, {})
        logits = self.scale * self._logits(unit)
        odds = np.exp(logits - logits.max())
        probability = dict(zip(self.classes, (odds / odds.sum()).tolist(), strict=True))
        best = max(probability, key=probability.__getitem__)
        return Scores(cosine, probability, best, probability[best])

    def logits(self, vectors: Vectors) -> Floats:
        """Return how much speaks for each class, uncalibrated: larger is likelier.

        Takes one embedding of shape (d,) or several of shape (n, d) and returns shape (C,) or (n, C). Multiplied by
        ``scale`` they are the logarithms of the odds. Raises ValueError as ``score`` does.
        """
        return self._logits(self._unit(vectors)) if self.classes else np.zeros((*vectors.shape[:-1], 0))

    def cosines(self, vectors: Vectors) -> Floats:
        """Return the cosine to each class's nearest prototype, -1 to 1: how alike the picture is, by whatever it is told apart.

        Shapes and errors are those of ``logits``.
        """
        return self._cosines(self._unit(vectors)) if self.classes else np.zeros((*vectors.shape[:-1], 0))

    def save(self, fingerprint: str) -> bytes:
        """Return the head as bytes that carry the fingerprint of the embeddings it was made from."""
        return serialization.pack(fingerprint, self.kind, self.classes, self.scale, self._arrays())

    @staticmethod
    def load(data: bytes, fingerprint: str) -> "Head":
        """Return the head, of any kind, that ``save`` packed.

        Raises UnusableHead where the bytes are damaged, of another version or kind, or of another fingerprint.
        """
        parts = serialization.unpack(data, fingerprint)
        made = Head._by_kind.get(parts.kind)
        if made is None:
            raise UnusableHead(f"heads of the kind {parts.kind} are unknown")
        try:
            return made._of(parts)  # noqa: SLF001 -- its own subclass
        except (KeyError, ValueError, TypeError, IndexError) as err:
            raise UnusableHead("its parts don't fit each other") from err

    @property
    @abstractmethod
    def length(self) -> int:
        """Length of the embeddings, d."""

    @abstractmethod
    def _logits(self, unit: Vectors) -> Floats:
        """Return logits of unit vectors, shape (…, d) to (…, C)."""

    @abstractmethod
    def _cosines(self, unit: Vectors) -> Floats:
        """Return cosines of unit vectors, shape (…, d) to (…, C)."""

    @abstractmethod
    def _arrays(self) -> dict[str, NDArray[Any]]:
        """Return what is saved beside kind, classes and scale."""

    @classmethod
    @abstractmethod
    def _of(cls, parts: serialization.HeadParts) -> "Head":
        """Make a head of what was saved. Raises ValueError or KeyError where the parts don't fit each other."""

    def _unit(self, vectors: Vectors) -> Vectors:
        """Return vectors of length 1."""
        if vectors.ndim not in {1, 2} or vectors.shape[-1] != self.length:
            raise ValueError(f"embeddings of shape {vectors.shape} for a head of length {self.length}")
        lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
        if not (np.isfinite(lengths) & (lengths > 0)).all():
            raise ValueError("an embedding without a direction (zero, NaN or infinite)")
        unit: Vectors = np.divide(vectors, lengths, dtype=np.float32)
        return unit


def check_shapes(*pairs: tuple[NDArray[Any], tuple[int, ...]]) -> None:
    """Raise ValueError where an array hasn't the shape it is paired with."""
    for array, shape in pairs:
        if array.shape != shape:
            raise ValueError(f"an array of shape {array.shape}, expected {shape}")


def check_starts(starts: NDArray[np.int32], rows: int) -> None:
    """Raise ValueError unless each class has rows of its own, one class after the other, from the first row to the last."""
    ends = [*starts.tolist(), rows]
    if ends[0] != 0 or any(first >= second for first, second in itertools.pairwise(ends)):
        raise ValueError("each class needs rows of its own")


def frozen(values: Floats) -> Vectors:
    """Return a float32 copy that can't be written."""
    narrow = values.astype(np.float32)
    narrow.flags.writeable = False
    return narrow
