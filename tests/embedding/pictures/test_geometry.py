"""Regions, and what becomes of them in a view: geometry."""

import itertools
import math

from hypothesis import given, strategies as st
import pytest

from embedding.errors import InvalidRegion
from embedding.pictures.geometry import MIN_SIDE, WHOLE, ContentPlace, Region, Turn, View, scale


class TestRegion:
    """Regions are right by construction."""

    @given(st.tuples(*[st.floats(0, 1)] * 4))
    def test_is_valid_or_refused(self, sides: tuple[float, float, float, float]) -> None:
        """Any four fractions make a region that is inside the frame and large enough, or none."""
        left, top, right, bottom = sides
        if min(right - left, bottom - top) < MIN_SIDE - 2e-4:
            with pytest.raises(InvalidRegion):
                Region(*sides)
        elif min(right - left, bottom - top) > MIN_SIDE + 2e-4:
            region = Region(*sides)
            assert 0 <= region.left < region.right <= 1
            assert 0 <= region.top < region.bottom <= 1
            assert math.isclose(region.width, right - left, abs_tol=2e-4)

    @given(st.tuples(*[st.floats(0, 0.4)] * 2), st.tuples(*[st.floats(0.5, 1)] * 2))
    def test_survives_storage(self, near: tuple[float, float], far: tuple[float, float]) -> None:
        """Stored and read again, a region is equal and has the same key; another key, another region."""
        region = Region(*near, *far)
        again = Region(**region.as_dict())
        assert again == region
        assert again.key == region.key
        assert Region(*map(float, region.key.split(","))) == region

    @pytest.mark.parametrize(
        "sides",
        [
            (math.nan, 0, 1, 1),
            (0, 0, math.inf, 1),
            (-0.1, 0, 1, 1),
            (0, 0, 1, 1.01),
            (0.6, 0, 0.4, 1),
            (0, 0.5, 1, 0.5),
            (0.1, 0.1, 0.11, 0.9),
            (True, 0, 1, 1),
            ("0", 0, 1, 1),
            (None, 0, 1, 1),
        ],
        ids=str,
    )
    def test_refuses(self, sides: tuple[float, float, float, float]) -> None:
        """Not a number, outside, inside out, too small."""
        with pytest.raises(InvalidRegion):
            Region(*sides)

    def test_smallest_is_allowed_everywhere(self) -> None:
        """Exactly the smallest side passes in spite of binary fractions."""
        for start in range(99):
            assert Region(start / 100, 0, start / 100 + MIN_SIDE, 1).width > 0

    def test_key_has_one_zero(self) -> None:
        """Minus zero is zero."""
        assert Region(-0.0, 0, 1, 1).key == WHOLE.key == "0.0000,0.0000,1.0000,1.0000"


class TestView:
    """How a region fills its view."""

    @given(st.integers(8, 4000), st.integers(8, 4000), st.integers(1, 300), st.integers(1, 300), st.floats(1, 8))
    def test_fills_one_side_and_is_stretched_no_further_than_allowed(
        self, wide: int, high: int, width: int, height: int, limit: float
    ) -> None:
        """The content touches two opposite sides; padding begins only beyond the limit."""
        content = View(WHOLE, width, height, limit).content((wide, high))
        assert 1 <= content[0] <= width
        assert 1 <= content[1] <= height
        excess = wide / high * height / width
        if excess > 1:  # padded above and below, but for whole pixels
            assert content[0] == width
            assert content[1] == pytest.approx(min(height, width * high / wide * limit), abs=1)
        else:
            assert content[1] == height
            assert content[0] == pytest.approx(min(width, height * wide / high * limit), abs=1)

    def test_nearly_the_same_shapes_look_nearly_the_same(self) -> None:
        """At the limit nothing jumps."""
        sizes = [View(WHOLE, 160, 160).content((wide, 1000))[1] for wide in range(1500, 3000)]
        assert max(before - after for before, after in itertools.pairwise(sizes)) <= 1
        assert sizes[0] == 160 > sizes[-1]


class TestPlace:
    """Which pixels of a decoded picture become one."""

    @given(
        st.tuples(st.integers(8, 4000), st.integers(8, 4000)),
        st.tuples(*[st.floats(0, 0.4)] * 2),
        st.tuples(*[st.floats(0.5, 1)] * 2),
        st.tuples(st.integers(1, 300), st.integers(1, 300)),
        st.booleans(),
    )
    def test_blocks_leave_enough(
        self,
        stored: tuple[int, int],
        near: tuple[float, float],
        far: tuple[float, float],
        wanted: tuple[int, int],
        swap: bool,
    ) -> None:
        """Blocks leave the view as many pixels as it takes, and are the same part of the picture at each scale of the decode."""
        place = ContentPlace.of(View(Region(*near, *far), *wanted), stored, Turn(swap=swap))
        alone = scale(place.needed, stored)
        at_full_scale = place.blocks(stored, 1)
        left, top, right, bottom = place.box(stored)
        for length, block, size in zip((right - left, bottom - top), at_full_scale, place.size, strict=True):
            assert block == 1 or length / block >= size - 1e-3
        for decoded in (one for one in (1, 2, 4, 8) if one <= alone):
            assert tuple(block * decoded for block in place.blocks(stored, decoded)) == at_full_scale

    @pytest.mark.parametrize(
        ("needed", "expected"), [((100, 100), 8), ((101, 100), 4), ((400, 100), 2), ((800, 800), 1), ((900, 100), 1)]
    )
    def test_scale(self, needed: tuple[int, int], expected: int) -> None:
        """The smallest decode that is no smaller than needed."""
        assert scale(needed, (800, 800)) == expected
