"""The simulated camera over HTTP, as Home Assistant meets it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
import io
from pathlib import Path
import signal
import subprocess
import sys
from typing import Any

from aiohttp import ClientSession, ClientTimeout
from PIL import Image, ImageStat
import pytest

from scripts.simulation.camera import SHARE_S, Camera, Mode, Play, running_camera
from scripts.simulation.driveway import Scene, scene_at

pytestmark = pytest.mark.usefixtures("socket_enabled")

ROOT = Path(__file__).parents[2]
APART_S = SHARE_S * 1.5


@pytest.fixture
async def camera() -> AsyncIterator[Camera]:
    """Return a camera that serves on a free port."""
    async with running_camera(seed=2) as running:
        yield running


@pytest.fixture
async def client(camera: Camera) -> AsyncIterator[ClientSession]:
    """Return a client of that camera."""
    async with ClientSession(camera.url, timeout=ClientTimeout(total=30)) as session:
        yield session


async def still(client: ClientSession) -> bytes:
    """Return a picture that must arrive with status 200, said to be a JPEG."""
    async with client.get("/still.jpg") as response:
        assert response.status == 200
        assert response.content_type == "image/jpeg"
        assert response.headers["Cache-Control"] == "no-store"
        return await response.read()


async def post(client: ClientSession, path: str, status: int = 200, **body: Any) -> Any:
    """Send a command and return its answer: the camera's status, or the text of an error."""
    async with client.post(path, **body) as response:
        assert response.status == status, await response.text()
        return await response.json() if status == 200 else await response.text()


def size_of(picture: bytes) -> tuple[int, int]:
    """Return width and height of a whole picture, decoded."""
    with Image.open(io.BytesIO(picture)) as image:
        image.load()
        return image.size


def brightness(picture: bytes) -> float:
    """Return the mean grey level of a picture."""
    with Image.open(io.BytesIO(picture)) as image:
        return ImageStat.Stat(image.convert("L")).mean[0]


async def test_every_frame_is_a_new_picture(client: ClientSession) -> None:
    """A camera never sends the same bytes twice, but to those who ask at once."""
    first = await still(client)
    await asyncio.sleep(APART_S)
    second = await still(client)
    assert size_of(first) == size_of(second) == (1280, 720)
    assert first != second


async def test_those_who_ask_at_once_share_a_frame(camera: Camera) -> None:
    """Four requests that wait for one drawing get it."""
    frames = await asyncio.gather(*(camera.frame() for _ in range(4)))
    assert len(set(frames)) == 1


async def test_a_change_shows_in_the_next_frame(camera: Camera) -> None:
    """Even where the last frame is so young that it would be shared, or still being drawn."""
    assert brightness(await camera.frame()) > 100
    camera.show(Scene(light=0.0))
    assert brightness(await camera.frame()) < 85
    await asyncio.sleep(APART_S)
    drawing = asyncio.create_task(camera.frame())
    await asyncio.sleep(0)
    camera.show(Scene())
    assert brightness(await drawing) > 100


async def test_scene_is_set_by_json(camera: Camera, client: ClientSession) -> None:
    """Fields left out have their defaults."""
    answer = await post(client, "/scene", json={"gate": "open", "car": True, "light": 0.5})
    assert camera.scene == Scene("open", car=True, light=0.5)
    assert Scene(**answer["scene"]) == camera.scene


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/scene", {"json": {"gate": "ajar"}}),
        ("/scene", {"json": {"garage": "open"}}),
        ("/scene", {"json": [1]}),
        ("/scene", {"data": b"\xff{"}),
        ("/play", {"json": {"speed": 0}}),
        ("/play", {"json": {"speed": "fast"}}),
        ("/play", {"json": {"start": -5}}),
        ("/picture", {"data": b""}),
        ("/mode/upside-down", {}),
    ],
)
async def test_wrong_commands_are_refused(camera: Camera, client: ClientSession, path: str, body: Any) -> None:
    """With status 400, and nothing changes."""
    before = camera.status()
    assert await post(client, path, 400, **body)
    assert camera.status() == before


async def test_play_follows_the_simulated_day(camera: Camera, client: ClientSession) -> None:
    """The truth in the status is that of the simulated time, which runs at the speed asked for."""
    answer = await post(client, "/play", json={"speed": 100, "start": 250})
    assert answer["simulated_s"] >= 250
    await asyncio.sleep(0.1)
    now = camera.simulated
    assert now is not None
    assert now >= 260
    before, truth, after = camera.simulated, camera.scene, camera.simulated
    assert truth is not None
    assert before is not None
    assert after is not None
    assert scene_at(before, 2).light >= truth.light >= scene_at(after, 2).light
    assert Play(speed=2.0, start=10.0, begun=100.0).now(103.0) == 16.0


async def test_a_moment_lasts_until_another_is_shown(camera: Camera) -> None:
    """However long one looks at it, it is one picture; the next moment is another one."""
    camera.show_moment(250.0)
    assert (camera.simulated, camera.scene) == (250.0, scene_at(250.0, 2))
    first = await camera.frame()
    await asyncio.sleep(APART_S)
    assert await camera.frame() == first
    assert camera.simulated == 250.0
    camera.show_moment(251.0)
    assert await camera.frame() != first
    for at in (-1.0, float("nan")):
        with pytest.raises(ValueError, match="moment"):
            camera.show_moment(at)


