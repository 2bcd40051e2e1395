"""Thresholds for a budget of false alarms: as many a month as the user accepts, and what that costs in misses.

A false alarm is a class that enters while something else is there. Each needs ``looks`` looks of its own above the enter
threshold, so that there are never more alarms than such looks divided by ``looks``, however the errors of one look and the
next hang together: their independence is never counted on. How often a look of something else gets above a threshold lies far
outside what some dozens of examples show; their log-odds are taken as normally distributed, and the
threshold is the one-sided tolerance limit (Natrella, Experimental Statistics, NBS Handbook 91, section 2-5): in 95 of
100 cases no more looks are above it than allowed, few occasions giving a wide margin.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
import math
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..heads.calibration import HeldOut
from .decision import Limits, Rules

MONTH: Final = 30 * 86_400.0
"""Seconds."""

CONFIDENCE: Final = 0.95
"""In how many cases the budget has to be kept, given what the examples can't show."""

FEWEST: Final = 5
"""Occasions of other classes that a class's threshold can be learned from. With fewer, the margin is wider than any score."""

SAFE: Final = Limits(0.95, 0.7)
"""Where nothing can be learned: surer than usual, and nothing is promised."""

HIGHEST: Final = 18.0
"""Largest log-odds of a threshold: above, probabilities are hardly told from 1 in double precision."""

SUPPORT: Final = 0.01
"""Share of the looks at other classes that may pass the stay threshold."""

_NORMAL: Final = NormalDist()


class Doubt(StrEnum):
    """Why thresholds can't be trusted to keep the budget."""

    FEW_OCCASIONS = "few_occasions"
    """Too few occasions of the other classes: capture examples on other days."""

    ONE_CLASS = "one_class"
    """There is nothing to tell the class from: plausibility alone decides. A background class would bring thresholds."""

    OUT_OF_REACH = "out_of_reach"
    """The classes lie too close together for the budget, or foreign pictures use it up: the thresholds are the best there are."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """A class's thresholds, and what may be expected of them."""

    enter: float
    """Probability, 0 to 1: `Limits.enter_at`."""

    stay: float
    """Probability, 0 to 1: `Limits.stay_at`."""

    alarms: float | None
    """False alarms expected a month, at most; None where nothing can be said."""

    misses: float | None
    """Share, 0 to 1, of the looks at the class that aren't sure enough to enter; None where nothing can be said."""

    trusted: bool
    """Whether the budget will be kept."""

    doubt: Doubt | None = None
    """Why not."""

    background: bool = True
    """Whether there is a background class. Without one, a look at nothing in particular has to be implausible not to be taken for a class."""

    @property
    def limits(self) -> Limits:
        """The thresholds as the decision takes them."""
        return Limits(self.enter, self.stay)


@dataclass(frozen=True, slots=True)
class Budget:
    """What the user accepts."""

    alarms: float = 1.0
    """False alarms a month and class, above 0."""

    interval: float = 10.0
    """Seconds from look to look, above 0."""

    foreign_events: float = 0.0
    """How often a month something foreign comes into view for a while."""

    foreign_accepted: float = 0.01
    """Share, 0 to 1, of these that are plausible for the class and have its name."""

    def __post_init__(self) -> None:
        """Refuse with ValueError what can't be kept by anything."""
        if not (self.alarms > 0 and self.interval > 0 and self.foreign_events >= 0 and 0 <= self.foreign_accepted <= 1):
            raise ValueError("a budget needs alarms and an interval above 0, and shares of 0 to 1")


@dataclass(frozen=True, slots=True)
class _ScoredLooks:
    """A class's log-odds in looks at examples, the occasion of each, and whether it shows the class: (n,) each."""

    odds: NDArray[np.float64]
    occasions: NDArray[np.str_]
    own: NDArray[np.bool_]


def thresholds(
    classes: tuple[str, ...],
    held_out: HeldOut | None,
    scale: float,
    rules: Rules,
    *,
    budget: Budget | None = None,
    background: frozenset[str] = frozenset(),
) -> dict[str, Thresholds]:
    """Return each class's thresholds from examples that heads saw untaught (`calibration.hold_out`) and the scale.

    ``classes`` in the order of the logits' columns; those in ``background`` raise no alarm, but are decided by the same
    rules. No threshold is lower than that of the rules.
    """
    budget = budget or Budget()
    there = bool(background & set(classes))
    if len(classes) < 2:
        return {name: Thresholds(0.0, 0.0, None, None, False, Doubt.ONE_CLASS, there) for name in classes}
    if held_out is None:
        return dict.fromkeys(classes, _fallback(Doubt.FEW_OCCASIONS, None, there))
    return {name: _of_class(seen, rules, budget, there) for name, seen in _looks(classes, held_out, scale)}


def outcomes(
    classes: tuple[str, ...],
    held_out: HeldOut | None,
    scale: float,
    rules: Rules,
    *,
    interval: float,
    background: frozenset[str] = frozenset(),
) -> dict[str, Thresholds]:
    """Return what may be expected of the rules' own thresholds, per class; arguments as for ``thresholds``.

    ``interval``: seconds from look to look, above 0. They were chosen for no budget: ``trusted`` only says whether there
    are enough occasions to know.
    """
    there = bool(background & set(classes))
    found: dict[str, Thresholds] = {}
    looks = dict(_looks(classes, held_out, scale)) if held_out is not None and len(classes) > 1 else {}
    for name in classes:
        limits, seen = rules.limits(name), looks.get(name)
        if seen is None or len(np.unique(seen.occasions[~seen.own])) < FEWEST:
            doubt = Doubt.FEW_OCCASIONS if len(classes) > 1 else Doubt.ONE_CLASS
            found[name] = Thresholds(limits.enter_at, limits.stay_at, None, None, False, doubt, there)
        else:
            found[name] = _outcome(seen, limits, rules, Budget(interval=interval), doubt=None, background=there)
    return found


