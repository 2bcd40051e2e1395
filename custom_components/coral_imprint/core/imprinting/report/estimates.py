"""What cross-validation lets expect of looks to come, and how sure that is.

A share of hits is a poor forecast where there are few trials: ten right ones of ten say 100 %, and one wrong says 90 %.
How far the trials were from being wrong says more. Two corrections are made to it, and their constants were measured
with ``bench/foresight.py``: a head taught all examples is better than one that had to leave some out, and examples of
one occasion are easier than looks on other days.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
import math

import numpy as np
from numpy.typing import NDArray

from ..heads.cross_validation import Trial, Validation

SMOOTH = 5.0
"""How many trials the forecast from their margins is worth: with as many real ones, both count the same."""

OTHER_DAY_MARGIN = 2 / 3
"""Margin (log odds of the right class) on other days, as a part of the one within an occasion of minutes: 0.64 to 0.67
measured over the days of a parking slot, with four extractors."""

OTHER_DAY_SPREAD = 0.25
"""Standard deviation of the margin between days, as a part of the margin within an occasion: 0.15 to 0.2 measured in the
same way, and some more to be on the safe side, because it was measured on one slot."""

BETTER = 1 / 2
"""Odds of a mistake at the upper end of an interval, as a part of those of the trials' interval: the heads that were asked
knew less than the one that will answer, and how much that matters is not known. 2 % of the intervals then are below what
happened, 4 % without, and 0.4 % above."""

Z = 1.959964
"""Standard normal quantile of a 95 % interval."""

FAR_BELOW = 0.15
"""How far below what is expected the interval may begin, where the examples are enough to know the accuracy: two classes
that are always right need 15 occasions each."""

_LEAST = 1e-12
_FLAT = 0.01
_MANY = 300


@dataclass(frozen=True, slots=True)
class Estimate:
    """An accuracy to expect, 0 to 1, and the 95 % interval it is believed to lie in."""

    value: float
    low: float
    high: float

    measured: float
    """The share that was right as counted, corrected for nothing."""

    trials: int
    """Examples asked for."""

    occasions: int
    """Occasions they are from: what may count as independent."""

    @property
    def known(self) -> bool:
        """Whether it is unlikely to be much worse than expected."""
        return self.value - self.low <= FAR_BELOW


def wilson(share: float, number: float) -> tuple[float, float]:
    """Return the 95 % interval of a share, 0 to 1, found in ``number`` > 0 independent trials.

    Wilson, Probable Inference, the Law of Succession, and Statistical Inference (1927).
    """
    if not (0 <= share <= 1 and number > 0):
        raise ValueError("a share is between 0 and 1, of more than no trials")
    square = Z * Z / number
    middle = (share + square / 2) / (1 + square)
    half = Z * math.sqrt(share * (1 - share) / number + square / (4 * number)) / (1 + square)
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))


def student(value: float, freedom: int) -> float:
    """Return the probability that Student's t with ``freedom`` >= 1 degrees of freedom is at most ``value``.

    Finite series of Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4; the normal
    distribution from 300 degrees on.
    """
    if freedom < 1:
        raise ValueError("no degree of freedom")
    if freedom >= _MANY:
        return 0.5 * math.erfc(-value / math.sqrt(2))
    angle = math.atan(value / math.sqrt(freedom))
    square = math.cos(angle) ** 2
    odd = freedom % 2
    total, term = 0.0, math.cos(angle) if odd else 1.0
    for step in range((freedom - odd) // 2):
        total += term
        term *= square * ((2 * step + 2) / (2 * step + 3) if odd else (2 * step + 1) / (2 * step + 2))
    inner = math.sin(angle) * total
    return 0.5 + (angle + inner) / math.pi if odd else 0.5 + inner / 2


def predict_classes(validation: Validation) -> dict[str, Estimate]:
    """Return what to expect of each class that was asked for, of looks at another time than the examples'."""
    by_class: dict[str, list[Trial]] = {}
    for trial in validation.trials:
        by_class.setdefault(trial.class_id, []).append(trial)
    margins = {name: np.array([_margin(trial) for trial in own]) for name, own in by_class.items()}
    freedom = max(1, sum(len(own) - 1 for own in margins.values()))
    squares = sum(float(((own - own.mean()) ** 2).sum()) for own in margins.values())
    deviation = max(math.sqrt(squares / freedom), _FLAT)
    return {
        name: _predict(own, margins[name], deviation, freedom, name in validation.split)
        for name, own in by_class.items()
    }


