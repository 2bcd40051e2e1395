"""Light on the driveway: sun, clouded sky and long shadows by day, the camera's own infra-red by night."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from . import place
from .place import GATE_HALF, GATE_HEIGHT, GATE_Y, PILLAR, textured
from .view import CANVAS, FOCAL, Bytes, Floats, Model, Point, Surface, ground, project

IR_REACH_M = 6.2
"""Distance at which the infra-red lamp has lost half its light."""


class Sun(NamedTuple):
    """Where the light of the day comes from."""

    towards: Point
    """Unit vector from the world to the sun."""
    direct: Floats
    """(3,): colour of the sun's own light."""
    sky: Floats
    """(3,): colour of the light from everywhere."""


def sun(light: float, hour: float) -> Sun:
    """Return the sun at a light (0 to 1) and an hour (0 to 24); low and red when there is little light.

    The camera looks north: the sun rises to the right, stands behind the camera at half past twelve, sets to the left.
    """
    height = np.radians(7 + 45 * light)
    side = np.radians(np.clip((hour - 12.5) * 13.0, -80, 80))
    towards = (-float(np.sin(side) * np.cos(height)), -float(np.cos(side) * np.cos(height)), float(np.sin(height)))
    warm = np.clip(1.15 - 1.5 * light, 0, 1)
    direct = (0.35 + 0.55 * light) * np.array([1.06, 1.0 - 0.28 * warm, 0.92 - 0.55 * warm])
    sky = (0.16 + 0.36 * light**0.7) * np.array([0.95 + 0.1 * warm, 0.98, 1.1 + 0.08 * warm])
    return Sun(towards, direct.astype(np.float32), sky.astype(np.float32))


def _facing(towards: Point) -> Floats:
    """Return how squarely the sun falls on each Surface: (12,), 0 to 1."""
    x, y, z = towards
    share = np.zeros(len(Surface), np.float32)
    share[[Surface.GROUND, Surface.DRIVE, Surface.STREET, Surface.TOP]] = z + 0.15
    share[[Surface.FRONT, Surface.PLATE]] = max(-y, 0) + 0.05
    share[Surface.LEFT], share[Surface.RIGHT] = max(-x, 0) + 0.05, max(x, 0) + 0.05
    share[Surface.FOLIAGE] = 0.75
    share[[Surface.GLASS, Surface.WINDOW]] = 0.5
    return share


def _shade_on_ground(draw: ImageDraw.ImageDraw, solid: Sequence[Point], towards: Point) -> None:
    """Draw the shadow on the ground of the upright polygon through points."""
    x, y, z = towards
    fallen = [(a - c * x / z, b - c * y / z, 0.0) for a, b, c in solid]
    # Shadows that reach behind the camera would fold over in projection.
    fallen = [(a, max(b, 1.5), c) for a, b, c in fallen]
    draw.polygon([(float(u), float(v)) for u, v, _ in project(fallen)], fill=255)


def _upright(start: Point, end: Point, height: float) -> list[Point]:
    """Return the polygon standing on a line on the ground."""
    (ax, ay, _), (bx, by, _) = start, end
    return [(ax, ay, 0.0), (bx, by, 0.0), (bx, by, height), (ax, ay, height)]


def _solids(gate_open: bool, parked: float | None) -> list[list[Point]]:
    """Return what throws a shadow, as upright polygons: pillars, gate, hedges, car (parked None: no car), house."""
    degrees = place.OPEN_DEGREES if gate_open else 0.0
    solids = [_upright(*place.leaf_corners(side, degrees), GATE_HEIGHT) for side in (-1, 1)]
    for side in (-1, 1):
        inner, outer = side * GATE_HALF, side * (GATE_HALF + PILLAR)
        solids.append(_upright((inner, GATE_Y, 0), (outer, GATE_Y, 0), GATE_HEIGHT + 0.3))
        solids.append(_upright((outer, GATE_Y - 0.2, 0), (outer, GATE_Y + 0.2, 0), GATE_HEIGHT + 0.3))
        solids.append(_upright((outer, GATE_Y + 0.3, 0), (side * 11, GATE_Y + 0.3, 0), 1.8))
    solids.append(_upright((3.6, 2.2, 0), (3.6, GATE_Y, 0), 0.7))
    solids.append(_upright((-3.8, 5.2, 0), (-3.8, GATE_Y, 0), 0.6))
    solids.append(_upright((-4.1, -2, 0), (-4.1, 5.2, 0), 4.5))
    if parked is not None:
        rear, half = place.car_rear(parked), place.CAR_HALF
        for x in (-half, half):
            solids.append(_upright((x, rear + 0.2, 0), (x, rear + 2.5, 0), 1.35))
            solids.append(_upright((x, rear, 0), (x, rear + place.CAR_LENGTH, 0), 0.85))
        solids += [_upright((-half, y, 0), (half, y, 0), 1.35) for y in (rear + 0.6, rear + 1.9)]
    return solids


