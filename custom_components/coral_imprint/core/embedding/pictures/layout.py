"""The layout descriptor: where edges and colours are in a picture.

A network's pooled embedding says what is in a picture, hardly where. This vector says where, coarsely: gradients
(histograms of oriented gradients: Dalal and Triggs, CVPR 2005, section 6), mean colours on a grid, and how hue and
saturation are spread in each quadrant. Alone, it is the built-in extractor. Weights and limits were measured on few-shot
tasks with real pictures.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

VERSION: Final = 2
"""Goes up whenever the same pixels would give another vector: part of a fingerprint."""

SIZE: Final = (64, 64)
"""Width and height, in pixels, of the picture described."""

_SIDE: Final = 64
_CELLS: Final = 8
_CELL: Final = _SIDE // _CELLS
_ORIENTATIONS: Final = 9
_CLIP: Final = np.float32(0.2)
_NOISE: Final = np.float32(30)
"""Length of a block's votes (in steps of a square root of 0..255) under which it is more noise than shape."""
_HUES: Final = 8
_SATURATIONS: Final = 4
_GREY: Final = 0.15
"""Chroma (of 0..1) below which a colour's hue is the camera's noise: all such colours share the first bin.

Else, pictures in the dark or by infra-red light are told apart by their noise.
"""
_QUADRANTS: Final = 4
_TINY: Final = 1e-6

_GRADIENT_WEIGHT: Final = np.float32(1 / 3.75)
"""Brings the gradients of an ordinary picture to length 1."""
_COLOUR_WEIGHT: Final = np.float32(1.4)
_PALETTE_WEIGHT: Final = np.float32(0.25)
_BESIDE_NETWORK: Final = np.float32(2.8)
"""How much more palettes weigh beside a network's embedding.

Alone, they are held low, since they change with the light. A network sees through that, but hardly tells colours apart.
"""

_GRADIENTS: Final = (_CELLS - 1) ** 2 * 4 * _ORIENTATIONS
_COLOURS: Final = _CELLS**2 * 3
_PALETTES: Final = _QUADRANTS * _HUES * _SATURATIONS
LENGTH: Final = _GRADIENTS + _COLOURS + _PALETTES
"""Length of the vector."""

WEIGHT: Final = 0.7
"""Length of the layout's part beside the network's unit embedding, before both are normalised together."""

# Rec. 601 luma, of gamma-coded values.
_LUMA: Final = np.array([0.299, 0.587, 0.114], np.float32)


