"""Examples, examples to review, looks per second and skipped looks."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Any

from freezegun.api import FrozenDateTimeFactory
from homeassistant.core import HomeAssistant
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, async_fire_time_changed

from custom_components.coral_imprint.classifiers.looking import frames
from custom_components.coral_imprint.core.imprinting import UnreadablePicture
from custom_components.coral_imprint.extractors.statistics import LookStatistics

from .conftest import FakeCamera, act, draw, settled, state, teach

RATE, SKIPPED = "sensor.built_in_looks_per_second", "sensor.built_in_skipped_looks"


def by_class(hass: HomeAssistant) -> dict[str, int]:
    """Return how many examples each class has, as the sensor says."""
    shown = hass.states.get("sensor.gate_examples")
    assert shown and shown.attributes["unit_of_measurement"] == "examples"
    counts: dict[str, int] = shown.attributes["by_class"]
    assert int(shown.state) == sum(counts.values())
    return counts


async def test_examples_are_counted(hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera) -> None:
    assert by_class(hass) == {"open": 0, "closed": 0}
    await teach(hass, engine, camera, "closed", "open", "open")
    assert by_class(hass) == {"open": 2, "closed": 1}
    await act(hass, engine, "undo")
    assert by_class(hass) == {"open": 1, "closed": 1}
    await act(hass, engine, "rename_class", **{"class": "open", "name": "ajar"})
    assert by_class(hass) == {"ajar": 1, "closed": 1}
    await act(hass, engine, "remove_class", **{"class": "ajar"})
    assert by_class(hass) == {"closed": 1}


async def test_what_is_filed_while_the_camera_is_away_is_counted_too(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    camera.frame = None
    coordinator = engine.runtime_data.classifiers["gate_id"]
    for _ in range(2):
        await coordinator.async_refresh()
    await coordinator.teaching.async_file_picture("open", draw("open", 3))
    await settled(hass)
    assert by_class(hass) == {"open": 1, "closed": 0}
    assert state(hass, "sensor.gate_class") == "unavailable"


async def test_a_misfiled_example_is_to_be_reviewed(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, freezer: FrozenDateTimeFactory
) -> None:
    assert state(hass, "sensor.gate_examples_to_review") == "0"
    coordinator = engine.runtime_data.classifiers["gate_id"]
    for number in range(4):
        freezer.tick(timedelta(hours=5))
        for gate in ("open", "closed"):
            await coordinator.teaching.async_file_picture(gate, draw(gate, 10 * number))
    await settled(hass)
    assert state(hass, "sensor.gate_examples_to_review") == "0"
    freezer.tick(timedelta(hours=5))
    (wrong,) = await coordinator.teaching.async_file_picture("open", draw("closed", 99))
    await settled(hass)
    shown = hass.states.get("sensor.gate_examples_to_review")
    assert shown and shown.state == "1"
    assert shown.attributes["examples"] == [{"example": wrong, "class": "open", "likely": "closed"}]
    # What it says is what the action takes.
    (odd,) = shown.attributes["examples"]
    await act(hass, engine, "relabel_example", example=odd["example"], **{"class": odd["likely"]})
    assert state(hass, "sensor.gate_examples_to_review") == "0"
    assert by_class(hass) == {"open": 4, "closed": 5}


async def test_reviewing_is_done_again_after_a_restart(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, freezer: FrozenDateTimeFactory
) -> None:
    coordinator = engine.runtime_data.classifiers["gate_id"]
    for number in range(4):
        freezer.tick(timedelta(hours=5))
        for gate in ("open", "closed"):
            await coordinator.teaching.async_file_picture(gate, draw("open" if number == 3 else gate, 10 * number))
    assert await hass.config_entries.async_reload(engine.entry_id)
    await settled(hass)
    assert state(hass, "sensor.gate_examples_to_review") == "1"


# --- pace --------------------------------------------------------------------------------------------------------


def test_pace_is_the_mean_of_the_last_minute(freezer: FrozenDateTimeFactory) -> None:
    statistics = LookStatistics()
    early = statistics.per_second
    assert early is None, "too early to tell"
    for _ in range(20):
        with statistics.look():
            pass
        freezer.tick(1)
    assert statistics.per_second == 1, "twenty looks in the first twenty seconds"
    freezer.tick(40)
    assert statistics.per_second == pytest.approx(20 / 60)
    freezer.tick(10)
    assert statistics.per_second == pytest.approx(10 / 60)
    freezer.tick(60)
    assert (statistics.per_second, statistics.skipped) == (0, 0)


def test_a_look_that_failed_is_none(freezer: FrozenDateTimeFactory) -> None:
    statistics = LookStatistics()
    freezer.tick(20)
    with statistics.look():
        pass
    with suppress(UnreadablePicture), statistics.look():
        raise UnreadablePicture("nothing")
    assert statistics.looks == 1
    assert statistics.per_second == pytest.approx(1 / 20)


@pytest.mark.usefixtures("all_enabled")
async def test_an_engine_tells_its_pace(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    engine: MockConfigEntry,
    camera: FakeCamera,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert (state(hass, RATE), state(hass, SKIPPED)) == ("unknown", "0")
    for _ in range(9):
        freezer.tick(11)
        async_fire_time_changed(hass)
        await settled(hass)
    assert 0.08 <= float(state(hass, RATE) or "nan") <= 0.12, "one every eleven seconds"
    assert state(hass, SKIPPED) == "0"
    go = asyncio.Event()
    real = frames.async_grab

    async def slow(*camera: Any) -> bytes:
        await go.wait()
        return await real(*camera)

    monkeypatch.setattr("custom_components.coral_imprint.classifiers.looking.frames.async_grab", slow)
    for _ in range(3):
        freezer.tick(11)
        async_fire_time_changed(hass)
        await hass.async_block_till_done()
    go.set()
    await settled(hass)
    freezer.tick(30)
    async_fire_time_changed(hass)
    await settled(hass)
    assert state(hass, SKIPPED) == "2", "two were due while the first one took its time"
