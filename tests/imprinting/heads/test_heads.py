"""Heads of every kind against plain re-statements, and the imprinter against learning all anew."""

import itertools
import math
from typing import Any

from hypothesis import given, settings, strategies as st
import numpy as np
from numpy.typing import NDArray
import pytest

from imprinting import KINDS, Head, Imprint, Imprinter, UnusableHead, fit, fit_kind
from imprinting.heads import serialization
from imprinting.heads.cosine import SHARPNESS
from imprinting.heads.imprint import spread_within
from imprinting.heads.imprinter import MOST_LOOKS
from imprinting.heads.lda import LEAST_LEFT, SHRINKAGE, UNEQUAL
from imprinting.heads.neighbours import NEIGHBOURS, Neighbours
from imprinting.heads.ridge import PENALTY, WEIGHT
from imprinting.heads.scale import HIGHEST, LOWEST

Vectors = NDArray[np.float32]
Classes = dict[str, Vectors]


def unit(rows: NDArray[Any]) -> Vectors:
    """Return rows of length 1."""
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True), dtype=np.float32)


def clouds(seed: int, counts: list[int], length: int = 24, noise: float = 0.3) -> tuple[Classes, list[Vectors]]:
    """Return examples by class, and 60 further looks at each class. A few directions vary far more than others."""
    random = np.random.default_rng(seed)
    stretch = np.where(np.arange(length) < 3, 4.0, 1.0)
    common = random.normal(size=length)
    drawn = []
    for count in counts:
        centre = common + 0.8 * random.normal(size=length)
        drawn.append(unit(centre + noise * stretch * random.normal(size=(count + 60, length))))
    examples = {f"class {index}": rows[:count] for index, (rows, count) in enumerate(zip(drawn, counts, strict=True))}
    return examples, [rows[count:] for rows, count in zip(drawn, counts, strict=True)]


def accuracy(head: Head, looks: list[Vectors]) -> float:
    """Return the part of the looks whose largest logit is right, as a mean over classes."""
    return float(np.mean([np.mean(head.logits(rows).argmax(axis=1) == c) for c, rows in enumerate(looks)]))


def two_modes(seed: int, count: int, length: int = 32) -> tuple[Classes, list[Vectors]]:
    """Return a class seen in two quite different ways, with another class halfway between them."""
    random = np.random.default_rng(seed)
    by_day, by_night = np.zeros((2, length))
    by_day[0] = by_night[1] = 1.0

    def near(centre: NDArray[np.float64], number: int) -> NDArray[np.float64]:
        return centre + 0.05 * random.normal(size=(number, length))

    between = (by_day + by_night) / 2
    return (
        {"a": unit(np.concatenate([near(by_day, count), near(by_night, count)])), "b": unit(near(between, 2 * count))},
        [unit(np.concatenate([near(by_day, 50), near(by_night, 50)])), unit(near(between, 100))],
    )


def head_of(kind: str) -> Head:
    """Return a head that is of the kind."""
    return fit_kind(kind, two_modes(1, 8)[0] if kind == "modes" else clouds(1, [6, 4, 9])[0])


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_keeps_the_protocol(kind: str) -> None:
    """Probabilities are the softmax of scaled logits; several looks at once are the same as one after the other."""
    head = head_of(kind)
    assert head.kind == kind
    looks = unit(np.random.default_rng(2).normal(size=(7, head.length)))
    logits, cosines = head.logits(looks * 3), head.cosines(looks * 3)
    assert logits.shape == cosines.shape == (7, len(head.classes))
    assert logits.dtype == cosines.dtype == np.float64
    assert LOWEST <= head.scale <= HIGHEST
    for look, row, cosine in zip(looks, logits, cosines, strict=True):
        np.testing.assert_allclose(head.logits(look), row, atol=2e-6)
        scores = head.score(look * 5)
        odds = np.exp(head.scale * row)
        np.testing.assert_allclose(list(scores.probability.values()), odds / odds.sum(), atol=1e-4)
        np.testing.assert_allclose(list(scores.cosine.values()), cosine, atol=1e-5)
        assert scores.best == head.classes[int(row.argmax())]
        assert scores.confidence == max(scores.probability.values())
        assert (abs(cosine) <= 1).all()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_recognises_its_classes(kind: str) -> None:
    """Few examples of clear classes are enough."""
    examples, looks = clouds(3, [6, 6, 6], noise=0.1)
    assert accuracy(fit_kind(kind, examples), looks) > 0.97


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("counts", [[], [3]])
def test_fewer_than_two_classes_decide_nothing(kind: str, counts: list[int]) -> None:
    """Whatever the kind: no probabilities, but cosines."""
    head = fit_kind(kind, clouds(4, counts)[0])
    scores = head.score(np.ones(24, np.float32))
    assert (scores.best, scores.probability, len(scores.cosine)) == (None, {}, len(counts))
    assert head.logits(np.ones((2, 24), np.float32)).shape == (2, len(counts))
    again = Head.load(head.save("print"), "print")
    assert again.classes == head.classes


