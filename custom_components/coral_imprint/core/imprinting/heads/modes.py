"""Several prototypes where the examples say that a class has several modes, such as by day and in infrared.

Splits by spherical k-means (Dhillon and Modha, Machine Learning 42, 2001). A split stays only where examples, asked for
by a head that was not taught their occasions, are recognised better by more than chance would have it.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from .base import Floats, Head, Vectors, frozen
from .imprint import Imprint, gain_of, spread_within
from .imprinter import fit
from .linear import weights_of_occasions
from .scale import scale_of_looks, scale_of_prototypes
from .training import TrainingExamples, gather

MOST_MODES = 3

LEAST_OCCASIONS = 2
"""Of a mode: what was seen on one occasion only is no mode but that occasion."""

ERRORS = 2.0
"""Standard errors by which a split has to lower the mean loss: it would be tried again and again until chance favours it."""

_ROUNDS = 20


def fit_modes(embeddings: Mapping[str, Vectors], groups: Mapping[str, Sequence[str]] | None = None) -> Head:
    """Learn an imprint with sub-prototypes. Takes and raises what ``fit`` does, and returns what it does where no class splits."""
    imprint = fit(embeddings, groups)
    if len(embeddings) < 2:
        return imprint
    examples = gather(embeddings, groups)
    mode = examples.truth.copy()
    modes = np.arange(len(examples.classes))
    best = _Split(examples, mode, modes)
    for column in range(len(examples.classes)):
        for parts in range(2, MOST_MODES + 1):
            tried = _Split(examples, *_divided(examples, best, column, parts))
            if tried.whole and tried.better_than(best):
                best = tried
    if len(best.class_of) == len(modes):
        return imprint
    return best.head()


def _divided(
    examples: TrainingExamples, split: "_Split", column: int, parts: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return modes of all rows, and the class of each mode, with a class divided anew into some parts."""
    own = examples.truth == column
    inside = _k_means(examples.rows[own], parts)
    of_class = [int(np.sum(split.class_of == other)) for other in range(len(examples.classes))]
    of_class[column] = parts
    starts = np.cumsum([0, *of_class])
    before = split.mode - np.searchsorted(split.class_of, examples.truth)
    mode = starts[examples.truth] + before
    mode[own] = starts[column] + inside
    return mode, np.repeat(np.arange(len(of_class)), of_class)


def _k_means(rows: Floats, parts: int) -> NDArray[np.intp]:
    """Return each row's part. Begins at the row farthest from the mean, then at those farthest from what was chosen."""
    nearest = rows @ rows.mean(axis=0)
    centres = np.zeros((0, rows.shape[1]))
    for _ in range(parts):
        centres = np.concatenate([centres, rows[[int(nearest.argmin())]]])
        nearest = (rows @ centres.T).max(axis=1)
    part = np.zeros(len(rows), dtype=np.intp)
    for _ in range(_ROUNDS):
        chosen = (rows @ centres.T).argmax(axis=1)
        if (chosen == part).all():
            break
        part = chosen
        for index in np.unique(part):
            mean = rows[part == index].mean(axis=0)
            centres[index] = mean / max(float(np.linalg.norm(mean)), np.finfo(np.float64).tiny)
    return part


