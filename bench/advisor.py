"""How well the advisor chooses an extractor, beside simpler rules, on folders of pictures, one folder per class.

Each episode is a user: a few examples of some classes, from some of the folder's groups (days, cameras). Every
extractor is cross-validated on these examples alone, and each rule names one. What that extractor, taught the examples,
gets right of other pictures (of other groups, where there are several) is compared with the mean accuracy of the
extractor that is best in the folder, which only hindsight knows. Prints one JSON object: by rule and number of examples
the share of choices within a point of that extractor (percent), the points lost to it and the milliseconds per look,
each a mean over the folders' means.
"""

import argparse
import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
import sys
import time
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bench.command import existing_folder, print_report
from bench.evaluate import Episode, PictureSet, draw_episode, embed_folder, files_of, numbers, warn
from embedding import BUILTIN, open_embedder
from imprinting import fit
from imprinting.heads.cross_validation import Validation, cross_validate
from imprinting.report.extractor_choice import Candidate, advise

QUICK_EPISODES: Final = 8
QUICK_PICTURES: Final = 60
"""Pictures of a class that a quick run takes, spread over the folder."""

Rule: TypeAlias = Callable[[Sequence[Candidate]], str]


@dataclass(frozen=True, slots=True)
class Result:
    """One choice in one episode."""

    near: bool
    """Whether it is an extractor whose mean accuracy over the folder's episodes is within a point of the best mean."""

    lost: float
    """Points of accuracy that the best mean is above this choice in this episode."""

    cost: float
    """Milliseconds per look."""


