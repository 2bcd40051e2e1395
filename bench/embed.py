"""Time and compare the runtimes on extractors: prints one JSON object.

    python bench/embed.py MODEL… [--frames 40] [--pictures FOLDER]

Each frame is given to every runtime in turn, with one thread each, so that whatever else the machine does hits them alike.
"""

import argparse
from collections.abc import Callable, Iterator
import json
from pathlib import Path
import statistics
import sys
import time
import tracemalloc

import numpy as np
from numpy.typing import NDArray
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "custom_components/coral_imprint"))

from embedding.errors import EmbeddingError
from embedding.runtime import Runtime, RuntimeChoice, open_runtime

_FAMILIES: tuple[RuntimeChoice, ...] = ("portable", "litert")
_ENDINGS = frozenset({".jpg", ".jpeg", ".png"})


def pictures(folder: Path | None, size: tuple[int, int], count: int) -> Iterator[NDArray[np.uint8]]:
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


def allocated(runtime: Runtime, pixels: NDArray[np.uint8]) -> int:
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


def _timed(
    embed: Callable[[NDArray[np.uint8]], NDArray[np.float32]], pixels: NDArray[np.uint8]
) -> tuple[float, NDArray[np.float32]]:
    start = time.perf_counter()
    embedding = embed(pixels)
    return (time.perf_counter() - start) * 1e3, embedding


def compare(model: Path, frames: int, folder: Path | None) -> dict[str, object]:
    """Run a model's frames through every runtime that takes it."""
    data = model.read_bytes()
    runtimes: dict[str, Runtime] = {}
    report: dict[str, object] = {}
    for choice in _FAMILIES:
        try:
            runtimes[choice] = open_runtime(data, choice)
        except EmbeddingError as error:
            report[choice] = {"error": f"{type(error).__name__}: {error}"}
    times: dict[str, list[float]] = {family: [] for family in runtimes}
    cosines = []
    for pixels in pictures(folder, next(iter(runtimes.values())).input_size, frames) if runtimes else ():
        embeddings = []
        for family, runtime in runtimes.items():
            _timed(runtime.embed, pixels)  # the other runtime has emptied the caches
            milliseconds, embedding = _timed(runtime.embed, pixels)
            times[family].append(milliseconds)
            embeddings.append(embedding / max(float(np.linalg.norm(embedding)), 1e-12))
        cosines.append(float(np.dot(embeddings[0], embeddings[-1])))
    for family, runtime in runtimes.items():
        report[family] = {
            "ms_median": round(statistics.median(times[family]), 3),
            "ms_min": round(min(times[family]), 3),
            "bytes_allocated_per_frame": allocated(runtime, pixels),
        }
    if len(runtimes) == 2:
        medians = [statistics.median(times[family]) for family in _FAMILIES]
        report["portable_over_litert"] = round(medians[0] / medians[1], 2)
        report["portable_over_litert_min"] = round(min(times["portable"]) / min(times["litert"]), 2)
        report["cosine_min"] = round(min(cosines), 6)
        report["cosine_median"] = round(statistics.median(cosines), 6)
    for runtime in runtimes.values():
        runtime.close()
    return report


def main() -> None:
    """Read the command line and print the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", metavar="MODEL", nargs="+", type=Path, help="a TFLite file")
    parser.add_argument("--frames", type=int, default=40, help="pictures per model")
    parser.add_argument("--pictures", type=Path, help="a folder of pictures; smooth noise without")
    arguments = parser.parse_args()
    report = {model.name: compare(model, arguments.frames, arguments.pictures) for model in arguments.models}
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
