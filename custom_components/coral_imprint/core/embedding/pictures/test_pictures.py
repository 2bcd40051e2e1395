"""The pictures of the self-test, drawn with whole numbers only, so that they are the same on every machine."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
import math

import numpy as np
from numpy.typing import NDArray

VERSION = 1
"""Changes with any pixel or direction: what was stored about other pictures is worth nothing then."""

DIRECTIONS = 4

_DISCS = ((5, 4, 3, 0xE03010), (11, 10, 4, 0x1060F0), (3, 12, 2, 0xF0F0E0), (13, 3, 2, 0x104018))
"""Centre (down, across) and radius in sixteenths of the picture, colour."""


@dataclass(frozen=True, slots=True)
class _Canvas:
    """The coordinates of every number of a picture, uint32; they broadcast to (height, width, 3)."""

    y: NDArray[np.uint32]
    x: NDArray[np.uint32]
    channel: NDArray[np.uint32]
    height: int
    width: int

    def noise(self, pitch: int) -> NDArray[np.uint32]:
        """Return squares of ``pitch`` places, each of a colour of its own, 0 to 255."""
        side = np.uint32(max(1, pitch))
        return _drawn_bits(self.y // side, self.x // side, self.channel + side) >> np.uint32(24)


def _drawn_bits(y: NDArray[np.uint32], x: NDArray[np.uint32], channel: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return 32 bits per place that look random: odd multiples of the coordinates, mixed as MurmurHash3 ends."""
    bits = y * np.uint32(0x9E3779B1) ^ x * np.uint32(0x85EBCA77) ^ channel * np.uint32(0xC2B2AE3D)
    bits = (bits ^ bits >> 16) * np.uint32(0x85EBCA6B)
    bits = (bits ^ bits >> 13) * np.uint32(0xC2B2AE35)
    mixed: NDArray[np.uint32] = bits ^ bits >> 16
    return mixed


def _ramps(on: _Canvas) -> NDArray[np.uint32]:
    """Let red rise to the right, green downwards, blue to the upper left."""
    right, down = on.x * 255 // max(1, on.width - 1), on.y * 255 // max(1, on.height - 1)
    return np.where(on.channel == 0, right, np.where(on.channel == 1, down, 255 - (right + down) // 2))


def _fine_noise(on: _Canvas) -> NDArray[np.uint32]:
    return on.noise(1)


def _coarse_noise(on: _Canvas) -> NDArray[np.uint32]:
    return on.noise(max(on.height, on.width) // 5)


def _clouds(on: _Canvas) -> NDArray[np.uint32]:
    """Draw noise of three pitches, the coarsest the strongest."""
    side = max(on.height, on.width)
    return (4 * on.noise(side // 4) + 2 * on.noise(side // 13) + on.noise(side // 41)) // 7


def _checkers(on: _Canvas) -> NDArray[np.uint32]:
    """Draw checkers that get coarser to the right, of exchanged colours in the lower half."""
    pitch = np.uint32(1) << (1 + 4 * on.x // on.width)
    odd = (on.x // pitch + on.y // pitch + 2 * on.y // on.height) & 1
    low = 30 + 50 * on.channel
    return np.where(odd == 1, 255 - low // 2, low)


def _discs(on: _Canvas) -> NDArray[np.uint32]:
    """Draw discs off the centre before a background that gets brighter downwards."""
    result: NDArray[np.uint32] = 60 + on.y * 120 // on.height + 0 * (on.x + on.channel)
    for down, across, radius, colour in _DISCS:
        away_y, away_x = 16 * on.y.astype(np.int64) - down * on.height, 16 * on.x.astype(np.int64) - across * on.width
        inside = away_y**2 + away_x**2 < (radius * min(on.height, on.width)) ** 2
        result = np.where(inside, np.uint32(colour) >> (16 - 8 * on.channel) & 255, result)
    return result


def _bars(on: _Canvas) -> NDArray[np.uint32]:
    """Draw the eight colours of a test card, darker downwards."""
    lit = (np.uint32(7) - 8 * on.x // on.width) >> (2 - on.channel) & 1
    return np.where(lit == 1, 255 - on.y * 200 // on.height, np.uint32(0))


def _planes(on: _Canvas) -> NDArray[np.uint32]:
    """Draw an oblique edge between two colours, and a bright line along the upper and the left rim."""
    above = 3 * on.x * on.height + 5 * on.y * on.width < 4 * on.height * on.width
    result = np.where(above, 230 - 70 * on.channel, 20 + 60 * on.channel)
    return np.where((on.x == 0) | (on.y == 0), np.uint32(255), result)


def _night(on: _Canvas) -> NDArray[np.uint32]:
    """Draw what a camera sees at night: faint noise, and a lamp."""
    lamp = (16 * on.y // on.height == 6) & (16 * on.x // on.width == 9)
    return np.where(lamp, np.uint32(200), on.noise(2) >> 4)


_PICTURES: Mapping[str, Callable[[_Canvas], NDArray[np.uint32]]] = {
    "ramps": _ramps,
    "fine noise": _fine_noise,
    "coarse noise": _coarse_noise,
    "clouds": _clouds,
    "checkers": _checkers,
    "discs": _discs,
    "bars": _bars,
    "planes": _planes,
    "night": _night,
}

NAMES = tuple(_PICTURES)


def pictures(size: tuple[int, int]) -> list[NDArray[np.uint8]]:
    """Draw the test pictures, in the order of `NAMES`, for ``size`` (width, height): each (height, width, 3), RGB."""
    width, height = size
    canvas = _Canvas(
        np.arange(height, dtype=np.uint32)[:, np.newaxis, np.newaxis],
        np.arange(width, dtype=np.uint32)[np.newaxis, :, np.newaxis],
        np.arange(3, dtype=np.uint32),
        height,
        width,
    )
    return [draw(canvas).astype(np.uint8) for draw in _PICTURES.values()]


def directions(length: int) -> NDArray[np.float64]:
    """Return drawn unit vectors, shape (DIRECTIONS, length), every component ±1/√length."""
    number = np.arange(DIRECTIONS, dtype=np.uint32)[:, np.newaxis]
    place = np.arange(length, dtype=np.uint32)
    up = _drawn_bits(number, place, np.zeros(1, np.uint32)) >> 31 == 1
    return np.where(up, 1.0, -1.0) / math.sqrt(length)
