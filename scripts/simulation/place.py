"""The driveway itself: what stands where, and in which colours."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from PIL import Image

from .view import CANVAS, Canvas, Colour, Floats, Model, Point, Surface, ground

GATE_Y = 7.6
"""Distance of the gate from the house, m."""
GATE_HALF = 2.75
GATE_HEIGHT = 2.2
PILLAR = 0.5
OPEN_DEGREES = 86.0
KERB_Y, STREET_Y, FAR_Y = 9.2, 10.6, 17.0
CAR_LENGTH, CAR_HALF = 3.65, 0.84

WOOD: Colour = (150, 104, 66)
IRON: Colour = (62, 64, 68)
BRICK: Colour = (148, 84, 64)
CAR_PAINTS: tuple[Colour, ...] = (
    (168, 32, 36),
    (36, 70, 140),
    (212, 212, 208),
    (58, 60, 64),
    (136, 140, 144),
    (34, 92, 70),
    (206, 160, 50),
)


def tone(colour: Colour, factor: float) -> Colour:
    """Return a colour made lighter (factor above 1) or darker."""
    red, green, blue = (int(min(max(channel * factor, 0), 255)) for channel in colour)
    return red, green, blue


def steps(start: float, stop: float, step: float) -> list[float]:
    """Return evenly spaced numbers from start to just before stop."""
    return [float(value) for value in np.arange(start, stop, step)]


@lru_cache(maxsize=1)
def grain() -> Floats:
    """Return a patch of cloudy noise (512, 512), mean 0, about -1 to 1, that tiles."""
    rng = np.random.default_rng(7)
    total = np.zeros((512, 512), np.float32)
    for cells, weight in ((8, 0.5), (32, 0.3), (128, 0.25), (512, 0.2)):
        coarse = np.pad(rng.uniform(-1, 1, (cells, cells)).astype(np.float32), 2, mode="wrap")
        step = 512 // cells
        fine = Image.fromarray(coarse).resize((512 + 4 * step, 512 + 4 * step), Image.Resampling.BICUBIC)
        total += weight * np.asarray(fine)[2 * step : 2 * step + 512, 2 * step : 2 * step + 512]
    return total


def textured(x: Floats, y: Floats, per_metre: float) -> Floats:
    """Return the noise at world coordinates, per_metre cells of it to the metre."""
    return grain()[(y * per_metre).astype(np.int32) % 512, (x * per_metre).astype(np.int32) % 512]


def _paving(x: Floats, y: Floats) -> Floats:
    """Return the drive's brightness (0.7 to 1.1): slabs in courses, joints between them."""
    course = np.floor(y / 0.45)
    column = np.floor((x + 0.3 * (course % 2)) / 0.6)
    slab = grain()[(course * 37).astype(np.int32) % 512, (column * 53).astype(np.int32) % 512]
    joint = np.minimum((y / 0.45) % 1, 0.75 * (((x + 0.3 * (course % 2)) / 0.6) % 1)) < 0.05
    # Beyond a few metres a joint is narrower than a pixel.
    depth_of_joint = np.clip(0.3 - 0.03 * y, 0, 0.25)
    return np.asarray(1 + 0.1 * slab + 0.12 * textured(x, y, 40) - depth_of_joint * joint, np.float32)


