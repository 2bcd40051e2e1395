"""From a head's scores to probabilities that hold: the temperature, learned from examples that the head was not taught.

Guo et al., On Calibration of Modern Neural Networks (arXiv 1706.04599): one factor on the logits before the softmax
(section 4.2, as its inverse), and the expected calibration error (section 2).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
import math
from typing import Final, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

CERTAIN: Final = 0.999
"""Probability that the least certain class is given at its examples' mean, as long as nothing else is known."""

PRIOR_DEVIATION: Final = 1 / 3
"""Standard deviation of the scale's logarithm about that one."""

MOST_FOLDS: Final = 10

_WIDEST: Final = 12.0
"""The scale's logarithm is looked for between minus this and this; it covers logits of any head's units."""

_NEAR: Final = 2.0
"""How far, in its logarithm, what examples say may move the scale from the expected one."""

_STEPS: Final = 48

Embeddings: TypeAlias = Mapping[str, NDArray[np.float32]]
Groups: TypeAlias = Mapping[str, Sequence[str]]


class Logits(Protocol):
    """A head of any kind, not calibrated."""

    def logits(self, vector: NDArray[np.float32], /) -> NDArray[np.float64]:
        """Return a number for each class, the larger the likelier: shape (C,), in the order the classes were given."""


Fit: TypeAlias = Callable[[Embeddings, Groups], Logits]


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Examples as heads see them that were not taught their occasion."""

    logits: NDArray[np.float64]
    """Shape (n, C)."""

    truth: NDArray[np.intp]
    """Shape (n,): the right columns."""

    occasions: NDArray[np.str_]
    """Shape (n,)."""

    weights: NDArray[np.float64]
    """Shape (n,): each occasion of a class weighs 1, shared by its examples."""


def hold_out(embeddings: Embeddings, groups: Groups, fit: Fit, most_folds: int = MOST_FOLDS) -> HeldOut | None:
    """Ask heads for the examples of occasions that they were not taught.

    Examples of one occasion, whatever the class, are left out together; classes of one occasion are taught only: their
    examples are copies of each other, and would be found too sure. None where nothing is left to ask for. Raises
    ValueError on groups that don't match.
    """
    if groups.keys() != embeddings.keys() or any(len(groups[name]) != len(part) for name, part in embeddings.items()):
        raise ValueError("groups have to name one occasion for each row of each class")
    folds = _deal(groups, most_folds)
    logits, truth, occasions, weights = [], [], [], []
    for fold in range(most_folds):
        out = {name: np.array([folds[group] == fold for group in groups[name]], bool) for name in embeddings}
        asked = {name: mask for name, mask in out.items() if mask.any() and not mask.all()}
        if not asked:
            continue
        taught = {name: part[~out[name]] if name in asked else part for name, part in embeddings.items()}
        left = {
            name: [group for group, skip in zip(own, out[name], strict=True) if name not in asked or not skip]
            for name, own in groups.items()
        }
        head = fit(taught, left)
        for column, (name, part) in enumerate(embeddings.items()):
            for row in np.flatnonzero(asked.get(name, ())):
                logits.append(head.logits(part[row]))
                truth.append(column)
                occasions.append(groups[name][row])
                weights.append(1 / groups[name].count(groups[name][row]))
    if not logits:
        return None
    return HeldOut(np.stack(logits), np.array(truth, np.intp), np.array(occasions, str), np.array(weights))


def calibrate(embeddings: Embeddings, groups: Groups, fit: Fit, most_folds: int = MOST_FOLDS) -> float:
    """Return the scale, above 0, that a head's logits are multiplied with before the softmax.

    The most plausible one: the likelihood of the right classes among examples held out, times a log-normal prior about
    what the classes' means suggest (then alone, where nothing can be held out). 1 for less than two classes.
    """
    if len(embeddings) < 2:
        return 1.0
    head = fit(embeddings, groups)
    means = [(part / np.linalg.norm(part, axis=1, keepdims=True)).mean(axis=0) for part in embeddings.values()]
    expected = expected_scale(np.stack([head.logits(mean.astype(np.float32)) for mean in means]))
    held_out = hold_out(embeddings, groups, fit, most_folds)
    if held_out is None:
        return expected
    return likeliest_scale(held_out.logits, held_out.truth, held_out.weights, expected)


def expected_scale(of_means: NDArray[np.float64]) -> float:
    """Return the scale at which the least certain class is `CERTAIN` of its own mean.

    ``of_means``: shape (C, C), C >= 2, each row the logits of a class's mean example.
    """
    rivals = of_means - of_means.diagonal()[:, None]
    np.fill_diagonal(rivals, -np.inf)

    def certain(log_scale: float) -> bool:
        doubt = np.logaddexp.reduce(math.exp(log_scale) * rivals, axis=1).max()
        return bool(doubt <= math.log(1 / CERTAIN - 1))

    return math.exp(_halve(certain, -_WIDEST, _WIDEST))


def likeliest_scale(
    logits: NDArray[np.float64], truth: NDArray[np.intp], weights: NDArray[np.float64], expected: float
) -> float:
    """Return the most plausible scale: logits of shape (n, C), right columns (n,), weights (n,), and the one expected before."""
    rivals = logits - logits[np.arange(len(truth)), truth][:, None]

    def rising(log_scale: float) -> bool:
        scale = math.exp(log_scale)
        odds = np.exp(scale * (rivals - rivals.max(axis=1, keepdims=True)))
        mean_rival = (odds * rivals).sum(axis=1) / odds.sum(axis=1)
        slope = scale * float(weights @ mean_rival) + (log_scale - math.log(expected)) / PRIOR_DEVIATION**2
        return slope > 0

    return math.exp(_halve(rising, math.log(expected) - _NEAR, math.log(expected) + _NEAR))


def probabilities(logits: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
    """Return the softmax of scaled logits: shape (..., C), each row adding up to 1."""
    odds = np.exp(scale * (logits - logits.max(axis=-1, keepdims=True)))
    shares: NDArray[np.float64] = odds / odds.sum(axis=-1, keepdims=True)
    return shares


def calibration_error(
    probability: NDArray[np.float64],
    truth: NDArray[np.intp],
    weights: NDArray[np.float64] | None = None,
    bins: int = 10,
) -> float:
    """Return the expected calibration error, 0 to 1, over equal bins of the best class's probability.

    ``probability``: shape (n, C), n >= 1; ``truth``: the right columns, (n,); ``weights``: (n,), all 1 where not given.
    """
    share = np.ones(len(truth)) if weights is None else weights
    sure = probability.max(axis=1)
    right = probability.argmax(axis=1) == truth
    number = np.minimum((sure * bins).astype(np.intp), bins - 1)
    gaps = np.bincount(number, share * (right - sure), minlength=bins)
    return float(np.abs(gaps).sum() / share.sum())


def _deal(groups: Groups, most: int) -> dict[str, int]:
    """Return each occasion's fold: dealt out from the largest, each to the fold that has the least."""
    sizes: dict[str, int] = {}
    for own in groups.values():
        for group in own:
            sizes[group] = sizes.get(group, 0) + 1
    filled = [0] * most
    dealt = {}
    for group in sorted(sizes, key=lambda name: (-sizes[name], name)):
        fold = min(range(most), key=filled.__getitem__)
        dealt[group] = fold
        filled[fold] += sizes[group]
    return dealt


def _halve(reached: Callable[[float], bool], low: float, high: float) -> float:
    """Return where a condition begins to hold, between two bounds."""
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return (low + high) / 2
