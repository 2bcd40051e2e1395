"""The main job: teach two classes, follow the camera through binary sensors."""

from pathlib import Path

from homeassistant.core import HomeAssistant
from pytest_homeassistant_custom_component.common import MockConfigEntry

from tests.shell.conftest import FakeCamera, act, state, teach

OPEN, CLOSED = "binary_sensor.gate_open", "binary_sensor.gate_closed"
CLASS, CONFIDENCE = "sensor.gate_class", "sensor.gate_confidence"


async def test_nothing_is_claimed_before_teaching(hass: HomeAssistant, engine: MockConfigEntry) -> None:
    assert [state(hass, entity) for entity in (OPEN, CLOSED, CLASS, CONFIDENCE)] == ["unknown"] * 4


async def test_one_class_alone_decides_nothing(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    await teach(hass, engine, camera, "closed")
    assert (await act(hass, engine, "look"))["class"] is None
    assert {state(hass, entity) for entity in (CLOSED, CLASS, CONFIDENCE)} == {"unknown"}


async def test_learns_from_one_example_each(hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera) -> None:
    await teach(hass, engine, camera, "closed", "open")
    # The capture itself says what the camera shows: no look has to confirm it.
    assert (state(hass, OPEN), state(hass, CLOSED), state(hass, CLASS)) == ("on", "off", "open")
    camera.show("closed", 7)
    await act(hass, engine, "look")
    assert state(hass, OPEN) == "on", "one look is not enough"
    answer = await act(hass, engine, "look")
    assert (state(hass, OPEN), state(hass, CLOSED), state(hass, CLASS)) == ("off", "on", "closed")
    assert answer["class"] == answer["best"] == "closed"
    assert answer["confidence"] == answer["scores"]["closed"] > 0.8
    assert answer["evidence"]["closed"] > answer["evidence"]["open"]
    confidence = hass.states.get(CONFIDENCE)
    assert confidence and int(confidence.state) == round(100 * answer["confidence"])
    assert confidence.attributes["unit_of_measurement"] == "%"


async def test_examples_are_whole_frames_in_class_folders(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    camera.show("open", 1)
    answer = await act(hass, engine, "capture_example", **{"class": "OPEN"})
    (example,) = answer["examples"]
    stored = Path(hass.config.path("coral_imprint", "gate", "open", f"{example}.jpg"))
    assert stored.read_bytes() == camera.frame


async def test_a_burst_takes_a_fresh_frame_each(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    asked = camera.asked
    answer = await act(hass, engine, "capture_example", **{"class": "open", "count": 3, "interval": 0})
    assert len(set(answer["examples"])) == 3
    assert camera.asked - asked == 3
    assert (await act(hass, engine, "imprint"))["examples"] == {"open": 3, "closed": 0}


async def test_looks_embed_one_frame_once(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, embedded: list[bytes]
) -> None:
    embedded.clear()
    camera.show("open", 3)
    for _ in range(3):
        await act(hass, engine, "look")
    assert len(embedded) == 1, "unchanged bytes are not embedded again"
    camera.show("closed", 4)
    await act(hass, engine, "look")
    assert len(embedded) == 2


async def test_what_was_learned_survives_a_restart(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, embedded: list[bytes]
) -> None:
    await teach(hass, engine, camera, "closed", "open")
    assert await hass.config_entries.async_unload(engine.entry_id)
    assert state(hass, OPEN) == "unavailable"
    assert not hasattr(engine, "runtime_data"), "nothing of a stopped engine is left"
    embedded.clear()
    camera.show("closed", 9)
    assert await hass.config_entries.async_setup(engine.entry_id)
    await hass.async_block_till_done(wait_background_tasks=True)
    assert (await act(hass, engine, "look"))["class"] == "closed"
    assert set(embedded) == {camera.frame}, "the examples' embeddings come from the cache"


async def test_the_image_shows_the_last_look(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, hass_client: object
) -> None:
    client = await hass_client()  # type: ignore[operator]
    shown = hass.states.get("image.gate_last_look")
    assert shown and shown.state != "unknown"
    camera.show("open", 5)
    await act(hass, engine, "look")
    response = await client.get(shown.attributes["entity_picture"])
    assert response.status == 200
    assert await response.read() == camera.frame
    assert response.content_type == "image/jpeg"
