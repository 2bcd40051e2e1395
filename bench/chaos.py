"""Aborts of the Edge TPU's process while pictures are embedded: whether all are answered in time, and nothing is left behind.

    python bench/chaos.py [--aborts 1000] [--tasks 8] [--model FILE]

The real server runs as a child with a stand-in for libedgetpu (tests/standin), which is told to abort in an inference, again and again.
Tasks embed pictures all the time, by the device or its twin on the CPU. Other faults come in between, one in `--every` aborts each: a
hanging inference, and a device that vanishes and comes back. Prints one JSON object; ends with 1 where an answer took longer than
``--most-seconds``, was wrong or missing, or where something grew: descriptors, threads, tasks, processes, memory.
"""

import argparse
import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
import json
import os
from pathlib import Path
import sys
import tempfile
import threading
import time
from typing import Any

import aiohttp
import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "custom_components" / "coral_imprint"))

from bench.embed_child import resident
from embedding import testcard
from embedding.edgetpu.child import Child, Command, Patience, Status
from embedding.edgetpu.client import ChildClient
from embedding.edgetpu.fallback import Fallback, InThread
from embedding.network.model import read_model
from embedding.runtimes.litert import LiteRTRuntime
from tests.embedding.graphs import separable
from tests.standin.edgetpu import StandIn, compiled, twin

MODEL = "standin_edgetpu"
PATIENCE = Patience(start=20, watch=0.5, answer=2, misses=3, grace=1, first_pause=0.02, longest_pause=0.1, stable=600)
DEADLINE = 1.0
RETRY = 0.25
COME_AND_GO = 4
"""Descriptors, tasks… that pictures under way may hold at the moment of a sample. A leak grows with every abort."""
ANSWERS_BETWEEN = 20
"""Pictures that the device embeds between two faults, at least."""


@dataclass
class Tally:
    """What happened."""

    by_device: int = 0
    by_twin: int = 0
    wrong: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    tenths: Counter[int] = field(default_factory=Counter)
    """Answers by the time that they took, in tenths of milliseconds: what is held must not grow with the answers."""
    troubles: Counter[str] = field(default_factory=Counter)
    connected: list[bool] = field(default_factory=list)


@dataclass
class Scene:
    """What the chaos is made of."""

    standin: StandIn
    child: Child
    fallback: Fallback
    pictures: list[NDArray[np.uint8]]
    expected: list[NDArray[np.float32]]
    tally: Tally
    serving: asyncio.Event = field(default_factory=asyncio.Event)

    def notice(self, status: Status) -> None:
        """Take the child's status."""
        if status.state == "backing_off":
            self.tally.troubles[str(status.trouble)] += 1
            self.serving.clear()
        if status.state == "serving":
            self.serving.set()
            self.fallback.retry_now()


@asynccontextmanager
async def scene(folder: Path, data: bytes) -> AsyncIterator[Scene]:
    """Start the server with the stand-in, and its twin."""
    model = read_model(data)
    standin = StandIn(folder)
    models = folder / "models"
    models.mkdir()
    (models / f"{MODEL}.tflite").write_bytes(compiled(model))
    runtime = LiteRTRuntime(model)
    pictures = testcard.pictures(model.input_size)
    expected = [_unit(runtime.embed(pixels)) for pixels in pictures]
    arguments = ("--models", str(models), "--device", "usb:0", "--log-level", "warning")
    child = Child(Command(arguments=arguments, environment=standin.environment), patience=PATIENCE)
    with twin(standin, data), ThreadPoolExecutor(2) as workers:
        await child.start()
        async with aiohttp.ClientSession() as session:
            client = ChildClient(child.socket, MODEL, session, workers)
            tally = Tally()
            fallback = Fallback(
                client,
                InThread(runtime, workers),
                deadline=DEADLINE,
                retry=RETRY,
                listener=lambda connected, _: tally.connected.append(connected),
                stuck=child.restart,
            )
            made = Scene(standin, child, fallback, pictures, expected, tally)
            child.listener = made.notice
            try:
                yield made
            finally:
                await fallback.aclose()
                await client.aclose()
                await child.stop()


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    return vector / np.float32(np.linalg.norm(vector))


async def look(on: Scene, number: int, pause: float, end: asyncio.Event) -> None:
    """Embed picture after picture, as a classifier does, until the end."""
    loop = asyncio.get_running_loop()
    while not end.is_set():
        which = number % len(on.pictures)
        number += 1
        start = loop.time()
        answer = await on.fallback.embed(on.pictures[which])
        on.tally.tenths[round((loop.time() - start) * 1e4)] += 1
        if answer.by_device:
            on.tally.by_device += 1
        else:
            on.tally.by_twin += 1
        on.tally.wrong += float(answer.embedding @ on.expected[which]) < 0.9999
        await asyncio.sleep(pause)


async def until_connected(on: Scene) -> None:
    """Wait until the device has answered some pictures."""
    try:
        async with asyncio.timeout(PATIENCE.start):
            await on.serving.wait()
            before = on.tally.by_device
            while not on.fallback.connected or on.tally.by_device < before + ANSWERS_BETWEEN:
                await asyncio.sleep(0.005)
    except TimeoutError as error:
        raise SystemExit(f"{on.child.status}; {on.fallback.reason}; {list(on.child.lines)[-5:]}") from error


async def abort(on: Scene) -> None:
    """Let the next inference abort the process; returns when it is gone."""
    on.serving.clear()
    on.standin.set("abort")
    async with asyncio.timeout(60):
        while on.standin.pending("abort") or on.child.status.state == "serving":
            await asyncio.sleep(0.005)