def by_hits(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the candidates with every trial's loss replaced by 0 (right) or 1 (wrong)."""
    return [replace(one, validation=_hits(one.validation)) for one in candidates]


def _hits(validation: Validation) -> Validation:
    return replace(validation, trials=tuple(replace(trial, loss=float(not trial.right)) for trial in validation.trials))


def always(key: str) -> Rule:
    """Name the same one whatever the examples."""
    return lambda _: key


def one_standard_error(candidates: Sequence[Candidate]) -> str:
    """Name the cheapest whose loss is within a standard error of the least (Breiman et al., CART, 1984, 3.4.3)."""
    best = min(candidates, key=lambda one: one.validation.loss)
    losses = np.array([trial.loss for trial in best.validation.trials])
    error = losses.std(ddof=1) / np.sqrt(len(losses)) if len(losses) > 1 else 0.0
    near = [one for one in candidates if one.validation.loss <= best.validation.loss + error]
    return min(near, key=lambda one: one.cost).key


def rules(keys: Iterable[str], default: str) -> dict[str, Rule]:
    """Return what is compared: the advisor, its parts, and what asks no examples."""
    return {
        "advise": lambda candidates: advise(candidates, default).recommended,
        "advise, no default": lambda candidates: advise(candidates).recommended,
        "best estimate, hits": lambda candidates: advise(by_hits(candidates)).best,
        "best estimate, Brier": lambda candidates: advise(candidates).best,
        "cheapest not significantly worse, hits, 0.05": lambda candidates: (
            advise(by_hits(candidates), level=0.05, margin=0).cheapest
        ),
        "cheapest not significantly worse, Brier, 0.05": lambda candidates: (
            advise(candidates, level=0.05, margin=0).cheapest
        ),
        "cheapest not significantly worse, Brier, 0.2": lambda candidates: (
            advise(candidates, level=0.2, margin=0).cheapest
        ),
        "one standard error, Brier": one_standard_error,
        **{f"always {key}": always(key) for key in keys},
    }


def play(pictures: Mapping[str, PictureSet], episode: Episode) -> tuple[list[Candidate], dict[str, float]] | None:
    """Cross-validate the extractors on an episode's examples; return that and their accuracies on its queries."""
    candidates, accuracy = [], {}
    for key, one in pictures.items():
        examples = {name: one.vectors[np.sort(rows)] for name, rows in episode.examples.items()}
        groups = {name: occasions_of(one, np.sort(rows)) for name, rows in episode.examples.items()}
        validation = cross_validate(examples, groups)
        if validation is None:
            return None
        candidates.append(Candidate(key, one.ms_per_picture, validation))
        head = fit(examples, groups)
        accuracy[key] = float(
            np.mean(
                [
                    np.mean([head.score(one.vectors[row]).best == name for row in rows])
                    for name, rows in episode.queries.items()
                ]
            )
        )
    return candidates, accuracy


def occasions_of(pictures: PictureSet, rows: NDArray[np.intp]) -> list[str]:
    """Return the rows' groups; in a folder without groups each picture is an occasion of its own."""
    if len(np.unique(pictures.groups)) > 1:
        return [str(pictures.groups[row]) or f"picture {row}" for row in rows]
    return [f"picture {row}" for row in rows]


def compare(
    pictures: Mapping[str, PictureSet], shots: int, options: argparse.Namespace, name: str
) -> dict[str, list[Result]]:
    """Play the episodes of a folder; return each rule's results, none where the folder is too small."""
    chance = np.random.default_rng([options.seed, shots])
    first = next(iter(pictures.values()))
    compared = rules(pictures, options.default)
    chosen: list[dict[str, str]] = []
    accuracies: list[dict[str, float]] = []
    for _ in range(options.episodes):
        episode = draw_episode(first, shots, options.ways, chance)
        played = play(pictures, episode) if episode else None
        if played is None:
            warn(f"{name}: too few pictures or groups for {shots} examples a class")
            break
        candidates, accuracy = played
        chosen.append({rule: choose(candidates) for rule, choose in compared.items()})
        accuracies.append(accuracy)
    means = {key: float(np.mean([one[key] for one in accuracies])) if accuracies else 0.0 for key in pictures}
    best = max(means.values())
    return {
        rule: [
            Result(
                means[one[rule]] > best - 0.01, (best - accuracy[one[rule]]) * 100, pictures[one[rule]].ms_per_picture
            )
            for one, accuracy in zip(chosen, accuracies, strict=True)
        ]
        for rule in compared
    }


def summary(results: Iterable[Sequence[Result]]) -> dict[str, float]:
    """Average over episodes, then over folders."""
    means = [
        np.mean([(result.near * 100, result.lost, result.cost) for result in one], axis=0) for one in results if one
    ]
    near, lost, cost = np.mean(means, axis=0).tolist() if means else (float("nan"),) * 3
    return {"near_percent": round(near, 1), "lost_points": round(lost, 2), "ms": round(cost, 2)}


async def embed(folders: Sequence[Path], options: argparse.Namespace) -> dict[str, dict[str, PictureSet]]:
    """Embed every folder's pictures by every extractor."""
    found: dict[str, dict[str, PictureSet]] = {folder.resolve().name: {} for folder in folders}
    for extractor in options.extractors:
        key = key_of(extractor)
        async with open_embedder(extractor, options.runtime, 1) as embedder:
            for folder in folders:
                files = files_of(folder)
                if options.quick:
                    files = thinned(files)
                found[folder.resolve().name][key] = await embed_folder(embedder, files, embedder.length)
    return found


def thinned(files: Sequence[tuple[str, str, Path]]) -> list[tuple[str, str, Path]]:
    """Return at most QUICK_PICTURES of each class, spread evenly."""
    by_class: dict[str, list[tuple[str, str, Path]]] = {}
    for file in files:
        by_class.setdefault(file[0], []).append(file)
    return [file for own in by_class.values() for file in own[:: max(1, -(-len(own) // QUICK_PICTURES))]]


def key_of(extractor: str) -> str:
    """Return what an extractor is called here: its file's name without the suffix."""
    return extractor if extractor == BUILTIN else Path(extractor).stem


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "folders", nargs="+", type=existing_folder, metavar="FOLDER", help="a tree: folder/class/picture"
    )
    parser.add_argument("--extractors", nargs="+", default=[BUILTIN], help="'builtin' and TFLite files")
    parser.add_argument("--default", help="one of them; without it, the one in the middle by cost as given")
    parser.add_argument("--runtime", default="auto", choices=("auto", "portable", "litert"))
    parser.add_argument("--shots", type=numbers, default=[2, 5, 10, 20], help="examples a class, e.g. 2,5,20")
    parser.add_argument("--ways", type=int, default=5, help="classes in an episode, at most")
    parser.add_argument("--episodes", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_EPISODES} episodes, fewer pictures")
    options = parser.parse_args()
    options.default = key_of(options.default or options.extractors[len(options.extractors) // 2])
    if options.default not in {key_of(extractor) for extractor in options.extractors}:
        parser.error("the default has to be one of the extractors")
    if options.quick:
        options.episodes = QUICK_EPISODES
    if options.ways < 2 or options.episodes < 1:
        parser.error("an episode needs two classes, and there has to be one")
    return options


def run(options: argparse.Namespace) -> dict[str, object]:
    """Embed the pictures and compare the rules on them. Raises EmbeddingError."""
    start = time.perf_counter()
    pictures = asyncio.run(embed(options.folders, options))
    embedded = time.perf_counter()
    report: dict[str, dict[str, dict[str, float]]] = {}
    for shots in options.shots:
        results = [compare(of_folder, shots, options, name) for name, of_folder in pictures.items()]
        for rule in results[0]:
            report.setdefault(rule, {})[str(shots)] = summary(result[rule] for result in results)
    times = {"embedding": round(embedded - start, 1), "episodes": round(time.perf_counter() - embedded, 1)}
    return {"default": options.default, "rules": report, "seconds": times}


def main() -> int:
    """Compare and print; 1 where an extractor can't be used."""
    options = parse()
    return print_report(lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())
