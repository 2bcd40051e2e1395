"""Classes come, go and change their names while the classifier works."""

from pathlib import Path

from homeassistant.core import HomeAssistant
from homeassistant.exceptions import ServiceValidationError
from homeassistant.helpers import entity_registry as er
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from tests.shell.conftest import FakeCamera, act, draw, state, teach

OPEN = "binary_sensor.gate_open"


async def test_a_new_class_gets_its_entity_without_a_reload(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    await teach(hass, engine, camera, "closed", "open")
    answer = await act(hass, engine, "add_class", **{"class": "half"})
    assert answer["class"] == "half"
    assert state(hass, "binary_sensor.gate_half") == "off"
    await teach(hass, engine, camera, "half")
    assert state(hass, "binary_sensor.gate_half") == "on"
    options = hass.states.get("sensor.gate_class")
    assert options and options.attributes["options"] == ["open", "closed", "half"]


async def test_a_background_class_gets_none(hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera) -> None:
    await act(hass, engine, "add_class", **{"class": "half", "background": True})
    assert state(hass, "binary_sensor.gate_half") is None
    await teach(hass, engine, camera, "closed", "open", "half")
    assert (state(hass, "sensor.gate_class"), state(hass, OPEN)) == ("half", "off")


async def test_a_removed_class_goes_with_its_entity(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    await act(hass, engine, "add_class", **{"class": "half"})
    await teach(hass, engine, camera, "closed", "half", "open")
    await act(hass, engine, "remove_class", **{"class": "open"})
    assert state(hass, OPEN) is None
    assert er.async_get(hass).async_get(OPEN) is None
    camera.show("closed", 3)
    for _ in range(2):
        answer = await act(hass, engine, "look")
    assert answer["class"] == "closed"
    assert set(answer["scores"]) == {"closed", "half"}
    with pytest.raises(ServiceValidationError) as caught:
        await act(hass, engine, "capture_example", **{"class": "open"})
    assert caught.value.translation_key == "unknown_class"


async def test_removing_the_current_class_leaves_no_stale_state(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    await teach(hass, engine, camera, "closed", "open")
    await act(hass, engine, "remove_class", **{"class": "open"})
    assert state(hass, "sensor.gate_class") == "unknown"


async def test_a_renamed_class_keeps_its_entity(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    await teach(hass, engine, camera, "closed", "open")
    before = er.async_get(hass).async_get(OPEN)
    await act(hass, engine, "rename_class", **{"class": "open", "name": "wide open"})
    after = er.async_get(hass).async_get(OPEN)
    assert before and after and before.unique_id == after.unique_id
    shown = hass.states.get(OPEN)
    assert shown and (shown.state, shown.attributes["friendly_name"]) == ("on", "Gate wide open")
    assert state(hass, "sensor.gate_class") == "wide open"
    # The name holds after a restart.
    assert await hass.config_entries.async_reload(engine.entry_id)
    await hass.async_block_till_done(wait_background_tasks=True)
    shown = hass.states.get(OPEN)
    assert shown and shown.attributes["friendly_name"] == "Gate wide open"


@pytest.mark.parametrize(
    ("action", "data", "key"),
    [
        ("add_class", {"class": "Open"}, "class_exists"),
        ("add_class", {"class": "unknown"}, "invalid_label"),
        ("add_class", {"class": "  "}, "invalid_label"),
        ("rename_class", {"class": "open", "name": "closed"}, "class_exists"),
        ("rename_class", {"class": "ajar", "name": "x"}, "unknown_class"),
        ("remove_class", {"class": "ajar"}, "unknown_class"),
        ("capture_example", {"class": "ajar"}, "unknown_class"),
    ],
)
async def test_mistakes_are_named(
    hass: HomeAssistant, engine: MockConfigEntry, action: str, data: dict[str, str], key: str
) -> None:
    with pytest.raises(ServiceValidationError) as caught:
        await act(hass, engine, action, **data)
    assert caught.value.translation_key == key
    assert "{" not in str(caught.value), "every placeholder is filled"


async def test_pictures_dropped_into_folders_are_adopted_by_imprint(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    def drop() -> None:
        for gate, name in (("open", "open"), ("closed", "closed"), ("half", "ajar")):
            folder = Path(hass.config.path("coral_imprint", "gate", name))
            folder.mkdir(exist_ok=True)
            (folder / f"mine_{gate}.jpg").write_bytes(draw(gate, 50))

    await hass.async_add_executor_job(drop)
    answer = await act(hass, engine, "imprint")
    assert answer["examples"] == {"open": 1, "closed": 1, "ajar": 1}
    assert state(hass, "binary_sensor.gate_ajar") == "unknown"
    camera.show("half", 3)
    for _ in range(2):
        await act(hass, engine, "look")
    assert state(hass, "binary_sensor.gate_ajar") == "on"
