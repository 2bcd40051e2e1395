"""When a classifier looks: its interval, bursts after triggers, never by itself while it isn't watching."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from freezegun.api import FrozenDateTimeFactory
from homeassistant.const import STATE_UNAVAILABLE, STATE_UNKNOWN
from homeassistant.core import HomeAssistant, State
from homeassistant.helpers import entity_registry as er
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, async_fire_time_changed

from custom_components.coral_imprint.classifiers.looking.triggers import is_reason
from tests.shell.conftest import FakeCamera, act, settled, state, teach, told

MOTION = "binary_sensor.motion"
BURST = {"triggers": [MOTION], "burst_looks": 3, "burst_spacing": 0.4}


async def options(hass: HomeAssistant, engine: MockConfigEntry, **changed: Any) -> None:
    """Change options of the classifier; those under ``when`` are a section's."""
    engine.runtime_data.classifiers["gate_id"].options.async_change(changed)
    await settled(hass)


@pytest.fixture
async def only_triggers(hass: HomeAssistant, engine: MockConfigEntry) -> MockConfigEntry:
    """Return an engine whose classifier looks after a motion sensor alone."""
    hass.states.async_set(MOTION, "off")
    await options(hass, engine, interval=0, when=BURST)
    return engine


async def until(there: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not there():
            await asyncio.sleep(0.005)


async def quiet(hass: HomeAssistant) -> None:
    """Let a burst that may have begun come to its end."""
    await settled(hass)
    await asyncio.sleep(0.1)
    await settled(hass)


async def test_an_interval_of_0_never_looks_by_itself(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    await options(hass, engine, interval=0)
    asked = camera.asked
    for _ in range(5):
        freezer.tick(timedelta(hours=1))
        async_fire_time_changed(hass)
        await settled(hass)
    assert camera.asked == asked
    camera.show("open", 1)
    await act(hass, engine, "look")
    assert camera.asked == asked + 1
    await options(hass, engine, interval=10)
    freezer.tick(timedelta(seconds=10.1))
    async_fire_time_changed(hass)
    await settled(hass)
    assert camera.asked == asked + 3, "once when it begins, once after ten seconds"


async def test_a_trigger_is_followed_by_a_burst(
    hass: HomeAssistant, only_triggers: MockConfigEntry, camera: FakeCamera
) -> None:
    await teach(hass, only_triggers, camera, "closed", "open")
    await asyncio.sleep(0.1)  # a look of just now would be shared
    asked, looks = camera.asked, only_triggers.runtime_data.statistics.looks
    camera.show("closed", 5)
    hass.states.async_set(MOTION, "on")
    await settled(hass)
    assert camera.asked - asked == 3
    assert only_triggers.runtime_data.statistics.looks - looks == 3
    assert state(hass, "sensor.gate_class") == "closed", "enough looks to decide"
    hass.states.async_set(MOTION, "on", {"battery": 90})
    await quiet(hass)
    assert camera.asked - asked == 3, "an attribute is no event"
    hass.states.async_set(MOTION, "off")
    await settled(hass)
    assert camera.asked - asked == 6


async def test_a_trigger_amid_a_burst_begins_the_count_anew(
    hass: HomeAssistant, only_triggers: MockConfigEntry, camera: FakeCamera
) -> None:
    await options(hass, only_triggers, when={"burst_looks": 4, "burst_spacing": 0.1})
    await asyncio.sleep(0.1)  # a look of just now would be shared
    asked = camera.asked
    hass.states.async_set(MOTION, "on")
    await until(lambda: camera.asked - asked == 2)
    hass.states.async_set(MOTION, "off")
    await settled(hass)
    assert camera.asked - asked == 2 + 4


async def test_nothing_triggers_while_it_is_not_watching(
    hass: HomeAssistant, only_triggers: MockConfigEntry, camera: FakeCamera
) -> None:
    await options(hass, only_triggers, watching=False)
    await asyncio.sleep(0.1)  # a look of just now would be shared
    asked = camera.asked
    hass.states.async_set(MOTION, "on")
    await quiet(hass)
    assert camera.asked == asked
    await act(hass, only_triggers, "look")
    assert camera.asked == asked + 1
    await options(hass, only_triggers, watching=True)
    await asyncio.sleep(0.1)  # a look of just now would be shared
    hass.states.async_set(MOTION, "off")
    await settled(hass)
    assert camera.asked == asked + 1 + 3


async def test_watching_that_ends_amid_a_burst_ends_it(
    hass: HomeAssistant, only_triggers: MockConfigEntry, camera: FakeCamera
) -> None:
    await options(hass, only_triggers, when={"burst_looks": 20, "burst_spacing": 0.1})
    await asyncio.sleep(0.1)  # a look of just now would be shared
    asked = camera.asked
    hass.states.async_set(MOTION, "on")
    await until(lambda: camera.asked > asked)
    await options(hass, only_triggers, watching=False)
    reached = camera.asked
    await asyncio.sleep(0.25)
    assert camera.asked == reached < asked + 20


async def test_looks_slower_than_their_spacing_are_fewer(
    hass: HomeAssistant, only_triggers: MockConfigEntry, camera: FakeCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    await options(hass, only_triggers, when={"burst_looks": 10, "burst_spacing": 0.02})
    coordinator = only_triggers.runtime_data.classifiers["gate_id"]
    real = coordinator._async_update_data

    async def slow() -> Any:
        await asyncio.sleep(0.07)
        return await real()

    monkeypatch.setattr(coordinator, "_async_update_data", slow)
    pace = only_triggers.runtime_data.statistics
    looks, skipped = pace.looks, pace.skipped
    hass.states.async_set(MOTION, "on")
    await settled(hass)
    assert (pace.looks - looks) + (pace.skipped - skipped) == 10
    assert pace.skipped - skipped >= 5, "none was queued"


async def test_a_renamed_trigger_is_followed(
    hass: HomeAssistant, only_triggers: MockConfigEntry, camera: FakeCamera
) -> None:
    registry = er.async_get(hass)
    known = registry.async_get_or_create("binary_sensor", "test", "door", object_id_base="door")
    hass.states.async_set(known.entity_id, "off")
    await options(hass, only_triggers, when={"triggers": [known.id]})
    hass.states.async_remove(known.entity_id)
    registry.async_update_entity(known.entity_id, new_entity_id="binary_sensor.garage")
    hass.states.async_set("binary_sensor.garage", "off")
    await settled(hass)
    await asyncio.sleep(0.1)  # a look of just now would be shared
    asked = camera.asked
    hass.states.async_set("binary_sensor.garage", "on")
    await settled(hass)
    assert camera.asked - asked == 3
    assert "triggers_missing" not in told(hass)


async def test_a_trigger_that_is_gone_is_told_until_it_is_back(
    hass: HomeAssistant, only_triggers: MockConfigEntry, camera: FakeCamera
) -> None:
    registry = er.async_get(hass)
    known = registry.async_get_or_create("binary_sensor", "test", "door", object_id_base="door")
    await options(hass, only_triggers, when={"triggers": [known.id, MOTION]})
    assert "triggers_missing" not in told(hass), "known to the registry, though it has no state yet"
    registry.async_remove(known.entity_id)
    await settled(hass)
    issue = told(hass)["triggers_missing"]
    assert issue.translation_placeholders == {"classifier": "Gate", "entities": known.entity_id}
    await asyncio.sleep(0.1)  # a look of just now would be shared
    asked = camera.asked
    hass.states.async_set(MOTION, "on")
    await settled(hass)
    assert camera.asked - asked == 3, "the other one is followed all the same"
    hass.states.async_remove(MOTION)
    await settled(hass)
    assert MOTION in (told(hass)["triggers_missing"].translation_placeholders or {})["entities"]
    await options(hass, only_triggers, when={"triggers": []})
    assert "triggers_missing" not in told(hass)


async def test_what_was_told_goes_with_the_classifier(hass: HomeAssistant, only_triggers: MockConfigEntry) -> None:
    hass.states.async_remove(MOTION)
    await settled(hass)
    assert "triggers_missing" in told(hass)
    hass.config_entries.async_remove_subentry(only_triggers, "gate_id")
    await settled(hass)
    assert "triggers_missing" not in told(hass)


@pytest.mark.parametrize("whole", [True, False], ids=["all entities", "polling"])
async def test_nobody_looks_where_nobody_wants_to_know(
    hass: HomeAssistant, only_triggers: MockConfigEntry, camera: FakeCamera, whole: bool
) -> None:
    if whole:
        registry = er.async_get(hass)
        for registered in er.async_entries_for_config_entry(registry, only_triggers.entry_id):
            registry.async_update_entity(registered.entity_id, disabled_by=er.RegistryEntryDisabler.USER)
    else:
        hass.config_entries.async_update_entry(only_triggers, pref_disable_polling=True)
    await settled(hass)
    await asyncio.sleep(0.1)  # a look of just now would be shared
    asked = camera.asked
    hass.states.async_set(MOTION, "on")
    await quiet(hass)
    assert camera.asked == asked


def made(value: str | None) -> State | None:
    return State(MOTION, value) if value is not None else None


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("off", "on", True),
        ("on", "off", True),
        (STATE_UNKNOWN, "2026-11-20T20:00:00+00:00", True),
        ("2026-11-20T20:00:00+00:00", "2026-11-20T20:00:01+00:00", True),
        ("on", "on", False),
        (None, "on", False),
        ("on", None, False),
        (STATE_UNAVAILABLE, "on", False),
        ("on", STATE_UNAVAILABLE, False),
        ("on", STATE_UNKNOWN, False),
        (STATE_UNAVAILABLE, STATE_UNKNOWN, False),
    ],
)
def test_what_is_a_reason_to_look(before: str | None, after: str | None, expected: bool) -> None:
    assert is_reason(made(before), made(after)) is expected


async def test_unloading_amid_a_burst_leaves_nothing_behind(
    hass: HomeAssistant, only_triggers: MockConfigEntry, camera: FakeCamera
) -> None:
    await options(hass, only_triggers, when={"burst_looks": 20, "burst_spacing": 0.1})
    await asyncio.sleep(0.1)  # a look of just now would be shared
    asked = camera.asked
    hass.states.async_set(MOTION, "on")
    await until(lambda: camera.asked > asked)
    assert await hass.config_entries.async_unload(only_triggers.entry_id)
    reached = camera.asked
    hass.states.async_set(MOTION, "off")
    await asyncio.sleep(0.25)
    assert camera.asked == reached
