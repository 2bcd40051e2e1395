"""The server's HTTP interface: the Open Inference Protocol v2, the list of models (as Triton's and MLServer's), and ``/metrics``.

Every error is ``{"error": "…"}`` with a status of the protocol's: 400 for what is wrong with a message, 401 without the token, 404 for what
is not here, 408 for slow clients, 411 and 413 for bodies of no or too great a length, 415 for compressed ones, 503 with ``Retry-After`` where
there is no room, 504 past a request's deadline.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
import json
import logging
import time
from typing import Final

from aiohttp import hdrs, web
import numpy as np
from numpy.typing import NDArray

from ..errors import EmbeddingError
from ..protocol.messages import (
    JSON_LENGTH,
    InferRequest,
    InferResponse,
    Message,
    decode_json,
    decode_request,
    encode_response,
    read_json_length,
)
from ..protocol.tensors import ProtocolError
from .auth import Guard
from .metrics import CONTENT_TYPE, Metrics
from .models import INPUT, OUTPUT, Served
from .worker import Abandoned, QueueFull, Worker

_LOGGER = logging.getLogger(__name__)

NAME: Final = "coral-imprint"
VERSION: Final = "1"
"""Goes up whenever the same request gets another answer."""
EXTENSIONS: Final = ("binary_tensor_data", "model_repository(index)", "schedule_policy")

LEAST_RATE: Final = 64 * 1024
"""Bytes per second at which a body has to come, beside `ServerLimits.read_seconds`."""
BODIES_AT_ONCE: Final = 4
"""How many bodies of the greatest length there may be in memory at once; of shorter ones, as many as make the same."""

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class ServerLimits:
    """What a request may take."""

    max_bytes: int = 16 * 1024 * 1024
    """Of a body."""
    deadline: float = 10.0
    """Seconds from a request's head to its answer, unless its parameter ``timeout`` (microseconds, as Triton's) says less."""
    read_seconds: float = 10.0
    """How long the first byte of a body may take; `LEAST_RATE` for those behind it."""


@dataclass
class ServerState:
    """What the server serves."""

    limits: ServerLimits
    guard: Guard
    metrics: Metrics
    workers: tuple[Worker, ...]
    models: dict[str, Served] = field(default_factory=dict)
    ready: bool = False
    """Whether all models are open."""
    reading: int = 0
    """Bytes of bodies that are here in part."""

    @property
    def stalled(self) -> list[str]:
        """The devices that hang."""
        return [worker.device for worker in self.workers if worker.stalled]


class Refusal(Exception):
    """A request is answered by an error."""

    def __init__(self, status: int, reason: str, **headers: str) -> None:
        """Take the status, what is wrong, and headers by their names with underscores for hyphens."""
        super().__init__(reason)
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def busy(seconds: int, reason: str) -> Refusal:
    """Return the refusal of a request for which there is no room."""
    return Refusal(503, reason, Retry_After=str(seconds))


def make_application(state: ServerState) -> web.Application:
    """Return the application that serves a state."""
    handlers = Handlers(state)
    application = web.Application(middlewares=[handlers.answered], client_max_size=state.limits.max_bytes)
    router = application.router
    # What tells nothing but that the server is there needs no token.
    router.add_get("/v2/health/live", handlers.live)
    router.add_get("/v2/health/ready", handlers.ready)
    for path, handler in (
        ("/v2", handlers.server),
        ("/v2/", handlers.server),
        ("/metrics", handlers.metrics),
    ):
        router.add_get(path, handlers.guarded(handler))
    router.add_post("/v2/repository/index", handlers.guarded(handlers.index))
    for model in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
        router.add_get(model, handlers.guarded(handlers.model))
        router.add_get(f"{model}/ready", handlers.guarded(handlers.model_ready))
        router.add_post(f"{model}/infer", handlers.guarded(handlers.infer))
    return application


class Handlers:
    """What answers requests."""

    def __init__(self, state: ServerState) -> None:
        """Take what is served, and register what is counted."""
        self._state = state
        metrics = state.metrics
        self._count = metrics.counter("requests", "Requests for inference.", "model", "status")
        self._time = metrics.durations("request", "Requests for inference that were answered.", "model")
        metrics.gauge(
            "queue_pictures",
            "Pictures that wait for a device or are under way on it.",
            lambda: {(worker.device,): worker.pending for worker in state.workers},
            "device",
        )

    @web.middleware
    async def answered(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Give errors the protocol's form."""
        try:
            return await handler(request)
        except Refusal as refusal:
            return _error(refusal.status, str(refusal), refusal.headers)
        except web.HTTPException as error:
            allow = error.headers.get(hdrs.ALLOW)
            return _error(error.status, error.reason, {hdrs.ALLOW: allow} if allow else {})

    def guarded(self, handler: _Handler) -> _Handler:
        """Let only those in who have the token."""

        async def checked(request: web.Request) -> web.StreamResponse:
            if not self._state.guard.lets_in(request.headers.get(hdrs.AUTHORIZATION)):
                raise Refusal(401, "The token is missing or wrong", WWW_Authenticate="Bearer")
            return await handler(request)

        return checked

    async def live(self, _: web.Request) -> web.Response:
        """Answer whether the server should be left running."""
        if stalled := self._state.stalled:
            raise Refusal(503, f"The device {', '.join(stalled)} hangs")
        return web.json_response({"live": True})

    async def ready(self, _: web.Request) -> web.Response:
        """Answer whether all models can be used."""
        self._check_ready()
        return web.json_response({"ready": True})

    def _check_ready(self) -> None:
        if not self._state.ready:
            raise busy(1, "The models are being opened")
        if stalled := self._state.stalled:
            raise Refusal(503, f"The device {', '.join(stalled)} hangs")

    async def server(self, _: web.Request) -> web.Response:
        """Answer what this server is."""
        return web.json_response({"name": NAME, "version": VERSION, "extensions": EXTENSIONS})

    async def metrics(self, _: web.Request) -> web.Response:
        """Answer what was counted."""
        return web.Response(body=self._state.metrics.render().encode(), headers={hdrs.CONTENT_TYPE: CONTENT_TYPE})

    async def index(self, request: web.Request) -> web.Response:
        """Answer which models there are."""
        body = await self._body(request)
        try:
            decode_json(body or b"{}")
        except ProtocolError as error:
            raise Refusal(400, str(error)) from error
        return web.json_response(
            [
                {"name": name, "version": served.file.version, "state": "READY", "reason": ""}
                for name, served in self._state.models.items()
            ]
        )

    async def model(self, request: web.Request) -> web.Response:
        """Answer what a model takes and returns."""
        return web.json_response(self._served(request).metadata())

    async def model_ready(self, request: web.Request) -> web.Response:
        """Answer whether a model can be used."""
        served = self._served(request)
        self._check_ready()
        return web.json_response({"name": served.file.name, "ready": True})

    def _served(self, request: web.Request) -> Served:
        """Return the model that a request names."""
        name, version = request.match_info["model"], request.match_info.get("version")
        served = self._state.models.get(name)
        if served is None and not self._state.ready:
            self._check_ready()
        if served is None or version not in (None, served.file.version):
            raise Refusal(404, "There is no such model, or not in that version")
        return served

    async def infer(self, request: web.Request) -> web.Response:
        """Embed a request's pictures."""
        start = time.monotonic()
        served = self._served(request)
        status = 500
        try:
            message = await self._inferred(request, served, start)
            status = 200
        except Refusal as refusal:
            status = refusal.status
            raise
        except asyncio.CancelledError:
            status = 499  # the client went away
            raise
        finally:
            self._count(served.file.name, str(status))
        self._time(time.monotonic() - start, served.file.name)
        return web.Response(body=message.body, headers=message.headers)

    async def _inferred(self, request: web.Request, served: Served, start: float) -> Message:
        """Read, compute and write; raises Refusal for all that goes wrong on the way."""
        try:
            length = read_json_length(request.headers.get(JSON_LENGTH))
            # Refused before it is read: an overloaded server has better things to do.
            served.place().worker.check_room()
            asked, deadline = await self._asked(request, length, start)
            pictures = _pictures(asked, served)
            place = served.place()
            async with asyncio.timeout_at(deadline):
                vectors = await place.worker.embed(place.runtime, pictures)
            return encode_response(
                InferResponse(served.file.name, {OUTPUT: vectors}, served.file.version, asked.id),
                (OUTPUT,) if _binary(asked) else (),
            )
        except ProtocolError as error:
            raise Refusal(400, str(error)) from error
        except QueueFull as error:
            raise busy(error.retry_after, str(error)) from error
        except (TimeoutError, Abandoned) as error:
            raise Refusal(504, "The deadline passed before the device was done") from error
        except EmbeddingError as error:
            _LOGGER.error("%s failed: %s", served.file.name, error)
            raise Refusal(500, f"The model failed: {error}") from error

    async def _asked(self, request: web.Request, length: int | None, start: float) -> tuple[InferRequest, float]:
        """Read a request; returns it and the event loop's time at which its answer is worth nothing any more."""
        body = await self._body(request)
        asked = decode_request(body, length)
        seconds = min(self._state.limits.deadline, _timeout(asked))
        return asked, asyncio.get_running_loop().time() - (time.monotonic() - start) + seconds

    async def _body(self, request: web.Request) -> bytes:
        """Read a request's body, as long as it says that it is."""
        limits = self._state.limits
        size = request.content_length
        if request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
            raise Refusal(415, "Compressed bodies are not taken")
        if size is None:
            if not request.can_read_body:
                return b""
            raise Refusal(411, "The length of the body must be given")
        if size > limits.max_bytes:
            raise Refusal(413, f"A body may have {limits.max_bytes} bytes, this one has {size}")
        try:
            async with asyncio.timeout(limits.read_seconds + size / LEAST_RATE):
                return await self._read(request, size)
        except TimeoutError:
            raise Refusal(408, "The body came too slowly", Connection="close") from None

    async def _read(self, request: web.Request, size: int) -> bytes:
        """Read a body of a known size. What has come counts, not what was announced: slow clients must not keep others out."""
        state = self._state
        room = BODIES_AT_ONCE * state.limits.max_bytes
        chunks: list[bytes] = []
        here = 0
        try:
            while here < size:
                chunk = await request.content.readany()
                if not chunk:
                    raise Refusal(400, "The body is shorter than it says", Connection="close")
                chunks.append(chunk)
                here += len(chunk)
                state.reading += len(chunk)
                if state.reading > room:
                    raise busy(1, "Too much is being received")
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)
        finally:
            state.reading -= here