async def test_a_given_picture_is_sent_unchanged(camera: Camera, client: ClientSession) -> None:
    """Byte for byte, until told otherwise."""
    stream = io.BytesIO()
    Image.effect_noise((300, 200), 40).save(stream, "JPEG", comment=b"a real camera's comment")
    answer = await post(client, "/picture", data=stream.getvalue())
    assert answer["picture"] is True
    assert answer["scene"] is None
    for _ in range(2):
        assert await still(client) == stream.getvalue()
        await asyncio.sleep(APART_S)
    camera.show(Scene())
    assert size_of(await still(client)) == (1280, 720)


async def test_status_counts_pictures(camera: Camera, client: ClientSession) -> None:
    """One per picture sent."""
    for _ in range(3):
        await still(client)
    async with client.get("/status") as response:
        status = await response.json()
    assert status["served"] == 3
    assert status["mode"] == "ok"
    assert status["simulated_s"] is None
    assert Scene(**status["scene"]) == camera.scene


@pytest.mark.parametrize(("mode", "status"), [("error500", 500), ("notfound", 404)])
async def test_error_modes(client: ClientSession, mode: str, status: int) -> None:
    """The status says so, for stills and streams."""
    await post(client, f"/mode/{mode}")
    for path in ("/still.jpg", "/mjpeg"):
        async with client.get(path) as response:
            assert response.status == status


async def test_hanging_camera_never_answers(client: ClientSession) -> None:
    """The client gives up first; the next request after the fault is served."""
    await post(client, "/mode/hang")
    with pytest.raises(TimeoutError):
        await client.get("/still.jpg", timeout=ClientTimeout(total=0.3))
    await post(client, "/mode/ok")
    assert size_of(await still(client)) == (1280, 720)


async def test_a_hanging_request_does_not_keep_the_camera_from_ending() -> None:
    """Leaving the block ends it."""
    async with ClientSession() as client:
        async with running_camera() as camera:
            camera.mode = Mode.HANG
            hanging = asyncio.create_task(client.get(f"{camera.url}/still.jpg"))
            while not camera.served:
                await asyncio.sleep(0.01)
        with pytest.raises(OSError):
            await asyncio.wait_for(hanging, 10)


async def test_garbage_is_no_picture(client: ClientSession) -> None:
    """Bytes without a JPEG in them."""
    await post(client, "/mode/garbage")
    body = await still(client)
    assert len(body) > 1000
    with pytest.raises(OSError):
        size_of(body)


async def test_html_is_said_to_be_a_jpeg(client: ClientSession) -> None:
    """Status 200 and the type of a picture: only the body tells."""
    await post(client, "/mode/html")
    assert (await still(client)).startswith(b"<!DOCTYPE html>")


async def test_empty_body(client: ClientSession) -> None:
    """Status 200 and nothing."""
    await post(client, "/mode/empty")
    assert await still(client) == b""


async def test_stale_camera_repeats_itself(camera: Camera, client: ClientSession) -> None:
    """Whatever happens in front of it, drawn or given; it catches up when it recovers."""
    last = await still(client)
    camera.mode = Mode.STALE
    changes: list[Callable[[], None]] = [
        partial(camera.show, Scene("open")),
        partial(camera.show_picture, b"new"),
        camera.play,
    ]
    for change in changes:
        await asyncio.sleep(APART_S)
        change()
        assert await still(client) == last
    camera.mode = Mode.OK
    assert await still(client) != last


async def test_a_camera_stale_from_the_start_has_one_picture(camera: Camera, client: ClientSession) -> None:
    """It has to have seen something once."""
    camera.mode = Mode.STALE
    first = await still(client)
    await asyncio.sleep(APART_S)
    assert size_of(first) == (1280, 720)
    assert await still(client) == first


async def test_truncated_picture(camera: Camera, client: ClientSession) -> None:
    """Half of a JPEG: its head is right, its end is missing."""
    camera.show_picture(whole := await still(client))
    camera.mode = Mode.TRUNCATED
    half = await still(client)
    assert half == whole[: len(whole) // 2]
    with pytest.raises(OSError, match="truncated"):
        size_of(half)


async def test_stream_sends_whole_pictures(camera: Camera, client: ClientSession) -> None:
    """Parts with their length, again and again new pictures; the stream ends when the camera fails.

    On a busy machine two parts may come so soon after each other that they share a picture.
    """
    pictures: list[bytes] = []
    async with client.get("/mjpeg", params={"fps": "10"}) as response:
        assert response.content_type == "multipart/x-mixed-replace"
        while len(set(pictures)) < 3:
            assert len(pictures) < 100
            assert await response.content.readline() == b"--frame\r\n"
            assert await response.content.readline() == b"Content-Type: image/jpeg\r\n"
            name, length = (await response.content.readline()).split(b": ")
            assert name == b"Content-Length"
            assert await response.content.readline() == b"\r\n"
            pictures.append(await response.content.readexactly(int(length)))
            assert await response.content.readline() == b"\r\n"
        camera.mode = Mode.ERROR500
        while await response.content.read(65536):
            pass
    assert {size_of(picture) for picture in pictures} == {(1280, 720)}


@pytest.mark.parametrize("fps", ["0", "-1", "26", "nan", "many"])
async def test_stream_refuses_odd_rates(client: ClientSession, fps: str) -> None:
    """A rate must be above 0 and at most 25."""
    async with client.get("/mjpeg", params={"fps": fps}) as response:
        assert response.status == 400


async def test_runs_from_the_command_line() -> None:
    """It prints its address, serves only on the loopback, and ends on SIGTERM."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "scripts.simulation.camera", "--port", "0", cwd=ROOT, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        url = (await asyncio.wait_for(process.stdout.readline(), 60)).decode().strip()
        assert url.startswith("http://127.0.0.1:")
        async with ClientSession(url) as client:
            assert size_of(await still(client)) == (1280, 720)
    finally:
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 30) == 0
