"""How long imprinting, scoring and the example store take. Prints one JSON object; times are medians in milliseconds."""

from collections.abc import Callable
import json
from pathlib import Path
import statistics
import tempfile
import time

import numpy as np
from numpy.typing import NDArray

from imprinting import EmbeddingCache, ExampleStore, fit

FRAME_BYTES = 200_000
"""A 1080p JPEG, about."""


def milliseconds(action: Callable[[], object], repeats: int) -> float:
    """Return the median duration of an action."""
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        taken.append(time.perf_counter() - start)
    return round(statistics.median(taken) * 1000, 4)


def classes(count: int, examples: int, length: int) -> dict[str, NDArray[np.float32]]:
    """Return drawn unit embeddings by class."""
    random = np.random.default_rng(0)
    centres = random.normal(size=(count, 1, length))
    rows = centres + random.normal(size=(count, examples, length))
    rows /= np.linalg.norm(rows, axis=-1, keepdims=True)
    return {f"class {index}": part for index, part in enumerate(rows.astype(np.float32))}


def bench_heads() -> dict[str, float]:
    """Time fit and score."""
    many = classes(10, 200, 1024)
    few = classes(2, 5, 512)
    narrow, wide = fit(many), fit(classes(10, 5, 3000))
    return {
        "fit 10 x 200 x 1024": milliseconds(lambda: fit(many), 9),
        "fit 2 x 5 x 512": milliseconds(lambda: fit(few), 51),
        "score 10 x 1024": milliseconds(lambda: narrow.score(many["class 0"][0]), 501),
        "score 10 x 3000": milliseconds(lambda: wide.score(wide.prototypes[0]), 501),
    }


def bench_store(folder: Path) -> dict[str, float]:
    """Time the example store and the embedding cache on the disk of a folder."""
    store = ExampleStore(folder / "classifier", bytes, ValueError)
    store.load()
    frames = iter([index.to_bytes(4, "big") + bytes(FRAME_BYTES) for index in range(1601)])
    learned = [store.add_class(f"class {index}") for index in range(16)]
    adding = milliseconds(lambda: store.add_example(learned[0].id, next(frames)), 50)
    for index, one in enumerate(learned):
        present = len(store.examples(one.id))
        for number in range(present, 100):
            (folder / "classifier" / one.folder / f"20261120T{index:02}{number:04}000Z-{number:06x}.jpg").write_bytes(
                b"\xff"
            )
    loading = milliseconds(store.load, 9)
    assert len(store.examples()) == 1600
    cache = EmbeddingCache(folder, "bench", 1024)
    vector = np.ones(1024, np.float32)
    keys = iter([index.to_bytes(16, "big") for index in range(1600)])
    return {
        f"add_example of {FRAME_BYTES} bytes": adding,
        "load 16 x 100": loading,
        "cache put 1024": milliseconds(lambda: cache.put(next(keys), vector), 1600),
        "cache open 1600 x 1024": milliseconds(lambda: EmbeddingCache(folder, "bench", 1024), 5),
    }


def main() -> None:
    """Run everything."""
    with tempfile.TemporaryDirectory(dir=".") as folder:
        print(json.dumps({"ms": bench_heads() | bench_store(Path(folder))}, indent=2))


if __name__ == "__main__":
    main()
