"""How well a class is recognised that was never shown, from its column in a classifier network's last layer.

    python bench/known.py FOLDER --extractor FILE --labels FILE --known CLASS=LABEL[+LABEL…]… [--shots 1,5,20] [--ways 5] [--episodes 90]

Each episode takes one known class and some other classes of the folder (class/picture); the others are imprinted from k examples in the
joined embedding. Prints one JSON object: per k, mean accuracy in percent over all classes, that of the known class and that of the
others, with the known class's weight from its column alone, from k examples alone, and from both; the number of episodes and the
half width of the 95 % interval of the difference of both to the better one of the two. Where all classes of the folder are known,
also the accuracy of columns alone. A label is named by its first synonym.
"""

import argparse
import asyncio
from collections.abc import Mapping, Sequence
import json
from pathlib import Path
import sys

import numpy as np
from numpy.typing import NDArray

from bench.evaluate import PictureSet, draw_episode, embed_folder, files_of, numbers
from embedding import EmbeddingError, open_embedder
from embedding.export.columns import Columns, class_columns, known_weight, proxy, read_labels, refined_weight
from imprinting import fit

Vectors = NDArray[np.float32]


def directions(columns: Columns, labels: Sequence[str], known: Sequence[str]) -> Mapping[str, Vectors]:
    """Return the direction of each known class."""
    names = [label.split(",")[0] for label in labels]
    found = {}
    for entry in known:
        folder, _, wanted = entry.partition("=")
        found[folder] = proxy(columns, [names.index(name) for name in wanted.split("+")])
    return found


def padded(direction: Vectors, length: int) -> Vectors:
    """Return a weight in the joined embedding among classes that are all known."""
    return known_weight(direction, np.zeros((0, length), np.float32))


def play(
    pictures: PictureSet, known: str, direction: Vectors, shots: int, options: argparse.Namespace
) -> Vectors | None:
    """Play one episode; returns accuracies (3, 3): column, examples, both × all, the known class, the others."""
    others = [str(name) for name in np.unique(pictures.classes) if name != known]
    chosen = [known, *options.chance.permutation(others)[: options.ways - 1]]
    rows = np.isin(pictures.classes, chosen)
    part = PictureSet(pictures.vectors[rows], pictures.classes[rows], pictures.groups[rows], 0.0)
    episode = draw_episode(part, shots, len(chosen), options.chance)
    if episode is None or known not in episode.examples:
        return None
    head = fit({name: part.vectors[some] for name, some in episode.examples.items()})
    rival = [name for name in head.classes if name != known]
    prototypes = dict(zip(head.classes, head.prototypes, strict=True))
    imprinted = np.stack([prototypes[name] for name in rival])
    column = known_weight(direction, imprinted)
    weights = (column, prototypes[known], refined_weight(column, prototypes[known], shots))
    result = []
    for weight in weights:
        matrix = np.vstack([weight, imprinted])
        right = [
            float(np.mean((part.vectors[episode.queries[name]] @ matrix.T).argmax(axis=1) == number))
            for number, name in enumerate([known, *rival])
        ]
        result.append([np.mean(right), right[0], np.mean(right[1:])])
    return 100 * np.array(result, np.float32)


def summary(played: Sequence[Vectors]) -> dict[str, object]:
    """Sum up the episodes of one number of examples."""
    results = np.array(played, np.float64)
    report: dict[str, object] = {
        name: dict(zip(("all", "known", "others"), results.mean(axis=0)[number].round(2).tolist(), strict=True))
        for number, name in enumerate(("column", "examples", "both"))
    }
    means = results[:, :, 0]
    gain = means[:, 2] - means[:, int(means[:, :2].mean(axis=0).argmax())]
    report["both_less_the_better"] = round(float(gain.mean()), 2)
    report["ci95"] = round(float(1.96 * gain.std(ddof=1) / np.sqrt(len(gain))), 2)
    report["episodes"] = len(results)
    return report


def columns_alone(pictures: PictureSet, known: Mapping[str, Vectors]) -> float | None:
    """Return the accuracy of columns alone in percent; None where a class of the folder is not known."""
    names = [str(name) for name in np.unique(pictures.classes)]
    if not known.keys() >= set(names):
        return None
    weights = np.stack([padded(known[name], pictures.vectors.shape[1]) for name in names])
    found = np.array(names)[(pictures.vectors @ weights.T).argmax(axis=1)]
    return round(100 * float(np.mean([np.mean(found[pictures.classes == name] == name) for name in names])), 2)


async def run(options: argparse.Namespace) -> dict[str, object]:
    """Embed the folder and play."""
    columns = class_columns(options.extractor.read_bytes())
    known = directions(columns, read_labels(options.labels.read_text("utf-8"), len(columns.vectors)), options.known)
    async with open_embedder(options.extractor, "auto") as embedder:
        pictures = await embed_folder(embedder, files_of(options.folder), embedder.length)
    report: dict[str, object] = {}
    alone = columns_alone(pictures, known)
    if alone is not None:
        report["columns_alone"] = alone
    names = sorted(known)
    for shots in options.shots:
        options.chance = np.random.default_rng([options.seed, shots])
        played = [
            play(pictures, names[number % len(names)], known[names[number % len(names)]], shots, options)
            for number in range(options.episodes)
        ]
        finished = [one for one in played if one is not None]
        if len(finished) > 1:
            report[str(shots)] = summary(finished)
    return report


def main() -> int:
    """Run and print; 1 where the extractor or its labels can't be used."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="a tree: folder/class/picture")
    parser.add_argument("--extractor", required=True, type=Path, help="a TFLite classifier")
    parser.add_argument("--labels", required=True, type=Path, help="its labels")
    parser.add_argument("--known", required=True, nargs="+", metavar="CLASS=LABEL[+LABEL]")
    parser.add_argument("--shots", type=numbers, default=[1, 5, 20], help="examples a class, e.g. 1,5,20")
    parser.add_argument("--ways", type=int, default=5, help="classes in an episode, at most")
    parser.add_argument("--episodes", type=int, default=90)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    try:
        report = asyncio.run(run(options))
    except EmbeddingError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(report, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
