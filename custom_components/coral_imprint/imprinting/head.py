"""Imprint classes from their examples' embeddings, and score looks by them.

Qi, Brown and Lowe, Low-Shot Learning with Imprinted Weights (arXiv 1712.07136), section 3.2: a class's weight is the
normalised mean of its examples' unit embeddings; a look's probabilities are the softmax over its scaled cosines to the
weights. The scale is learned from the examples (``scale``), and unequal numbers of examples are made up for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from . import headfile
from .scale import scale_of_looks, scale_of_prototypes

CORRECTION = 0.75
"""How much of the correction for unequal numbers of examples is applied: all of it, 1, loses on hard tasks of many classes,
where one example says little about its class; this part gains as much elsewhere, and 0 would be the plain imprint."""

LEAST_LEFT = 0.25
"""The part of a mean's squared length that the correction always leaves."""


@dataclass(frozen=True)
class Scores:
    """What a look's embedding says about each class, by class id."""

    cosine: Mapping[str, float]
    """Cosine to the class's prototype, -1 to 1."""

    probability: Mapping[str, float]
    """Probabilities, adding up to 1. Empty where there are fewer than two classes: nothing to tell them from."""

    best: str | None = None
    """The most probable class; None without probabilities."""

    confidence: float = 0.0
    """The probability of ``best``, 0 to 1; 0 without one."""


@dataclass(frozen=True, eq=False)
class Head:
    """Everything learned from the examples. Never changes, so that any thread may score with it."""

    classes: tuple[str, ...]
    """Class ids, in the order of the rows."""

    prototypes: NDArray[np.float32]
    """Unit rows, shape (C, d)."""

    gains: NDArray[np.float32]
    """Shape (C,), at least 1: makes up for the shortness of a mean over few examples; all 1 for equal numbers."""

    scale: float
    """Factor on the scores before the softmax."""

    def score(self, vector: NDArray[np.float32]) -> Scores:
        """Score one embedding of shape (d,), normalised here.

        Raises ValueError where the shape is another one, a value isn't finite or all are zero.
        """
        if not self.classes:
            return Scores({}, {})
        if vector.shape != self.prototypes.shape[1:]:
            raise ValueError(f"an embedding of shape {vector.shape} for a head of shape {self.prototypes.shape}")
        length = _length(vector)
        cosines = np.clip((self.prototypes @ vector).astype(np.float64) / length, -1, 1)
        cosine = dict(zip(self.classes, cosines.tolist(), strict=True))
        if len(self.classes) < 2:
            return Scores(cosine, {})
        logits = self.scale * self.gains * cosines
        odds = np.exp(logits - logits.max())
        probability = dict(zip(self.classes, (odds / odds.sum()).tolist(), strict=True))
        best = max(probability, key=probability.__getitem__)
        return Scores(cosine, probability, best, probability[best])

    def save(self, fingerprint: str) -> bytes:
        """Return the head as bytes that carry the fingerprint of the embeddings it was made from."""
        return headfile.pack(fingerprint, self.classes, self.scale, self.gains, self.prototypes)

    @classmethod
    def load(cls, data: bytes, fingerprint: str) -> Self:
        """Return the head that ``save`` packed.

        Raises UnusableHead where the bytes are damaged, of another version, or of another fingerprint.
        """
        classes, scale, gains, prototypes = headfile.unpack(data, fingerprint)
        return cls(classes, prototypes, gains, scale)


def fit(
    embeddings: Mapping[str, NDArray[np.float32]],
    groups: Mapping[str, Sequence[str]] | None = None,
) -> Head:
    """Imprint a head from the examples' embeddings: by class id, shape (n, d), n >= 1, rows normalised here.

    ``groups`` names, for each row of each class, the occasion it was taken at; examples of one occasion are as good as
    copies: when the scale is learned they count as one and are left out together. Without it, each row is an occasion of its own. Raises
    ValueError on a shape that doesn't fit, a row without a direction (zero, NaN, infinite) or groups that don't match.
    """
    classes = tuple(embeddings)
    rows = [_unit_rows(name, embeddings[name]) for name in classes]
    if len({part.shape[1] for part in rows}) > 1:
        raise ValueError("the classes' embeddings differ in length")
    occasions = _occasions(classes, rows, groups)
    if not classes:
        return Head((), _frozen(np.zeros((0, 0))), _frozen(np.zeros(0)), 1.0)
    sums = np.stack([part.sum(axis=0) for part in rows])
    lengths = np.linalg.norm(sums, axis=1)
    if not lengths.all():
        raise ValueError("the examples of a class cancel each other out")
    counts = np.array([len(part) for part in rows], dtype=np.float64)
    prototypes = sums / lengths[:, None]
    spread = _spread(sums, counts)
    gains = _gain(lengths / counts, counts, spread)
    scale = 1.0
    if len(classes) > 1:
        scale = scale_of_prototypes(prototypes)
        looks = _unseen(rows, occasions, prototypes * gains[:, None], spread)
        if looks is not None:
            scale = scale_of_looks(*looks, expected=scale)
    return Head(classes, _frozen(prototypes), _frozen(gains), scale)


