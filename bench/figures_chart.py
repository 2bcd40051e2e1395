"""The chart of few-shot accuracy as SVG: one panel a set, and a larger one of their mean."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
import math
from typing import Any, Final
from xml.sax.saxutils import escape

from bench.figures_tables import METHODS, OURS, Parts, column_of, folders_of, mean_of

SHOTS: Final = (1, 5, 20)
WIDTH: Final = 960
HEIGHT: Final = 560
_SPACING: Final = 17
"""Least distance of two labels' baselines."""
_DODGE: Final = 5
"""By how much the methods stand side by side, so that their intervals don't cover each other."""

_STYLE: Final = """
  text { font: 13px system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; fill: #1f2328 }
  .back { fill: #ffffff } .quiet { fill: #59636e; font-size: 12px } .title { font-weight: 600 } .grid { stroke: #d1d9e0; stroke-width: 1 }
  .line { fill: none; stroke-width: 1.5 } .line.auto { stroke-width: 2.5 } .bar { stroke-width: 1.5 } .lead { stroke-width: 1; fill: none }
  .auto { stroke: #0969da } .logistic { stroke: #1a7f37 } .kNN { stroke: #8250df } .pycoral { stroke: #bc4c00 }
  circle.auto, text.auto { fill: #0969da } circle.logistic, text.logistic { fill: #1a7f37 }
  circle.kNN, text.kNN { fill: #8250df } circle.pycoral, text.pycoral { fill: #bc4c00 }
  text.auto, text.logistic, text.kNN, text.pycoral { stroke: none } text.auto { font-weight: 600 }
  .pycoral.line { stroke-dasharray: 6 3 } .kNN.line { stroke-dasharray: 2 2 }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc } .back { fill: #0d1117 } .quiet { fill: #9198a1 } .grid { stroke: #3d444d }
    .auto { stroke: #58a6ff } .logistic { stroke: #3fb950 } .kNN { stroke: #bc8cff } .pycoral { stroke: #f0883e }
    circle.auto, text.auto { fill: #58a6ff } circle.logistic, text.logistic { fill: #3fb950 }
    circle.kNN, text.kNN { fill: #bc8cff } circle.pycoral, text.pycoral { fill: #f0883e }
  }
"""

Point = tuple[float, float]
"""A mean in percent and half its 95 % interval."""

Curves = Mapping[str, Sequence[Point]]
"""By method, a point for each of SHOTS."""


@dataclass(frozen=True, slots=True)
class Panel:
    """Where a panel stands, in pixels: the corners of its plot; ``lowest`` is the percentage at its bottom, 100 is at its top."""

    title: str
    left: float
    top: float
    right: float
    bottom: float
    lowest: int = 0

    def x(self, shots: int) -> float:
        """Return where a number of examples stands: as its logarithm, with a margin at both sides."""
        margin = 16
        share = math.log(shots / SHOTS[0]) / math.log(SHOTS[-1] / SHOTS[0])
        return self.left + margin + share * (self.right - self.left - 2 * margin)

    def y(self, percent: float) -> float:
        """Return where an accuracy stands."""
        return self.bottom - (percent - self.lowest) / (100 - self.lowest) * (self.bottom - self.top)


def line(name: str, x1: float, y1: float, x2: float, y2: float) -> str:
    """Return a straight line of a class of the style."""
    return f'<line class="{name}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def text(content: str, x: float, y: float, name: str = "", anchor: str = "start") -> str:
    """Return a text whose baseline begins, or ends, at a place."""
    return f'<text class="{name}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(content)}</text>'


def frame(panel: Panel) -> Iterable[str]:
    """Draw a panel's title, levels and numbers of examples."""
    yield text(panel.title, panel.left, panel.top - 12, "title")
    for level in (panel.lowest, (panel.lowest + 100) / 2, 100):
        yield line("grid", panel.left, panel.y(level), panel.right, panel.y(level))
        yield text(f"{level:.0f} %", panel.left - 6, panel.y(level) + 4, "quiet", "end")
    for shots in SHOTS:
        yield text(str(shots), panel.x(shots), panel.bottom + 17, "quiet", "middle")


