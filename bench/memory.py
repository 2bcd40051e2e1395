"""What an engine adds to a real Home Assistant's memory: prints one JSON object.

    .dev/demo/bin/python bench/memory.py --extractor FILE [--runtime portable] [--no-reject] [--seconds 30] [--rounds 1]

The same Home Assistant with the same camera three times: without the integration, with the built-in extractor, and with the given
one; with classifiers that look once a second in the latter two, and that reject what was never taught unless ``--no-reject`` is
given. Memory is the median of samples after ``--settle`` seconds; the peak is the largest sample from the first look on.
"""

import argparse
import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
import json
from pathlib import Path
import statistics
from typing import Any, Final

from scripts.simulation.camera import Camera, running_camera
from scripts.simulation.client import Client, onboarded
from scripts.simulation.demo import BUILTIN, add_camera, add_classifier, add_engine, drop_in
from scripts.simulation.driveway import Scene, jpeg, scene_at
from scripts.simulation.home import Home, running_home

ROOT = Path(__file__).resolve().parents[1]

WITHOUT: Final = "without"
_FRAMES: Final = 40
REGIONS: Final = ((0, 0, 100, 100), (20, 25, 75, 65), (0, 50, 50, 100), (50, 0, 100, 50))
"""Of one classifier after the other, in percent."""


@dataclass(frozen=True)
class Memory:
    """Resident memory of one Home Assistant, in MiB."""

    median: float
    peak: float


async def _played(camera: Camera, frames: list[bytes], home: Home, seconds: float) -> list[float]:
    """Show one frame after the other, each for half a second; resident memory in MiB meanwhile."""
    samples = []
    for number in range(int(2 * seconds)):
        camera.show_picture(frames[number % len(frames)])
        await asyncio.sleep(0.5)
        samples.append(home.memory())
    return samples


async def _teach(options: argparse.Namespace, client: Client, camera: Camera, entry_id: str, entity_id: str) -> None:
    """Add the classifiers to an engine, and teach each one picture a class."""
    for number in range(options.classifiers):
        answers = {"name": f"Gate {number}", "camera": entity_id, "classes": ["open", "closed"], "interval": 1}
        decision = {"decision": {"reject_foreign": options.reject}}
        region = {"region": dict(zip(("left", "top", "right", "bottom"), REGIONS[number % len(REGIONS)], strict=True))}
        device_id, _ = await add_classifier(client, entry_id, answers | decision | region)
        for gate in ("open", "closed"):
            camera.show(Scene(gate=gate))
            await client.call("coral_imprint", "capture_example", device_id=device_id, **{"class": gate})


async def once(options: argparse.Namespace, extractor: str, runtime: str) -> Memory:
    """Run one Home Assistant with an extractor (WITHOUT: none)."""
    async with AsyncExitStack() as stack:
        camera = await stack.enter_async_context(running_camera())
        home = await stack.enter_async_context(running_home(options.config.resolve()))
        client = await stack.enter_async_context(onboarded(home.url))
        entity_id = await add_camera(client, camera.url)
        if extractor != WITHOUT:
            entry_id = await add_engine(client, drop_in(home, extractor), runtime)
            await _teach(options, client, camera, entry_id, entity_id)
        frames = [jpeg(scene_at(15.0 * number, 0), number) for number in range(_FRAMES)]
        settling = await _played(camera, frames, home, options.settle)
        samples = await _played(camera, frames, home, options.seconds)
        return Memory(statistics.median(samples), max(settling + samples))


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run all of them in turns."""
    name = str(options.extractor)
    runs: dict[str, list[Memory]] = {WITHOUT: [], BUILTIN: [], name: []}
    for _ in range(options.rounds):
        for extractor, found in runs.items():
            found.append(await once(options, extractor, options.runtime if extractor == name else "auto"))
    medians = {extractor: statistics.median(one.median for one in found) for extractor, found in runs.items()}
    peak = statistics.median(one.peak for one in runs[name])
    return {
        "runtime": options.runtime,
        "classifiers": options.classifiers,
        "rejecting": options.reject,
        "mib": {Path(extractor).name: [round(one.median, 1) for one in found] for extractor, found in runs.items()},
        "growth_over_without_mib": round(medians[name] - medians[WITHOUT], 1),
        "growth_over_builtin_mib": round(medians[name] - medians[BUILTIN], 1),
        "builtin_over_without_mib": round(medians[BUILTIN] - medians[WITHOUT], 1),
        "peak_over_without_mib": round(peak - medians[WITHOUT], 1),
    }


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--extractor", type=Path, required=True, metavar="FILE")
    parser.add_argument("--runtime", default="portable", choices=("auto", "portable", "litert"))
    parser.add_argument("--classifiers", type=int, default=1)
    parser.add_argument("--reject", action=argparse.BooleanOptionalAction, default=True, help="what was never taught")
    parser.add_argument("--settle", type=float, default=20, help="seconds before memory is looked at")
    parser.add_argument("--seconds", type=float, default=20, help="seconds that it is looked at for")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--config", type=Path, default=ROOT / ".dev" / "memory")
    print(json.dumps(asyncio.run(measure(parser.parse_args())), indent=2))


if __name__ == "__main__":
    main()
