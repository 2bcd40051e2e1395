"""The camera on the house wall: where a point of the world falls in its picture.

World: x to the right, y away from the house, z up, in metres; the camera stands above the origin.
"""

from collections.abc import Sequence
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

type Floats = NDArray[np.float32]
type Bytes = NDArray[np.uint8]
type Point = tuple[float, float, float]
type Colour = tuple[int, int, int]

SIZE = (1280, 720)
"""Width and height of the camera's picture."""
MARGIN = 12
"""Pixels drawn beyond each edge, for the camera to shake in."""
CANVAS = (SIZE[0] + 2 * MARGIN, SIZE[1] + 2 * MARGIN)
OVERSAMPLE = 2

EYE = np.array([0.7, 0.0, 3.3])
PITCH = np.radians(17.0)
YAW = np.radians(-3.0)
FOCAL = 860.0
"""Focal length in pixels of the picture: 73 degrees across."""

_FORWARD = np.array([np.sin(YAW), np.cos(YAW)])
_RIGHT = np.array([np.cos(YAW), -np.sin(YAW)])


class Surface(IntEnum):
    """What a pixel shows, as far as light cares: which way it faces, and how it shines."""

    SKY = 0
    GROUND = 1
    DRIVE = 2
    STREET = 3
    FRONT = 4
    """Faces the house."""
    LEFT = 5
    """Faces to the left of the picture."""
    RIGHT = 6
    TOP = 7
    FOLIAGE = 8
    GLASS = 9
    WINDOW = 10
    """A window across the street, lit at night."""
    PLATE = 11
    """Throws light back where it came from."""


def project(points: Sequence[Point] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Return where world points (n, 3) fall on the canvas: (n, 3) of x, y in canvas pixels and distance in metres.

    Points behind the camera are moved to just before it.
    """
    relative = np.asarray(points, float).reshape(-1, 3) - EYE
    ahead, right = relative[:, :2] @ _FORWARD, relative[:, :2] @ _RIGHT
    depth = np.maximum(ahead * np.cos(PITCH) - relative[:, 2] * np.sin(PITCH), 0.1)
    up = ahead * np.sin(PITCH) + relative[:, 2] * np.cos(PITCH)
    return np.stack(
        [CANVAS[0] / 2 + FOCAL * right / depth, CANVAS[1] / 2 - FOCAL * up / depth, np.linalg.norm(relative, axis=1)], 1
    )


@lru_cache(maxsize=1)
def ground() -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Return x and y (m) of the ground seen in every canvas pixel (h, w), and where there is ground at all.

    Above the horizon both are 0 and the mask is false.
    """
    down, across = np.mgrid[0 : CANVAS[1], 0 : CANVAS[0]].astype(np.float32)
    a, b = (across + 0.5 - CANVAS[0] / 2) / FOCAL, (CANVAS[1] / 2 - down - 0.5) / FOCAL
    fall = np.sin(PITCH) - b * np.cos(PITCH)
    seen = fall > 0.01
    reach = np.where(seen, EYE[2] / np.maximum(fall, 0.01), 0)
    ahead, right = (np.cos(PITCH) + b * np.sin(PITCH)) * reach, a * reach
    x = np.where(seen, EYE[0] + ahead * _FORWARD[0] + right * _RIGHT[0], 0)
    y = np.where(seen, EYE[1] + ahead * _FORWARD[1] + right * _RIGHT[1], 0)
    return x.astype(np.float32), y.astype(np.float32), seen


class Model(NamedTuple):
    """The world before light falls on it, in canvas pixels."""

    colour: Bytes
    """(h, w, 3): the colour of what each pixel shows."""
    surface: Bytes
    """(h, w): its Surface."""
    depth: Floats
    """(h, w): its distance from the camera in metres."""


class Canvas:
    """Draws polygons of the world, the farthest first, with smooth edges."""

    def __init__(self, model: Model) -> None:
        """Start from a model, e.g. of what lies behind."""
        large = (CANVAS[0] * OVERSAMPLE, CANVAS[1] * OVERSAMPLE)
        self._colour = Image.fromarray(model.colour).resize(large, Image.Resampling.BILINEAR)
        self._surface = Image.fromarray(model.surface)
        self._depth = Image.fromarray(model.depth)
        self._on_colour = ImageDraw.Draw(self._colour)
        self._on_surface = ImageDraw.Draw(self._surface)
        self._on_depth = ImageDraw.Draw(self._depth)

    def face(self, points: Sequence[Point], colour: Colour, surface: Surface) -> None:
        """Fill the polygon through world points."""
        spots = project(points)
        flat = [(float(x), float(y)) for x, y, _ in spots]
        self._on_colour.polygon([(x * OVERSAMPLE, y * OVERSAMPLE) for x, y in flat], fill=colour)
        self._on_surface.polygon(flat, fill=int(surface))
        self._on_depth.polygon(flat, fill=float(spots[:, 2].mean()))

    def stroke(self, points: Sequence[Point], colour: Colour, width: float) -> None:
        """Draw a line through world points, width in picture pixels; it belongs to the surface beneath."""
        flat = [(float(x) * OVERSAMPLE, float(y) * OVERSAMPLE) for x, y, _ in project(points)]
        self._on_colour.line(flat, fill=colour, width=max(1, round(width * OVERSAMPLE)))

    def leaf(self, point: Point, radius: float, colour: Colour) -> None:
        """Dab one leaf (or a bunch of them) of a radius in metres at a world point."""
        x, y, distance = project([point])[0]
        size = FOCAL * radius / distance
        box = (x - size, y - size * 0.8, x + size, y + size * 0.8)
        self._on_colour.ellipse([side * OVERSAMPLE for side in box], fill=colour)
        self._on_surface.ellipse(box, fill=int(Surface.FOLIAGE))
        self._on_depth.ellipse(box, fill=float(distance))

    def model(self) -> Model:
        """Return what was drawn."""
        colour = self._colour.reduce(OVERSAMPLE)
        return Model(np.asarray(colour), np.asarray(self._surface), np.asarray(self._depth))
