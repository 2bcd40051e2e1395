"""Comparing extractors on the user's own examples."""

from typing import Any

from homeassistant.core import Context, HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.exceptions import ServiceValidationError, Unauthorized
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, MockUser

from tests.shell.conftest import DOMAIN, FakeCamera, act, device_id, models, network, state, teach, workers
from tests.shell.flows.test_engine_flow import progressed


async def recommend(hass: HomeAssistant, entry: MockConfigEntry, identifier: str = "gate_id") -> Any:
    """Call the action on a device."""
    target = {"device_id": device_id(hass, entry, identifier)}
    return await hass.services.async_call(DOMAIN, "recommend_extractor", target, blocking=True, return_response=True)


@pytest.fixture
async def taught(hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera) -> MockConfigEntry:
    """Return the engine with three examples of each class, and a second extractor at hand."""
    await teach(hass, engine, camera, *(["closed", "open"] * 3))
    (models(hass) / "mine.tflite").write_bytes(network())
    return engine


@pytest.mark.parametrize("whole_engine", [False, True])
async def test_every_extractor_at_hand_is_tried_on_the_examples(
    hass: HomeAssistant, taught: MockConfigEntry, camera: FakeCamera, whole_engine: bool
) -> None:
    answer = await recommend(hass, taught, taught.entry_id if whole_engine else "gate_id")
    rows = {row["extractor"]: row for row in answer["extractors"]}
    assert rows.keys() == {"builtin", "mine.tflite"}
    assert rows["builtin"]["accuracy"] == 100
    assert answer["recommended"] in rows and answer["best"] in rows
    for row in rows.values():
        assert row["milliseconds"] > 0 and row["tested_examples"] == 6 and 0 <= row["p_value"] <= 1
    assert [row["milliseconds"] for row in answer["extractors"]] == sorted(row["milliseconds"] for row in rows.values())
    assert answer["unusable"] == {}
    # Nothing has changed, and the extractor that was tried is closed.
    assert taught.runtime_data.embedder.runtime == "builtin"
    assert workers() == 1
    assert state(hass, "binary_sensor.gate_open") == "on"


async def test_a_second_comparison_embeds_no_example_again(
    hass: HomeAssistant, taught: MockConfigEntry, camera: FakeCamera, embedded: list[bytes]
) -> None:
    await recommend(hass, taught)
    camera.frame = None
    embedded.clear()
    await recommend(hass, taught)
    assert len(embedded) == 2 * 6, "only those by which each extractor is timed"


async def test_an_unusable_file_does_not_spoil_the_comparison(
    hass: HomeAssistant, taught: MockConfigEntry, camera: FakeCamera
) -> None:
    (models(hass) / "bad.tflite").write_bytes(b"no model")
    answer = await recommend(hass, taught)
    assert answer["unusable"].keys() == {"bad.tflite"} and answer["unusable"]["bad.tflite"]
    assert len(answer["extractors"]) == 2


async def test_too_few_examples_are_said_to_be_too_few(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, hass_read_only_user: MockUser
) -> None:
    for gates in ((), ("closed",), ("open",)):
        await teach(hass, engine, camera, *gates)
        with pytest.raises(ServiceValidationError) as caught:
            await recommend(hass, engine)
        assert caught.value.translation_key == "too_few_examples"
    with pytest.raises(Unauthorized):
        await hass.services.async_call(
            DOMAIN,
            "recommend_extractor",
            {"device_id": device_id(hass, engine)},
            blocking=True,
            return_response=True,
            context=Context(user_id=hass_read_only_user.id),
        )


async def test_the_reconfigure_flow_compares_and_proposes(
    hass: HomeAssistant, taught: MockConfigEntry, camera: FakeCamera
) -> None:
    result: Any = await taught.start_reconfigure_flow(hass)
    result = await hass.config_entries.flow.async_configure(result["flow_id"], {"next_step_id": "recommend"})
    assert (result["type"], result["progress_action"]) == (FlowResultType.SHOW_PROGRESS, "compare")
    result = await progressed(hass, result)
    assert (result["type"], result["step_id"]) == (FlowResultType.FORM, "recommended")
    shown = result["description_placeholders"]["comparison"]
    assert "Built-in** ✔: 100%" in shown or "Built-in: 100%" in shown
    assert shown.count("✔") == 1 and shown.count("\n") == 1
    suggested = {str(key): (key.description or {}).get("suggested_value") for key in result["data_schema"].schema}
    chosen = {"extractor": suggested["extractor"], "runtime": "portable", "threads": 1}
    result = await hass.config_entries.flow.async_configure(result["flow_id"], chosen)
    assert (result["type"], result["reason"]) == (FlowResultType.ABORT, "reconfigure_successful")
    await hass.async_block_till_done(wait_background_tasks=True)
    assert taught.data["extractor"] == suggested["extractor"]
    assert (await act(hass, taught, "look"))["best"] == "open"


async def test_the_flow_says_that_there_is_too_little(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    result: Any = await engine.start_reconfigure_flow(hass)
    result = await hass.config_entries.flow.async_configure(result["flow_id"], {"next_step_id": "recommend"})
    result = await progressed(hass, result)
    assert (result["type"], result["reason"]) == (FlowResultType.ABORT, "too_few_examples")
    assert await hass.config_entries.async_unload(engine.entry_id)
    result = await engine.start_reconfigure_flow(hass)
    result = await hass.config_entries.flow.async_configure(result["flow_id"], {"next_step_id": "recommend"})
    assert (result["type"], result["reason"]) == (FlowResultType.ABORT, "engine_not_loaded")
