"""Imprinting one example at a time, exactly: in any order, and back."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .base import Floats, Vectors, frozen
from .imprint import Imprint, gain_of, spread_within
from .scale import scale_of_looks, scale_of_prototypes
from .training import check_groups, unit_rows

MOST_LOOKS = 64
"""Examples of a class that the scale is learned from, at most: evenly chosen, in the order of their keys. It is one number,
and 64 settle it; all the others count in prototypes and gains."""

_ONE = float(2**30)
"""What stands for 1 in fixed point. Rows fit int32, off by 5e-10; their sums in int64 are exact, whatever the order."""

Fixed = NDArray[np.int32]
Sums = NDArray[np.int64]


@dataclass(slots=True)
class _Occasion:
    total: Sums
    count: int


@dataclass(slots=True)
class _Class:
    total: Sums
    rows: dict[str, tuple[Fixed, str]] = field(default_factory=dict)
    """Row and occasion by key."""

    occasions: dict[str, _Occasion] = field(default_factory=dict)


class Imprinter:
    """Examples and their sums, kept so that the head after one more or one less is the one of learning all anew.

    Equal to the bit: sums are integers, and what is not a sum depends on the keys, not on history. A change takes O(d),
    the head O(C·d). For one owner: not thread-safe.
    """

    def __init__(self) -> None:
        """Begin without examples."""
        self._classes: dict[str, _Class] = {}
        self._length = 0

    def add(self, class_id: str, key: str, vector: Vectors, occasion: str | None = None) -> None:
        """Learn one example: an embedding of shape (d,), normalised here, under a key that is unique within its class.

        Examples of one ``occasion`` are as good as copies; without a name, an example is an occasion of its own. Raises
        ValueError on another length, a vector without a direction or a key that is known.
        """
        self.extend(class_id, [key], vector[None], None if occasion is None else [occasion])

    def extend(
        self, class_id: str, keys: Sequence[str], vectors: Vectors, occasions: Sequence[str] | None = None
    ) -> None:
        """Learn several examples of a class: keys, vectors of shape (n, d), n >= 1, occasions. Raises ValueError as ``add``."""
        fixed = np.rint(unit_rows(class_id, vectors) * _ONE).astype(np.int32)
        known = self._classes.get(class_id)
        if len(keys) != len(fixed) or len(set(keys)) != len(keys) or (known and not known.rows.keys().isdisjoint(keys)):
            raise ValueError(f"class {class_id}: each example needs a key of its own")
        if self._classes and fixed.shape[1] != self._length:
            raise ValueError("the classes' embeddings differ in length")
        self._length = fixed.shape[1]
        own = self._classes.setdefault(class_id, _Class(np.zeros(self._length, np.int64)))
        for index, (key, row) in enumerate(zip(keys, fixed, strict=True)):
            # A name that no one can give: examples without an occasion share none.
            occasion = f"\0{key}" if occasions is None else occasions[index]
            own.rows[key] = row.copy(), occasion
            own.total += row
            shared = own.occasions.get(occasion)
            if shared is None:
                own.occasions[occasion] = _Occasion(row.astype(np.int64), 1)
            else:
                shared.total += row
                shared.count += 1

    def remove(self, class_id: str, key: str) -> None:
        """Unlearn an example; its class goes with the last one. Raises KeyError where there is none."""
        own = self._classes[class_id]
        row, occasion = own.rows.pop(key)
        own.total -= row
        shared = own.occasions[occasion]
        shared.total -= row
        shared.count -= 1
        if not shared.count:
            del own.occasions[occasion]
        if not own.rows:
            del self._classes[class_id]

    def head(self, classes: Iterable[str] | None = None) -> Imprint:
        """Return the head of the examples, for classes in this order: those that have examples, or all as they came.

        Raises ValueError where the examples of a class cancel each other out.
        """
        names = tuple(name for name in (self._classes if classes is None else classes) if name in self._classes)
        starts = np.arange(len(names), dtype=np.int32)
        starts.flags.writeable = False
        if not names:
            return Imprint("imprint", (), 1.0, frozen(np.zeros((0, 0))), frozen(np.zeros(0)), starts)
        sums = np.stack([self._classes[name].total for name in names]) / _ONE
        lengths = np.linalg.norm(sums, axis=1)
        if not lengths.all():
            raise ValueError("the examples of a class cancel each other out")
        counts = np.array([len(self._classes[name].rows) for name in names], dtype=np.float64)
        prototypes = sums / lengths[:, None]
        spread = spread_within(sums, counts)
        gains = gain_of(lengths / counts, counts, spread)
        scale = 1.0
        if len(names) > 1:
            scale = scale_of_prototypes(prototypes)
            looks = self._unseen(names, sums, prototypes * gains[:, None], spread)
            if looks is not None:
                scale = scale_of_looks(*looks, expected=scale)
        return Imprint("imprint", names, scale, frozen(prototypes), frozen(gains), starts)

    def _unseen(
        self, names: Sequence[str], sums: Floats, weights: Floats, spread: float
    ) -> tuple[Floats, NDArray[np.intp], Floats] | None:
        """Score examples as if their occasions had not been learned; classes with one occasion have nothing to say.

        Returns scores of shape (n, C), the right columns, shape (n,), and weights, shape (n,): each occasion weighs 1,
        or less where not all of its examples are asked. None where no class has two occasions.
        """
        scores, truth, parts = [], [], []
        for column, name in enumerate(names):
            own = self._classes[name]
            if len(own.occasions) < 2:
                continue
            rows, others, left, size = _without_occasion(own)
            lengths = np.linalg.norm(others, axis=1)
            of_own = np.einsum("nd,nd->n", rows, others) / np.maximum(lengths, np.finfo(np.float64).tiny)
            found = rows @ weights.T
            found[:, column] = of_own * gain_of(np.maximum(lengths / left, 1e-9), left, spread)
            scores.append(found)
            truth.append(np.full(len(rows), column, dtype=np.intp))
            parts.append(1 / size)
        if not scores:
            return None
        return np.concatenate(scores), np.concatenate(truth), np.concatenate(parts)


def _without_occasion(own: _Class) -> tuple[Floats, Floats, Floats, Floats]:
    """Return at most MOST_LOOKS of a class's examples, each with the sum of those of other occasions, both of shape (n, d).

    And how many these others are and how many its own occasion has, both of shape (n,).
    """
    keys = sorted(own.rows)
    if len(keys) > MOST_LOOKS:
        keys = [keys[index * len(keys) // MOST_LOOKS] for index in range(MOST_LOOKS)]
    chosen = [own.rows[key] for key in keys]
    rows = np.stack([row for row, _ in chosen]) / _ONE
    shared = [own.occasions[occasion] for _, occasion in chosen]
    others = (own.total - np.stack([one.total for one in shared])) / _ONE
    size = np.array([one.count for one in shared], dtype=np.float64)
    return rows, others, len(own.rows) - size, size


def fit(embeddings: Mapping[str, Vectors], groups: Mapping[str, Sequence[str]] | None = None) -> Imprint:
    """Imprint a head from the examples' embeddings: by class id, shape (n, d), n >= 1, rows normalised here.

    ``groups`` names, for each row of each class, the occasion it was taken at; examples of one occasion are as good as
    copies: when the scale is learned they count as one and are left out together. Without it, each row is an occasion
    of its own. Raises ValueError on a shape that doesn't fit, a row without a direction (zero, NaN, infinite) or groups
    that don't match.
    """
    check_groups(embeddings, groups)
    learned = Imprinter()
    for name, part in embeddings.items():
        keys = [f"{row:09}" for row in range(len(part))]
        learned.extend(name, keys, part, None if groups is None else groups[name])
    return learned.head()
