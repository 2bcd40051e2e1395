"""All entities of an engine and its classifiers: described, available when they should be, there as long as what they are about."""

import importlib
import json
from pathlib import Path
from types import MappingProxyType
from typing import Any

from homeassistant.config_entries import ConfigSubentry
from homeassistant.const import EntityCategory
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components import coral_imprint

from .conftest import FakeCamera, act, classifier_data, settled, state, teach
from .test_controls import blind

HOUSE = Path(coral_imprint.__file__).parent
SETTINGS = {"button", "number", "select", "switch"}

DISABLED = {
    "number.gate_probability_to_stay",
    "number.gate_looks",
    "sensor.gate_score_of_open",
    "sensor.gate_score_of_closed",
    "sensor.built_in_inference_time",
    "sensor.built_in_looks_per_second",
    "sensor.built_in_skipped_looks",
}
PRIMARY = {
    "binary_sensor.gate_open",
    "binary_sensor.gate_closed",
    "button.gate_capture_example",
    "button.gate_look_now",
    "event.gate_uncertain",
    "image.gate_last_look",
    "select.gate_class_to_teach",
    "sensor.gate_class",
    "sensor.gate_confidence",
}
ALWAYS = {
    "event.gate_uncertain",
    "sensor.gate_camera_problem",
    "sensor.gate_examples",
    "sensor.gate_examples_embedded",
    "sensor.gate_examples_to_review",
}
"""What says nothing about a look."""


def entities(hass: HomeAssistant, engine: MockConfigEntry) -> list[er.RegistryEntry]:
    """Return an engine's entities."""
    return er.async_entries_for_config_entry(er.async_get(hass), engine.entry_id)


def read(name: str) -> Any:
    """Return what a file of the integration's says of entities."""
    return json.loads((HOUSE / name).read_text())["entity"]


async def yard(hass: HomeAssistant, engine: MockConfigEntry) -> str:
    """Add a second classifier, on the same camera; return its id."""
    added = ConfigSubentry(
        data=MappingProxyType(classifier_data(hass, folder="yard", classes=["empty"], background="dark")),
        subentry_type="classifier",
        title="Yard",
        unique_id=None,
    )
    hass.config_entries.async_add_subentry(engine, added)
    await settled(hass)
    return added.subentry_id


async def test_every_entity_is_described(hass: HomeAssistant, engine: MockConfigEntry) -> None:
    texts, icons = read("translations/en.json"), read("icons.json")
    found = entities(hass, engine)
    assert len(found) > 20
    used: dict[str, set[str]] = {}
    for one in found:
        assert one.translation_key and one.has_entity_name, one.entity_id
        used.setdefault(one.domain, set()).add(one.translation_key)
        if (one.domain, one.translation_key) != ("binary_sensor", "class"):  # named by the user
            name = texts[one.domain][one.translation_key]["name"]
            assert one.original_name in {name, name.format_map({"class": "open"}), name.format_map({"class": "closed"})}
        assert icons[one.domain][one.translation_key]["default"].startswith("mdi:")
    # Nothing is described that isn't there, but for what engines on an Edge TPU have.
    assert {domain: set(described) for domain, described in icons.items()} == used
    assert texts.keys() == used.keys()
    for domain, described in texts.items():
        assert described.keys() - used[domain] <= {"edgetpu_connected"}
    for domain in used:
        assert importlib.import_module(f"custom_components.coral_imprint.{domain}").PARALLEL_UPDATES == 0


async def test_categories_and_what_is_enabled(hass: HomeAssistant, engine: MockConfigEntry) -> None:
    found = entities(hass, engine)
    assert {one.entity_id for one in found if one.disabled_by} == DISABLED
    assert {one.entity_id for one in found if one.entity_category is None} == PRIMARY
    for one in found:
        if one.entity_category:
            settings = one.domain in SETTINGS
            assert one.entity_category is (EntityCategory.CONFIG if settings else EntityCategory.DIAGNOSTIC)


async def test_unique_ids(hass: HomeAssistant, engine: MockConfigEntry) -> None:
    classes = engine.runtime_data.classifiers["gate_id"].learner.classes
    unique = {one.entity_id: one.unique_id for one in entities(hass, engine)}
    assert len(set(unique.values())) == len(unique)
    assert unique["button.gate_look_now"] == "gate_id_look"
    for class_id, learned in classes.items():
        assert unique[f"binary_sensor.gate_{learned.label}"] == f"gate_id_{class_id}"
        assert unique[f"sensor.gate_score_of_{learned.label}"] == f"gate_id_{class_id}_score"


