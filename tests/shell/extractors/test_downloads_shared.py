"""Downloads: who waits for them, who ends them, where they work, and disks that are full."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
import os
from pathlib import Path
import random
import resource
import subprocess
import threading
from typing import Any

from homeassistant.core import HomeAssistant
import pytest

from custom_components.coral_imprint.core.embedding import DownloadError, DownloadNotStored
from custom_components.coral_imprint.extractors import downloads
from custom_components.coral_imprint.extractors.downloads import CHUNK, async_fetch
from tests.shell.file_server import NAME, FileServer, Request, cut, good, instead_of, status

CONTENT = random.Random(0).randbytes(4 * CHUNK + 777)
HALF = len(CONTENT) // 2


@pytest.fixture
async def server(socket_enabled: None, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FileServer]:
    """Return a server, and do not let tests wait for other attempts."""
    monkeypatch.setattr(downloads, "BACKOFF", 0.002)
    monkeypatch.setattr(downloads, "REPORT_EVERY", 0)
    made = FileServer(CONTENT)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
def cache(hass: HomeAssistant) -> Path:
    """Return the folder of downloads."""
    return Path(hass.config.cache_path("coral_imprint"))


class Pause:
    """An answer that stops in the middle, once the half was read (see `cut`), until it may go on."""

    def __init__(self) -> None:
        """Be ready."""
        self.reached = asyncio.Event()
        self.go_on = asyncio.Event()

    async def __call__(self, request: Request) -> None:
        """Send a half, the end of it for itself, so that it is less than is stored at a time; wait; send the other."""
        await cut(HALF - 1000, read=True)(request)
        await request.body(CONTENT[HALF - 1000 : HALF])
        while request.server.received < HALF:
            await asyncio.sleep(0.001)
        self.reached.set()
        await self.go_on.wait()
        await request.body(CONTENT[HALF:])


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def stopped(task: asyncio.Task[Any]) -> None:
    """Cancel a task and wait for it."""
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_all_callers_share_a_download(hass: HomeAssistant, server: FileServer) -> None:
    pause = Pause()
    server.answer(pause)
    seen: dict[int, list[int]] = {0: [], 1: [], 2: []}

    def fetch(number: int) -> asyncio.Task[Path]:
        def listener(received: int, total: int | None) -> None:
            seen[number].append(received)
            server.note(received, total)

        return hass.async_create_task(async_fetch(hass, server.published(), None if number == 2 else listener))

    first = fetch(0)
    await pause.reached.wait()
    others = [fetch(1), fetch(2)]
    await asyncio.sleep(0)
    pause.go_on.set()
    assert len({await task for task in (first, *others)}) == 1
    assert len(server.requests) == 1
    assert seen[0][-1] == seen[1][-1] == len(CONTENT)
    assert min(seen[1]) > min(seen[0]), "the second joined later"


async def test_all_callers_share_a_failure(hass: HomeAssistant, server: FileServer) -> None:
    server.answer(status(404))
    results = await asyncio.gather(*(async_fetch(hass, server.published()) for _ in range(3)), return_exceptions=True)
    assert [str(result) for result in results] == ["The server answered HTTP 404"] * 3
    assert len(server.requests) == 1


async def test_a_caller_that_leaves_stops_nothing(hass: HomeAssistant, server: FileServer) -> None:
    pause = Pause()
    server.answer(pause)
    leaving = hass.async_create_task(async_fetch(hass, server.published(), server.note))
    staying = hass.async_create_task(async_fetch(hass, server.published()))
    await pause.reached.wait()
    await stopped(leaving)
    pause.go_on.set()
    assert (await staying).read_bytes() == CONTENT
    assert len(server.requests) == 1


async def test_the_last_that_leaves_stops_it(hass: HomeAssistant, server: FileServer, cache: Path) -> None:
    """What had come is kept. Whoever comes back at once waits for the end of the old download and goes on from there."""
    pause = Pause()
    server.answer(pause, good)
    tasks = [hass.async_create_task(async_fetch(hass, server.published(), server.note)) for _ in range(2)]
    await pause.reached.wait()
    for task in tasks:
        await stopped(task)
    again = hass.async_create_task(async_fetch(hass, server.published()))
    assert (await again).read_bytes() == CONTENT
    assert [request.start for request in server.requests] == [0, HALF]
    assert names(cache) == [NAME]


async def test_cancelled_at_any_moment(hass: HomeAssistant, server: FileServer, cache: Path) -> None:
    """Wherever a download is cut off, the next ones get there."""
    draw = random.Random(2)
    for number in range(40):
        file = server.published(name=f"{number}.tflite")
        task = hass.async_create_task(async_fetch(hass, file))
        for _ in range(draw.randrange(60)):
            await asyncio.sleep(0)
        await asyncio.sleep(draw.choice((0, 0, 0.001, 0.005)))
        task.cancel()
        if number % 4:
            await asyncio.gather(task, return_exceptions=True)
        # Else, another caller comes before the first one has left.
        assert (await async_fetch(hass, file)).read_bytes() == CONTENT
    assert not [name for name in names(cache) if not name.endswith(".tflite")]


async def test_ends_with_home_assistant(hass: HomeAssistant, server: FileServer, cache: Path) -> None:
    pause = Pause()
    server.answer(pause)
    # A flow waits like this: in nothing that Home Assistant would cancel itself.
    waiting = asyncio.ensure_future(async_fetch(hass, server.published(), server.note))
    await pause.reached.wait()
    await hass.async_stop(force=True)
    with pytest.raises(DownloadError, match="Home Assistant is stopping"):
        await waiting
    assert names(cache) == [f"{NAME}.part"]
    assert (cache / f"{NAME}.part").read_bytes() == CONTENT[:HALF]


async def test_another_file_of_the_same_name_waits(hass: HomeAssistant, server: FileServer) -> None:
    """Two downloads never write the same part, and nobody gets what they didn't ask for."""
    pause = Pause()
    file = server.published()
    server.content = CONTENT[::-1]
    other = server.published()
    server.answer(instead_of(pause, CONTENT), good)
    first = hass.async_create_task(async_fetch(hass, file, server.note))
    await pause.reached.wait()
    second = hass.async_create_task(async_fetch(hass, other))
    await asyncio.sleep(0.01)
    assert len(server.requests) == 1
    pause.go_on.set()
    await first
    assert (await second).read_bytes() == CONTENT[::-1]
    assert [request.start for request in server.requests] == [0, 0]