@pytest.mark.parametrize("kind", KINDS)
def test_saved_heads_come_back_equal(kind: str) -> None:
    """To the bit, and as what they were."""
    head = head_of(kind)
    again = Head.load(head.save("print ☂"), "print ☂")
    looks = unit(np.random.default_rng(5).normal(size=(9, head.length)))
    assert type(again) is type(head)
    assert (again.kind, again.classes, again.scale, again.length) == (kind, head.classes, head.scale, head.length)
    assert (again.logits(looks) == head.logits(looks)).all()
    assert (again.cosines(looks) == head.cosines(looks)).all()
    assert again.save("print ☂") == head.save("print ☂")
    with pytest.raises(UnusableHead, match="other embeddings"):
        Head.load(head.save("print"), "another")


@pytest.mark.parametrize("kind", KINDS)
def test_parts_that_do_not_fit_are_refused(kind: str) -> None:
    """However right the checksum is: arrays missing, too short, with a dimension less, not finite."""
    head = head_of(kind)
    arrays = serialization.unpack(head.save("print"), "print").arrays

    def damaged(name: str, part: NDArray[Any] | None) -> bytes:
        others = {key: value for key, value in arrays.items() if key != name}
        return serialization.pack(
            "print", kind, head.classes, head.scale, others if part is None else {**others, name: part}
        )

    for name, part in arrays.items():
        infinite = np.full_like(part, np.nan if part.dtype.kind == "f" else -1)
        for wrong in (None, part[: len(part) // 3], part[:0], part.ravel()[:1].reshape(1, 1, 1), infinite):
            with pytest.raises(UnusableHead):
                Head.load(damaged(name, wrong), "print")
    with pytest.raises(UnusableHead, match="unknown"):
        Head.load(serialization.pack("print", "oracle", head.classes, head.scale, dict(arrays)), "print")
    for scale in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(UnusableHead):
            Head.load(serialization.pack("print", kind, head.classes, scale, dict(arrays)), "print")
    twice = (head.classes[0],) * len(head.classes)
    with pytest.raises(UnusableHead):
        Head.load(serialization.pack("print", kind, twice, head.scale, dict(arrays)), "print")


@pytest.mark.parametrize("kind", KINDS)
def test_wrong_looks_and_examples_are_refused(kind: str) -> None:
    """Shapes and values are checked, of one look and of several."""
    head = head_of(kind)
    fitting = np.ones((2, head.length), np.float32)
    for wrong in (fitting[:, :-1], fitting[None], fitting * 0, fitting * np.nan, fitting * np.inf):
        with pytest.raises(ValueError):
            head.logits(wrong)
        with pytest.raises(ValueError):
            head.cosines(wrong)
    with pytest.raises(ValueError):
        head.score(fitting)
    with pytest.raises(ValueError):
        fit_kind(kind, {"a": np.ones((1, 4), np.float32), "b": np.ones((1, 5), np.float32)})
    with pytest.raises(ValueError):
        fit_kind(kind, {"a": np.ones((1, 4), np.float32), "b": np.zeros((1, 4), np.float32)})
    with pytest.raises(ValueError, match="occasion"):
        fit_kind(kind, clouds(1, [2, 2])[0], {"class 0": ["x"], "class 1": ["x", "y"]})


@pytest.mark.parametrize("counts", [[2, 2], [3, 5, 4], [30, 20, 25]])
def test_ridge_solves_its_normal_equations(counts: list[int]) -> None:
    """In all d directions, fewer examples than directions or more."""
    examples, looks = clouds(6, counts)
    rows = np.concatenate(list(examples.values())).astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    truth = np.repeat(np.arange(len(counts)), counts)
    weight = np.array([counts[c] ** -WEIGHT for c in truth])
    weight /= weight.mean()
    targets = np.eye(len(counts))[truth]
    middle, share = np.average(rows, axis=0, weights=weight), np.average(targets, axis=0, weights=weight)
    scatter = sum(w * np.outer(row - middle, row - middle) for w, row in zip(weight, rows, strict=True))
    right = sum(
        w * np.outer(row - middle, target - share) for w, row, target in zip(weight, rows, targets, strict=True)
    )
    weights = np.linalg.inv(scatter + PENALTY * np.eye(24)) @ right
    for look in looks[0][:5]:
        expected = share + (look - middle) @ weights
        np.testing.assert_allclose(fit_kind("ridge", examples).logits(look), expected, atol=1e-5)


@pytest.mark.parametrize("counts", [[3, 3], [4, 4, 4], [40, 40], [2, 9], [30, 5, 60]])
def test_lda_is_the_cosine_to_means_in_whitened_space(counts: list[int]) -> None:
    """Whitening spelled out by eigenvectors, and the means' lengths corrected by the variance about them."""
    examples, looks = clouds(7, counts)
    means = np.array([rows.astype(np.float64).mean(axis=0) for rows in examples.values()])
    about = np.concatenate([rows - mean for rows, mean in zip(examples.values(), means, strict=True)])
    scatter = about.T @ about
    added = SHRINKAGE + UNEQUAL * (1 / min(counts) - 1 / max(counts))
    values, axes = np.linalg.eigh(scatter / np.trace(scatter) + added * np.eye(24))
    whiten = axes / np.sqrt(values) @ axes.T
    white = means @ whiten
    squared = (white**2).sum(axis=1)
    if len(set(counts)) > 1:
        spread = ((about @ whiten) ** 2).sum() / (sum(counts) - len(counts))
        squared *= np.maximum(1 - spread / np.array(counts) / squared, LEAST_LEFT)
    head = fit_kind("lda", examples)
    for look in looks[1][:5]:
        expected = white @ (whiten @ look) / np.sqrt(squared)
        found = head.logits(look)
        np.testing.assert_allclose(found / found[0], expected / expected[0], atol=1e-4)


def test_fine_tuning_begins_at_the_imprint_and_lowers_the_loss() -> None:
    """Weights stay of length 1; examples become more probable than under the imprint; one example stays what it is."""
    examples, looks = clouds(8, [10, 10, 10], noise=0.6)

    def loss(head: Head) -> float:
        total = 0.0
        for column, rows in enumerate(examples.values()):
            odds = np.exp(SHARPNESS * head.logits(rows))
            total -= float(np.log(odds[:, column] / odds.sum(axis=1)).mean())
        return total

    imprint, tuned = fit(examples), fit_kind("cosine", examples)
    assert loss(tuned) < 0.8 * loss(imprint)
    assert accuracy(tuned, looks) > accuracy(imprint, looks)
    weights = serialization.unpack(tuned.save("print"), "print").arrays["weights"]
    np.testing.assert_allclose(np.linalg.norm(weights, axis=1), 1, atol=1e-5)
    assert np.einsum("cd,cd->c", weights, imprint.prototypes).min() > 0.8


def test_refinements_beat_the_imprint_where_directions_differ() -> None:
    """What varies within classes counts less to them, and as much as all else to the imprint."""
    better = {"ridge": 0, "lda": 0, "cosine": 0}
    for seed in range(10):
        examples, looks = clouds(seed, [10, 10, 10], noise=0.6)
        reference = accuracy(fit(examples), looks)
        for kind in better:
            better[kind] += accuracy(fit_kind(kind, examples), looks) > reference
    assert min(better.values()) >= 8


def test_unequal_numbers_do_not_silence_the_rare_class() -> None:
    """Ridge and LDA find the looks of a class of two beside twenty."""
    found = {"ridge": 0.0, "lda": 0.0}
    for seed in range(5):
        examples, looks = clouds(seed, [2, 20], noise=0.2)
        for kind in found:
            found[kind] += float(np.mean(fit_kind(kind, examples).logits(looks[0]).argmax(axis=1) == 0)) / 5
    assert min(found.values()) > 0.8


def test_neighbours_vote() -> None:
    """By brute force, ties going to the class of the nearest."""
    examples, looks = clouds(9, [5, 4, 6], noise=0.5)
    head = fit_kind("neighbours", examples)
    assert isinstance(head, Neighbours)
    everything = [(name, row) for name, rows in examples.items() for row in rows]
    ties = 0
    for look in np.concatenate(looks):
        ordered = sorted(everything, key=lambda pair: -float(pair[1] @ look))
        votes = [name for name, _ in ordered[:NEIGHBOURS]]
        most = max(votes.count(name) for name in votes)
        ties += most == 1
        expected = next(name for name in votes if votes.count(name) == most)
        assert head.score(look).best == expected
    assert ties
    two = fit_kind("neighbours", {"a": np.eye(2, dtype=np.float32)[:1], "b": np.eye(2, dtype=np.float32)[1:]})
    assert two.score(np.array([0.9, 0.1], np.float32)).best == "a"


def test_modes_are_found_where_there_are_some() -> None:
    """Day and night become two prototypes of one class, and the class between them is told apart."""
    examples, looks = two_modes(10, 8)
    head = fit_kind("modes", examples)
    assert isinstance(head, Imprint)
    assert head.starts.tolist() == [0, 2]
    assert accuracy(head, looks) > 0.97 > accuracy(fit(examples), looks)
    by_day, by_night = head.prototypes[:2]
    for look in looks[0][:10]:
        assert head.cosines(look)[0] == pytest.approx(max(by_day @ look, by_night @ look), abs=1e-5)


def test_modes_need_occasions() -> None:
    """What was seen on one occasion only is no mode."""
    examples, _ = two_modes(11, 8)
    one_each = {"a": ["day"] * 8 + ["night"] * 8, "b": [str(index) for index in range(16)]}
    assert fit_kind("modes", examples, one_each).kind == "imprint"
    two_each = {"a": ["1"] * 4 + ["2"] * 4 + ["3"] * 4 + ["4"] * 4, "b": [str(index) for index in range(16)]}
    assert fit_kind("modes", examples, two_each).kind == "modes"


def test_modes_of_one_mode_are_the_imprint() -> None:
    """Chance alone splits a class hardly ever."""
    heads = [fit_kind("modes", clouds(seed, [12, 12, 12], noise=0.5)[0]) for seed in range(20)]
    assert sum(head.kind == "modes" for head in heads) <= 2


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "modes"])
def test_occasions_lower_certainty_not_the_answer(kind: str) -> None:
    """Told that examples are copies of each other, a head has nothing to be surer by."""
    examples, looks = clouds(12, [8, 8], noise=0.1)
    burst = {name: ["burst"] * len(rows) for name, rows in examples.items()}
    alone, together = fit_kind(kind, examples), fit_kind(kind, examples, burst)
    assert alone.scale != together.scale
    assert np.allclose(alone.logits(looks[0]), together.logits(looks[0]))


