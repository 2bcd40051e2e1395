"""Aborts of the Edge TPU's process while classifiers look through a real Home Assistant, which must not notice.

    .dev/test/bin/python bench/chaos_home.py [--aborts 1000] [--classifiers 8] [--home .dev/demo/bin/python]

A real Home Assistant, in a folder of its own, has one engine on a stand-in for libedgetpu (tests/standin), and classifiers of it
on the regions of one camera. Each looks ten times a second, by the action and with its answer, while inferences abort the device's
process, hang, or lose the device (once in ``--every`` aborts). At the end Home Assistant is killed. Prints one JSON object; ends
with 1 where a look took longer than ``--most-seconds`` or got no answer, where something grew, where Home Assistant ended or logged
an error, or where a process outlived it. With ``--limit-ms``, it tells which callbacks held Home Assistant's event loop for longer,
as bench/loop.py does. This program needs LiteRT, Home Assistant's environment does not.
"""

import argparse
import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO
from itertools import count
import json
import os
from pathlib import Path
import re
import sys
import tempfile
import time
from typing import Any, Final

import numpy as np
from PIL import Image

from bench.faults import Seen, Tally, Torment, growth, problems
from bench.loop import Phase, plant, watching
from embedding.network.model import read_model
from scripts.simulation.camera import Camera, running_camera
from scripts.simulation.client import Client, ClientError, onboarded
from scripts.simulation.demo import add_camera, add_classifier
from scripts.simulation.home import ROOT, Home, running_home
from tests.embedding.graphs import separable
from tests.standin.edgetpu import StandIn, compiled, twin

PROBE: Final = "chaos_probe"
PATIENCE: Final = {"watch": 0.5, "answer": 2, "misses": 3, "grace": 1, "first_pause": 0.02, "longest_pause": 0.1}
"""The pauses are short: with the usual ones, a device that aborts every second would be left alone for a minute each time."""
GONE_WITHIN: Final = 5.0
"""Seconds after Home Assistant's death in which its processes have to be gone."""
_ERROR: Final = re.compile(r"^.* ERROR .*$|^Traceback.*$", re.MULTILINE)
_FRAMES: Final = 64
_PAUSE: Final = 0.02
"""Seconds between two pictures of the camera."""


def frames() -> list[bytes]:
    """Draw pictures, no two alike."""
    drawn = []
    for seed in range(_FRAMES):
        coarse = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), np.uint8)
        buffer = BytesIO()
        Image.fromarray(coarse).resize((320, 240)).save(buffer, "JPEG")
        drawn.append(buffer.getvalue())
    return drawn


async def play(camera: Camera) -> None:
    """Show one picture after the other."""
    pictures = frames()
    for number in count():
        camera.show_picture(pictures[number % len(pictures)])
        await asyncio.sleep(_PAUSE)


def planted(config: Path, data: bytes) -> None:
    """Put the probe, the loop's watch and the extractor into a configuration folder."""
    plant(config)
    (config / "custom_components" / PROBE).symlink_to(ROOT / "bench" / PROBE)
    models = config / "coral_imprint" / "models"
    models.mkdir(parents=True)
    (models / "chaos.tflite").write_bytes(data)
    (models / "chaos_edgetpu.tflite").write_bytes(compiled(read_model(data)))


@asynccontextmanager
async def tormented_home(
    folder: Path, python: Path, standin: StandIn, data: bytes, limit_ms: float
) -> AsyncIterator[Home]:
    """Start Home Assistant with the probe."""
    temporary = folder / "tmp"
    temporary.mkdir()
    os.environ["TMPDIR"] = str(temporary)  # inherited
    options = {
        "root": str(ROOT),
        "python": sys.executable,
        "environment": standin.environment,
        "library": str(standin.library),
        "patience": PATIENCE,
        "temporary": str(temporary),
    }
    extra = f"{PROBE}: {json.dumps(options)}\n" + (watching(limit_ms) if limit_ms else "")
    prepared = lambda config: planted(config, data)  # noqa: E731
    async with running_home(folder / "config", extra=extra, prepared=prepared, python=python) as home:
        yield home


