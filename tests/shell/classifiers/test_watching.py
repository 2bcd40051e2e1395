"""Whether a classifier looks by itself, and options that are changed while it does."""

from datetime import timedelta

from freezegun.api import FrozenDateTimeFactory
from homeassistant.core import HomeAssistant
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, async_fire_time_changed

from custom_components.coral_imprint.classifiers.coordinator import ClassifierCoordinator
from tests.shell.conftest import CAMERA, FakeCamera, act, settled, state, teach


def classifier(engine: MockConfigEntry, subentry_id: str = "gate_id") -> ClassifierCoordinator:
    """Return a classifier at work."""
    found: ClassifierCoordinator = engine.runtime_data.classifiers[subentry_id]
    return found


async def minutes(hass: HomeAssistant, freezer: FrozenDateTimeFactory, count: int = 1) -> None:
    """Let so many minutes pass, in steps of 11 seconds."""
    for _ in range(6 * count):
        freezer.tick(timedelta(seconds=11))
        async_fire_time_changed(hass)
        await settled(hass)


async def test_one_that_does_not_watch_looks_on_demand_alone(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, freezer: FrozenDateTimeFactory
) -> None:
    await teach(hass, engine, camera, "closed", "open")
    classifier(engine).options.async_change({"watching": False})
    await settled(hass)
    asked = camera.asked
    await minutes(hass, freezer)
    # Not when the camera comes back either.
    shown = hass.states.get(CAMERA)
    assert shown
    hass.states.async_set(CAMERA, "unavailable")
    hass.states.async_set(CAMERA, shown.state, shown.attributes)
    await minutes(hass, freezer)
    # Nor when another region is learned.
    classifier(engine).options.async_change({"region": {"left": 5}})
    await settled(hass)
    assert camera.asked == asked
    camera.show("closed", 7)
    await act(hass, engine, "look")
    await act(hass, engine, "look")
    assert camera.asked == asked + 2
    assert state(hass, "sensor.gate_class") == "closed"
    await minutes(hass, freezer)
    assert camera.asked == asked + 2, "a look on demand begins no interval"


async def test_one_that_watches_again_looks_at_once(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, freezer: FrozenDateTimeFactory
) -> None:
    classifier(engine).options.async_change({"watching": False})
    await settled(hass)
    asked = camera.asked
    classifier(engine).options.async_change({"watching": True})
    await settled(hass)
    assert camera.asked == asked + 1
    await minutes(hass, freezer)
    assert camera.asked >= asked + 6


async def test_not_watching_outlives_a_restart(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, freezer: FrozenDateTimeFactory
) -> None:
    await teach(hass, engine, camera, "closed", "open")
    classifier(engine).options.async_change({"watching": False})
    await settled(hass)
    assert await hass.config_entries.async_reload(engine.entry_id)
    asked = camera.asked
    await minutes(hass, freezer)
    assert camera.asked == asked
    assert state(hass, "sensor.gate_class") == "unavailable", "yesterday's answer is none"
    await act(hass, engine, "look")
    assert state(hass, "sensor.gate_class") in {"unknown", "open"}


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({"interval": 7}, {"interval": 7}),
        (
            {"decision": {"hold": 5}},
            {"decision": {"enter_at": 80, "stay_at": 60, "looks": 2, "hold": 5, "stale_after": 300}},
        ),
        ({"region": {"left": 10}}, {"region": {"left": 10, "top": 0, "right": 100, "bottom": 100}}),
    ],
)
async def test_options_are_changed_one_by_one(
    hass: HomeAssistant,
    engine: MockConfigEntry,
    camera: FakeCamera,
    changes: dict[str, object],
    kept: dict[str, object],
) -> None:
    before = dict(engine.subentries["gate_id"].data)
    coordinator = classifier(engine)
    coordinator.options.async_change(changes)
    await settled(hass)
    assert dict(engine.subentries["gate_id"].data) == before | kept
    assert classifier(engine) is coordinator, "nothing is reloaded"
    shown = {"interval": coordinator.settings.interval, "hold": coordinator.settings.rules.hold}
    assert shown == {"interval": kept.get("interval", 10), "hold": 5 if "decision" in changes else 30}
    assert coordinator.settings.region.left == (0.1 if "region" in changes else 0)
