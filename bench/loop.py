"""How long callbacks hold Home Assistant's event loop while classifiers look once a second.

Starts a real Home Assistant, first idle (the limit nothing can beat), then with N classifiers on one
camera at one look a second, and counts the callbacks over the limit in each: by the clock, and
by the processor time of the loop's own thread, which tells our work from a machine that was busy elsewhere. Prints JSON. Run by the demo's Python:
``.dev/demo/bin/python bench/loop.py --classifiers 4 --seconds 60``. For an engine on an Edge TPU whose process comes and goes:
``bench/chaos_home.py --limit-ms 5``.
"""

import argparse
import asyncio
from collections import Counter
from contextlib import AsyncExitStack
import json
from pathlib import Path
import re
from typing import Any

from scripts.simulation.camera import Camera, running_camera
from scripts.simulation.client import onboarded
from scripts.simulation.demo import BUILTIN, add_camera, add_classifier, add_engine, drop_in
from scripts.simulation.driveway import Scene, jpeg, scene_at
from scripts.simulation.home import Home, running_home

ROOT = Path(__file__).resolve().parents[1]

WATCH = '''\
"""Logs callbacks that hold the loop, with the processor time they took, and turns on asyncio's own log of them."""
import asyncio
import gc
import logging
import time
from homeassistant.helpers.start import async_at_started

async def async_setup(hass, config):
    limit, debug = config["loop_watch"]["limit"], config["loop_watch"]["debug"]
    plain = asyncio.Handle._run
    collected = [0.0]
    def on_gc(phase, info):
        collected[0] += -time.perf_counter() if phase == "start" else time.perf_counter()
    def what(handle):
        task = getattr(handle._callback, "__self__", None)
        return task.get_coro().__qualname__ if isinstance(task, asyncio.Task) else repr(handle)
    def run(handle):
        wall, used, garbage = time.perf_counter(), time.thread_time(), collected[0]
        plain(handle)
        wall, used, garbage = time.perf_counter() - wall, time.thread_time() - used, collected[0] - garbage
        if wall > limit:
            logging.getLogger("loop_watch").warning(
                "held %.1f ms, processor %.1f ms, garbage %.1f ms: %s", 1e3 * wall, 1e3 * used, 1e3 * garbage, what(handle))
    async def start(_hass):
        gc.callbacks.append(on_gc)
        asyncio.Handle._run = run
        loop = asyncio.get_running_loop()
        loop.slow_callback_duration = limit
        loop.set_debug(debug)
    async_at_started(hass, start)
    return True
'''
MANIFEST = {"domain": "loop_watch", "name": "Loop watch", "version": "1.0.0", "requirements": [], "dependencies": []}
HELD = re.compile(r"held ([0-9.]+) ms, processor ([0-9.]+) ms, garbage ([0-9.]+) ms: (.*)")
REGIONS = ((0, 0, 100, 100), (20, 25, 75, 65), (0, 50, 50, 100), (50, 0, 100, 50))


class Phase:
    """The slow callbacks logged since a moment."""

    def __init__(self, home: Home, limit_ms: float) -> None:
        """Start at the log's present end."""
        self._home = home
        self._limit_ms = limit_ms
        self._start = home.log.stat().st_size

    def result(self) -> dict[str, Any]:
        """Return what has been logged since."""
        with self._home.log.open("rb") as log:
            log.seek(self._start)
            text = log.read().decode(errors="replace")
        found = [(float(wall), float(used), float(garbage), what) for wall, used, garbage, what in HELD.findall(text)]
        return {
            "held_over_limit": len(found),
            "longest_ms": max((row[0] for row in found), default=0),
            "processor_over_limit": sum(row[1] > self._limit_ms for row in found),
            "longest_processor_ms": max((row[1] for row in found), default=0),
            "by_callback": dict(Counter(row[3][:80] for row in found).most_common(8)),
            "rows": [[*row[:3], row[3][:160]] for row in sorted(found, reverse=True)[:5]],
        }


def watching(limit_ms: float, *, debug: bool = False) -> str:
    """Return the YAML that turns the watching component on."""
    return f"loop_watch:\n  limit: {limit_ms / 1000}\n  debug: {str(debug).lower()}\n"


def plant(config: Path) -> None:
    """Put the watching component into a configuration folder."""
    folder = config / "custom_components" / "loop_watch"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(WATCH)
    (folder / "manifest.json").write_text(json.dumps(MANIFEST))


async def _play(camera: Camera, frames: list[bytes], seconds: float) -> None:
    """Show one frame after the other, each for a tenth of a second."""
    for number in range(int(10 * seconds)):
        camera.show_picture(frames[number % len(frames)])
        await asyncio.sleep(0.1)


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Return the slow callbacks of both phases."""
    config = options.config.resolve()
    async with AsyncExitStack() as stack:
        camera = await stack.enter_async_context(running_camera())
        extra = watching(options.limit_ms, debug=options.debug)
        home = await stack.enter_async_context(running_home(config, extra=extra, prepared=plant))
        client = await stack.enter_async_context(onboarded(home.url))
        extractor = drop_in(home, str(options.extractor or BUILTIN))
        entity_id = await add_camera(client, camera.url)
        await asyncio.sleep(5)
        idle = Phase(home, options.limit_ms)
        await asyncio.sleep(options.seconds / 2)
        result: dict[str, Any] = {"limit_ms": options.limit_ms, "idle": idle.result()}
        entry_id = await add_engine(client, extractor, options.runtime)
        for number in range(options.classifiers):
            region = dict(zip(("left", "top", "right", "bottom"), REGIONS[number % len(REGIONS)], strict=True))
            answers = {"name": f"Gate {number}", "camera": entity_id, "classes": ["open", "closed"], "interval": 1}
            device_id, _ = await add_classifier(client, entry_id, answers | {"region": region})
            for gate in ("open", "closed"):
                camera.show(Scene(gate=gate))
                await client.call("coral_imprint", "capture_example", device_id=device_id, **{"class": gate})
        # Drawn beforehand: a real camera does not draw on Home Assistant's processor.
        frames = [jpeg(scene_at(15.0 * number, 0), number) for number in range(40)]
        await _play(camera, frames, 5)
        looking, served = Phase(home, options.limit_ms), camera.served
        await _play(camera, frames, options.seconds)
        looks = camera.served - served
        return result | {
            "classifiers": options.classifiers,
            "extractor": extractor,
            "looks_per_second": round(looks / options.seconds, 2),
            "looking": looking.result(),
            "memory_mib": round(home.memory(), 1),
        }


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--classifiers", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--limit-ms", type=float, default=5)
    parser.add_argument("--debug", action="store_true", help="asyncio's debug mode, which slows every callback")
    parser.add_argument("--extractor", type=Path, help="a .tflite file (default: the built-in extractor)")
    parser.add_argument("--runtime", default="auto", choices=["auto", "portable", "litert"])
    parser.add_argument("--config", type=Path, default=ROOT / ".dev" / "loop")
    print(json.dumps(asyncio.run(measure(parser.parse_args())), indent=2))


if __name__ == "__main__":
    main()
