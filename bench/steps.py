"""How many files a look and a capture go through, and how often the work passes from one file to another.

Runs a classifier on the built-in extractor in Home Assistant's test harness, with what the integration does there watched on all threads.
Prints one JSON object: for this checkout (``here``), and with ``--house`` for another one beside it (``there``), of

- ``look``: one routine look, due by its interval, at a picture that has to be embedded and shows the same class, until all entities follow;
- ``capture_example``: the action on a classifier of two examples of each of two classes, until nothing is left to do in the background.

``files`` are those of the integration of which a function was called. ``calls`` counts the functions that were called there, lambdas and
generator expressions among them, the bodies of modules and classes not; ``changes`` how often the function called next, in order of time,
on whatever thread, stands in another file than the one before. Only calls count: neither returns nor coroutines and generators that go on.
``across`` counts otherwise: calls by a function of another file of the integration, directly, without anything of Home Assistant's between.

A look that is due includes what finds it due (2 files), and, since the camera's background was learned, what compares with it (2 files).
Refreshed by hand before that, a classifier of the first version measured so went through 29 files with 107 to 113 changes.

Calls from the background come in the order that the threads have their turn: ``changes`` differ by some from run to run. Run it with the
environment of the tests: ``.dev/test/bin/python bench/steps.py --house ../before``.
"""

import argparse
import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import pairwise
import json
import logging
import os
from pathlib import Path
import subprocess
import sys
import tempfile
from types import CodeType, FrameType
from typing import Any, Final, Literal, NamedTuple

ROOT: Final = Path(__file__).resolve().parents[1]
DOMAIN: Final = "coral_imprint"
CAMERA: Final = "camera.driveway"
CLASSIFIER: Final = "gate_id"
INTERVAL_S: Final = 10
APART_S: Final = 1.1
"""Classifiers share a picture that another one's routine look asked for within a second."""
GATES: Final[tuple[Literal["open", "closed"], ...]] = ("open", "closed")
UNNAMED: Final = {"<module>"}


class Call(NamedTuple):
    """A function of the integration that was called."""

    file: str
    by: str | None
    """The file of the function that called it, None where that is not one of the integration's."""


class Steps:
    """Notes every call of the integration's functions, on all threads, while it watches."""

    TOOL: Final = sys.monitoring.PROFILER_ID

    def __init__(self, house: Path) -> None:
        """Take the integration's folder, by the path that its modules are imported from."""
        self._house = f"{house}{os.sep}"
        self._calls: list[Call] = []

    def begin(self) -> None:
        """Watch."""
        self._calls = []
        monitoring = sys.monitoring
        monitoring.use_tool_id(self.TOOL, "steps")
        monitoring.register_callback(self.TOOL, monitoring.events.PY_START, self._started)
        monitoring.restart_events()
        monitoring.set_events(self.TOOL, monitoring.events.PY_START)

    def end(self) -> dict[str, int]:
        """Watch no more; return what was counted."""
        sys.monitoring.set_events(self.TOOL, sys.monitoring.events.NO_EVENTS)
        sys.monitoring.free_tool_id(self.TOOL)
        calls = self._calls
        return {
            "files": len({call.file for call in calls}),
            "changes": sum(before.file != after.file for before, after in pairwise(calls)),
            "calls": len(calls),
            "across": sum(call.by not in {None, call.file} for call in calls),
        }

    def _file_of(self, code: CodeType) -> str | None:
        """Return the name of the integration's file that a function stands in, None for another's."""
        name = code.co_filename
        # A class's body runs but once, with its module's.
        is_ours = name.startswith(self._house) and code.co_name not in UNNAMED and code.co_flags & _OPTIMIZED
        return name.removeprefix(self._house) if is_ours else None

    def _started(self, code: CodeType, _offset: int) -> object:
        file = self._file_of(code)
        if file is None:
            return sys.monitoring.DISABLE
        called: FrameType | None = sys._getframe(1)  # noqa: SLF001 - there is no other way to the caller
        by = called.f_back if called else None
        self._calls.append(Call(file, self._file_of(by.f_code) if by else None))
        return None


_OPTIMIZED: Final = 1
"""``CO_OPTIMIZED``: set for functions, not for bodies of modules and classes."""


@asynccontextmanager
async def _home(config: Path, shown: Callable[[], bytes]) -> AsyncIterator[Any]:
    """Yield a Home Assistant of the harness, with a camera that shows what it is told."""
    from homeassistant import loader  # noqa: PLC0415 - the parent needs none of it
    from homeassistant.components.camera import Camera  # noqa: PLC0415
    from homeassistant.config_entries import ConfigFlow  # noqa: PLC0415
    from homeassistant.setup import async_setup_component  # noqa: PLC0415
    from pytest_homeassistant_custom_component import common  # noqa: PLC0415

    class Shown(Camera):
        _attr_name = "Driveway"
        _attr_unique_id = "driveway"

        async def async_camera_image(self, width: int | None = None, height: int | None = None) -> bytes | None:
            return shown()

    class NoFlow(ConfigFlow):
        """The camera's flow is never used."""

    async def set_up(hass: Any, entry: Any) -> bool:
        await hass.config_entries.async_forward_entry_setups(entry, ["camera"])
        return True

    async def add(_hass: Any, _entry: Any, add_entities: Callable[[Iterable[Camera]], None]) -> None:
        add_entities([Shown()])

    with common.mock_storage(), common.mock_config_flow("fake", NoFlow):
        async with common.async_test_home_assistant(config_dir=str(config)) as hass:
            hass.data.pop(loader.DATA_CUSTOM_COMPONENTS, None)
            common.mock_integration(hass, common.MockModule("fake", async_setup_entry=set_up))
            common.mock_platform(hass, "fake.config_flow")
            common.mock_platform(hass, "fake.camera", common.MockPlatform(async_setup_entry=add))
            assert await async_setup_component(hass, "homeassistant", {})
            entry = common.MockConfigEntry(domain="fake")
            entry.add_to_hass(hass)
            assert await hass.config_entries.async_setup(entry.entry_id)
            yield hass
            await hass.async_stop(force=True)


