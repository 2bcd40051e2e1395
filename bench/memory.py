"""What an engine adds to a real Home Assistant's memory: prints one JSON object.

    .dev/demo/bin/python bench/memory.py --extractor FILE [--runtime portable] [--seconds 30] [--rounds 1]

The same Home Assistant with the same camera three times: without the integration, with the built-in extractor, and with the given
one; with a classifier that looks once a second in the latter two. Memory is the median of samples after ``--settle`` seconds.
"""

import argparse
import asyncio
from contextlib import AsyncExitStack
import json
from pathlib import Path
import shutil
import statistics
import sys
from typing import Any, Final

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "custom_components" / "coral_imprint"))

from embedding import CATALOGUE  # noqa: E402 - found by the path above
from scripts.simulation.camera import running_camera  # noqa: E402
from scripts.simulation.client import onboarded  # noqa: E402
from scripts.simulation.demo import add_camera, add_classifier, add_engine  # noqa: E402
from scripts.simulation.driveway import Scene, jpeg, scene_at  # noqa: E402
from scripts.simulation.home import Home, running_home  # noqa: E402

WITHOUT: Final = "without"
_FRAMES: Final = 40


async def _played(camera: Any, frames: list[bytes], home: Home, seconds: float) -> list[float]:
    """Show one frame after the other, each for half a second; resident memory in MiB meanwhile."""
    samples = []
    for number in range(int(2 * seconds)):
        camera.show_picture(frames[number % len(frames)])
        await asyncio.sleep(0.5)
        samples.append(home.memory())
    return samples


def chosen(extractor: str) -> str:
    """Return what the form calls an extractor: a published file is offered under its key in the catalogue."""
    return next((key for key, entry in CATALOGUE.items() if entry.file.name == extractor), extractor)


async def once(options: argparse.Namespace, extractor: str, runtime: str) -> float:
    """Run one Home Assistant with an extractor (WITHOUT: none); returns its memory in MiB."""
    async with AsyncExitStack() as stack:
        camera = await stack.enter_async_context(running_camera())
        home = await stack.enter_async_context(running_home(options.config.resolve()))
        client = await stack.enter_async_context(onboarded(home.url))
        entity_id = await add_camera(client, camera.url)
        if extractor != WITHOUT:
            if extractor != "builtin":
                models = home.config / "coral_imprint" / "models"
                models.mkdir(parents=True)
                shutil.copy(options.extractor, models / extractor)
            entry_id = await add_engine(client, chosen(extractor), runtime)
            answers = {"name": "Gate", "camera": entity_id, "classes": ["open", "closed"], "interval": 1}
            device_id, _ = await add_classifier(client, entry_id, answers)
            for gate in ("open", "closed"):
                camera.show(Scene(gate=gate))
                await client.call("coral_imprint", "capture_example", device_id=device_id, **{"class": gate})
        frames = [jpeg(scene_at(15.0 * number, 0), number) for number in range(_FRAMES)]
        await _played(camera, frames, home, options.settle)
        return statistics.median(await _played(camera, frames, home, options.seconds))


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run all of them in turns."""
    name = options.extractor.name
    runs: dict[str, list[float]] = {WITHOUT: [], "builtin": [], name: []}
    for _ in range(options.rounds):
        for extractor, found in runs.items():
            found.append(await once(options, extractor, options.runtime if extractor == name else "auto"))
    medians = {extractor: statistics.median(found) for extractor, found in runs.items()}
    return {
        "runtime": options.runtime,
        "mib": {extractor: [round(one, 1) for one in found] for extractor, found in runs.items()},
        "growth_over_without_mib": round(medians[name] - medians[WITHOUT], 1),
        "growth_over_builtin_mib": round(medians[name] - medians["builtin"], 1),
        "builtin_over_without_mib": round(medians["builtin"] - medians[WITHOUT], 1),
    }


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--extractor", type=Path, required=True, metavar="FILE")
    parser.add_argument("--runtime", default="portable", choices=("auto", "portable", "litert"))
    parser.add_argument("--settle", type=float, default=20, help="seconds before memory is looked at")
    parser.add_argument("--seconds", type=float, default=20, help="seconds that it is looked at for")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--config", type=Path, default=ROOT / ".dev" / "memory")
    print(json.dumps(asyncio.run(measure(parser.parse_args())), indent=2))


if __name__ == "__main__":
    main()
