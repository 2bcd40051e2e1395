"""Probabilities that hold."""

from collections.abc import Mapping, Sequence

from hypothesis import given, settings, strategies as st
import numpy as np
from numpy.typing import NDArray
import pytest

from bench.measures import calibration_error
from imprinting.heads import fit, fit_cosine, fit_lda, fit_ridge
from imprinting.heads.calibration import hold_out, probabilities
from imprinting.heads.scale import CERTAIN, scale_of_certainty, scale_of_looks

Vectors = NDArray[np.float32]


def drawn(classes: int, count: int, apart: float, seed: int) -> dict[str, Vectors]:
    """Draw classes whose means lie ``apart`` from each other beside noise of 1."""
    chance = np.random.default_rng(seed)
    means = apart * np.random.default_rng(99).standard_normal((classes, 40)) / np.sqrt(80)
    found = {}
    for number, mean in enumerate(means):
        rows = 0.5 + mean + chance.standard_normal((count, 40)) / np.sqrt(40)
        found[str(number)] = rows.astype(np.float32)
    return found


def apiece(embeddings: Mapping[str, Vectors]) -> dict[str, list[str]]:
    """Give each row an occasion of its own."""
    return {name: [f"{name} {row}" for row in range(len(part))] for name, part in embeddings.items()}


class _Spy:
    """Answers with the number of rows it was taught of each class, and remembers what it was taught."""

    def __init__(self) -> None:
        """Begin with no memory."""
        self.taught: list[dict[str, list[str]]] = []

    def __call__(self, embeddings: Mapping[str, Vectors], groups: Mapping[str, Sequence[str]]) -> "_Counts":
        """Learn."""
        assert {name: len(part) for name, part in embeddings.items()} == {
            name: len(own) for name, own in groups.items()
        }
        self.taught.append({name: list(own) for name, own in groups.items()})
        return _Counts([len(part) for part in embeddings.values()])


class _Counts:
    def __init__(self, counts: list[int]) -> None:
        """Take the numbers of rows."""
        self.counts = counts

    def logits(self, vector: Vectors) -> NDArray[np.float64]:
        """Answer."""
        return np.array(self.counts, np.float64)


def test_no_head_is_asked_for_an_occasion_it_was_taught() -> None:
    embeddings = {"a": np.eye(6, 9, dtype=np.float32), "b": np.eye(3, 9, 6, dtype=np.float32)}
    groups = {"a": ["mon", "mon", "tue", "wed", "wed", "wed"], "b": ["mon", "tue", "tue"]}
    spy = _Spy()
    found = hold_out(embeddings, groups, spy)
    assert found is not None
    assert len(spy.taught) == 3
    for taught in spy.taught:
        left = {"mon", "tue", "wed"} - set(taught["a"])
        assert len(left) == 1
        # Monday is left out of both classes together.
        assert not left & set(taught["b"])
    assert sorted(zip(found.truth.tolist(), found.occasions.tolist(), strict=True)) == sorted(
        (column, group) for column, own in enumerate(groups.values()) for group in own
    )
    for row, (column, occasion) in enumerate(zip(found.truth, found.occasions, strict=True)):
        own = groups["ab"[column]]
        assert found.logits[row, column] == len(own) - own.count(occasion)
        assert found.weights[row] == 1 / own.count(occasion)


def test_a_class_of_one_occasion_is_taught_only() -> None:
    embeddings = {"a": np.eye(4, 9, dtype=np.float32), "b": np.eye(3, 9, 5, dtype=np.float32)}
    spy = _Spy()
    found = hold_out(embeddings, {"a": ["mon"] * 4, "b": ["tue", "wed", "wed"]}, spy)
    assert found is not None
    assert set(found.truth.tolist()) == {1}
    assert all(len(taught["a"]) == 4 for taught in spy.taught)
    assert hold_out(embeddings, {"a": ["mon"] * 4, "b": ["mon"] * 3}, spy) is None
    with pytest.raises(ValueError, match="groups"):
        hold_out(embeddings, {"a": ["mon"], "b": ["mon"] * 3}, spy)


