"""What classifiers add to Home Assistant's start-up.

Sets up one engine with N classifiers of M examples each in a real Home Assistant, lets it embed everything, learn, and stop. Then the same
instance is started without the classifiers and with them, in turns. Prints JSON: milliseconds until Home Assistant says it is initialized,
processor time of the process until then, and what Home Assistant itself counts for setting up the integration, each as the median and the
least of all starts, and the difference. Run by the demo's Python:
``.dev/demo/bin/python bench/startup.py --extractor ../shared/models/mobilenet_v1_1.0_224_quant.tflite``.
"""

import argparse
import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
import json
import os
from pathlib import Path
import re
import shutil
from statistics import median
import time
from typing import Any, Literal

import aiohttp

from imprinting import ExampleStore
from scripts.simulation.camera import running_camera
from scripts.simulation.client import Client, onboarded
from scripts.simulation.demo import BUILTIN, add_camera, add_classifier, add_engine, drop_in, say
from scripts.simulation.driveway import GATE_REGION, Scene, jpeg
from scripts.simulation.home import Home, running_home

ROOT = Path(__file__).resolve().parents[1]

REGION = {
    edge: round(100 * value, 1) for edge, value in zip(("left", "top", "right", "bottom"), GATE_REGION, strict=True)
}
GATES: tuple[Literal["open", "closed"], ...] = ("open", "closed")
STORED = ("core.config_entries", "core.device_registry", "core.entity_registry", "core.restore_state")
INITIALIZED = re.compile(r"Home Assistant initialized in ([0-9.]+)s")
PATIENCE_S = 1800.0
TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")