def _crown(towards: Point) -> list[tuple[Point, float]]:
    """Return the bunches of leaves of the tree that stands out of the picture, on the sun's side: middle and radius, m."""
    rng = np.random.default_rng(77)
    root = np.array([np.sign(towards[0]) * 6.5, 3.0, 4.6])
    offsets = rng.normal(0, (1.3, 1.2, 1.0), (180, 3))
    return [((float(x), float(y), float(z)), float(rng.uniform(0.05, 0.2))) for x, y, z in root + offsets]


def _dapple(on_ground: ImageDraw.ImageDraw, on_gate: ImageDraw.ImageDraw, towards: Point) -> None:
    """Draw the tree's shadow on the ground and on the upright plane of the gate."""
    x, y, z = towards
    for (a, b, c), radius in _crown(towards):
        turn = np.linspace(0, 2 * np.pi, 9)[:-1]
        ring = [(a + radius * float(np.cos(t)), b + radius * float(np.sin(t)), c) for t in turn]
        _shade_on_ground(on_ground, ring, towards)
        if y < -0.05:
            away = (GATE_Y - b) / y
            upright = [(a + radius * float(np.cos(t)), c + radius * float(np.sin(t))) for t in turn]
            far = [(p + away * x, GATE_Y, q + away * z) for p, q in upright]
            on_gate.polygon([(float(u), float(v)) for u, v, _ in project(far)], fill=255)


def shadows(model: Model, gate_open: bool, parked: float | None, towards: Point) -> Floats:
    """Return how much of the sun each pixel misses: (h, w), 0 to 1. The farther from noon, the longer and softer."""
    masks = [Image.new("L", CANVAS) for _ in range(2)]
    on_ground, on_gate = (ImageDraw.Draw(mask) for mask in masks)
    for solid in _solids(gate_open, parked):
        _shade_on_ground(on_ground, solid, towards)
    _dapple(on_ground, on_gate, towards)
    blur = ImageFilter.BoxBlur(1.5 + 1.5 * (1 - towards[2]))
    flat, upright = (np.asarray(mask.filter(blur), np.float32) / 255 for mask in masks)
    lying = np.isin(model.surface, (Surface.GROUND, Surface.DRIVE, Surface.STREET))
    # Behind the gate nothing of the tree's shadow stands upright.
    standing = (model.surface == Surface.FRONT) & (model.depth < GATE_Y + 2)
    return np.asarray(flat * lying + upright * standing, np.float32)


def by_day(model: Model, gate_open: bool, parked: float | None, light: float, hour: float) -> tuple[Bytes, Bytes]:
    """Return the driveway in sunshine and under clouds, each (h, w, 3); the sky is left for the weather to fill."""
    towards, direct, sky = sun(light, hour)
    facing = _facing(towards)[model.surface] * (1 - shadows(model, gate_open, parked, towards))
    colour = model.colour.astype(np.float32)
    sunny = colour * (sky + direct * facing[..., None])
    # A cloud spreads the sun's light instead of taking it all away.
    clouded = colour * (sky * 1.05 + 0.4 * direct.mean())
    for picture in (sunny, clouded):
        haze(picture, model, sky * 235, 0.005)
        if light < 0.3:
            picture[model.surface == Surface.WINDOW] = (238, 190, 110)
    return np.clip(sunny, 0, 255).astype(np.uint8), np.clip(clouded, 0, 255).astype(np.uint8)


def haze(picture: Floats, model: Model, colour: Floats, per_metre: float) -> None:
    """Let the far fade into a colour, in place."""
    share = (1 - np.exp(-per_metre * model.depth))[..., None]
    picture += (colour - picture) * share


