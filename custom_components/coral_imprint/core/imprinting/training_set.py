"""Examples and their embeddings, sorted by class as the imprinting core takes them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from .examples.records import Example
from .heads.cross_validation import occasions

ValueT = TypeVar("ValueT")


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """Examples by class id, each class's in the order of capture."""

    vectors: dict[str, NDArray[np.float32]]
    """Embeddings, shape (n, d)."""
    occasions: dict[str, list[str]]
    examples: dict[str, list[Example]]

    @property
    def ids(self) -> dict[str, list[str]]:
        """The examples' ids."""
        return self.each(lambda example: example.id)

    def covers(self, classes: Sequence[str]) -> bool:
        """Return whether these are the classes with examples: of others, examples can't say how they are told apart."""
        return tuple(classes) == tuple(self.vectors)

    def each(self, of: Callable[[Example], ValueT]) -> dict[str, list[ValueT]]:
        """Return something of every example."""
        return {class_id: [of(example) for example in own] for class_id, own in self.examples.items()}


def by_class(found: Sequence[tuple[Example, NDArray[np.float32]]]) -> TrainingSet:
    """Sort examples and their embeddings by class; all classes are on one timeline."""
    vectors: dict[str, list[NDArray[np.float32]]] = {}
    groups: dict[str, list[str]] = {}
    examples: dict[str, list[Example]] = {}
    when = occasions([example.captured for example, _ in found])
    for (example, vector), occasion in zip(found, when, strict=True):
        vectors.setdefault(example.class_id, []).append(vector)
        groups.setdefault(example.class_id, []).append(occasion)
        examples.setdefault(example.class_id, []).append(example)
    return TrainingSet({class_id: np.stack(rows) for class_id, rows in vectors.items()}, groups, examples)