CHANGES = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5), st.integers(0, 2)), max_size=30)


@settings(max_examples=60)
@given(CHANGES)
def test_imprinting_step_by_step_is_imprinting_anew(changes: list[tuple[int, int, int]]) -> None:
    """Any examples added and removed, in any order, leave the head of those that are left, to the bit."""
    vectors = unit(np.random.default_rng(13).normal(size=(18, 16)))
    learned, left = Imprinter(), dict[tuple[int, int], int]()
    for name, number, occasion in changes:
        if (name, number) in left:
            del left[name, number]
            learned.remove(str(name), str(number))
        else:
            left[name, number] = occasion
            learned.add(str(name), str(number), vectors[name * 6 + number], str(occasion))
    kept = {name: [number for other, number in sorted(left) if other == name] for name in sorted({n for n, _ in left})}
    anew = fit(
        {str(name): vectors[[name * 6 + number for number in numbers]] for name, numbers in kept.items()},
        {str(name): [str(left[name, number]) for number in numbers] for name, numbers in kept.items()},
    )
    assert learned.head(["0", "1", "2"]).save("print") == anew.save("print")


def test_imprinting_does_not_depend_on_order() -> None:
    """More examples than the scale is learned from, shuffled."""
    examples, _ = clouds(14, [MOST_LOOKS * 2, 5])
    order = np.random.default_rng(15).permutation(MOST_LOOKS * 2)
    learned = Imprinter()
    learned.extend("class 1", [f"{row:03}" for row in range(5)], examples["class 1"])
    for row in order:
        learned.add("class 0", f"{row:03}", examples["class 0"][row])
    assert learned.head(examples).save("print") == fit(examples).save("print")


