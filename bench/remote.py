"""Time what a model on an inference server costs this end: prints one JSON object.

    python bench/remote.py URL MODEL [--frames 100] [--low -1 --high 1] [--token TOKEN]

``write_ms`` and ``read_ms`` are for a request of one picture and its answer, beside the plain way to write JSON (``json.dumps`` of a
list). ``round_trip_ms`` is the median time of an embedding by number of pictures that are due together, per picture; ``stall_ms`` the
longest that the event loop was kept from other work meanwhile (99th percentile of what a timer of 1 ms came late by), beside
``idle_stall_ms``, the same while nothing was to be done.
"""

import argparse
import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
import json
import statistics
import time
from typing import Any

import aiohttp
import numpy as np
from numpy.typing import NDArray

from embedding.errors import EmbeddingError
from embedding.protocol.messages import InferResponse, encode_response
from embedding.remote.address import Address
from embedding.remote.contract import Contract
from embedding.remote.endpoint import Endpoint
from embedding.remote.http_transport import Http
from embedding.remote.settings import Access, ModelOptions

Pixels = NDArray[np.uint8]

IDLE_SECONDS = 2.0


def milliseconds(call: Callable[[], Any], times: int) -> float:
    """Return the median time of a call."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        taken.append((time.perf_counter() - start) * 1e3)
    return round(statistics.median(taken), 3)


def codec(contract: Contract, picture: Pixels, times: int) -> dict[str, float]:
    """Return what writing a request and reading its answer take, without any server."""
    values = np.random.default_rng(0).random((1, contract.length or 1), np.float32) + 1
    answer = encode_response(
        InferResponse("m", {contract.output: values}), [contract.output] if contract.binary else ()
    )
    row = {
        "write_ms": milliseconds(lambda: contract.encode([picture]), times),
        "read_ms": milliseconds(lambda: contract.decode(answer, 1), times),
    }
    if not contract.binary:
        row["json_dumps_ms"] = milliseconds(lambda: json.dumps({"data": picture.reshape(-1).tolist()}).encode(), times)
    return row


async def late(lateness: list[float]) -> None:
    """Note by how much a timer comes late, until cancelled."""
    while True:
        start = time.perf_counter()
        await asyncio.sleep(0.001)
        lateness.append((time.perf_counter() - start - 0.001) * 1e3)


def stall(lateness: list[float]) -> float:
    """Return how late the timer came, all but the worst hundredth left out."""
    return round(float(np.percentile(lateness, 99)), 2)


async def round_trips(endpoint: Endpoint, pictures: list[Pixels], frames: int) -> dict[str, Any]:
    """Return the time per picture by number of pictures at once."""
    lateness: list[float] = []
    timer = asyncio.create_task(late(lateness))
    await asyncio.sleep(IDLE_SECONDS)
    row: dict[str, Any] = {"idle_stall_ms": stall(lateness), "round_trip_ms": {}}
    lateness.clear()
    for together in (1, 4, 8):
        taken = []
        for at in range(max(3, frames // together)):
            batch = [pictures[(at + number) % len(pictures)] for number in range(together)]
            start = time.perf_counter()
            await endpoint.embed(batch)
            taken.append((time.perf_counter() - start) * 1e3 / together)
        row["round_trip_ms"][together] = round(statistics.median(taken), 2)
    timer.cancel()
    row["stall_ms"] = stall(lateness)
    return row


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Return all figures, by encoding."""
    result: dict[str, Any] = {}
    pixel_range = None if options.low is None else (options.low, options.high)
    with ThreadPoolExecutor(1) as worker:
        async with aiohttp.ClientSession() as session:
            for binary in (True, False, None):
                transport = Http(Address.parse(options.url), Access(token=options.token, timeout=30), session)
                known = ModelOptions(binary=binary, pixel_range=pixel_range)
                endpoint = Endpoint(transport, options.model, known, worker)
                name = {True: "bytes", False: "json", None: "chosen"}[binary]
                try:
                    await endpoint.agree()
                except EmbeddingError as error:
                    result[name] = str(error)
                    continue
                finally:
                    await transport.aclose()
                contract = endpoint.contract
                assert contract is not None
                if binary is None:
                    result[name] = "bytes" if contract.binary else "json"
                    continue
                random = np.random.default_rng(1)
                pictures = [random.integers(0, 256, (*contract.size[::-1], 3), np.uint8) for _ in range(16)]
                result[name] = codec(contract, pictures[0], options.frames)
                result[name] |= await round_trips(endpoint, pictures, options.frames)
    return result


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("model")
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--low", type=float)
    parser.add_argument("--high", type=float, default=1.0)
    parser.add_argument("--token")
    print(json.dumps(asyncio.run(measure(parser.parse_args())), indent=1))


if __name__ == "__main__":
    main()