def mean_of(estimates: Iterable[Estimate]) -> Estimate:
    """Return the estimate of the mean over classes (at least one), each counting the same.

    Downwards the interval is put together from the classes' own as Newcombe does for differences of shares (Statistics
    in Medicine 17, 1998, method 10): distances add up as squares, counted from the lesser of what is expected and what
    was counted. Upwards they add up plainly: that heads taught fewer examples are worse is true of all classes at once.
    """
    own = list(estimates)
    lower = [min(one.value, one.measured) for one in own]
    below = math.hypot(*(middle - one.low for middle, one in zip(lower, own, strict=True)))
    return Estimate(
        value=math.fsum(one.value for one in own) / len(own),
        low=max(0.0, (math.fsum(lower) - below) / len(own)),
        high=math.fsum(one.high for one in own) / len(own),
        measured=math.fsum(one.measured for one in own) / len(own),
        trials=sum(one.trials for one in own),
        occasions=sum(one.occasions for one in own),
    )


def share_of(trials: Sequence[Trial]) -> Estimate:
    """Return the share of these trials (at least one) that were right: by class, then the mean over classes.

    Nothing is corrected: for comparing parts of the same validation.
    """
    by_class: dict[str, list[Trial]] = {}
    for trial in trials:
        by_class.setdefault(trial.class_id, []).append(trial)
    return mean_of(_measured(own) for own in by_class.values())


def _measured(own: Sequence[Trial]) -> Estimate:
    share = sum(trial.right for trial in own) / len(own)
    occasions = len({trial.occasion for trial in own})
    return Estimate(share, *wilson(share, occasions), share, len(own), occasions)


def _predict(
    own: Sequence[Trial], margins: NDArray[np.float64], deviation: float, freedom: int, split: bool
) -> Estimate:
    """Forecast one class from the hits and margins of its trials."""
    hits = sum(trial.right for trial in own) / len(own)
    occasions = len({trial.occasion for trial in own})
    mean = float(margins.mean())
    if split:
        wide = math.hypot(deviation, OTHER_DAY_SPREAD * mean) * math.sqrt(1 + 1 / len(own))
        smooth = student(OTHER_DAY_MARGIN * mean / wide, freedom)
        value = more_taught((smooth + hits) / 2, 1 / 2)
    else:
        smooth = student(mean / (deviation * math.sqrt(1 + 1 / len(own))), freedom)
        value = (len(own) * hits + SMOOTH * smooth) / (len(own) + SMOOTH)
        value = more_taught(value, 1 - 1 / min(max(occasions, 2), 10))
    # What was right every time may be right always, whatever the margins say.
    low, high = wilson(min(value, hits), occasions)[0], wilson(max(value, hits), occasions)[1]
    return Estimate(value, low, more_taught(high, BETTER), hits, len(own), occasions)


def more_taught(accuracy: float, part: float) -> float:
    """Return the accuracy, 0 to 1, with all examples, of a head that has it with a ``part`` (0 to 1) of them.

    The odds of a mistake are taken to be inverse to the number of examples, which is about right for 2 to 20 a class.
    """
    wrong = part * (1 - accuracy)
    return accuracy / (accuracy + wrong) if accuracy + wrong else 0.0


def _margin(trial: Trial) -> float:
    """Return the log odds of the right class against the likeliest other."""
    rival = max((value for name, value in trial.probabilities.items() if name != trial.class_id), default=0.0)
    return math.log(max(trial.probability, _LEAST)) - math.log(max(rival, _LEAST))