def _floor() -> Model:
    """Return the bare ground under an empty sky: drive, lawn, pavement, street."""
    x, y, seen = ground()
    shape = seen.shape
    colour = np.zeros((*shape, 3), np.float32)
    surface = np.where(seen, Surface.GROUND, Surface.SKY).astype(np.uint8)
    lawn = 1 + 0.35 * textured(x, y, 30) + 0.2 * textured(x, y, 5)
    colour[:] = np.array([84, 112, 52]) * lawn[..., None]
    edge = 2.6 + 0.05 * textured(np.zeros_like(x), y, 40)
    drive = seen & (np.abs(x) < edge) & (y < KERB_Y)
    colour[drive] = np.array([158, 150, 140]) * _paving(x, y)[drive][:, None]
    surface[drive] = Surface.DRIVE
    path = (y >= GATE_Y + 0.6) & (y < STREET_Y) & ~drive
    colour[path] = np.array([150, 148, 144]) * (1 + 0.1 * textured(x, y, 12))[path][:, None]
    street = (y >= STREET_Y) & (y < FAR_Y)
    colour[street] = np.array([92, 93, 97]) * (1 + 0.16 * textured(x, y, 24))[street][:, None]
    surface[street] = Surface.STREET
    middle = street & (np.abs(y - (STREET_Y + FAR_Y) / 2) < 0.09) & (x % 3 < 1.7)
    kerb = seen & ((np.abs(y - STREET_Y) < 0.1) | (np.abs(y - FAR_Y) < 0.12))
    colour[middle], colour[kerb] = (214, 212, 200), (186, 184, 178)
    depth = np.where(seen, np.hypot(np.hypot(x, y), 3.3), 60).astype(np.float32)
    return Model(np.clip(colour, 0, 255).astype(np.uint8), surface, depth)


def _leaves(canvas: Canvas, low: Point, high: Point, count: int, seed: int, *, green: Colour, size: float) -> None:
    """Fill a box of the world with leaves of up to a size in metres, the farthest first, the lower ones darker."""
    rng = np.random.default_rng(seed)
    spots = rng.uniform(low, high, (count, 3))
    # Rounded shoulders: the top thins out.
    spots[:, 2] = low[2] + (high[2] - low[2]) * rng.beta(1.1, 1.2, count)
    for x, y, z in spots[np.argsort(-spots[:, 1])]:
        shade = 0.5 + 0.6 * (z - low[2]) / (high[2] - low[2]) + rng.normal(0, 0.12)
        canvas.leaf((x, y, z), float(rng.uniform(0.4, 1.0)) * size, tone(green, shade))


def _box(canvas: Canvas, low: Point, high: Point, colour: Colour) -> None:
    """Draw the sides of an upright box that can be seen from the house: the ends, the top, the front."""
    (x0, y0, z0), (x1, y1, z1) = low, high
    if x0 > 0:
        canvas.face([(x0, y0, z0), (x0, y1, z0), (x0, y1, z1), (x0, y0, z1)], tone(colour, 0.9), Surface.LEFT)
    else:
        canvas.face([(x1, y0, z0), (x1, y1, z0), (x1, y1, z1), (x1, y0, z1)], tone(colour, 0.9), Surface.RIGHT)
    canvas.face([(x0, y0, z1), (x1, y0, z1), (x1, y1, z1), (x0, y1, z1)], tone(colour, 1.1), Surface.TOP)
    canvas.face([(x0, y0, z0), (x1, y0, z0), (x1, y0, z1), (x0, y0, z1)], colour, Surface.FRONT)


def _across_the_street(canvas: Canvas) -> None:
    """Draw the houses, trees and the fence on the far side."""
    for left, right, height, wall in ((-16.0, -6.5, 5.2, (176, 160, 138)), (3.0, 13.5, 6.0, (186, 178, 170))):
        back = FAR_Y + 6
        canvas.face(
            [(left, back, 0), (right, back, 0), (right, back, height), (left, back, height)], wall, Surface.FRONT
        )
        ridge = height + 2.4
        roof = [(left - 0.4, back, height), (right + 0.4, back, height), (right - 1, back + 3, ridge)]
        canvas.face([*roof, (left + 1, back + 3, ridge)], (112, 62, 50), Surface.FRONT)
        for x in steps(left + 1, right - 1.5, 2.6):
            for z in (0.9, 3.4):
                pane = [(x, back, z), (x + 1.2, back, z), (x + 1.2, back, z + 1.3), (x, back, z + 1.3)]
                lit = Surface.WINDOW if int(x * 3 + z) % 3 == 0 else Surface.GLASS
                canvas.face(pane, (96, 110, 122), lit)
    for index, (x, top) in enumerate(((-4.2, 6.0), (1.2, 5.2), (15.5, 6.5), (-18.0, 7.0))):
        canvas.stroke([(x, FAR_Y + 3, 0), (x, FAR_Y + 3, 2.4)], (84, 66, 50), 6)
        _leaves(
            canvas, (x - 1.7, FAR_Y + 2, 1.9), (x + 1.7, FAR_Y + 4, top), 900, 30 + index, green=(66, 88, 46), size=0.16
        )
    for x in steps(-20, 20, 0.24):
        slat = [(x, FAR_Y + 1.2, 0), (x + 0.18, FAR_Y + 1.2, 0), (x + 0.18, FAR_Y + 1.2, 1), (x, FAR_Y + 1.2, 1)]
        canvas.face(slat, tone((190, 188, 180), 0.9 + 0.1 * float(np.sin(x * 9))), Surface.FRONT)


