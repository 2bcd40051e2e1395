"""Does ``evaluate`` tell the truth: what it predicted from a few examples against what happened with the other pictures.

A folder of one folder per class. Where every file name begins with a moment (``2012-12-07__18-47-27``) the folder is a
diary: examples come from its first days, five a class, drawn as ``spread`` over days, ``day`` (one of them) or ``burst``
(consecutive pictures within half an hour), and all pictures of later days are asked for. Of other folders episodes are
drawn as in ``evaluate.py``, and all pictures of other groups are asked for. Prints one JSON object: by folder and kind
of draw, means over the draws in percent: what was predicted and what happened, their mean distance, how often the
predicted interval held what happened and how long it was. ``odd``: one label in twenty (one at least) is exchanged, and
the examples called odd are compared with those. ``next``: gain of the accuracy by five more examples of the class that
is said to want them most, beside the mean over classes and the class that hindsight finds best (numbers drawn among 2,
5 and 10 a class).
"""

import argparse
import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
import sys
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bench import evaluate as episodes
from bench.command import existing_folder, print_report
from embedding import BUILTIN, open_embedder
from imprinting.heads.cross_validation import Fit, occasions
from imprinting.heads.selection import KINDS as HEADS, choose
from imprinting.report.report import Evaluation, evaluate

KINDS: Final = ("spread", "day", "burst")
BURST_SECONDS: Final = 1800
FIRST_DAYS: Final = 0.4
"""The part of a diary's days that examples come from."""
RESOLUTION: Final = 0.005
"""What happened is known to half a point at best, from a few hundred pictures."""
NUMBERS: Final = (2, 5, 10)
MORE: Final = 5

Rows = Mapping[str, NDArray[np.intp]]


@dataclass(frozen=True, slots=True)
class Pictures:
    """A folder as embeddings; ``times`` only of a diary. ``head`` is the kind that is taught, or ``auto``."""

    vectors: NDArray[np.float32]
    classes: NDArray[np.str_]
    groups: NDArray[np.str_]
    times: Sequence[datetime] | None
    head: str = "imprint"


@dataclass(frozen=True, slots=True)
class Draw:
    """Rows to learn and rows to be asked for, by class."""

    examples: Rows
    later: Rows


def moment(path: Path) -> datetime | None:
    """Read the moment a diary's file name begins with."""
    try:
        return datetime.strptime(path.stem, "%Y-%m-%d__%H-%M-%S")
    except ValueError:
        return None


async def load(folder: Path, options: argparse.Namespace) -> Pictures:
    """Embed a folder's pictures."""
    files = episodes.files_of(folder)
    async with open_embedder(options.extractor, options.runtime, options.threads) as embedder:
        found = await episodes.embed_folder(embedder, files, embedder.length)
    moments = [moment(path) for _, _, path in files]
    times = [one for one in moments if one is not None]
    # What is no picture was left out, and then moments and rows don't match.
    diary = times if len(times) == len(files) == len(found.vectors) else None
    return Pictures(found.vectors, found.classes, found.groups, diary, options.head)


def first_days(pictures: Pictures) -> list[str]:
    """Return the days of a diary that examples come from."""
    days = sorted(set(pictures.groups.tolist()))
    return days[: max(1, round(FIRST_DAYS * len(days)))]


def diary_draws(pictures: Pictures, kind: str, shots: int, number: int, chance: np.random.Generator) -> Iterator[Draw]:
    """Draw examples from the first days; the others are asked for."""
    early = np.isin(pictures.groups, first_days(pictures))
    names = np.unique(pictures.classes).tolist()
    later = {name: np.flatnonzero((pictures.classes == name) & ~early) for name in names}
    for _ in range(number):
        drawn = {
            name: _diary_rows(pictures, np.flatnonzero((pictures.classes == name) & early), kind, shots, chance)
            for name in names
        }
        if all(len(rows) == shots for rows in drawn.values()) and all(map(len, later.values())):
            yield Draw(drawn, later)


