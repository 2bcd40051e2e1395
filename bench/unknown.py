"""How well looks at what was taught are told from anything else, and whether probabilities hold.

Classes are folders of pictures; a file name's part before ``__`` is its group (a day, a camera). Three ways to teach k
examples a class: ``--spread`` draws them from some groups and asks for the others, ``--burst`` takes k pictures in a row of
one group and asks for the other groups, ``--camera`` makes a classifier of each group by itself. ``--unknowns`` are pictures of
something else: what is learned never sees them. Prints one JSON object: for each set and k the percentage of genuine looks accepted,
of unknowns accepted, by the integration's rule and by the usual alternatives, beside the calibration error of each head.
"""

import argparse
import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
import json
from pathlib import Path
import sys
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bench.evaluate import PictureSet, Vectors, embed_folder, files_of, numbers
from bench.measures import calibration_error
from embedding import BUILTIN, Embedder, EmbeddingError, open_embedder
from embedding.export.network_part import foreign_emphasis
from embedding.pictures.clutter import COUNT, SIZE, encoded
from imprinting.decision.plausibility import fit_plausibility, make_bank
from imprinting.heads import fit, fit_lda, fit_ridge
from imprinting.heads.calibration import probabilities

MOST_QUERIES: Final = 200
"""Pictures of a class asked for in one draw."""
FIXED: Final = 0.7
"""The cosine of the alternative that asks for the same everywhere."""
QUANTILE: Final = 0.05
"""The part of the examples' own cosines that the alternative by leave-one-out refuses."""

Rows = NDArray[np.intp]
Draw = tuple[Mapping[str, Rows], Mapping[str, Rows]]
"""Rows of examples and of queries, by class."""
Occasions = Mapping[str, Sequence[str]]
Rule = Callable[[Mapping[str, Vectors], Vectors, Occasions], Callable[[Vectors], NDArray[np.bool_]]]
"""Learns from examples by class; tells of vectors, shape (n, d), which are taken for anything that was taught."""