@pytest.mark.usefixtures("all_enabled")
async def test_what_is_about_looks_is_unavailable_until_there_is_one(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    await teach(hass, engine, camera, "closed", "open")
    mine = {one.entity_id for one in entities(hass, engine) if one.config_subentry_id}
    lasting = {one for one in mine if one.partition(".")[0] in SETTINGS} | ALWAYS
    assert not [one for one in mine if state(hass, one) == "unavailable"]
    picture, camera.frame = camera.frame, None
    await blind(engine)
    assert {one for one in mine if state(hass, one) == "unavailable"} == mine - lasting
    # After a restart likewise, until the first look.
    assert await hass.config_entries.async_reload(engine.entry_id)
    await settled(hass)
    assert {one for one in mine if state(hass, one) == "unavailable"} == mine - lasting
    camera.frame = picture
    await act(hass, engine, "look")
    assert not [one for one in mine if state(hass, one) == "unavailable"]


@pytest.mark.usefixtures("all_enabled")
async def test_two_classifiers_of_an_engine_have_their_own(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    await teach(hass, engine, camera, "closed", "open")
    yard_id = await yard(hass, engine)
    found = entities(hass, engine)
    by_owner: dict[str | None, set[str]] = {}
    for one in found:
        by_owner.setdefault(one.config_subentry_id, set()).add(one.entity_id)
    assert by_owner.keys() == {None, "gate_id", yard_id}
    assert {"binary_sensor.yard_empty", "sensor.yard_score_of_dark", "select.yard_class_to_teach"} <= by_owner[yard_id]
    assert "binary_sensor.yard_dark" not in by_owner[yard_id], "background"
    # What is done to one leaves the other as it is.
    for entity_id, action, data in (
        ("select.yard_class_to_teach", "select_option", {"option": "dark"}),
        ("number.yard_interval", "set_value", {"value": 44}),
        ("switch.yard_watching", "turn_off", {}),
        ("button.yard_capture_example", "press", {}),
    ):
        domain = entity_id.partition(".")[0]
        await hass.services.async_call(domain, action, {"entity_id": entity_id, **data}, blocking=True)
    await settled(hass)
    shown = {name: state(hass, name.format("yard")) for name in ("select.{}_class_to_teach", "number.{}_interval")}
    assert [*shown.values(), state(hass, "switch.yard_watching"), state(hass, "sensor.yard_examples")] == [
        "dark", "44.0", "off", "1",
    ]  # fmt: skip
    shown = {name: state(hass, name.format("gate")) for name in ("select.{}_class_to_teach", "number.{}_interval")}
    assert [*shown.values(), state(hass, "switch.gate_watching"), state(hass, "sensor.gate_examples")] == [
        "unknown", "10.0", "on", "2",
    ]  # fmt: skip
    hass.config_entries.async_remove_subentry(engine, yard_id)
    await settled(hass)
    assert {one.entity_id for one in entities(hass, engine)} == by_owner[None] | by_owner["gate_id"]


async def test_unloading_leaves_nothing_that_answers(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    await teach(hass, engine, camera, "closed", "open")
    there = [one.entity_id for one in entities(hass, engine) if not one.disabled_by]
    coordinator = engine.runtime_data.classifiers["gate_id"]
    assert await hass.config_entries.async_unload(engine.entry_id)
    await settled(hass)
    assert {state(hass, one) for one in there} == {"unavailable"}
    coordinator.async_update_listeners()
    assert {state(hass, one) for one in there} == {"unavailable"}


# --- score per class ---------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("all_enabled")
async def test_each_class_has_its_score(hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera) -> None:
    assert state(hass, "sensor.gate_score_of_open") == "unknown", "nothing is taught yet"
    await act(hass, engine, "add_class", **{"class": "half", "background": True})
    await teach(hass, engine, camera, "closed", "open")
    camera.show("open", 30)
    answer = await act(hass, engine, "look")
    for label in ("open", "closed"):
        shown = hass.states.get(f"sensor.gate_score_of_{label}")
        assert shown and shown.state == str(round(100 * answer["scores"][label]))
        assert shown.attributes["evidence"] == pytest.approx(answer["evidence"][label], abs=0.001)
        assert shown.attributes["unit_of_measurement"] == "%"
    assert state(hass, "sensor.gate_score_of_half") == "unknown", "a class without an example has no score"


@pytest.mark.usefixtures("all_enabled")
async def test_scores_follow_their_classes(hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera) -> None:
    await teach(hass, engine, camera, "closed", "open")
    await act(hass, engine, "rename_class", **{"class": "open", "name": "ajar"})
    registered = er.async_get(hass).async_get("sensor.gate_score_of_open")
    shown = hass.states.get("sensor.gate_score_of_open")
    assert registered and registered.original_name == "Score of ajar"
    assert shown and shown.attributes["friendly_name"] == "Gate Score of ajar"
    await act(hass, engine, "remove_class", **{"class": "ajar"})
    assert state(hass, "sensor.gate_score_of_open") is None
    assert er.async_get(hass).async_get("sensor.gate_score_of_open") is None
    assert state(hass, "sensor.gate_score_of_closed") not in {None, "unavailable"}
    assert state(hass, "sensor.gate_class") is not None, "other sensors stay"
    await act(hass, engine, "undo")
    restored = er.async_get(hass).async_get("sensor.gate_score_of_open")
    assert restored and restored.original_name == "Score of ajar"
    assert state(hass, "sensor.gate_score_of_open") not in {None, "unavailable"}


async def test_a_disabled_score_goes_with_its_class_too(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    assert er.async_get(hass).async_get("sensor.gate_score_of_open")
    await act(hass, engine, "remove_class", **{"class": "open"})
    assert er.async_get(hass).async_get("sensor.gate_score_of_open") is None
    assert er.async_get(hass).async_get("sensor.gate_score_of_closed")
