"""What a whole frame says of its camera: too dark, too bright, too flat to say anything else.

Measured on the small whole frame that the layout descriptor is made of, or that is cut beside it from the same decode.
"""

from dataclasses import dataclass
from functools import cached_property
import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from . import layout
from .decoding import WHOLE, View, cut

DARK: Final = 24
"""Luma (0..255) that all but the brightest hundredths of a black frame stay under.

Of 400 pictures of outdoor webcams by day and night, the darkest reaches 36 there: the lamps of a town.
"""
BRIGHT: Final = 240
"""Luma that all but the darkest hundredths of a frame blinded by light stay above: of 4355 genuine pictures none comes above 201."""
FLAT: Final = 14
"""Range of luma (hundredths left out) under which a frame is one flat colour: a covered, fogged or dazzled lens. Genuine pictures have 28 at least."""
LEFT_OUT: Final = 0.03
"""Part of the pixels left out at either end: dead pixels, a burnt-in clock."""

_LEFT_OUT: Final = round(LEFT_OUT * layout.SIZE[0] * layout.SIZE[1])
# Rec. 601 luma in 1/256, of gamma-coded values.
_LUMA: Final = np.array([77, 150, 29], np.float32) / np.float32(256)

VIEW: Final = View(WHOLE, *layout.SIZE, max_stretch=math.inf)
"""What is measured."""


@dataclass(frozen=True, slots=False, eq=False)
class Condition:
    """A whole frame, small and grey, and what it says of its camera."""

    luma: NDArray[np.uint8]
    """(64, 64), stretched to this shape."""

    @cached_property
    def ends(self) -> tuple[int, int]:
        """Darkest and brightest luma, 0..255, but for ``LEFT_OUT`` of the pixels at either end."""
        below = np.bincount(self.luma.ravel(), minlength=256).cumsum()
        lowest, highest = np.searchsorted(below, (_LEFT_OUT, self.luma.size - _LEFT_OUT - 1), side="right")
        return int(lowest), int(highest)

    @property
    def black(self) -> bool:
        """Whether the frame is too dark to show anything."""
        return self.ends[1] < DARK

    @property
    def blinded(self) -> bool:
        """Whether the frame is too bright, or too flat, to show anything, and not black."""
        low, high = self.ends
        return not self.black and (low > BRIGHT or high - low < FLAT)


def measure(pixels: NDArray[np.uint8]) -> Condition:
    """Measure a small whole frame: (64, 64, 3) uint8, RGB in sRGB's gamma."""
    return Condition((pixels @ _LUMA).astype(np.uint8))


def measure_picture(picture: bytes) -> Condition:
    """Decode a picture and measure it, which no look needs: embedders do it beside their own work. Raises NotAPicture."""
    return measure(cut(picture, [VIEW])[0])
