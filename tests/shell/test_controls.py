"""Buttons, select, switch and numbers: what a user turns and presses on a classifier's device."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from freezegun.api import FrozenDateTimeFactory
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers import entity_registry as er
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, async_fire_time_changed

from .conftest import FakeCamera, act, settled, state, teach

CHOICE = "select.gate_class_to_teach"
CAPTURE = "button.gate_capture_example"
WATCHING = "switch.gate_watching"
ENABLED = pytest.mark.usefixtures("all_enabled")


async def call(hass: HomeAssistant, action: str, entity_id: str, **data: Any) -> None:
    """Call an action of an entity's platform."""
    domain = entity_id.partition(".")[0]
    await hass.services.async_call(domain, action, {"entity_id": entity_id, **data}, blocking=True)


async def press(hass: HomeAssistant, entity_id: str) -> None:
    """Press a button, and wait for what follows."""
    await call(hass, "press", entity_id)
    await settled(hass)


async def blind(engine: MockConfigEntry) -> None:
    """Look in vain."""
    with pytest.raises(HomeAssistantError):
        await engine.runtime_data.classifiers["gate_id"].async_look()


def options(hass: HomeAssistant) -> list[str]:
    """Return the classes that can be chosen."""
    shown = hass.states.get(CHOICE)
    assert shown
    return list(shown.attributes["options"])


def counts(hass: HomeAssistant) -> Mapping[str, int]:
    """Return how many examples each class has, as its sensor says."""
    shown = hass.states.get("sensor.gate_examples")
    assert shown
    by_class: Mapping[str, int] = shown.attributes["by_class"]
    assert int(shown.state) == sum(by_class.values())
    return by_class


# --- select and Capture example ----------------------------------------------------------------------------------


async def test_the_chosen_class_is_taught(hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera) -> None:
    assert (state(hass, CHOICE), options(hass)) == ("unknown", ["open", "closed"])
    for gate in ("closed", "open"):
        camera.show(gate, 5)
        await call(hass, "select_option", CHOICE, option=gate)
        assert state(hass, CHOICE) == gate
        await press(hass, CAPTURE)
    assert counts(hass) == {"open": 1, "closed": 1}
    assert state(hass, "binary_sensor.gate_open") == "on"