def curve(panel: Panel, method: str, points: Sequence[Point]) -> Iterable[str]:
    """Draw a method's means, joined, and their intervals."""
    aside = (list(METHODS).index(method) - (len(METHODS) - 1) / 2) * _DODGE
    places = [(panel.x(shots) + aside, panel.y(mean)) for shots, (mean, _) in zip(SHOTS, points, strict=True)]
    yield f'<polyline class="line {method}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in places)}"/>'
    for (x, y), (mean, half) in zip(places, points, strict=True):
        yield line(f"bar {method}", x, panel.y(mean - half), x, panel.y(min(mean + half, 100)))
        yield f'<circle class="{method}" cx="{x:.1f}" cy="{y:.1f}" r="{3.5 if method == OURS else 2.5}"/>'


def apart(heights: Mapping[str, float], spacing: float, lowest: float) -> dict[str, float]:
    """Return heights moved so that neighbours are ``spacing`` apart and none is below ``lowest`` (the largest y)."""
    placed: dict[str, float] = {}
    below = lowest + spacing
    for name in sorted(heights, key=lambda one: -heights[one]):
        below = min(heights[name], below - spacing)
        placed[name] = below
    return placed


def labels(panel: Panel, ends: Mapping[str, float]) -> Iterable[str]:
    """Name the methods beside the ends of their lines, percent by method."""
    heights = {method: panel.y(percent) for method, percent in ends.items()}
    for method, height in apart(heights, _SPACING, panel.bottom).items():
        start = panel.x(SHOTS[-1]) + 8
        yield line(f"lead {method}", start, heights[method], panel.right + 6, height)
        yield text(f"{METHODS[method]} {ends[method]:.1f}", panel.right + 9, height + 4, method)


def panels(names: Sequence[str]) -> tuple[Panel, list[Panel]]:
    """Return the panel of the mean, and those of the sets in two columns beside it."""
    rows = math.ceil(len(names) / 2)
    step = (HEIGHT - 20) / rows
    small = []
    for number, name in enumerate(names):
        top, left = 40 + step * (number // 2), 560 + 210 * (number % 2)
        small.append(Panel(name, left, top, left + 160, top + step - 58))
    return Panel(f"mean of {len(names)} sets", 56, 105, 316, HEIGHT - 78), small


def fitted(panel: Panel, curves: Curves) -> Panel:
    """Return the panel with a bottom, a multiple of ten, that is below all intervals."""
    least = min(mean - half for points in curves.values() for mean, half in points)
    return replace(panel, lowest=int(least // 10 * 10))


def curves_of(cell: Callable[[str, str], Point], least: int) -> Curves:
    """Return every method's points; ``cell`` gives that of a number of examples and a column of the heads' report."""
    return {name: [cell(str(k), column_of(name, str(k), least)) for k in SHOTS] for name in METHODS}


def in_set(folder: Mapping[str, Any], case: str, column: str) -> Point:
    """Return what a column reached in one set."""
    found = folder[case][column]
    return found["accuracy"], found["ci95"]


def few_shot(parts: Parts, least: int) -> str:
    """Return the chart of a heads' report; ``least`` as of `figures_tables.column_of`."""
    folders = folders_of(parts)
    mean, small = panels(list(folders))
    every = curves_of(partial(mean_of, folders), least)
    mean = fitted(mean, every)
    drawn = [
        text("Accuracy by the number of examples a class", 16, 28, "title"),
        text("Up to five classes; bars: 95 % intervals; each panel has its own scale", 16, 48, "quiet"),
        *plot(mean, every),
        *labels(mean, {method: points[-1][0] for method, points in every.items()}),
        text("examples a class", (mean.left + mean.right) / 2, mean.bottom + 40, "quiet", "middle"),
    ]
    for panel in small:
        own = curves_of(partial(in_set, folders[panel.title]), least)
        drawn += plot(fitted(panel, own), own)
    return "\n".join([*_head(), *drawn, "</svg>", ""])


def plot(panel: Panel, curves: Curves) -> Iterable[str]:
    """Draw a panel, ours on top."""
    yield from frame(panel)
    for method in reversed(list(curves)):
        yield from curve(panel, method, curves[method])


def _head() -> list[str]:
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img">',
        f"<title>Accuracy by the number of examples a class: {', '.join(METHODS.values())}</title>",
        f"<style>{_STYLE}</style>",
        f'<rect class="back" width="{WIDTH}" height="{HEIGHT}"/>',
    ]
