"""Is this anything that was taught? Nearness to the examples, beside what foreign pictures reach.

Embeddings of whatever pictures share a large part, which says nothing and makes all of them look alike. It is measured on
drawn clutter (the bank's centre) and taken away; what is left of foreign pictures points in all directions, and their
cosine to an example hardly depends on the scene, the extractor or how alike the examples are. A look is plausible for a
class where its cosine to the nearest of the class's examples reaches a level for as many examples, or what vectors of
real foreign pictures reach, whichever is more. Quantiles among the examples themselves, the usual way, refuse everything but copies where
the examples are one burst.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

LEVEL: Final = 0.44
"""Cosine to its only example, after emphasis and centring, from which a look is plausible for a class. About one in 200 foreign
pictures reaches it."""

LEVEL_PER_DOUBLING: Final = 0.015
"""How much is added for each doubling of the examples compared with: the largest of more cosines is larger."""

USUAL_CLUTTER: Final = 0.27
CLUTTER_SHARE: Final = 0.7
"""Where more than one in 100 pictures of clutter comes nearer to the examples than this, the level rises by this part of
the excess: a small network, or a scene without structure, leaves all pictures more alike."""

ROOM: Final = 0.1
"""The level stays this much under what half of the class's examples reach when their own occasion isn't counted. Else a
bank with pictures of the same scene would leave nothing plausible, and a class of many kinds of things neither."""

APART: Final = 0.3
"""The level is at most this much under the same: where the class looks alike on all occasions, more may be asked of a look."""

HIGHEST: Final = 0.65
"""Where a class has only one occasion, and so nothing to learn its spread from, real foreign pictures raise the level to this at most."""

MOST: Final = 16
"""How many examples of a class are kept to compare with."""

MIN_CLUTTER: Final = 32
"""Pictures that a centre is the mean of, at least."""

Vectors = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Bank:
    """Foreign pictures' embeddings. Of one fingerprint, as everything that it meets."""

    emphasis: Vectors
    """Shape (d,): what embeddings are multiplied by, dimension by dimension, before anything else."""

    centre: Vectors
    """Shape (d,): the mean of drawn clutter's emphasised unit embeddings."""

    clutter: Vectors
    """Shape (n, d): drawn clutter, less the centre, unit rows. The level is never under what they reach."""

    foreign: Vectors
    """Shape (m, d): real pictures of something else, less the centre, unit rows; m may be 0."""


@dataclass(frozen=True, eq=False)
class Plausibility:
    """What each class's looks have to be near to. Never changes, so that any thread may ask it."""

    classes: tuple[str, ...]
    """Class ids."""

    emphasis: Vectors
    """Shape (d,), the bank's."""

    centre: Vectors
    """Shape (d,)."""

    references: Vectors
    """Shape (r, d): up to `MOST` examples of each class, less the centre, unit rows, class after class."""

    starts: NDArray[np.intp]
    """Shape (C,): the row of ``references`` at which each class begins."""

    levels: NDArray[np.float64]
    """Shape (C,): the cosine to the nearest reference from which a look is plausible, 0 to 1."""

    def margins(self, vector: Vectors) -> dict[str, float]:
        """Return by how much an embedding of shape (d,) is above each class's level; negative: implausible.

        Raises ValueError where the shape is another one or the vector has no direction.
        """
        if vector.shape != self.centre.shape:
            raise ValueError(f"an embedding of shape {vector.shape} for references of {self.centre.shape}")
        if not self.classes:
            return {}
        centred = _centred(vector[None] * self.emphasis, self.centre)[0]
        nearest = np.maximum.reduceat(self.references @ centred, self.starts)
        return dict(zip(self.classes, (nearest - self.levels).tolist(), strict=True))


def make_bank(clutter: Vectors, foreign: Vectors | None = None, emphasis: Vectors | None = None) -> Bank:
    """Make a bank of the embeddings of drawn clutter, shape (n, d), n >= `MIN_CLUTTER`, and of real foreign pictures, (m, d).

    Foreign may be: examples of classifiers of other cameras, and parts of the user's frames that don't touch the
    region. Never other examples of the same camera and region: they are looks like any. ``emphasis``, shape (d,), multiplies
    embeddings before they are compared: parts that weigh little where classes are told apart may say most about what is
    foreign. Raises ValueError on shapes that don't fit and rows without a direction.
    """
    if clutter.ndim != 2 or len(clutter) < MIN_CLUTTER:
        raise ValueError(f"clutter of shape {clutter.shape}, expected (n, d) with n >= {MIN_CLUTTER}")
    if foreign is None:
        foreign = np.zeros((0, clutter.shape[1]), np.float32)
    if foreign.ndim != 2 or foreign.shape[1] != clutter.shape[1]:
        raise ValueError(f"foreign embeddings of shape {foreign.shape} beside clutter of {clutter.shape}")
    if emphasis is None:
        emphasis = np.ones(clutter.shape[1], np.float32)
    if emphasis.shape != clutter.shape[1:]:
        raise ValueError(f"an emphasis of shape {emphasis.shape} for clutter of {clutter.shape}")
    rows = _unit(clutter * emphasis)
    centre = rows.mean(axis=0)
    # In place: the clutter is all that a bank takes of memory, also while it is made.
    rows -= centre
    foreign = _centred(foreign * emphasis, centre)
    return Bank(_frozen(emphasis.astype(np.float32)), _frozen(centre), _frozen(_scaled(rows)), _frozen(foreign))


