"""An environment upon the demo's: what a Home Assistant installs into it leaves the demo's as it was."""

import asyncio
from pathlib import Path

from .home import ROOT, HomeError

DEMO = ROOT / ".dev" / "demo"
STAMP = ".stamp"
"""File in which ``scripts/setup`` notes what an environment was made of."""

_SITE_PACKAGES = "import sysconfig; print(sysconfig.get_path('purelib'))"


async def _ask(*command: str | Path) -> str:
    """Run a command and return what it prints. Raises HomeError where it fails."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    printed, _ = await process.communicate()
    if process.returncode:
        raise HomeError(f"{command[0]} ended with {process.returncode}: {printed.decode(errors='replace')[-2000:]}")
    return printed.decode().strip()


async def layered(folder: Path) -> Path:
    """Return the Python of an environment in a folder that sees all that the demo's holds.

    It is made where there is none, and made anew where it was made upon another state of the demo's. Raises HomeError where
    that fails.
    """
    python, made_upon = folder / "bin" / "python", folder / STAMP
    stamp = (DEMO / STAMP).read_text()
    if not made_upon.exists() or made_upon.read_text() != stamp:
        base = DEMO / "bin" / "python"
        await _ask(base, "-m", "venv", "--without-pip", "--clear", folder)
        (await site_packages(python) / "demo.pth").write_text(f"{await site_packages(base)}\n")
        made_upon.write_text(stamp)
    return python


async def site_packages(python: Path) -> Path:
    """Return where an environment's packages lie. Raises HomeError."""
    return Path(await _ask(python, "-c", _SITE_PACKAGES))
