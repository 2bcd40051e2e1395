"""Imprinting and scoring against plain re-statements of the same formulas."""

from dataclasses import FrozenInstanceError, replace
import math

from hypothesis import given, settings, strategies as st
import numpy as np
from numpy.typing import NDArray
import pytest

from imprinting import Head, Imprint, UnusableHead, fit
from imprinting.heads.scale import CERTAIN, HIGHEST, LOWEST, PRIOR_DEVIATION, scale_of_looks

Vectors = NDArray[np.float32]


def unit(rows: NDArray[np.float64]) -> Vectors:
    """Return rows of length 1."""
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    return np.asarray(rows / lengths, dtype=np.float32)


def clouds(
    seed: int, counts: list[int], length: int = 64, noise: float = 0.1
) -> tuple[dict[str, Vectors], list[Vectors]]:
    """Return examples by class, and 100 further looks at each class."""
    random = np.random.default_rng(seed)
    common = random.normal(size=length)
    centres = unit(np.stack([common + 0.5 * random.normal(size=length) for _ in counts]))
    drawn = [
        unit(centre + noise * random.normal(size=(count + 100, length)))
        for centre, count in zip(centres, counts, strict=True)
    ]
    examples = {f"class {index}": rows[:count] for index, (rows, count) in enumerate(zip(drawn, counts, strict=True))}
    return examples, [rows[count:] for rows, count in zip(drawn, counts, strict=True)]


def accuracy(head: Head, looks: list[Vectors]) -> float:
    """Return the part of the looks whose best class is right, as a mean over classes."""
    right = [
        np.mean([head.score(look).best == name for look in rows])
        for name, rows in zip(head.classes, looks, strict=True)
    ]
    return float(np.mean(right))


@pytest.mark.parametrize("counts", [[1, 1], [5, 5, 5], [20] * 10])
def test_prototypes_are_normalised_means_of_unit_embeddings(counts: list[int]) -> None:
    """The paper's section 3.2, one value at a time."""
    examples, _ = clouds(1, counts)
    scaled = {name: rows * 7 for name, rows in examples.items()}
    head = fit(scaled)
    assert head.classes == tuple(examples)
    assert head.prototypes.dtype == np.float32
    for name, prototype in zip(head.classes, head.prototypes, strict=True):
        mean = [sum(float(row[i]) for row in examples[name]) / len(examples[name]) for i in range(64)]
        length = math.sqrt(sum(value * value for value in mean))
        np.testing.assert_allclose(prototype, [value / length for value in mean], atol=1e-6)
    assert (head.gains == 1).all()


def test_probabilities_are_the_softmax_of_scaled_cosines() -> None:
    """Score, re-stated."""
    examples, looks = clouds(2, [3, 3, 3, 3])
    head = fit(examples)
    look = looks[2][0]
    scores = head.score(look * 3)
    cosines = {name: float(head.prototypes[index] @ look) for index, name in enumerate(head.classes)}
    odds = {name: math.exp(head.scale * cosine) for name, cosine in cosines.items()}
    assert scores.cosine == pytest.approx(cosines, abs=1e-6)
    assert scores.probability == pytest.approx({name: odd / sum(odds.values()) for name, odd in odds.items()}, abs=1e-4)
    assert scores.best == max(odds, key=odds.__getitem__) == "class 2"
    assert scores.confidence == scores.probability["class 2"]


@pytest.mark.parametrize("ways", [2, 5, 10])
def test_prototypes_are_certain_and_halves_are_not(ways: int) -> None:
    """With one example each, the least certain example scores CERTAIN; halfway between two nobody knows."""
    examples, _ = clouds(3, [1] * ways)
    head = fit(examples)
    confidence = [head.score(rows[0]).probability[name] for name, rows in examples.items()]
    assert min(confidence) == pytest.approx(CERTAIN, abs=1e-3)
    halfway = unit((examples["class 0"][0] + examples["class 1"][0]).astype(np.float64))
    scores = head.score(halfway)
    assert scores.probability["class 0"] == pytest.approx(scores.probability["class 1"], abs=1e-3)
    assert scores.confidence <= 0.5 + 1e-3


def test_looks_like_the_examples_are_certain() -> None:
    """Well-separated classes with a few examples give certain and right answers to new looks."""
    examples, looks = clouds(4, [5, 5, 5], noise=0.03)
    head = fit(examples)
    confidence = np.array(
        [[head.score(look).probability[name] for look in rows] for name, rows in zip(examples, looks, strict=True)]
    )
    assert np.median(confidence) >= 0.99
    assert (confidence >= 0.8).mean() >= 0.99


