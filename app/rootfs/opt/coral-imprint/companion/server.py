"""The inference server as the app's child process, and what is asked of it."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
import json
import logging
import os
from pathlib import Path
import sys
from typing import Any, Final, Self
import urllib.parse

import aiohttp

from .options import Options

_LOGGER = logging.getLogger(__name__)

SUPERVISORS_VARIABLE: Final = "SUPERVISOR_TOKEN"
"""The variable in which the Supervisor leaves an app's token for its API."""
STOP_SECONDS: Final = 8.0
"""How long the server has to end: Docker gives the whole app ten."""
_TIMEOUT: Final = aiohttp.ClientTimeout(total=5)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where things are; the defaults are the image's."""

    options: Path = Path("/data/options.json")
    token: Path = Path("/data/token")
    own_models: Path = Path("/usr/share/coral-imprint/models")
    """Those that came with the image."""
    data_models: Path = Path("/data/models")
    host: str = "0.0.0.0"  # noqa: S104 - the container's network; requests need the token
    port: int = 8000
    supervisor: str = "http://supervisor"

    def models(self, options: Options) -> tuple[Path, ...]:
        """Return the folders of models that there are. The user's come first: of one name, the first is served."""
        return tuple(path for path in (options.models, self.data_models, self.own_models) if path.is_dir())


def command(layout: Layout, options: Options, devices: Sequence[str]) -> list[str]:
    """Return the command that starts the server on devices."""
    words = [sys.executable, "-m", "embedding.server", "--parent-pipe"]
    words += ["--host", layout.host, "--port", str(layout.port), "--token-file", str(layout.token)]
    words += ["--threads", str(options.threads), "--queue", str(options.queue), "--log-level", options.log_level]
    for folder in layout.models(options):
        words += ["--models", str(folder)]
    for device in devices:
        words += ["--device", device]
    return words


class ServerProcess:
    """A running server. It ends when this process does, however that ends: its standard input is a pipe from here."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        """Take the process, its standard input and output being pipes."""
        self._process = process

    @classmethod
    async def start(cls, words: Sequence[str]) -> Self:
        """Start a command. What it logs goes where this process logs."""
        pipe = asyncio.subprocess.PIPE
        # The server has no business with the Supervisor.
        environment = {key: value for key, value in os.environ.items() if key != SUPERVISORS_VARIABLE}
        return cls(await asyncio.create_subprocess_exec(*words, stdin=pipe, stdout=pipe, env=environment))

    async def listening(self) -> int | None:
        """Return the port at which the server listens; None where it ended before it did."""
        if self._process.stdout is None:
            raise AssertionError("the standard output is a pipe")
        line = await self._process.stdout.readline()
        try:
            address = str(json.loads(line)["listening"][0])
            return urllib.parse.urlsplit(address).port
        except (ValueError, KeyError, IndexError, TypeError):
            return None

    async def wait(self) -> int:
        """Wait until the server has ended; returns its exit status, below zero where a signal ended it."""
        return await self._process.wait()

    async def stop(self) -> None:
        """Ask the server to end, and end it where it doesn't."""
        if self._process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._process.wait()
        except TimeoutError:
            _LOGGER.warning("The server does not end: killed")
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()


class ServerError(Exception):
    """The server does not answer as it should."""


class ServerClient:
    """Asks the server by the Open Inference Protocol."""

    def __init__(self, session: aiohttp.ClientSession, url: str, token: str) -> None:
        """Take what to ask with, the server's address, and the token."""
        self._session = session
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"}

    async def check(self, state: str) -> None:
        """Ask for the server's health, ``live`` or ``ready``. Raises ServerError where it is not."""
        await self._ask("GET", f"/v2/health/{state}")

    async def models(self) -> list[str]:
        """Return the names of the models that are served. Raises ServerError."""
        answer = await self._ask("POST", "/v2/repository/index")
        if not isinstance(answer, list):
            raise ServerError("the list of models is none")
        return [str(row["name"]) for row in answer if isinstance(row, dict) and "name" in row]

    async def _ask(self, method: str, path: str) -> Any:
        try:
            async with self._session.request(
                method, self._url + path, headers=self._headers, timeout=_TIMEOUT
            ) as response:
                answer = await response.json(content_type=None)
                if response.status != 200:
                    raise ServerError(f"{path}: {response.status} {answer}")
                return answer
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise ServerError(f"{path}: {error or type(error).__name__}") from error