def describe(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Describe a picture's layout.

    Args:
        pixels: (64, 64, 3) uint8, RGB in sRGB's gamma.

    Returns:
        (``LENGTH``,) float32 of length 1.

    Raises:
        ValueError: another shape or type.

    """
    if pixels.shape != (_SIDE, _SIDE, 3) or pixels.dtype != np.uint8:
        raise ValueError(f"Expected {(_SIDE, _SIDE, 3)} of uint8, got {pixels.shape} of {pixels.dtype}")
    parts = _gradients(pixels), _COLOUR_WEIGHT * _colours(pixels), _PALETTE_WEIGHT * _palettes(pixels)
    return _unit(np.concatenate(parts))


def join(
    network: NDArray[np.float32] | None, layout: NDArray[np.float32], weight: float = WEIGHT
) -> NDArray[np.float32]:
    """Join a network's embedding and the layout of the same picture.

    Args:
        network: (n,) float32 of any length but 0; None where there is no network: then the layout stands alone.
        layout: (``LENGTH``,) float32, as ``describe`` returns it.
        weight: length of the layout's part beside the network's, which is 1.

    Returns:
        (n + ``LENGTH``,) float32 of length 1.

    """
    if network is None:
        return _unit(layout)
    return _unit(np.concatenate((_unit(network), np.float32(weight) * _unit(layout * _BESIDE))))


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale to length 1; a vector of zeros stays one."""
    scaled: NDArray[np.float32] = vector / max(np.linalg.norm(vector), np.float32(_TINY))
    return scaled.astype(np.float32, copy=False)


def _gradients(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Oriented gradients in cells, normalised in overlapping blocks: (1764,), of length about 1 where there is detail.

    Blocks aren't scaled up again after clipping, and the whole isn't brought to length 1: what is flat weighs little.
    """
    grey = np.sqrt(pixels @ _LUMA)
    across, down = np.zeros_like(grey), np.zeros_like(grey)
    np.subtract(grey[:, 2:], grey[:, :-2], out=across[:, 1:-1])
    np.subtract(grey[2:], grey[:-2], out=down[1:-1])
    turns = np.arctan2(down, across) * np.float32(1 / np.pi)
    position = ((turns - np.floor(turns)) * _ORIENTATIONS).ravel()
    lower = np.minimum(position.astype(np.intp), _ORIENTATIONS - 1)
    strength = np.sqrt(across * across + down * down).ravel()
    upper_share = strength * (position - lower)
    # One column more than orientations: the last one's upper neighbour is the first.
    votes = np.zeros(_SIDE**2 * (_ORIENTATIONS + 1), np.float32)
    at = _FIRST_VOTE + lower
    votes[at] = strength - upper_share
    votes[at + 1] = upper_share
    # Pooling in small products: one large one would wake the threads of the linear algebra library.
    halves = np.split(votes.reshape(_SIDE, -1), 2, axis=1)
    lines = np.concatenate([_POOL @ half for half in halves], axis=1)
    pooled = _POOL @ lines.reshape(_CELLS, _SIDE, _ORIENTATIONS + 1)
    pooled[..., 0] += pooled[..., -1]
    cells = pooled[..., :-1]
    blocks = np.concatenate((cells[:-1, :-1], cells[:-1, 1:], cells[1:, :-1], cells[1:, 1:]), axis=2)
    blocks /= np.sqrt(np.square(blocks).sum(axis=2, keepdims=True) + _NOISE**2)
    clipped: NDArray[np.float32] = np.minimum(blocks, _CLIP).ravel()
    return clipped * _GRADIENT_WEIGHT


def _colours(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Mean colour of each cell in Oklab (Björn Ottosson, 2020): (192,) of length 1."""
    lines = _LINEAR.take(pixels).reshape(_CELLS, _CELL, _SIDE * 3).sum(axis=1)
    light = lines.reshape(_CELLS, _CELLS, _CELL, 3).sum(axis=2) * np.float32(1 / _CELL**2)
    cones = np.cbrt(light @ _LIGHT_TO_CONES)
    return _unit((cones @ _CONES_TO_OKLAB + np.float32(_TINY)).ravel())


def _palettes(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Histogram of hue and saturation of each quadrant, square root: (128,) of length 1."""
    colours = ((pixels >> 3) @ _COLOUR_STEPS).astype(np.intp)
    bins = _PALETTE_BIN.take(colours) + _QUADRANT_OF
    counts = np.bincount(bins.ravel(), minlength=_PALETTES)
    return _unit(np.sqrt(counts.astype(np.float32)))


def _palette_bins() -> NDArray[np.intp]:
    """Bin of every colour of 5 bits a channel, red first, (32768,): hue in eighths of a circle from red, HSV saturation."""
    level = (np.arange(32) + 0.5) / 32
    red, green, blue = np.meshgrid(level, level, level, indexing="ij")
    value = np.maximum(np.maximum(red, green), blue)
    chroma = value - np.minimum(np.minimum(red, green), blue)
    divisor = np.where(chroma > 0, chroma, 1)
    hue = np.select(
        [value == red, value == green],
        [(green - blue) / divisor, 2 + (blue - red) / divisor],
        4 + (red - green) / divisor,
    )
    hue_bin = np.minimum((hue % 6 / 6 * _HUES).astype(np.intp), _HUES - 1)
    saturation_bin = np.minimum((chroma / value * _SATURATIONS).astype(np.intp), _SATURATIONS - 1)
    bins: NDArray[np.intp] = np.where(chroma < _GREY, 0, hue_bin * _SATURATIONS + saturation_bin).ravel()
    return bins


def _linear_light() -> NDArray[np.float32]:
    """Light of each sRGB code value (IEC 61966-2-1), 0..1: (256,)."""
    code = np.arange(256) / 255
    return np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4).astype(np.float32)


def _pool() -> NDArray[np.float32]:
    """How much each pixel of a line counts for each cell: linear between the cells' centres, (8, 64)."""
    position = (np.arange(_SIDE) + 0.5) / _CELL - 0.5
    share: NDArray[np.float64] = np.maximum(0, 1 - np.abs(position - np.arange(_CELLS)[:, None]))
    return share.astype(np.float32)


def _quadrants() -> NDArray[np.intp]:
    """For each pixel, where the palette of its quadrant begins: (64, 64)."""
    half = np.arange(_SIDE) // (_SIDE // 2)
    starts: NDArray[np.intp] = (half[:, None] * 2 + half[None, :]) * (_HUES * _SATURATIONS)
    return starts


_BESIDE: Final = np.repeat(np.array([1, _BESIDE_NETWORK], np.float32), (_GRADIENTS + _COLOURS, _PALETTES))
_FIRST_VOTE: Final = np.arange(_SIDE**2) * (_ORIENTATIONS + 1)
_COLOUR_STEPS: Final = np.array([1024, 32, 1], np.float32)
_POOL: Final = _pool()
_QUADRANT_OF: Final = _quadrants()
_PALETTE_BIN: Final = _palette_bins()
_LINEAR: Final = _linear_light()
# Ottosson's matrices, transposed: linear sRGB to cone responses, their cube roots to Oklab.
_LIGHT_TO_CONES: Final = np.array(
    [
        [0.4122214708, 0.2119034982, 0.0883024619],
        [0.5363325363, 0.6806995451, 0.2817188376],
        [0.0514459929, 0.1073969566, 0.6299787005],
    ],
    np.float32,
)
_CONES_TO_OKLAB: Final = np.array(
    [
        [0.2104542553, 1.9779984951, 0.0259040371],
        [0.7936177850, -2.4285922050, 0.7827717662],
        [-0.0040720468, 0.4505937099, -0.8086757660],
    ],
    np.float32,
)
