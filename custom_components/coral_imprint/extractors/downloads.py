"""Fetches published files from the network: once, whatever the connection does, however many ask.

Nothing that a server says about a file is believed: `PublishedFile` knows it better, and verifies it.
"""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
import logging
from pathlib import Path
import random
import re

from aiohttp import ClientError, ClientPayloadError, ClientResponse, ClientTimeout, ConnectionTimeoutError, hdrs
from homeassistant.core import HomeAssistant
from homeassistant.helpers.aiohttp_client import async_get_clientsession
from homeassistant.util.hass_dict import HassKey

from ..const import DOMAIN
from ..core.embedding import DownloadError, Partial, PublishedFile, WrongContent, find_file
from ..settings import cache_folder, models_folder

_LOGGER = logging.getLogger(__name__)

_RUNNING: HassKey[dict[str, _Download]] = HassKey(f"{DOMAIN}_downloads")
"""The downloads under way, by name of file."""

CONNECT_TIMEOUT = 15.0
"""Seconds until a connection has to be there."""
STALL_TIMEOUT = 30.0
"""Seconds that a server may send nothing."""
ATTEMPTS = 5
"""Attempts in a row that may bring nothing new."""
BACKOFF = 1.0
"""Seconds before the second attempt, on average; doubled before each further one."""
LONGEST_BACKOFF = 30.0
WRONG_CONTENTS = 2
"""How often the content may be wrong: what was resumed may have been begun with another file, what is fetched anew not."""
CHUNK = 1 << 18
"""Bytes that are collected before they go to the disk, and what counts as something new."""
REPORT_EVERY = 0.25
"""Seconds between two reports of progress."""

type Listener = Callable[[int, int | None], None]
"""Takes the bytes that are there and those expected in all, None where that is not known."""

_PASSING = frozenset(
    {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
    | {status for status in HTTPStatus if status.is_server_error}
)
"""Answers after which another attempt is worth its while."""
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)", re.ASCII)


class _MayPass(DownloadError):
    """Something that another attempt may overcome."""


async def async_fetch(hass: HomeAssistant, file: PublishedFile, on_progress: Listener | None = None) -> Path:
    """Return the path of a published file, verified; download it unless it is there.

    It is looked for in the user's folder of models and in Home Assistant's cache folder, and downloaded into the latter. Whoever
    asks for a file that is being downloaded waits for the same download. It ends when the last of them is cancelled; what
    has arrived is kept, and the next download goes on from there.

    Raises DownloadError (WrongContent, DownloadNotStored). Its details tell the ``reason``, the ``file`` and the ``folder`` where
    the user may put the file by hand.
    """
    running = hass.data.setdefault(_RUNNING, {})
    # By name, for that is what two downloads would both write. One that was cancelled may still be busy with the disk.
    while (download := running.get(file.name)) and (download.cancelled or download.file != file):
        await asyncio.wait({download.task})
    if download is None:
        download = running[file.name] = _Download(hass, file)
        download.task.add_done_callback(lambda task: _forget(running, file.name, task))
    return await download.async_wait(on_progress)


def _forget(running: dict[str, _Download], name: str, task: asyncio.Task[Path]) -> None:
    del running[name]
    if not task.cancelled():
        # Nobody may be left to ask for it.
        task.exception()


