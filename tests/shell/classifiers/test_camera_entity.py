"""The camera's entity goes, comes back, is renamed, disabled, removed, replaced."""

from homeassistant.components.repairs import DOMAIN as REPAIRS
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.coral_imprint.issues import CAMERA_ISSUES, async_report_camera
from tests.shell.conftest import CAMERA, FakeCamera, settled, state, teach, told
from tests.shell.faulty import OPEN, PROBLEM, look, mend


async def test_a_camera_that_goes_is_noticed_at_once(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    await teach(hass, engine, camera, "closed", "open")
    hass.states.async_set(CAMERA, "unavailable")
    await settled(hass)
    assert (state(hass, OPEN), state(hass, PROBLEM)) == ("unavailable", "unavailable")
    hass.states.async_set(CAMERA, "idle")
    await settled(hass)
    assert (state(hass, OPEN), state(hass, PROBLEM)) == ("on", "ok")


async def test_a_disabled_camera(hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera) -> None:
    await teach(hass, engine, camera, "closed", "open")
    registry = er.async_get(hass)
    registry.async_update_entity(CAMERA, disabled_by=er.RegistryEntryDisabler.USER)
    await settled(hass)
    assert (state(hass, OPEN), state(hass, PROBLEM)) == ("unavailable", "disabled")
    assert told(hass)["camera_disabled"].is_fixable
    registry.async_update_entity(CAMERA, disabled_by=None)
    (other,) = hass.config_entries.async_entries("fake")
    assert await hass.config_entries.async_reload(other.entry_id)
    await settled(hass)
    assert (state(hass, OPEN), state(hass, PROBLEM), told(hass)) == ("on", "ok", {})


async def test_a_removed_camera_that_comes_back(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    """Home Assistant gives it its registry id again, and it is followed as before."""
    await teach(hass, engine, camera, "closed", "open")
    er.async_get(hass).async_remove(CAMERA)
    await settled(hass)
    assert (state(hass, OPEN), state(hass, PROBLEM)) == ("unavailable", "missing")
    assert told(hass).keys() == {"camera_missing"}
    (other,) = hass.config_entries.async_entries("fake")
    assert await hass.config_entries.async_reload(other.entry_id)
    await settled(hass)
    await look(hass, engine)
    assert (state(hass, OPEN), state(hass, PROBLEM), told(hass)) == ("on", "ok", {})
    hass.states.async_set(CAMERA, "unavailable")
    await settled(hass)
    assert state(hass, PROBLEM) == "unavailable", "noticed without a look"


async def test_a_camera_is_replaced(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, hass_client: ClientSessionGenerator
) -> None:
    assert await async_setup_component(hass, REPAIRS, {})
    await teach(hass, engine, camera, "closed", "open")
    registry = er.async_get(hass)
    stored = engine.subentries["gate_id"].data["camera"]
    registry.async_remove(CAMERA)
    await settled(hass)
    issue = told(hass)["camera_missing"]
    client = await hass_client()
    step = await mend(client, issue.issue_id, {"camera": "camera.nowhere"})
    assert (step["type"], step["errors"]) == ("form", {"camera": "camera_unavailable"})
    registry.deleted_entities.clear()  # forgotten for good: what comes is another entity
    (other,) = hass.config_entries.async_entries("fake")
    assert await hass.config_entries.async_reload(other.entry_id)
    await settled(hass)
    camera.frame = b"<html>"
    step = await mend(client, issue.issue_id, {"camera": CAMERA})
    assert step["errors"] == {"camera": "not_a_picture"}
    camera.show("open", 5)
    step = await mend(client, issue.issue_id, {"camera": CAMERA})
    assert step["type"] == "create_entry"
    await settled(hass)
    assert engine.subentries["gate_id"].data["camera"] not in {stored, CAMERA}, "by registry id again"
    await look(hass, engine)
    assert (state(hass, OPEN), state(hass, PROBLEM), told(hass)) == ("on", "ok", {})


@pytest.mark.parametrize("problem", ["missing", "moved"])
async def test_a_flow_of_a_classifier_that_is_gone(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, hass_client: ClientSessionGenerator, problem: str
) -> None:
    assert await async_setup_component(hass, REPAIRS, {})
    coordinator = engine.runtime_data.classifiers["gate_id"]
    async_report_camera(hass, engine, "another_id", coordinator.name, problem)
    step = await mend(await hass_client(), told(hass)[CAMERA_ISSUES[problem]].issue_id)
    assert (step["type"], step["reason"]) == ("abort", "engine_not_loaded")


async def test_a_removed_classifier_leaves_no_issue(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    er.async_get(hass).async_remove(CAMERA)
    await settled(hass)
    assert told(hass).keys() == {"camera_missing"}
    assert hass.config_entries.async_remove_subentry(engine, "gate_id")
    await settled(hass)
    assert told(hass) == {}