def _pillar(canvas: Canvas, x: float) -> None:
    """Draw a brick pillar with its cap and lamp, hinges at GATE_Y."""
    low, high = (x - PILLAR / 2, GATE_Y - 0.2, 0.0), (x + PILLAR / 2, GATE_Y + 0.3, GATE_HEIGHT + 0.25)
    _box(canvas, low, high, BRICK)
    for course, z in enumerate(steps(0.1, GATE_HEIGHT + 0.2, 0.1)):
        canvas.stroke([(low[0], low[1], z), (high[0], low[1], z)], (176, 150, 132), 0.5)
        for across in steps(low[0] + 0.06 * (course % 2), high[0], 0.125):
            canvas.stroke([(across, low[1], z), (across, low[1], z + 0.1)], (170, 138, 120), 0.5)
    _box(canvas, (low[0] - 0.06, low[1] - 0.06, high[2]), (high[0] + 0.06, high[1], high[2] + 0.1), (172, 168, 160))
    _box(canvas, (x - 0.08, GATE_Y - 0.1, high[2] + 0.1), (x + 0.08, GATE_Y + 0.1, high[2] + 0.36), (210, 206, 190))


def _house(canvas: Canvas) -> None:
    """Draw the corner of the house to the left, with a downpipe."""
    wall_x, near, far = -4.1, 0.8, 5.2
    for y in steps(near, far, 0.4):
        strip = [(wall_x, y, 0), (wall_x, y + 0.4, 0), (wall_x, y + 0.4, 6), (wall_x, y, 6)]
        canvas.face(strip, (206, 196, 178), Surface.RIGHT)
        base = [(wall_x, y, 0), (wall_x, y + 0.4, 0), (wall_x, y + 0.4, 0.5), (wall_x, y, 0.5)]
        canvas.face(base, (140, 134, 126), Surface.RIGHT)
    pane = [(wall_x, 3.0, 1.0), (wall_x, 4.3, 1.0), (wall_x, 4.3, 2.3), (wall_x, 3.0, 2.3)]
    canvas.face(pane, (84, 100, 112), Surface.GLASS)
    canvas.stroke([*pane, pane[0]], (236, 234, 228), 5)
    canvas.stroke([pane[0], pane[3]], (236, 234, 228), 5)
    canvas.stroke([(wall_x + 0.05, far - 0.15, 0), (wall_x + 0.05, far - 0.15, 6)], (120, 112, 104), 6)


@lru_cache(maxsize=1)
def _surroundings() -> Model:
    """Return everything that never changes."""
    canvas = Canvas(_floor())
    _across_the_street(canvas)
    for side in (-1, 1):
        inner = GATE_HALF + PILLAR
        low, high = sorted((side * inner, side * 11.0))
        thicket = [(low, GATE_Y + 0.6, 0), (high, GATE_Y + 0.6, 0), (high, GATE_Y + 0.6, 1.6), (low, GATE_Y + 0.6, 1.6)]
        canvas.face(thicket, (30, 46, 24), Surface.FOLIAGE)
        _leaves(canvas, (low, GATE_Y, 0.0), (high, GATE_Y + 0.7, 1.9), 4200, 10 + side, green=(58, 92, 42), size=0.085)
        _pillar(canvas, side * (GATE_HALF + PILLAR / 2))
    _leaves(canvas, (3.3, 2.2, 0.0), (3.9, GATE_Y - 0.3, 0.8), 2600, 20, green=(70, 98, 44), size=0.07)
    _leaves(canvas, (-4.2, 5.2, 0.0), (-3.5, GATE_Y - 0.3, 0.7), 1300, 21, green=(70, 98, 44), size=0.07)
    _house(canvas)
    return canvas.model()


