"""Linear discriminant analysis with a shrunk covariance: what varies within classes counts less.

Fisher, The Use of Multiple Measurements (Annals of Eugenics 7, 1936); shrinkage of the covariance towards the identity
after Friedman, Regularized Discriminant Analysis (JASA 84, 1989), section 2. It is imprinting in the space where the
shrunk covariance is the identity: a class's score is the cosine to its mean there, up to what depends on the look alone,
and the correction for unequal numbers of examples is that of the imprint, in full.

Mean accuracy on six sets, v1 0.5 with layout, up to five classes: 93.2 of 5 examples a class (imprint 90.6). Of unequal
numbers, 1 and 5 or 2 and 20, by UNEQUAL: 0.5 gives 80.5 and 88.3, 1 gives 80.9 and 88.0, 2 gives 80.9 and 87.7; the imprint
80.9 and 87.4, without its correction 70.9 and 79.8.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from .base import Floats, Head, Vectors
from .linear import fit_linear
from .training import TrainingExamples

SHRINKAGE = 0.003
"""Part of the covariance's trace that is added to each of its diagonal's elements."""

UNEQUAL = 1.0
"""How much more is added, times 1/n of the rarest class less 1/n of the commonest: directions in which examples happened
not to vary are those in which a mean of few is wrong."""

LEAST_LEFT = 0.1
"""The part of a mean's squared length that the correction for unequal numbers always leaves."""


def fit_lda(embeddings: Mapping[str, Vectors], groups: Mapping[str, Sequence[str]] | None = None) -> Head:
    """Learn an LDA head. Takes and raises what ``fit`` does; an imprint where there are fewer than two classes."""
    return fit_linear("lda", solve_lda, embeddings, groups)


def solve_lda(examples: TrainingExamples) -> tuple[Floats, Floats]:
    """Return weights, shape (C, d), of mean length 1, and biases that are all 0, shape (C,)."""
    means, counts = examples.means, examples.counts
    residuals = examples.rows - means[examples.truth]
    covariance = residuals.T @ residuals
    trace = float(np.trace(covariance))
    inequality = float(1 / counts.min() - 1 / counts.max())
    # One example per class, or copies, tell nothing about what varies: then all directions count alike.
    covariance /= trace if trace > 1e-9 else np.inf
    shrinkage = SHRINKAGE + UNEQUAL * inequality
    covariance[np.diag_indices_from(covariance)] += shrinkage
    if not inequality:
        weights: Floats = np.linalg.solve(covariance, means.T).T.astype(np.float64, copy=False)
        return _of_length(weights, np.einsum("cd,cd->c", weights, means))
    inverse = np.linalg.inv(covariance).astype(np.float64, copy=False)
    weights = means @ inverse
    lengths = np.einsum("cd,cd->c", weights, means)
    # The squared lengths of all residuals there: the trace of the inverse times their scatter.
    spread = trace * (len(inverse) - shrinkage * float(np.trace(inverse))) / float((counts - 1).sum())
    return _of_length(weights, np.maximum(lengths - spread / counts, LEAST_LEFT * lengths))


def _of_length(weights: Floats, squared: Floats) -> tuple[Floats, Floats]:
    """Divide weights by the lengths of their means, and all by what makes them of mean length 1."""
    weights = weights / np.sqrt(np.maximum(squared, np.finfo(np.float64).tiny))[:, None]
    return weights / np.linalg.norm(weights, axis=1).mean(), np.zeros(len(weights))