def _diary_rows(
    pictures: Pictures, rows: NDArray[np.intp], kind: str, shots: int, chance: np.random.Generator
) -> NDArray[np.intp]:
    """Draw one class's examples, in the order of time; too few where there is no such draw."""
    assert pictures.times is not None
    seconds = np.array([pictures.times[row].timestamp() for row in rows])
    rows, seconds = rows[np.argsort(seconds)], np.sort(seconds)
    days = pictures.groups[rows]
    if kind == "burst":
        starts = [
            place
            for place in range(len(rows) - shots + 1)
            if seconds[place + shots - 1] - seconds[place] <= BURST_SECONDS
        ]
        start = chance.choice(starts) if starts else len(rows)
        return rows[start : start + shots]
    if kind == "day":
        full = [day for day in np.unique(days) if np.sum(days == day) >= shots]
        rows = rows[days == chance.choice(full)] if full else rows[:0]
        return np.sort(chance.choice(rows, min(shots, len(rows)), replace=False))
    # Day after day in a drawn order, one example a day, and from the beginning again.
    taking = {day: chance.permutation(rows[days == day]).tolist() for day in chance.permutation(np.unique(days))}
    drawn: list[int] = []
    while len(drawn) < shots and any(taking.values()):
        drawn += [own.pop() for own in taking.values() if own]
    return np.sort(np.array(drawn[:shots], dtype=np.intp))


def episode_draws(
    pictures: Pictures, shots: int, ways: int, number: int, chance: np.random.Generator
) -> Iterator[Draw]:
    """Draw few-shot episodes; whatever is of other groups than the examples is asked for."""
    whole = episodes.PictureSet(pictures.vectors, pictures.classes, pictures.groups, 0.0)
    for _ in range(number):
        episode = episodes.draw_episode(whole, shots, ways, chance)
        if episode is None:
            return
        taught = np.concatenate(list(episode.examples.values()))
        grouped = np.isin(pictures.groups, pictures.groups[taught]) & (pictures.groups != "")
        free = ~grouped & ~np.isin(np.arange(len(pictures.classes)), taught)
        later = {name: np.flatnonzero((pictures.classes == name) & free) for name in episode.examples}
        if all(map(len, later.values())):
            yield Draw(episode.examples, later)


def occasions_of(pictures: Pictures, rows: Rows) -> dict[str, list[str]]:
    """Return each example's occasion: by time in a diary, else its group, else itself."""
    if pictures.times is not None:
        flat = [row for own in rows.values() for row in own.tolist()]
        found = dict(zip(flat, occasions([pictures.times[row] for row in flat]), strict=True))
        return {name: [found[row] for row in own.tolist()] for name, own in rows.items()}
    return {name: [str(pictures.groups[row]) or str(row) for row in own] for name, own in rows.items()}


def teaching(pictures: Pictures, rows: Rows) -> Fit:
    """Return how a head is learned: as told, or as the examples choose."""
    if pictures.head != "auto":
        return HEADS[pictures.head]
    chosen = choose({name: pictures.vectors[own] for name, own in rows.items()}, occasions_of(pictures, rows))
    return HEADS[chosen.kind]


def foresee(pictures: Pictures, rows: Rows) -> Evaluation:
    """Evaluate the examples alone."""
    return evaluate(
        {name: pictures.vectors[own] for name, own in rows.items()},
        occasions_of(pictures, rows),
        fit=teaching(pictures, rows),
        ids={name: [str(row) for row in own] for name, own in rows.items()},
    )


def happened(pictures: Pictures, examples: Rows, later: Rows) -> float:
    """Return the accuracy about what came later, mean over classes."""
    fit = teaching(pictures, examples)
    head = fit({name: pictures.vectors[own] for name, own in examples.items()}, occasions_of(pictures, examples))
    return float(
        np.mean(
            [
                np.mean([head.score(vector).best == name for vector in pictures.vectors[own]])
                for name, own in later.items()
            ]
        )
    )


def compare(pictures: Pictures, draws: Iterator[Draw]) -> dict[str, float | int]:
    """Set predictions beside what happened."""
    found = []
    for draw in draws:
        estimate = foresee(pictures, draw.examples).expected
        if estimate is not None:
            truth = happened(pictures, draw.examples, draw.later)
            covered = estimate.low - RESOLUTION <= truth <= estimate.high + RESOLUTION
            found.append((estimate.value, truth, abs(estimate.value - truth), covered, estimate.high - estimate.low))
    if not found:
        return {"draws": 0}
    values = np.array(found, dtype=np.float64) * 100
    names = ("predicted", "happened", "distance", "covered", "interval")
    result: dict[str, float | int] = dict(zip(names, values.mean(axis=0).round(2).tolist(), strict=True))
    result["least_happened"] = round(float(values[:, 1].min()), 2)
    return {**result, "draws": len(found)}


