"""How well every kind of head tells classes apart from few examples, and how fast, beside its peers.

    python bench/heads.py FOLDER… [--extractor FILE]… [--shots 1,5,20,1:5,2:20] [--episodes 200] [--markdown] [--no-speed]

Folders hold one folder of pictures per class. All heads and peers answer the same episodes (bench/evaluate.py draws them:
groups, such as days, never give both examples and queries). ``1:5`` is one example of every second class and five of the others.
Accuracies are means over classes and episodes in percent; ``ci95`` is half the 95 % interval, ``ahead`` the mean difference to
the pycoral peer with half its own, paired, interval. ``auto`` is the head that is chosen from the examples alone. The 4-frame
vote is given four pictures of a class per answer, all others one. Prints one JSON object, or the table of it.
"""

import argparse
import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
import json
from pathlib import Path
import sys
from typing import Final

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from bench import heads_speed, peers
from bench.evaluate import Episode, PictureSet, draw_episode, embed_folder, files_of, warn
from embedding import BUILTIN, EmbeddingError, open_embedder
from embedding.runtimes.runtime import Family
from imprinting import KINDS, choose, fit_kind

Vectors = NDArray[np.float32]
PYCORAL: Final = "pycoral"
PLAIN: Final = "plain imprint"
COLUMNS: Final = (PYCORAL, "kNN", "kNN, 4 votes", "logistic", PLAIN, *KINDS, "auto")


@dataclass(frozen=True, slots=True)
class Case:
    """How many examples the classes of an episode have: the first, third… ``few``, the others ``many``."""

    few: int
    many: int

    @property
    def name(self) -> str:
        """As on the command line."""
        return str(self.many) if self.few == self.many else f"{self.few}:{self.many}"


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder's pictures, embedded as the integration does and as pycoral does; the latter empty without a network."""

    name: str
    pictures: PictureSet
    network: Vectors


def answers(folder: Folder, episode: Episode) -> dict[str, float]:
    """Return each head's and peer's accuracy, 0 to 1, mean over classes."""
    rows = list(episode.examples.values())
    asked = list(episode.queries.values())
    joined = folder.pictures.vectors
    examples, queries = [joined[own] for own in rows], joined[np.concatenate(asked)]
    nearest = peers.neighbours(examples, queries)
    found = {
        "kNN": nearest,
        "logistic": peers.logistic(examples, queries),
        PLAIN: peers.imprinted(examples, queries),
    }
    if len(folder.network):
        found[PYCORAL] = peers.imprinted([folder.network[own] for own in rows], folder.network[np.concatenate(asked)])
    embeddings = dict(zip(episode.examples, examples, strict=True))
    for kind in KINDS:
        found[kind] = fit_kind(kind, embeddings).logits(queries).argmax(axis=1)
    chosen = choose(embeddings)
    found["auto"] = chosen.head.logits(queries).argmax(axis=1)
    ends = np.cumsum([len(own) for own in asked])[:-1]
    results = {name: accuracy(np.split(one, ends)) for name, one in found.items()}
    results["kNN, 4 votes"] = accuracy([peers.voted(part) for part in np.split(nearest, ends)])
    return results


def accuracy(by_class: Sequence[NDArray[np.intp]]) -> float:
    """Return the mean over classes of the part of right answers."""
    return float(np.mean([np.mean(part == column) for column, part in enumerate(by_class)]))


