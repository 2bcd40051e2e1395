"""Adding and changing classifiers as the UI does."""

from pathlib import Path
from typing import Any

from homeassistant.config_entries import SOURCE_USER
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType, section
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import device_registry as dr, entity_registry as er
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
import voluptuous as vol

from custom_components.coral_imprint.flows.forms import classifier_schema
from tests.shell.conftest import CAMERA, DOMAIN, FakeCamera, act, state, teach

WHOLE = {"left": 0, "top": 0, "right": 100, "bottom": 100}
DECISION = {"enter_at": 80, "stay_at": 60, "looks": 2, "hold": 30, "stale_after": 300}


def answers(**changed: Any) -> dict[str, Any]:
    """Return a filled-in classifier form."""
    form = {
        "name": "Parking spot",
        "camera": CAMERA,
        "classes": ["car", "bike"],
        "background": "empty",
        "interval": 5,
        "region": WHOLE,
        "decision": DECISION,
    }
    return form | changed


async def start_classifier(hass: HomeAssistant, entry: MockConfigEntry) -> Any:
    return await hass.config_entries.subentries.async_init(
        (entry.entry_id, "classifier"), context={"source": SOURCE_USER}
    )


async def add_classifier(hass: HomeAssistant, entry: MockConfigEntry, form: dict[str, Any]) -> Any:
    result = await start_classifier(hass, entry)
    result = await hass.config_entries.subentries.async_configure(result["flow_id"], form)
    await hass.async_block_till_done(wait_background_tasks=True)
    return result


async def reconfigure_classifier(hass: HomeAssistant, entry: MockConfigEntry, **changed: Any) -> Any:
    result = await entry.start_subentry_reconfigure_flow(hass, "gate_id")
    assert result["step_id"] == "reconfigure"
    form = {
        key: value for key, value in answers(name="Gate", interval=10).items() if key not in {"classes", "background"}
    }
    result = await hass.config_entries.subentries.async_configure(result["flow_id"], form | changed)
    await hass.async_block_till_done(wait_background_tasks=True)
    return result


