"""The simulated camera: serves the drawn driveway, or given pictures, over HTTP as a camera on the wall would.

Pictures: ``GET /still.jpg``, ``GET /mjpeg?fps=5``.
Control: ``POST /scene`` (JSON, fields of Scene), ``POST /play`` (JSON, ``{"speed": 1, "start": 0}``), ``POST /picture``
(a JPEG, shown as it is), ``POST /mode/{mode}`` (see Mode). What it shows: ``GET /status``.
"""

import argparse
import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import partial
import json
import math
import signal
import sys
import time
from typing import Any

from aiohttp import web

from .driveway import Scene, jpeg, scene_at

HOST = "127.0.0.1"
SHARE_S = 0.05
"""Requests this close together may get the same frame."""
MAX_FPS = 25.0
MAX_PICTURE = 32 * 2**20
"""Largest picture (bytes) that may be shown."""

CLOSING_S = 1.0
"""How long open streams may take to end."""

HTML = b"<!DOCTYPE html><html><head><title>Camera</title></head><body>Please log in.</body></html>"
GARBAGE = bytes(range(256)) * 64
NO_STORE = {"Cache-Control": "no-store"}


class Mode(StrEnum):
    """How the camera behaves, or misbehaves."""

    OK = "ok"
    ERROR500 = "error500"
    NOTFOUND = "notfound"
    HANG = "hang"
    """Takes the request and never answers."""
    GARBAGE = "garbage"
    """Bytes that are no picture, said to be a JPEG."""
    HTML = "html"
    """A web page with status 200, said to be a JPEG."""
    EMPTY = "empty"
    """An empty body with status 200."""
    STALE = "stale"
    """The same bytes again and again."""
    TRUNCATED = "truncated"
    """The first half of a JPEG."""


@dataclass(frozen=True)
class Play:
    """A run through the simulated days: speed in simulated seconds per second, from start (simulated s), begun at a clock reading."""

    speed: float
    start: float
    begun: float

    def now(self, clock: float) -> float:
        """Return the simulated time (s) at a clock reading."""
        return self.start + self.speed * (clock - self.begun)


@dataclass(frozen=True)
class Moment:
    """One moment of the simulated days (s), and one picture of it, however long it is looked at."""

    at: float

    def now(self, _clock: float) -> float:
        """Return the simulated time (s)."""
        return self.at


