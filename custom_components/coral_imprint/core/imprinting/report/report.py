"""The truth about a classifier before it goes live, from its examples alone."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..heads import fit as imprint
from ..heads.cross_validation import Embeddings, Fit, Groups, Judge, Trial, Validation, cross_validate
from .estimates import Estimate, mean_of, predict_classes, share_of
from .learning_curve import Conditions, Point, WantedExamples, learning_curve, wanted
from .open_set import Accepted, accepted_bank, accepted_classes, sure_enough
from .outliers import Cluster, Odd, near_duplicates, odd_ones
from .remarks import Remark, remarks

Alarms: TypeAlias = float | Callable[[Validation], float]
"""False alarms to expect in a month: the number, or what works it out from the trials."""

_PER_BIN = 10
_MOST_BINS = 10


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What ``evaluate`` found. Shares are 0 to 1; what could not be measured is None, and not a flattering number."""

    examples: Mapping[str, int]
    """Number of examples by class id."""

    occasions: Mapping[str, int]
    """Number of occasions by class id."""

    expected: Estimate | None
    """Accuracy to expect of looks to come, mean over the classes that could be asked for."""

    by_class: Mapping[str, Estimate]
    """The same by class id; classes that could not be asked for are left out."""

    measured: float | None
    """Accuracy of the trials as counted, mean over classes, corrected for nothing."""

    top: Mapping[int, float]
    """Share of the trials whose right class was among the k most probable ones, mean over classes, by k."""

    confusion: Mapping[str, Mapping[str, int]]
    """Number of trials by right class, then by decided class."""

    conditions: Mapping[str, Estimate]
    """Accuracy of the trials by condition, as counted."""

    calibration_error: float | None
    """Mean distance between confidence and accuracy, over bins of about equally many trials (at least ten): with few
    trials, chance makes it larger than it is."""

    has_background: bool
    """Whether a class means "nothing to report"."""

    answered: float | None
    """Share of the trials the rule in use would act upon, mean over classes."""

    answered_right: float | None
    """Accuracy of those, mean over classes; None where there are none."""

    other_classes: Accepted | None
    """Looks at a class left out that were taken for another; None below three classes."""

    foreign: Accepted | None
    """Looks at the foreign bank that were taken for a class; None without a bank."""

    alarms_per_month: float | None
    """False alarms to expect; None where the caller had none to give."""

    curve: tuple[Point, ...]
    """Accuracy by number of occasions taught."""

    wanted: tuple[WantedExamples, ...]
    """What more examples would help, most first."""

    odd: tuple[Odd, ...]
    """Examples likely filed under the wrong class, the surest first."""

    clusters: tuple[Cluster, ...]
    """Examples that are nearly the same picture."""

    split: tuple[str, ...]
    """Classes whose examples are all of one occasion: what is expected of them is conservative, and a guess."""

    untested: tuple[str, ...]
    """Classes that could not be asked for."""

    remarks: tuple[Remark, ...] = ()
    """What to tell the user, the most important first."""

    @property
    def known(self) -> bool:
        """Whether the examples are from enough occasions to know.

        Every class was asked for, by more than one occasion, and the interval does not begin more than 15 points below what is expected.
        """
        return self.expected is not None and not self.split and not self.untested and self.expected.known

    @property
    def advice(self) -> Remark:
        """The most important sentence."""
        return self.remarks[0]

    @property
    def worst(self) -> tuple[str, Estimate] | None:
        """The condition with the least accuracy, of two or more."""
        if len(self.conditions) < 2:
            return None
        return min(self.conditions.items(), key=lambda item: item[1].value)

    @property
    def redundant(self) -> tuple[str, ...]:
        """Ids of examples that add nothing to others of their class."""
        return tuple(one for cluster in self.clusters for one in cluster.redundant)

    @property
    def foreign_accepted(self) -> float | None:
        """Share of the foreign bank taken for a class."""
        return self.foreign.share if self.foreign else None

    def as_dict(self) -> dict[str, object]:
        """Return all of it as plain dicts, lists, strings and numbers: JSON."""
        plain = {name: _plain(value) for name, value in asdict(self).items()}
        plain |= {"known": self.known, "redundant": list(self.redundant)}
        plain["remarks"] = [
            {"key": one.key, "placeholders": dict(one.placeholders), "text": one.text} for one in self.remarks
        ]
        plain["worst"] = {"condition": self.worst[0], **asdict(self.worst[1])} if self.worst else None
        return plain


