"""Cameras lie. The sensors say nothing rather than something wrong, and the log hears of it once each way."""

from datetime import timedelta
import logging

from freezegun.api import FrozenDateTimeFactory
from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import EVENT_HOMEASSISTANT_STARTED
from homeassistant.core import CoreState, HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import entity_registry as er
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, async_fire_time_changed

from tests.shell.conftest import CAMERA, FakeCamera, act, draw, state, teach

OPEN = "binary_sensor.gate_open"
ENTITIES = (OPEN, "binary_sensor.gate_closed", "sensor.gate_class", "sensor.gate_confidence", "image.gate_last_look")

FAULTS = {
    "html": (b"<!DOCTYPE html><html><body>Please log in</body></html>", "not_a_picture"),
    "garbage": (bytes(range(256)) * 40, "not_a_picture"),
    "truncated": (draw("open")[:3000], "not_a_picture"),
    "empty": (b"", "camera_no_image"),
    "nothing": (None, "camera_no_image"),
    "error": (HomeAssistantError("camera is on strike"), "camera_no_image"),
}


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize(("frame", "key"), FAULTS.values(), ids=FAULTS)
async def test_unavailable_rather_than_wrong(
    hass: HomeAssistant,
    engine: MockConfigEntry,
    camera: FakeCamera,
    caplog: pytest.LogCaptureFixture,
    frame: bytes | Exception | None,
    key: str,
) -> None:
    await teach(hass, engine, camera, "closed", "open")
    caplog.clear()
    camera.frame = frame
    for _ in range(3):
        with pytest.raises(HomeAssistantError) as caught:
            await act(hass, engine, "look")
        assert caught.value.translation_key == key
    assert {state(hass, entity) for entity in ENTITIES} == {"unavailable"}
    with pytest.raises(HomeAssistantError):
        await act(hass, engine, "capture_example", **{"class": "open"})
    camera.show("open", 8)
    await act(hass, engine, "look")
    assert state(hass, OPEN) == "on", "a short outage is no reason to forget"
    ours = [record for record in caplog.records if record.name.startswith("custom_components.coral_imprint")]
    assert [record.levelno for record in ours if record.levelno >= logging.INFO] == [logging.ERROR, logging.INFO]