def leaf_corners(side: int, degrees: float, start: float = 0.0, end: float = 1.0) -> tuple[Point, Point]:
    """Return two points on the ground under a leaf of the gate, at fractions of its width from the hinge.

    side is -1 for the left leaf, 1 for the right; degrees is how far it is swung in towards the house.
    """
    reach, turn = GATE_HALF - 0.02, np.radians(degrees)
    spots = [
        (side * (GATE_HALF - part * reach * float(np.cos(turn))), GATE_Y - part * reach * float(np.sin(turn)), 0.0)
        for part in (start, end)
    ]
    return spots[0], spots[1]


def _gate_leaf(canvas: Canvas, side: int, degrees: float) -> None:
    """Draw one leaf: upright boards on an iron frame, a brace across."""
    facing = Surface.FRONT if degrees < 45 else (Surface.RIGHT if side < 0 else Surface.LEFT)
    rng = np.random.default_rng(40 + side)

    def panel(start: float, end: float, low: float, high: float, colour: Colour) -> None:
        (ax, ay, _), (bx, by, _) = leaf_corners(side, degrees, start, end)
        canvas.face([(ax, ay, low), (bx, by, low), (bx, by, high), (ax, ay, high)], colour, facing)

    panel(0, 1, 0.06, GATE_HEIGHT, tone(IRON, 0.6))
    boards = 14
    for board in range(boards):
        start = 0.02 + 0.96 * board / boards
        panel(start, start + 0.96 / boards - 0.008, 0.12, GATE_HEIGHT - 0.06, tone(WOOD, float(rng.normal(1, 0.09))))
    for low in (0.06, 1.05, GATE_HEIGHT - 0.1):
        panel(0, 1, low, low + 0.1, IRON)
    panel(0, 0.04, 0.06, GATE_HEIGHT, IRON)
    panel(0.96, 1, 0.06, GATE_HEIGHT, IRON)
    (ax, ay, _), (bx, by, _) = leaf_corners(side, degrees)
    canvas.stroke([(ax, ay, 0.15), (bx, by, GATE_HEIGHT - 0.05)], IRON, 4)


def car_rear(parked: float) -> float:
    """Return how far from the house (m) the rear of the car stands."""
    return 2.9 + 0.75 * parked


def _car(canvas: Canvas, paint: Colour, rear: float) -> None:
    """Draw a small car parked nose to the gate, seen from behind and above."""
    side, top = CAR_HALF, CAR_HALF - 0.14
    profile = ((0.0, 0.4), (0.0, 0.85), (0.12, 0.98), (0.5, 1.42), (2.0, 1.45), (2.65, 1.0), (3.5, 0.86), (3.65, 0.5))
    widths = (side, side, side, top, top, side - 0.05, side - 0.1, side - 0.06)

    def strip(first: int, colour: Colour, surface: Surface, inset: float = 0.0) -> None:
        (y0, z0), (y1, z1) = profile[first], profile[first + 1]
        w0, w1 = widths[first] - inset, widths[first + 1] - inset
        corners = [(-w0, rear + y0, z0), (w0, rear + y0, z0), (w1, rear + y1, z1), (-w1, rear + y1, z1)]
        canvas.face(corners, colour, surface)

    shadow = [
        (-side, rear - 0.05, 0),
        (side, rear - 0.05, 0),
        (side, rear + CAR_LENGTH, 0),
        (-side, rear + CAR_LENGTH, 0),
    ]
    canvas.face(shadow, (34, 33, 32), Surface.DRIVE)
    for flank, surface in ((-side, Surface.LEFT), (side, Surface.RIGHT)):
        _flank(canvas, flank, rear, paint, surface)
    for x in (-side + 0.02, side - 0.2):
        tyre = [(x, rear + 0.4, 0), (x + 0.18, rear + 0.4, 0), (x + 0.18, rear + 0.4, 0.4), (x, rear + 0.4, 0.4)]
        canvas.face(tyre, (24, 24, 26), Surface.FRONT)
    strip(5, tone(paint, 1.05), Surface.TOP)
    strip(4, (52, 62, 70), Surface.GLASS, 0.06)
    strip(3, tone(paint, 1.08), Surface.TOP)
    strip(2, paint, Surface.TOP)
    strip(2, (46, 54, 62), Surface.GLASS, 0.12)
    strip(1, tone(paint, 0.95), Surface.TOP)
    strip(0, tone(paint, 0.85), Surface.FRONT)
    bumper = [
        (-side, rear - 0.02, 0.28),
        (side, rear - 0.02, 0.28),
        (side, rear - 0.02, 0.5),
        (-side, rear - 0.02, 0.5),
    ]
    canvas.face(bumper, (44, 44, 46), Surface.FRONT)
    _rear_details(canvas, rear)