def evaluate(
    embeddings: Embeddings,
    groups: Groups,
    *,
    fit: Fit = imprint,
    judge: Judge | None = None,
    ids: Mapping[str, Sequence[str]] | None = None,
    conditions: Conditions | None = None,
    labels: Mapping[str, str] | None = None,
    background: frozenset[str] = frozenset(),
    foreign: NDArray[np.float32] | None = None,
    alarms: Alarms | None = None,
    seed: int = 0,
) -> Evaluation:
    """Work out what examples say about the classifier they teach, asking only for what was not taught.

    ``embeddings`` by class id, shape (n, d), n >= 1, in the order of capture; ``groups`` the occasion of each row (see
    ``occasions``); ``ids`` names the rows, else "class:row"; ``conditions`` is what each was taken under. ``judge`` makes
    the rule which looks are acted upon; without it, those of probability 0.8. ``background`` classes are no false accept.
    ``foreign``, shape (m, d), are embeddings that neither head nor rule was made with. The same arguments give the same
    result. Raises ValueError on what doesn't match, and what ``fit`` raises.
    """
    names = _ids(embeddings, ids, conditions)
    rule = judge or sure_enough()
    validation = cross_validate(embeddings, groups, fit, seed=seed, judge=rule)
    by_class, trials = (predict_classes(validation), validation.trials) if validation else ({}, ())
    found = Evaluation(
        examples={name: len(part) for name, part in embeddings.items()},
        occasions={name: len(set(own)) for name, own in groups.items()},
        expected=mean_of(by_class.values()) if by_class else None,
        by_class=by_class,
        measured=validation.accuracy if validation else None,
        top=_top(trials),
        confusion=validation.confusion if validation else {},
        conditions=_by_condition(trials, conditions),
        calibration_error=calibration_error(trials),
        has_background=bool(background & embeddings.keys()),
        answered=_mean_share(trials, lambda trial: trial.accepted),
        answered_right=_mean_share([trial for trial in trials if trial.accepted], lambda trial: trial.right),
        other_classes=accepted_classes(embeddings, groups, fit=fit, judge=rule, ignored=background),
        foreign=accepted_bank(embeddings, groups, foreign, fit=fit, judge=rule, ignored=background),
        alarms_per_month=_alarms(alarms, validation),
        curve=learning_curve(embeddings, groups, fit, seed=seed),
        wanted=wanted(embeddings, groups, validation, by_class, conditions),
        odd=odd_ones(embeddings, groups, validation, names) if validation else (),
        clusters=near_duplicates(embeddings, names),
        split=tuple(sorted(validation.split)) if validation else (),
        untested=tuple(name for name in embeddings if name not in by_class),
    )
    return Evaluation(**{**vars(found), "remarks": remarks(found, labels or {})})


def _alarms(alarms: Alarms | None, validation: Validation | None) -> float | None:
    if callable(alarms):
        return None if validation is None else alarms(validation)
    return alarms


def calibration_error(trials: Sequence[Trial]) -> float | None:
    """Return the expected calibration error, 0 to 1: |confidence - accuracy|, mean over trials, by bins of confidence.

    Naeini, Cooper and Hauskrecht, Obtaining Well Calibrated Probabilities Using Bayesian Binning (AAAI 2015); bins of
    equally many trials, so that none is empty. None without trials.
    """
    if not trials:
        return None
    ordered = sorted((trial.probabilities.get(trial.decided, 0.0), trial.right) for trial in trials)
    bins = min(max(len(ordered) // _PER_BIN, 1), _MOST_BINS)
    values = np.array(ordered, dtype=np.float64)
    return float(sum(abs(part[:, 0].sum() - part[:, 1].sum()) for part in np.array_split(values, bins)) / len(values))


def _top(trials: Sequence[Trial]) -> dict[int, float]:
    """Return the shares for k = 1, 2, 3, 5, as far as there are more classes than that."""
    classes = max((len(trial.probabilities) for trial in trials), default=0)
    ranks: dict[str, list[int]] = {}
    for trial in trials:
        ranks.setdefault(trial.class_id, []).append(_rank(trial))
    return {
        most: float(np.mean([np.mean(np.array(own) <= most) for own in ranks.values()]))
        for most in (1, 2, 3, 5)
        if most < classes
    }


def _rank(trial: Trial) -> int:
    """Return the place of the right class, 1 being the most probable; of equals, the decided one comes first."""
    if trial.right:
        return 1
    return 1 + max(1, sum(value > trial.probability for value in trial.probabilities.values()))


def _mean_share(trials: Sequence[Trial], holds: Callable[[Trial], bool]) -> float | None:
    """Return the share of a class's trials something holds for, mean over classes; None without trials."""
    by_class: dict[str, list[bool]] = {}
    for trial in trials:
        by_class.setdefault(trial.class_id, []).append(holds(trial))
    return float(np.mean([np.mean(own) for own in by_class.values()])) if by_class else None


def _by_condition(trials: Sequence[Trial], conditions: Conditions | None) -> dict[str, Estimate]:
    if conditions is None:
        return {}
    parts: dict[str, list[Trial]] = {}
    for trial in trials:
        parts.setdefault(conditions[trial.class_id][trial.row], []).append(trial)
    return {name: share_of(parts[name]) for name in sorted(parts)}


def _ids(
    embeddings: Embeddings, ids: Mapping[str, Sequence[str]] | None, conditions: Conditions | None
) -> Mapping[str, Sequence[str]]:
    """Return the names of the rows, and check that names and conditions are theirs."""
    for what, given in (("ids", ids), ("conditions", conditions)):
        if given is not None and (
            given.keys() != embeddings.keys() or any(len(given[name]) != len(part) for name, part in embeddings.items())
        ):
            raise ValueError(f"{what} have to name one for each row of each class")
    return ids or {name: [f"{name}:{row}" for row in range(len(part))] for name, part in embeddings.items()}


def _plain(value: object) -> object:
    """Return the same with plain containers, and strings as keys."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value