async def test_a_bad_picture_becomes_no_example(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    camera.frame = FAULTS["truncated"][0]
    with pytest.raises(HomeAssistantError):
        await act(hass, engine, "capture_example", **{"class": "open"})
    camera.show("open")
    assert (await act(hass, engine, "imprint"))["examples"] == {"open": 0, "closed": 0}


async def test_the_interval_goes_on_through_an_outage(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, freezer: FrozenDateTimeFactory
) -> None:
    await teach(hass, engine, camera, "closed", "open")

    async def pass_time() -> None:
        freezer.tick(timedelta(seconds=12))
        async_fire_time_changed(hass)
        await hass.async_block_till_done(wait_background_tasks=True)

    camera.frame = HomeAssistantError("gone")
    await pass_time()
    assert state(hass, OPEN) == "unavailable"
    camera.show("open", 9)
    await pass_time()
    assert state(hass, OPEN) == "on"


async def test_a_frozen_camera_is_noticed(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    await teach(hass, engine, camera, "closed", "open")
    clock = [1000.0]
    monkeypatch.setattr("custom_components.coral_imprint.classifiers.looking.frames.monotonic", lambda: clock[0])
    camera.show("open", 4)
    await act(hass, engine, "look")
    clock[0] += 299
    await act(hass, engine, "look")
    clock[0] += 2
    with pytest.raises(HomeAssistantError) as caught:
        await act(hass, engine, "look")
    assert caught.value.translation_key == "camera_stale"
    assert state(hass, OPEN) == "unavailable"
    camera.show("open", 5)
    await act(hass, engine, "look")
    # After so long an outage the class has to be seen anew.
    assert state(hass, OPEN) in {"on", "unknown"}
    await act(hass, engine, "look")
    assert state(hass, OPEN) == "on"


async def test_a_camera_that_comes_back_is_looked_at_at_once(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    await teach(hass, engine, camera, "closed", "open")
    (other,) = hass.config_entries.async_entries("fake")
    assert await hass.config_entries.async_unload(other.entry_id)
    with pytest.raises(HomeAssistantError) as caught:
        await act(hass, engine, "look")
    assert caught.value.translation_key == "camera_unavailable"
    assert state(hass, OPEN) == "unavailable"
    assert await hass.config_entries.async_setup(other.entry_id)
    await hass.async_block_till_done(wait_background_tasks=True)
    assert state(hass, OPEN) == "on"


async def test_a_renamed_camera_is_followed(hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera) -> None:
    er.async_get(hass).async_update_entity(CAMERA, new_entity_id="camera.yard")
    await hass.async_block_till_done(wait_background_tasks=True)
    await teach(hass, engine, camera, "closed", "open")
    assert state(hass, OPEN) == "on"


async def test_a_removed_camera_is_named(hass: HomeAssistant, engine: MockConfigEntry) -> None:
    er.async_get(hass).async_remove(CAMERA)
    await hass.async_block_till_done(wait_background_tasks=True)
    with pytest.raises(HomeAssistantError) as caught:
        await act(hass, engine, "look")
    assert caught.value.translation_key == "camera_missing"
    assert engine.state is ConfigEntryState.LOADED


async def test_a_renamed_camera_is_still_noticed_when_it_comes_back(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    await teach(hass, engine, camera, "closed", "open")
    er.async_get(hass).async_update_entity(CAMERA, new_entity_id="camera.yard")
    await hass.async_block_till_done(wait_background_tasks=True)
    (other,) = hass.config_entries.async_entries("fake")
    assert await hass.config_entries.async_unload(other.entry_id)
    with pytest.raises(HomeAssistantError):
        await act(hass, engine, "look")
    assert await hass.config_entries.async_setup(other.entry_id)
    await hass.async_block_till_done(wait_background_tasks=True)
    assert state(hass, OPEN) == "on"


async def test_a_camera_that_starts_after_us_is_waited_for_in_silence(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    camera: FakeCamera,
    caplog: pytest.LogCaptureFixture,
    freezer: FrozenDateTimeFactory,
) -> None:
    (other,) = hass.config_entries.async_entries("fake")
    assert await hass.config_entries.async_unload(other.entry_id)
    hass.set_state(CoreState.starting)
    assert await hass.config_entries.async_setup(entry.entry_id)
    freezer.tick(timedelta(seconds=30))
    async_fire_time_changed(hass)
    await hass.async_block_till_done(wait_background_tasks=True)
    assert state(hass, OPEN) == "unavailable"
    assert await hass.config_entries.async_setup(other.entry_id)
    await hass.async_block_till_done(wait_background_tasks=True)
    assert state(hass, OPEN) == "unknown", "looked at once, nothing taught"
    assert errors(caplog) == []
    assert await hass.config_entries.async_unload(entry.entry_id)


async def test_a_camera_that_never_starts_is_reported_after_the_start(
    hass: HomeAssistant, entry: MockConfigEntry, camera: FakeCamera, caplog: pytest.LogCaptureFixture
) -> None:
    (other,) = hass.config_entries.async_entries("fake")
    assert await hass.config_entries.async_unload(other.entry_id)
    hass.set_state(CoreState.starting)
    assert await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done(wait_background_tasks=True)
    assert errors(caplog) == []
    hass.set_state(CoreState.running)
    hass.bus.async_fire(EVENT_HOMEASSISTANT_STARTED)
    await hass.async_block_till_done(wait_background_tasks=True)
    (reported,) = errors(caplog)
    assert "is unavailable" in reported
    assert state(hass, OPEN) == "unavailable"
    assert await hass.config_entries.async_unload(entry.entry_id)