def _flank(canvas: Canvas, x: float, rear: float, paint: Colour, surface: Surface) -> None:
    """Draw one side of the car: body, windows, wheels."""
    top = x * (CAR_HALF - 0.14) / CAR_HALF

    def area(outline: Sequence[tuple[float, float]], colour: Colour, kind: Surface) -> None:
        canvas.face([(top if z > 1.2 else x, rear + y, z) for y, z in outline], colour, kind)

    body = ((0.0, 0.28), (0.0, 0.85), (0.12, 0.98), (2.65, 1.0), (3.5, 0.86), (3.65, 0.5), (3.6, 0.28))
    area(body, tone(paint, 0.9), surface)
    area(((0.12, 0.98), (0.5, 1.42), (2.0, 1.45), (2.65, 1.0)), tone(paint, 0.95), surface)
    area(((0.3, 1.0), (0.6, 1.36), (1.9, 1.38), (2.45, 1.02)), (48, 56, 64), Surface.GLASS)
    for hub in (0.65, 2.9):
        turn = np.linspace(0, 2 * np.pi, 20)
        for radius, colour in ((0.3, (28, 28, 30)), (0.18, (150, 152, 154))):
            wheel = [(hub + radius * float(np.cos(a)), 0.3 + radius * float(np.sin(a))) for a in turn]
            area(wheel, colour, surface)


def _rear_details(canvas: Canvas, rear: float) -> None:
    """Draw the rear lights and the number plate."""
    y = rear - 0.03
    for left, right in ((-0.8, -0.56), (0.56, 0.8)):
        lamp = [(left, y, 0.62), (right, y, 0.62), (right, y, 0.82), (left, y, 0.82)]
        canvas.face(lamp, (150, 20, 22), Surface.PLATE)
    plate = [(-0.26, y, 0.56), (0.26, y, 0.56), (0.26, y, 0.67), (-0.26, y, 0.67)]
    canvas.face(plate, (232, 230, 214), Surface.PLATE)
    for x in steps(-0.2, 0.2, 0.07):
        canvas.stroke([(float(x), y, 0.58), (float(x) + 0.03, y, 0.65)], (40, 40, 44), 1)


@lru_cache(maxsize=6)
def model(gate_open: bool, paint: int | None, parked: float) -> Model:
    """Return the driveway with its gate open or closed, and a car of a paint (None: no car) at a place (0 to 1)."""
    canvas = Canvas(_surroundings())
    degrees = OPEN_DEGREES if gate_open else 0.0
    for side in (-1, 1):
        _gate_leaf(canvas, side, degrees)
    if paint is not None:
        _car(canvas, CAR_PAINTS[paint], car_rear(parked))
    drawn = canvas.model()
    assert drawn.colour.shape == (CANVAS[1], CANVAS[0], 3)
    return drawn
