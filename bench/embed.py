"""Time and weigh every extractor on every runtime, beside the bare interpreter: prints one JSON object.

    python bench/embed.py MODEL… [--models FOLDER] [--no-builtin] [--frames 40] [--pictures FOLDER]

The bare interpreter is LiteRT, called by its own API: on the file as it is (``interpreter``) and on the file that ends at its
embedding (``interpreter_cut``). Each frame is given to all in turn, with one thread each, so that whatever else the machine does hits
them alike. ``look_ms`` is the whole way from a 1080p JPEG to a unit vector, beside the interpreter's after Pillow's own decode, crop
and resize. Memory and first frame are those of processes that open one engine alone.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import BytesIO
import json
from pathlib import Path
import statistics
import time
import tracemalloc
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.decode import drawn
from bench.embed_child import interpreter, measured_alone
from embedding.errors import EmbeddingError
from embedding.network.model import read_model
from embedding.pictures import layout
from embedding.pictures.decoding import WHOLE
from embedding.preparation import prepare
from embedding.runtimes.rewrite import cut_model
from embedding.runtimes.runtime import Family, Runtime, open_runtime

FAMILIES: Final[tuple[Family, ...]] = ("portable", "litert")
_ENDINGS: Final = frozenset({".jpg", ".jpeg", ".png"})
_JPEGS: Final = 4

Pixels = NDArray[np.uint8]
Vector = NDArray[np.float32]


def pictures(folder: Path | None, size: tuple[int, int], count: int) -> Iterator[Pixels]:
    """Yield ``count`` pictures of ``size``: evenly chosen ones of a folder and its subfolders, or smooth noise."""
    if folder is None:
        random = np.random.default_rng(0)
        for _ in range(count):
            coarse = Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8))
            yield np.asarray(coarse.resize(size, Image.Resampling.BICUBIC))
        return
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _ENDINGS)
    if not files:
        raise SystemExit(f"No pictures in {folder}")
    for number in range(count):
        with Image.open(files[number * len(files) // count]) as picture:
            yield np.asarray(picture.convert("RGB").resize(size, Image.Resampling.BILINEAR))


def allocated(runtime: Runtime, pixels: Pixels) -> int:
    """Return the most bytes that were allocated at once during a frame, the returned embedding not counted."""
    runtime.embed(pixels)
    tracemalloc.start()
    runtime.embed(pixels)
    before, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    embedding = runtime.embed(pixels)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak - before - embedding.nbytes


def timed(way: Callable[[Any], Any], what: object) -> tuple[float, Any]:
    """Return the milliseconds that a call takes, and what it returns."""
    start = time.perf_counter()
    result = way(what)
    return (time.perf_counter() - start) * 1e3, result


def figures(times: Sequence[float]) -> dict[str, float]:
    """Sum milliseconds up."""
    return {"ms_median": round(statistics.median(times), 3), "ms_min": round(min(times), 3)}


def looks(runtime: Runtime | None) -> Callable[[bytes], Vector]:
    """Return the way from a JPEG to a unit vector, as the integration takes it."""

    def look(jpeg: bytes) -> Vector:
        (part,) = prepare(jpeg, (WHOLE,), runtime.input_size if runtime else None)
        return part.joined(runtime.embed(part.pixels) if runtime and part.pixels is not None else None)

    return look


def straight(embed: Callable[[Pixels], Vector], size: tuple[int, int]) -> Callable[[bytes], Vector]:
    """Return the way from a JPEG to an embedding by Pillow and the interpreter alone."""

    def look(jpeg: bytes) -> Vector:
        with Image.open(BytesIO(jpeg)) as picture:
            return embed(np.asarray(picture.convert("RGB").resize(size, Image.Resampling.BILINEAR)))

    return look


def in_turns(
    ways: Mapping[str, Callable[[Any], Any]], inputs: Sequence[Any]
) -> tuple[dict[str, list[float]], dict[str, list[Any]]]:
    """Give every input to all ways in turn, twice: the others have emptied the caches. Milliseconds and results by way."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    results: dict[str, list[Any]] = {name: [] for name in ways}
    for one in inputs:
        for name, way in ways.items():
            way(one)
            milliseconds, result = timed(way, one)
            times[name].append(milliseconds)
            results[name].append(result)
    return times, results


