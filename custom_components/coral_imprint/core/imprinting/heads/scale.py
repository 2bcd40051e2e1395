"""How far apart scores have to be for certainty: the scale of the softmax, learned from the examples."""

import math

import numpy as np
from numpy.typing import NDArray

CERTAIN = 0.999
"""Probability of a look that is exactly a class's prototype."""

LOWEST, HIGHEST = 1.0, 1500.0
"""Bounds of the scale. At the upper one, two scores 0.0046 apart are still told apart with certainty."""

PRIOR_DEVIATION = 1 / 3
"""Standard deviation of the scale's logarithm about the one that the prototypes suggest."""

_STEPS = 24


def scale_of_prototypes(prototypes: NDArray[np.float64]) -> float:
    """Return the scale at which the least certain prototype (unit rows, shape (C, d), C >= 2) is CERTAIN.

    Few examples lie farther from each other than the means of many, and their prototypes too: the scale then is lower
    and looks are less certain, as they should be.
    """
    return scale_of_certainty(prototypes @ prototypes.T)


def scale_of_certainty(scores: NDArray[np.float64]) -> float:
    """Return the scale at which the least certain of typical looks, one per class, is CERTAIN.

    ``scores`` has shape (C, C), C >= 2: row c holds the scores of a look that is typical of class c.
    """
    rivals = scores - scores.diagonal()[:, None]
    np.fill_diagonal(rivals, -np.inf)

    def doubt(scale: float) -> float:
        # Beyond the limit it is too much doubt, however much.
        return float(np.exp(np.minimum(scale * rivals, 700)).sum(axis=1).max()) - (1 / CERTAIN - 1)

    low, high = math.log(LOWEST), math.log(HIGHEST)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if doubt(math.exp(middle)) > 0 else (low, middle)
    return math.exp((low + high) / 2)


def scale_of_looks(
    scores: NDArray[np.float64],
    truth: NDArray[np.intp],
    weights: NDArray[np.float64],
    expected: float,
    deviation: float = PRIOR_DEVIATION,
) -> float:
    """Return the most plausible scale, given looks at examples that their prototypes have not seen.

    ``scores`` has shape (n, C), ``truth`` (n,) says which column is right, ``weights`` (n,) how much a look counts.
    Maximum a posteriori: the likelihood of the right classes under the softmax, times a log-normal prior about
    ``expected``, whose logarithm has the standard deviation ``deviation``. The slope's root is looked for by halving
    within three deviations of ``expected``.
    """
    right = scores[np.arange(len(truth)), truth]
    rivals = scores - right[:, None]
    rivals_below = rivals - rivals.max(axis=1, keepdims=True)

    def slope(scale: float) -> float:
        odds = np.exp(scale * rivals_below)
        mean_rival = (odds * rivals).sum(axis=1) / odds.sum(axis=1)
        return float(weights @ mean_rival) + math.log(scale / expected) / (deviation**2 * scale)

    low, high = math.log(expected) - 3 * deviation, math.log(expected) + 3 * deviation
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if slope(math.exp(middle)) > 0 else (middle, high)
    return min(max(math.exp((low + high) / 2), LOWEST), HIGHEST)