async def add_all(client: Client, camera: Camera, classifiers: int) -> list[str]:
    """Add the engine and its classifiers, and teach them; returns their devices."""
    entity_id = await add_camera(client, camera.url)
    answers = {"extractor": "chaos.tflite", "device": "usb:0"}
    result = await client.flow("coral_imprint", {"next_step_id": "edgetpu"}, answers)
    devices = []
    for number in range(classifiers):
        side = 100 // classifiers * number
        device_id, _ = await add_classifier(
            client,
            str(result["result"]["entry_id"]),
            {
                "name": f"Gate {number}",
                "camera": entity_id,
                "classes": ["open", "closed"],
                "interval": 3600,
                "region": {"left": side, "top": 0, "right": side + 100 // classifiers, "bottom": 100},
                # What is foreign is judged by a bank of pictures, embedded at the start: not what is looked at here.
                "decision": {"reject_foreign": False},
            },
        )
        for gate in ("open", "closed"):
            await client.call("coral_imprint", "capture_example", device_id=device_id, **{"class": gate})
        devices.append(device_id)
    return devices


async def look(client: Client, device_id: str, pause: float, tally: Tally, end: asyncio.Event) -> None:
    """Look again and again."""
    while not end.is_set():
        start = time.perf_counter()
        try:
            answer = await client.call("coral_imprint", "look", device_id=device_id)
        except ClientError as error:
            tally.failed[str(error)[:200]] += 1
        else:
            tally.add(time.perf_counter() - start)
            tally.wrong += set(answer["scores"]) != {"open", "closed"}
        await asyncio.sleep(pause)


def alive(pid: int) -> bool:
    """Whether a process runs; a dead one that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def of_session(temporary: Path) -> list[int]:
    """Return the processes of servers whose sockets are in a folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if f"{temporary}/".encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue  # it has just ended
    return found


async def killed(home: Home, temporary: Path) -> dict[str, Any]:
    """Kill Home Assistant; returns what there was of it, and how long that took to go."""
    before = of_session(temporary)
    home.process.kill()
    await home.process.wait()
    start = time.perf_counter()
    while (left := [pid for pid in of_session(temporary) if alive(pid)]) and time.perf_counter() < start + GONE_WITHIN:
        await asyncio.sleep(0.005)
    return {"servers": len(before), "outlived_by": len(left), "ms": round(1e3 * (time.perf_counter() - start), 1)}


class Probe:
    """What Home Assistant's process holds, as the integration planted in it says."""

    def __init__(self, client: Client) -> None:
        """Ask through a client."""
        self._client = client
        self.samples: list[dict[str, float]] = []

    async def ask(self, **asked: bool) -> dict[str, Any]:
        """Return what it says."""
        fields = {"domain": PROBE, "service": "seen", "service_data": asked, "return_response": True}
        return dict((await self._client.command("call_service", **fields))["response"])

    async def sample(self) -> None:
        """Keep what it holds now."""
        self.samples.append((await self.ask(held=True))["held"])

    async def see(self) -> Seen:
        """Return who answered so far."""
        return Seen.of(await self.ask())


async def watched(home: Home, limit_ms: float, seconds: float) -> dict[str, Any] | None:
    """Return which callbacks held the event loop for a while; None where nobody watches."""
    phase = Phase(home, limit_ms)
    await asyncio.sleep(seconds)
    return phase.result() if limit_ms else None


async def torment(
    options: argparse.Namespace, standin: StandIn, home: Home, client: Client, camera: Camera
) -> dict[str, Any]:
    """Let classifiers look while the device fails; return who answered, and what was held before and after."""
    tally, end, probe = Tally(), asyncio.Event(), Probe(client)
    devices = await add_all(client, camera, options.classifiers)
    faults = Torment(standin, probe.see, poll=0.05)
    # The start of Home Assistant has errors of its own, such as ffmpeg's absence.
    quiet = len(home.log.read_text(errors="replace"))
    begin, pid = time.perf_counter(), home.process.pid
    async with asyncio.TaskGroup() as group:
        for device_id in devices:
            group.create_task(look(client, device_id, options.pause, tally, end))
        await faults.until_connected()
        calm = await watched(home, options.limit_ms, options.calm)
        phase = Phase(home, options.limit_ms)
        before = await probe.ask(held=True)
        await faults.go_on(options.aborts, options.every, probe.sample)
        end.set()
    minutes = (time.perf_counter() - begin) / 60
    last = await probe.ask(held=True)
    then, now = Seen.of(before), Seen.of(last)
    return tally.report() | {
        "by_device": now.by_device - then.by_device,
        "by_twin": now.by_twin - then.by_twin,
        "aborts": options.aborts,
        "starts": now.starts,
        "classifiers": options.classifiers,
        "same_process": home.process.returncode is None and home.process.pid == pid,
        "before": before["held"],
        "after": last["held"],
        "growth": growth(probe.samples),
        "calm": calm,
        "loop": phase.result() if options.limit_ms else None,
        "logged_before": quiet,
        "minutes": round(minutes, 2),
        "load_average": round(os.getloadavg()[0], 2),
    }


async def run(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Torment it, kill it, and return what came of it."""
    data, standin = separable("uint8", options.side, options.side), StandIn(folder)
    with twin(standin, data):
        async with (
            running_camera() as camera,
            tormented_home(folder, options.home.absolute(), standin, data, options.limit_ms) as home,
            onboarded(home.url) as client,
        ):
            playing = asyncio.create_task(play(camera))
            found = await torment(options, standin, home, client, camera)
            playing.cancel()
            found["killed"] = await killed(home, folder / "tmp")
            log = home.log.read_text(errors="replace")[found.pop("logged_before") :]
    if options.log:
        options.log.write_text(log)
    errors = _ERROR.findall(log)
    return found | {"logged": {"errors": len(errors), "first": [line[:300] for line in errors[:5]]}}


def verdict(found: dict[str, Any], most_seconds: float, most_mib: float) -> list[str]:
    """Return what is not as it should be."""
    bad = problems(found, most_seconds, most_mib)
    if not found["same_process"]:
        bad.append("Home Assistant ended")
    if found["logged"]["errors"]:
        bad.append(f"Home Assistant logged {found['logged']['errors']} errors")
    if found["killed"]["servers"] != 1 or found["killed"]["outlived_by"]:
        bad.append("the device's process was not there, or outlived Home Assistant")
    return bad


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--aborts", type=int, default=1000)
    parser.add_argument("--classifiers", type=int, default=8)
    parser.add_argument("--every", type=int, default=50, help="aborts per other fault; 0: no other")
    parser.add_argument(
        "--side", type=int, default=32, help="pixels of the network's input; 224 sends as much as a real one"
    )
    parser.add_argument(
        "--calm", type=float, default=0.0, help="seconds to watch the event loop before the first abort"
    )
    parser.add_argument("--pause", type=float, default=0.1, help="seconds between two looks of a classifier")
    parser.add_argument("--home", type=Path, default=ROOT / ".dev" / "demo" / "bin" / "python", help="its interpreter")
    parser.add_argument("--limit-ms", type=float, default=0.0, help="watch the event loop (0: don't)")
    parser.add_argument("--log", type=Path, help="where to keep what Home Assistant logged")
    parser.add_argument("--most-seconds", type=float, default=2.0)
    parser.add_argument("--most-mib", type=float, default=32.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        found = asyncio.run(run(options, Path(folder)))
    bad = verdict(found, options.most_seconds, options.most_mib)
    print(json.dumps(found | {"problems": bad}, indent=2))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