def agreement(ours: Sequence[Vector], theirs: Sequence[Vector]) -> list[float]:
    """Return the cosines of embeddings of the same pictures."""
    return [
        float(np.dot(one, other) / max(float(np.linalg.norm(one) * np.linalg.norm(other)), 1e-12))
        for one, other in zip(ours, theirs, strict=True)
    ]


def compare(model: Path, options: argparse.Namespace, jpegs: Sequence[bytes]) -> dict[str, Any]:
    """Run a model's frames through every runtime that takes it, and through the bare interpreter."""
    data = model.read_bytes()
    report: dict[str, Any] = {}
    runtimes: dict[str, Runtime] = {}
    for family in FAMILIES:
        try:
            runtimes[family] = open_runtime(data, family)
        except EmbeddingError as error:
            report[family] = {"error": f"{type(error).__name__}: {error}"}
    if not runtimes:
        return report
    size = next(iter(runtimes.values())).input_size
    ways: dict[str, Callable[[Pixels], Vector]] = {family: runtime.embed for family, runtime in runtimes.items()}
    whole: dict[str, Callable[[bytes], Vector]] = {family: looks(runtime) for family, runtime in runtimes.items()}
    if "litert" in runtimes:
        ways["interpreter"] = interpreter(data)
        ways["interpreter_cut"] = interpreter(cut_model(read_model(data)))
        whole["interpreter"] = straight(ways["interpreter"], size)
    frames = list(pictures(options.pictures, size, options.frames))
    times, results = in_turns(ways, frames)
    whole_times, _ = in_turns(whole, [jpegs[number % len(jpegs)] for number in range(max(4, options.frames // 4))])
    for name in ways:
        report[name] = figures(times[name]) | measured_alone(name, model)
        if name in whole:
            report[name]["look_ms"] = figures(whole_times[name])
    for name, runtime in runtimes.items():
        report[name]["bytes_allocated_per_frame"] = allocated(runtime, frames[0])
        runtime.close()
    if len(runtimes) == 2:
        medians = [statistics.median(times[family]) for family in FAMILIES]
        cosines = agreement(results["portable"], results["litert"])
        report |= {
            "portable_over_litert": round(medians[0] / medians[1], 2),
            "portable_over_litert_min": round(min(times["portable"]) / min(times["litert"]), 2),
            "litert_over_interpreter_cut": round(medians[1] / statistics.median(times["interpreter_cut"]), 2),
            "cosine_min": round(min(cosines), 6),
            "cosine_median": round(statistics.median(cosines), 6),
        }
    return report


def builtin(options: argparse.Namespace, jpegs: Sequence[bytes]) -> dict[str, Any]:
    """Measure the built-in extractor."""
    frames = list(pictures(options.pictures, layout.SIZE, options.frames))
    times, _ = in_turns({"describe": layout.describe}, frames)
    whole, _ = in_turns(
        {"look": looks(None)}, [jpegs[number % len(jpegs)] for number in range(max(4, options.frames // 4))]
    )
    return {
        "builtin": figures(times["describe"]) | measured_alone("builtin", None) | {"look_ms": figures(whole["look"])}
    }


def main() -> None:
    """Read the command line and print the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", metavar="MODEL", nargs="*", type=Path, help="a TFLite file")
    parser.add_argument("--models", type=Path, metavar="FOLDER", help="all TFLite files of a folder")
    parser.add_argument("--no-builtin", action="store_true", help="leave the built-in extractor out")
    parser.add_argument("--frames", type=int, default=40, help="pictures per model")
    parser.add_argument("--pictures", type=Path, help="a folder of pictures; smooth noise without")
    options = parser.parse_args()
    jpegs = [drawn(1920, 1080, 85 + number) for number in range(_JPEGS)]
    files = [*options.files, *(sorted(options.models.glob("*.tflite")) if options.models else ())]
    report = {} if options.no_builtin else {"builtin": builtin(options, jpegs)}
    report |= {model.name: compare(model, options, jpegs) for model in files}
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
