"""Camera health on genuine frames: false alarms, and what is found of faults made from them.

Takes folders of pictures by class whose files begin with their group (a camera, or a day) and ``__``. Prints one JSON object: how
many genuine frames are called black or blinded, and frames darkened and washed out; and for each folder that has cameras, where
single looks show the background by the way that the camera was moved, and what is told over simulated days. Run it with the
environment of the tests: what is judged over time belongs to the shell.
"""

import argparse
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from io import BytesIO
import json
import math
from pathlib import Path
import random
import time
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from embedding import Background, BackgroundPlace, edges, learn_background, measure_picture

KEPT: Final = 0.8
"""Share of a genuine frame that the simulated camera sees: what lies around it comes into view when it is moved."""
MOVES: Final[Mapping[str, Mapping[str, float]]] = {
    "none": {},
    "shift_3_percent": {"right": 0.03},
    "shift_5_percent": {"right": 0.05, "down": 0.02},
    "shift_10_percent": {"right": -0.08, "down": 0.06},
    "zoom_1.1": {"zoom": 1.1},
    "zoom_1.25": {"zoom": 1.25},
    "turn_3_degrees": {"turn": 3},
    "turn_8_degrees": {"turn": -8},
}
EVERY: Final = 600.0
"""Seconds between two looks of the simulated days."""
MORNING, EVENING, DAY = 7 * 3600.0, 18 * 3600.0, 86400.0

Edges: TypeAlias = NDArray[np.complex64]


class Look(NamedTuple):
    """One genuine frame of a camera."""

    night: bool
    places: Mapping[str, BackgroundPlace]
    """Where it shows the background, by how the camera was moved."""


class Judge:
    """What the shell makes of looks, one after the other. It knows the core by another name than the bench."""

    def __init__(self) -> None:
        """Begin with a camera in its place."""
        shell: Any = import_module("custom_components.coral_imprint.classifiers.looking.health")
        self._where, self._place = shell.Whereabouts(), shell.BackgroundPlace

    def observe(self, place: BackgroundPlace, now: float) -> bool:
        """Take in where a look, at this second, showed the background; return whether the camera is told to have been moved."""
        return bool(self._where.observe(self._place(place.value), now))


