"""Earlier heads are kept, and can answer again until something else is taught."""

from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.coral_imprint.classifiers.learning.learner import Learner
from tests.shell.conftest import (
    NETWORK,
    FakeCamera,
    act,
    change,
    classifier_data,
    models,
    network,
    settled,
    state,
    teach,
)


def learner(entry: MockConfigEntry) -> Learner:
    found = entry.runtime_data.classifiers["gate_id"].learner
    assert isinstance(found, Learner)
    return found


async def numbers(hass: HomeAssistant, entry: MockConfigEntry) -> list[int]:
    return [one["version"] for one in (await act(hass, entry, "head_versions"))["versions"]]


def packed(entry: MockConfigEntry) -> bytes:
    """Return the head that answers, as bytes."""
    head = learner(entry).learned.head
    assert head
    return head.save("any")


async def test_each_change_of_what_is_taught_is_a_version(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    assert await act(hass, engine, "head_versions") == {"versions": [], "restored": None}
    await teach(hass, engine, camera, "closed", "open", "open")
    found = await act(hass, engine, "head_versions")
    assert [one["version"] for one in found["versions"]] == [3, 2, 1]
    assert found["versions"][0]["examples"] == {"closed": 1, "open": 2}
    assert {one["why"] for one in found["versions"]} == {"capture_example"}
    assert {one["head"] for one in found["versions"]} == {"imprint"}
    # What is imprinted over again is no other head.
    await act(hass, engine, "imprint")
    assert await numbers(hass, engine) == [3, 2, 1]
    await act(hass, engine, "undo")
    assert (await act(hass, engine, "head_versions"))["versions"][0]["why"] == "undo"


async def test_a_restored_head_answers_until_something_is_taught(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    await teach(hass, engine, camera, "closed", "open")
    before = packed(engine)
    # A mistake: the open gate filed as closed, again and again.
    for number in range(4):
        camera.show("open", 300 + number)
        await act(hass, engine, "capture_example", **{"class": "closed"})
    mistaken = packed(engine)
    assert mistaken != before
    await act(hass, engine, "restore_head", version=2)
    assert (packed(engine), (await act(hass, engine, "head_versions"))["restored"]) == (before, 2)
    camera.show("open", 90)
    assert (await act(hass, engine, "look"))["best"] == "open"
    # It answers after a restart, and after settings changed.
    assert await hass.config_entries.async_reload(engine.entry_id)
    await settled(hass)
    assert packed(engine) == before
    subentry = engine.subentries["gate_id"]
    region = {"left": 0, "top": 0, "right": 100, "bottom": 100}
    changed = {**classifier_data(hass), "region": region, "decision": {**subentry.data["decision"], "head": "ridge"}}
    hass.config_entries.async_update_subentry(engine, subentry, data=changed)
    await settled(hass)
    assert packed(engine) == before
    assert await numbers(hass, engine) == [6, 5, 4, 3, 2, 1]
    # What is taught next ends that: all examples count again.
    await act(hass, engine, "capture_example", **{"class": "open"})
    assert learner(engine).learned.restored is None
    head = learner(engine).learned.head
    assert head and head.kind == "ridge"


async def test_imprinting_lets_the_examples_answer_again(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    await teach(hass, engine, camera, "closed", "open", "open")
    newest = packed(engine)
    await act(hass, engine, "restore_head", version=1)
    assert packed(engine) != newest
    assert state(hass, "sensor.gate_class") == "unknown", "the first head knows one class"
    await act(hass, engine, "imprint")
    assert (packed(engine), learner(engine).learned.restored) == (newest, None)


@pytest.mark.parametrize(("asked", "key"), [(99, "unknown_version"), (1, "unusable_head")])
async def test_a_version_that_can_not_answer_changes_nothing(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, asked: int, key: str
) -> None:
    await teach(hass, engine, camera, "closed", "open")
    (models(hass) / "mine.tflite").write_bytes(network())
    await change(hass, engine, **NETWORK)
    assert await numbers(hass, engine) == [3, 2, 1]
    before: Any = learner(engine).learned
    with pytest.raises(HomeAssistantError) as failed:
        await act(hass, engine, "restore_head", version=asked)  # 1: made through another extractor
    assert failed.value.translation_key == key
    assert learner(engine).learned is before


async def test_a_damaged_version_is_passed_over_at_a_restart(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    await teach(hass, engine, camera, "closed", "open", "open")
    newest = packed(engine)
    await act(hass, engine, "restore_head", version=2)
    assert await hass.config_entries.async_unload(engine.entry_id)
    (kept,) = (learner_root(hass) / ".heads").glob("*2.head")
    content = bytearray(kept.read_bytes())
    content[-1] ^= 1
    kept.write_bytes(bytes(content))
    assert await hass.config_entries.async_setup(engine.entry_id)
    await settled(hass)
    assert packed(engine) == newest


def learner_root(hass: HomeAssistant) -> Any:
    """Return the classifier's folder."""
    return models(hass).parent / "gate"