def test_imprinter_refuses_what_does_not_fit() -> None:
    """Known keys, unknown ones, other lengths, no direction; and nothing of it is half learned."""
    learned = Imprinter()
    learned.add("a", "1", np.array([1, 0], np.float32))
    before = learned.head().save("print")
    for class_id, key, vector in itertools.product("ab", "12", ([0, 0], [np.nan, 1], [1, 0, 0])):
        with pytest.raises(ValueError):
            learned.add(class_id, key, np.array(vector, np.float32))
    with pytest.raises(ValueError, match="key"):
        learned.add("a", "1", np.array([0, 1], np.float32))
    with pytest.raises(ValueError, match="key"):
        learned.extend("b", ["1", "1"], np.eye(2, dtype=np.float32))
    for class_id, key in (("a", "2"), ("b", "1")):
        with pytest.raises(KeyError):
            learned.remove(class_id, key)
    assert learned.head().save("print") == before
    learned.add("a", "2", np.array([-1, 0], np.float32))
    with pytest.raises(ValueError, match="cancel"):
        learned.head()
    learned.remove("a", "1")
    learned.remove("a", "2")
    assert learned.head().classes == ()


def test_spread_of_equal_numbers_needs_no_correction() -> None:
    """Zero then; else the variance about the means, by its definition."""
    examples, _ = clouds(16, [3, 7])
    sums = np.array([rows.astype(np.float64).sum(axis=0) for rows in examples.values()])
    about = sum(float(((rows - rows.mean(axis=0)) ** 2).sum()) for rows in examples.values())
    assert spread_within(sums, np.array([3.0, 7.0])) == pytest.approx(about / 8, rel=1e-4)
    assert spread_within(sums, np.array([5.0, 5.0])) == 0
