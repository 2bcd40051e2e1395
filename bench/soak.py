"""Whether memory grows over many frames: drawn JPEGs that differ, through one embedder. Prints one JSON object.

    python bench/soak.py [--extractor builtin|FILE] [--runtime portable] [--frames 100000]

Resident memory is sampled every thousandth of the frames. ``slope_kib_per_1000`` is the line through the samples after the first tenth, ``growth_kib`` how much higher the
last tenth of them is than the first tenth of those. Ends with 1 where it grew by more than ``--most-kib``.
"""

import argparse
import asyncio
from collections.abc import Sequence
import json
from pathlib import Path
import statistics
import sys
import time
from typing import Any, Final

import numpy as np

from bench.decode import drawn
from bench.embed_child import resident
from embedding import BUILTIN, WHOLE, Region, open_embedder

SIZES: Final = ((640, 480), (800, 450), (352, 288), (704, 576))
REGIONS: Final = (WHOLE, Region(0.1, 0.1, 0.6, 0.7), Region(0.0, 0.5, 1.0, 1.0), Region(0.47, 0.31, 0.93, 0.88))
_QUALITIES: Final = range(60, 92, 2)


def growth(samples: Sequence[float], frames_between: float) -> dict[str, float]:
    """Sum up samples of memory in MiB, evenly taken."""
    warm = samples[max(1, len(samples) // 10) :]
    tenth = max(1, len(warm) // 10)
    slope = (
        np.polyfit(np.arange(len(warm)) * frames_between / 1000, np.array(warm) * 1024, 1)[0] if len(warm) > 1 else 0
    )
    return {
        "start_mib": round(samples[0], 2),
        "warm_mib": round(statistics.median(warm[:tenth]), 2),
        "end_mib": round(statistics.median(warm[-tenth:]), 2),
        "most_mib": round(max(samples), 2),
        "growth_kib": round(1024 * (statistics.median(warm[-tenth:]) - statistics.median(warm[:tenth])), 1),
        "slope_kib_per_1000": round(float(slope), 3),
    }


async def soak(options: argparse.Namespace) -> dict[str, Any]:
    """Embed all frames; every one is another picture or another part of it than the one before."""
    jpegs = [drawn(*size, quality) for size in SIZES for quality in _QUALITIES]
    every = max(1, options.frames // 1000)
    samples: list[float] = []
    extractor = options.extractor if options.extractor == BUILTIN else Path(options.extractor)
    async with open_embedder(extractor, options.runtime) as embedder:
        start = time.perf_counter()
        for number in range(options.frames):
            region = REGIONS[number // len(jpegs) % len(REGIONS)]
            vector = await embedder.embed(jpegs[number % len(jpegs)], region)
            if abs(float(np.linalg.norm(vector)) - 1) > 1e-3:
                raise SystemExit(f"Frame {number} has an embedding of length {np.linalg.norm(vector)}")
            if number % every == 0:
                samples.append(resident())
        spent = time.perf_counter() - start
        return {
            "extractor": Path(options.extractor).name,
            "runtime": embedder.runtime,
            "frames": options.frames,
            "ms_per_frame": round(spent * 1000 / options.frames, 3),
            **growth(samples, every),
        }


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--extractor", default=BUILTIN, metavar="builtin|FILE")
    parser.add_argument("--runtime", default="portable", choices=("auto", "portable", "litert"))
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--most-kib", type=float, default=1024)
    options = parser.parse_args()
    report = asyncio.run(soak(options))
    print(json.dumps(report, indent=2))
    return 1 if report["growth_kib"] > options.most_kib else 0


if __name__ == "__main__":
    sys.exit(main())
