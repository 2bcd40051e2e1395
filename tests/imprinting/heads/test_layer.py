"""Heads as one layer, and what is expected of a kind of head."""

import numpy as np
from numpy.typing import NDArray
import pytest

from imprinting.heads.layer import as_layer, expected_accuracy
from imprinting.heads.selection import KINDS

RANDOM = np.random.default_rng(8)


def examples(days: int, far: float = 3.0) -> tuple[dict[str, NDArray[np.float32]], dict[str, list[str]]]:
    """Return two examples a day of three classes."""
    middles = {name: far * RANDOM.normal(size=12) for name in "abc"}
    vectors, occasions = {}, {}
    for name, middle in middles.items():
        rows = middle + RANDOM.normal(size=(2 * days, 12))
        vectors[name] = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
        occasions[name] = [f"day {row // 2}" for row in range(2 * days)]
    return vectors, occasions


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_gives_the_heads_probabilities(kind: str) -> None:
    vectors, occasions = examples(6)
    head = KINDS[kind](vectors, occasions)
    layer = as_layer(head)
    if kind == "neighbours":
        assert layer is None
        return
    assert layer is not None and layer.classes == head.classes
    for name in vectors:
        for vector in vectors[name]:
            logits = layer.scale * (layer.weights @ vector + layer.bias)
            odds = np.exp(logits - logits.max())
            found = head.score(vector).probability
            np.testing.assert_allclose(odds / odds.sum(), [found[one] for one in layer.classes], atol=1e-4)


def test_several_prototypes_are_no_layer() -> None:
    """A class of day and infrared pictures has a prototype for each."""
    day, night = np.eye(16, dtype=np.float32)[0], np.eye(16, dtype=np.float32)[1]

    def noisy(direction: NDArray[np.float32]) -> NDArray[np.float32]:
        rows = direction + 0.05 * RANDOM.normal(size=(12, 16)).astype(np.float32)
        unit: NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return unit

    lit = np.eye(16, dtype=np.float32)[2]
    vectors = {
        "a": np.concatenate([noisy(day), noisy(night)]),
        "b": np.concatenate([noisy(day + lit), noisy(night + lit)]),
    }
    head = KINDS["modes"](vectors, None)
    assert head.kind == "modes"
    assert as_layer(head) is None


def test_expected_accuracy() -> None:
    assert (expected_accuracy("imprint", *examples(5)) or 0) > 0.9
    assert (expected_accuracy("ridge", *examples(5, far=0.0)) or 1) < 0.7


def test_too_few_occasions_say_nothing() -> None:
    vectors, occasions = examples(5)
    assert expected_accuracy("imprint", *examples(2)) is None
    assert expected_accuracy("imprint", *examples(1)) is None
    assert expected_accuracy("imprint", {"a": vectors["a"]}, {"a": occasions["a"]}) is None
    assert expected_accuracy("imprint", vectors, occasions | {"c": ["day 0"] * 10}) is None
