"""The choice among kinds of heads."""

import math

import numpy as np
from numpy.typing import NDArray
import pytest

from imprinting import KINDS, Trial, Validation, choose, cross_validate, fit
from imprinting.heads.cross_validation import Embeddings, Groups
from imprinting.heads.selection import (
    LEAST_NEIGHBOURS,
    PREFERRED,
    UNTOLD,
    UNTOLD_UNEQUAL,
    _best,
    _coordinates,
    _fewer,
    fit_kind,
    gain,
)

Classes = dict[str, NDArray[np.float32]]


def clouds(seed: int, counts: list[int], stretch: float, apart: float = 0.8, length: int = 32) -> Classes:
    """Return unit examples by class that vary ``stretch`` times as much in three directions as in the others."""
    random = np.random.default_rng(seed)
    deviation = np.where(np.arange(length) < 3, stretch, 1.0) * 0.35
    common = random.normal(size=length)
    classes = {}
    for index, count in enumerate(counts):
        rows = common + apart * random.normal(size=length) + deviation * random.normal(size=(count, length))
        classes[f"class {index}"] = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return classes


def trials(*losses: tuple[str, str, float]) -> Validation:
    """Return a validation of (class, occasion, loss)."""
    return Validation(
        tuple(Trial(name, row, occasion, name, 0.5, loss) for row, (name, occasion, loss) in enumerate(losses)),
        0,
        frozenset(),
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_fixed_kind_is_learned_without_asking(kind: str) -> None:
    """From all examples."""
    examples = clouds(1, [12, 12], 1)
    chosen = choose(examples, kind=kind)
    assert (chosen.kind, dict(chosen.validations), dict(chosen.gains)) == (kind, {}, {})
    assert chosen.head.save("print") == fit_kind(kind, examples).save("print")


def test_unknown_kinds_are_refused() -> None:
    """By name."""
    with pytest.raises(ValueError, match="oracle"):
        choose(clouds(2, [2, 2], 1), kind="oracle")


@pytest.mark.parametrize("counts", [[], [5]])
def test_fewer_than_two_classes_are_imprinted(counts: list[int]) -> None:
    """There is nothing to choose by."""
    chosen = choose(clouds(3, counts, 1))
    assert (chosen.kind, chosen.head.kind, dict(chosen.validations)) == ("imprint", "imprint", {})


@pytest.mark.parametrize(
    ("counts", "kind"),
    [
        ([1, 1], UNTOLD),
        ([2, 2, 2], UNTOLD),
        ([1, 5], UNTOLD_UNEQUAL),
        ([2, 20], UNTOLD_UNEQUAL),
        ([1, 30, 30], UNTOLD_UNEQUAL),
    ],
)
def test_too_few_examples_say_nothing(counts: list[int], kind: str) -> None:
    """What is known to do well is learned then."""
    chosen = choose(clouds(4, counts, 1))
    assert (chosen.kind, dict(chosen.validations)) == (kind, {})


def test_copies_say_nothing() -> None:
    """Twenty examples of each class in two visits are two occasions; in three they speak."""
    examples = clouds(5, [20, 20], 4)
    visits: Groups = {name: [f"visit {row // 10}" for row in range(20)] for name in examples}
    assert not choose(examples, visits).validations
    visits = {name: [f"visit {row // 7}" for row in range(20)] for name in examples}
    assert choose(examples, visits).validations


def test_the_imprint_stays_where_nothing_is_better() -> None:
    """Directions alike, classes clear: what it does can't be improved on by more than chance."""
    chosen = [choose(clouds(seed, [8, 8, 8], 1)).kind for seed in range(8)]
    assert chosen.count("imprint") >= 6


def test_what_is_better_replaces_the_imprint() -> None:
    """Directions differ; the choice is what the numbers say, and right on other examples."""
    gained = []
    for seed in range(5):
        everything = clouds(seed, [60, 60, 60], 6, apart=0.35)
        examples = {name: rows[:20] for name, rows in everything.items()}
        chosen = choose(examples)
        value, error = chosen.gains[chosen.kind]
        assert value > error
        assert chosen.head.save("print") == fit_kind(chosen.kind, examples).save("print")
        assert chosen.kind in {"lda", "ridge", "cosine"}
        imprint = fit(examples)
        for column, name in enumerate(examples):
            looks = everything[name][20:]
            right = [(head.logits(looks).argmax(axis=1) == column).mean() for head in (chosen.head, imprint)]
            gained.append(right[0] - right[1])
    assert np.mean(gained) > 0.03


def test_validations_are_those_of_cross_validation() -> None:
    """Fewer coordinates change nothing; neighbours are asked only where there are enough."""
    examples = clouds(6, [6, 7, 6], 3, length=200)
    groups: Groups = {name: [f"{row // 2}" for row in range(len(rows))] for name, rows in examples.items()}
    chosen = choose(examples, groups)
    assert chosen.validations.keys() == KINDS.keys() - {"neighbours"}
    for kind, validation in chosen.validations.items():
        expected = cross_validate(examples, groups, KINDS[kind])
        assert expected is not None
        assert [trial.decided for trial in validation.trials] == [trial.decided for trial in expected.trials]
        assert validation.loss == pytest.approx(expected.loss, abs=2e-3)
    enough = clouds(6, [LEAST_NEIGHBOURS, LEAST_NEIGHBOURS + 1], 3)
    assert choose(enough).validations.keys() == KINDS.keys()


def test_coordinates_keep_angles() -> None:
    """As many as there are examples, copies among them included."""
    examples: Embeddings = {
        name: np.concatenate([rows, rows[:1]]) for name, rows in clouds(7, [3, 4], 1, length=99).items()
    }
    flat = _coordinates(examples)
    rows, fewer = (np.concatenate(list(part.values())) for part in (examples, flat))
    assert fewer.shape == (9, 9)
    np.testing.assert_allclose(fewer @ fewer.T, rows @ rows.T, atol=1e-5)


def test_many_examples_are_thinned_evenly() -> None:
    """Each class keeps its share of rows, from first to last, with their occasions."""
    examples = {"a": np.arange(900, dtype=np.float32)[:, None] + 1, "b": np.ones((3, 1), np.float32)}
    groups = {"a": [str(row) for row in range(900)], "b": ["x", "y", "z"]}
    fewer, occasions = _fewer(examples, groups, 300)
    assert len(fewer["a"]) == 299
    assert len(fewer["b"]) == 2
    assert [int(value) - 1 for value in fewer["a"][:, 0]] == [int(name) for name in occasions["a"]]
    assert (fewer["a"][0, 0], fewer["a"][-1, 0], occasions["b"]) == (1, 900, ["x", "z"])
    assert np.ptp(np.diff(fewer["a"][:, 0])) <= 1
    assert _fewer(examples, groups, 903) == (examples, groups)


def test_gain_is_paired_by_occasion() -> None:
    """Classes weigh alike; the error is that of a sum over occasions."""
    first = trials(("a", "x", 0.4), ("a", "x", 0.6), ("a", "y", 0.2), ("b", "y", 1.0), ("b", "z", 0.5))
    second = trials(("a", "x", 0.1), ("a", "x", 0.3), ("a", "y", 0.2), ("b", "y", 0.6), ("b", "z", 0.7))
    x, y, z = (0.3 + 0.3) / 6, 0.4 / 4, -0.2 / 4
    mean = (x + y + z) / 3
    error = math.sqrt(3 / 2 * ((x - mean) ** 2 + (y - mean) ** 2 + (z - mean) ** 2))
    assert gain(first, second) == pytest.approx((x + y + z, error))
    assert x + y + z == pytest.approx(first.loss - second.loss)
    assert gain(trials(("a", "x", 0.4)), trials(("a", "x", 0.1))) == pytest.approx((0.3, math.inf))
    with pytest.raises(ValueError, match="questions"):
        gain(first, trials(*[("a", "x", 0.4)] * 5))


def test_the_preferred_of_equals_is_chosen() -> None:
    """The first of PREFERRED, but not where it is clearly worse than the best."""
    good = trials(*[("a", str(index), 0.1 + 0.01 * (index % 2)) for index in range(10)])
    unsure = trials(*[("a", str(index), 0.0 if index % 3 else 0.4) for index in range(10)])
    bad = trials(*[("a", str(index), 0.3) for index in range(10)])
    assert _best({"ridge": good, "lda": unsure}) == "lda"
    assert _best({"ridge": good, "lda": bad}) == "ridge"
    assert _best({"neighbours": good}) == "neighbours"
    assert set(PREFERRED) == KINDS.keys() - {"imprint"}
