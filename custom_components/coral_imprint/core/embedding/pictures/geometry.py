"""Where views lie in a picture, and how its pixels become theirs: geometry only, no pixels."""

from dataclasses import dataclass
import math
from typing import Final, NamedTuple, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidRegion

MIN_SIDE: Final = 0.02
"""Smallest width and height of a region, as a fraction of the frame's."""

MAX_STRETCH: Final = 1.85
"""How far a region is stretched to its view's shape: a whole frame of 16:9 to a square, with leeway for odd sizes.

What a longer region lacks beyond is padded: little for one that is a little longer, so that pictures of nearly the same shape
look nearly the same.
"""

_SCALES: Final = (8, 4, 2, 1)
"""What libjpeg can divide a picture's sides by while it decodes it."""
_TINY: Final = 1e-9

Box: TypeAlias = tuple[float, float, float, float]
"""Left, top, right, bottom, in pixels."""
Size: TypeAlias = tuple[int, int]
"""Width and height, in pixels."""


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle of a frame, in fractions of its width and height (0..1) from the top left corner.

    Fractions are rounded to 1/10000, so that regions with equal keys are equal.

    Raises:
        InvalidRegion: not numbers, outside the frame, inside out, or under ``MIN_SIDE`` in a direction.

    """

    left: float
    top: float
    right: float
    bottom: float

    def __post_init__(self) -> None:
        """Validate and round."""
        for name in self.__slots__:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
                raise InvalidRegion(f"{name} is no number: {value!r}")
            if not -_TINY <= value <= 1 + _TINY:
                raise InvalidRegion(f"{name} is outside the frame (0..1): {value}")
            object.__setattr__(self, name, abs(round(float(value), 4)))
        if self.width < -_TINY or self.height < -_TINY:
            raise InvalidRegion(f"The region is inside out: {self.key}")
        if min(self.width, self.height) < MIN_SIDE - _TINY:
            raise InvalidRegion(f"The region is smaller than {MIN_SIDE:.0%} of the frame: {self.key}")

    @property
    def width(self) -> float:
        """Width as a fraction of the frame's."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """Height as a fraction of the frame's."""
        return self.bottom - self.top

    @property
    def key(self) -> str:
        """Canonical text, for fingerprints."""
        return f"{self.left:.4f},{self.top:.4f},{self.right:.4f},{self.bottom:.4f}"

    def as_dict(self) -> dict[str, float]:
        """Return the four fractions by name, for JSON."""
        return {"left": self.left, "top": self.top, "right": self.right, "bottom": self.bottom}


WHOLE: Final = Region(0.0, 0.0, 1.0, 1.0)
"""The whole frame."""


@dataclass(frozen=True, slots=True)
class View:
    """What an extractor wants from a frame: a region, at a size in pixels."""

    region: Region
    width: int
    height: int
    max_stretch: float = MAX_STRETCH
    """How far the region may be stretched to this shape; ``math.inf``: however far it is, nothing is padded."""

    def content(self, frame: Size) -> Size:
        """Size that the region of a frame (upright) takes in the view; what it leaves free is padding."""
        excess = self.region.width * frame[0] / (self.region.height * frame[1]) * self.height / self.width
        if excess > self.max_stretch:
            return self.width, max(1, round(self.height * self.max_stretch / excess))
        if excess * self.max_stretch < 1:
            return max(1, round(self.width * excess * self.max_stretch)), self.height
        return self.width, self.height


class Turn(NamedTuple):
    """How a stored picture becomes upright: flipped in either direction, then rows and columns swapped."""

    flip_x: bool = False
    flip_y: bool = False
    swap: bool = False

    def size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Turn a width and height; its own inverse."""
        return (size[1], size[0]) if self.swap else size

    def stored(self, region: Region) -> tuple[float, float, float, float]:
        """Where a region of the upright picture lies in the stored one (left, top, right, bottom)."""
        left, top, right, bottom = region.left, region.top, region.right, region.bottom
        if self.swap:
            left, top, right, bottom = top, left, bottom, right
        if self.flip_x:
            left, right = 1 - right, 1 - left
        if self.flip_y:
            top, bottom = 1 - bottom, 1 - top
        return left, top, right, bottom

    def upright(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Turn stored pixels (H, W, 3); the result is a view of them."""
        turned = pixels[:: -1 if self.flip_y else 1, :: -1 if self.flip_x else 1]
        return turned.swapaxes(0, 1) if self.swap else turned


# EXIF 2.32, 4.6.4 A, tag Orientation.
TURNS: Final = {
    2: Turn(flip_x=True),
    3: Turn(flip_x=True, flip_y=True),
    4: Turn(flip_y=True),
    5: Turn(swap=True),
    6: Turn(flip_y=True, swap=True),
    7: Turn(flip_x=True, flip_y=True, swap=True),
    8: Turn(flip_x=True, swap=True),
}


class ContentPlace(NamedTuple):
    """Where a view's content lies in the stored picture, and its size there (sides swapped where the picture is)."""

    view: View
    region: tuple[float, float, float, float]
    """Left, top, right, bottom as fractions of the stored picture."""
    size: Size
    """Width and height of the content, as it is stored, in pixels."""

    @classmethod
    def of(cls, view: View, stored: Size, turn: Turn) -> Self:
        """Place a view in a picture of this size, as it is stored."""
        return cls(view, turn.stored(view.region), turn.size(view.content(turn.size(stored))))

    @property
    def needed(self) -> Size:
        """Size that the whole picture needs so that the region has as many pixels as the view takes."""
        left, top, right, bottom = self.region
        return math.ceil(self.size[0] / (right - left) - _TINY), math.ceil(self.size[1] / (bottom - top) - _TINY)

    def box(self, extent: tuple[float, float]) -> Box:
        """Where the region lies in a picture of this size."""
        left, top, right, bottom = self.region
        return left * extent[0], top * extent[1], right * extent[0], bottom * extent[1]

    def blocks(self, stored: Size, decoded: int) -> Size:
        """How many pixels, across and down, of a picture decoded at one ``decoded``-th become one by averaging.

        As many as leave the view not less than it takes. Counted from the scale that this view alone would be decoded at: its
        pixels hardly depend on what else is cut from the picture.
        """
        alone = scale(self.needed, stored)
        left, top, right, bottom = self.box((stored[0] / alone, stored[1] / alone))
        across, down = (
            max(1, math.floor(length / wanted + _TINY))
            for length, wanted in zip((right - left, bottom - top), self.size, strict=True)
        )
        return max(1, across * alone // decoded), max(1, down * alone // decoded)


def scale(needed: Size, stored: Size) -> int:
    """Return what a picture's sides are divided by in the smallest decode that is no smaller than needed: 8, 4, 2 or 1."""
    most = min(stored[0] // needed[0], stored[1] // needed[1])
    return next((one for one in _SCALES if one <= most), 1)
