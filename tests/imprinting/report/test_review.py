"""Which examples to look at again."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
import pytest

from imprinting import KINDS, to_review

World = dict[str, NDArray[np.float32]]


def world(count: int) -> World:
    """Return two classes of so many examples about their centres."""
    random = np.random.default_rng(0)
    return {
        name: (random.normal(size=48) + 0.3 * random.normal(size=(count, 48))).astype(np.float32)
        for name in ("open", "closed")
    }


def named(rows: World) -> Mapping[str, list[str]]:
    """Return a name of its own for each row, which serves as an occasion too."""
    return {name: [f"{name} {row}" for row in range(len(part))] for name, part in rows.items()}


def misfile(rows: World, row: int) -> None:
    """Let one row of "open" show what "closed" is."""
    rows["open"][row] = rows["closed"].mean(axis=0)


@pytest.mark.parametrize("kind", ["imprint", "cosine", "lda"])
def test_what_the_others_speak_against_is_named(kind: str) -> None:
    """By heads of any kind, and nothing else is."""
    rows = world(8)
    assert to_review(rows, named(rows), named(rows), fit=KINDS[kind]) == ()
    misfile(rows, 3)
    (odd,) = to_review(rows, named(rows), named(rows), fit=KINDS[kind])
    assert (odd.id, odd.class_id, odd.likely) == ("open 3", "open", "closed")


def test_of_very_many_the_latest_are_judged() -> None:
    """Under their own names."""
    rows = world(12)
    misfile(rows, 2)
    misfile(rows, 10)
    assert {odd.id for odd in to_review(rows, named(rows), named(rows))} == {"open 2", "open 10"}
    assert [odd.id for odd in to_review(rows, named(rows), named(rows), most=16)] == ["open 10"]


def test_one_class_speaks_against_nothing() -> None:
    """Nor do none."""
    rows = {"open": world(4)["open"]}
    assert to_review(rows, named(rows), named(rows)) == ()
    assert to_review({}, {}, {}) == ()
