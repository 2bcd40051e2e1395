"""Which kind of head a classifier's own examples speak for.

The imprint answers at once and stands until another kind is better by more than its standard error, in cross-validation
by occasion: no kind is asked for what it was taught, nor for a near-copy of it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
import math
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from .base import Head
from .cosine import fit_cosine
from .cross_validation import Embeddings, Groups, Validation, cross_validate
from .imprinter import fit
from .lda import fit_lda
from .modes import fit_modes
from .neighbours import fit_neighbours
from .ridge import fit_ridge
from .training import Span, gather

HeadFit: TypeAlias = Callable[[Embeddings, Groups | None], Head]

KINDS: Mapping[str, HeadFit] = MappingProxyType(
    {
        "imprint": fit,
        "modes": fit_modes,
        "cosine": fit_cosine,
        "ridge": fit_ridge,
        "lda": fit_lda,
        "neighbours": fit_neighbours,
    }
)
"""How a head of each kind is learned."""

MOST = 300
"""Examples that kinds are compared by, at most. Of more, each class keeps its share, spread evenly over its rows."""

ERRORS = 1.0
"""Standard errors by which another kind has to be better than the imprint."""

MARGIN = 0.003
"""Difference in Brier's score that is none: with clear classes the least one is significant, and not worth another kind."""

PREFERRED = ("lda", "cosine", "ridge", "modes", "neighbours")
"""Kinds that are better than the imprint, from the one that is right most often: the loss of a few examples tells kinds from
the imprint, but hardly from each other. Mean accuracy on six sets with 5 examples a class, 25 episodes: 92.5 by the first
that is better than the imprint, 92.2 by the one of the least loss; always lda 93.2, cosine 92.6, ridge 92.1, the imprint 90.6."""

CLEARLY = 2.0
"""Standard errors by which a kind has to be worse than the one of the least loss to be passed over."""

LEAST_OCCASIONS = 3
"""Occasions that each class has to be asked on. Fewer can't say which kind is best: they would judge it by one or two."""

UNTOLD, UNTOLD_UNEQUAL = "cosine", "lda"
"""The kinds for equal and for unequal numbers of examples where these can't say. Mean accuracy on six sets, v1 0.5 with layout,
up to five classes, ten episodes: with 1 or 2 examples a class 76.7 and 85.2 (imprint 76.1 and 84.1, and on no set better
by more than 0.1). For unequal numbers see ``lda``."""

LEAST_NEIGHBOURS = 10
"""Examples of each class below which neighbours are no candidates: fewer are known to be answered better by any mean."""


@dataclass(frozen=True)
class Chosen:
    """The head to answer with, and why."""

    kind: str
    """The kind that was chosen, or fixed. Of fewer than two classes, and where no class has several modes, ``head.kind`` is imprint."""

    head: Head
    """Learned from all examples."""

    validations: Mapping[str, Validation]
    """How each kind did, on the same questions. Empty where the kind was fixed or the examples can't say."""

    gains: Mapping[str, tuple[float, float]]
    """By kind: how much lower its loss (Brier's score, 0 to 2) is than the imprint's, and the standard error of that."""


def fit_kind(kind: str, embeddings: Embeddings, groups: Groups | None = None) -> Head:
    """Learn a head of a kind in KINDS. Raises ValueError on another kind, and as ``fit`` does."""
    if kind not in KINDS:
        raise ValueError(f"no kind of head is called {kind}")
    return KINDS[kind](embeddings, groups)


def choose(
    embeddings: Embeddings, groups: Groups | None = None, kind: str | None = None, *, most: int = MOST, seed: int = 0
) -> Chosen:
    """Compare all kinds of heads on examples, by class id, shape (n, d), n >= 1, and learn the one that does best.

    ``groups`` names the occasion of each row; without it, each row is an occasion of its own. ``kind`` fixes the kind.
    The imprint is replaced by a kind whose loss is lower by more than ERRORS standard errors, the differences of each
    occasion taken as one, and by MARGIN; of several, by the first of PREFERRED that is not CLEARLY worse than the best. Where a class
    can't be asked on enough occasions, UNTOLD or UNTOLD_UNEQUAL is learned. Bounded: at most about ``most`` examples are
    compared by, in ten folds. Raises ValueError as ``fit`` does, and on an unknown kind.
    """
    if kind is not None:
        return Chosen(kind, fit_kind(kind, embeddings, groups), {}, {})
    if len(embeddings) < 2:
        return Chosen("imprint", fit(embeddings, groups), {}, {})
    validations = _validate(embeddings, groups, most, seed)
    if not validations:
        untold = UNTOLD if len({len(part) for part in embeddings.values()}) == 1 else UNTOLD_UNEQUAL
        return Chosen(untold, KINDS[untold](embeddings, groups), {}, {})
    gains = {name: gain(validations["imprint"], one) for name, one in validations.items()}
    better = [name for name, (value, error) in gains.items() if value > max(MARGIN, ERRORS * error)]
    best = _best({name: validations[name] for name in better}) if better else "imprint"
    return Chosen(best, KINDS[best](embeddings, groups), validations, gains)


