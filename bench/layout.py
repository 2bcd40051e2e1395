"""Time the layout descriptor and its join with a network's embedding.

Prints one JSON object: milliseconds (best and median) of ``describe`` and ``join``, on drawn pictures.
"""

import argparse
import json
import statistics
import time

import numpy as np

from embedding.pictures import layout


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--network", type=int, default=512, help="length of the network's embedding")
    options = parser.parse_args()
    chance = np.random.default_rng(0)
    pictures = chance.integers(0, 256, (16, 64, 64, 3), np.uint8)
    network = chance.random(options.network, np.float32)
    taken: dict[str, list[float]] = {"describe": [], "join": []}
    for turn in range(options.rounds):
        start = time.perf_counter()
        vector = layout.describe(pictures[turn % 16])
        between = time.perf_counter()
        layout.join(network, vector)
        taken["describe"].append((between - start) * 1000)
        taken["join"].append((time.perf_counter() - between) * 1000)
    report: dict[str, object] = {
        name: {"min_ms": round(min(times), 4), "median_ms": round(statistics.median(times), 4)}
        for name, times in taken.items()
    }
    print(json.dumps({"length": layout.LENGTH, **report}, indent=2))


if __name__ == "__main__":
    main()
