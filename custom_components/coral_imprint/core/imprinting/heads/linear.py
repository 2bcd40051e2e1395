"""Heads that weigh an embedding's directions: one weight vector and one bias per class, learned in one of several ways."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from . import serialization
from .base import Floats, Head, Vectors, check_shapes, frozen
from .imprinter import fit
from .scale import scale_of_certainty, scale_of_looks
from .training import Span, TrainingExamples, gather

FOLDS = 5
"""Parts that the occasions of each class are dealt into to learn the scale."""

ALL_FOLDS = 150
"""Examples up to which each part is left out in turn; beyond, only the first is: it holds enough looks."""

DEVIATION = 1.0
"""Standard deviation of the scale's logarithm about the one that the taught examples suggest: directions were weighed so
that these are told apart, and unseen ones are told apart less well by a factor that is hard to foresee."""

Solve: TypeAlias = Callable[[TrainingExamples], tuple[Floats, Floats]]
"""Learns weights of shape (C, d) and biases of shape (C,). It treats all directions alike."""


@dataclass(frozen=True, eq=False)
class Linear(Head, kinds=("ridge", "lda", "cosine")):
    """A class's logit is its weights times the unit embedding, plus its bias. Prototypes serve the cosines alone."""

    weights: Vectors
    """Shape (C, d)."""

    biases: Vectors
    """Shape (C,)."""

    prototypes: Vectors
    """Imprinted unit rows, shape (C, d)."""

    @property
    def length(self) -> int:
        """Length of the embeddings, d."""
        return int(self.weights.shape[1])

    def _logits(self, unit: Vectors) -> Floats:
        return (unit @ self.weights.T).astype(np.float64) + self.biases

    def _cosines(self, unit: Vectors) -> Floats:
        return np.clip((unit @ self.prototypes.T).astype(np.float64), -1, 1)

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {"weights": self.weights, "biases": self.biases, "prototypes": self.prototypes}

    @classmethod
    def _of(cls, parts: serialization.HeadParts) -> "Linear":
        weights, biases, prototypes = (parts.arrays[name] for name in ("weights", "biases", "prototypes"))
        if weights.ndim != 2:
            raise ValueError("weights are rows")
        check_shapes(
            (biases, (len(parts.classes),)), (weights, (len(biases), weights.shape[1])), (prototypes, weights.shape)
        )
        return cls(parts.kind, parts.classes, parts.scale, weights, biases, prototypes)


def fit_linear(
    kind: str, solve: Solve, embeddings: Mapping[str, Vectors], groups: Mapping[str, Sequence[str]] | None
) -> Head:
    """Learn a linear head and its scale; an imprint where there are fewer than two classes to tell apart.

    Raises ValueError as ``fit`` does.
    """
    imprint = fit(embeddings, groups)
    if len(embeddings) < 2:
        return imprint
    span = Span.of(gather(embeddings, groups))
    weights, biases = solve(span.examples)
    scale = _scale(solve, span.examples, weights, biases)
    return Linear(kind, imprint.classes, scale, frozen(span.back(weights)), frozen(biases), imprint.prototypes)


def _scale(solve: Solve, examples: TrainingExamples, weights: Floats, biases: Floats) -> float:
    """Return the scale that makes heads taught without some occasions as sure of these as they are right."""
    expected = scale_of_certainty(examples.means @ weights.T + biases)
    scores, truth, parts = [], [], []
    for asked in _folds(examples):
        taught_weights, taught_biases = solve(examples.only(~asked))
        scores.append(examples.rows[asked] @ taught_weights.T + taught_biases)
        truth.append(examples.truth[asked])
        parts.append(weights_of_occasions(examples)[asked])
    if not scores:
        return expected
    return scale_of_looks(np.concatenate(scores), np.concatenate(truth), np.concatenate(parts), expected, DEVIATION)


def weights_of_occasions(examples: TrainingExamples) -> Floats:
    """Return what each row counts, shape (n,), so that each occasion of each class counts 1."""
    width = int(examples.occasion.max()) + 1
    place = examples.truth * width + examples.occasion
    weights: Floats = 1 / np.bincount(place)[place]
    return weights


def _folds(examples: TrainingExamples) -> list[NDArray[np.bool_]]:
    """Return masks of rows to leave out together. A class of one occasion is never left out, and none is as a whole."""
    occasions = np.array(
        [examples.occasion[examples.truth == column].max() + 1 for column in range(len(examples.classes))]
    )
    parts = min(FOLDS, int(occasions.max()))
    if parts < 2:
        return []
    used = parts if len(examples.rows) <= ALL_FOLDS else 1
    several = occasions[examples.truth] > 1
    # Where a class has fewer occasions than there are parts, some parts lack it: never all of it is in one.
    folds = [several & (examples.occasion % parts == fold) for fold in range(used)]
    return [fold for fold in folds if fold.any()]
