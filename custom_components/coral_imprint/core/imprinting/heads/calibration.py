"""Examples as heads see them that were not taught their occasion, and whether probabilities hold.

The factor on a head's logits before the softmax (its scale, the inverse of a temperature) is learned with the head, by `scale`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

MOST_FOLDS: Final = 10

Embeddings: TypeAlias = Mapping[str, NDArray[np.float32]]
Groups: TypeAlias = Mapping[str, Sequence[str]]


class Logits(Protocol):
    """A head of any kind, not calibrated."""

    def logits(self, vector: NDArray[np.float32], /) -> NDArray[np.float64]:
        """Return a number for each class, the larger the likelier: shape (C,), in the order the classes were given."""


Fit: TypeAlias = Callable[[Embeddings, Groups], Logits]


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Examples as heads see them that were not taught their occasion."""

    logits: NDArray[np.float64]
    """Shape (n, C)."""

    truth: NDArray[np.intp]
    """Shape (n,): the right columns."""

    occasions: NDArray[np.str_]
    """Shape (n,)."""

    weights: NDArray[np.float64]
    """Shape (n,): each occasion of a class weighs 1, shared by its examples."""


def hold_out(embeddings: Embeddings, groups: Groups, fit: Fit, most_folds: int = MOST_FOLDS) -> HeldOut | None:
    """Ask heads for the examples of occasions that they were not taught.

    Examples of one occasion, whatever the class, are left out together; classes of one occasion are taught only: their
    examples are copies of each other, and would be found too sure. None where nothing is left to ask for. Raises
    ValueError on groups that don't match.
    """
    if groups.keys() != embeddings.keys() or any(len(groups[name]) != len(part) for name, part in embeddings.items()):
        raise ValueError("groups have to name one occasion for each row of each class")
    folds = _deal(groups, most_folds)
    logits, truth, occasions, weights = [], [], [], []
    for fold in range(most_folds):
        out = {name: np.array([folds[group] == fold for group in groups[name]], bool) for name in embeddings}
        asked = {name: mask for name, mask in out.items() if mask.any() and not mask.all()}
        if not asked:
            continue
        taught = {name: part[~out[name]] if name in asked else part for name, part in embeddings.items()}
        left = {
            name: [group for group, skip in zip(own, out[name], strict=True) if name not in asked or not skip]
            for name, own in groups.items()
        }
        head = fit(taught, left)
        for column, (name, part) in enumerate(embeddings.items()):
            for row in np.flatnonzero(asked.get(name, ())):
                logits.append(head.logits(part[row]))
                truth.append(column)
                occasions.append(groups[name][row])
                weights.append(1 / groups[name].count(groups[name][row]))
    if not logits:
        return None
    return HeldOut(np.stack(logits), np.array(truth, np.intp), np.array(occasions, str), np.array(weights))


def probabilities(logits: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
    """Return the softmax of scaled logits: shape (..., C), each row adding up to 1."""
    odds = np.exp(scale * (logits - logits.max(axis=-1, keepdims=True)))
    shares: NDArray[np.float64] = odds / odds.sum(axis=-1, keepdims=True)
    return shares


def _deal(groups: Groups, most: int) -> dict[str, int]:
    """Return each occasion's fold: dealt out from the largest, each to the fold that has the least."""
    sizes: dict[str, int] = {}
    for own in groups.values():
        for group in own:
            sizes[group] = sizes.get(group, 0) + 1
    filled = [0] * most
    dealt = {}
    for group in sorted(sizes, key=lambda name: (-sizes[name], name)):
        fold = min(range(most), key=filled.__getitem__)
        dealt[group] = fold
        filled[fold] += sizes[group]
    return dealt