class _Download:
    """One file on its way, and all who wait for it."""

    def __init__(self, hass: HomeAssistant, file: PublishedFile) -> None:
        """Begin."""
        self.file = file
        self.cancelled = False
        self._hass = hass
        self._waiting = 0
        self._listeners: list[Listener] = []
        self._total = file.size
        self._report_at = 0.0
        # In the background: Home Assistant's start does not wait for it, its end cancels it.
        self.task = hass.async_create_background_task(self._async_run(), f"{DOMAIN} download {file.name}")

    async def async_wait(self, on_progress: Listener | None) -> Path:
        """Wait for the file with the others, if there are any; return its path. Raises DownloadError."""
        self._waiting += 1
        if on_progress:
            self._listeners.append(on_progress)
        try:
            await asyncio.wait({self.task})
        finally:
            self._waiting -= 1
            if on_progress:
                self._listeners.remove(on_progress)
            if not self._waiting and not self.task.done():
                self.cancelled = True
                self.task.cancel()
        if self.task.cancelled():
            raise self._explained(DownloadError("Home Assistant is stopping"))
        return self.task.result()

    async def _async_run(self) -> Path:
        cache = cache_folder(self._hass)
        try:
            if path := await self._async_on_disk(find_file, self.file, (models_folder(self._hass), cache)):
                return path
            _LOGGER.info("Downloading %s", self.file.name)
            part = await self._async_on_disk(Partial, self.file, cache)
            return await self._async_download(part)
        except DownloadError as err:
            self._explained(err)
            raise

    async def _async_download(self, part: Partial) -> Path:
        """Attempt it until it is there, or no longer promising."""
        wrong = fruitless = 0
        furthest = part.size
        while True:
            try:
                await self._async_attempt(part)
                size = part.size
                path: Path = await self._async_on_disk(part.finish)
            except WrongContent:
                wrong += 1
                if wrong == WRONG_CONTENTS:
                    raise
                fruitless = furthest = 0
            except _MayPass as err:
                # Fetching again what a server would not resume is nothing new.
                fruitless = 1 if part.size >= furthest + CHUNK else fruitless + 1
                furthest = max(furthest, part.size)
                if fruitless >= ATTEMPTS:
                    raise
                _LOGGER.debug("The download of %s was interrupted at %d bytes: %s", self.file.name, part.size, err)
            else:
                self._report_at = 0
                self._report(size)
                return path
            delay = min(LONGEST_BACKOFF, BACKOFF * 2 ** max(0, fruitless - 1))
            await asyncio.sleep(delay * random.uniform(0.5, 1.5))

    async def _async_attempt(self, part: Partial) -> None:
        """Ask for what is missing and store it. Raises _MayPass where that did not get all of it."""
        if self.file.size is not None and part.size == self.file.size:
            return
        # Compressed, positions in the answer would not be those in the file.
        headers = {hdrs.ACCEPT_ENCODING: "identity"}
        if part.size:
            headers[hdrs.RANGE] = f"bytes={part.size}-"
        timeout = ClientTimeout(total=None, connect=CONNECT_TIMEOUT, sock_read=STALL_TIMEOUT)
        session = async_get_clientsession(self._hass)
        try:
            async with session.get(self.file.url, headers=headers, timeout=timeout) as response:
                if part.size and response.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                    # The server has no more than this. Whether that is all will show.
                    return
                await self._async_accept(response, part)
                await self._async_receive(response, part)
        except (ClientError, TimeoutError) as err:
            raise _MayPass(_reason(err)) from err
        if self._total is not None and part.size < self._total:
            raise _MayPass(f"The server sent {part.size} of {self._total} bytes")

    async def _async_accept(self, response: ClientResponse, part: Partial) -> None:
        """Make sure that what follows belongs where the part ends; start over where it is the whole file."""
        encoded = response.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity"
        if response.status == HTTPStatus.PARTIAL_CONTENT:
            found = _CONTENT_RANGE.fullmatch(response.headers.get(hdrs.CONTENT_RANGE, "").strip())
            if encoded or not found or int(found[1]) != part.size:
                await self._async_on_disk(part.restart)
                raise _MayPass("The server sent another part of the file than it was asked for")
            announced = None if found[2] == "*" else int(found[2])
        elif response.status == HTTPStatus.OK:
            await self._async_on_disk(part.restart)
            announced = None if encoded else response.content_length
        else:
            kind = _MayPass if response.status in _PASSING else DownloadError
            raise kind(f"The server answered HTTP {response.status}")
        self._total = announced if self.file.size is None else self.file.size

    async def _async_receive(self, response: ClientResponse, part: Partial) -> None:
        """Store an answer's body as it comes; whatever ends it, what has come is stored."""
        buffer = bytearray()
        try:
            async for data in response.content.iter_any():
                buffer += data
                self._report(part.size + len(buffer))
                if len(buffer) >= CHUNK:
                    full, buffer = bytes(buffer), bytearray()
                    await self._async_on_disk(part.append, full)
        finally:
            if buffer:
                await self._async_on_disk(part.append, bytes(buffer))

    def _report(self, received: int) -> None:
        now = self._hass.loop.time()
        if now >= self._report_at:
            self._report_at = now + REPORT_EVERY
            for listener in tuple(self._listeners):
                listener(received, self._total)

    async def _async_on_disk[*ArgsT, ResultT](self, work: Callable[[*ArgsT], ResultT], *args: *ArgsT) -> ResultT:
        """Do blocking work in a thread. It is waited for even when cancelled: no two threads may write one part."""
        job = self._hass.async_add_executor_job(work, *args)
        try:
            await asyncio.wait({job})
        except asyncio.CancelledError:
            await asyncio.wait({job})
            job.exception()
            raise
        return job.result()

    def _explained(self, err: DownloadError) -> DownloadError:
        """Add to an error what helps the user to help themselves."""
        err.details |= {"file": self.file.name, "folder": str(models_folder(self._hass))}
        return err


def _reason(err: ClientError | TimeoutError) -> str:
    """Return what went wrong on the network, in words; aiohttp's own are sometimes none."""
    if isinstance(err, ConnectionTimeoutError):
        return f"The server did not answer within {CONNECT_TIMEOUT:g} seconds"
    if isinstance(err, TimeoutError):
        return f"The server sent nothing for {STALL_TIMEOUT:g} seconds"
    if isinstance(err, ClientPayloadError):
        return "The connection broke off"
    return str(err) or type(err).__name__