def _looks(classes: tuple[str, ...], held_out: HeldOut, scale: float) -> Iterator[tuple[str, _ScoredLooks]]:
    for column, name in enumerate(classes):
        odds = log_odds(held_out.logits * scale, column)
        yield name, _ScoredLooks(odds, held_out.occasions, held_out.truth == column)


def with_thresholds(rules: Rules, found: Mapping[str, Thresholds]) -> Rules:
    """Return the rules with these thresholds; classes whose user has set their own keep them."""
    return replace(rules, per_class={name: one.limits for name, one in found.items()} | dict(rules.per_class))


def log_odds(logits: NDArray[np.float64], column: int) -> NDArray[np.float64]:
    """Return the log-odds of a class against all others together from scaled logits, (n, C): (n,). Never saturates."""
    others = np.delete(logits, column, axis=1)
    odds: NDArray[np.float64] = logits[:, column] - np.logaddexp.reduce(others, axis=1)
    return odds


def tolerance_factor(tail: float, count: float, confidence: float = CONFIDENCE) -> float:
    """Return k so that in ``confidence`` of all samples at most ``tail`` of a normal distribution lies above mean + k·deviation.

    Natrella's approximation; infinite where the sample, of ``count`` values, is too small for it.
    """
    z, sure = -_NORMAL.inv_cdf(tail), _NORMAL.inv_cdf(confidence)
    a = 1 - sure**2 / (2 * (count - 1)) if count > 1 else 0.0
    if a <= 0:
        return math.inf
    b = z**2 - sure**2 / count
    return (z + math.sqrt(max(0.0, z**2 - a * b))) / a


def _fallback(doubt: Doubt, misses: float | None, background: bool) -> Thresholds:
    return Thresholds(SAFE.enter_at, SAFE.stay_at, None, misses, False, doubt, background)


def _of_class(seen: _ScoredLooks, rules: Rules, budget: Budget, background: bool) -> Thresholds:
    """Return a class's thresholds from its log-odds over looks at it and at the others."""
    odds, occasions, own = seen.odds, seen.occasions, seen.own
    if len(np.unique(occasions[~own])) < FEWEST:
        misses = _share_below(odds[own], occasions[own], _odds(SAFE.enter_at))
        return _fallback(Doubt.FEW_OCCASIONS, misses, background)
    mean, deviation, count = spread(odds[~own], occasions[~own])
    left = budget.alarms - budget.foreign_events * budget.foreign_accepted
    tail = min(0.5, max(left, budget.alarms / 10) * rules.looks * budget.interval / MONTH)
    wanted = mean + tolerance_factor(tail, count) * deviation
    enter = min(max(wanted, _odds(rules.enter_at)), HIGHEST)
    stay = min(max(mean + tolerance_factor(SUPPORT, count) * deviation, _odds(rules.stay_at)), enter)
    doubt = None if wanted <= HIGHEST and left > 0 else Doubt.OUT_OF_REACH
    limits = Limits(_sigmoid(enter), _sigmoid(stay))
    return _outcome(seen, limits, rules, budget, doubt=doubt, background=background)


def _outcome(
    seen: _ScoredLooks, limits: Limits, rules: Rules, budget: Budget, *, doubt: Doubt | None, background: bool
) -> Thresholds:
    """Say what may be expected of a class's thresholds."""
    odds, occasions, own = seen.odds, seen.occasions, seen.own
    enter = _odds(limits.enter_at)
    mean, deviation, _ = spread(odds[~own], occasions[~own])
    above = _NORMAL.cdf((mean - enter) / deviation) if deviation else float(enter <= mean)
    return Thresholds(
        limits.enter_at,
        limits.stay_at,
        budget.foreign_events * budget.foreign_accepted + MONTH / budget.interval * above / rules.looks,
        _share_below(odds[own], occasions[own], enter),
        doubt is None,
        doubt,
        background,
    )


def spread(values: NDArray[np.float64], occasions: NDArray[np.str_]) -> tuple[float, float, float]:
    """Return the mean, the standard deviation of one look on another occasion, and what the sample is worth as a count.

    Each occasion weighs the same. The looks of one hang together: as independent values count the occasions, and of their
    further looks only what the variance within occasions has of all variance.
    """
    names, number = np.unique(occasions, return_inverse=True)
    sizes = np.bincount(number)
    means = np.bincount(number, values) / sizes
    within = float(np.sum((values - means[number]) ** 2) / max(1, len(values) - len(names)))
    between = float(means.var(ddof=1)) if len(names) > 1 else 0.0
    # The means' own noise is part of what they vary by.
    between = max(0.0, between - within * float(np.mean(1 / sizes)))
    total = within + between
    share = within / total if total else 0.0
    count = len(names) + share**2 * (len(values) - len(names))
    return float(means.mean()), math.sqrt(total), count


def _share_below(values: NDArray[np.float64], occasions: NDArray[np.str_], at: float) -> float | None:
    """Return the share of looks expected under a threshold: of a normal distribution, or of the examples where that is more."""
    if not len(values):
        return None
    mean, deviation, _ = spread(values, occasions)
    normal = _NORMAL.cdf((at - mean) / deviation) if deviation else float(mean < at)
    return max(normal, float(np.mean(values < at)))


def _odds(probability: float) -> float:
    """Return the log-odds of a probability, between those that thresholds may have."""
    if not 0 < probability < 1:
        return math.copysign(HIGHEST, probability - 0.5)
    return max(-HIGHEST, min(HIGHEST, math.log(probability / (1 - probability))))


def _sigmoid(odds: float) -> float:
    return 1 / (1 + math.exp(-odds))
