"""Which extractor a classifier's own examples speak for: as cheap as it can be without answering worse.

What ``bench/advisor.py`` measured on six sets of pictures, with v1 0.5 as the default and 2, 5, 10 and 20 examples a
class. Points of accuracy lost to the extractor that hindsight finds best: 1.5, 1.2, 0.6 and 0.7 by this advice; 2.3,
1.7, 1.2 and 1.1 by the default always, at about the same cost; 0.6, 0.3, 0.2 and 0.2 by v1 1.0 always, at more than
twice the cost; 4.2, 2.8, 1.8 and 1.5 by the cheapest that is not worse at the 0.05 level, and 7.7, 4.1, 2.5 and 2.1 by
that with hits instead of Brier's score. The gain over the default is made on products and hands; on lights and parking
spots the default alone is better by 0.1 to 0.3 points. The constants below were chosen on the same sets.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
import itertools
import math
from random import Random

import numpy as np
from numpy.typing import NDArray

from ..heads.cross_validation import Validation

LEVEL = 0.2
"""How improbable chance has to be before an extractor counts as worse. The customary 0.05 protects against moving for
nothing; the mistake to fear here is to call a poor extractor good because few examples can't tell it from the best."""

MARGIN = 0.005
"""Difference in Brier's score (0 to 2) that is no difference: what a quarter of a point of sure mistakes costs. With
hundreds of examples the least difference becomes significant, and is not worth waiting for."""

ENOUGH = 8
"""Occasions below which the examples don't overrule the default. Of one visit per class, everything is told apart."""

_EXACT = 12
_DRAWN = 4096


@dataclass(frozen=True)
class Candidate:
    """An extractor at hand, and how it did."""

    key: str
    cost: float
    """Milliseconds per look."""

    validation: Validation
    """From the same examples and occasions as the others'."""


@dataclass(frozen=True)
class Advice:
    """What the examples say."""

    best: str
    """The candidate of the least loss; of equals, the cheapest."""

    cheapest: str
    """The cheapest candidate that is not significantly worse than the best."""

    recommended: str
    """The candidate to use."""

    worse: Mapping[str, float]
    """By candidate: the probability, 0 to 1, of doing this much worse than the best, or more, if it were as good; 1 for
    the best itself."""

    occasions: int
    """Occasions the examples were asked for by."""

    enough: bool
    """Whether they are enough to overrule the default."""


def advise(
    candidates: Sequence[Candidate], default: str | None = None, *, level: float = LEVEL, margin: float = MARGIN
) -> Advice:
    """Compare candidates that were cross-validated on the same examples, and recommend one.

    A candidate is significantly worse than the best where its p-value (``Advice.worse``) is at most ``level``.
    ``default`` is the key of what is known to do well in general. It is recommended while there are too few occasions,
    and replaced by something cheaper only where that did no worse than the best (by ``margin``), by something dearer
    only where it is itself significantly worse: then by the cheapest that is not. Without a default, or where it is no
    candidate, the cheapest that is not significantly worse is recommended, and the best while there are too few
    occasions.

    Raises ValueError without candidates, on a key twice, a cost that is no number, and other examples than the first's.
    """
    _check(candidates)
    weights, losses = _by_occasion([candidate.validation for candidate in candidates])
    totals = losses.sum(axis=1)
    best = min(range(len(candidates)), key=lambda index: (totals[index], candidates[index].cost))
    worse = {
        candidate.key: 1.0 if index == best else _p_value(losses[index] - losses[best] - margin * weights)
        for index, candidate in enumerate(candidates)
    }
    by_cost = sorted(range(len(candidates)), key=lambda index: (candidates[index].cost, totals[index]))
    as_good = [candidates[index].key for index in by_cost if worse[candidates[index].key] > level]
    no_worse = [candidates[index].key for index in by_cost if totals[index] <= totals[best] + margin]
    enough = len(weights) >= ENOUGH
    recommended = as_good[0] if enough else candidates[best].key
    if default is not None and default in (as_good if enough else worse):
        order = [candidates[index].key for index in by_cost]
        cheaper = order[: order.index(default)] if enough else []
        recommended = next((key for key in cheaper if key in no_worse), default)
    return Advice(candidates[best].key, as_good[0], recommended, worse, len(weights), enough)


def _check(candidates: Sequence[Candidate]) -> None:
    if not candidates:
        raise ValueError("nothing to compare")
    if len({candidate.key for candidate in candidates}) < len(candidates):
        raise ValueError("two candidates of one key")
    if not all(math.isfinite(candidate.cost) for candidate in candidates):
        raise ValueError("a candidate's cost is no number")


def _by_occasion(validations: Sequence[Validation]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return each occasion's part in the mean over classes, shape (o,), and in each loss, shape (candidates, o).

    An occasion is what the test may treat as independent: examples of one are right or wrong together.
    """
    asked = [(trial.class_id, trial.row, trial.occasion) for trial in validations[0].trials]
    counts: dict[str, int] = {}
    for name, _, _ in asked:
        counts[name] = counts.get(name, 0) + 1
    parts = np.array([1 / (len(counts) * counts[name]) for name, _, _ in asked])
    numbers: dict[str, int] = {}
    column = np.array([numbers.setdefault(occasion, len(numbers)) for _, _, occasion in asked], dtype=np.intp)
    weights = np.zeros(len(numbers))
    np.add.at(weights, column, parts)
    losses = np.zeros((len(validations), len(numbers)))
    for row, validation in zip(losses, validations, strict=True):
        if [(trial.class_id, trial.row, trial.occasion) for trial in validation.trials] != asked:
            raise ValueError("candidates that were asked for different examples")
        np.add.at(row, column, parts * [trial.loss for trial in validation.trials])
    return weights, losses


def _p_value(differences: NDArray[np.float64]) -> float:
    """Return how probable a sum at least this large is, were each difference as likely to have the other sign.

    Fisher's randomisation test for pairs (The Design of Experiments, 1935, section 21): over all signs where they are
    few, else over drawn ones, always the same; the observed signs are among them.
    """
    count = len(differences)
    if count <= _EXACT:
        signs = np.array(list(itertools.product((1.0, -1.0), repeat=count)))
    else:
        signs = _signs(count)
        signs[0] = 1.0
    # Sums that differ by rounding only are equal.
    slack = 1e-12 * float(np.abs(differences).sum())
    return float(np.mean(signs @ differences >= differences.sum() - slack))


def _signs(count: int) -> NDArray[np.float64]:
    """Return drawn signs, always the same, shape (_DRAWN, count). Not by NumPy's generators: to import them takes 8 MiB."""
    bits = np.frombuffer(Random(0).randbytes(_DRAWN * count), np.uint8) & 1
    signs: NDArray[np.float64] = np.where(bits, 1.0, -1.0).reshape(_DRAWN, count)
    return signs