async def test_add_a_classifier_without_a_reload(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    embedder = engine.runtime_data.embedder
    result = await add_classifier(hass, engine, answers())
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert engine.runtime_data.embedder is embedder, "the engine was not reloaded"
    subentry = next(sub for sub in engine.subentries.values() if sub.title == "Parking spot")
    registered = er.async_get(hass).async_get(CAMERA)
    assert registered and subentry.data["camera"] == registered.id
    assert subentry.data["folder"] == "parking_spot"
    assert {state(hass, f"binary_sensor.parking_spot_{label}") for label in ("car", "bike")} == {"unknown"}
    assert state(hass, "binary_sensor.parking_spot_empty") is None
    assert state(hass, "image.parking_spot_last_look") != "unavailable"
    device = dr.async_get(hass).async_get_device_by_identifier((DOMAIN, subentry.subentry_id), engine.entry_id)
    hub = dr.async_get(hass).async_get_device_by_identifier((DOMAIN, engine.entry_id), engine.entry_id)
    assert device and hub and device.via_device_id == hub.id
    # A second one of the same name gets a folder of its own.
    await add_classifier(hass, engine, answers())
    folders = {sub.data["folder"] for sub in engine.subentries.values()}
    assert folders == {"gate", "parking_spot", "parking_spot_2"}


@pytest.mark.parametrize(
    ("changed", "errors"),
    [
        ({"name": "  "}, {"name": "name_missing"}),
        ({"classes": ["car", "Car"]}, {"classes": "class_exists"}),
        ({"classes": ["car", "empty"]}, {"classes": "class_exists"}),
        ({"classes": ["unknown"]}, {"classes": "invalid_label"}),
        ({"region": {**WHOLE, "left": 60, "right": 40}}, {"base": "invalid_region"}),
        ({"region": {**WHOLE, "left": 99.5}}, {"base": "invalid_region"}),
        ({"decision": {**DECISION, "stay_at": 90}}, {"base": "stay_above_enter"}),
        ({"camera": "camera.nowhere"}, {"camera": "camera_unavailable"}),
    ],
    ids=["no name", "twice", "background twice", "reserved", "inside out", "too narrow", "thresholds", "no camera"],
)
async def test_mistakes_in_the_form_are_named(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, changed: dict[str, Any], errors: dict[str, str]
) -> None:
    result = await start_classifier(hass, engine)
    result = await hass.config_entries.subentries.async_configure(result["flow_id"], answers(**changed))
    assert (result["type"], result["errors"]) == (FlowResultType.FORM, errors)
    result = await hass.config_entries.subentries.async_configure(result["flow_id"], answers())
    assert result["type"] is FlowResultType.CREATE_ENTRY
    await hass.async_block_till_done(wait_background_tasks=True)


@pytest.mark.parametrize(
    ("frame", "key"),
    [(b"<html>", "not_a_picture"), (HomeAssistantError("strike"), "camera_no_image")],
    ids=["html", "error"],
)
async def test_a_frame_is_grabbed_before_a_classifier_is_made(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, frame: bytes | Exception, key: str
) -> None:
    camera.frame = frame
    result = await add_classifier(hass, engine, answers())
    assert (result["type"], result["errors"]) == (FlowResultType.FORM, {"camera": key})
    assert result["description_placeholders"]["reason"]
    assert not Path(hass.config.path(DOMAIN, "parking_spot")).exists()


async def test_a_stopped_engine_takes_no_classifier(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    result = await start_classifier(hass, entry)
    assert (result["type"], result["reason"]) == (FlowResultType.ABORT, "engine_not_loaded")


async def test_reconfigure_a_classifier_in_place(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    await teach(hass, engine, camera, "closed", "open")
    coordinator = engine.runtime_data.classifiers["gate_id"]
    result = await reconfigure_classifier(hass, engine, name="Front gate", interval=3)
    assert (result["type"], result["reason"]) == (FlowResultType.ABORT, "reconfigure_successful")
    assert engine.runtime_data.classifiers["gate_id"] is coordinator
    assert coordinator.settings.interval == 3
    assert state(hass, "binary_sensor.gate_open") == "on", "the state is kept"
    device = dr.async_get(hass).async_get_device_by_identifier((DOMAIN, "gate_id"), engine.entry_id)
    assert device and device.name == "Front gate"


async def test_another_region_embeds_the_examples_again(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    await teach(hass, engine, camera, "closed", "open")
    before = (await act(hass, engine, "look"))["evidence"]
    await reconfigure_classifier(hass, engine, region={**WHOLE, "left": 10, "right": 90})
    learner = engine.runtime_data.classifiers["gate_id"].learner
    assert learner.learned.lens.region.left == pytest.approx(0.1)
    camera.show("open", 3)
    after = (await act(hass, engine, "look"))["evidence"]
    assert after != before
    assert max(after, key=after.get) == "open"
    # Both regions' embeddings are kept, so that going back costs nothing.
    assert len(list(Path(hass.config.path(DOMAIN, "gate", ".embeddings")).glob("*.emb"))) == 2


async def test_reconfiguring_with_a_removed_camera_asks_for_another(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    er.async_get(hass).async_remove(CAMERA)
    await hass.async_block_till_done(wait_background_tasks=True)
    result = await engine.start_subentry_reconfigure_flow(hass, "gate_id")
    assert result["type"] is FlowResultType.FORM
    suggested = {str(key): (key.description or {}).get("suggested_value") for key in result["data_schema"].schema}
    assert (suggested["name"], suggested["camera"]) == ("Gate", None)


async def test_when_to_look_is_asked_kept_and_named_by_registry_ids(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    registry = er.async_get(hass)
    door = registry.async_get_or_create("binary_sensor", "test", "door", object_id_base="door")
    lamp = registry.async_get_or_create("light", "test", "lamp", object_id_base="lamp")
    hass.states.async_set("input_button.bell", "unknown")
    when = {"triggers": [door.entity_id, "input_button.bell"], "burst_looks": 5, "light": lamp.entity_id, "settle": 1}
    await reconfigure_classifier(hass, engine, when=when)
    stored = engine.subentries["gate_id"].data["when"]
    assert (stored["triggers"], stored["light"]) == ([door.id, "input_button.bell"], lamp.id)
    assert stored["least_change"] == 4, "what is not answered has its default"
    settings = engine.runtime_data.classifiers["gate_id"].settings.when
    assert (settings.burst_looks, settings.settle, settings.refresh) == (5, 1, 60)
    # The form shows them by their present names, and without those that are gone.
    registry.async_update_entity(door.entity_id, new_entity_id="binary_sensor.garage")
    registry.async_remove(lamp.entity_id)
    result = await engine.start_subentry_reconfigure_flow(hass, "gate_id")
    shown = next(value for key, value in result["data_schema"].schema.items() if key == "when")
    suggested = {str(key): (key.description or {}).get("suggested_value") for key in shown.schema.schema}
    assert suggested["triggers"] == ["binary_sensor.garage", "input_button.bell"]
    assert (suggested["light"], suggested["burst_looks"]) == (None, 5)


async def test_a_classifier_does_not_look_after_itself(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    result = await reconfigure_classifier(hass, engine, when={"triggers": ["sensor.gate_confidence"]})
    assert (result["type"], result["errors"]) == (FlowResultType.FORM, {"base": "own_trigger"})
    assert result["description_placeholders"] == {"entity_id": "sensor.gate_confidence"}
    assert "when" not in engine.subentries["gate_id"].data


async def test_a_stopped_engine_changes_no_classifier(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    result = await entry.start_subentry_reconfigure_flow(hass, "gate_id")
    assert (result["type"], result["reason"]) == (FlowResultType.ABORT, "engine_not_loaded")


async def test_mistakes_in_a_change_are_named_and_can_be_mended(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    before = dict(engine.subentries["gate_id"].data)
    result = await reconfigure_classifier(hass, engine, decision={**DECISION, "stay_at": 90})
    assert (result["step_id"], result["errors"]) == ("reconfigure", {"base": "stay_above_enter"})
    suggested = {str(key): (key.description or {}).get("suggested_value") for key in result["data_schema"].schema}
    assert (suggested["name"], suggested["interval"]) == ("Gate", 10), "what was typed is kept"
    assert dict(engine.subentries["gate_id"].data) == before
    form = {key: value for key, value in answers(name="Gate").items() if key not in {"classes", "background"}}
    result = await hass.config_entries.subentries.async_configure(result["flow_id"], form)
    assert result["reason"] == "reconfigure_successful"
    await hass.async_block_till_done(wait_background_tasks=True)


async def test_without_a_name_of_letters_the_folder_has_one(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    await add_classifier(hass, engine, answers(name="…"))
    assert {subentry.data["folder"] for subentry in engine.subentries.values()} == {"gate", "unknown"}


def test_sections_leave_defaults_to_their_fields() -> None:
    """The frontend begins a section by its own default, where it has one, and with empty fields then."""
    sections = [key for key, value in classifier_schema(new=True).schema.items() if isinstance(value, section)]
    assert len(sections) == 4
    assert [key for key in sections if key.default is not vol.UNDEFINED] == []