def fit_plausibility(
    embeddings: Mapping[str, Vectors], bank: Bank, groups: Mapping[str, Sequence[str]] | None = None
) -> Plausibility:
    """Learn what is plausible from the examples' embeddings: by class id, shape (n, d), n >= 1.

    ``groups`` names the occasion of each row of each class; without it each row is one of its own. Raises ValueError on shapes
    and groups that don't fit, and rows without a direction.
    """
    starts: list[int] = []
    kept: list[Vectors] = []
    levels: list[float] = []
    for name, part in embeddings.items():
        if part.ndim != 2 or not len(part) or part.shape[1:] != bank.centre.shape:
            raise ValueError(f"class {name}: embeddings of shape {part.shape} beside a bank of {bank.centre.shape}")
        occasions = [str(row) for row in range(len(part))] if groups is None else groups[name]
        if len(occasions) != len(part):
            raise ValueError("groups have to name one occasion for each row of each class")
        centred = _centred(part * bank.emphasis, bank.centre)
        chosen = _spread_out(centred, MOST)
        starts.append(sum(len(rows) for rows in kept))
        kept.append(centred[chosen])
        levels.append(_level(kept[-1], _left_out(centred, chosen, occasions), bank))
    references = np.concatenate(kept) if kept else np.zeros((0, len(bank.centre)), np.float32)
    return Plausibility(
        tuple(embeddings),
        bank.emphasis,
        bank.centre,
        _frozen(references),
        np.array(starts, np.intp),
        np.array(levels, np.float64),
    )


def _level(references: Vectors, own: NDArray[np.float32], bank: Bank) -> float:
    """Return a class's level from what its own examples (empty: unknown) and foreign pictures reach."""
    clutter = bank.clutter @ references.T
    least = float(clutter.max())
    excess = max(0.0, float(np.quantile(clutter, 0.99)) - USUAL_CLUTTER)
    usual = LEVEL + LEVEL_PER_DOUBLING * math.log2(len(references)) + CLUTTER_SHARE * excess
    reached = float((bank.foreign @ references.T).max(initial=0.0))
    if not len(own):
        return min(max(usual, reached, least), max(HIGHEST, usual))
    middle = float(np.median(own))
    return min(max(usual, reached, least, middle - APART), max(middle - ROOM, least))


def _left_out(centred: Vectors, chosen: NDArray[np.intp], occasions: Sequence[str]) -> NDArray[np.float32]:
    """Return each example's cosine to the nearest reference of another occasion; empty where there is only one."""
    _, number = np.unique(np.array(occasions, str), return_inverse=True)
    other = number[:, None] != number[chosen][None, :]
    asked = other.any(axis=1)
    nearest: NDArray[np.float32] = np.where(other, centred @ centred[chosen].T, -1)[asked].max(axis=1, initial=-1)
    return nearest


def _spread_out(rows: Vectors, most: int) -> NDArray[np.intp]:
    """Choose up to ``most`` rows that lie far from each other, beginning with the one nearest to the mean.

    Gonzalez, Clustering to minimize the maximum intercluster distance (1985), section 3.
    """
    if len(rows) <= most:
        return np.arange(len(rows))
    chosen = [int(np.argmax(rows @ rows.mean(axis=0)))]
    nearest = rows @ rows[chosen[0]]
    while len(chosen) < most:
        chosen.append(int(np.argmin(nearest)))
        nearest = np.maximum(nearest, rows @ rows[chosen[-1]])
    return np.array(chosen, np.intp)


def _centred(rows: Vectors, centre: Vectors) -> Vectors:
    unit = _unit(rows)
    unit -= centre
    return _scaled(unit)


def _unit(rows: Vectors) -> Vectors:
    """Return a copy of rows with length 1. Raises ValueError where one has no direction."""
    return _scaled(rows.astype(np.float32))


def _scaled(rows: Vectors) -> Vectors:
    """Bring rows to length 1, in place. Raises ValueError where one has no direction."""
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        raise ValueError("an embedding without a direction (zero, NaN or infinite)")
    rows /= lengths[:, None]
    return rows


def _frozen(values: Vectors) -> Vectors:
    values.flags.writeable = False
    return values