def _spread(sums: NDArray[np.float64], counts: NDArray[np.float64]) -> float:
    """Return the variance within classes, summed over dimensions; 0 where the numbers of examples are equal.

    A mean m of n embeddings is longer than the true mean, |m|² by about spread / n; normalising it hides how much. Equal
    numbers leave every class equally wrong, and the plain imprint is right.
    """
    if (counts == counts[0]).all():
        return 0.0
    within = counts - (sums**2).sum(axis=1) / counts
    return float(within.sum() / (counts - 1).sum())


def _gain(lengths: NDArray[np.float64], counts: NDArray[np.float64] | float, spread: float) -> NDArray[np.float64]:
    """Return what a cosine to a mean of these lengths, over these counts, is multiplied by.

    In full it would make of x·m / |m| the unbiased x·m / sqrt(|m|² - spread / n).
    """
    left = np.maximum(1 - spread / counts / lengths**2, LEAST_LEFT)
    gain: NDArray[np.float64] = left ** (-CORRECTION / 2)
    return gain


def _unseen(
    rows: Sequence[NDArray[np.float64]],
    occasions: Sequence[NDArray[np.intp]],
    weights: NDArray[np.float64],
    spread: float,
) -> tuple[NDArray[np.float64], NDArray[np.intp], NDArray[np.float64]] | None:
    """Score each example as if its occasion had not been learned; classes with one occasion have nothing to say.

    Returns scores of shape (n, C), the right columns, shape (n,), and weights, shape (n,): each occasion weighs 1. None
    where no class has two occasions.
    """
    scores, truth, parts = [], [], []
    for column, (part, occasion) in enumerate(zip(rows, occasions, strict=True)):
        together = np.zeros((occasion.max() + 1, part.shape[1]))
        np.add.at(together, occasion, part)
        if len(together) < 2:
            continue
        size = np.bincount(occasion)[occasion]
        left = len(part) - size
        others = (part.sum(axis=0) - together)[occasion] / left[:, None]
        lengths = np.linalg.norm(others, axis=1)
        own = np.einsum("nd,nd->n", part, others) / np.maximum(lengths, np.finfo(np.float64).tiny)
        part_scores = part @ weights.T
        part_scores[:, column] = own * _gain(lengths, left.astype(np.float64), spread)
        scores.append(part_scores)
        truth.append(np.full(len(part), column, dtype=np.intp))
        parts.append(1 / size)
    if not scores:
        return None
    return np.concatenate(scores), np.concatenate(truth), np.concatenate(parts)


def _occasions(
    classes: Sequence[str],
    rows: Sequence[NDArray[np.float64]],
    groups: Mapping[str, Sequence[str]] | None,
) -> list[NDArray[np.intp]]:
    """Return each row's occasion as a number counted from 0 within its class."""
    if groups is None:
        return [np.arange(len(part)) for part in rows]
    if groups.keys() != set(classes) or any(
        len(groups[name]) != len(part) for name, part in zip(classes, rows, strict=True)
    ):
        raise ValueError("groups have to name one occasion for each row of each class")
    numbered: list[dict[str, int]] = [{} for _ in classes]
    return [
        np.array([known.setdefault(group, len(known)) for group in groups[name]], dtype=np.intp)
        for name, known in zip(classes, numbered, strict=True)
    ]


def _unit_rows(name: str, part: NDArray[np.float32]) -> NDArray[np.float64]:
    if part.ndim != 2 or not part.size:
        raise ValueError(f"class {name}: embeddings of shape {part.shape}, expected (n, d) with n >= 1")
    exact = part.astype(np.float64)
    lengths = np.linalg.norm(exact, axis=1)
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        raise ValueError(f"class {name}: an embedding without a direction (zero, NaN or infinite)")
    unit: NDArray[np.float64] = exact / lengths[:, None]
    return unit


def _length(vector: NDArray[np.float32]) -> float:
    length = float(np.linalg.norm(vector))
    if not (np.isfinite(length) and length > 0):
        raise ValueError("an embedding without a direction (zero, NaN or infinite)")
    return length


def _frozen(values: NDArray[np.float64]) -> NDArray[np.float32]:
    narrow = values.astype(np.float32)
    narrow.flags.writeable = False
    return narrow
