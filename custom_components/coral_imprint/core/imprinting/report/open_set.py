"""How often what belongs to no class is taken for one: the other classes, left out in turn, and a bank of foreign pictures."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..heads import Scores
from ..heads.cross_validation import Embeddings, Fit, Groups, Judge, Rule, ScoringHead
from .estimates import wilson
from .learning_curve import MOST_ROWS, evenly

ENTER_AT = 0.80
"""Probability from which a look is acted upon where no rule is given: the decision's own."""

MOST_ASKED = 400
"""Rows of a left-out class, or of the bank, that are asked for at most, evenly spread."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """Looks at something foreign that were acted upon."""

    share: float
    """0 to 1; for classes, the mean over them."""

    low: float
    high: float
    """Ends of the 95 % interval."""

    asked: int


def sure_enough(enter_at: float = ENTER_AT) -> Judge:
    """Return the rule that acts upon any look of at least this probability."""

    def judge(embeddings: Embeddings, groups: Groups | None) -> "_Sure":
        return _Sure(enter_at)

    return judge


@dataclass(frozen=True, slots=True)
class _Sure:
    enter_at: float

    def __call__(self, vector: NDArray[np.float32], scores: Scores) -> bool:
        return scores.best is not None and scores.confidence >= self.enter_at


def accepted_classes(
    embeddings: Embeddings, groups: Groups, *, fit: Fit, judge: Judge, ignored: frozenset[str] = frozenset()
) -> Accepted | None:
    """Leave out each class in turn and ask the head of the others for it; a near miss is the hardest foreigner.

    A look decided to be one of ``ignored`` (background) classes is no false accept. Occasions count as independent.
    None below three classes: a head of one class can't be unsure between classes, and says nothing about that of two.
    Of large classes, the learning curve's MOST_ROWS examples are taught.
    """
    if len(embeddings) < 3:
        return None
    kept = {name: evenly(len(part), MOST_ROWS) for name, part in embeddings.items()}
    shares, occasions, asked = [], 0, 0
    for left_out, rows in embeddings.items():
        taught = {name: embeddings[name][places] for name, places in kept.items() if name != left_out}
        own = {name: [groups[name][place] for place in kept[name]] for name in taught}
        accepted = _asked(fit(taught, own), judge(taught, own), rows, ignored)
        shares.append(float(accepted.mean()))
        occasions += len(set(groups[left_out]))
        asked += len(accepted)
    share = float(np.mean(shares))
    return Accepted(share, *wilson(share, occasions), asked)


def accepted_bank(
    embeddings: Embeddings,
    groups: Groups,
    foreign: NDArray[np.float32] | None,
    *,
    fit: Fit,
    judge: Judge,
    ignored: frozenset[str] = frozenset(),
) -> Accepted | None:
    """Ask the head of all classes for foreign embeddings, shape (m, d); None without any or without a class.

    The rule must not have been made with the same pictures, or the answer flatters.
    """
    if foreign is None or not len(foreign) or not embeddings:
        return None
    accepted = _asked(fit(embeddings, groups), judge(embeddings, groups), foreign, ignored)
    share = float(accepted.mean())
    return Accepted(share, *wilson(share, len(accepted)), len(accepted))


def _asked(head: ScoringHead, accepts: Rule, rows: NDArray[np.float32], ignored: frozenset[str]) -> NDArray[np.bool_]:
    """Tell which rows, or which of MOST_ASKED of them, are taken for a class."""
    found = []
    for place in evenly(len(rows), MOST_ASKED):
        scores = head.score(rows[place])
        found.append(scores.best not in ignored and accepts(rows[place], scores))
    return np.array(found, dtype=bool)
