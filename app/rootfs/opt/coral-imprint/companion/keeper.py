"""Keeps the server running: starts it, announces it, and starts it anew when it ends, hangs, or an Edge TPU comes."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
import logging
import socket
import time
from typing import Final

import aiohttp

from embedding.devices import Survey, survey

from .options import Options
from .server import Layout, ServerClient, ServerError, ServerProcess, command
from .supervisor import Announcement, SupervisorError, announce

_LOGGER = logging.getLogger(__name__)

WRONG_OPTIONS: Final = 2
"""The server's exit status where another try would end the same way."""
COMPILED_SUFFIX: Final = "_edgetpu"


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Seconds, and how often."""

    first_pause: float = 1.0
    """Before the server is started anew; twice as long after each that did not last."""
    longest_pause: float = 60.0
    lasted: float = 120.0
    """A server that ran this long ended for a new reason."""
    ready: float = 0.5
    """Between two looks whether the models are open."""
    announce: float = 30.0
    """Between two tries to announce."""
    watch: float = 10.0
    """Between two looks at the server's health and the devices."""
    strikes: int = 3
    """Looks in a row that must find the server hanging, or other devices, before it is started anew."""


@dataclass(frozen=True, kw_only=True)
class Supervisor:
    """Who is told."""

    token: str
    url: str
    host: str = ""
    """What this machine is called in the Supervisor's network; "" for what it calls itself."""


class Keeper:
    """Keeps one server running."""

    def __init__(
        self,
        layout: Layout,
        options: Options,
        token: str,
        supervisor: Supervisor | None,
        *,
        pace: Pace | None = None,
        look: Callable[[], Survey] = survey,
    ) -> None:
        """Take what to run and whom to tell.

        Args:
            layout: where things are.
            options: the user's.
            token: what requests must bring.
            supervisor: who is told; None where there is no Supervisor.
            pace: how patient to be.
            look: what finds the Edge TPUs; blocking.

        """
        self._layout = layout
        self._options = options
        self._token = token
        self._supervisor = supervisor
        self._pace = pace or Pace()
        self._look = look
        self.stopping = asyncio.Event()
        """Set to end `run`."""

    async def run(self) -> int:
        """Keep the server running until told to stop; returns the exit status: the server's own where it can't ever run."""
        pause = self._pace.first_pause
        async with aiohttp.ClientSession() as session:
            while not self.stopping.is_set():
                start = time.monotonic()
                status = await self._serve(session)
                if status == WRONG_OPTIONS:
                    return status
                if status is None:
                    continue
                if time.monotonic() - start > self._pace.lasted:
                    pause = self._pace.first_pause
                _LOGGER.warning("The server ended (%s), it is started anew in %.0f s", _why(status), pause)
                await self._sleep(pause)
                pause = min(2 * pause, self._pace.longest_pause)
        return 0

    async def _serve(self, session: aiohttp.ClientSession) -> int | None:
        """Run one server; returns its exit status, None where it was stopped from here."""
        devices = self._options.devices(await asyncio.to_thread(self._look))
        _LOGGER.info("Devices: %s", ", ".join(devices))
        server = await ServerProcess.start(command(self._layout, self._options, devices))
        async with AsyncExitStack() as stack:
            stack.push_async_callback(server.stop)
            ended = asyncio.create_task(server.wait())
            stopped = asyncio.create_task(self.stopping.wait())
            stack.callback(ended.cancel)
            stack.callback(stopped.cancel)
            listening = asyncio.create_task(server.listening())
            stack.callback(listening.cancel)
            await asyncio.wait((listening, stopped), return_when=asyncio.FIRST_COMPLETED)
            if listening.done() and (port := listening.result()) is not None:
                client = ServerClient(session, f"http://127.0.0.1:{port}", self._token)
                telling = asyncio.create_task(self._tell(session, client, devices, port))
                stack.callback(telling.cancel)
                watching = asyncio.create_task(self._watch(client, devices))
                stack.callback(watching.cancel)
                await asyncio.wait((ended, stopped, watching), return_when=asyncio.FIRST_COMPLETED)
            else:
                await asyncio.wait((ended, stopped), return_when=asyncio.FIRST_COMPLETED)
            return ended.result() if ended.done() and not stopped.done() else None

    async def _tell(
        self, session: aiohttp.ClientSession, client: ServerClient, devices: tuple[str, ...], port: int
    ) -> None:
        """Announce the server once its models are open, however often that takes."""
        models = await self._models(client)
        if len(devices) > 1 and not any(name.endswith(COMPILED_SUFFIX) for name in models):
            _LOGGER.warning(
                "There is an Edge TPU, but no model is served on it: it could not be opened, or another program uses it"
            )
        if self._supervisor is None:
            _LOGGER.info("There is no Supervisor to tell")
            return
        announcement = Announcement(self._supervisor.host or socket.gethostname(), port, self._token, models)
        while True:
            try:
                await announce(session, announcement, self._supervisor.token, self._supervisor.url)
            except SupervisorError as error:
                _LOGGER.warning("%s", error)
                await asyncio.sleep(self._pace.announce)
            else:
                _LOGGER.info("Home Assistant was told: %s", ", ".join(models))
                return

    async def _models(self, client: ServerClient) -> list[str]:
        """Return the names of the models once they are open."""
        while True:
            try:
                await client.check("ready")
                return await client.models()
            except ServerError as error:
                _LOGGER.debug("Not ready: %s", error)
                await asyncio.sleep(self._pace.ready)

    async def _watch(self, client: ServerClient, devices: tuple[str, ...]) -> None:
        """Return when the server hangs, when other devices are there than it was started on, or when one of its own is back.

        A device that is gone alone is no reason: the server notices, and others may be in use.
        """
        own = set(devices)
        hanging = missing = ready = 0
        lost = False
        while max(hanging, ready) < self._pace.strikes:
            await asyncio.sleep(self._pace.watch)
            try:
                await client.check("live")
                hanging = 0
            except ServerError as error:
                hanging += 1
                _LOGGER.warning("The server is not well: %s", error)
            there = set(self._options.devices(await asyncio.to_thread(self._look)))
            missing = missing + 1 if own - there else 0
            # Not after one look: the first use of a USB device makes it appear anew.
            lost = lost or missing >= self._pace.strikes
            ready = ready + 1 if there - own or (lost and not missing) else 0
        _LOGGER.warning("The server is started anew: %s", "an Edge TPU has come" if ready else "it hangs")

    async def _sleep(self, seconds: float) -> None:
        """Wait, or until told to stop."""
        try:
            async with asyncio.timeout(seconds):
                await self.stopping.wait()
        except TimeoutError:
            pass


def _why(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"status {status}"
