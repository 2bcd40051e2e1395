"""The companion app's programs, importable as in its image, and leave to use TCP on this machine."""

from importlib.util import find_spec
from pathlib import Path
import sys

import pytest

ROOT = Path(__file__).parents[2]
APP = ROOT / "app"
PROGRAMS = APP / "rootfs" / "opt" / "coral-imprint"
EMBEDDING = ROOT / "custom_components" / "coral_imprint" / "core" / "embedding"

if str(PROGRAMS) not in sys.path:
    sys.path.append(str(PROGRAMS))


@pytest.fixture(autouse=True)
def sockets(request: pytest.FixtureRequest) -> None:
    """Let tests reach servers on this machine, which Home Assistant's harness forbids."""
    if find_spec("pytest_socket"):
        request.getfixturevalue("socket_enabled")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """Return a folder that holds what /opt/coral-imprint holds in the image."""
    folder = tmp_path / "opt"
    folder.mkdir()
    (folder / "embedding").symlink_to(EMBEDDING)
    (folder / "companion").symlink_to(PROGRAMS / "companion")
    return folder