def exchange(examples: Rows, chance: np.random.Generator) -> tuple[dict[str, NDArray[np.intp]], set[str]]:
    """Give one example in twenty (one at least) to another class; return the classes and the ids exchanged."""
    names = list(examples)
    rows = {name: own.tolist() for name, own in examples.items()}
    moved = set()
    for _ in range(max(1, sum(map(len, rows.values())) // 20)):
        source, target = chance.choice(len(names), 2, replace=False)
        row = rows[names[source]].pop(0)
        rows[names[target]].append(row)
        moved.add(str(row))
    return {name: np.array(own, dtype=np.intp) for name, own in rows.items()}, moved


def odd_labels(pictures: Pictures, draws: Iterator[Draw], chance: np.random.Generator) -> dict[str, float]:
    """Exchange labels and count which are found."""
    right = called = wrong = 0
    for draw in draws:
        rows, moved = exchange(draw.examples, chance)
        odd = {one.id for one in foresee(pictures, rows).odd}
        right, called, wrong = right + len(odd & moved), called + len(odd), wrong + len(moved)
    return {"precision": round(100 * right / max(1, called), 1), "recall": round(100 * right / max(1, wrong), 1)}


def next_examples(pictures: Pictures, draws: Iterator[Draw], chance: np.random.Generator) -> dict[str, float]:
    """Follow the advice which class wants more examples, beside every other choice."""
    found = []
    for draw in draws:
        numbers = {name: int(chance.choice(NUMBERS)) for name in draw.examples}
        rows = {name: own[: numbers[name]] for name, own in draw.examples.items()}
        before = happened(pictures, rows, draw.later)
        gains = {
            name: happened(pictures, {**rows, name: own[: numbers[name] + MORE]}, draw.later) - before
            for name, own in draw.examples.items()
        }
        advised = foresee(pictures, rows).wanted[0].class_id
        found.append((gains[advised], np.mean(list(gains.values())), max(gains.values())))
    values = 100 * np.array(found, dtype=np.float64)
    return dict(zip(("advised", "any", "hindsight"), values.mean(axis=0).round(2).tolist(), strict=True))


def bench(pictures: Pictures, options: argparse.Namespace) -> dict[str, object]:
    """Run all draws of a folder; the same seed draws the same."""
    report: dict[str, object] = {}

    def drawn(shots: int, number: int) -> Iterator[Draw]:
        return episode_draws(pictures, shots, options.ways, number, np.random.default_rng([options.seed, shots]))

    if pictures.times is not None:
        for kind in KINDS:
            chance = np.random.default_rng([options.seed, KINDS.index(kind)])
            report[kind] = compare(pictures, diary_draws(pictures, kind, MORE, options.draws, chance))
        return report
    for shots in options.shots:
        report[str(shots)] = compare(pictures, drawn(shots, options.draws))
    chance = np.random.default_rng(options.seed)
    fewer = max(1, options.draws // 4)
    report["odd"] = odd_labels(pictures, drawn(max(NUMBERS), fewer), chance)
    if next(drawn(max(NUMBERS) + MORE, 1), None) is not None:
        report["next"] = next_examples(pictures, drawn(max(NUMBERS) + MORE, fewer), chance)
    return report


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "folders", nargs="+", type=existing_folder, metavar="FOLDER", help="a tree: folder/class/picture"
    )
    parser.add_argument("--extractor", default=BUILTIN, help="'builtin' or a TFLite file")
    parser.add_argument("--runtime", default="auto", choices=("auto", "portable", "litert"))
    parser.add_argument("--threads", type=int, default=1, help="of the network")
    parser.add_argument("--head", default="imprint", choices=("auto", *HEADS), help="kind of head that is taught")
    parser.add_argument("--shots", type=episodes.numbers, default=[2, 5, 10, 20], help="examples a class, of episodes")
    parser.add_argument("--ways", type=int, default=5, help="classes in an episode, at most")
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main() -> int:
    """Print the comparison; 1 where the extractor can't be used."""
    options = parse()
    return print_report(
        lambda: {path.resolve().name: bench(asyncio.run(load(path, options)), options) for path in options.folders}
    )


if __name__ == "__main__":
    sys.exit(main())
