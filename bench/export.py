"""What an exported TFLite file answers, beside the head that it was made of and the one that Home Assistant keeps.

    python bench/export.py FOLDER… --extractor FILE [--shots 1,5,20] [--ways 16] [--episodes 10] [--seed 0] [--json]

Folders hold class/picture. Each episode imprints a head on the network's part of the embeddings, exports it in both arithmetics, runs the
files by LiteRT on the queries, and prints one JSON object: per folder, number of examples and arithmetic the share of queries that
get the same class as by that head (percent), the greatest difference of a probability, the least cosine of a class that was
imported again to the exported one, milliseconds per picture; and the accuracy of the file, of that head, and of the head on the
joined embedding: the difference to it is what the file gives up. Needs ai-edge-litert.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
import json
from pathlib import Path
import statistics
import sys
import time
from typing import Any, Final

from ai_edge_litert.interpreter import Interpreter
import numpy as np
from numpy.typing import NDArray

from bench.evaluate import Episode, PictureSet, draw_episode, files_of, numbers, warn
from bench.measures import imported_classes
from embedding.errors import EmbeddingError, NotAPicture
from embedding.export.exporting import Arithmetic, export_model
from embedding.pictures.decoding import WHOLE
from embedding.preparation import prepare
from embedding.runtimes.runtime import open_runtime
from imprinting import Head, fit

ARITHMETICS: Final[Sequence[Arithmetic]] = ("float", "quantised")


@dataclass(frozen=True)
class Pictures:
    """A folder's pictures: what the network sees of them, their embeddings by the network alone, and joined."""

    pixels: list[NDArray[np.uint8]]
    alone: NDArray[np.float32]
    joined: PictureSet


@dataclass(frozen=True)
class Outcome:
    """One exported file on one episode's queries."""

    same: float
    """Share of the queries that get the class that the head gives them."""
    off: float
    """Greatest difference of a probability."""
    cosine: float
    ms: float
    file: float
    """Accuracy, as of the two heads: mean over classes."""
    head: float
    joined: float


def load(folder: Path, data: bytes) -> Pictures:
    """Embed a folder by LiteRT."""
    runtime = open_runtime(data, "litert")
    pixels, alone, joined, classes, groups = [], [], [], [], []
    for name, group, path in files_of(folder):
        try:
            (part,) = prepare(path.read_bytes(), (WHOLE,), runtime.input_size)
        except NotAPicture as error:
            warn(f"{path} left out: {error}")
            continue
        assert part.pixels is not None
        vector = runtime.embed(part.pixels)
        pixels.append(part.pixels)
        alone.append(vector / np.linalg.norm(vector))
        joined.append(part.joined(vector))
        classes.append(name)
        groups.append(group)
    return Pictures(pixels, np.stack(alone), PictureSet(np.stack(joined), np.array(classes), np.array(groups), 0.0))


def answers(model: bytes, pictures: Sequence[NDArray[np.uint8]]) -> tuple[NDArray[Any], float]:
    """Return an exported file's output for pictures, (n, C) probabilities, and the median of milliseconds per picture."""
    interpreter = Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    if source["dtype"] != np.uint8:
        raise SystemExit("the extractor takes float pictures: this benchmark is about quantised ones")
    rows, times = [], []
    for picture in pictures:
        start = time.perf_counter()
        interpreter.set_tensor(source["index"], picture[np.newaxis])
        interpreter.invoke()
        rows.append(interpreter.get_tensor(target["index"])[0] * target["quantization"][0])
        times.append((time.perf_counter() - start) * 1e3)
    return np.stack(rows), statistics.median(times)


def shares(head: Head, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return a head's probabilities, (n, C)."""
    return np.array([list(head.score(vector).probability.values()) for vector in vectors])


def accuracy(probabilities: NDArray[Any], truth: NDArray[np.intp]) -> float:
    """Mean over classes, 0..1."""
    right = probabilities.argmax(axis=1) == truth
    return float(np.mean([right[truth == one].mean() for one in np.unique(truth)]))


def play(data: bytes, pictures: Pictures, episode: Episode) -> dict[Arithmetic, Outcome]:
    """Teach both heads, export one of them, and ask all."""
    alone = fit({name: pictures.alone[rows] for name, rows in episode.examples.items()})
    joined = fit({name: pictures.joined.vectors[rows] for name, rows in episode.examples.items()})
    queries = np.concatenate([episode.queries[name] for name in alone.classes])
    truth = np.repeat(np.arange(len(alone.classes)), [len(episode.queries[name]) for name in alone.classes])
    expected = shares(alone, pictures.alone[queries])
    kept = accuracy(shares(joined, pictures.joined.vectors[queries]), truth)
    outcomes: dict[Arithmetic, Outcome] = {}
    for arithmetic in ARITHMETICS:
        model = export_model(data, alone.prototypes * alone.gains[:, None], alone.scale, arithmetic=arithmetic)
        found, ms = answers(model, [pictures.pixels[row] for row in queries])
        back = imported_classes(model, alone.classes)
        outcomes[arithmetic] = Outcome(
            float(np.mean(found.argmax(axis=1) == expected.argmax(axis=1))),
            float(np.abs(found - expected).max()),
            min(float(back[name] @ prototype) for name, prototype in zip(alone.classes, alone.prototypes, strict=True)),
            ms,
            accuracy(found, truth),
            accuracy(expected, truth),
            kept,
        )
    return outcomes


def summary(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Sum up one arithmetic over the episodes."""
    return {
        "same_class": round(100 * statistics.mean(one.same for one in outcomes), 3),
        "same_class_worst_episode": round(100 * min(one.same for one in outcomes), 2),
        "probability_off_at_most": round(max(one.off for one in outcomes), 4),
        "least_cosine_imported": round(min(one.cosine for one in outcomes), 6),
        "ms_per_picture": round(min(one.ms for one in outcomes), 2),
        "accuracy_file": round(100 * statistics.mean(one.file for one in outcomes), 2),
        "accuracy_head_on_network": round(100 * statistics.mean(one.head for one in outcomes), 2),
        "accuracy_head_on_joined": round(100 * statistics.mean(one.joined for one in outcomes), 2),
    }


def bench(folder: Path, data: bytes, options: argparse.Namespace) -> dict[str, object]:
    """Run all episodes of one folder."""
    pictures = load(folder, data)
    report: dict[str, object] = {}
    for shots in options.shots:
        chance = np.random.default_rng([options.seed, shots])
        drawn = [draw_episode(pictures.joined, shots, options.ways, chance) for _ in range(options.episodes)]
        played = [play(data, pictures, episode) for episode in drawn if episode is not None]
        if played:
            report[str(shots)] = {one: summary([outcome[one] for outcome in played]) for one in ARITHMETICS}
        else:
            warn(f"{folder.name}: too few pictures for {shots} examples a class")
    return report


def main() -> int:
    """Run and print; 1 where the extractor can't be used."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="a tree: folder/class/picture")
    parser.add_argument("--extractor", required=True, type=Path, help="a quantised TFLite file")
    parser.add_argument("--shots", type=numbers, default=[1, 5, 20], help="examples a class, e.g. 1,5,20")
    parser.add_argument("--ways", type=int, default=16, help="classes in an episode, at most")
    parser.add_argument("--episodes", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="nothing but one line of JSON")
    options = parser.parse_args()
    try:
        data = options.extractor.read_bytes()
        report = {folder.resolve().name: bench(folder, data, options) for folder in options.folders}
    except EmbeddingError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(report) if options.json else json.dumps(report, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
