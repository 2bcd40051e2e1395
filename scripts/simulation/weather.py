"""What changes from frame to frame: clouds, rain, the sensor's noise, all drawn from pools made once."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from .place import grain
from .scene import Scene
from .view import CANVAS, SIZE, Bytes

POOL = 2
"""Tiles of noise and of rain kept; a random part of one is used, turned at random."""
SPARE = 96
"""Pixels a tile is larger than a picture, each way."""

NOISE_LEVELS = (2.0, 4.0, 7.0, 11.0)
"""Standard deviation of the sensor's noise in grey levels: noon, dull, dusk, night."""

type Shift = NDArray[np.int8]


def cover(scene: Scene, seed: int) -> float:
    """Return how much of the sun the clouds hide in a frame, 0 to 1; it drifts from one seed to the next."""
    drift = np.sin(seed * 0.11) + 0.7 * np.sin(seed * 0.043 + 2.0) + 0.4 * np.sin(seed * 0.37 + 1.0)
    fair = 1 / (1 + np.exp(-2.5 * (drift - 0.3)))
    return float(fair + (1 - fair) * min(1.0, scene.rain * 2.5))


@lru_cache(maxsize=2)
def _clouds(wide: int, high: int) -> Bytes:
    """Return a strip of clouds (high, 2 * wide) that tiles sideways, 0 (blue sky) to 255."""
    y = (np.linspace(0, 1, high) ** 0.7 * 150).astype(np.int32)
    x = (np.arange(2 * wide) * 512 // (2 * wide)).astype(np.int32)
    coarse = grain()[y[:, None], x[None, :]] + 0.4 * grain()[(3 * y[:, None]) % 512, (2 * x[None, :]) % 512]
    soft = Image.fromarray((np.clip(0.5 + 0.8 * coarse, 0, 1) * 255).astype(np.uint8))
    return np.asarray(soft.filter(ImageFilter.GaussianBlur(3)))


def sky(scene: Scene, seed: int, high: int) -> Image.Image:
    """Return the sky of a frame, as wide as the canvas and some rows high."""
    wide, light, hidden = CANVAS[0], scene.light, cover(scene, seed)
    strip = np.roll(_clouds(wide, high), (seed * 3) % (2 * wide), axis=1)[:, :wide]
    share = (strip.astype(np.float32) / 255 * (0.5 + 0.5 * hidden) + 0.5 * max(hidden, scene.rain))[..., None]
    low = np.linspace(0, 1, high, dtype=np.float32)[:, None, None]
    warm = float(np.clip(1.1 - 2.2 * light, 0, 1))
    blue = np.array([92, 142, 214]) * (1 - low) + np.array([196 + 40 * warm, 214 - 40 * warm, 232 - 110 * warm]) * low
    white = np.array([236, 234 - 24 * warm, 234 - 44 * warm]) * (1 - 0.35 * scene.rain)
    brightness = 0.25 + 0.75 * light**0.6
    mixed = (blue + (white - blue) * np.clip(share, 0, 1)) * brightness
    return Image.fromarray(np.clip(mixed, 0, 255).astype(np.uint8))


@lru_cache(maxsize=POOL)
def _grainy(index: int) -> NDArray[np.float32]:
    """Return noise of standard deviation 1, more in brightness than in colour: (h, w, 3), larger than a picture."""
    rng = np.random.default_rng((5, index))
    high, wide = SIZE[1] + SPARE, SIZE[0] + SPARE
    bright = rng.standard_normal((high, wide), np.float32)
    # The camera's own smoothing leaves grains larger than a pixel.
    bright = 0.8 * bright + 0.4 * np.roll(bright, 1, 0) + 0.4 * np.roll(bright, 1, 1)
    small = rng.standard_normal((high // 2, wide // 2, 3), np.float32)
    colour = small.repeat(2, 0).repeat(2, 1)
    return np.asarray(0.9 * bright[..., None] + 0.45 * colour, np.float32)


@lru_cache(maxsize=POOL * len(NOISE_LEVELS) * 2)
def _noise_tile(index: int, level: float, grey: bool) -> Shift:
    """Return a tile of noise as whole grey levels."""
    tile = _grainy(index) * level
    if grey:
        tile = tile.mean(axis=2, keepdims=True).repeat(3, 2)
    return np.clip(np.round(tile), -127, 127).astype(np.int8)


@lru_cache(maxsize=POOL)
def _rain_tile(index: int) -> Shift:
    """Return a tile of rain streaks (h, w, 1), 0 to 110 grey levels brighter."""
    rng = np.random.default_rng((6, index))
    wide, high = SIZE[0] + SPARE, SIZE[1] + SPARE
    image = Image.new("L", (wide, high))
    draw = ImageDraw.Draw(image)
    for _ in range(900):
        x, y = rng.uniform(0, wide), rng.uniform(-60, high)
        near = rng.random() ** 2
        length, slant = 14 + 60 * near, rng.normal(0.12, 0.03)
        draw.line((x, y, x + slant * length, y + length), fill=int(30 + 80 * near), width=1 + round(1.6 * near))
    soft = np.asarray(image.filter(ImageFilter.BoxBlur((0.6, 2))))
    return np.asarray(np.minimum(soft, 110)[..., None], np.int8)


def _part(tile: Shift, rng: np.random.Generator) -> Shift:
    """Return a random part of a tile, of the size of a picture, mirrored or not."""
    top, left = (int(start) for start in rng.integers(0, SPARE, 2))
    part = tile[top : top + SIZE[1], left : left + SIZE[0]]
    return part[:, ::-1] if rng.random() < 0.5 else part


def noise_level(scene: Scene) -> float:
    """Return the standard deviation of the noise in grey levels: the less light, the more."""
    dull = scene.light * (1 - 0.3 * scene.rain)
    return NOISE_LEVELS[3 if scene.night else 2 if dull < 0.3 else 1 if dull < 0.65 else 0]


def disturb(picture: Image.Image, scene: Scene, rng: np.random.Generator) -> Image.Image:
    """Return the picture with the rain before the lens and the noise of the sensor."""
    tile = _noise_tile(int(rng.integers(POOL)), noise_level(scene), scene.night)
    total = np.add(np.asarray(picture), _part(tile, rng), dtype=np.int16)
    if scene.rain > 0:
        streaks = _part(_rain_tile(int(rng.integers(POOL))), rng)
        # By night the drops before the lens catch the camera's own lamp.
        strength = scene.rain * (0.9 if scene.night else 0.55)
        total += (streaks * np.float32(strength)).astype(np.int16)
    return Image.fromarray(np.clip(total, 0, 255, out=total).astype(np.uint8))
