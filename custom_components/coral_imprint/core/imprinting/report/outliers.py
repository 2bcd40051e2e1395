"""Examples worth a second look: those that were likely filed under the wrong class, and those that add nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..heads.cross_validation import Embeddings, Groups, Trial, Validation

SURE = 0.7
"""Probability of another class from which on an example is odd. With one label in twenty exchanged among 10 examples a class,
56 to 96 % of the exchanged are found so, and 48 to 86 % of the found are exchanged (four sets, ``bench/foresight.py``)."""

NEIGHBOURS = 3
"""How many nearest examples of other occasions have to agree, by majority, with the head about an odd example."""

ALIKE = 0.05
"""Examples are near-duplicates where their distance, 1 - cosine, is at most this part of the median distance between examples
of different classes. On a parking slot, frames five minutes apart are at 0.07 to 0.13 of it."""

SAME = 1e-4
"""Distance at which examples are near-duplicates whatever the others are: the same picture, stored twice."""

MOST = 3000
"""Examples that are compared with each other at most; of more, the latest of each class in equal parts."""

_BLOCK = 512


@dataclass(frozen=True, slots=True)
class Odd:
    """An example that looks like another class than the one it was filed under."""

    id: str
    class_id: str
    likely: str
    sure: float
    """Probability of ``likely``, 0 to 1, by a head that was not taught the example's occasion."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Examples that are nearly the same picture."""

    ids: tuple[str, ...]
    """The first is as good as all of them; in the order given."""

    classes: tuple[str, ...]
    """The class of each. Where these differ, the same picture has two labels, and one of them is wrong."""

    @property
    def contradictory(self) -> bool:
        """Whether the same picture was filed under several classes."""
        return len(set(self.classes)) > 1

    @property
    def redundant(self) -> tuple[str, ...]:
        """Ids of the examples that add nothing to the first of their class in the cluster."""
        seen: set[str] = set()
        spare = []
        for one, name in zip(self.ids, self.classes, strict=True):
            if name in seen:
                spare.append(one)
            seen.add(name)
        return tuple(spare)


def odd_ones(
    embeddings: Embeddings,
    groups: Groups,
    validation: Validation,
    ids: Mapping[str, Sequence[str]],
    *,
    sure: float = SURE,
) -> tuple[Odd, ...]:
    """Return the examples that a head not taught their occasion takes for another class, the surest first.

    The nearest examples have to say the same, because a head may be mistaken about a whole class. Rows are normalised
    here.
    """
    suspects = [one for one in validation.trials if not one.right and one.probabilities.get(one.decided, 0.0) >= sure]
    if not suspects:
        return ()
    rows = {name: _unit(part) for name, part in embeddings.items()}
    stacked = np.concatenate(list(rows.values()))
    classes = np.repeat(list(rows), [len(part) for part in rows.values()])
    occasions = np.array([group for name in rows for group in groups[name]])
    found = []
    for trial in suspects:
        cosines = stacked @ rows[trial.class_id][trial.row]
        cosines[occasions == trial.occasion] = -np.inf
        nearest = np.argsort(-cosines, kind="stable")[:NEIGHBOURS]
        nearest = nearest[np.isfinite(cosines[nearest])]
        if len(nearest) and 2 * np.sum(classes[nearest] == trial.decided) > len(nearest):
            found.append(_odd(trial, ids))
    return tuple(sorted(found, key=lambda one: (-one.sure, one.class_id, one.id)))


def near_duplicates(
    embeddings: Embeddings, ids: Mapping[str, Sequence[str]], *, alike: float = ALIKE, most: int = MOST
) -> tuple[Cluster, ...]:
    """Return groups of two or more examples that are nearly the same picture.

    Each example joins the first one before it, by class and row, that stands for a group and is near enough, so that no
    chain of small steps joins different pictures. Rows are normalised here. Without a second class only the same
    pictures count.
    """
    part = max(1, most // max(1, len(embeddings)))
    rows = [_unit(own[-part:]) for own in embeddings.values()]
    if not rows:
        return ()
    stacked = np.concatenate(rows)
    classes = np.repeat(list(embeddings), [len(own) for own in rows])
    names = [one for name in embeddings for one in ids[name][-part:]]
    near = _near(stacked, classes, alike)
    joined = np.zeros(len(stacked), dtype=bool)
    found = []
    for row in range(len(stacked)):
        if joined[row]:
            continue
        members = [row, *(np.flatnonzero(near[row, row + 1 :] & ~joined[row + 1 :]) + row + 1).tolist()]
        joined[members] = True
        if len(members) > 1:
            found.append(Cluster(tuple(names[one] for one in members), tuple(str(classes[one]) for one in members)))
    return tuple(found)


def _near(rows: NDArray[np.float32], classes: NDArray[np.str_], alike: float) -> NDArray[np.bool_]:
    """Tell which pairs of unit rows are near-duplicates, shape (n, n)."""
    distances = np.empty((len(rows), len(rows)), dtype=np.float32)
    for start in range(0, len(rows), _BLOCK):
        distances[start : start + _BLOCK] = 1 - rows[start : start + _BLOCK] @ rows.T
    between = distances[classes[:, None] != classes[None, :]]
    # A part of all pairs is as good for the median.
    limit = alike * float(np.median(between[:: max(1, len(between) // 100_000)])) if len(between) else 0.0
    near: NDArray[np.bool_] = distances <= max(limit, SAME)
    return near


def _odd(trial: Trial, ids: Mapping[str, Sequence[str]]) -> Odd:
    return Odd(ids[trial.class_id][trial.row], trial.class_id, trial.decided, trial.probabilities[trial.decided])


def _unit(part: NDArray[np.float32]) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = part / np.linalg.norm(part, axis=1, keepdims=True).astype(np.float32)
    return unit
