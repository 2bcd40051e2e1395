"""Drawn foreign pictures: what a look is compared with to find out whether it shows anything that was taught.

No picture is shipped and none is of anything. They are drawn at random with the statistics of real ones: spectra that
fall with frequency and shapes that hide each other (dead leaves; both learn real vision: Baradad et al., Learning to
See by Looking at Noise, arXiv 2106.05963, sections 3.1 and 3.2), boxes under a sky, repeated patterns, single things before something
blurred; by day, in the dark and without colour.
"""

from collections.abc import Callable, Iterator
import math
import random
import struct
import time
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

VERSION: Final = 2
"""Goes up whenever other pictures are drawn: embeddings of them that were kept are worth nothing then."""

COUNT: Final = 120
"""How many pictures make a bank. More of them hardly come nearer to real pictures."""

SIZE: Final = (96, 96)
"""Width and height of a picture, in pixels. Larger ones, though nearer to what networks look at, tell no more."""

MIN_SIDE: Final = 32

Picture: TypeAlias = NDArray[np.float32]
"""(height, width, 3), RGB in sRGB's gamma, 0 to 1 once it is finished."""

Plane: TypeAlias = NDArray[np.float32]
"""(height, width)."""


class Chance(random.Random):
    """What a picture is drawn with. Not NumPy's generators: to import them takes 8 MiB of memory."""

    def noise(self, *shape: int) -> NDArray[np.float32]:
        """Return independent, evenly distributed numbers of mean 0 and variance 1."""
        steps = np.frombuffer(self.randbytes(2 * math.prod(shape)), "<u2").astype(np.float32)
        return ((steps - 32767.5) * (math.sqrt(12) / 65536)).reshape(shape)

    def several(self, count: int, low: float, high: float) -> NDArray[np.float32]:
        """Return so many numbers between two."""
        return np.array([self.uniform(low, high) for _ in range(count)], np.float32)


def pictures(count: int = COUNT, size: tuple[int, int] = SIZE, seed: int = 0) -> Iterator[NDArray[np.uint8]]:
    """Draw ``count`` pictures, one after the other: (height, width, 3) uint8, RGB.

    ``size`` (width, height; at least `MIN_SIDE` each) should have the shape of the region that looks are cut from, so that both are
    padded alike. A picture depends on its number, ``size`` and ``seed`` only. Raises ValueError on smaller sizes.
    """
    width, height = size
    if min(size) < MIN_SIDE:
        raise ValueError(f"clutter of {width}x{height} pixels: at least {MIN_SIDE} are needed")
    for number in range(count):
        chance = Chance(f"{VERSION} {seed} {number}")
        drawn = _DRAWERS[number % len(_DRAWERS)](chance, height, width)
        yield _develop(chance, drawn)


def encoded(count: int = COUNT, size: tuple[int, int] = SIZE, seed: int = 0) -> Iterator[bytes]:
    """Draw the pictures of `pictures` as the bytes of a file, so that they take the same way as a camera's."""
    for pixels in pictures(count, size, seed):
        yield _bitmap(pixels)


def _bitmap(pixels: NDArray[np.uint8]) -> bytes:
    """Write a Windows bitmap: 24 bits a pixel, no compression, rows from the bottom, padded to 4 bytes."""
    height, width = pixels.shape[:2]
    row = -(-width * 3 // 4) * 4
    body = np.zeros((height, row), np.uint8)
    body[:, : width * 3] = pixels[::-1, :, ::-1].reshape(height, width * 3)
    offset = 14 + 40
    head = struct.pack("<2sIHHI", b"BM", offset + body.size, 0, 0, offset)
    return head + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, body.size, 2835, 2835, 0, 0) + body.tobytes()


# --- what is drawn ---------------------------------------------------------------------------------------------------


def _clouds(chance: Chance, height: int, width: int) -> Picture:
    """Draw noise whose amplitude falls with frequency, in the colours of a palette."""
    plane = _noise(chance, height, width, chance.uniform(0.5, 2.0))
    tint = _noise(chance, height, width, chance.uniform(1.0, 2.2))
    low, high, third = _palette(chance, 3)
    mixed: Picture = _between(low, high, plane) + (third - low) * (tint[..., None] - 0.5)
    return mixed


