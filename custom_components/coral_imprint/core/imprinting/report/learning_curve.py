"""What more examples would bring: accuracy by number of examples, and where the next ones help most."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..heads import fit as imprint
from ..heads.cross_validation import Embeddings, Fit, Groups, Trial, Validation
from .estimates import Estimate, more_taught

MORE = 5
"""Examples the advice is about."""

MOST_ROWS = 40
"""Examples of a class the learning curve looks at, evenly spread over those at hand."""

DOUBT = 0.1
"""Mistakes, 0 to 1, that are thinkable even where none was found."""

UNSEEN = 0.5
"""Mistakes to expect under a condition a class was never taught under."""

Conditions: TypeAlias = Mapping[str, Sequence[str]]
"""By class id, the condition each row was taken under: day, night, infrared, a camera…"""


@dataclass(frozen=True, slots=True)
class Point:
    """One point of the learning curve."""

    occasions: int
    """Occasions taught of each class, or as many of them as leave one to ask for."""

    examples: float
    """Examples taught of a class, on average."""

    accuracy: float
    """Share of right answers about occasions that were not taught, 0 to 1, mean over classes."""

    trials: int


@dataclass(frozen=True, slots=True)
class WantedExamples:
    """A class, or a class under a condition, and what more examples of it would be good for."""

    class_id: str
    condition: str | None
    occasions: int
    """Occasions it was taught by; 0 where the condition is known of other classes only."""

    mistakes: float
    """Share of looks to expect to go wrong, 0 to 1."""

    gain: float
    """What MORE examples on as many occasions may add to the accuracy, 0 to 1."""

    need: float
    """What the list is sorted by. No probability."""


def learning_curve(
    embeddings: Embeddings, groups: Groups, fit: Fit = imprint, *, repeats: int = 5, seed: int = 0
) -> tuple[Point, ...]:
    """Teach heads 1, 2, 4… drawn occasions of each class and ask them for others; ``repeats`` draws a point.

    An example is asked for only where no class was taught its occasion. Classes of one occasion are taught and not asked for.
    Empty where no class has two occasions or there is no second class.
    """
    kept = {name: evenly(len(part), MOST_ROWS) for name, part in embeddings.items()}
    rows = {name: embeddings[name][kept[name]] for name in kept}
    own = {name: np.array([groups[name][row] for row in kept[name]]) for name in kept}
    most = max((len(np.unique(names)) for names in own.values()), default=0)
    if len(rows) < 2:
        return ()
    points = []
    size = 1
    while size < most:
        # Each point draws for itself, so that one more point leaves the others as they were.
        point = _point(rows, own, size, fit=fit, repeats=repeats, chance=Random(f"{seed} {size}"))
        if point is not None:
            points.append(point)
        size *= 2
    return tuple(points)


def wanted(
    embeddings: Embeddings,
    groups: Groups,
    validation: Validation | None,
    estimates: Mapping[str, Estimate],
    conditions: Conditions | None = None,
) -> tuple[WantedExamples, ...]:
    """Return each class, or each class under each condition, the one most in need of examples first.

    The need is (mistakes + DOUBT) / n · MORE / (n + MORE) for n occasions: what a class lacks in number counts for more
    than what its few trials got wrong. With 2, 5 or 10 examples a class, five more of the
    class found so gained 2.2 points where those of an average class gained 1.1 (four sets of pictures,
    ``bench/foresight.py``). With equal numbers nothing that was tried, heads fitted without half of a class among it,
    told which class would gain most.
    """
    found = []
    cells = _cells(embeddings, groups, conditions)
    for (name, condition), seen in cells.items():
        trials = [] if validation is None else _trials_of(validation, conditions, name, condition)
        mistakes = _mistakes(trials, estimates.get(name), seen)
        gain = (more_taught(1 - mistakes, seen / (seen + MORE)) - (1 - mistakes)) / len(cells)
        need = (mistakes + DOUBT) / max(seen, 0.5) * MORE / (seen + MORE)
        found.append(WantedExamples(name, condition, seen, mistakes, gain, need))
    return tuple(sorted(found, key=lambda one: -one.need))


def _cells(embeddings: Embeddings, groups: Groups, conditions: Conditions | None) -> dict[tuple[str, str | None], int]:
    """Count the occasions of each class and condition; a condition that half of the classes know is asked of all."""
    if conditions is None:
        return {(name, None): len(set(groups[name])) for name in embeddings}
    known = {name: sorted(set(conditions[name])) for name in embeddings}
    every = sorted({condition for own in known.values() for condition in own})
    common = [one for one in every if 2 * sum(one in own for own in known.values()) >= len(known)]
    return {
        (name, condition): len(
            {group for group, one in zip(groups[name], conditions[name], strict=True) if one == condition}
        )
        for name, own in known.items()
        for condition in sorted({*own, *common})
    }


def _trials_of(validation: Validation, conditions: Conditions | None, name: str, condition: str | None) -> list[Trial]:
    return [
        trial
        for trial in validation.trials
        if trial.class_id == name and (conditions is None or conditions[name][trial.row] == condition)
    ]


def _mistakes(trials: Sequence[Trial], of_class: Estimate | None, seen: int) -> float:
    """Return the share of mistakes to expect: the trials', drawn towards the class's as if it were two more."""
    if not seen or of_class is None:
        return UNSEEN
    wrong = sum(not trial.right for trial in trials)
    return (wrong + 2 * (1 - of_class.value)) / (len(trials) + 2)


def _point(
    rows: Embeddings,
    own: Mapping[str, NDArray[np.str_]],
    size: int,
    *,
    fit: Fit,
    repeats: int,
    chance: Random,
) -> Point | None:
    right: dict[str, list[bool]] = {name: [] for name in rows}
    examples = []
    for _ in range(repeats):
        taught = {}
        for name, names in own.items():
            known = sorted(set(names.tolist()))
            take = max(1, min(size, len(known) - 1))
            taught[name] = np.isin(names, chance.sample(known, take))
        used = np.unique(np.concatenate([own[name][mask] for name, mask in taught.items()]))
        head = fit(
            {name: rows[name][mask] for name, mask in taught.items()},
            {name: own[name][mask].tolist() for name, mask in taught.items()},
        )
        examples += [int(mask.sum()) for mask in taught.values()]
        for name, names in own.items():
            right[name] += [head.score(vector).best == name for vector in rows[name][~np.isin(names, used)]]
    asked = [hits for hits in right.values() if hits]
    if not asked:
        return None
    accuracy = float(np.mean([np.mean(hits) for hits in asked]))
    return Point(size, float(np.mean(examples)), accuracy, sum(map(len, asked)))


def evenly(count: int, most: int) -> NDArray[np.intp]:
    """Return at most ``most`` of the row numbers below ``count``, evenly spaced, ascending."""
    rows: NDArray[np.intp] = np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.intp))
    return rows