def processor_s(pid: int) -> float:
    """Return the processor time (s) that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return TICK_S * (int(fields[11]) + int(fields[12]))


def drawn_gates() -> dict[str, list[bytes]]:
    """Draw some pictures of each state of the gate."""
    return {gate: [jpeg(Scene(gate=gate, light=0.4 + 0.05 * number), number) for number in range(10)] for gate in GATES}


def file_examples(root: Path, count: int, drawn: Mapping[str, list[bytes]]) -> None:
    """File ``count`` examples, as teaching would have."""
    store = ExampleStore(root, lambda picture: picture, ValueError)
    store.load()
    ids = {learned.label: learned.id for learned in store.classes.values()}
    for one in range(count):
        gate = GATES[one % 2]
        plain = drawn[gate][one // 2 % 10]
        # A comment of its own: no two pictures are the same bytes.
        comment = f"{root.name} {one}".encode()
        length = (len(comment) + 2).to_bytes(2, "big")
        store.add_example(ids[gate], plain[:2] + b"\xff\xfe" + length + comment + plain[2:])


class Instance:
    """One instance, its configuration with classifiers and without."""

    def __init__(self, home: Home) -> None:
        """Take an instance that runs."""
        self.home = home
        self.token = ""

    @property
    def _storage(self) -> Path:
        return self.home.config / ".storage"

    def save(self, name: str) -> None:
        """Keep the present configuration. The instance must not run."""
        folder = self.home.config / f"kept-{name}"
        folder.mkdir()
        for key in STORED:
            if (file := self._storage / key).exists():
                shutil.copy(file, folder)

    def without_classifiers(self) -> None:
        """Take every classifier out of the configuration. The instance must not run."""
        file = self._storage / "core.config_entries"
        content = json.loads(file.read_text())
        for entry in content["data"]["entries"]:
            if entry["domain"] == "coral_imprint":
                entry["subentries"] = []
        file.write_text(json.dumps(content))

    def use(self, name: str) -> None:
        """Use a configuration that was kept. The instance must not run."""
        for file in (self.home.config / f"kept-{name}").iterdir():
            shutil.copy(file, self._storage)

    async def start(self) -> dict[str, float]:
        """Start, and return how long that took, in ms. It is left running."""
        began = time.monotonic()
        await self.home.start()
        wall, used = time.monotonic() - began, processor_s(self.home.process.pid)
        found = INITIALIZED.search(self.home.said())
        assert found
        async with aiohttp.ClientSession() as session, Client(self.home.url, session, self.token).connected() as client:
            timings = {row["domain"]: row["seconds"] for row in await client.command("integration/setup_info")}
        return {
            "process_ms": 1000 * wall,
            "initialized_ms": 1000 * float(found[1]),
            "processor_ms": 1000 * used,
            "integration_ms": 1000 * timings["coral_imprint"],
        }


async def build(instance: Instance, client: Client, camera_url: str, options: argparse.Namespace) -> None:
    """Make the engine and its classifiers, give them examples, wait until everything is embedded and learned."""
    home = instance.home
    instance.token = await client.command("auth/long_lived_access_token", client_name="startup", lifespan=30)
    extractor = drop_in(home, str(options.extractor or BUILTIN))
    camera_id = await add_camera(client, camera_url)
    entry_id = await add_engine(client, extractor, options.runtime)
    for number in range(options.classifiers):
        answers = {"name": f"Gate {number}", "camera": camera_id, "classes": [*GATES], "interval": options.interval}
        await add_classifier(client, entry_id, answers | {"region": REGION})
    await home.stop()
    say(f"filing {options.classifiers} times {options.examples} examples")
    drawn = await asyncio.to_thread(drawn_gates)
    for number in range(options.classifiers):
        root = home.config / "coral_imprint" / f"gate_{number}"
        await asyncio.to_thread(file_examples, root, options.examples, drawn)
    await instance.start()
    say("waiting until they are embedded and learned")
    end = time.monotonic() + PATIENCE_S
    heads = [home.config / "coral_imprint" / f"gate_{number}" / ".heads" for number in range(options.classifiers)]
    while not all(any(folder.glob("*.head")) for folder in heads):
        if time.monotonic() > end:
            raise TimeoutError("the examples were not learned in time")
        await asyncio.sleep(1)
    used = 0.0
    while processor_s(home.process.pid) - used > 1.5:  # busy for most of the time still
        used = processor_s(home.process.pid)
        await asyncio.sleep(5)
    await home.stop()
    instance.save("with")
    instance.without_classifiers()
    instance.save("without")


def compared(rows: Mapping[str, list[dict[str, float]]]) -> dict[str, Any]:
    """Return median and least of each figure for both, and the differences."""
    result: dict[str, Any] = {}
    for figure in rows["with"][0]:
        values = {name: [row[figure] for row in found] for name, found in rows.items()}
        result[figure] = {
            **{name: {"median": round(median(own)), "least": round(min(own))} for name, own in values.items()},
            "added": {
                "median": round(median(values["with"]) - median(values["without"])),
                "least": round(min(values["with"]) - min(values["without"])),
            },
        }
    return result


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Return what starting took with classifiers and without."""
    async with AsyncExitStack() as stack:
        camera = await stack.enter_async_context(running_camera())
        home = await stack.enter_async_context(running_home(options.config.resolve()))
        instance = Instance(home)
        async with onboarded(home.url) as client:
            await build(instance, client, camera.url, options)
        rows: dict[str, list[dict[str, float]]] = {"without": [], "with": []}
        for turn in range(options.starts + 1):
            for name, found in rows.items():
                instance.use(name)
                row = await instance.start()
                if turn:  # the first start of each fills the system's cache
                    found.append(row)
                    say(f"{name}: " + ", ".join(f"{key} {value:.0f}" for key, value in row.items()))
                await asyncio.sleep(options.pause)
                await home.stop()
    shared = {"classifiers": options.classifiers, "examples": options.examples, "starts": options.starts}
    return shared | {"extractor": str(options.extractor or BUILTIN), "runtime": options.runtime} | compared(rows)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--classifiers", type=int, default=16)
    parser.add_argument("--examples", type=int, default=100, help="of each classifier (default: %(default)s)")
    parser.add_argument("--starts", type=int, default=7, help="with and without each (default: %(default)s)")
    parser.add_argument("--interval", type=float, default=10, help="seconds between looks (default: %(default)s)")
    parser.add_argument(
        "--pause", type=float, default=5, help="seconds between a start and its stop (default: %(default)s)"
    )
    parser.add_argument("--extractor", type=Path, help="a .tflite file (default: the built-in extractor)")
    parser.add_argument("--runtime", default="auto", choices=["auto", "portable", "litert"])
    parser.add_argument("--config", type=Path, default=ROOT / ".dev" / "startup")
    print(json.dumps(asyncio.run(measure(parser.parse_args())), indent=1))


if __name__ == "__main__":
    main()
