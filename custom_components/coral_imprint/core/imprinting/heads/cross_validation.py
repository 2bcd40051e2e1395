"""How well examples tell their classes apart: cross-validation that never asks for what it was taught.

Frames of one camera minutes apart are near-copies of each other, and a random split of them measures memory. Examples
are therefore grouped into occasions by time, and an occasion is taught or asked for as a whole.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .base import Scores
from .imprinter import fit as imprint

GAP = timedelta(hours=2)
"""Pause that begins a new occasion. On a parking slot seen every five minutes over 20 days, frames of one class closer
than six minutes have a mean cosine of 0.97 (v1 0.5), those of other days 0.86; one to two hours apart 40 % of the
excess is left, two to four hours apart 16 %, then none."""

LONGEST = timedelta(hours=12)
"""An occasion that never pauses ends after this, so that a camera that files examples all day has more than one."""

Embeddings: TypeAlias = Mapping[str, NDArray[np.float32]]
Groups: TypeAlias = Mapping[str, Sequence[str]]


class ScoringHead(Protocol):
    """A head of any kind."""

    def score(self, vector: NDArray[np.float32], /) -> Scores:
        """Score one embedding of shape (d,)."""


Fit: TypeAlias = Callable[[Embeddings, Groups | None], ScoringHead]
"""Makes a head from embeddings by class and their occasions, as ``fit`` does."""

Rule: TypeAlias = Callable[[NDArray[np.float32], Scores], bool]
"""Whether a look, its embedding and what a head says of it, is sure enough to be acted upon."""

Judge: TypeAlias = Callable[[Embeddings, Groups | None], Rule]
"""Makes the rule from what a head was taught."""

_Place: TypeAlias = tuple[str, int]
"""What is taught or asked for as a whole: an occasion and 0, or a class of one occasion and its half, 1 or 2."""


@dataclass(frozen=True, slots=True)
class Trial:
    """An example, asked for by a head that was not taught its occasion."""

    class_id: str
    """Its class."""

    row: int
    """Its row among the embeddings of its class."""

    occasion: str

    decided: str
    """The class the head found most probable."""

    probability: float
    """What the head gave to the right class, 0 to 1."""

    loss: float
    """Brier's score (1950): squared distance of the probabilities from the truth, summed over classes: 0 (sure and
    right) to 2 (sure and wrong)."""

    probabilities: Mapping[str, float] = field(default_factory=dict)
    """What the head gave to each class it knew, adding up to 1."""

    accepted: bool = True
    """Whether the rule in use would have acted upon the look; always, where none was given."""

    @property
    def right(self) -> bool:
        """Whether the head was right."""
        return self.decided == self.class_id


@dataclass(frozen=True)
class Validation:
    """What cross-validation found."""

    trials: tuple[Trial, ...]
    """By class and row, in the order given; at least one."""

    untested: int
    """Examples that were taught only: without them, their class would have been unknown to the head."""

    split: frozenset[str]
    """Classes whose examples are all of one occasion, which was split by time. Their trials are easier than looks on
    another day will be."""

    @property
    def by_class(self) -> dict[str, float]:
        """Share of the trials that were right, 0 to 1, by class; classes without a trial are left out."""
        return {name: sum(trial.right for trial in own) / len(own) for name, own in self._by_class().items()}

    @property
    def accuracy(self) -> float:
        """Mean of ``by_class``, 0 to 1."""
        return _mean(self.by_class.values())

    @property
    def probability(self) -> float:
        """Probability given to the right class, 0 to 1: mean over the trials of a class, then over classes."""
        return _mean(_mean(trial.probability for trial in own) for own in self._by_class().values())

    @property
    def loss(self) -> float:
        """Brier's score, 0 to 2, less is better: mean over the trials of a class, then over classes.

        Finer than the accuracy: it still tells apart what is always right.
        """
        return _mean(_mean(trial.loss for trial in own) for own in self._by_class().values())

    @property
    def confusion(self) -> dict[str, dict[str, int]]:
        """Number of trials by right class, then by decided class; pairs that never came up are left out."""
        counts: dict[str, dict[str, int]] = {}
        for trial in self.trials:
            row = counts.setdefault(trial.class_id, {})
            row[trial.decided] = row.get(trial.decided, 0) + 1
        return counts

    def _by_class(self) -> dict[str, list[Trial]]:
        own: dict[str, list[Trial]] = {}
        for trial in self.trials:
            own.setdefault(trial.class_id, []).append(trial)
        return own


def occasions(times: Sequence[datetime], gap: timedelta = GAP, longest: timedelta = LONGEST) -> list[str]:
    """Return the occasion of each moment of capture, in the order given: the time, in ISO format, of its first moment.

    A pause longer than ``gap`` begins a new occasion, and so does a moment more than ``longest`` after the first. All
    classes of a classifier belong on one timeline: what was captured in one visit shares its light and weather.
    """
    found = [""] * len(times)
    first = previous = None
    for index in sorted(range(len(times)), key=times.__getitem__):
        moment = times[index]
        if first is None or previous is None or moment - previous > gap or moment - first > longest:
            first = moment
        previous = moment
        found[index] = first.isoformat()
    return found


def cross_validate(
    embeddings: Embeddings,
    groups: Groups,
    fit: Fit = imprint,
    *,
    most_folds: int = 10,
    seed: int = 0,
    judge: Judge | None = None,
) -> Validation | None:
    """Teach heads all but some occasions and ask them for the examples of these.

    ``embeddings`` by class id, shape (n, d), n >= 1, rows in the order of capture; ``groups`` names the occasion of
    each row, and one name is one occasion whatever the class. Each occasion is left out once: alone where there are at
    most ``most_folds``, else together with others, dealt out so that each fold has its share of each class (``seed``
    settles ties). A class of one occasion is split in two by order. A single example, and examples without which a
    class would not be taught, are taught and not asked for. ``judge`` says which looks would be acted upon.

    Returns None where nothing can be asked for, or there is no second class. Raises ValueError on less than two folds
    and groups that don't match, and what ``fit`` raises.
    """
    if most_folds < 2:
        raise ValueError("cross-validation needs two folds")
    if groups.keys() != embeddings.keys() or any(len(groups[name]) != len(part) for name, part in embeddings.items()):
        raise ValueError("groups have to name one occasion for each row of each class")
    if len(embeddings) < 2:
        return None
    places = {name: _places(name, groups[name]) for name in embeddings}
    folds = _deal(places, most_folds, Random(seed))
    found: list[Trial] = []
    for fold in range(max(folds.values(), default=-1) + 1):
        out = {name: np.array([folds[place] == fold for place in own], dtype=bool) for name, own in places.items()}
        found += _ask(embeddings, groups, {name: mask for name, mask in out.items() if not mask.all()}, fit, judge)
    if not found:
        return None
    order = {name: index for index, name in enumerate(embeddings)}
    found.sort(key=lambda trial: (order[trial.class_id], trial.row))
    untested = sum(len(part) for part in embeddings.values()) - len(found)
    split = frozenset(name for name, own in places.items() if len(own) > 1 and own[0][1])
    return Validation(tuple(found), untested, split)


def _ask(
    embeddings: Embeddings, groups: Groups, out: Mapping[str, NDArray[np.bool_]], fit: Fit, judge: Judge | None
) -> list[Trial]:
    """Teach a head what is not masked, and all of a class that has no mask; ask it for what is."""
    if not any(mask.any() for mask in out.values()):
        return []
    taught = dict(embeddings)
    occasion: dict[str, Sequence[str]] = dict(groups)
    for name, mask in out.items():
        if mask.any():
            taught[name] = embeddings[name][~mask]
            occasion[name] = [group for group, left_out in zip(groups[name], mask, strict=True) if not left_out]
    head = fit(taught, occasion)
    accepts = judge(taught, occasion) if judge else None
    found = []
    for name, mask in out.items():
        for row in np.flatnonzero(mask):
            vector = embeddings[name][row]
            scores = head.score(vector)
            found.append(_trial(name, int(row), groups[name][row], scores, accepts is None or accepts(vector, scores)))
    return found


def _trial(name: str, row: int, occasion: str, scores: Scores, accepted: bool) -> Trial:
    probability = scores.probability
    right = probability[name]
    loss = sum(value**2 for value in probability.values()) - right**2 + (1 - right) ** 2
    return Trial(name, row, occasion, scores.best or "", right, loss, probability, accepted)


def _places(name: str, groups: Sequence[str]) -> list[_Place]:
    """Return what each row of a class is left out with: its occasion or, where there is only one, its half of that."""
    if len(set(groups)) > 1:
        return [(group, 0) for group in groups]
    half = len(groups) // 2
    return [(name, 1 if row < half else 2) for row in range(len(groups))]


def _deal(places: Mapping[str, Sequence[_Place]], most: int, chance: Random) -> dict[_Place, int]:
    """Return the fold of each place, dealt out from the largest: where its classes are least present yet.

    A fold that would hold all of a class is the last choice, an empty one the first.
    """
    share: dict[_Place, dict[str, float]] = {}
    for name, own in places.items():
        for place in own:
            of_place = share.setdefault(place, {})
            of_place[name] = of_place.get(name, 0.0) + 1 / len(own)
    known = list(share)
    shuffled = chance.sample(known, len(known))
    shuffled.sort(key=lambda place: -sum(share[place].values()))
    present = [dict.fromkeys(places, 0.0) for _ in range(most)]

    def burden(fold: int, parts: Mapping[str, float]) -> tuple[int, float, float]:
        sums = [present[fold][name] + part for name, part in parts.items()]
        return sum(value > 1 - 1e-9 for value in sums), sum(sums), sum(present[fold].values())

    dealt: dict[_Place, int] = {}
    for place in shuffled:
        fold = min(range(most), key=lambda candidate: burden(candidate, share[place]))
        dealt[place] = fold
        for name, part in share[place].items():
            present[fold][name] += part
    return dealt


def _mean(values: Iterable[float]) -> float:
    """Return the mean of at least one value."""
    return float(np.mean(list(values)))
