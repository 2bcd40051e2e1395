"""The inference server: extractors by the Open Inference Protocol v2, over TCP or a Unix socket.

    python -m embedding.server --models FOLDER [--device usb] [--unix PATH | --host ADDRESS --port NUMBER --token-file FILE]

Runs without Home Assistant, and keeps an Edge TPU out of its process. Prints one line of JSON when it listens
(``{"listening": ["http://127.0.0.1:8000"]}``); what it has to say goes to the standard error. Ends with 0 when it was told to, 1 where it can't
serve, 2 for wrong options. A request's own deadline is its parameter ``timeout``, in microseconds.
"""

import argparse
import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict
import json
import logging
import os
from pathlib import Path
import signal
import socket
import sys
import threading
import time
from typing import Any, Final

from aiohttp import web

from .devices import survey
from .errors import EmbeddingError
from .runtimes import litert
from .serving.application import ServerLimits, ServerState, make_application
from .serving.auth import Guard, TokenError, is_loopback, read_token
from .serving.connections import HTTP_LOGGER, Connections
from .serving.listening import BACKLOG, ListenError, address_of, forget, tcp_socket, unix_socket
from .serving.memory import keep_trimming
from .serving.metrics import Metrics
from .serving.models import CPU, DEVICES, fits, open_model, open_models, read_models
from .serving.worker import Worker

_LOGGER = logging.getLogger(__name__)

HOST: Final = "127.0.0.1"
PORT: Final = 8000
QUEUE: Final = 128
"""Pictures that may wait for a device: half a second's work for MobileNet v1 1.0 on a CPU."""
MOST_PICTURES: Final = 64
"""In a request."""
IDLE_SECONDS: Final = 30
"""How long a connection may wait for a request, or be at its head."""
LINGER_SECONDS: Final = 10.0
"""How long the rest of a refused body may take."""
STOP_SECONDS: Final = 3.0
"""How long requests under way have to end when the server stops."""
SWITCH_SECONDS: Final = 0.0005
"""How long a thread may hold Python's lock while another wants it: the device's thread must not wait 5 ms for the next picture."""


def _device(text: str) -> str:
    if not DEVICES.fullmatch(text):
        raise argparse.ArgumentTypeError("a device is cpu, edgetpu, edgetpu:N, usb, usb:N, pci or pci:N")
    return text


def _at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 < number < 86_400:
        raise argparse.ArgumentTypeError("more than nothing, less than a day")
    return number


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="server", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--models",
        type=Path,
        action="append",
        default=[],
        metavar="PATH",
        help="a folder of TFLite files, or one; repeatable",
    )
    parser.add_argument(
        "--device", type=_device, action="append", help="cpu (default), edgetpu[:N], usb[:N], pci[:N]; repeatable"
    )
    parser.add_argument("--unix", type=Path, metavar="PATH", help="listen at a Unix socket, mode 0600")
    parser.add_argument(
        "--host", help=f"listen at an address (default without --unix: {HOST}); beyond loopback, a token is needed"
    )
    parser.add_argument(
        "--port", type=int, choices=range(65_536), metavar="NUMBER", help=f"default {PORT}; 0 takes a free one"
    )
    parser.add_argument(
        "--token-file", type=Path, metavar="FILE", help="holds the bearer token that requests must bring"
    )
    parser.add_argument(
        "--runtime", choices=("auto", "litert", "portable"), default="auto", help="what executes models on the CPU"
    )
    parser.add_argument("--threads", type=_at_least_one, default=1, help="what a picture may use of the CPU")
    parser.add_argument(
        "--queue", type=_at_least_one, default=QUEUE, help=f"pictures that may wait for a device (default {QUEUE})"
    )
    parser.add_argument(
        "--deadline", type=_seconds, default=ServerLimits.deadline, help="seconds that a request may take, at most"
    )
    parser.add_argument(
        "--max-bytes", type=_at_least_one, default=ServerLimits.max_bytes, help="length of a request's body, at most"
    )
    parser.add_argument(
        "--read-seconds", type=_seconds, default=ServerLimits.read_seconds, help="how long a body may take to begin"
    )
    parser.add_argument("--parent-pipe", action="store_true", help="end when the standard input is closed")
    parser.add_argument("--list-devices", action="store_true", help="print what there is to execute models, and end")
    parser.add_argument(
        "--self-test", action="store_true", help="open and test every model, print what came of it, and end"
    )
    parser.add_argument("--log-level", default="info", choices=("debug", "info", "warning", "error"))
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit status."""
    parser = _arguments()
    options = parser.parse_args(arguments)
    options.device = list(dict.fromkeys(options.device or [CPU]))
    logging.basicConfig(
        level=options.log_level.upper(), format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    if options.list_devices:
        print(json.dumps(list_devices()))  # noqa: T201 - what was asked for
        return 0
    if not options.models:
        parser.error("--models is needed")
    try:
        if options.self_test:
            report = self_test(options)
            print(json.dumps(report))  # noqa: T201
            return 0 if report and all(row["ok"] for row in report) else 1
        token = read_token(options.token_file) if options.token_file else None
        listeners = _listeners(options, token)
    except (EmbeddingError, ListenError) as error:
        _LOGGER.error("%s", error)
        return 1
    except TokenError as error:
        parser.error(str(error))
    sys.setswitchinterval(SWITCH_SECONDS)
    return asyncio.run(serve(options, token, listeners))


def list_devices() -> dict[str, Any]:
    """Return what there is to execute models: the CPU's runtime, libedgetpu and the Edge TPUs. Nothing is loaded."""
    found = survey()
    cpu = {"device": CPU, "runtime": litert.version() or "portable"}
    return {
        "devices": [cpu, *map(asdict, found.devices)],
        "libedgetpu": str(found.library) if found.library else None,
    }