def play(folder: Folder, case: Case, options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Play all episodes of a case; nothing where the folder is too small for it. The same seed draws the same episodes."""
    chance = np.random.default_rng([options.seed, case.few, case.many])
    results: dict[str, list[float]] = {}
    for _ in range(options.episodes):
        episode = draw_episode(folder.pictures, case.many, options.ways, chance)
        if episode is None:
            warn(f"{folder.name}: too few pictures or groups for {case.name} examples a class")
            break
        fewer = {
            name: rows if index % 2 else rows[: case.few] for index, (name, rows) in enumerate(episode.examples.items())
        }
        for name, value in answers(folder, Episode(fewer, episode.queries)).items():
            results.setdefault(name, []).append(value * 100)
    return summary(results)


def summary(results: Mapping[str, Sequence[float]]) -> dict[str, dict[str, float]]:
    """Sum up each column's episodes."""
    report: dict[str, dict[str, float]] = {}
    for name in (name for name in COLUMNS if name in results):
        values = np.array(results[name])
        report[name] = {"accuracy": round(float(values.mean()), 2), "ci95": half_interval(values)}
        if PYCORAL in results and name != PYCORAL:
            ahead = values - np.array(results[PYCORAL])
            report[name] |= {"ahead": round(float(ahead.mean()), 2), "ahead_ci95": half_interval(ahead)}
        report[name]["episodes"] = len(values)
    return report


def half_interval(values: NDArray[np.float64]) -> float:
    """Return half the 95 % interval of a mean."""
    return round(float(1.96 * values.std(ddof=1) / np.sqrt(len(values))), 2) if len(values) > 1 else 0.0


def means(
    folders: Mapping[str, Mapping[str, Mapping[str, Mapping[str, float]]]], cases: Sequence[Case]
) -> dict[str, object]:
    """Return the mean accuracy over folders, by case and column."""
    report: dict[str, object] = {}
    for case in cases:
        rows = [one[case.name] for one in folders.values() if one.get(case.name)]
        if rows:
            report[case.name] = {
                name: round(float(np.mean([row[name]["accuracy"] for row in rows])), 2)
                for name in COLUMNS
                if name in rows[0]
            }
    return report


async def embedded(files: Sequence[tuple[str, str, Path]], extractor: str, runtime: Family) -> PictureSet:
    """Embed pictures as the integration does."""
    async with open_embedder(extractor, runtime, strict=True) as embedder:
        return await embed_folder(embedder, files, embedder.length)


def load(path: Path, extractor: str, runtime: Family) -> Folder:
    """Embed a folder's pictures both ways."""
    files = files_of(path)
    pictures = asyncio.run(embedded(files, extractor, runtime))
    network = np.zeros((0, 0), np.float32)
    if extractor != BUILTIN:
        if len(pictures.vectors) != len(files):
            raise SystemExit(f"{path}: pictures that can't be read; remove them")
        plain = peers.open_network(extractor, runtime)
        network = np.stack([peers.network_alone(plain, file.read_bytes()) for _, _, file in files])
        plain.close()
    return Folder(path.resolve().name, pictures, network)


def run(options: argparse.Namespace) -> dict[str, object]:
    """Play every case of every folder with every extractor."""
    report: dict[str, object] = {}
    for extractor in options.extractor or [BUILTIN]:
        folders = {}
        for path in options.folders:
            folder = load(path, extractor, options.runtime)
            folders[folder.name] = {case.name: play(folder, case, options) for case in options.shots}
        report[Path(extractor).stem] = {"folders": folders, "mean": means(folders, options.shots)}
    if options.speed:
        report["speed"] = heads_speed.measure(options.folders, next(iter(options.extractor), BUILTIN), options.runtime)
    return report


def markdown(report: Mapping[str, object]) -> str:
    """Return the report as tables: accuracy by folder and case with half the 95 % interval, the best head of a row bold."""
    lines: list[str] = []
    for extractor, part in report.items():
        if extractor == "speed":
            continue
        assert isinstance(part, dict)
        first = next(iter(next(iter(part["folders"].values())).values()))
        columns = [name for name in COLUMNS if name in first]
        lines += [f"**{extractor}**", "", "| pictures | k | " + " | ".join(columns) + " |"]
        lines.append("|---|---|" + "---|" * len(columns))
        for name, cases in part["folders"].items():
            lines += [_row(f"{name} | {case}", row, columns) for case, row in cases.items() if row]
        for case, row in part["mean"].items():
            lines.append(f"| mean | {case} | " + " | ".join(f"{row[column]:.1f}" for column in columns) + " |")
        lines.append("")
    if isinstance(speed := report.get("speed"), dict):
        lines += ["| what | ms |", "|---|---|", *(f"| {name} | {value} |" for name, value in speed.items())]
    return "\n".join(lines)


def _row(begin: str, row: Mapping[str, Mapping[str, float]], columns: Sequence[str]) -> str:
    best = max(row[column]["accuracy"] for column in columns)
    cells = []
    for column in columns:
        text = f"{row[column]['accuracy']:.1f} ± {row[column]['ci95']:.1f}"
        cells.append(f"**{text}**" if row[column]["accuracy"] == best else text)
    return f"| {begin} | " + " | ".join(cells) + " |"


def cases(text: str) -> list[Case]:
    """Read numbers of examples, separated by commas; ``1:5`` for unequal ones."""
    found = []
    for part in text.split(","):
        few, _, many = part.partition(":")
        found.append(Case(int(few), int(many or few)))
    if any(not 1 <= case.few <= case.many for case in found):
        raise ValueError("numbers of examples begin at 1, the fewer first")
    return found


def main() -> int:
    """Read the command line, play, print; 1 where the extractor can't be used."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="a tree: folder/class/picture")
    parser.add_argument(
        "--extractor", action="append", default=[], metavar="FILE", help="a TFLite file; 'builtin' without"
    )
    parser.add_argument("--runtime", default="litert", choices=("litert", "portable"), help="of both")
    parser.add_argument("--shots", type=cases, default=cases("1,5,20,1:5,2:20"), help="examples a class")
    parser.add_argument("--ways", type=int, default=5, help="classes in an episode, at most")
    parser.add_argument("--episodes", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--markdown", action="store_true", help="tables instead of JSON")
    parser.add_argument("--no-speed", dest="speed", action="store_false", help="accuracy only")
    options = parser.parse_args()
    for folder in options.folders:
        if not folder.is_dir():
            parser.error(f"{folder} is no folder")
    try:
        with threadpool_limits(1):
            report = run(options)
    except EmbeddingError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(markdown(report) if options.markdown else json.dumps(report, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
