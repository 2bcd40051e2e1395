"""Measure the inference server beside the bare interpreter: prints one JSON object.

    python bench/server.py MODEL [--rounds 300] [--seconds 10] [--clients 64] [--hours 0]

``round_trip``: a picture over a Unix socket and its embedding back, minus a call of the bare interpreter, in turns: by the client that the
integration uses for its own process, by aiohttp's, and by a bare socket. ``throughput``: many clients at once beside back-to-back calls of the interpreter in a process of
its own, in alternating slices of time, with nothing else at work. ``overload``: more clients than the queue holds. With ``--hours``, a long run
at full load instead: samples of the server's memory, files and threads, and every answer compared with the first.
"""

import argparse
import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
import json
import os
from pathlib import Path
import random
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any, Final

import aiohttp
import numpy as np

from bench.embed_child import interpreter
from embedding.edgetpu.client import ChildClient
from embedding.network.model import read_model
from embedding.protocol.messages import InferRequest, encode_request
from embedding.runtimes.rewrite import cut_model
from embedding.serving.models import INPUT, read_model_file

CORE: Final = Path(__file__).resolve().parents[1] / "custom_components" / "coral_imprint" / "core"
_SLICES: Final = 10
_WARM: Final = 20


class Exchange:
    """A request as bytes, written once and sent often."""

    def __init__(self, model: Path, number: int = 0) -> None:
        """Draw a picture for a model."""
        file = read_model_file(model)
        _, height, width, _ = file.picture.shape
        self.pixels = np.random.default_rng(number).integers(0, 256, (1, height, width, 3), np.uint8)
        message = encode_request(InferRequest({INPUT: self.pixels}), binary=True)
        self.path = f"/v2/models/{file.name}/infer"
        self.body, self.headers = message.body, message.headers
        lines = [f"POST {self.path} HTTP/1.1", "Host: server", f"Content-Length: {len(message.body)}"]
        lines += [f"{name}: {value}" for name, value in message.headers.items()]
        self.raw = "\r\n".join((*lines, "", "")).encode() + message.body


@contextmanager
def server(model: Path, *options: str) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """Run a server with a model on a private Unix socket; its process and socket."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "socket"
        command = [sys.executable, "-m", "embedding.server", "--models", str(model), "--unix", str(path)]
        environment = os.environ | {"PYTHONPATH": str(CORE), "OPENBLAS_NUM_THREADS": "1"}
        with subprocess.Popen(
            [*command, "--parent-pipe", "--log-level", "warning", *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env=environment,
        ) as process:
            try:
                yield process, path
            finally:
                process.terminate()
                process.wait(20)


@asynccontextmanager
async def session(path: Path) -> AsyncIterator[aiohttp.ClientSession]:
    """Return a client's session once the server is ready."""
    async with aiohttp.ClientSession("http://server", connector=aiohttp.UnixConnector(str(path))) as client:
        for _ in range(600):
            try:
                async with client.get("/v2/health/ready") as response:
                    if response.status == 200:
                        break
            except aiohttp.ClientConnectionError:
                pass
            await asyncio.sleep(0.1)
        else:
            raise SystemExit("The server did not get ready")
        yield client


class Raw:
    """A client that does nothing but write a request and read the answer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a connection."""
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, path: Path) -> "Raw":
        """Connect."""
        return cls(*await asyncio.open_unix_connection(str(path)))

    async def ask(self, exchange: Exchange) -> tuple[int, bytes]:
        """Return an answer's status and body."""
        self._writer.write(exchange.raw)
        head = await self._reader.readuntil(b"\r\n\r\n")
        status = int(head[9:12])
        length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
        return status, await self._reader.readexactly(length)

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


def bare(model: Path) -> Any:
    """Return the interpreter's own way from pixels to an embedding, on the file that the server's interpreter gets."""
    return interpreter(cut_model(read_model(model.read_bytes())))


