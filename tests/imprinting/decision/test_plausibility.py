"""Plausible or foreign: levels, references, and what must never shut a class out."""

from hypothesis import given, settings, strategies as st
import numpy as np
from numpy.typing import NDArray
import pytest

from imprinting.decision.plausibility import (
    HIGHEST,
    LEVEL,
    LEVEL_PER_DOUBLING,
    MIN_CLUTTER,
    MOST,
    fit_plausibility,
    make_bank,
)

Vectors = NDArray[np.float32]
LENGTH = 96


def unit(rows: Vectors) -> Vectors:
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    found: Vectors = (rows / lengths).astype(np.float32)
    return found


def around(centre: Vectors, count: int, spread: float, seed: int) -> Vectors:
    """Draw unit vectors about a direction."""
    chance = np.random.default_rng(seed)
    return unit((centre + spread / np.sqrt(LENGTH) * chance.standard_normal((count, LENGTH))).astype(np.float32))


def direction(seed: int) -> Vectors:
    return unit(np.random.default_rng([7, seed]).standard_normal(LENGTH).astype(np.float32))


SHARED = direction(0)
"""What all pictures have in common."""
CLUTTER = around(SHARED, 200, 1.0, 1)
A, B = unit(SHARED + direction(1)), unit(SHARED + direction(2))


def test_looks_like_the_examples_are_plausible_and_foreign_ones_are_not() -> None:
    """Raw cosines to everything are about as high as those to the class: only what is left after centring tells."""
    learned = fit_plausibility({"a": around(A, 5, 0.4, 3), "b": around(B, 5, 0.4, 4)}, make_bank(CLUTTER))
    for row in around(A, 40, 0.5, 5):
        margins = learned.margins(row)
        assert margins["a"] >= 0 > margins["b"]
    for row in around(SHARED, 40, 1.0, 6):
        assert max(learned.margins(row).values()) < 0


def test_one_example_is_enough_and_is_plausible_itself() -> None:
    bank = make_bank(CLUTTER)
    example = around(A, 1, 0.4, 3)
    learned = fit_plausibility({"a": example}, bank)
    assert learned.margins(example[0])["a"] == pytest.approx(1 - learned.levels[0], abs=1e-5)
    assert LEVEL <= learned.levels[0] <= HIGHEST


def test_a_burst_doesnt_narrow_the_class() -> None:
    """Twenty copies accept what one of them accepts, but for what the larger number costs."""
    bank, one = make_bank(CLUTTER), around(A, 1, 0.4, 3)
    copies = around(one[0], 16, 0.02, 8)
    groups = {"a": ["one visit"] * len(copies)}
    single, many = fit_plausibility({"a": one}, bank), fit_plausibility({"a": copies}, bank, groups)
    assert many.levels[0] - single.levels[0] == pytest.approx(4 * LEVEL_PER_DOUBLING, abs=0.02)


def test_real_foreign_pictures_raise_the_level_as_far_as_they_reach() -> None:
    examples = {"a": around(A, 4, 0.1, 3)}
    near = around(unit(A + 0.6 * direction(9)), 3, 0.05, 10)
    usual = fit_plausibility(examples, make_bank(CLUTTER))
    learned = fit_plausibility(examples, make_bank(CLUTTER, near))
    assert learned.levels[0] > usual.levels[0]
    assert all(learned.margins(row)["a"] <= 1e-6 for row in near)
    assert learned.margins(examples["a"][0])["a"] > 0


def test_a_bank_of_the_same_scene_shuts_nothing_out() -> None:
    """Neither with one occasion nor with several does the level rise to what the class's own looks reach."""
    examples, copies = around(A, 6, 0.4, 3), around(A, 50, 0.4, 11)
    bank = make_bank(CLUTTER, np.concatenate([copies, examples]))
    for groups in ({"a": ["one"] * 6}, {"a": list("uvwxyz")}):
        learned = fit_plausibility({"a": examples}, bank, groups)
        assert np.mean([learned.margins(row)["a"] >= 0 for row in around(A, 40, 0.4, 12)]) > 0.6


def test_a_class_of_many_kinds_accepts_its_kinds() -> None:
    """Examples that have nothing in common lower the level, never under clutter."""
    kinds = np.concatenate([around(unit(SHARED + direction(20 + kind)), 1, 0.3, kind) for kind in range(8)])
    bank = make_bank(CLUTTER)
    learned = fit_plausibility({"other": kinds}, bank)
    assert learned.levels[0] < LEVEL + LEVEL_PER_DOUBLING * 4
    assert learned.levels[0] >= float((bank.clutter @ learned.references.T).max()) - 1e-6
    assert all(learned.margins(row)["other"] >= 0 for row in kinds)