def _error(status: int, reason: str, headers: Mapping[str, str]) -> web.Response:
    response = web.Response(
        status=status,
        body=json.dumps({"error": reason}).encode(),
        headers={hdrs.CONTENT_TYPE: "application/json", **headers},
    )
    if headers.get(hdrs.CONNECTION) == "close":
        response.force_close()
    return response


def _timeout(asked: InferRequest) -> float:
    """Return the seconds that a request gives itself; infinity where it says nothing."""
    timeout = asked.parameters.get("timeout")
    if timeout is None:
        return float("inf")
    if type(timeout) is not int or timeout <= 0:
        raise ProtocolError("The parameter timeout is no whole number of microseconds from 1")
    return min(timeout, 10**15) / 1e6


def _pictures(asked: InferRequest, served: Served) -> NDArray[np.uint8]:
    """Return a request's pictures; raises ProtocolError where they are none that the model takes."""
    if set(asked.inputs) != {INPUT}:
        raise ProtocolError(f"The model has one input, “{INPUT}”; the request has others")
    pictures = asked.inputs[INPUT]
    width, height = served.size
    if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[1:] != (height, width, 3):
        raise ProtocolError(f"The input is UINT8 of the shape [N, {height}, {width}, 3]")
    if not 0 < len(pictures) <= served.max_batch:
        raise ProtocolError(f"A request has 1 to {served.max_batch} pictures")
    for output in asked.outputs:
        if output.name != OUTPUT or output.parameters.get("classification") is not None:
            raise ProtocolError(f"The model has one output, “{OUTPUT}”, and no classes")
    return pictures


def _binary(asked: InferRequest) -> bool:
    """Whether the output is wanted as bytes."""
    return asked.outputs[0].binary if asked.outputs else asked.binary_output