def figures(times: Sequence[float]) -> dict[str, float]:
    """Sum seconds up, in milliseconds."""
    ordered = sorted(times)
    return {
        "ms_min": round(ordered[0] * 1e3, 3),
        "ms_p10": round(ordered[len(ordered) // 10] * 1e3, 3),
        "ms_median": round(statistics.median(ordered) * 1e3, 3),
        "ms_p99": round(ordered[len(ordered) * 99 // 100] * 1e3, 3),
        "ms_max": round(ordered[-1] * 1e3, 3),
    }


async def round_trip(model: Path, rounds: int) -> dict[str, Any]:
    """Measure single requests beside single calls."""
    exchange, embed = Exchange(model), bare(model)
    pixels = exchange.pixels[0]
    times: dict[str, list[float]] = {"interpreter": [], "client": [], "aiohttp": [], "socket": []}
    with server(model) as (_, path), ThreadPoolExecutor(1) as worker:
        async with session(path) as client:
            raw = await Raw.open(path)
            own = ChildClient(path, read_model_file(model).name, worker)

            async def by_interpreter() -> None:
                embed(pixels)

            async def by_aiohttp() -> None:
                async with client.post(exchange.path, data=exchange.body, headers=exchange.headers) as response:
                    await response.read()

            async def by_socket() -> None:
                await raw.ask(exchange)

            async def by_client() -> None:
                await own.embed(pixels)

            ways = list(zip(times, (by_interpreter, by_client, by_aiohttp, by_socket), strict=True))
            for number in range(rounds + _WARM):
                # Each comes behind each: what was at work before leaves the caches to the next.
                random.shuffle(ways)
                for name, way in ways:
                    start = time.perf_counter()
                    await way()
                    if number >= _WARM:
                        times[name].append(time.perf_counter() - start)
            await own.aclose()
            raw.close()
    report: dict[str, Any] = {name: figures(values) for name, values in times.items()}
    for name in ("client", "aiohttp", "socket"):
        report[f"{name}_overhead"] = {
            key: round(report[name][key] - report["interpreter"][key], 3) for key in ("ms_min", "ms_p10", "ms_median")
        }
    return report


async def load(
    path: Path, exchange: Exchange, clients: int, seconds: float, wait: float = 0.0
) -> tuple[Counter[int], list[float], float]:
    """Let clients ask without pause; statuses, seconds of each accepted request, and the seconds that all took.

    ``wait``: what a refused client waits before it asks again. The status 0 is a connection that was cut.
    """
    statuses: Counter[int] = Counter()
    times: list[float] = []
    end = time.perf_counter() + seconds

    async def one() -> None:
        raw = await Raw.open(path)
        while (start := time.perf_counter()) < end:
            try:
                status, _ = await raw.ask(exchange)
            except (OSError, asyncio.IncompleteReadError):
                status = 0
                raw.close()
                raw = await Raw.open(path)
            statuses[status] += 1
            if status == 200:
                times.append(time.perf_counter() - start)
            else:
                await asyncio.sleep(wait)
        raw.close()

    start = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(clients)))
    return statuses, times, time.perf_counter() - start


def calls_per_second(embed: Any, exchange: Exchange, seconds: float) -> float:
    """Call the interpreter back to back."""
    count, start = 0, time.perf_counter()
    while (spent := time.perf_counter() - start) < seconds:
        embed(exchange.pixels[0])
        count += 1
    return count / spent


async def throughput(model: Path, clients: int, seconds: float) -> dict[str, Any]:
    """Measure many clients beside back-to-back calls, in alternating slices."""
    exchange, embed = Exchange(model), bare(model)
    called: list[float] = []
    served: list[float] = []
    times: list[float] = []
    statuses: Counter[int] = Counter()
    with server(model) as (_, path):
        async with session(path):
            await load(path, exchange, clients, 0.5)
            for _ in range(_SLICES):
                called.append(calls_per_second(embed, exchange, seconds / _SLICES))
                seen, took, spent = await load(path, exchange, clients, seconds / _SLICES)
                served.append(seen[200] / spent)
                statuses += seen
                times += took
    return {
        "clients": clients,
        "interpreter_per_second": round(statistics.median(called), 1),
        "server_per_second": round(statistics.median(served), 1),
        "share_percent": round(
            100 * statistics.median(one / other for one, other in zip(served, called, strict=True)), 1
        ),
        "share_percent_of_best": round(100 * max(served) / max(called), 1),
        "statuses": dict(statuses),
        "latency": figures(times),
    }


async def overload(model: Path, clients: int, seconds: float, queue: int) -> dict[str, Any]:
    """Measure more clients than the queue holds, which ask again at once: what is accepted must not wait long."""
    exchange = Exchange(model)
    with server(model, "--queue", str(queue)) as (_, path):
        async with session(path):
            statuses, times, spent = await load(path, exchange, clients, seconds, wait=0.1)
    return {
        "clients": clients,
        "queue": queue,
        "statuses": dict(statuses),
        "accepted_per_second": round(statuses[200] / spent, 1),
        "latency_of_accepted": figures(times),
    }


def sample(process: int) -> dict[str, float]:
    """Return a process's memory in MiB, open files and threads."""
    folder = Path(f"/proc/{process}")
    status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
    return {
        "mib": round(int(status["VmRSS"].split()[0]) / 1024, 2),
        "files": len(list((folder / "fd").iterdir())),
        "threads": int(status["Threads"]),
    }


async def long_run(model: Path, clients: int, hours: float) -> dict[str, Any]:
    """Run at full load; memory, files and threads after every hundredth of the time."""
    exchange = Exchange(model)
    statuses: Counter[int] = Counter()
    times: list[float] = []
    wrong = 0
    with server(model) as (process, path):
        async with session(path):
            raw = await Raw.open(path)
            _, first = await raw.ask(exchange)
            raw.close()
            await load(path, exchange, clients, min(30.0, hours * 360))
            samples = [sample(process.pid)]
            for _ in range(100):
                seen, took, _ = await load(path, exchange, clients, hours * 36)
                statuses += seen
                times = sorted(times + took)[-1000:]
                samples.append(sample(process.pid))
                raw = await Raw.open(path)
                wrong += (await raw.ask(exchange))[1] != first
                raw.close()
    tenth = len(samples) // 10
    return {
        "hours": hours,
        "clients": clients,
        "statuses": dict(statuses),
        "wrong_answers": wrong,
        "slowest_ms": round(times[-1] * 1e3, 1),
        "first": samples[0],
        "last": samples[-1],
        "growth_kib": round(
            1024
            * (
                statistics.median(s["mib"] for s in samples[-tenth:])
                - statistics.median(s["mib"] for s in samples[:tenth])
            )
        ),
    }


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Measure what the options say."""
    if options.hours:
        return {"long_run": await long_run(options.model, options.clients, options.hours)}
    return {
        "model": options.model.name,
        "load_average": round(os.getloadavg()[0], 2),
        "round_trip": await round_trip(options.model, options.rounds),
        "throughput": await throughput(options.model, options.clients, options.seconds),
        "overload": await overload(options.model, 4 * options.clients, options.seconds / 2, 16),
    }


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--hours", type=float, default=0.0, help="a long run at full load instead")
    print(json.dumps(asyncio.run(measure(parser.parse_args())), indent=2))


if __name__ == "__main__":
    main()
