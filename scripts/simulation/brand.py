"""Draws the integration's icon and logo: a coral in a camera's lens, one of its tips imprinted.

Run from the repository's root: ``python -m scripts.simulation.brand`` writes the eight files that Home Assistant looks for.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
import math
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

FOLDER = Path("custom_components/coral_imprint/brand")
ICON, LOGO = 256, 128
"""Side of the icon and height of the logo in pixels; the @2x files are twice that."""
OVERSAMPLE = 8
WORDS = "Coral Imprint"

type Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Palette:
    """The colours of one variant."""

    ring: Colour
    lens: Colour
    coral: Colour
    imprint: Colour
    words: Colour


LIGHT = Palette((20, 50, 74), (222, 241, 240), (255, 107, 87), (0, 150, 143), (20, 50, 74))
DARK = Palette((219, 232, 238), (20, 46, 66), (255, 122, 102), (64, 214, 202), (236, 243, 246))

RING_RADIUS, OPENING_RADIUS = 0.48, 0.415
"""Radius of the lens, and of the corners of the aperture's opening, in sides of the icon."""
BLADES = 8
SLIT = 0.011
"""Width of the slit between two blades."""
IMPRINT_RADIUS = 0.058


@dataclass(frozen=True)
class Branch:
    """A stem of the coral, in sides of the icon: where it starts, where it ends, how thick it is there."""

    start: tuple[float, float]
    end: tuple[float, float]
    thick: tuple[float, float]


FORK_LOW, FORK_HIGH, FORK_LEFT, FORK_RIGHT = (0.5, 0.645), (0.515, 0.475), (0.36, 0.52), (0.645, 0.53)
TIP = (0.515, 0.25)
"""The imprinted one."""
CORAL = (
    Branch((0.5, 0.9), FORK_LOW, (0.12, 0.088)),
    Branch(FORK_LOW, FORK_LEFT, (0.07, 0.06)),
    Branch(FORK_LEFT, (0.24, 0.47), (0.058, 0.052)),
    Branch(FORK_LEFT, (0.355, 0.32), (0.058, 0.052)),
    Branch(FORK_LOW, FORK_HIGH, (0.076, 0.064)),
    Branch(FORK_HIGH, TIP, (0.062, 0.05)),
    Branch((0.5, 0.72), FORK_RIGHT, (0.07, 0.06)),
    Branch(FORK_RIGHT, (0.755, 0.455), (0.058, 0.052)),
    Branch(FORK_RIGHT, (0.66, 0.335), (0.058, 0.052)),
)


def _disc(draw: ImageDraw.ImageDraw, middle: tuple[float, float], radius: float, colour: Colour) -> None:
    """Fill a circle, in canvas pixels."""
    x, y = middle
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def _stem(draw: ImageDraw.ImageDraw, branch: Branch, side: int, colour: Colour) -> None:
    """Fill a tapering stem with round ends, on a canvas of a side in pixels."""
    (x0, y0), (x1, y1) = ((x * side, y * side) for x, y in (branch.start, branch.end))
    r0, r1 = (width * side / 2 for width in branch.thick)
    length = math.hypot(x1 - x0, y1 - y0)
    nx, ny = (y1 - y0) / length, (x0 - x1) / length
    outline = [(x0 + nx * r0, y0 + ny * r0), (x1 + nx * r1, y1 + ny * r1)]
    outline += [(x1 - nx * r1, y1 - ny * r1), (x0 - nx * r0, y0 - ny * r0)]
    draw.polygon(outline, fill=colour)
    _disc(draw, (x0, y0), r0, colour)
    _disc(draw, (x1, y1), r1, colour)


def _aperture(side: int) -> Image.Image:
    """Return the mask of the aperture's closed part, of a side in pixels: a disc of blades around an opening."""
    mask = Image.new("L", (side, side))
    draw = ImageDraw.Draw(mask)
    draw.circle((side / 2, side / 2), RING_RADIUS * side, fill=255)
    turns = [2 * math.pi * (blade + 0.5) / BLADES for blade in range(BLADES)]
    corners = [
        ((0.5 + OPENING_RADIUS * math.cos(a)) * side, (0.5 + OPENING_RADIUS * math.sin(a)) * side) for a in turns
    ]
    draw.polygon(corners, fill=0)
    for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
        # A blade's edge runs on beyond the corner; the slit is cut from the next blade.
        length = math.hypot(x1 - x0, y1 - y0)
        inx, iny = (y0 - y1) / length * SLIT * side, (x1 - x0) / length * SLIT * side
        x2, y2 = 2 * x1 - x0, 2 * y1 - y0
        draw.polygon([(x1, y1), (x2, y2), (x2 + inx, y2 + iny), (x1 + inx, y1 + iny)], fill=0)
    return mask


def icon(side: int, palette: Palette) -> Image.Image:
    """Return the icon, RGBA, of a side in pixels."""
    large = side * OVERSAMPLE
    image = Image.new("RGBA", (large, large))
    draw = ImageDraw.Draw(image)
    middle = (large / 2, large / 2)
    _disc(draw, middle, (RING_RADIUS - 0.01) * large, palette.lens)
    for branch in CORAL:
        _stem(draw, branch, large, palette.coral)
    image.paste((*palette.ring, 255), mask=_aperture(large))
    tip = (TIP[0] * large, TIP[1] * large)
    _disc(draw, tip, (IMPRINT_RADIUS + 0.028) * large, palette.lens)
    _disc(draw, tip, IMPRINT_RADIUS * large, palette.imprint)
    return image.reduce(OVERSAMPLE)


def logo(scale: int, palette: Palette) -> Image.Image:
    """Return the icon with the integration's name beside it, RGBA, scale (a divisor of OVERSAMPLE) times LOGO pixels high."""
    large = LOGO * OVERSAMPLE
    font = ImageFont.load_default(large * 0.5)
    stroke = large // 110
    left, top, right, bottom = font.getbbox(WORDS, stroke_width=stroke)
    gap = large // 7
    wide = math.ceil((large + gap + right - left + gap / 2) / OVERSAMPLE) * OVERSAMPLE
    image = Image.new("RGBA", (wide, large), (*palette.words, 0))
    draw = ImageDraw.Draw(image)
    place = (large + gap - left, (large - (bottom - top)) / 2 - top + large * 0.03)
    draw.text(place, WORDS, font=font, fill=palette.words, stroke_width=stroke)
    small = image.reduce(OVERSAMPLE // scale)
    small.paste(icon(LOGO * scale, palette), (0, 0))
    return small


def write(folder: Path) -> list[Path]:
    """Write all variants into a folder that exists, and return their paths."""
    paths = []
    for prefix, palette in (("", LIGHT), ("dark_", DARK)):
        for suffix, scale in (("", 1), ("@2x", 2)):
            for name, image in (("icon", icon(ICON * scale, palette)), ("logo", logo(scale, palette))):
                path = folder / f"{prefix}{name}{suffix}.png"
                image.save(path, optimize=True)
                paths.append(path)
    return paths


def run(description: str, folder: Path, write: Callable[[Path], list[Path]]) -> None:
    """Read the command line, write into the folder it names, and tell what was written."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--folder", type=Path, default=folder, help="where to write them (default: %(default)s)")
    for path in write(parser.parse_args().folder):
        print(f"{path}: {path.stat().st_size / 1000:.1f} kB")


def main() -> None:
    """Run from the command line."""
    run("Draw the integration's icon and logo.", FOLDER, write)


if __name__ == "__main__":
    main()