class Camera:
    """What the camera shows, and how. Frames are drawn when asked for, in a thread."""

    def __init__(self, seed: int = 0) -> None:
        """Start with the gate closed, at noon. The seed decides the simulated days and the weather."""
        self.seed = seed
        self.url = ""
        """Address, e.g. http://127.0.0.1:8090, once it serves."""
        self.served = 0
        """Pictures sent, faulty ones included."""
        self._mode = Mode.OK
        self._shown: Scene | Play | Moment | bytes = Scene()
        self._drawn = 0
        self._frame = b""
        self._frame_at = -math.inf
        self._sent = b""
        self._drawing = asyncio.Lock()

    @property
    def mode(self) -> Mode:
        """How the camera behaves."""
        return self._mode

    @mode.setter
    def mode(self, mode: str) -> None:
        """Set the behaviour by its name. Raises ValueError for an unknown one."""
        self._mode = Mode(mode)

    def show(self, scene: Scene) -> None:
        """Show a scene until told otherwise."""
        self._change(scene)

    def play(self, speed: float = 1.0, start: float = 0.0) -> None:
        """Follow scene_at from start (simulated s, >= 0) at speed (> 0) times real time."""
        if not (math.isfinite(speed) and speed > 0 and math.isfinite(start) and start >= 0):
            raise ValueError(f"speed must be above 0 and start not below, not {speed} and {start}")
        self._change(Play(speed, start, time.monotonic()))

    def show_moment(self, at: float) -> None:
        """Show one picture of scene_at (simulated s, >= 0) until told otherwise: a day that waits for who looks at it."""
        if not (math.isfinite(at) and at >= 0):
            raise ValueError(f"a moment must not be negative, not {at}")
        self._change(Moment(at))

    def show_picture(self, picture: bytes) -> None:
        """Show exactly these bytes until told otherwise."""
        if not picture:
            raise ValueError("a picture must not be empty")
        self._change(picture)

    def _change(self, shown: Scene | Play | Moment | bytes) -> None:
        """Show something else, from the next request on."""
        self._shown = shown
        self._frame_at = -math.inf

    @property
    def simulated(self) -> float | None:
        """The simulated time in seconds, None when no simulated day is played."""
        return self._shown.now(time.monotonic()) if isinstance(self._shown, Play | Moment) else None

    @property
    def scene(self) -> Scene | None:
        """The truth at this moment, None when a given picture is shown."""
        if isinstance(self._shown, Play | Moment):
            return scene_at(self._shown.now(time.monotonic()), self.seed)
        return self._shown if isinstance(self._shown, Scene) else None

    def status(self) -> dict[str, Any]:
        """Return what the camera shows and has sent, as JSON can hold it."""
        scene = self.scene
        return {
            "scene": asdict(scene) if scene else None,
            "picture": isinstance(self._shown, bytes),
            "mode": self.mode.value,
            "served": self.served,
            "simulated_s": self.simulated,
        }

    def _is_drawn(self, shown: Scene | Play | Moment) -> bool:
        """Whether the last drawing is young enough to be shown again; that of a moment always is."""
        drawn = self._frame_at > -math.inf
        return drawn and (isinstance(shown, Moment) or time.monotonic() - self._frame_at <= SHARE_S)

    async def frame(self) -> bytes:
        """Return the picture of this moment, a JPEG: the given one, or a new drawing."""
        while True:
            shown = self._shown
            if isinstance(shown, bytes):
                return shown
            async with self._drawing:
                if self._is_drawn(shown):
                    return self._frame
                scene = self.scene
                if scene is not None:
                    self._drawn += 1
                    drawn = partial(jpeg, scene, self.seed * 1_000_003 + self._drawn)
                    frame = await asyncio.get_running_loop().run_in_executor(None, drawn)
                    # Told to show something else meanwhile: this frame would be yesterday's.
                    if self._shown is shown:
                        self._frame, self._frame_at = frame, time.monotonic()
                        return frame

    async def picture(self) -> bytes:
        """Return the body a request for a picture gets in the current mode; ERROR500 and NOTFOUND have none.

        Raises web.HTTPException for those two. In mode HANG it waits until the request is given up.
        """
        self.served += 1
        match self.mode:
            case Mode.ERROR500:
                raise web.HTTPInternalServerError(text="Internal error")
            case Mode.NOTFOUND:
                raise web.HTTPNotFound(text="Not found")
            case Mode.HANG:
                await asyncio.Event().wait()
            case Mode.GARBAGE:
                return GARBAGE
            case Mode.HTML:
                return HTML
            case Mode.EMPTY:
                return b""
            case Mode.STALE if self._sent:
                return self._sent
        frame = self._sent = await self.frame()
        return frame[: len(frame) // 2] if self.mode is Mode.TRUNCATED else frame


CAMERA = web.AppKey("camera", Camera)


async def _still(request: web.Request) -> web.Response:
    """Send one picture."""
    body = await request.app[CAMERA].picture()
    return web.Response(body=body, content_type="image/jpeg", headers=NO_STORE)


async def _stream(request: web.Request) -> web.StreamResponse:
    """Send pictures until the client has enough."""
    camera = request.app[CAMERA]
    try:
        fps = float(request.query.get("fps", "5"))
    except ValueError:
        fps = math.nan
    if not 0 < fps <= MAX_FPS:
        raise web.HTTPBadRequest(text=f"fps must be above 0 and at most {MAX_FPS}")
    body = await camera.picture()
    response = web.StreamResponse(headers=NO_STORE | {"Content-Type": "multipart/x-mixed-replace; boundary=frame"})
    await response.prepare(request)
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(body)}\r\n\r\n"
        try:
            await response.write(head.encode() + body + b"\r\n")
        except ConnectionResetError:
            return response
        # A slow client gets fewer pictures, not a queue of them.
        due = max(due + 1 / fps, loop.time())
        await asyncio.sleep(due - loop.time())
        try:
            body = await camera.picture()
        except web.HTTPException:
            # The headers are out: all that is left is to hang up.
            return response


