"""Changing what examples are filed under, taking changes back, and hearing the truth about the examples."""

from datetime import timedelta
from pathlib import Path

from freezegun.api import FrozenDateTimeFactory
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import ServiceValidationError
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.coral_imprint.core.imprinting.report.remarks import TEXTS
from tests.shell.conftest import DOMAIN, FakeCamera, act, models, state, teach
from tests.shell.metadata import read


def filed(hass: HomeAssistant) -> dict[str, list[str]]:
    """Return the ids of the examples by class folder."""
    root = Path(hass.config.path(DOMAIN, "gate"))
    folders = [folder for folder in root.iterdir() if folder.is_dir() and not folder.name.startswith(".")]
    return {folder.name: sorted(path.stem for path in folder.glob("*.jpg")) for folder in folders}


async def test_a_wrongly_filed_example_is_found_and_filed_anew(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, freezer: FrozenDateTimeFactory
) -> None:
    for day in range(4):
        freezer.tick(timedelta(days=1))
        await teach(hass, engine, camera, "closed", "open", seed=100 + 10 * day)
    freezer.tick(timedelta(days=1))
    camera.show("open", 50)
    (wrong,) = (await act(hass, engine, "capture_example", **{"class": "closed"}))["examples"]
    found = await act(hass, engine, "evaluate")
    assert [one["id"] for one in found["odd"]] == [wrong]
    assert (found["odd"][0]["class_id"], found["odd"][0]["likely"]) == ("closed", "open")
    assert found["advice"][0] == "The same picture was filed under closed and open. One of them is wrong."
    assert found["advice"][1].startswith("An example of closed looks like open.")
    await act(hass, engine, "relabel_example", example=wrong, **{"class": "open"})
    assert wrong in filed(hass)["open"]
    found = await act(hass, engine, "evaluate")
    assert (found["odd"], found["measured"], found["examples"]) == ([], 1.0, {"closed": 4, "open": 5})
    assert (await act(hass, engine, "look"))["best"] == "open"


async def test_every_change_can_be_taken_back_and_made_again(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    await teach(hass, engine, camera, "closed", "open")
    taught = filed(hass)
    await act(hass, engine, "remove_example", example=taught["open"][0])
    assert filed(hass)["open"] == []
    assert state(hass, "binary_sensor.gate_open") != "on", "nothing is left of what was learned"
    answer = await act(hass, engine, "undo")
    assert (answer["change"], answer["of"]) == ("example_removed", taught["open"][0])
    assert filed(hass) == taught
    await act(hass, engine, "remove_class", **{"class": "open"})
    assert state(hass, "binary_sensor.gate_open") is None
    # It survives a restart.
    assert await hass.config_entries.async_unload(engine.entry_id)
    assert await hass.config_entries.async_setup(engine.entry_id)
    await hass.async_block_till_done(wait_background_tasks=True)
    answer = await act(hass, engine, "undo")
    assert (answer["change"], answer["of"]) == ("class_removed", "open")
    assert filed(hass) == taught
    camera.show("open", 9)
    for _ in range(2):
        await act(hass, engine, "look")
    assert state(hass, "binary_sensor.gate_open") == "on"
    await act(hass, engine, "redo")
    assert state(hass, "binary_sensor.gate_open") is None


async def test_what_can_not_be_done_is_said(hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera) -> None:
    for action, data, key in (
        ("redo", {}, "nothing_to_redo"),
        ("remove_example", {"example": "none"}, "unknown_example"),
        ("relabel_example", {"example": "none", "class": "open"}, "unknown_example"),
        ("relabel_example", {"example": "none", "class": "no class"}, "unknown_class"),
    ):
        with pytest.raises(ServiceValidationError) as caught:
            await act(hass, engine, action, **data)
        assert caught.value.translation_key == key
    found = await act(hass, engine, "evaluate")
    assert found["expected"] is None and found["advice"] == ["No class has an example yet."]


def test_every_sentence_of_an_evaluation_is_translated() -> None:
    assert read("translations/en.json")["selector"]["remark"]["options"] == TEXTS


async def test_an_erased_example_leaves_nothing_behind(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    await teach(hass, engine, camera, "closed", "open")
    before = engine.runtime_data.classifiers["gate_id"].learner.learned.head.save("any")
    camera.show("open", 700)
    (wrong,) = (await act(hass, engine, "capture_example", **{"class": "closed"}))["examples"]
    await act(hass, engine, "relabel_example", example=wrong, **{"class": "open"})
    await act(hass, engine, "remove_example", example=wrong)
    folder = models(hass).parent / "gate"
    assert any(camera.frame == path.read_bytes() for path in folder.rglob("*") if path.is_file()), "in the bin"
    await act(hass, engine, "erase_example", example=wrong)
    left = [path for path in folder.rglob("*") if path.is_file()]
    assert not any(path.read_bytes() == camera.frame or wrong.encode() in path.read_bytes() for path in left)
    assert not any(wrong in path.name for path in left)
    assert engine.runtime_data.classifiers["gate_id"].learner.learned.head.save("any") == before
    assert [one["version"] for one in (await act(hass, engine, "head_versions"))["versions"]] == [5, 2, 1]
    with pytest.raises(ServiceValidationError, match="no such example"):
        await act(hass, engine, "erase_example", example=wrong)