def _spot() -> Floats:
    """Return the infra-red lamp's beam: (h, w), 1 in the middle and falling off to the corners."""
    down, across = np.mgrid[0 : CANVAS[1], 0 : CANVAS[0]].astype(np.float32)
    away = np.hypot((across / CANVAS[0] - 0.48) / 0.62, (down / CANVAS[1] - 0.55) / 0.72)
    return np.asarray(1 / (1 + (away / 0.75) ** 4), np.float32)


def glow(middle: Point, metres: float) -> Floats:
    """Return the halo (h, w), 0 to 1, of a lamp at a world point, metres wide where it has lost most of its light."""
    x, y, distance = project([middle])[0]
    down, across = np.mgrid[0 : CANVAS[1], 0 : CANVAS[0]].astype(np.float32)
    radius = FOCAL * metres / distance
    square = ((across - x) ** 2 + (down - y) ** 2) / radius**2
    return np.asarray(0.75 * np.exp(-square * 4) + 0.25 / (1 + 12 * square), np.float32)


def by_night(model: Model, light: float) -> Bytes:
    """Return the driveway (h, w, 3) as an infra-red camera sees it: nearly grey, lit by its own lamp and those of the place."""
    weights = np.array([0.5, 0.3, 0.2], np.float32)
    grey = model.colour.astype(np.float32) @ weights
    # In infra-red leaves and wood shine, plates throw it straight back, sloping car paint and glass send it elsewhere.
    gain = np.ones(len(Surface), np.float32)
    gain[Surface.FOLIAGE], gain[Surface.PLATE], gain[Surface.FRONT] = 2.0, 2.6, 1.3
    gain[Surface.TOP], gain[Surface.GLASS] = 0.6, 0.5
    grey *= gain[model.surface]
    reach = 1.75 / (1 + (model.depth / IR_REACH_M) ** 3)
    seen = grey * _spot() * reach
    x, y, _ = ground()
    lamp_light = np.exp(-(((x - 6) / 7) ** 2) - ((y - 13) / 3.5) ** 2)
    street = np.isin(model.surface, (Surface.STREET, Surface.GROUND, Surface.DRIVE)) & (y > GATE_Y)
    seen += grey * (0.10 + 0.5 * light / 0.12) * 0.35 + grey * lamp_light * street * 0.45
    seen[model.surface == Surface.WINDOW] = 120
    seen[model.surface == Surface.SKY] = 9 + 60 * light / 0.12
    for side in (-1, 1):
        lamp = (side * (GATE_HALF + PILLAR / 2), GATE_Y, GATE_HEIGHT + 0.5)
        seen += glow(lamp, 1.1) * 190
    seen = 255 * (1 - np.exp(-seen / 150))
    tinted = seen[..., None] * np.array([0.99, 0.97, 1.02], np.float32)
    return np.clip(tinted, 0, 255).astype(np.uint8)


def reflected(picture: Bytes, model: Model, rain: float) -> Bytes:
    """Return the picture (h, w, 3) after rain (0 to 1): darker ground that mirrors what stands behind it, most in puddles."""
    x, y, _ = ground()
    wet = np.isin(model.surface, (Surface.DRIVE, Surface.STREET)).astype(np.float32)
    puddle = np.clip(4 * textured(x + 3, y, 14) - 0.6, 0, 1)
    # Water mirrors best at a flat angle, far from the camera.
    share = wet * (rain * 0.28 + 0.35 * rain**0.5 * puddle) * np.clip(y / GATE_Y, 0.35, 1)
    foot = int(project([(0, GATE_Y, 0)])[0, 1])
    rows = np.arange(CANVAS[1])
    mirror = np.where(rows > foot, np.clip(2 * foot - rows, 0, None), rows)
    image = Image.fromarray(picture[mirror]).filter(ImageFilter.BoxBlur((1, 7)))
    behind = np.asarray(image, np.float32)
    dark = picture.astype(np.float32) * (1 - 0.3 * rain * wet)[..., None]
    dark += (behind - dark) * share[..., None]
    haze(dark, model, np.full(3, dark[: foot // 2].mean(), np.float32), 0.012 * rain)
    return np.clip(dark, 0, 255).astype(np.uint8)