async def hang(on: Scene) -> None:
    """Let the device hang until its process was restarted."""
    on.serving.clear()
    starts = on.child.status.starts
    on.standin.set("hang")
    async with asyncio.timeout(60):
        while on.child.status.starts == starts:
            await asyncio.sleep(0.005)
    on.standin.clear("hang")


async def vanish(on: Scene) -> None:
    """Take the device away until that was noticed."""
    on.standin.attach(0)
    async with asyncio.timeout(60):
        while on.fallback.connected:
            await asyncio.sleep(0.005)
    on.standin.attach(1)


def children() -> int:
    """Count the processes that this one started and that are there, dead ones included."""
    return sum(len(Path(task, "children").read_text().split()) for task in Path("/proc/self/task").iterdir())


def held() -> dict[str, float]:
    """Return what may leak."""
    return {
        "descriptors": len(os.listdir("/proc/self/fd")),  # noqa: PTH208 - the listing holds one itself, always
        "threads": threading.active_count(),
        "tasks": len(asyncio.all_tasks()),
        "processes": children(),
        "mib": resident(),
    }


async def run(data: bytes, aborts: int, tasks: int, every: int, pause: float) -> dict[str, Any]:
    """Abort, and return what came of it."""
    begin = time.perf_counter()
    before = held()
    with tempfile.TemporaryDirectory() as folder:
        async with scene(Path(folder), data) as on:
            end = asyncio.Event()
            async with asyncio.TaskGroup() as group:
                for number in range(tasks):
                    group.create_task(look(on, number, pause, end))
                await until_connected(on)
                samples = []
                for number in range(aborts):
                    await abort(on)
                    if every and number % every == every // 2:
                        await until_connected(on)
                        await (hang if number // every % 2 else vanish)(on)
                    await until_connected(on)
                    samples.append(held())
                end.set()
            starts = on.child.status.starts
    left = await leftovers(before)
    return report(on.tally, samples) | {
        "left": left,
        "aborts": aborts,
        "starts": starts,
        "minutes": round((time.perf_counter() - begin) / 60, 2),
    }


async def leftovers(before: dict[str, float]) -> dict[str, float]:
    """Return what is there that was not before, once what is being closed has had its time."""
    kinds = ("descriptors", "tasks", "processes")
    for _ in range(100):
        now = held()
        if all(now[kind] <= before[kind] for kind in kinds):
            break
        await asyncio.sleep(0.02)
    return {kind: now[kind] - before[kind] for kind in kinds}


def quantile(tenths: Counter[int], share: float) -> float:
    """Return the milliseconds within which a share of the answers came."""
    left = share * tenths.total()
    for tenth in sorted(tenths):
        left -= tenths[tenth]
        if left <= 0:
            return tenth / 10
    return 0.0


def report(tally: Tally, samples: list[dict[str, float]]) -> dict[str, Any]:
    """Sum up: answers, their times, and what was held after the first tenth of the aborts and at the end."""
    tenth = max(1, len(samples) // 10)
    first, last = samples[tenth - 1 : 2 * tenth], samples[-tenth:]
    growth = {key: round(min(s[key] for s in last) - max(s[key] for s in first), 2) for key in samples[0]}
    return {
        "answers": tally.tenths.total(),
        "by_device": tally.by_device,
        "by_twin": tally.by_twin,
        "wrong": tally.wrong,
        "ms": {name: quantile(tally.tenths, share) for name, share in (("median", 0.5), ("p99", 0.99), ("most", 1.0))},
        "troubles": dict(tally.troubles),
        "reconnections": sum(tally.connected),
        "growth": growth,
    }


def verdict(found: dict[str, Any], most_seconds: float, most_mib: float) -> list[str]:
    """Return what is not as it should be."""
    growth = found["growth"]
    problems = [f"{key} grew by {growth[key]:g}" for key in growth if key != "mib" and growth[key] > COME_AND_GO]
    problems += [f"{count:g} {kind} are left" for kind, count in found["left"].items() if count > 0]
    if growth["mib"] > most_mib:
        problems.append(f"memory grew by {growth['mib']:g} MiB")
    if found["wrong"]:
        problems.append(f"{found['wrong']} answers were wrong")
    if found["ms"]["most"] > most_seconds * 1e3:
        problems.append(f"an answer took {found['ms']['most']:g} ms")
    if found["by_device"] < found["aborts"] * ANSWERS_BETWEEN or not found["by_twin"]:
        problems.append("one of the two did not take its part")
    if found["troubles"].get("died", 0) < found["aborts"]:
        problems.append("not every abort happened")
    return problems


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--aborts", type=int, default=1000)
    parser.add_argument("--tasks", type=int, default=8)
    parser.add_argument("--every", type=int, default=50, help="aborts per other fault; 0: no other")
    parser.add_argument("--pause", type=float, default=0.05, help="seconds between two pictures of a task")
    parser.add_argument("--model", type=Path, help="an 8-bit extractor; a tiny drawn one without")
    parser.add_argument("--most-seconds", type=float, default=2.0)
    parser.add_argument("--most-mib", type=float, default=8.0)
    options = parser.parse_args()
    data = options.model.read_bytes() if options.model else separable("uint8", 32, 32)
    found = asyncio.run(run(data, options.aborts, options.tasks, options.every, options.pause))
    problems = verdict(found, options.most_seconds, options.most_mib)
    print(json.dumps(found | {"problems": problems}, indent=2))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
