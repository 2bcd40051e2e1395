"""A head as one linear layer, as an exported file carries it, and what that gives up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .base import Head
from .cross_validation import cross_validate
from .imprint import Imprint
from .linear import Linear
from .selection import KINDS, LEAST_OCCASIONS


@dataclass(frozen=True, eq=False)
class Layer:
    """Classes and their logits: ``scale · (weights @ x + bias)`` of a unit embedding x."""

    classes: tuple[str, ...]
    """Class ids, in the order of the rows."""
    weights: NDArray[np.float32]
    """Shape (C, d)."""
    bias: NDArray[np.float32]
    """Shape (C,)."""
    scale: float
    """Above 0."""


def as_layer(head: Head) -> Layer | None:
    """Return a head as a layer; None for one that is none: several prototypes of a class, or neighbours."""
    if isinstance(head, Linear):
        return Layer(head.classes, head.weights, head.biases, head.scale)
    if isinstance(head, Imprint) and len(head.prototypes) == len(head.classes):
        weights = (head.prototypes * head.gains[:, None]).astype(np.float32)
        return Layer(head.classes, weights, np.zeros(len(weights), np.float32), head.scale)
    return None


def expected_accuracy(
    kind: str, embeddings: Mapping[str, NDArray[np.float32]], groups: Mapping[str, Sequence[str]]
) -> float | None:
    """Return the accuracy, 0 to 1, of a kind of head (one of KINDS) by cross-validation over occasions.

    ``embeddings`` by class id, shape (n, d), n >= 1; ``groups`` names the occasion of each row. None where the examples can't
    say: with less than two classes, and where a class can't be asked on LEAST_OCCASIONS occasions.
    """
    validation = cross_validate(embeddings, groups, KINDS[kind])
    if validation is None or validation.split:
        return None
    asked: dict[str, set[str]] = {name: set() for name in embeddings}
    for trial in validation.trials:
        asked[trial.class_id].add(trial.occasion)
    return validation.accuracy if all(len(some) >= LEAST_OCCASIONS for some in asked.values()) else None