def _best(validations: Mapping[str, Validation]) -> str:
    """Return the kind to learn of some that are better than the imprint."""
    least = min(validations.values(), key=lambda one: one.loss)
    for name in PREFERRED:
        if name in validations:
            value, error = gain(validations[name], least)
            if value <= CLEARLY * error:
                return name
    raise ValueError("kinds that are not in PREFERRED")


def gain(of: Validation, by: Validation) -> tuple[float, float]:
    """Return how much lower the loss of ``by`` is than the loss of ``of``, and the standard error of that.

    Both come from the same questions. Classes weigh alike; what is independent is an occasion, not an example. Of a
    single occasion nothing can be said: the error is infinite.
    """
    counts: dict[str, int] = {}
    for trial in of.trials:
        counts[trial.class_id] = counts.get(trial.class_id, 0) + 1
    by_occasion: dict[str, float] = {}
    for first, second in zip(of.trials, by.trials, strict=True):
        if (first.class_id, first.row) != (second.class_id, second.row):
            raise ValueError("validations of different questions")
        part = (first.loss - second.loss) / (len(counts) * counts[first.class_id])
        by_occasion[first.occasion] = by_occasion.get(first.occasion, 0.0) + part
    parts = np.array(list(by_occasion.values()))
    if len(parts) < 2:
        return float(parts.sum()), math.inf
    return float(parts.sum()), float(parts.std(ddof=1) * math.sqrt(len(parts)))


def _validate(embeddings: Embeddings, groups: Groups | None, most: int, seed: int) -> dict[str, Validation]:
    """Cross-validate all kinds on the same folds; nothing where some class can't be asked for."""
    if groups is None:
        groups = {name: [f"{name}/{row}" for row in range(len(part))] for name, part in embeddings.items()}
    fewer, occasions = _fewer(embeddings, groups, most)
    coordinates = _coordinates(fewer)
    if min(len(part) for part in fewer.values()) < LEAST_OCCASIONS:
        return {}
    found: dict[str, Validation] = {}
    for name, fit_one in KINDS.items():
        if name == "neighbours" and min(len(part) for part in fewer.values()) < LEAST_NEIGHBOURS:
            continue
        validation = cross_validate(coordinates, occasions, fit_one, seed=seed)
        if validation is None or not _enough(validation, embeddings):
            return {}
        found[name] = validation
    return found


def _enough(validation: Validation, embeddings: Embeddings) -> bool:
    asked: dict[str, set[str]] = {name: set() for name in embeddings}
    for trial in validation.trials:
        asked[trial.class_id].add(trial.occasion)
    return all(len(occasions) >= LEAST_OCCASIONS for occasions in asked.values())


def _fewer(embeddings: Embeddings, groups: Groups, most: int) -> tuple[Embeddings, Groups]:
    """Return at most about ``most`` examples; of each class two at least, where it has two."""
    count = sum(len(part) for part in embeddings.values())
    if count <= most:
        return embeddings, groups
    rows: dict[str, NDArray[np.intp]] = {}
    for name, part in embeddings.items():
        kept = min(len(part), max(2, len(part) * most // count))
        rows[name] = np.linspace(0, len(part) - 1, kept).astype(np.intp)
    return (
        {name: embeddings[name][chosen] for name, chosen in rows.items()},
        {name: [groups[name][row] for row in chosen] for name, chosen in rows.items()},
    )


def _coordinates(embeddings: Embeddings) -> Embeddings:
    """Return the same examples in fewer coordinates, where they are fewer than their length: the folds learn faster."""
    examples = Span.of(gather(embeddings, None)).examples
    return {
        name: examples.rows[examples.truth == column].astype(np.float32) for column, name in enumerate(examples.classes)
    }