def seen(picture: Image.Image, right: float = 0, down: float = 0, zoom: float = 1, turn: float = 0) -> Edges:
    """Return the edges of what a moved camera sees of a picture."""
    width, height = picture.size
    across, along = width * KEPT / zoom, height * KEPT / zoom
    x, y = width * (0.5 + right * KEPT), height * (0.5 + down * KEPT)
    cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    a, b, d, e = cos * across / 256, -sin * along / 256, sin * across / 256, cos * along / 256
    matrix = (a, b, x - 128 * (a + b), d, e, y - 128 * (d + e))
    frame = picture.transform((256, 256), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
    return edges(measure_picture(jpeg(frame)).luma)


def jpeg(picture: Image.Image) -> bytes:
    """Encode as cameras do."""
    buffer = BytesIO()
    picture.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def dull(paths: Iterable[Path]) -> Counter[str]:
    """Count what genuine frames, and frames that show nothing any more, are called."""
    found: Counter[str] = Counter()
    for number, path in enumerate(paths):
        data = path.read_bytes()
        pictures = {"genuine": data}
        if number % 10 == 0:
            with Image.open(BytesIO(data)) as picture:
                pixels = np.asarray(picture.convert("RGB"), np.float32)
            noise = np.random.default_rng(number).normal(0, 2, pixels.shape)
            faults = {"darkened": pixels * 0.06 + 3, "washed_out": 244 + pixels * 0.04, "fogged": 150 + pixels * 0.04}
            for name, shown in faults.items():
                pictures[name] = jpeg(Image.fromarray((shown + noise).clip(0, 255).astype(np.uint8)))
        for name, shown_data in pictures.items():
            condition = measure_picture(shown_data)
            called = "black" if condition.black else "blinded" if condition.blinded else "fit"
            found[f"{name}_called_{called}"] += 1
    return found


def learned(classes: Sequence[Sequence[Path]], count: int, chance: random.Random) -> Background | None:
    """Learn the background from some frames of each class, ``count`` in all."""
    taught = [chance.sample(list(paths), min(len(paths), count // len(classes))) for paths in classes]
    return learn_background([[seen(opened(path)) for path in paths] for paths in taught])


def opened(path: Path) -> Image.Image:
    """Read a picture."""
    with Image.open(path) as picture:
        return picture.convert("RGB")


def looks(background: Background, paths: Sequence[Path], other: Sequence[Path], chance: random.Random) -> list[Look]:
    """Look at a camera's frames, moved in each way, and at another camera's in their place."""
    found = []
    for path in paths:
        picture = opened(path)
        places = {name: background.find(seen(picture, **move)).place for name, move in MOVES.items()}
        places["other_view"] = background.find(seen(opened(chance.choice(other)))).place
        found.append(Look(path.parent.name == "night", places))
    return found


def told(found: Sequence[Look], move: str, days: int, chance: random.Random) -> float | None:
    """Let days pass, the camera moved at noon of the second; return after how many hours that is told, None: never.

    With ``none``, after how many hours it is told though nothing happened. Each look is one of the genuine frames of that time of day.
    """
    where = Judge()
    day, night = ([look for look in found if look.night is dark] or list(found) for dark in (False, True))
    moved_at = DAY + 43200
    now = 0.0
    while now < days * DAY:
        look = chance.choice(day if MORNING <= now % DAY < EVENING else night)
        if where.observe(look.places[move if now >= moved_at else "none"], now):
            return (now - moved_at) / 3600
        now += EVERY
    return None


def cameras_of(folder: Path, least: int) -> dict[str, list[Path]]:
    """Return the frames of each camera that has enough of them."""
    cameras: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*/*.jpg"), key=lambda path: path.name):
        cameras.setdefault(path.name.partition("__")[0], []).append(path)
    return {name: paths for name, paths in cameras.items() if len(paths) >= least}


def moved(folder: Path, count: int, days: int, by_day_only: bool, seed: int) -> dict[str, Any]:
    """Measure what is told of moved cameras where ``count`` examples of each were taught."""
    chance = random.Random(seed)
    cameras = cameras_of(folder, count + 8)
    single: dict[str, Counter[str]] = {name: Counter() for name in [*MOVES, "other_view"]}
    over_days: dict[str, list[float | None]] = {name: [] for name in single}
    without = 0
    for name, paths in cameras.items():
        teachable = [path for path in paths if path.parent.name == "day"] if by_day_only else paths
        if len(teachable) < count:
            continue
        # There is nothing to tell apart here: classes are drawn by lot.
        taught = chance.sample(teachable, count)
        background = learned([taught[::2], taught[1::2]], count, chance)
        if background is None:
            without += 1
            continue
        rest = [path for path in paths if path not in taught]
        other = [path for key, others in cameras.items() if key != name for path in others]
        found = looks(background, rest, other, chance)
        for move, counts in single.items():
            counts.update(look.places[move].value for look in found)
            over_days[move].append(told(found, move, days, chance))
    return {
        "cameras": len(cameras),
        "without_a_background": without,
        "single_looks_percent": {
            move: {
                place.value: round(100 * counts[place.value] / max(1, counts.total()), 1) for place in BackgroundPlace
            }
            for move, counts in single.items()
        },
        "told": {
            move: {
                "cameras": len(hours),
                "before_it_was_moved": sum(hour is not None and hour < 0 for hour in hours),
                "within_1_hour": sum(hour is not None and 0 <= hour <= 1 for hour in hours),
                "within_a_day": sum(hour is not None and 0 <= hour <= 24 for hour in hours),
                "ever": sum(hour is not None and hour >= 0 for hour in hours),
            }
            for move, hours in over_days.items()
        },
    }


def in_time(folder: Path, days: tuple[str, str], count: int, seed: int) -> dict[str, Any]:
    """Look at one camera's frames in time order (files named date ``__`` time), taught from the days between two dates."""
    paths = sorted(folder.glob("*/*.jpg"), key=lambda path: path.name)
    names = sorted({path.parent.name for path in paths})
    first, last = days
    taught = [path for path in paths if first <= path.name[:10] <= last]
    background = learned(
        [[path for path in taught if path.parent.name == name] for name in names], count, random.Random(seed)
    )
    if background is None:
        return {"taught": [first, last], "without_a_background": 1}
    counts: dict[str, Counter[str]] = {when: Counter() for when in ("before", "taught", "after")}
    where, alarms = Judge(), 0
    for path in paths:
        when = "before" if path.name[:10] < first else "after" if path.name[:10] > last else "taught"
        place = background.find(seen(opened(path))).place
        counts[when][f"{path.parent.name}_{place.value}"] += 1
        if when == "after":
            alarms += where.observe(place, time.mktime(time.strptime(path.stem, "%Y-%m-%d__%H-%M-%S")))
    return {
        "taught": [first, last],
        "looks": {when: dict(sorted(found.items())) for when, found in counts.items()},
        "looks_after_that_are_told_moved": alarms,
    }


def speed(picture: bytes, rounds: int) -> dict[str, float]:
    """Return the milliseconds of each step of a look, the best of some."""
    luma = measure_picture(picture).luma
    frame = edges(luma)
    background = Background(frame)
    elsewhere = edges(np.ascontiguousarray(np.roll(luma, 5, axis=1)))
    steps: dict[str, Callable[[], object]] = {
        "measure": lambda: measure_picture(picture).blinded,
        "edges": lambda: edges(luma),
        "recognise": lambda: background.find(frame),
        "search": lambda: background.find(elsewhere),
    }
    best = dict.fromkeys(steps, math.inf)
    for _ in range(rounds):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            best[name] = min(best[name], 1000 * (time.perf_counter() - start))
    return {name: round(ms, 3) for name, ms in best.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, help="folders of genuine frames, by class")
    parser.add_argument(
        "--cameras", type=Path, help="of them the one whose groups are cameras, with classes day and night"
    )
    parser.add_argument(
        "--in-time", type=Path, help="of them the one that is a single camera's, its files named by time"
    )
    parser.add_argument(
        "--taught",
        nargs=2,
        action="append",
        default=[],
        metavar="DATE",
        help="first and last day that it is taught from",
    )
    parser.add_argument("--examples", type=int, default=6, help="examples taught of each camera")
    parser.add_argument("--days", type=int, default=6, help="simulated days of each camera")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    frames = {folder.name: sorted(folder.glob("*/*.jpg")) for folder in options.folders}
    report: dict[str, Any] = {
        "dull": {name: dict(sorted(dull(paths).items())) for name, paths in frames.items()},
        "best_ms": speed(next(path.read_bytes() for paths in frames.values() for path in paths), 200),
    }
    if options.cameras:
        for name, by_day_only in (("taught_by_day_and_night", False), ("taught_by_day", True)):
            report[name] = moved(options.cameras, options.examples, options.days, by_day_only, options.seed)
    if options.in_time:
        report["in_time"] = [
            in_time(options.in_time, (first, last), options.examples * 4, options.seed)
            for first, last in options.taught
        ]
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