async def test_without_a_choice_nothing_is_captured(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    with pytest.raises(ServiceValidationError) as caught:
        await press(hass, CAPTURE)
    assert (caught.value.translation_key, str(caught.value)) == (
        "no_class_chosen",
        "Choose the class to teach first",
    )
    with pytest.raises(ServiceValidationError):
        await call(hass, "select_option", CHOICE, option="ajar")
    assert counts(hass) == {"open": 0, "closed": 0}


async def test_the_choice_follows_its_class(hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera) -> None:
    await act(hass, engine, "add_class", **{"class": "half"})
    assert options(hass) == ["open", "closed", "half"]
    await call(hass, "select_option", CHOICE, option="half")
    await act(hass, engine, "rename_class", **{"class": "half", "name": "ajar"})
    assert (state(hass, CHOICE), options(hass)) == ("ajar", ["open", "closed", "ajar"])
    await act(hass, engine, "remove_class", **{"class": "ajar"})
    # Another class in its place would be taught unnoticed.
    assert (state(hass, CHOICE), options(hass)) == ("unknown", ["open", "closed"])
    with pytest.raises(ServiceValidationError):
        await press(hass, CAPTURE)
    await act(hass, engine, "undo")
    assert state(hass, CHOICE) == "ajar"


async def test_the_choice_outlives_a_restart_by_the_class(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    await call(hass, "select_option", CHOICE, option="open")
    coordinator = engine.runtime_data.classifiers["gate_id"]
    assert await hass.config_entries.async_unload(engine.entry_id)
    (folder,) = (path for path in coordinator.learner.examples.root.glob("*/.class.json") if path.parent.name == "open")
    folder.write_text(folder.read_text().replace('"open"', '"wide"'))
    camera.frame = None  # settings don't wait for a look
    assert await hass.config_entries.async_setup(engine.entry_id)
    await settled(hass)
    assert (state(hass, CHOICE), options(hass)) == ("wide", ["wide", "closed"])
    assert engine.runtime_data.classifiers["gate_id"] is not coordinator


async def test_without_classes_there_is_nothing_to_choose(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    for label in ("open", "closed"):
        await act(hass, engine, "remove_class", **{"class": label})
    assert state(hass, CHOICE) == "unavailable"
    await act(hass, engine, "add_class", **{"class": "half"})
    assert state(hass, CHOICE) == "unknown"


# --- the other buttons -------------------------------------------------------------------------------------------


async def test_look_now_looks(hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera) -> None:
    await teach(hass, engine, camera, "closed", "open")
    asked = camera.asked
    camera.show("closed", 8)
    for _ in range(2):
        await press(hass, "button.gate_look_now")
    assert camera.asked == asked + 2
    assert state(hass, "sensor.gate_class") == "closed"


@pytest.mark.parametrize("button", ["button.gate_look_now", CAPTURE])
async def test_buttons_can_be_pressed_while_the_camera_fails_and_say_why(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, button: str
) -> None:
    await teach(hass, engine, camera, "closed", "open")
    await call(hass, "select_option", CHOICE, option="open")
    camera.frame = None
    for _ in range(2):
        with pytest.raises(HomeAssistantError) as caught:
            await press(hass, button)
        assert caught.value.translation_key == "camera_no_image"
        assert state(hass, button) != "unavailable"
    await blind(engine)
    assert state(hass, "binary_sensor.gate_open") == "unavailable"
    camera.show("open", 4)
    await press(hass, button)
    assert state(hass, "binary_sensor.gate_open") == "on"


async def test_imprint_takes_in_what_was_dropped_into_folders(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    await teach(hass, engine, camera, "closed", "open")
    folder = engine.runtime_data.classifiers["gate_id"].learner.examples.root / "open"
    camera.show("open", 77)
    assert isinstance(camera.frame, bytes)
    (folder / "mine.jpg").write_bytes(camera.frame)
    await press(hass, "button.gate_imprint")
    assert counts(hass) == {"open": 2, "closed": 1}


# --- switch ------------------------------------------------------------------------------------------------------


async def test_the_switch_pauses_and_is_kept(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, freezer: FrozenDateTimeFactory
) -> None:
    assert state(hass, WATCHING) == "on"
    await call(hass, "turn_off", WATCHING)
    assert state(hass, WATCHING) == "off"
    assert await hass.config_entries.async_reload(engine.entry_id)
    await settled(hass)
    assert state(hass, WATCHING) == "off"
    asked = camera.asked
    for _ in range(3):
        freezer.tick(timedelta(seconds=11))
        async_fire_time_changed(hass)
        await settled(hass)
    assert camera.asked == asked
    await press(hass, "button.gate_look_now")
    assert camera.asked == asked + 1
    await call(hass, "turn_on", WATCHING)
    await settled(hass)
    assert (state(hass, WATCHING), camera.asked) == ("on", asked + 2)


# --- numbers -----------------------------------------------------------------------------------------------------

NUMBERS = {
    "number.gate_interval": ("interval", 25),
    "number.gate_probability_to_enter": ("enter_at", 91),
    "number.gate_hold_time": ("hold", 7),
    "number.gate_probability_to_stay": ("stay_at", 57),
    "number.gate_looks": ("looks", 4),
}


@ENABLED
@pytest.mark.parametrize("entity_id", NUMBERS)
async def test_numbers_and_the_form_never_disagree(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, entity_id: str
) -> None:
    key, value = NUMBERS[entity_id]
    running = engine.runtime_data.classifiers["gate_id"]
    before = engine.subentries["gate_id"].data
    await call(hass, "set_value", entity_id, value=value)
    assert float(state(hass, entity_id) or "nan") == value
    form = await engine.start_subentry_reconfigure_flow(hass, "gate_id")
    shown = {
        str(field): (field.description or {}).get("suggested_value")
        for schema in (form["data_schema"], form["data_schema"].schema["decision"].schema)
        for field in schema.schema
    }
    shown |= shown["decision"] or {}
    assert shown[key] == value
    changed = {"interval": before["interval"], **before["decision"]} | {key: value}
    after = engine.subentries["gate_id"].data
    assert {"interval": after["interval"], **after["decision"]} == changed
    assert engine.runtime_data.classifiers["gate_id"] is running
    # And the other way round.
    decision = {**after["decision"], **({key: value - 1} if key in after["decision"] else {})}
    data = {**after, "decision": decision, **({key: value - 1} if key in after else {})}
    hass.config_entries.async_update_subentry(engine, engine.subentries["gate_id"], data=data)
    await settled(hass)
    assert float(state(hass, entity_id) or "nan") == value - 1


@ENABLED
async def test_numbers_decide(hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera) -> None:
    await teach(hass, engine, camera, "closed", "open")
    await call(hass, "set_value", "number.gate_looks", value=1)
    camera.show("closed", 8)
    await press(hass, "button.gate_look_now")
    assert state(hass, "sensor.gate_class") == "closed"


@ENABLED
@pytest.mark.parametrize(
    ("entity_id", "value", "key"),
    [
        ("number.gate_probability_to_enter", 59, "stay_above_enter"),
        ("number.gate_probability_to_stay", 81, "stay_above_enter"),
        ("number.gate_interval", -1, "out_of_range"),
        ("number.gate_interval", 3601, "out_of_range"),
        ("number.gate_looks", 0, "out_of_range"),
    ],
)
async def test_numbers_that_make_no_sense_are_refused(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, entity_id: str, value: float, key: str
) -> None:
    before, shown = engine.subentries["gate_id"].data, state(hass, entity_id)
    with pytest.raises(ServiceValidationError) as caught:
        await call(hass, "set_value", entity_id, value=value)
    assert caught.value.translation_key == key
    assert (engine.subentries["gate_id"].data, state(hass, entity_id)) == (before, shown)


def test_few_numbers_are_enabled(hass: HomeAssistant, engine: MockConfigEntry) -> None:
    registry = er.async_get(hass)
    disabled = {
        entity_id for entity_id in NUMBERS if (found := registry.async_get(entity_id)) and found.disabled_by is not None
    }
    assert disabled == {"number.gate_probability_to_stay", "number.gate_looks"}
