"""Downloads from a real server on this machine that does all that servers and connections do."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
import gzip
import logging
from pathlib import Path
import random

from homeassistant.core import HomeAssistant
import pytest

from custom_components.coral_imprint.core.embedding import DownloadError, DownloadNotStored, PublishedFile, WrongContent
from custom_components.coral_imprint.extractors import downloads
from custom_components.coral_imprint.extractors.downloads import ATTEMPTS, CHUNK, async_fetch
from tests.shell.file_server import NAME, FileServer, Request, cut, good, instead_of, status, whole

SMALL = b"TFL3 a network of 29 bytes.\r\n"
LARGE = random.Random(0).randbytes(4 * CHUNK + 777)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not let tests wait."""
    monkeypatch.setattr(downloads, "BACKOFF", 0.002)
    monkeypatch.setattr(downloads, "STALL_TIMEOUT", 0.4)
    monkeypatch.setattr(downloads, "REPORT_EVERY", 0)


@pytest.fixture
async def server(socket_enabled: None) -> AsyncIterator[FileServer]:
    """Return a server of the large file."""
    made = FileServer(LARGE)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def small(server: FileServer) -> FileServer:
    """Return the server with the small file."""
    server.content = SMALL
    return server


@pytest.fixture
def cache(hass: HomeAssistant) -> Path:
    """Return the folder of downloads."""
    return Path(hass.config.cache_path("coral_imprint"))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def begun(folder: Path, content: bytes, name: str = NAME) -> None:
    """Leave what an earlier download would have left."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.part").write_bytes(content)


async def fails(
    hass: HomeAssistant, server: FileServer, error: type[DownloadError], reason: str, file: PublishedFile | None = None
) -> None:
    """Let a download fail for a reason, then let it succeed: no failure may stand in the way of the next attempt."""
    file = file or server.published()
    cache = Path(hass.config.cache_path("coral_imprint"))
    with pytest.raises(error, match=reason) as caught:
        await async_fetch(hass, file)
    assert error is not DownloadError or not isinstance(caught.value, WrongContent | DownloadNotStored)
    assert caught.value.details == {
        "reason": str(caught.value),
        "file": NAME,
        "folder": hass.config.path("coral_imprint", "models"),
    }
    assert NAME not in names(cache)
    made = server.requests.copy()
    server.answer(good)
    path = await async_fetch(hass, file)
    assert path.read_bytes() == server.content
    assert names(cache) == [NAME]
    server.requests[:] = made


async def test_downloads_once(hass: HomeAssistant, server: FileServer, cache: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    file = server.published()
    assert await async_fetch(hass, file, lambda *progress: seen.append(progress)) == cache / NAME
    assert (cache / NAME).read_bytes() == LARGE
    assert names(cache) == [NAME]
    assert len(seen) > 1 and seen == sorted(seen)
    assert {total for _, total in seen} == {len(LARGE)} == {seen[-1][0]}
    assert await async_fetch(hass, file) == cache / NAME
    (request,) = server.requests
    assert (request.path, request.headers["accept-encoding"]) == (f"/{NAME}", "identity")
    assert "range" not in request.headers


async def test_takes_what_the_user_dropped_in(hass: HomeAssistant, server: FileServer) -> None:
    models = Path(hass.config.path("coral_imprint", "models"))
    models.mkdir(parents=True)
    (models / NAME).write_bytes(LARGE)
    assert await async_fetch(hass, server.published()) == models / NAME
    assert not server.requests


async def test_what_is_there_is_verified(
    hass: HomeAssistant, server: FileServer, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache.mkdir(parents=True)
    (cache / NAME).write_bytes(LARGE[:-1] + b"!")
    assert (await async_fetch(hass, server.published())).read_bytes() == LARGE
    assert len(server.requests) == 1
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [
        f"A file in {cache} is not used: {NAME} is not the published file: its SHA-256 is another one"
    ]


@pytest.mark.parametrize("known", [True, False])
async def test_interrupted_at_any_byte(hass: HomeAssistant, small: FileServer, cache: Path, known: bool) -> None:
    for end in range(len(SMALL)):
        file = small.published(known=known, name=f"{end}.tflite")
        small.answer(cut(end, read=True), good)
        assert (await async_fetch(hass, file, small.note)).read_bytes() == SMALL
        assert [request.start for request in small.requests] == [0, end], "only the rest is fetched"
        assert small.sent == len(SMALL)
    assert names(cache) == sorted(f"{end}.tflite" for end in range(len(SMALL)))


@pytest.mark.parametrize("abort", [False, True])
async def test_interrupted_anywhere(hass: HomeAssistant, server: FileServer, abort: bool) -> None:
    """A large file, interrupted around what is stored at a time; after a reset, what was under way is lost."""
    offsets = {
        1,
        CHUNK - 1,
        CHUNK,
        CHUNK + 1,
        3 * CHUNK,
        len(LARGE) - 1,
        *random.Random(1).sample(range(len(LARGE)), 8),
    }
    for end in sorted(offsets):
        file = server.published(name=f"{end}.tflite")
        server.answer(cut(end, abort=abort), good)
        assert (await async_fetch(hass, file)).read_bytes() == LARGE
        second = server.requests[1]
        assert second.start <= end
        assert second.sent == len(LARGE) - second.start


async def test_interrupted_again_and_again(hass: HomeAssistant, server: FileServer) -> None:
    """As long as each attempt brings something new, there may be more of them than may fail in a row."""
    server.content = LARGE * 2
    ends = range(CHUNK + 999, len(server.content), CHUNK + 999)
    server.answer(*(cut(end, read=True) for end in ends), good)
    assert (await async_fetch(hass, server.published(), server.note)).read_bytes() == server.content
    assert len(server.requests) > ATTEMPTS


async def test_gives_up_without_progress(hass: HomeAssistant, server: FileServer) -> None:
    server.answer(cut(1000))
    await fails(hass, server, DownloadError, "The connection broke off")
    assert len(server.requests) == ATTEMPTS


async def test_fetching_again_is_no_progress(hass: HomeAssistant, server: FileServer) -> None:
    """A server that never resumes and always breaks off is given up, however much it sends."""
    server.answer(whole(LARGE[: 3 * CHUNK], Content_Length=len(LARGE)))
    await fails(hass, server, DownloadError, "The connection broke off")
    assert len(server.requests) <= ATTEMPTS + 1


async def test_goes_on_after_a_restart(hass: HomeAssistant, server: FileServer, cache: Path) -> None:
    begun(cache, LARGE[:500_000])
    assert (await async_fetch(hass, server.published())).read_bytes() == LARGE
    assert [request.start for request in server.requests] == [500_000]


@pytest.mark.parametrize("known", [True, False])
async def test_complete_but_not_renamed(hass: HomeAssistant, server: FileServer, cache: Path, known: bool) -> None:
    """Where the size is known nothing is asked; else the server says that there is no more."""
    begun(cache, LARGE)
    assert (await async_fetch(hass, server.published(known=known))).read_bytes() == LARGE
    assert [request.start for request in server.requests] == ([] if known else [len(LARGE)])
    assert server.sent == 0


async def test_leftover_of_another_file(hass: HomeAssistant, server: FileServer, cache: Path) -> None:
    """What was begun with other content is fetched anew."""
    begun(cache, b"another version")
    assert (await async_fetch(hass, server.published())).read_bytes() == LARGE
    assert [request.start for request in server.requests] == [15, 0]


async def test_server_ignores_ranges(hass: HomeAssistant, server: FileServer, cache: Path) -> None:
    begun(cache, LARGE[:700_000])
    server.answer(whole(LARGE))
    assert (await async_fetch(hass, server.published())).read_bytes() == LARGE
    assert [request.start for request in server.requests] == [700_000]


@pytest.mark.parametrize("content_range", ["bytes 0-9/29", "bytes 11-28/29", "bytes */29", "items 10-28/29", None])
async def test_wrong_range(hass: HomeAssistant, small: FileServer, cache: Path, content_range: str | None) -> None:
    begun(cache, SMALL[:10])

    async def another_part(request: Request) -> None:
        headers = {"Content_Range": content_range} if content_range else {}
        await request.head(206, Content_Length=5, **headers)
        await request.body(b"wrong")

    small.answer(another_part, good)
    assert (await async_fetch(hass, small.published())).read_bytes() == SMALL
    assert [request.start for request in small.requests] == [10, 0]


async def test_answers_with_less_than_asked(hass: HomeAssistant, small: FileServer, cache: Path) -> None:
    """A server may send a part in parts."""
    begun(cache, SMALL[:5])

    async def piece(request: Request) -> None:
        start = request.start
        await request.head(206, Content_Length=9, Content_Range=f"bytes {start}-{start + 8}/*")
        await request.body(SMALL[start : start + 9])

    small.answer(piece, piece, good)
    assert (await async_fetch(hass, small.published())).read_bytes() == SMALL
    assert [request.start for request in small.requests] == [5, 14, 23]


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(
    "wrong", [SMALL[:-1] + b"?", SMALL + b"?", SMALL[:-1], b"<html>Log in to the hotel's network</html>"]
)
async def test_wrong_content(hass: HomeAssistant, small: FileServer, wrong: bytes, known: bool) -> None:
    file = small.published(known=known)
    small.answer(instead_of(good, wrong), good)
    assert (await async_fetch(hass, file)).read_bytes() == SMALL
    (Path(hass.config.cache_path("coral_imprint")) / NAME).unlink()
    small.answer(instead_of(good, wrong))
    await fails(hass, small, WrongContent, "is not the published file", file)
    assert len(small.requests) <= 4, "what is wrong twice is wrong"


@pytest.mark.parametrize(
    ("known", "error", "reason"),
    [(True, DownloadError, "The server sent 0 of 29 bytes"), (False, WrongContent, "nothing was received")],
)
async def test_nothing_comes(
    hass: HomeAssistant, small: FileServer, known: bool, error: type[DownloadError], reason: str
) -> None:
    small.answer(whole(b""))
    await fails(hass, small, error, reason, small.published(known=known))


@pytest.mark.parametrize("known", [True, False])
async def test_endless(hass: HomeAssistant, server: FileServer, known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = "custom_components.coral_imprint.core.embedding.published.download.LARGEST_MODEL"
    monkeypatch.setattr(limit, len(LARGE))

    async def endless(request: Request) -> None:
        await request.head(200)
        while True:
            await request.body(bytes(1 << 16))

    server.answer(endless)
    await fails(hass, server, WrongContent, f"more than {len(LARGE)} bytes", server.published(known=known))
    assert 2 <= len(server.requests) <= 4, "what is wrong twice is wrong; a connection may break on the way"
    assert server.sent < 4 * len(LARGE) + (16 << 20), "not read beyond what the connection itself holds"


@pytest.mark.parametrize("code", [401, 403, 404, 410])
async def test_refused(hass: HomeAssistant, small: FileServer, code: int) -> None:
    small.answer(status(code))
    await fails(hass, small, DownloadError, f"^The server answered HTTP {code}$")
    assert len(small.requests) == 1


@pytest.mark.parametrize("code", [408, 429, 500, 502, 503])
async def test_busy(hass: HomeAssistant, small: FileServer, code: int, caplog: pytest.LogCaptureFixture) -> None:
    small.answer(status(code), status(code), good)
    assert (await async_fetch(hass, small.published())).read_bytes() == SMALL
    assert len(small.requests) == 3
    ours = [record for record in caplog.records if record.name == downloads.__name__ and record.levelno > logging.DEBUG]
    assert [record.getMessage() for record in ours] == [f"Downloading {NAME}"]


async def test_always_busy(hass: HomeAssistant, small: FileServer) -> None:
    small.answer(status(503))
    await fails(hass, small, DownloadError, "HTTP 503")
    assert len(small.requests) == ATTEMPTS


async def test_trickle(hass: HomeAssistant, small: FileServer) -> None:
    """As long as something comes, it may take as long as it takes."""

    async def trickle(request: Request) -> None:
        await request.head(200, Content_Length=len(SMALL))
        for at in range(len(SMALL)):
            await request.body(SMALL[at : at + 1])
            await asyncio.sleep(0.02)

    small.answer(trickle)
    begin = hass.loop.time()
    assert (await async_fetch(hass, small.published())).read_bytes() == SMALL
    assert hass.loop.time() - begin > downloads.STALL_TIMEOUT
    assert len(small.requests) == 1


@pytest.mark.parametrize("headers_come", [True, False])
async def test_stall(
    hass: HomeAssistant, small: FileServer, headers_come: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "STALL_TIMEOUT", 0.2)

    async def stall(request: Request) -> None:
        if headers_come:
            await cut(10)(request)
        await asyncio.sleep(60)

    small.answer(stall, good)
    assert (await async_fetch(hass, small.published())).read_bytes() == SMALL
    assert [request.start for request in small.requests] == [0, 10 if headers_come else 0]
    (Path(hass.config.cache_path("coral_imprint")) / NAME).unlink()
    small.answer(stall)
    await fails(hass, small, DownloadError, "The server sent nothing for 0.2 seconds")
    assert len(small.requests) == ATTEMPTS


async def test_no_connection(hass: HomeAssistant, small: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that leaves the encrypted connection half made."""
    monkeypatch.setattr(downloads, "CONNECT_TIMEOUT", 0.1)
    file = replace(small.published(), url=small.url.replace("http:", "https:"))
    with pytest.raises(DownloadError, match=r"The server did not answer within 0\.1 seconds"):
        await async_fetch(hass, file)


