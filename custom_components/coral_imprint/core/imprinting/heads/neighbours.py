"""k nearest neighbours: the examples themselves vote, as Teachable Machine's first version had it (k = 3).

Cover and Hart, Nearest Neighbor Pattern Classification (IEEE Transactions on Information Theory 13, 1967).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import serialization
from .base import Floats, Head, Vectors, check_shapes, check_starts
from .linear import weights_of_occasions
from .scale import scale_of_looks
from .training import TrainingExamples, gather

NEIGHBOURS = 3

MOST_LOOKS = 400
"""Examples that the scale is learned from, at most, evenly chosen."""

UNANIMOUS = 10.0
"""The scale before examples have spoken: three of three votes against none are e¹⁰ to 1."""


@dataclass(frozen=True, eq=False)
class Neighbours(Head, kinds=("neighbours",)):
    """A class's logit is its share of the nearest examples; its own nearest example settles ties."""

    rows: Vectors
    """Examples, class after class, of length 1 as nearly as float16 is, whose values they have: shape (n, d)."""

    starts: NDArray[np.int32]
    """Row of each class's first example, shape (C,)."""

    @property
    def length(self) -> int:
        """Length of the embeddings, d."""
        return int(self.rows.shape[1])

    def _logits(self, unit: Vectors) -> Floats:
        return _votes((unit @ self.rows.T).astype(np.float64), self.starts)

    def _cosines(self, unit: Vectors) -> Floats:
        return np.clip(_nearest((unit @ self.rows.T).astype(np.float64), self.starts), -1, 1)

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {"rows": self.rows.astype(np.float16), "starts": self.starts}

    @classmethod
    def _of(cls, parts: serialization.HeadParts) -> "Neighbours":
        rows, starts = parts.arrays["rows"], parts.arrays["starts"]
        if rows.ndim != 2:
            raise ValueError("examples are rows")
        check_shapes((starts, (len(parts.classes),)))
        check_starts(starts, len(rows))
        return cls(parts.kind, parts.classes, parts.scale, _frozen(rows), starts)


def fit_neighbours(embeddings: Mapping[str, Vectors], groups: Mapping[str, Sequence[str]] | None = None) -> Head:
    """Remember the examples. Takes and raises what ``fit`` does."""
    examples = gather(embeddings, groups)
    starts = np.searchsorted(examples.truth, np.arange(len(examples.classes))).astype(np.int32)
    starts.flags.writeable = False
    scale = _scale(examples, starts) if len(examples.classes) > 1 else 1.0
    return Neighbours("neighbours", examples.classes, scale, _frozen(examples.rows.astype(np.float16)), starts)


def _scale(examples: TrainingExamples, starts: NDArray[np.int32]) -> float:
    """Return the scale at which examples are as sure of their class as they are right, their own occasions left out."""
    several = np.flatnonzero(np.bincount(examples.truth, examples.occasion)[examples.truth] > 0)
    if not len(several):
        return UNANIMOUS
    asked = several[np.linspace(0, len(several) - 1, min(MOST_LOOKS, len(several))).astype(np.intp)]
    similar = examples.rows[asked] @ examples.rows.T
    truth, occasion = examples.truth[asked], examples.occasion[asked]
    similar[(examples.truth == truth[:, None]) & (examples.occasion == occasion[:, None])] = -1
    return scale_of_looks(_votes(similar, starts), truth, weights_of_occasions(examples)[asked], UNANIMOUS)


def _votes(similar: Floats, starts: NDArray[np.int32]) -> Floats:
    """Return logits, shape (…, C), from the cosines to all examples, shape (…, n)."""
    count = similar.shape[-1]
    near = min(NEIGHBOURS, count)
    class_of = np.searchsorted(starts, np.arange(count), side="right") - 1
    voters = class_of[np.argpartition(similar, count - near, axis=-1)[..., count - near :]]
    shares = (voters[..., None] == np.arange(len(starts))).sum(axis=-2) / near
    # A cosine is worth less than a vote.
    settled: Floats = shares + _nearest(similar, starts) / (2 * near + 1)
    return settled


def _nearest(similar: Floats, starts: NDArray[np.int32]) -> Floats:
    """Return the largest of each class's cosines, shape (…, n) to (…, C)."""
    nearest: Floats = np.maximum.reduceat(similar, starts, axis=-1)
    return nearest


def _frozen(rows: NDArray[Any]) -> Vectors:
    exact = rows.astype(np.float32)
    exact.flags.writeable = False
    return exact
