"""The way to the Edge TPU's process by our own client and by aiohttp's, in turns: time, and how long the event loop is held.

    .dev/test/bin/python bench/transports.py MODEL [--rounds 400] [--busy]

A real server embeds on the CPU behind a Unix socket. Each round asks it by both clients, in an order drawn by lot, so that whatever
else the machine does hits both. ``--busy`` adds a thread that computes in Python half of the time. Prints one JSON object.
"""

import argparse
import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
import json
import os
from pathlib import Path
import random
import statistics
import threading
import time
from typing import Any, Final
from unittest.mock import patch
from urllib.parse import quote

import aiohttp

from bench.server import Exchange, server, session
from embedding.remote.address import Address
from embedding.remote.batches import Batches
from embedding.remote.endpoint import Endpoint, Transport
from embedding.remote.http_transport import Http
from embedding.remote.settings import Access, ModelOptions
from embedding.remote.wire import Wire
from embedding.serving.models import read_model_file

LIMIT: Final = 0.005
"""Seconds for which a callback may hold the event loop."""
_WARM: Final = 20
_BURST: Final = 0.004


class Way:
    """What asking by one client took."""

    def __init__(self, endpoint: Endpoint) -> None:
        """Ask nothing yet."""
        self.endpoint = endpoint
        self.batches = Batches(endpoint.embed, lambda: (1, 1))
        self.round_trips: list[float] = []
        self.callbacks: list[tuple[float, float]] = []
        """Seconds by the clock, and of the thread's processor time."""

    def result(self) -> dict[str, Any]:
        """Sum up; times in milliseconds."""
        ordered = sorted(self.round_trips)
        clock, processor = zip(*self.callbacks, strict=True)
        return {
            "median_ms": round(1e3 * statistics.median(ordered), 3),
            "p95_ms": round(1e3 * ordered[len(ordered) * 95 // 100], 3),
            "processor_ms": round(1e3 * sum(processor) / len(ordered), 3),
            "callbacks": len(self.callbacks),
            "held_over_limit": sum(seconds > LIMIT for seconds in clock),
            "longest_ms": round(1e3 * max(clock), 2),
            "processor_over_limit": sum(seconds > LIMIT for seconds in processor),
            "longest_processor_ms": round(1e3 * max(processor), 2),
        }


class Watch:
    """Notes how long each callback of the event loop takes, for the client that is asked at that moment."""

    def __init__(self) -> None:
        """Watch nobody yet."""
        self.asked: Way | None = None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch the callbacks of this process."""
        plain = asyncio.Handle._run  # noqa: SLF001

        def run(handle: asyncio.Handle) -> None:
            clock, processor = time.perf_counter(), time.thread_time()
            plain(handle)
            if self.asked is not None:
                self.asked.callbacks.append((time.perf_counter() - clock, time.thread_time() - processor))

        with patch.object(asyncio.Handle, "_run", run):
            yield


@contextmanager
def busy(wanted: bool) -> Iterator[None]:
    """Compute in a thread half of the time, as the decoding of pictures may."""
    end = threading.Event()

    def work() -> None:
        while not end.wait(_BURST):
            until = time.perf_counter() + _BURST
            while time.perf_counter() < until:
                sum(range(50))

    thread = threading.Thread(target=work)
    if wanted:
        thread.start()
    try:
        yield
    finally:
        end.set()
        if wanted:
            thread.join()


async def ask_in_turns(ways: dict[str, Way], exchange: Exchange, rounds: int) -> None:
    """Embed a picture by each way in each round."""
    watch = Watch()
    for way in ways.values():
        await way.endpoint.agree()
    with watch.watching():
        for number in range(_WARM + rounds):
            for way in random.sample(list(ways.values()), len(ways)):
                # What the round before left behind runs first.
                await asyncio.sleep(_BURST)
                watch.asked = way if number >= _WARM else None
                start = time.perf_counter()
                await way.batches.embed(exchange.pixels[0])
                seconds, watch.asked = time.perf_counter() - start, None
                if number >= _WARM:
                    way.round_trips.append(seconds)


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of both clients."""
    exchange, name = Exchange(options.model), read_model_file(options.model).name
    before = os.getloadavg()[0]
    with server(options.model) as (_, path), ThreadPoolExecutor(1) as worker:
        async with session(path), aiohttp.ClientSession() as unused:
            address = Address.parse(f"unix://{quote(str(path))}")
            transports: dict[str, Transport] = {
                "wire": Wire(str(path), Access()),
                "aiohttp": Http(address, Access(), unused),
            }
            ways = {
                key: Way(Endpoint(transport, name, ModelOptions(binary=True), worker))
                for key, transport in transports.items()
            }
            try:
                with busy(options.busy):
                    await ask_in_turns(ways, exchange, options.rounds)
            finally:
                for way in ways.values():
                    await way.batches.aclose()
                    await way.endpoint.aclose()
    return {
        "model": options.model.name,
        "rounds": options.rounds,
        "busy": options.busy,
        "load_average": [round(before, 2), round(os.getloadavg()[0], 2)],
        **{key: way.result() for key, way in ways.items()},
    }


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--rounds", type=int, default=400)
    parser.add_argument("--busy", action="store_true", help="with a thread that computes in Python")
    print(json.dumps(asyncio.run(measure(parser.parse_args())), indent=2))


if __name__ == "__main__":
    main()