async def test_nobody_listens(hass: HomeAssistant, small: FileServer, cache: Path) -> None:
    file = small.published()
    await small.stop()
    with pytest.raises(DownloadError, match=r"127\.0\.0\.1"):
        await async_fetch(hass, file)
    await small.start()
    assert (await async_fetch(hass, file)).read_bytes() == SMALL
    assert names(cache) == [NAME]


async def test_redirect(hass: HomeAssistant, small: FileServer, cache: Path) -> None:
    begun(cache, SMALL[:10])
    small.answer(status(302, Location=f"{small.url}elsewhere"), good)
    assert (await async_fetch(hass, small.published())).read_bytes() == SMALL
    assert [(request.path, request.start) for request in small.requests] == [(f"/{NAME}", 10), ("/elsewhere", 10)]


async def test_compressed_although_not_asked_for(hass: HomeAssistant, small: FileServer, cache: Path) -> None:
    """Positions in compressed bytes mean nothing: such an answer is taken whole or not at all."""
    packed = gzip.compress(SMALL)

    async def rest(request: Request) -> None:
        content_range = f"bytes {request.start}-{len(packed) - 1}/{len(packed)}"
        await request.head(206, Content_Length=9, Content_Encoding="gzip", Content_Range=content_range)
        await request.body(packed[-9:])

    for known in (True, False):
        file = small.published(known=known, name=f"{known}.tflite")
        begun(cache, SMALL[:10], file.name)
        small.answer(rest, whole(packed, Content_Encoding="gzip"))
        assert (await async_fetch(hass, file)).read_bytes() == SMALL
        assert [request.start for request in small.requests] == [10, 0]


@pytest.mark.parametrize(("announced", "requests"), [(len(SMALL) + 100, 1), (len(SMALL) - 9, 2)])
async def test_length_is_a_lie(hass: HomeAssistant, small: FileServer, announced: int, requests: int) -> None:
    small.answer(whole(SMALL, Content_Length=announced), good)
    assert (await async_fetch(hass, small.published())).read_bytes() == SMALL
    assert len(small.requests) == requests


async def test_length_is_not_told(hass: HomeAssistant, small: FileServer) -> None:
    """Where neither the server nor the catalogue knows the size, the end of the connection is the end of the file."""

    async def bare(request: Request) -> None:
        await request.head(200)
        await request.body(SMALL)

    seen: list[int | None] = []
    small.answer(bare)
    file = small.published(known=False)
    assert (await async_fetch(hass, file, lambda _, total: seen.append(total))).read_bytes() == SMALL
    assert set(seen) == {None}
