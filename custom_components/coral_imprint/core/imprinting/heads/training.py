"""Examples as the heads learn from them: checked, of length 1, one below the other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .base import Floats, Vectors

_JITTER = 1e-10
"""Added to the diagonal of a Gram matrix of unit rows: copies of a row leave it without a Cholesky factor."""


@dataclass(frozen=True, eq=False)
class TrainingExamples:
    """Rows of all classes, class after class."""

    classes: tuple[str, ...]
    rows: Floats
    """Unit rows, shape (n, d)."""

    truth: NDArray[np.intp]
    """Column of each row's class, shape (n,), ascending."""

    occasion: NDArray[np.intp]
    """Number of each row's occasion within its class, counted from 0, shape (n,)."""

    @property
    def counts(self) -> Floats:
        """Number of examples of each class, shape (C,)."""
        return np.bincount(self.truth, minlength=len(self.classes)).astype(np.float64)

    @property
    def means(self) -> Floats:
        """Mean of each class's rows, shape (C, d)."""
        starts = np.searchsorted(self.truth, np.arange(len(self.classes)))
        sums: Floats = np.add.reduceat(self.rows, starts, axis=0)
        return sums / self.counts[:, None]

    def only(self, mask: NDArray[np.bool_]) -> "TrainingExamples":
        """Return the rows where ``mask``, of shape (n,), is true. Each class has to keep one."""
        return TrainingExamples(self.classes, self.rows[mask], self.truth[mask], self.occasion[mask])


def gather(embeddings: Mapping[str, Vectors], groups: Mapping[str, Sequence[str]] | None) -> TrainingExamples:
    """Check examples, by class id, shape (n, d), n >= 1, and bring them to length 1.

    Raises ValueError on a shape that doesn't fit, a row without a direction or groups that don't match.
    """
    classes = tuple(embeddings)
    rows = [unit_rows(name, embeddings[name]) for name in classes]
    if len({part.shape[1] for part in rows}) > 1:
        raise ValueError("the classes' embeddings differ in length")
    check_groups(embeddings, groups)
    if not classes:
        nothing = np.zeros(0, dtype=np.intp)
        return TrainingExamples((), np.zeros((0, 0)), nothing, nothing)
    truth = np.repeat(np.arange(len(rows)), [len(part) for part in rows])
    if groups is None:
        occasion = np.concatenate([np.arange(len(part)) for part in rows])
    else:
        occasion = np.concatenate([_numbered(groups[name]) for name in classes])
    return TrainingExamples(classes, np.concatenate(rows), truth, occasion)


def check_groups(embeddings: Mapping[str, Vectors], groups: Mapping[str, Sequence[str]] | None) -> None:
    """Raise ValueError unless groups name one occasion for each row of each class."""
    if groups is not None and (
        groups.keys() != embeddings.keys() or any(len(groups[name]) != len(part) for name, part in embeddings.items())
    ):
        raise ValueError("groups have to name one occasion for each row of each class")


def unit_rows(name: str, part: Vectors) -> Floats:
    """Return a class's rows in float64 and of length 1; raises ValueError as ``gather`` does."""
    if part.ndim != 2 or not part.size:
        raise ValueError(f"class {name}: embeddings of shape {part.shape}, expected (n, d) with n >= 1")
    exact = part.astype(np.float64)
    lengths = np.linalg.norm(exact, axis=1)
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        raise ValueError(f"class {name}: an embedding without a direction (zero, NaN or infinite)")
    unit: Floats = exact / lengths[:, None]
    return unit


@dataclass(frozen=True, eq=False)
class Span:
    """Examples in coordinates of the space that they span.

    Fewer than their length, n < d, they differ in n directions at most. Lengths and angles between them are kept, and
    so is what any head makes of them that treats all directions alike.
    """

    examples: TrainingExamples
    """With rows of shape (n, min(n, d))."""

    _rows: Floats
    _factor: Floats | None

    @classmethod
    def of(cls, examples: TrainingExamples) -> "Span":
        """Find coordinates: the Cholesky factor of the Gram matrix; the rows themselves where that is no gain."""
        rows = examples.rows
        if len(rows) >= rows.shape[1]:
            return cls(examples, rows, None)
        gram = rows @ rows.T
        gram[np.diag_indices_from(gram)] += _JITTER
        factor = np.linalg.cholesky(gram).astype(np.float64, copy=False)
        return cls(TrainingExamples(examples.classes, factor, examples.truth, examples.occasion), rows, factor)

    def back(self, weights: Floats) -> Floats:
        """Return weights of shape (C, min(n, d)) as weights on embeddings, shape (C, d)."""
        if self._factor is None:
            return weights
        return np.linalg.solve(self._factor.T, weights.T).T @ self._rows


def _numbered(names: Sequence[str]) -> NDArray[np.intp]:
    known: dict[str, int] = {}
    return np.array([known.setdefault(name, len(known)) for name in names], dtype=np.intp)