def test_many_occasions_share_the_folds() -> None:
    embeddings = {"a": np.ones((50, 2), np.float32), "b": np.ones((30, 2), np.float32)}
    spy = _Spy()
    found = hold_out(embeddings, apiece(embeddings), spy, most_folds=5)
    assert found is not None
    assert len(found.truth) == 80
    assert [sum(map(len, taught.values())) for taught in spy.taught] == [64] * 5


@pytest.mark.parametrize("learn", [fit, fit_cosine, fit_ridge, fit_lda])
@pytest.mark.parametrize("apart", [1.0, 2.0, 4.0])
def test_probabilities_hold_for_every_kind_of_head(learn: object, apart: float) -> None:
    """Whatever the units of its logits, and however hard the task."""
    assert callable(learn)
    tables, truths = [], []
    for seed in range(12):
        examples, looks = drawn(3, 12, apart, seed), drawn(3, 100, apart, 1000 + seed)
        head = learn(examples, apiece(examples))
        logits = head.logits(np.concatenate(list(looks.values())))
        tables.append(probabilities(logits, head.scale))
        truths.append(np.repeat(np.arange(3), 100))
    assert calibration_error(np.concatenate(tables), np.concatenate(truths)) < 0.08


def test_the_right_scale_is_found_from_enough_looks() -> None:
    """Labels drawn from the softmax at a known scale."""
    chance = np.random.default_rng(0)
    logits = chance.standard_normal((20_000, 3))
    for scale in (3.0, 12.0, 100.0):
        odds = np.cumsum(probabilities(logits, scale), axis=1)
        truth = (chance.random((len(odds), 1)) > odds[:, :2]).sum(axis=1)
        for expected in (scale / 2, scale * 2):
            assert scale_of_looks(logits, truth, np.ones(len(truth)), expected) == pytest.approx(scale, rel=0.05)


def test_without_evidence_the_means_decide() -> None:
    of_means = np.array([[5.0, 3.0], [2.0, 5.0]])
    scale = scale_of_certainty(of_means)
    assert probabilities(of_means, scale).diagonal().min() == pytest.approx(CERTAIN, rel=1e-5)
    one_each = drawn(2, 1, 3.0, 0)
    head = fit(one_each, apiece(one_each))
    means = np.stack([head.logits(part[0]) for part in one_each.values()])
    assert head.scale == pytest.approx(scale_of_certainty(means), rel=1e-4)


def test_doubtful_examples_make_less_sure() -> None:
    truth, weights = np.array([0, 0, 1, 1]), np.ones(4)
    right = np.array([[1.0, 0], [1, 0], [0, 1], [0, 1]])
    wrong = np.array([[1.0, 0], [0, 1], [0, 1], [1, 0]])
    expected = 5.0
    assert scale_of_looks(wrong, truth, weights, expected) < expected < scale_of_looks(right, truth, weights, expected)


def test_calibration_error_by_hand() -> None:
    probability = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.4, 0.6]])
    # Of two looks at 0.9 one is right, of two at 0.6 both are.
    assert calibration_error(probability, np.array([0, 1, 1, 1])) == pytest.approx((0.4 + 0.4) / 2)
    assert calibration_error(probability, np.array([0, 1, 1, 1]), np.array([0.0, 1, 0, 0])) == pytest.approx(0.9)
    assert calibration_error(np.array([[1.0, 0.0]]), np.array([0])) == 0


@settings(max_examples=50)
@given(st.integers(2, 6), st.integers(0, 10_000), st.floats(1e-3, 1e3))
def test_laws_of_probabilities(classes: int, seed: int, scale: float) -> None:
    """They add up to 1, keep the order, and don't overflow."""
    logits = 100 * np.random.default_rng(seed).standard_normal((7, classes))
    found = probabilities(logits, scale)
    assert found.sum(axis=1) == pytest.approx(np.ones(7))
    assert (found.argmax(axis=1) == logits.argmax(axis=1)).all()