def self_test(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Open and test every model on every device that it fits; what came of each, without listening."""
    report: list[dict[str, Any]] = []
    for file in read_models(options.models):
        for device in options.device:
            if not fits(file, device):
                continue
            start = time.perf_counter()
            row: dict[str, Any] = {"model": file.name, "version": file.version, "device": device}
            try:
                runtime = open_model(file, device, options.runtime, options.threads)
            except EmbeddingError as error:
                row |= {"ok": False, "error": str(error)}
            else:
                row |= {"ok": True, "runtime": runtime.family, "length": runtime.length}
                runtime.close()
            report.append(row | {"seconds": round(time.perf_counter() - start, 3)})
    return report


def _listeners(options: argparse.Namespace, token: str | None) -> list[socket.socket]:
    """Listen wherever the options say. Raises TokenError where a token is needed, ListenError."""
    tcp = options.unix is None or options.host is not None or options.port is not None
    host = options.host or HOST
    if tcp and token is None and not is_loopback(host):
        raise TokenError(f"{host} can be reached from other machines: --token-file is needed")
    listeners = [unix_socket(options.unix)] if options.unix else []
    try:
        if tcp:
            listeners.append(tcp_socket(host, PORT if options.port is None else options.port))
    except ListenError:
        for listener in listeners:
            forget(address_of(listener))
            listener.close()
        raise
    return listeners


async def serve(options: argparse.Namespace, token: str | None, listeners: Sequence[socket.socket]) -> int:
    """Serve until told to stop; returns the exit status."""
    metrics = Metrics()
    workers = _workers(options, metrics)
    limits = ServerLimits(options.max_bytes, options.deadline, options.read_seconds)
    state = ServerState(limits, Guard(token), metrics, workers)
    stop = asyncio.Event()
    _watch_signals(stop)
    if options.parent_pipe:
        _watch_parent(stop)
    async with AsyncExitStack() as stack:
        for worker in workers:
            stack.callback(worker.stop)
        await listen(stack, state, listeners)
        print(json.dumps({"listening": [address_of(one) for one in listeners]}), flush=True)  # noqa: T201
        trimming = asyncio.create_task(keep_trimming())
        stack.callback(trimming.cancel)
        loading = asyncio.create_task(_load(state, options))
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait((loading, stopped), return_when=asyncio.FIRST_COMPLETED)
        if not loading.done():
            loading.cancel()
        elif not loading.result():
            stopped.cancel()
            return 1
        await stopped
        _LOGGER.info("Stopping")
        return 0


def _workers(options: argparse.Namespace, metrics: Metrics) -> tuple[Worker, ...]:
    """Return a worker for each device; how long its pictures take is counted."""
    timed = metrics.durations("inference", "Pictures on a device.", "device")

    def of(device: str) -> Worker:
        return Worker(device, options.queue, lambda seconds: timed(seconds, device))

    return tuple(map(of, options.device))


async def listen(stack: AsyncExitStack, state: ServerState, listeners: Sequence[socket.socket]) -> None:
    """Answer at the sockets until the stack is closed."""
    runner = web.AppRunner(
        make_application(state),
        access_log=None,
        logger=HTTP_LOGGER,
        # A client that goes away is no longer waited for: what it asked is not computed.
        handler_cancellation=True,
        auto_decompress=False,
        keepalive_timeout=IDLE_SECONDS,
        # Bodies that are refused unread have to be taken off the wire, or their clients see a cut connection.
        lingering_time=LINGER_SECONDS,
        shutdown_timeout=STOP_SECONDS,
    )
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    if runner.server is None:
        raise AssertionError("the runner was set up")
    connections = Connections(runner.server)
    state.metrics.gauge("connections", "Connections that are open.", lambda: {(): connections.open})
    loop = asyncio.get_running_loop()
    for listener in listeners:
        stack.callback(forget, address_of(listener))
        stack.callback(listener.close)
        if listener.family == socket.AF_UNIX:
            server = await loop.create_unix_server(connections, sock=listener, backlog=BACKLOG)
        else:
            server = await loop.create_server(connections, sock=listener, backlog=BACKLOG)
        stack.callback(server.close)


async def _load(state: ServerState, options: argparse.Namespace) -> bool:
    """Open the models; whether there are any."""
    try:
        files = await asyncio.to_thread(read_models, options.models)
        state.models = await open_models(files, state.workers, options.runtime, options.threads, MOST_PICTURES)
    except EmbeddingError as error:
        _LOGGER.error("%s", error)
        return False
    state.ready = True
    _LOGGER.info("Ready: %s", ", ".join(state.models))
    return True


def _watch_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)


def _watch_parent(stop: asyncio.Event) -> None:
    """Stop when the standard input is closed, which it is when the parent ends, however it does."""
    loop = asyncio.get_running_loop()

    def wait() -> None:
        try:
            while os.read(0, 4096):
                pass
        except OSError:
            # It was no pipe to wait at, or is none any more.
            pass
        loop.call_soon_threadsafe(stop.set)
        # Whatever hangs: nothing of this process may be left.
        time.sleep(2 * STOP_SECONDS)
        os._exit(1)

    threading.Thread(target=wait, name="parent", daemon=True).start()


def _leave(status: int) -> None:
    """End the process, though a thread may hang in a device's driver, which Python would wait for."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    _leave(main())