def test_overlapping_examples_lower_the_scale_and_separate_ones_raise_it() -> None:
    """The scale follows what unseen examples say, from the one that the prototypes alone suggest."""
    clear, _ = clouds(5, [30, 30], noise=0.05)
    one_occasion = {name: ["burst"] * len(rows) for name, rows in clear.items()}
    assert fit(clear).scale > fit(clear, one_occasion).scale
    alike, looks = clouds(5, [16], noise=0.1)
    mixed = {"a": alike["class 0"][:8], "b": alike["class 0"][8:]}
    one_occasion = {name: ["burst"] * len(rows) for name, rows in mixed.items()}
    assert fit(mixed).scale < 0.7 * fit(mixed, one_occasion).scale
    sure, surer = (
        np.mean([head.score(look).confidence >= 0.8 for look in looks[0]])
        for head in (fit(mixed), fit(mixed, one_occasion))
    )
    assert sure < 0.35 < surer


def test_copies_of_one_occasion_add_no_certainty() -> None:
    """Frames of a burst, named as one occasion, teach the scale what one of them would."""
    examples, _ = clouds(6, [2, 2])
    copies = {name: np.repeat(rows, 10, axis=0) for name, rows in examples.items()}
    occasions = {name: [f"day {index // 10}" for index in range(20)] for name in examples}
    assert fit(copies, occasions).scale == pytest.approx(fit(examples).scale)
    assert fit(copies).scale != pytest.approx(fit(examples).scale)
    np.testing.assert_allclose(fit(copies, occasions).prototypes, fit(examples).prototypes, atol=1e-6)
    apart = {name: [str(index) for index in range(2)] for name in examples}
    assert fit(examples, apart).scale == fit(examples).scale


