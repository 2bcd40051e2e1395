"""A real Home Assistant in a throw-away folder, with the integration of this checkout in it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
import json
import os
from pathlib import Path
import shutil
import signal
import socket
import sys
import time

import aiohttp

ROOT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"

CONFIGURATION = """\
homeassistant:
  name: Driveway
  latitude: 52.0
  longitude: 5.0
  elevation: 0
  unit_system: metric
  time_zone: UTC
  country: NL
  currency: EUR
  internal_url: "http://{host}:{port}"
frontend:
recorder:
  commit_interval: 1
history:
logger:
  default: warning
  logs:
    homeassistant.bootstrap: info
    custom_components.coral_imprint: info
"""


class HomeError(RuntimeError):
    """Home Assistant did not start, or ended by itself."""


class Home:
    """One Home Assistant in its folder, and the process that it is at present."""

    process: asyncio.subprocess.Process

    def __init__(self, config: Path, port: int, python: Path, extra_environment: Mapping[str, str]) -> None:
        """Take what it is started with."""
        self.config = config
        self.url = f"http://{HOST}:{port}"
        self._python = python
        self._extra_environment = extra_environment
        self._logged = 0
        """Where in the log the present process began."""

    @property
    def log(self) -> Path:
        """What its processes print, one after the other."""
        return self.config / "console.log"

    def memory(self) -> float:
        """Return the resident memory in MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024

    def said(self) -> str:
        """Return what the present process has printed."""
        with self.log.open("rb") as log:
            log.seek(self._logged)
            return log.read().decode(errors="replace")

    async def start(self, timeout: float = 600) -> None:
        """Start the process, and wait until everything is set up. Raises HomeError."""
        command = [str(self._python), "-m", "homeassistant", "-c", str(self.config), "--log-no-color"]
        with self.log.open("ab") as console:
            self._logged = console.tell()
            self.process = await asyncio.create_subprocess_exec(
                *command,
                cwd=self.config,
                env={**_environment(self._python), **self._extra_environment},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=console,
                stderr=console,
            )
        await self.wait(timeout)

    async def wait(self, timeout: float) -> None:
        """Wait until everything is set up. Raises HomeError."""
        end = time.monotonic() + timeout
        async with aiohttp.ClientSession() as session:
            while time.monotonic() < end:
                if self.process.returncode is not None:
                    raise HomeError(f"Home Assistant ended with {self.process.returncode}; see {self.log}")
                if "Home Assistant initialized in" in self.said():
                    try:
                        async with session.get(self.url) as response:
                            if response.status == 200:
                                return
                    except aiohttp.ClientError:
                        pass
                await asyncio.sleep(0.1)
        raise HomeError(f"Home Assistant did not start within {timeout:.0f} s; see {self.log}")

    async def kill(self) -> None:
        """End the process at once, as a power cut would."""
        self.process.kill()
        await self.process.wait()

    async def stop(self) -> None:
        """End this process, politely if it lets us."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(self.process.wait(), 60)
            except TimeoutError:
                self.process.kill()
                await self.process.wait()


def free_port(wanted: int = 0) -> int:
    """Return the wanted port of this machine if it is free, else another one."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise HomeError("no free port")


def _seed(config: Path, key: str, version: int, minor_version: int, data: object) -> None:
    """Write one of Home Assistant's own stores."""
    store = {"version": version, "minor_version": minor_version, "key": key, "data": data}
    (config / ".storage" / key).write_text(json.dumps(store))


def _prepare(config: Path, port: int, extra: str) -> None:
    """Make a new configuration folder with this checkout's integration in it."""
    if config.exists():
        shutil.rmtree(config)
    (config / ".storage").mkdir(parents=True)
    (config / "custom_components").mkdir()
    (config / "custom_components" / "coral_imprint").symlink_to(ROOT / "custom_components" / "coral_imprint")
    (config / "configuration.yaml").write_text(CONFIGURATION.format(host=HOST, port=port) + extra)
    # The address in YAML would have to be confirmed in the UI within five minutes; stored, it holds.
    _seed(config, "http", 1, 1, {"server_host": [HOST], "server_port": port, "ip_ban_enabled": False})
    # Nothing of a demo belongs on the network.
    _seed(config, "core.network", 1, 1, {"configured_adapters": ["lo"]})
    # This step of the onboarding would add integrations that need the internet.
    _seed(config, "onboarding", 4, 1, {"done": ["core_config"]})


def _environment(python: Path) -> dict[str, str]:
    """Return the process's environment."""
    env = os.environ | {"PYTHONUNBUFFERED": "1", "UV_LINK_MODE": "copy"}
    # A relocated Python needs to be told where its headers are when a requirement has to be compiled.
    env["CPATH"] = str(Path(sys.base_prefix) / "include")
    env["PATH"] = f"{python.parent}{os.pathsep}{env['PATH']}"
    # Home Assistant installs what integrations require into its own environment, not into the one this was called from.
    for name in ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV"):
        env.pop(name, None)
    return env


@asynccontextmanager
async def running_home(
    config: Path,
    port: int = 0,
    *,
    extra: str = "",
    prepared: Callable[[Path], None] | None = None,
    python: Path = Path(sys.executable),
    extra_environment: Mapping[str, str] | None = None,
) -> AsyncIterator[Home]:
    """Start a new Home Assistant, wait until it is set up, stop it in the end.

    ``extra`` is more YAML, ``prepared`` is called with the folder before the start, ``python`` is that of an environment with
    Home Assistant in it, ``extra_environment`` are more variables of the process.
    Raises HomeError.
    """
    port = free_port(port)
    _prepare(config, port, extra)
    if prepared:
        prepared(config)
    home = Home(config, port, python, extra_environment or {})
    try:
        await home.start()
        yield home
    finally:
        await home.stop()
