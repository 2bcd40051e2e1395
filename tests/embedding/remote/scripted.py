"""A server that does what a test tells it to: for faults that no sound server has."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import aiohttp
from aiohttp import web
import numpy as np
from numpy.typing import NDArray

from embedding.protocol.messages import JSON_LENGTH, InferResponse, decode_request, encode_response, read_json_length
from embedding.remote import Access, CheckPace, ModelOptions, RemoteEmbedder, open_remote_embedder

MODEL = "blocks"
SIDE = 32
LENGTH = 48

Fault: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse | None]]


def embed(pictures: NDArray[np.uint8], turned: bool = False) -> NDArray[np.float32]:
    """Return mean colours of 4 × 4 blocks of each picture, (pictures, 48); ``turned``: another model's."""
    blocks = pictures.reshape(len(pictures), 4, SIDE // 4, 4, SIDE // 4, 3).mean(axis=(2, 4), dtype=np.float32)
    vectors: NDArray[np.float32] = blocks.reshape(len(pictures), LENGTH) + 1
    return vectors**2 if turned else vectors


@dataclass
class Scripted:
    """A server's behaviour, and what it was asked."""

    shape: list[int] = field(default_factory=lambda: [-1, SIDE, SIDE, 3])
    metadata: dict[str, Any] = field(default_factory=dict)
    """Instead of members of the model's metadata."""
    fault: Fault | None = None
    """Answers requests for inference; where it returns None, they are answered well."""
    broken: bool = False
    """Answers everything else with 500."""
    turned: bool = False
    """Another model."""
    version: str | None = None
    token: str | None = None
    most: int = 64
    """More pictures in a request are refused."""
    json_only: bool = False
    delay: float = 0.0
    batches: list[int] = field(default_factory=list)
    """Pictures of each request for inference that was answered well."""
    requests: int = 0
    """For inference."""
    paths: list[str] = field(default_factory=list)
    url: str = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer any request."""
        self.paths.append(f"{request.method} {request.raw_path}")
        if self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.json_response({"error": "no token"}, status=401)
        if request.method == "POST":
            self.requests += 1
            if self.fault and (response := await self.fault(request)) is not None:
                return response
            return await self._infer(request)
        if self.broken:
            return web.json_response({"error": "broken"}, status=500)
        if request.path == f"/v2/models/{MODEL}/ready":
            return web.json_response({"name": MODEL, "ready": True})
        if request.path == f"/v2/models/{MODEL}":
            return web.json_response(self._described())
        return web.json_response({"error": "unknown"}, status=404)

    def _described(self) -> dict[str, Any]:
        return {
            "name": MODEL,
            "versions": None,
            "platform": "",
            "inputs": [{"name": "in", "datatype": "UINT8", "shape": self.shape}],
            "outputs": [{"name": "out", "datatype": "FP32", "shape": [-1, LENGTH]}],
        } | self.metadata

    async def _infer(self, request: web.Request) -> web.Response:
        length = read_json_length(request.headers.get(JSON_LENGTH))
        if self.json_only and length is not None:
            return web.json_response({"error": "what is this?"}, status=422)
        asked = decode_request(await request.read(), length)
        pictures = asked.inputs["in"]
        if len(pictures) > self.most:
            return web.json_response({"error": f"at most {self.most}"}, status=400)
        await asyncio.sleep(self.delay)
        self.batches.append(len(pictures))
        response = InferResponse(MODEL, {"out": embed(pictures, self.turned)}, self.version)
        message = encode_response(response, ["out"] if asked.outputs[0].binary else ())
        return web.Response(body=message.body, headers=message.headers)


@asynccontextmanager
async def serving(*scripts: Scripted, port: int = 0) -> AsyncIterator[list[str]]:
    """Run servers on loopback; yields their addresses."""
    runners = []
    try:
        for script in scripts:
            application = web.Application(client_max_size=1 << 26)
            application.router.add_route("*", "/{any:.*}", script.handle)
            runner = web.AppRunner(application, shutdown_timeout=0.1, handler_cancellation=True)
            runners.append(runner)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", port).start()
            script.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield [script.url for script in scripts]
    finally:
        for runner in runners:
            await runner.cleanup()


def replies(status: int, body: bytes = b"{}", **headers: str) -> Fault:
    """Return a fault that answers the same every time; underscores in the names of headers are hyphens."""

    async def fault(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(
            status=status, body=body, headers={name.replace("_", "-"): value for name, value in headers.items()}
        )

    return fault


async def drop(request: web.Request) -> None:
    """End the connection without an answer."""
    await request.read()
    if request.transport:
        request.transport.abort()


async def hang(request: web.Request) -> None:
    """Answer nothing for longer than any test waits."""
    await asyncio.sleep(30)


def trickle(seconds: float, body: bytes = b"x" * 1000) -> Fault:
    """Return a fault that sends a byte now and then."""

    async def fault(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = len(body)
        await response.prepare(request)
        for byte in body:
            await response.write(bytes([byte]))
            await asyncio.sleep(seconds)
        return response

    return fault


def after(good: int, fault: Fault) -> Fault:
    """Return a fault that begins after some good answers."""
    asked = 0

    async def counted(request: web.Request) -> web.StreamResponse | None:
        nonlocal asked
        asked += 1
        return None if asked <= good else await fault(request)

    return counted


PACE: Final = CheckPace(check_every=0.1, probe_every=0.3, first_backoff=0.02, longest_backoff=0.1, busy_patience=0.5)
"""Looks after servers as often as tests can wait for."""


@asynccontextmanager
async def opened(
    script: Scripted, session: aiohttp.ClientSession, *, timeout: float = 20.0, **options: Any
) -> AsyncIterator[RemoteEmbedder]:
    """Open the scripted server's model."""
    async with (
        serving(script) as urls,
        open_remote_embedder(
            urls, MODEL, session, Access(timeout=timeout, token=script.token), ModelOptions(**options), pace=PACE
        ) as embedder,
    ):
        yield embedder
