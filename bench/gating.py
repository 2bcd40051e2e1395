"""What reusing the embedding of a picture that hardly changed saves, and whether it changes answers.

Sequences are folders of a folder per class whose files' names sort in time order (``<day>__<time>``), and ``--driveway``: days of the
drawn driveway, looked at every ``--step`` simulated seconds, its gate's region. Classes are taught by pictures of the first days;
all later pictures are looks, in order, decided by the integration's own rules. Every picture is embedded once; each threshold is
then played back: the last embedding is taken until the thumbnail differs by it from the one that was embedded, or ``--refresh`` looks
have passed. Prints one JSON object: for each sequence and threshold, in percent, looks saved, looks whose most probable class is
another, looks after which the decided class is another, and the longest that one decision came later, in looks. ``ms`` is what a
look takes in the embedder, embedded and reused, at ``--size``.
"""

import argparse
import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import pairwise
from pathlib import Path
import sys
import time
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.command import existing_folder, print_report
from embedding import BUILTIN, WHOLE, Embedder, Region, Wanted, open_embedder, thumbnail_change
from imprinting import Decision, Head, fit
from imprinting.decision.decision import Rules
from scripts.simulation.driveway import CYCLE_S, GATE_REGION, jpeg, scene_at

THRESHOLDS: Final = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 20.0, 30.0)
"""Percent of the thumbnails' change."""
TIMED: Final = 60


@dataclass(frozen=True)
class Look:
    """One picture of a sequence."""

    label: str
    day: str
    vector: NDArray[np.float32]
    thumbnail: NDArray[np.float32]


@dataclass(frozen=True)
class Played:
    """What was answered, look by look."""

    embedded: int
    best: list[str | None]
    decided: list[str | None]


def pictures(folder: Path) -> list[tuple[str, str, bytes]]:
    """Return class, day and picture of every file of a folder, in time order."""
    files = sorted((path for path in folder.glob("*/*.jpg")), key=lambda path: path.name)
    return [(path.parent.name, path.name.partition("__")[0], path.read_bytes()) for path in files]


def drive(days: int, step: float, seed: int) -> Iterable[tuple[str, str, bytes]]:
    """Yield the gate's state, the day and the picture of every look at the driveway."""
    for number in range(int(days * CYCLE_S / step)):
        moment = number * step
        scene = scene_at(moment, seed)
        yield scene.gate, str(int(moment / CYCLE_S)), jpeg(scene, number)


async def embedded(embedder: Embedder, sequence: Iterable[tuple[str, str, bytes]], region: Region) -> list[Look]:
    """Embed every picture."""
    looks = []
    for label, day, picture in sequence:
        (seen,) = await embedder.see(picture, [Wanted(region)])
        looks.append(Look(label, day, seen.vector, seen.thumbnail))
    return looks


def taught(looks: Sequence[Look], shots: int, taught_days: int) -> tuple[Head, list[Look]]:
    """Return a head taught by some pictures of the first days, and all looks after them."""
    days = list(dict.fromkeys(look.day for look in looks))[:taught_days]
    early = [look for look in looks if look.day in days]
    by_class: dict[str, NDArray[np.float32]] = {}
    for label in sorted({look.label for look in looks}):
        own = [look.vector for look in early if look.label == label]
        rows = np.linspace(0, len(own) - 1, min(shots, len(own))).astype(int)
        by_class[label] = np.stack([own[row] for row in rows])
    return fit(by_class), [look for look in looks if look.day not in days]


def play(head: Head, looks: Sequence[Look], least_change: float, refresh: int, interval: float) -> Played:
    """Look at a sequence, reusing what hardly changed."""
    decision = Decision(Rules())
    played = Played(0, [], [])
    before, age, embedded_count = looks[0], refresh, 0
    for number, look in enumerate(looks):
        if age >= refresh or thumbnail_change(before.thumbnail, look.thumbnail) >= least_change:
            before, age, embedded_count = look, 0, embedded_count + 1
        age += 1
        scores = head.score(before.vector)
        played.best.append(scores.best)
        played.decided.append(decision.update(scores, number * interval).current)
    return Played(embedded_count, played.best, played.decided)