def test_only_so_many_examples_are_kept_and_they_cover_the_class() -> None:
    day, night = around(A, 60, 0.3, 3), around(B, 2, 0.3, 4)
    learned = fit_plausibility(
        {"a": np.concatenate([day, night]), "b": around(direction(3), 3, 0.3, 5)}, make_bank(CLUTTER)
    )
    assert learned.starts.tolist() == [0, MOST]
    assert len(learned.references) == MOST + 3
    assert all(learned.margins(row)["a"] > 0 for row in around(B, 20, 0.3, 6))


@settings(max_examples=25)
@given(st.integers(1, 40), st.integers(1, 3), st.integers(0, 1000), st.floats(0.01, 100))
def test_laws(count: int, classes: int, seed: int, length: float) -> None:
    """Levels are cosines, learning is repeatable, and lengths don't matter."""
    bank = make_bank(CLUTTER)
    examples = {str(number): around(A, count, 1.0, seed + number) for number in range(classes)}
    learned = fit_plausibility(examples, bank)
    longer = fit_plausibility({name: part * np.float32(length) for name, part in examples.items()}, bank)
    assert ((learned.levels > 0) & (learned.levels < 1)).all()
    look = around(A, 1, 1.0, seed + 99)[0]
    assert learned.margins(look) == fit_plausibility(examples, bank).margins(look)
    assert list(longer.margins(look * np.float32(length)).values()) == pytest.approx(
        list(learned.margins(look).values()), abs=1e-4
    )


def test_what_doesnt_fit_is_refused() -> None:
    bank = make_bank(CLUTTER)
    with pytest.raises(ValueError, match="clutter of shape"):
        make_bank(CLUTTER[: MIN_CLUTTER - 1])
    with pytest.raises(ValueError, match="foreign embeddings"):
        make_bank(CLUTTER, CLUTTER[:, 1:])
    with pytest.raises(ValueError, match="without a direction"):
        make_bank(CLUTTER, np.zeros((1, LENGTH), np.float32))
    for wrong in (CLUTTER[:0], CLUTTER[0], CLUTTER[:3, 1:]):
        with pytest.raises(ValueError, match="class a"):
            fit_plausibility({"a": wrong}, bank)
    with pytest.raises(ValueError, match="groups"):
        fit_plausibility({"a": CLUTTER[:3]}, bank, {"a": ["one"]})
    learned = fit_plausibility({"a": CLUTTER[:3]}, bank)
    for look in (np.zeros(LENGTH, np.float32), np.full(LENGTH, np.nan, np.float32), CLUTTER[0, 1:]):
        with pytest.raises(ValueError):
            learned.margins(look)
    assert fit_plausibility({}, bank).margins(CLUTTER[0]) == {}
    assert not learned.references.flags.writeable


def test_emphasis_decides_which_dimensions_tell_foreign_pictures() -> None:
    """Pictures that differ from the examples only in what doesn't count are plausible."""
    half = LENGTH // 2
    shown = np.concatenate([np.ones(half, np.float32), np.zeros(LENGTH - half, np.float32)])
    one = around(A, 3, 0.2, 3)
    other = around(A, 1, 0.2, 8)[0]
    other[half:] = around(B, 1, 0.2, 9)[0][half:]
    plain = fit_plausibility({"a": one}, make_bank(CLUTTER)).margins(other)["a"]
    emphasised = fit_plausibility({"a": one}, make_bank(CLUTTER, emphasis=shown)).margins(other)["a"]
    assert plain < 0 < emphasised
    with pytest.raises(ValueError, match="emphasis"):
        make_bank(CLUTTER, emphasis=shown[1:])


def test_a_class_that_always_looks_the_same_asks_more_of_a_look() -> None:
    bank = make_bank(CLUTTER)
    alike = {"a": around(A, 6, 0.05, 3)}
    burst = fit_plausibility(alike, bank, {"a": ["one"] * 6})
    days = fit_plausibility(alike, bank)
    assert days.levels[0] > burst.levels[0]
    assert days.margins(around(A, 1, 0.05, 99)[0])["a"] > 0