def _leaves(chance: Chance, height: int, width: int) -> Picture:
    """Draw shapes that hide each other, their sizes falling off as r^-3, some of them textured."""
    colours = _palette(chance, chance.randrange(3, 9))
    canvas = np.broadcast_to(colours[0], (height, width, 3)).astype(np.float32)
    side = min(height, width)
    kind = chance.randrange(4)
    for _ in range(chance.randrange(40, 160)):
        radius = side * 0.03 / math.sqrt(chance.uniform(0.004, 1))
        centre = chance.uniform(0, height), chance.uniform(0, width)
        colour = colours[chance.randrange(len(colours))] + 0.04 * chance.noise(3)
        _stamp(canvas, chance, centre, radius, colour=colour, kind=kind if kind < 3 else chance.randrange(3))
    return canvas


def _town(chance: Chance, height: int, width: int) -> Picture:
    """Draw boxes with rows of openings between a sky and a ground, the nearer the larger."""
    top, low, near, far = _palette(chance, 4)
    horizon = int(height * chance.uniform(0.2, 0.7))
    fall = np.linspace(0, 1, height, dtype=np.float32)[:, None].repeat(width, 1)
    canvas = _between(top, low, fall)
    canvas[horizon:] = _between(far, near, fall)[horizon:]
    canvas += 0.1 * (_noise(chance, height, width, 1.3)[..., None] - 0.5)
    for _ in range(chance.randrange(2, 12)):
        box_width = max(4, int(width * chance.uniform(0.05, 0.4)))
        box_height = max(4, int(height * chance.uniform(0.1, 0.6)))
        foot = chance.randrange(horizon, height + 1)
        left = chance.randrange(-box_width // 2, width)
        wall, opening = _palette(chance, 2)
        part = canvas[max(0, foot - box_height) : foot, max(0, left) : left + box_width]
        part[:] = wall + np.linspace(-0.1, 0.1, part.shape[1], dtype=np.float32)[:, None]
        pitch = chance.randrange(2, 12)
        for row in range(pitch // 2, part.shape[0] - pitch // 2, pitch):
            part[row : row + pitch // 2].swapaxes(0, 1)[pitch // 3 :: pitch] = opening
    return canvas


def _pattern(chance: Chance, height: int, width: int) -> Picture:
    """Draw a repeated pattern, seen at a slant and a little bent."""
    y, x = _grid(height, width)
    angle, slant, bend = chance.uniform(0, math.pi), chance.uniform(-0.6, 0.6), chance.uniform(0, 0.15)
    depth = 1 + slant * (y - 0.5)
    along = ((x - 0.5) * math.cos(angle) + (y - 0.5) * math.sin(angle)) / depth
    across = ((y - 0.5) * math.cos(angle) - (x - 0.5) * math.sin(angle)) / depth
    along = along + bend * (_noise(chance, height, width, 2.0) - 0.5)
    pitch = chance.uniform(3, 30)
    waves = np.sin(2 * math.pi * pitch * along)
    crossing = np.sin(2 * math.pi * pitch * chance.uniform(0.3, 2) * across)
    kind = chance.randrange(4)
    value = (waves, waves * crossing, np.maximum(waves, crossing), np.sign(waves * crossing))[kind]
    first, second = _palette(chance, 2)
    drawn = _between(first, second, (value * chance.uniform(0.5, 3) / 2 + 0.5).clip(0, 1))
    return drawn + 0.15 * (_noise(chance, height, width, 1.0)[..., None] - 0.5)


def _thing(chance: Chance, height: int, width: int) -> Picture:
    """Draw one or a few rounded, shaded things with marks on them before something blurred."""
    canvas = _blurred(_clouds(chance, height, width) if chance.random() < 0.6 else _leaves(chance, height, width), 4)
    y, x = _grid(height, width)
    for _ in range(chance.choice([1, 1, 2, 4])):
        centre_y, centre_x = chance.uniform(0.3, 0.7), chance.uniform(0.3, 0.7)
        size = chance.uniform(0.15, 0.45)
        stretch, turn = chance.uniform(0.4, 1.6), chance.uniform(0, math.pi)
        u = (x - centre_x) * math.cos(turn) + (y - centre_y) * math.sin(turn)
        v = ((y - centre_y) * math.cos(turn) - (x - centre_x) * math.sin(turn)) * stretch
        round_ = np.hypot(u, v) / (size * _rim(chance, np.arctan2(v, u)))
        light = np.clip(1.1 - 0.7 * round_**2 + chance.uniform(-0.4, 0.4) * (u + v) / size, 0.1, 1.3)
        skin, mark = _palette(chance, 2)
        pattern = _noise(chance, height, width, chance.uniform(0.3, 2.0)) ** chance.uniform(0.5, 3)
        inside = round_ < 1
        canvas = np.where(inside[..., None], _between(skin, mark, pattern) * light[..., None], canvas)
        for _ in range(chance.randrange(5)):
            down, right = chance.uniform(-0.5, 0.5), chance.uniform(-0.5, 0.5)
            hit = np.hypot(u / size - down, v / size - right) < chance.uniform(0.05, 0.2)
            canvas[hit & inside] = mark
    return canvas


def _rim(chance: Chance, angle: Plane) -> Plane:
    """Return how far a rounded thing reaches in each direction (radians), 1 on average."""
    rim = np.ones_like(angle)
    for order in range(2, 7):
        rim += chance.uniform(0, 0.3) / order * np.cos(order * angle + chance.uniform(0, 6.3))
    return rim


def _crowd(chance: Chance, height: int, width: int) -> Picture:
    """Draw many alike things in rows that are nearly even: goods, tiles, windows, people."""
    ground, one, other = _palette(chance, 3)
    canvas = _between(ground, one, 0.4 * _noise(chance, height, width, 1.5))
    pitch = min(height, width) / chance.uniform(3, 12)
    wobble, kind = chance.uniform(0, 0.3), chance.randrange(3)
    for row in range(math.ceil(height / pitch) + 1):
        for column in range(math.ceil(width / pitch) + 1):
            centre = (row + wobble * chance.gauss()) * pitch, (column + wobble * chance.gauss()) * pitch
            colour = _between(one, other, np.float32(chance.random()))
            _stamp(canvas, chance, centre, pitch * chance.uniform(0.3, 0.55), colour=colour, kind=kind)
    return canvas


# --- what it is drawn with -------------------------------------------------------------------------------------------


def _noise(chance: Chance, height: int, width: int, slope: float) -> Plane:
    """Return noise of amplitude 1 / frequency^slope, 0 to 1."""
    down, across = np.fft.fftfreq(height, 1 / height), np.fft.rfftfreq(width, 1 / width)
    frequency = np.hypot(down[:, None], across[None, :]).astype(np.float32)
    frequency[0, 0] = 1
    waves = np.fft.rfft2(chance.noise(height, width)) / frequency**slope
    waves[0, 0] = 0
    plane = np.fft.irfft2(waves, (height, width))
    limited: Plane = np.clip(plane / (5 * plane.std()) + 0.5, 0, 1).astype(np.float32)
    return limited


def _palette(chance: Chance, count: int) -> Picture:
    """Return colours that go together, (count, 3): about one hue, mostly dull, from dark to light."""
    hue = chance.random() + 0.2 * chance.noise(count)
    saturation = np.array([chance.betavariate(1.2, 3) for _ in range(count)], np.float32)
    value = chance.several(count, 0.08, 1)
    wheel = np.abs((hue[:, None] + np.array([0, 2 / 3, 1 / 3])) % 1 * 6 - 3) - 1
    colours: Picture = (value[:, None] * (1 + saturation[:, None] * (np.clip(wheel, 0, 1) - 1))).astype(np.float32)
    return colours


def _between(first: Picture, second: Picture, share: Plane | np.float32) -> Picture:
    """Mix two colours, (3,) each, by a plane of shares."""
    weight = np.asarray(share, np.float32)[..., None]
    mixed: Picture = first * (1 - weight) + second * weight
    return mixed


def _grid(height: int, width: int) -> tuple[Plane, Plane]:
    """Return each pixel's place down and across: 0 to 1 in the shorter direction."""
    side = min(height, width)
    y, x = np.mgrid[:height, :width].astype(np.float32) / side
    return y - (height / side - 1) / 2, x - (width / side - 1) / 2


def _stamp(
    canvas: Picture, chance: Chance, centre: tuple[float, float], radius: float, *, colour: Picture, kind: int
) -> None:
    """Draw a disc (0), a turned box (1) or a leaf (2) onto the canvas, shaded along a direction."""
    height, width = canvas.shape[:2]
    reach = 1.5 * radius
    top, left = max(0, int(centre[0] - reach)), max(0, int(centre[1] - reach))
    bottom, right = min(height, int(centre[0] + reach) + 1), min(width, int(centre[1] + reach) + 1)
    if top >= bottom or left >= right:
        return
    y = (np.arange(top, bottom, dtype=np.float32)[:, None] - centre[0]) / radius
    x = (np.arange(left, right, dtype=np.float32) - centre[1]) / radius
    turn, aspect = chance.uniform(0, math.pi), chance.uniform(0.3, 1)
    cosine, sine = math.cos(turn), math.sin(turn)
    u, v = x * cosine + y * sine, y * (cosine / aspect) - x * (sine / aspect)
    if kind == 0:
        inside = x * x + y * y < 1
    elif kind == 1:
        inside = np.maximum(np.abs(u), np.abs(v)) < 1
    else:
        inside = np.abs(v) < 1 - u * u
    shade = colour + chance.uniform(0, 0.15) * u[..., None]
    np.copyto(canvas[top:bottom, left:right], shade, where=inside[..., None])
    # Many small steps in a row would keep the interpreter from other threads for as long as it lets one: 5 ms.
    time.sleep(0)


def _blurred(picture: Picture, radius: int) -> Picture:
    """Blur by a box in both directions, twice."""
    for axis in (0, 1, 0, 1):
        padded = np.pad(picture, [(radius + 1, radius) if one == axis else (0, 0) for one in range(3)], mode="edge")
        sums = np.cumsum(padded, axis=axis)
        last, first = [slice(None)] * 3, [slice(None)] * 3
        last[axis], first[axis] = slice(2 * radius + 1, None), slice(None, -2 * radius - 1)
        picture = ((sums[tuple(last)] - sums[tuple(first)]) / (2 * radius + 1)).astype(np.float32)
    return picture


def _develop(chance: Chance, drawn: Picture) -> NDArray[np.uint8]:
    """Make of a drawing what a camera would: light, lens, sensor; some of them dark, some without colour."""
    height, width = drawn.shape[:2]
    picture = drawn.clip(0, 1) * (0.75 + 0.5 * _noise(chance, height, width, 2.0)[..., None])
    if chance.random() < 0.3:
        picture = _blurred(picture, chance.randrange(1, 4))
    look = chance.random()
    if look < 0.15:
        picture = picture.mean(axis=2, keepdims=True).repeat(3, axis=2)
    elif look < 0.3:
        picture = picture * np.float32(chance.uniform(0.08, 0.4))
    else:
        picture = picture * chance.several(3, 0.8, 1.2)
    picture = picture.clip(0, 1) ** np.float32(chance.uniform(0.6, 1.5))
    picture = picture + chance.uniform(0, 0.05) * chance.noise(height, width, 3)
    pixels: NDArray[np.uint8] = (picture.clip(0, 1) * 255 + 0.5).astype(np.uint8)
    return pixels


_DRAWERS: Final[tuple[Callable[[Chance, int, int], Picture], ...]] = (
    _clouds,
    _leaves,
    _town,
    _pattern,
    _thing,
    _crowd,
)