async def test_nothing_on_the_disk_from_the_loop(
    hass: HomeAssistant, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: dict[str, set[int]] = {}

    def watched(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **kwargs: Any) -> Any:
            taken.setdefault(name, set()).add(threading.get_ident())
            return real(*args, **kwargs)

        return step

    for name in ("open", "pwrite", "fsync", "fstat"):
        monkeypatch.setattr(os, name, watched(name, getattr(os, name)))
    for name in ("replace", "unlink", "mkdir"):
        monkeypatch.setattr(Path, name, watched(name, getattr(Path, name)))
    server.answer(cut(HALF), good)
    await async_fetch(hass, server.published())
    assert taken.keys() >= {"open", "pwrite", "fsync", "fstat", "replace", "mkdir"}
    assert threading.get_ident() not in set().union(*taken.values())


async def test_system_takes_no_more(hass: HomeAssistant, server: FileServer, cache: Path) -> None:
    """A real limit of the kernel's. Once it is lifted the download goes on where it stopped, without a restart."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3 * CHUNK - 5, before[1]))
    try:
        with pytest.raises(DownloadNotStored, match=rf"^{NAME}: File too large$") as caught:
            await async_fetch(hass, server.published())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.details["folder"] == hass.config.path("coral_imprint", "models")
    assert names(cache) == [f"{NAME}.part"]
    assert len(server.requests) == 1, "another attempt would not help"
    assert (await async_fetch(hass, server.published())).read_bytes() == CONTENT
    assert [request.start for request in server.requests] == [0, 3 * CHUNK - 5]


class SmallDisk:
    """A disk of its own for a folder."""

    def __init__(self, folder: Path) -> None:
        """Take the folder that it is for."""
        self.folder = folder

    def mount(self, options: str) -> bool:
        """Mount it, or change its size; return whether that worked."""
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.folder)]
        return subprocess.run(command, check=False, capture_output=True).returncode == 0

    def unmount(self) -> None:
        """Take it away."""
        subprocess.run(["umount", str(self.folder)], check=True)


@pytest.fixture
def small_disk(cache: Path) -> Iterator[SmallDisk]:
    """Return a disk of 512 KiB, mounted where downloads go."""
    cache.mkdir(parents=True)
    disk = SmallDisk(cache)
    if not disk.mount("size=512k"):
        pytest.skip("mounting a small disk needs the rights of an administrator")
    yield disk
    disk.unmount()


async def test_full_disk(hass: HomeAssistant, server: FileServer, cache: Path, small_disk: SmallDisk) -> None:
    with pytest.raises(DownloadNotStored, match=rf"^{NAME}: No space left on device$"):
        await async_fetch(hass, server.published())
    assert names(cache) == [f"{NAME}.part"]
    assert small_disk.mount("remount,size=4m")
    assert (await async_fetch(hass, server.published())).read_bytes() == CONTENT
    assert [request.start for request in server.requests] == [0, 512 * 1024]
    assert names(cache) == [NAME]


async def test_file_in_place_of_the_folder(hass: HomeAssistant, server: FileServer, cache: Path) -> None:
    """Told by the file's name, and no request is made."""
    cache.parent.mkdir(parents=True, exist_ok=True)
    cache.write_text("in the way")
    with pytest.raises(DownloadNotStored, match=NAME) as caught:
        await async_fetch(hass, server.published())
    assert str(cache) not in caught.value.details["reason"]
    assert not server.requests
    cache.unlink()
    assert (await async_fetch(hass, server.published())).read_bytes() == CONTENT
