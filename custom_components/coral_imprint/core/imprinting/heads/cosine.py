"""Imprinting + FT: the cosine softmax, fine-tuned from the imprinted weights.

Qi, Brown and Lowe (arXiv 1712.07136), section 3.3, for the last layer alone: the embedding stays as it is. Cross-entropy,
gradient descent with momentum (Polyak, 1964), weights kept at length 1, a fixed number of steps. All classes weigh
alike.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from .base import Floats, Head, Vectors
from .linear import fit_linear
from .training import TrainingExamples

STEPS = 60
RATE = 0.5
MOMENTUM = 0.9
SHARPNESS = 20.0
"""Factor on the cosines while the weights are tuned. The scale that looks are scored with is learned afterwards."""


def fit_cosine(embeddings: Mapping[str, Vectors], groups: Mapping[str, Sequence[str]] | None = None) -> Head:
    """Learn a fine-tuned head. Takes and raises what ``fit`` does; an imprint where there are fewer than two classes."""
    return fit_linear("cosine", solve_cosine, embeddings, groups)


def solve_cosine(examples: TrainingExamples) -> tuple[Floats, Floats]:
    """Return unit weights, shape (C, d), and biases that are all 0, shape (C,)."""
    rows, targets = examples.rows, np.eye(len(examples.classes))[examples.truth]
    own = (1 / examples.counts)[examples.truth]
    own /= own.sum()
    weights = _unit(examples.means)
    speed = np.zeros_like(weights)
    for _ in range(STEPS):
        logits = SHARPNESS * (rows @ weights.T)
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        wrong = (odds / odds.sum(axis=1, keepdims=True) - targets) * own[:, None]
        slope = wrong.T @ rows
        # Along the weights themselves the cosine doesn't change.
        slope -= np.einsum("cd,cd->c", slope, weights)[:, None] * weights
        speed = MOMENTUM * speed - RATE * slope
        weights = _unit(weights + speed)
    return weights, np.zeros(len(weights))


def _unit(rows: Floats) -> Floats:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if not lengths.all():
        raise ValueError("the examples of a class cancel each other out")
    unit: Floats = rows / lengths
    return unit
