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
from pathlib import Path
import sys
import tempfile
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.faults import Seen, Tally, Torment, growth, held, problems
from embedding.edgetpu.client import ChildClient
from embedding.edgetpu.fallback import Fallback, InThread
from embedding.edgetpu.supervisor import Child, Command, Patience, Status
from embedding.network.model import read_model
from embedding.pictures import test_pictures
from embedding.runtimes.litert import LiteRTRuntime
from tests.embedding.graphs import separable
from tests.standin.edgetpu import StandIn, compiled, twin

MODEL = "standin_edgetpu"
PATIENCE = Patience(start=20, watch=0.5, answer=2, misses=3, grace=1, first_pause=0.02, longest_pause=0.1, stable=600)
DEADLINE = 1.0
RETRY = 0.25


@dataclass
class Scene:
    """What the chaos is made of."""

    standin: StandIn
    child: Child
    fallback: Fallback
    pictures: list[NDArray[np.uint8]]
    expected: list[NDArray[np.float32]]
    tally: Tally = field(default_factory=Tally)
    by_device: int = 0
    by_twin: int = 0
    troubles: Counter[str] = field(default_factory=Counter)
    connected: list[bool] = field(default_factory=list)

    def notice(self, status: Status) -> None:
        """Take the child's status."""
        if status.state == "backing_off":
            self.troubles[str(status.trouble)] += 1
        if status.state == "serving":
            self.fallback.retry_now()

    async def seen(self) -> Seen:
        """Return how things are."""
        status = self.child.status
        said = f"{status}; {self.fallback.reason}; {list(self.child.lines)[-5:]}"
        serving = status.state == "serving"
        return Seen(status.starts, serving, self.fallback.connected, self.by_device, self.by_twin, said)


@asynccontextmanager
async def scene(folder: Path, data: bytes) -> AsyncIterator[Scene]:
    """Start the server with the stand-in, and its twin."""
    model = read_model(data)
    standin = StandIn(folder)
    models = folder / "models"
    models.mkdir()
    (models / f"{MODEL}.tflite").write_bytes(compiled(model))
    runtime = LiteRTRuntime(model)
    pictures = test_pictures.pictures(model.input_size)
    expected = [_unit(runtime.embed(pixels)) for pixels in pictures]
    arguments = ("--models", str(models), "--device", "usb:0", "--log-level", "warning")
    child = Child(Command(arguments=arguments, environment=standin.environment), patience=PATIENCE)
    with twin(standin, data), ThreadPoolExecutor(2) as workers:
        await child.start()
        client = ChildClient(child.socket, MODEL, workers)
        connected: list[bool] = []
        fallback = Fallback(
            client,
            InThread(runtime, workers),
            deadline=DEADLINE,
            retry=RETRY,
            listener=lambda now, _: connected.append(now),
            stuck=child.restart,
        )
        made = Scene(standin, child, fallback, pictures, expected, connected=connected)
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
        on.tally.add(loop.time() - start)
        on.by_device += answer.by_device
        on.by_twin += not answer.by_device
        on.tally.wrong += float(answer.embedding @ on.expected[which]) < 0.9999
        await asyncio.sleep(pause)


async def run(data: bytes, aborts: int, tasks: int, every: int, pause: float) -> dict[str, Any]:
    """Abort, and return what came of it."""
    begin = time.perf_counter()
    before = held(len(asyncio.all_tasks()))
    samples: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        async with scene(Path(folder), data) as on:
            end = asyncio.Event()
            async with asyncio.TaskGroup() as group:
                for number in range(tasks):
                    group.create_task(look(on, number, pause, end))

                async def sample() -> None:
                    samples.append(held(len(asyncio.all_tasks())))

                await Torment(on.standin, on.seen).go_on(aborts, every, sample)
                end.set()
            starts = on.child.status.starts
    left = await leftovers(before)
    return on.tally.report() | {
        "by_device": on.by_device,
        "by_twin": on.by_twin,
        "troubles": dict(on.troubles),
        "reconnections": sum(on.connected),
        "growth": growth(samples),
        "left": left,
        "aborts": aborts,
        "starts": starts,
        "minutes": round((time.perf_counter() - begin) / 60, 2),
    }


async def leftovers(before: dict[str, float]) -> dict[str, float]:
    """Return what is there that was not before, once what is being closed has had its time."""
    kinds = ("descriptors", "tasks", "processes")
    for _ in range(100):
        now = held(len(asyncio.all_tasks()))
        if all(now[kind] <= before[kind] for kind in kinds):
            break
        await asyncio.sleep(0.02)
    return {kind: now[kind] - before[kind] for kind in kinds}


def verdict(found: dict[str, Any], most_seconds: float, most_mib: float) -> list[str]:
    """Return what is not as it should be."""
    bad = problems(found, most_seconds, most_mib)
    bad += [f"{count:g} {kind} are left" for kind, count in found["left"].items() if count > 0]
    if found["troubles"].get("died", 0) < found["aborts"]:
        bad.append("not every process died of its abort")
    return bad


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
    bad = verdict(found, options.most_seconds, options.most_mib)
    print(json.dumps(found | {"problems": bad}, indent=2))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