async def _fields(request: web.Request) -> dict[str, Any]:
    """Return the JSON object of a request."""
    try:
        fields = await request.json()
    except json.JSONDecodeError, UnicodeDecodeError:
        raise web.HTTPBadRequest(text="not JSON") from None
    if not isinstance(fields, dict):
        raise web.HTTPBadRequest(text="not a JSON object")
    return fields


async def _set_scene(request: web.Request) -> web.Response:
    """Show a scene: the fields left out have their defaults."""
    try:
        request.app[CAMERA].show(Scene(**await _fields(request)))
    except (TypeError, ValueError) as error:
        raise web.HTTPBadRequest(text=str(error)) from error
    return _answer(request)


async def _set_play(request: web.Request) -> web.Response:
    """Follow the simulated days."""
    try:
        request.app[CAMERA].play(**await _fields(request))
    except (TypeError, ValueError) as error:
        raise web.HTTPBadRequest(text=str(error)) from error
    return _answer(request)


async def _set_picture(request: web.Request) -> web.Response:
    """Show the picture that was sent."""
    try:
        request.app[CAMERA].show_picture(await request.read())
    except ValueError as error:
        raise web.HTTPBadRequest(text=str(error)) from error
    return _answer(request)


async def _set_mode(request: web.Request) -> web.Response:
    """Behave, or misbehave."""
    try:
        request.app[CAMERA].mode = request.match_info["mode"]
    except ValueError as error:
        raise web.HTTPBadRequest(text=str(error)) from error
    return _answer(request)


def _answer(request: web.Request) -> web.Response:
    """Return the status as the answer to a command."""
    return web.json_response(request.app[CAMERA].status())


async def _status(request: web.Request) -> web.Response:
    """Say what is shown and what was sent."""
    return _answer(request)


def application(camera: Camera) -> web.Application:
    """Return the web application of a camera."""
    app = web.Application(client_max_size=MAX_PICTURE)
    app[CAMERA] = camera
    app.add_routes(
        [
            web.get("/still.jpg", _still),
            web.get("/mjpeg", _stream),
            web.get("/status", _status),
            web.post("/scene", _set_scene),
            web.post("/play", _set_play),
            web.post("/picture", _set_picture),
            web.post("/mode/{mode}", _set_mode),
        ]
    )
    return app


@asynccontextmanager
async def running_camera(port: int = 0, seed: int = 0) -> AsyncIterator[Camera]:
    """Serve a new camera on this machine only, on a port (0: any free one), until the block ends."""
    camera = Camera(seed)
    async with served(camera, port):
        yield camera


@asynccontextmanager
async def served(camera: Camera, port: int = 0) -> AsyncIterator[None]:
    """Serve a camera on this machine only, on a port (0: any free one), until the block ends."""
    runner = web.AppRunner(application(camera), access_log=None, handler_cancellation=True, shutdown_timeout=CLOSING_S)
    await runner.setup()
    try:
        # The first drawing takes seconds of a processor, and longer on a busy machine than anybody waits for a picture.
        await camera.frame()
        await web.TCPSite(runner, HOST, port).start()
        camera.url = f"http://{HOST}:{runner.addresses[0][1]}"
        yield
    finally:
        await runner.cleanup()


async def serve(port: int, seed: int) -> None:
    """Serve a camera until the process is told to end, its address printed first."""
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with running_camera(port, seed) as camera:
        print(camera.url, flush=True)
        await ended.wait()


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Serve the simulated driveway camera over HTTP on this machine.")
    parser.add_argument("--port", type=int, default=8090, help="0 takes any free port (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="which days and weather to simulate (default: %(default)s)")
    options = parser.parse_args()
    try:
        asyncio.run(serve(options.port, options.seed))
    except OSError as error:
        print(f"can't serve on port {options.port}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
