"""Every icon that the integration names is one that the frontend has."""

import json
from pathlib import Path
import re

import pytest

ROOT = Path(__file__).parents[2]
HOUSE = ROOT / "custom_components" / "coral_imprint"
INSTALLED = ".dev/demo/lib/python3.*/site-packages/hass_frontend/static/mdi/iconList.json"
"""Where Home Assistant installs its frontend when the demo first starts."""


def test_every_icon_is_there() -> None:
    lists = list(ROOT.glob(INSTALLED))
    if not lists:
        pytest.skip("the frontend is not installed: scripts/demo --once does it")
    known = {icon["name"] for icon in json.loads(lists[0].read_text())}
    assert len(known) > 5000
    named = set(re.findall(r'"mdi:([a-z0-9-]+)"', (HOUSE / "icons.json").read_text()))
    for path in HOUSE.rglob("*.py"):
        named |= set(re.findall(r'"mdi:([a-z0-9-]+)"', path.read_text()))
    assert named
    assert named <= known, sorted(named - known)