def longest_run(differs: Iterable[bool]) -> int:
    """Return the most looks in a row that differ."""
    longest = run = 0
    for one in differs:
        run = run + 1 if one else 0
        longest = max(longest, run)
    return longest


def compared(looks: Sequence[Look], plain: Played, gated: Played) -> dict[str, float]:
    """Return what gating saved and changed."""
    count = len(looks)
    best = [one != other for one, other in zip(plain.best, gated.best, strict=True)]
    decided = [one != other for one, other in zip(plain.decided, gated.decided, strict=True)]
    right = [answer == look.label for answer, look in zip(gated.decided, looks, strict=True)]
    return {
        "saved": round(100 * (1 - gated.embedded / count), 2),
        "other_best": round(100 * sum(best) / count, 3),
        "other_decision": round(100 * sum(decided) / count, 3),
        "longest_other_decision": longest_run(decided),
        "right": round(100 * sum(right) / count, 2),
    }


def report(looks: Sequence[Look], options: argparse.Namespace) -> dict[str, Any]:
    """Play a sequence back at every threshold."""
    head, later = taught(looks, options.shots, options.taught_days)
    plain = play(head, later, 0.0, 1, options.interval)
    right = [answer == look.label for answer, look in zip(plain.decided, later, strict=True)]
    changes = [thumbnail_change(one.thumbnail, two.thumbnail) for one, two in pairwise(later)]
    return {
        "looks": len(later),
        "right": round(100 * sum(right) / len(later), 2),
        "change": {f"{part}%": round(float(np.percentile(changes, part)), 2) for part in (10, 50, 90)},
        "thresholds": {
            str(least): compared(later, plain, play(head, later, least, options.refresh, options.interval))
            for least in THRESHOLDS
        },
    }


async def times(embedder: Embedder, size: tuple[int, int]) -> Mapping[str, float]:
    """Return the median milliseconds of a look at a drawn frame of this size, embedded and reused."""
    stream = BytesIO()
    Image.open(BytesIO(jpeg(scene_at(100, 0), 0))).resize(size).save(stream, "JPEG", quality=82)
    picture = stream.getvalue()
    (seen,) = await embedder.see(picture, [Wanted(WHOLE)])
    taken: dict[str, list[float]] = {"embedded": [], "reused": []}
    for _ in range(TIMED):
        for name, wanted in (("embedded", Wanted(WHOLE)), ("reused", Wanted(WHOLE, seen, 1.0))):
            start = time.perf_counter()
            await embedder.see(picture, [wanted])
            taken[name].append(1000 * (time.perf_counter() - start))
    return {name: round(float(np.median(values)), 2) for name, values in taken.items()}


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Measure every sequence."""
    async with open_embedder(options.extractor, options.runtime) as embedder:
        made: dict[str, Any] = {"extractor": Path(options.extractor).name, "runtime": embedder.runtime}
        for folder in options.folders:
            made[folder.name] = report(await embedded(embedder, pictures(folder), WHOLE), options)
        if options.driveway:
            looks = await embedded(embedder, drive(options.driveway, options.step, options.seed), Region(*GATE_REGION))
            made["driveway"] = report(looks, options)
        made["ms"] = await times(embedder, options.size)
    return made


def main() -> int:
    """Run as a command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="*", type=existing_folder)
    parser.add_argument("--driveway", type=int, default=0, metavar="DAYS", help="days of the drawn driveway")
    parser.add_argument("--step", type=float, default=2.0, help="simulated seconds from look to look")
    parser.add_argument("--extractor", default=BUILTIN)
    parser.add_argument("--runtime", default="auto")
    parser.add_argument("--shots", type=int, default=5)
    parser.add_argument("--taught-days", type=int, default=1, help="first days, of which examples are taken")
    parser.add_argument("--refresh", type=int, default=6, help="looks after which a picture is embedded anew")
    parser.add_argument(
        "--interval", type=float, default=10.0, help="seconds from look to look, for the decision's times"
    )
    parser.add_argument(
        "--size", type=lambda text: tuple(map(int, text.split("x"))), default=(1920, 1080), help="of the frames timed"
    )
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.extractor != BUILTIN:
        options.extractor = Path(options.extractor)
    return print_report(lambda: asyncio.run(measure(options)))


if __name__ == "__main__":
    sys.exit(main())
