"""Has a picture changed? Answered by what is left of it at 16 × 16."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from .layout import SIZE

SIDE: Final = 16
"""Width and height of a thumbnail, in cells."""

_CELL: Final = SIZE[0] // SIDE


def thumbnail(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the mean colours of a picture's cells.

    Args:
        pixels: (64, 64, 3) uint8, RGB: what the layout descriptor looks at.

    Returns:
        (``SIDE``, ``SIDE``, 3) float32, 0 to 255. A cell's mean hardly has any of the pixels' noise.

    """
    rows = pixels.reshape(SIDE, _CELL, SIZE[0] * 3).sum(axis=1, dtype=np.uint16)
    cells = rows.reshape(SIDE, SIDE, _CELL, 3).sum(axis=2, dtype=np.uint16)
    means: NDArray[np.float32] = cells.astype(np.float32) * np.float32(1 / _CELL**2)
    return means


def change(before: NDArray[np.float32], after: NDArray[np.float32]) -> float:
    """Return how much two thumbnails differ, in percent of the brightest: in the cell and colour that differ most.

    Of the whole picture, not on average: what comes into a corner counts as much there as it would anywhere.
    """
    return float(np.abs(after - before).max()) / 2.55
