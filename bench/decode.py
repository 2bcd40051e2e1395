"""Time the way from a camera's 1080p JPEG to an extractor's input, beside Pillow's straight way.

Prints one JSON object: per region and size the milliseconds (best and median) of ``embedding.pictures.decoding.cut`` and of a full
Pillow decode, crop and resize of the same bytes, taken in turns, and their ratio.
"""

import argparse
from collections.abc import Callable
from functools import partial
from io import BytesIO
import json
from pathlib import Path
import statistics
import time

import numpy as np
from PIL import Image

from embedding.pictures.decoding import WHOLE, Region, View, check_picture, cut

QUARTER = Region(0.3, 0.4, 0.8, 0.9)
REGIONS = {"whole": WHOLE, "quarter": QUARTER}
SIZES = (64, 160, 224)


def drawn(width: int, height: int, quality: int) -> bytes:
    """Draw a frame with shapes, texture and noise, which compresses about as a camera's does."""
    chance = np.random.default_rng(0)
    layers = [
        np.asarray(Image.fromarray(chance.integers(0, 256, (rows, columns, 3), np.uint8)).resize((width, height)))
        for rows, columns in ((6, 10), (54, 96), (270, 480))
    ]
    mixed = sum(layer * share for layer, share in zip(layers, (0.6, 0.25, 0.15), strict=True))
    noisy = np.clip(mixed + chance.normal(0, 3, (height, width, 1)), 0, 255).astype(np.uint8)
    stream = BytesIO()
    Image.fromarray(noisy).save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def straight(data: bytes, region: Region, size: int) -> np.ndarray:
    """Decode all pixels, crop, resize: the peer."""
    image: Image.Image = Image.open(BytesIO(data))
    image.load()
    if image.mode != "RGB":
        image = image.convert("RGB")
    wide, high = image.size
    box = (region.left * wide, region.top * high, region.right * wide, region.bottom * high)
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, box))


def timed(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Run all ways in turns; milliseconds of each round of each."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            taken[name].append((time.perf_counter() - start) * 1000)
    return taken


def measured(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, object]:
    """Figures of two ways, ours and the peer."""
    taken = timed(ways, rounds)
    ours, peer = taken.values()
    figures: dict[str, object] = {
        name: {"min_ms": round(min(times), 3), "median_ms": round(statistics.median(times), 3)}
        for name, times in taken.items()
    }
    return {**figures, "ratio": round(min(ours) / min(peer), 3)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", nargs="?", type=Path, help="a JPEG file; a drawn frame otherwise")
    parser.add_argument("--width", type=int, default=1920)
    parser.add_argument("--height", type=int, default=1080)
    parser.add_argument("--quality", type=int, default=85)
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    data = options.picture.read_bytes() if options.picture else drawn(options.width, options.height, options.quality)
    info = check_picture(data)
    report: dict[str, object] = {"picture": {"width": info.width, "height": info.height, "bytes": len(data)}}
    for name, region in REGIONS.items():
        for size in SIZES:
            ways: dict[str, Callable[[], object]] = {
                "cut": partial(cut, data, [View(region, size, size)]),
                "pillow": partial(straight, data, region, size),
            }
            report[f"{name} {size}"] = measured(ways, options.rounds)
    report["check"] = measured(
        {"check_picture": lambda: check_picture(data), "pillow": lambda: Image.open(BytesIO(data)).load()},
        options.rounds,
    )
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