def spread(classes: NDArray[np.str_], groups: NDArray[np.str_], shots: int, chance: np.random.Generator) -> Draw:
    """Draw examples from half of the groups; queries are of the others (of the rest, where there is one group)."""
    names = np.unique(groups)
    taught = np.isin(groups, chance.permutation(names)[: len(names) // 2]) if len(names) > 1 else None
    examples, queries = {}, {}
    for name in np.unique(classes):
        rows = chance.permutation(np.flatnonzero(classes == name))
        first = rows if taught is None else rows[taught[rows]]
        examples[str(name)] = first[:shots]
        queries[str(name)] = (rows[shots:] if taught is None else rows[~taught[rows]])[:MOST_QUERIES]
    return examples, queries


def burst(classes: NDArray[np.str_], groups: NDArray[np.str_], shots: int, chance: np.random.Generator) -> Draw:
    """Take pictures in a row of one group as examples; queries are of the other groups."""
    examples, queries = {}, {}
    for name in np.unique(classes):
        found = [group for group in np.unique(groups) if np.sum((classes == name) & (groups == group)) >= shots]
        group = chance.choice(found) if found else ""
        rows = np.flatnonzero((classes == name) & (groups == group))
        start = chance.integers(max(1, len(rows) - shots + 1))
        examples[str(name)] = rows[start : start + shots]
        queries[str(name)] = chance.permutation(np.flatnonzero((classes == name) & (groups != group)))[:MOST_QUERIES]
    return examples, queries


def camera(classes: NDArray[np.str_], groups: NDArray[np.str_], shots: int, chance: np.random.Generator) -> Draw:
    """Draw examples and queries from one group."""
    group = chance.choice(np.unique(groups))
    examples, queries = {}, {}
    for name in np.unique(classes):
        rows = chance.permutation(np.flatnonzero((classes == name) & (groups == group)))
        examples[str(name)], queries[str(name)] = rows[:shots], rows[shots:]
    return examples, queries


def ours(
    examples: Mapping[str, Vectors], clutter: Vectors, occasions: Occasions
) -> Callable[[Vectors], NDArray[np.bool_]]:
    """Accept as the decision does: where the head's best class is plausible."""
    bank = make_bank(clutter, emphasis=foreign_emphasis(clutter.shape[1]))
    head, plausibility = fit(examples), fit_plausibility(examples, bank, occasions)

    def accept(vectors: Vectors) -> NDArray[np.bool_]:
        found = []
        for vector in vectors:
            best = head.score(vector).best
            found.append(best is not None and plausibility.margins(vector)[best] >= 0)
        return np.array(found, bool)

    return accept


def by_cosine(levels: Callable[[Mapping[str, Vectors], Vectors, Vectors], NDArray[np.float64]]) -> Rule:
    """Accept where the cosine to any class's mean is above its level."""

    def learn(
        examples: Mapping[str, Vectors], clutter: Vectors, _: Occasions
    ) -> Callable[[Vectors], NDArray[np.bool_]]:
        prototypes = np.stack([unit(part.mean(axis=0)) for part in examples.values()])
        level = levels(examples, prototypes, clutter)
        return lambda vectors: np.asarray((vectors @ prototypes.T > level).any(axis=1), bool)

    return learn


def fixed(examples: Mapping[str, Vectors], prototypes: Vectors, clutter: Vectors) -> NDArray[np.float64]:
    """Return the same level for all."""
    return np.full(len(examples), FIXED)


def left_out(examples: Mapping[str, Vectors], prototypes: Vectors, clutter: Vectors) -> NDArray[np.float64]:
    """Return a low quantile of each class's examples' cosines to the mean of the others; 1 of one example."""
    found = []
    for part in examples.values():
        own = [float(row @ unit(part.sum(axis=0) - row)) for row in part] if len(part) > 1 else [1.0]
        found.append(np.quantile(own, QUANTILE))
    return np.array(found)


def of_clutter(examples: Mapping[str, Vectors], prototypes: Vectors, clutter: Vectors) -> NDArray[np.float64]:
    """Return the largest cosine of drawn clutter to each class's mean."""
    return np.asarray((clutter @ prototypes.T).max(axis=0), np.float64)


RULES: Final[Mapping[str, Rule]] = {
    "accepted": ours,
    "largest_of_clutter": by_cosine(of_clutter),
    "leave_one_out": by_cosine(left_out),
    "fixed_0.7": by_cosine(fixed),
}
WAYS: Final = {"spread": spread, "burst": burst, "camera": camera}
HEADS: Final = {"imprint": fit, "ridge": fit_ridge, "lda": fit_lda}


def unit(vector: Vectors) -> Vectors:
    """Bring a vector to length 1."""
    found: Vectors = (vector / np.linalg.norm(vector)).astype(np.float32)
    return found


def foresight(kind: str, examples: Mapping[str, Vectors], queries: Mapping[str, Vectors]) -> NDArray[np.float64]:
    """Return the probabilities of queries beside the right column, (n, C + 1)."""
    groups = {name: [f"{name} {row}" for row in range(len(part))] for name, part in examples.items()}
    head = HEADS[kind](examples, groups)
    logits = head.logits(np.concatenate(list(queries.values())))
    truth = np.repeat(np.arange(len(queries)), [len(part) for part in queries.values()])
    return np.concatenate([probabilities(logits, head.scale), truth[:, None]], axis=1)


def draws(
    way: str, classes: NDArray[np.str_], groups: NDArray[np.str_], shots: int, options: argparse.Namespace
) -> Iterator[Draw]:
    """Draw until there are enough; those that lack examples or queries of a class are left out."""
    chance = np.random.default_rng([options.seed, shots])
    found = 0
    for _ in range(20 * options.draws):
        examples, queries = WAYS[way](classes, groups, shots, chance)
        if all(len(rows) == shots for rows in examples.values()) and all(len(rows) >= 5 for rows in queries.values()):
            yield examples, queries
            found += 1
        if found == options.draws:
            return


def occasions_of(way: str, rows: Rows, groups: NDArray[np.str_]) -> list[str]:
    """Return what the integration would see by the clock: a burst is one occasion, pictures of one camera are one each."""
    if way == "burst":
        return ["burst"] * len(rows)
    together = way == "spread" and len(np.unique(groups)) > 1
    return [str(groups[row]) if together else str(row) for row in rows]


def measure(
    pictures: PictureSet, way: str, episodes: Sequence[Draw], unknowns: Vectors, clutter: Vectors
) -> dict[str, object]:
    """Sum up the draws of one set and number of examples."""
    genuine: dict[str, list[float]] = {name: [] for name in RULES}
    foreign: dict[str, list[float]] = {name: [] for name in RULES}
    looks: dict[str, list[NDArray[np.float64]]] = {kind: [] for kind in HEADS}
    for rows, asked in episodes:
        examples = {name: pictures.vectors[own] for name, own in rows.items()}
        occasions = {name: occasions_of(way, own, pictures.groups) for name, own in rows.items()}
        queries = {name: pictures.vectors[own] for name, own in asked.items()}
        for name, rule in RULES.items():
            accept = rule(examples, clutter, occasions)
            genuine[name].append(float(np.mean([accept(part).mean() for part in queries.values()])))
            foreign[name].append(float(accept(unknowns).mean()))
        for kind, kept in looks.items():
            kept.append(foresight(kind, examples, queries))
    report: dict[str, object] = {"draws": len(episodes)}
    for name in RULES:
        report[name] = {"genuine": percent(genuine[name]), "unknown": percent(foreign[name])}
    for kind, kept in looks.items():
        table = np.concatenate(kept)
        report[f"calibration error, {kind}"] = percent([calibration_error(table[:, :-1], table[:, -1].astype(np.intp))])
    return report


def percent(shares: Sequence[float]) -> float:
    """Return the mean of shares in percent."""
    return round(float(np.mean(shares)) * 100, 2)


async def embed_clutter(embedder: Embedder, count: int, size: tuple[int, int]) -> Vectors:
    """Embed drawn clutter by the way of a camera's pictures."""
    return np.stack([await embedder.embed(picture) for picture in encoded(count, size)])


def size_of(text: str) -> tuple[int, int]:
    """Read a width and height, such as 96x54."""
    width, height = text.split("x")
    return int(width), int(height)


async def run(options: argparse.Namespace) -> dict[str, object]:
    """Embed everything once, and measure every set."""
    report: dict[str, object] = {}
    async with open_embedder(options.extractor, options.runtime) as embedder:
        clutter = await embed_clutter(embedder, options.clutter, options.size)
        paths = sorted(path for path in options.unknowns.rglob("*") if path.is_file())
        unknowns = (await embed_folder(embedder, [("", "", path) for path in paths], embedder.length)).vectors
        for way in WAYS:
            for folder in getattr(options, way):
                pictures = await embed_folder(embedder, files_of(folder), embedder.length)
                for shots in options.shots:
                    episodes = list(draws(way, pictures.classes, pictures.groups, shots, options))
                    if episodes:
                        name = f"{folder.resolve().name} {way} {shots}"
                        report[name] = measure(pictures, way, episodes, unknowns, clutter)
    return report


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for way in WAYS:
        parser.add_argument(f"--{way}", type=Path, action="append", default=[], metavar="FOLDER")
    parser.add_argument("--unknowns", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--extractor", default=BUILTIN, help="'builtin' or a TFLite file")
    parser.add_argument("--runtime", default="auto", choices=("auto", "portable", "litert"))
    parser.add_argument("--shots", type=numbers, default=[1, 5, 20])
    parser.add_argument("--draws", type=int, default=50)
    parser.add_argument("--clutter", type=int, default=COUNT, help="pictures drawn")
    parser.add_argument(
        "--size", type=size_of, default=SIZE, help="of the pictures drawn; classifiers of whole frames use 128x72"
    )
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main() -> int:
    """Measure and print; 1 where the extractor can't be used."""
    try:
        report = asyncio.run(run(parse()))
    except EmbeddingError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(report, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