class _Split:
    """A division of the classes into modes, and how it does on examples whose occasions it was not taught."""

    def __init__(self, examples: TrainingExamples, mode: NDArray[np.intp], class_of: NDArray[np.intp]) -> None:
        """Take each row's mode, shape (n,), and each mode's class, shape (P,), ascending."""
        self.examples = examples
        self.mode = mode
        self.class_of = class_of
        self.sums = np.zeros((len(class_of), examples.rows.shape[1]))
        np.add.at(self.sums, mode, examples.rows)
        self.counts = np.bincount(mode, minlength=len(class_of)).astype(np.float64)
        seen = {(int(one), int(occasion)) for one, occasion in zip(mode, examples.occasion, strict=True)}
        occasions = np.bincount([one for one, _ in seen], minlength=len(class_of))
        divided = np.bincount(class_of)[class_of] > 1
        self.whole = bool((occasions[divided] >= LEAST_OCCASIONS).all()) and bool(self.counts.all())
        """Whether each mode of a divided class was seen on enough occasions."""
        if self.whole:
            self._ask()

    def _ask(self) -> None:
        """Score each row by prototypes without its occasion, and keep the loss: Brier's score, shape (n,)."""
        examples, starts = self.examples, np.searchsorted(self.class_of, np.arange(len(self.examples.classes)))
        spread = self._spread()
        gains = gain_of(np.linalg.norm(self.sums, axis=1) / self.counts, self.counts, spread)
        lengths = np.linalg.norm(self.sums, axis=1)
        scores = examples.rows @ (self.sums * (gains / np.maximum(lengths, 1e-9))[:, None]).T
        for index, column in enumerate(self.class_of):
            own = examples.truth == column
            scores[own, index] = self._unseen(own, index, spread)
        of_class = np.maximum.reduceat(scores, starts, axis=1)
        self.asked = np.isfinite(of_class[np.arange(len(of_class)), examples.truth])
        self.scale = expected = scale_of_prototypes(self.sums / np.maximum(lengths, 1e-9)[:, None])
        self.losses = np.zeros(len(of_class))
        if self.asked.any():
            looks, truth = of_class[self.asked], examples.truth[self.asked]
            self.scale = scale_of_looks(looks, truth, weights_of_occasions(examples)[self.asked], expected)
            odds = np.exp(self.scale * (looks - looks.max(axis=1, keepdims=True)))
            wrong = odds / odds.sum(axis=1, keepdims=True) - np.eye(len(examples.classes))[truth]
            self.losses[self.asked] = (wrong**2).sum(axis=1)

    def _unseen(self, own: NDArray[np.bool_], index: int, spread: float) -> Floats:
        """Return the scores of a class's rows, shape (n,), by one of its modes without their occasions; -inf by nothing."""
        rows, occasion, inside = self.examples.rows[own], self.examples.occasion[own], self.mode[own] == index
        together = np.zeros((int(occasion.max()) + 1, rows.shape[1]))
        np.add.at(together, occasion[inside], rows[inside])
        left = self.counts[index] - np.bincount(occasion[inside], minlength=len(together))[occasion]
        means = (self.sums[index] - together[occasion]) / np.maximum(left, 1)[:, None]
        lengths = np.maximum(np.linalg.norm(means, axis=1), 1e-9)
        scores = np.einsum("nd,nd->n", rows, means) / lengths * gain_of(lengths, np.maximum(left, 1), spread)
        return np.where(left > 0, scores, -np.inf)

    def _spread(self) -> float:
        """Return the variance within classes: modes of unequal numbers are no reason to correct classes of equal ones."""
        counts = self.examples.counts
        return 0.0 if (counts == counts[0]).all() else spread_within(self.sums, self.counts)

    def better_than(self, other: "_Split") -> bool:
        """Whether the loss is lower by more than ERRORS standard errors over the occasions that both were asked."""
        both = self.asked & other.asked
        if not both.any():
            return False
        truth, occasion = self.examples.truth[both], self.examples.occasion[both]
        place = truth * (int(self.examples.occasion.max()) + 1) + occasion
        gains = np.bincount(place, (other.losses - self.losses)[both])[np.bincount(place) > 0]
        if len(gains) < 2:
            return False
        error = gains.std(ddof=1) * np.sqrt(len(gains))
        return bool(gains.sum() > ERRORS * error)

    def head(self) -> Imprint:
        """Return the head."""
        lengths = np.linalg.norm(self.sums, axis=1)
        if not lengths.all():
            raise ValueError("the examples of a mode cancel each other out")
        starts = np.searchsorted(self.class_of, np.arange(len(self.examples.classes))).astype(np.int32)
        starts.flags.writeable = False
        gains = gain_of(lengths / self.counts, self.counts, self._spread())
        return Imprint(
            "modes", self.examples.classes, self.scale, frozen(self.sums / lengths[:, None]), frozen(gains), starts
        )