@settings(max_examples=50)
@given(st.integers(0, 10_000), st.floats(2, 300))
def test_scale_is_the_most_plausible_one(seed: int, expected: float) -> None:
    """Halving finds what trying a thousand scales finds."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, 3, size=12)
    scores = random.normal(0.6, 0.05, size=(12, 3))
    scores[np.arange(12), truth] += random.uniform(0, 0.3)
    weights = random.uniform(0.1, 1, size=12)

    def cost(scale: float) -> float:
        logits = scale * scores
        right = (
            logits[np.arange(12), truth] - np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1)) - logits.max(1)
        )
        return float(-weights @ right + math.log(scale / expected) ** 2 / (2 * PRIOR_DEVIATION**2))

    found = scale_of_looks(scores, truth, weights, expected)
    tried = min(np.geomspace(max(expected / math.e, LOWEST), min(expected * math.e, HIGHEST), 1000), key=cost)
    assert cost(found) <= cost(float(tried)) + 1e-6 * abs(cost(float(tried)))


def test_scale_comes_from_examples_scored_by_the_others() -> None:
    """Leave one out, re-stated for unequal numbers: each example against its own class without it."""
    examples, _ = clouds(13, [4, 1, 7], noise=0.15)
    head = fit(examples)
    rows = [part.astype(np.float64) for part in examples.values()]
    spread = sum(((part - part.mean(axis=0)) ** 2).sum() for part in rows) / sum(len(part) - 1 for part in rows)

    def weight(part: NDArray[np.float64]) -> NDArray[np.float64]:
        squared = float((part.mean(axis=0) ** 2).sum())
        gain = max(1 - spread / len(part) / squared, 0.25) ** -0.375
        return np.asarray(gain * part.mean(axis=0) / math.sqrt(squared))

    np.testing.assert_allclose(head.gains, [np.linalg.norm(weight(part)) for part in rows], rtol=1e-5)
    scores, truth = [], []
    for column in (0, 2):
        for index, row in enumerate(rows[column]):
            others = np.delete(rows[column], index, axis=0)
            scores.append([row @ weight(others if other == column else part) for other, part in enumerate(rows)])
            truth.append(column)
    prior = fit(examples, {name: ["once"] * len(part) for name, part in examples.items()}).scale
    expected = scale_of_looks(np.array(scores), np.array(truth), np.ones(len(truth)), prior)
    assert head.scale == pytest.approx(expected, rel=1e-5)
    assert head.scale != pytest.approx(prior, rel=1e-3)


@pytest.mark.parametrize("counts", [[2, 20], [1, 20], [20, 2, 20]])
def test_unequal_numbers_are_made_up_for(counts: list[int]) -> None:
    """A class with few examples answers for its own looks as well as one with many."""
    gained = []
    for seed in range(5):
        examples, looks = clouds(seed, counts, noise=0.15)
        head = fit(examples)
        few = int(np.argmin(counts))
        assert head.gains[few] == head.gains.max() > 1
        gained.append(accuracy(head, looks) - accuracy(replace(head, gains=np.ones_like(head.gains)), looks))
    assert np.mean(gained) > 0.03


def test_fewer_than_two_classes_decide_nothing() -> None:
    """There is nothing to tell a single class from."""
    examples, looks = clouds(7, [3])
    scores = fit(examples).score(looks[0][0])
    assert (scores.best, scores.confidence, scores.probability) == (None, 0, {})
    assert 0.5 < scores.cosine["class 0"] <= 1
    nothing = fit({}).score(looks[0][0])
    assert (nothing.best, nothing.confidence, nothing.probability, nothing.cosine) == (None, 0, {}, {})


def test_identical_classes_stay_finite() -> None:
    """The same frame under two classes is a coin toss, not a crash."""
    examples, _ = clouds(8, [2, 2])
    same = {"a": examples["class 0"], "b": examples["class 0"]}
    scores = fit(same).score(same["a"][0])
    assert scores.confidence == pytest.approx(0.5)
    assert LOWEST <= fit(same).scale <= HIGHEST


@pytest.mark.parametrize(
    "wrong",
    [
        {"a": np.zeros((0, 4), np.float32)},
        {"a": np.ones(4, np.float32)},
        {"a": np.ones((2, 0), np.float32)},
        {"a": np.zeros((1, 4), np.float32)},
        {"a": np.full((1, 4), np.nan, np.float32)},
        {"a": np.full((1, 4), np.inf, np.float32)},
        {"a": np.ones((1, 4), np.float32), "b": np.ones((1, 5), np.float32)},
        {"a": np.array([[1, 0], [-1, 0]], np.float32)},
    ],
)
def test_wrong_embeddings_are_refused(wrong: dict[str, Vectors]) -> None:
    """Fit checks shapes and values."""
    with pytest.raises(ValueError):
        fit(wrong)


@pytest.mark.parametrize("wrong", [{}, {"a": ["x"]}, {"a": ["x", "y"], "c": ["x"]}])
def test_wrong_groups_are_refused(wrong: dict[str, list[str]]) -> None:
    """One occasion for each row of each class."""
    with pytest.raises(ValueError, match="occasion"):
        fit({"a": np.eye(2, 4, dtype=np.float32)}, wrong)


@pytest.mark.parametrize(
    "wrong", [np.ones(63), np.ones((1, 64)), np.zeros(64), np.full(64, np.nan), np.full(64, np.inf)]
)
def test_wrong_looks_are_refused(wrong: NDArray[np.float64]) -> None:
    """Score checks shape and values."""
    head = fit(clouds(9, [1, 1])[0])
    with pytest.raises(ValueError):
        head.score(wrong.astype(np.float32))


def test_heads_never_change() -> None:
    """Neither fields nor arrays can be written."""
    head = fit(clouds(10, [2, 3])[0])
    with pytest.raises(FrozenInstanceError):
        head.scale = 1  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        head.prototypes[0, 0] = 0
    again = fit(clouds(10, [2, 3])[0])
    assert (again.prototypes == head.prototypes).all()
    assert again.scale == head.scale


@pytest.mark.parametrize("counts", [[], [2], [1, 20, 5]])
def test_saved_heads_come_back_equal(counts: list[int]) -> None:
    """Everything, to the bit."""
    head = fit(clouds(11, counts)[0]) if counts else fit({})
    again = Head.load(head.save("print ☂"), "print ☂")
    assert isinstance(again, Imprint)
    assert again.classes == head.classes
    assert again.scale == head.scale
    assert again.prototypes.dtype == np.float32
    assert again.prototypes.shape == head.prototypes.shape
    assert (again.prototypes == head.prototypes).all()
    assert (again.gains == head.gains).all()
    assert not again.prototypes.flags.writeable


def test_foreign_and_damaged_heads_are_refused() -> None:
    """Another fingerprint, any cut and any changed byte."""
    data = fit(clouds(12, [2, 3], length=8)[0]).save("print")
    with pytest.raises(UnusableHead, match="other embeddings"):
        Head.load(data, "another")
    for index in range(len(data)):
        with pytest.raises(UnusableHead):
            Head.load(data[:index], "print")
        with pytest.raises(UnusableHead):
            Head.load(data[:index] + bytes([data[index] ^ 0x10]) + data[index + 1 :], "print")
    with pytest.raises(UnusableHead):
        Head.load(data + b"\0", "print")
