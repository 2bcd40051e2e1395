"""Heads of prototypes: one per class (imprint), or several where a class has several modes.

Qi, Brown and Lowe, Low-Shot Learning with Imprinted Weights (arXiv 1712.07136), section 3.2: a class's weight is the
normalised mean of its examples' unit embeddings; a look's probabilities are the softmax over its scaled cosines to the
weights. Unequal numbers of examples are made up for.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import serialization
from .base import Floats, Head, Vectors, check_shapes, check_starts

CORRECTION = 0.75
"""How much of the correction for unequal numbers of examples is applied: all of it, 1, loses on hard tasks of many classes,
where one example says little about its class; this part gains as much elsewhere, and 0 would be the plain imprint."""

LEAST_LEFT = 0.25
"""The part of a mean's squared length that the correction always leaves."""


@dataclass(frozen=True, eq=False)
class Imprint(Head, kinds=("imprint", "modes")):
    """Prototypes. A class's logit is the largest of its prototypes' cosines, each times its gain."""

    prototypes: Vectors
    """Unit rows, shape (P, d), class after class; P = C for the kind imprint."""

    gains: Vectors
    """Shape (P,), above 0: makes up for the shortness of a mean over few examples (all 1 for equal numbers), and holds the length of what
    a network knew."""

    starts: NDArray[np.int32]
    """Row of each class's first prototype, shape (C,)."""

    @property
    def length(self) -> int:
        """Length of the embeddings, d."""
        return int(self.prototypes.shape[1])

    def _logits(self, unit: Vectors) -> Floats:
        return self._largest((unit @ self.prototypes.T).astype(np.float64) * self.gains)

    def _cosines(self, unit: Vectors) -> Floats:
        return np.clip(self._largest((unit @ self.prototypes.T).astype(np.float64)), -1, 1)

    def _largest(self, of_prototypes: Floats) -> Floats:
        if len(self.starts) == len(self.prototypes):
            return of_prototypes
        largest: Floats = np.maximum.reduceat(of_prototypes, self.starts, axis=-1)
        return largest

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {"prototypes": self.prototypes, "gains": self.gains, "starts": self.starts}

    @classmethod
    def _of(cls, parts: serialization.HeadParts) -> "Imprint":
        prototypes, gains, starts = (parts.arrays[name] for name in ("prototypes", "gains", "starts"))
        if prototypes.ndim != 2:
            raise ValueError("prototypes are rows")
        check_shapes((gains, (len(prototypes),)), (starts, (len(parts.classes),)))
        check_starts(starts, len(prototypes))
        return cls(parts.kind, parts.classes, parts.scale, prototypes, gains, starts)


def spread_within(sums: Floats, counts: Floats) -> float:
    """Return the variance within classes, summed over dimensions; 0 where the numbers of examples are equal.

    Takes sums of unit rows, shape (C, d), and their counts, shape (C,). A mean m of n embeddings is longer than the
    true mean, |m|² by about spread / n; normalising it hides how much. Equal numbers leave every class equally wrong,
    and the plain imprint is right.
    """
    if (counts == counts[0]).all():
        return 0.0
    within = counts - (sums**2).sum(axis=1) / counts
    return float(within.sum() / (counts - 1).sum())


def gain_of(lengths: Floats, counts: Floats | float, spread: float) -> Floats:
    """Return what a cosine to a mean of these lengths, over these counts, is multiplied by.

    In full it would make of x·m / |m| the unbiased x·m / sqrt(|m|² - spread / n).
    """
    left = np.maximum(1 - spread / counts / lengths**2, LEAST_LEFT)
    gain: Floats = left ** (-CORRECTION / 2)
    return gain