async def _engine(hass: Any) -> Any:
    """Return an engine with one classifier, set up."""
    from homeassistant.helpers import entity_registry as er  # noqa: PLC0415
    from pytest_homeassistant_custom_component.common import MockConfigEntry  # noqa: PLC0415

    camera = er.async_get(hass).async_get(CAMERA)
    assert camera
    data = {
        "camera": camera.id,
        "folder": "gate",
        "classes": list(GATES),
        "background": "",
        "interval": INTERVAL_S,
        "region": {"left": 0, "top": 0, "right": 100, "bottom": 100},
        "decision": {"enter_at": 80, "stay_at": 60, "looks": 2, "hold": 30, "stale_after": 300},
    }
    one = {"data": data, "subentry_id": CLASSIFIER, "subentry_type": "classifier", "title": "Gate", "unique_id": None}
    engine = {"extractor": "builtin", "runtime": "auto"}
    entry = MockConfigEntry(domain=DOMAIN, unique_id="builtin", data=engine, subentries_data=[one])
    entry.add_to_hass(hass)
    assert await hass.config_entries.async_setup(entry.entry_id)
    return entry


async def _measure(config: Path) -> dict[str, dict[str, int]]:
    """Teach, look and capture; return what was counted."""
    from homeassistant.helpers import device_registry as dr  # noqa: PLC0415
    from homeassistant.util import dt as dt_util  # noqa: PLC0415
    from pytest_homeassistant_custom_component.common import async_fire_time_changed  # noqa: PLC0415

    from scripts.simulation.driveway import Scene, jpeg  # noqa: PLC0415

    steps = Steps(config / "custom_components" / DOMAIN)
    frames = [jpeg(Scene(gate=GATES[number % 2]), number, (320, 180)) for number in range(5)]
    looked_at = [jpeg(Scene(gate=GATES[0], light=light), 10, (320, 180)) for light in (1.0, 0.3, 0.8)]
    shown = frames[0]
    found: dict[str, dict[str, int]] = {}
    async with _home(config, lambda: shown) as hass:

        async def settled() -> None:
            await hass.async_block_till_done(wait_background_tasks=True)

        async def capture(number: int) -> None:
            nonlocal shown
            shown = frames[number]
            target = {"device_id": device_id, "class": GATES[number % 2]}
            await hass.services.async_call(DOMAIN, "capture_example", target, blocking=True, return_response=True)

        entry = await _engine(hass)
        await settled()
        device = dr.async_get(hass).async_get_device_by_identifier((DOMAIN, CLASSIFIER), entry.entry_id)
        assert device
        device_id = device.id
        for number in range(4):
            await capture(number)
            await settled()
        steps.begin()
        await capture(4)
        await settled()
        found["capture_example"] = steps.end()
        # The first look after teaching is followed by what is done once: what the camera's background is.
        for due, picture in enumerate(looked_at, 1):
            shown = picture
            await asyncio.sleep(APART_S)
            steps.begin()
            async_fire_time_changed(hass, dt_util.utcnow() + timedelta(seconds=2 * INTERVAL_S * due))
            await settled()
            found["look"] = steps.end()
        assert await hass.config_entries.async_unload(entry.entry_id)
        await settled()
    return {name: found[name] for name in ("look", "capture_example")}


def _house_in(path: Path) -> Path:
    """Return the integration's folder of a checkout, or the folder itself. Raises ArgumentTypeError where there is none."""
    for folder in (path / "custom_components" / DOMAIN, path):
        if (folder / "manifest.json").is_file():
            return folder.resolve()
    raise argparse.ArgumentTypeError(f"{path} is neither the integration's folder nor a checkout with it")


def _measured(house: Path) -> Any:
    """Measure one version, in a process of its own."""
    command = [sys.executable, str(Path(__file__).resolve()), "--alone", "--house", str(house)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def _alone(house: Path) -> dict[str, dict[str, int]]:
    """Measure one version, in this process."""
    logging.disable(logging.WARNING)
    sys.dont_write_bytecode = True
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder).resolve()
        (config / "custom_components").mkdir()
        (config / "custom_components" / DOMAIN).symlink_to(house)
        # Before any other checkout that this environment knows.
        sys.path[:0] = [str(config), str(ROOT)]
        return asyncio.run(_measure(config))


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--house",
        type=lambda text: _house_in(Path(text)),
        metavar="FOLDER",
        help="another version beside this one: its checkout, or its custom_components/coral_imprint",
    )
    parser.add_argument("--alone", action="store_true", help="measure --house only, in this process")
    options = parser.parse_args()
    here = _house_in(ROOT)
    if options.alone:
        print(json.dumps(_alone(options.house or here)))
        return
    result = {"here": _measured(here)}
    if options.house:
        result["there"] = _measured(options.house)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
