"""A driveway seen by the camera on the house wall, drawn frame by frame.

The scene says what is true; the seed stands for the moment: two frames of one scene differ in clouds, wind, rain,
shake and noise, and one frame is the same whenever it is drawn.
"""

from functools import lru_cache
import io

import numpy as np
from PIL import Image, ImageFilter

from . import lighting, place, weather
from .scene import CYCLE_S, NIGHT_BELOW, Scene, cycle, scene_at
from .view import CANVAS, MARGIN, SIZE, Surface

__all__ = ["CYCLE_S", "GATE_REGION", "NIGHT_BELOW", "SIZE", "Scene", "cycle", "draw", "jpeg", "scene_at"]

QUALITY = 82
"""JPEG quality of the camera."""

GATE_REGION = (0.22, 0.27, 0.735, 0.645)
"""Left, top, right, bottom of the gate in the picture, as fractions of its width and height."""

SHAKE_PX = 2.0
SWAY_PX = 3

LIGHT_STEPS, HOUR_STEPS, RAIN_STEPS, PARK_STEPS = 32, 4, 4, 8
"""How finely the slow changes are drawn: steps of the light and rain (0 to 1), of an hour, of the parking place."""


class Lit:
    """The driveway in one state of the light, before the moment adds its part: images of the canvas' size."""

    def __init__(self, scene: Scene) -> None:
        """Draw a scene."""
        opened, parked = scene.gate == "open", scene.parked if scene.car else None
        model = place.model(opened, scene.paint if scene.car else None, scene.parked if scene.car else 0.5)
        if scene.night:
            pictures = [lighting.by_night(model, scene.light)]
        else:
            pictures = list(lighting.by_day(model, opened, parked, scene.light, scene.hour))
        if scene.rain > 0:
            pictures = [lighting.reflected(picture, model, scene.rain) for picture in pictures]
        self.sunny, self.clouded = Image.fromarray(pictures[0]), Image.fromarray(pictures[-1])
        above = model.surface == Surface.SKY
        self.sky_rows = int(np.flatnonzero(above.any(axis=1))[-1]) + 1
        self.sky = _soft(above[: self.sky_rows], 0.6)
        self.leaves = _soft(model.surface == Surface.FOLIAGE, 1.5)


def _soft(mask: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], radius: float) -> Image.Image:
    """Return a mask as an image with soft edges."""
    return Image.fromarray(mask.astype(np.uint8) * 255).filter(ImageFilter.GaussianBlur(radius))


@lru_cache(maxsize=10)
def _lit(scene: Scene) -> Lit:
    """Return a scene of quantised values, drawn once."""
    return Lit(scene)


def _quantised(scene: Scene) -> Scene:
    """Return the scene with its slow changes in steps, and with what can't be seen left out."""
    light = round(scene.light * LIGHT_STEPS) / LIGHT_STEPS
    if scene.night:
        light = min(light, int(NIGHT_BELOW * LIGHT_STEPS) / LIGHT_STEPS)
    return Scene(
        scene.gate,
        scene.car,
        light,
        np.ceil(scene.rain * RAIN_STEPS).item() / RAIN_STEPS,
        12.0 if scene.night else round(scene.hour * HOUR_STEPS) / HOUR_STEPS,
        scene.paint if scene.car else 0,
        round(scene.parked * PARK_STEPS) / PARK_STEPS if scene.car else 0.5,
    )


def _headlights(picture: Image.Image, x: float) -> Image.Image:
    """Return the picture with a car's headlights passing on the street, x in metres from the middle."""
    return Image.fromarray(np.add(np.asarray(picture), _beam(round(x)), dtype=np.uint16).clip(0, 255).astype(np.uint8))


@lru_cache(maxsize=24)
def _beam(x: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Return the light of a passing car's headlights over the hedge, (h, w, 1)."""
    return (lighting.glow((float(x), 12.5, 1.6), 2.4) * 150).astype(np.uint8)[..., None]


def _moment(scene: Scene, seed: int, rng: np.random.Generator) -> Image.Image:
    """Return the canvas of one moment: clouds, wind and passing light."""
    lit = _lit(_quantised(scene))
    if scene.night:
        picture = lit.sunny.copy()
    else:
        picture = Image.blend(lit.sunny, lit.clouded, weather.cover(scene, seed))
        picture.paste(weather.sky(scene, seed, lit.sky_rows), (0, 0), lit.sky)
    sway = [int(step) for step in rng.integers(-SWAY_PX, SWAY_PX + 1, 2)]
    moved = picture.crop((sway[0], sway[1] // 2, CANVAS[0] + sway[0], CANVAS[1] + sway[1] // 2))
    picture.paste(moved, (0, 0), lit.leaves)
    if scene.night and rng.random() < 0.12:
        picture = _headlights(picture, float(rng.uniform(-9, 9)))
    return picture


def draw(scene: Scene, seed: int, size: tuple[int, int] = SIZE) -> Image.Image:
    """Return one frame of a scene as an RGB image of size (width, height) in pixels.

    The same scene and seed (>= 0) give the same frame. Seeds that follow each other are moments that do.
    """
    rng = np.random.default_rng((11, seed))
    picture = _moment(scene, seed, rng)
    shake = np.clip(np.round(rng.normal(MARGIN, SHAKE_PX / 2, 2)), 0, 2 * MARGIN).astype(int)
    left, top = int(shake[0]), int(shake[1])
    picture = picture.crop((left, top, left + SIZE[0], top + SIZE[1]))
    # The camera's exposure follows the light, never quite.
    gain = float(rng.normal(1.0, 0.02))
    picture = picture.point([min(255, round(value * gain)) for value in range(256)] * 3)
    picture = weather.disturb(picture, scene, rng)
    return picture if size == SIZE else picture.resize(size, Image.Resampling.BOX)


def jpeg(scene: Scene, seed: int, size: tuple[int, int] = SIZE) -> bytes:
    """Return one frame as the camera would send it. See draw."""
    stream = io.BytesIO()
    draw(scene, seed, size).save(stream, "JPEG", quality=QUALITY)
    return stream.getvalue()
