"""An extractor that is not there, fails, or comes late: the engine answers all the while, says so, and mends itself."""

import asyncio
from pathlib import Path

from homeassistant.components.repairs import DOMAIN as REPAIRS
from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.coral_imprint.engines import engine as engine_module
from tests.shell.conftest import (
    DOMAIN,
    NETWORK,
    PUBLISHED,
    FakeCamera,
    change,
    models,
    network,
    settled,
    state,
    told,
    workers,
)
from tests.shell.file_server import FileServer, Request, good, status

# --- an extractor that can't be used ------------------------------------------------------------------------------


async def test_the_built_in_extractor_serves_while_a_file_is_missing(
    hass: HomeAssistant, entry: MockConfigEntry, camera: FakeCamera, hass_client: ClientSessionGenerator
) -> None:
    assert await async_setup_component(hass, REPAIRS, {})
    hass.config_entries.async_update_entry(entry, data=NETWORK)
    assert await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    assert state(hass, "sensor.built_in_runtime") == "builtin"
    await teach_without_waiting(hass, entry, camera)
    issue = told(hass)["extractor_unusable"]
    assert issue.translation_placeholders
    assert issue.translation_placeholders["folder"] == str(models(hass))
    # Nothing has changed: it says so.
    client = await hass_client()
    flow = await (
        await client.post("/api/repairs/issues/fix", json={"handler": DOMAIN, "issue_id": issue.issue_id})
    ).json()
    assert (flow["type"], flow["step_id"], flow["errors"]) == ("form", "confirm", {})
    flow = await (await client.post(f"/api/repairs/issues/fix/{flow['flow_id']}", json={})).json()
    assert (flow["type"], flow["errors"]) == ("form", {"base": "tried_again"})
    # The file is put into its place, and the user submits.
    (models(hass) / "mine.tflite").write_bytes(network())
    flow = await (await client.post(f"/api/repairs/issues/fix/{flow['flow_id']}", json={})).json()
    assert flow["type"] == "create_entry"
    await hass.async_block_till_done()
    assert not told(hass)
    assert state(hass, "sensor.built_in_runtime") == "portable"
    assert await hass.config_entries.async_unload(entry.entry_id)
    await settled(hass)
    assert workers() == 0


async def teach_without_waiting(hass: HomeAssistant, entry: MockConfigEntry, camera: FakeCamera) -> None:
    """Teach while a background task waits to try again."""
    coordinator = entry.runtime_data.classifiers["gate_id"]
    for number, gate in enumerate(("closed", "open")):
        camera.show(gate, number)
        await coordinator.teaching.async_capture(gate)
    assert state(hass, "binary_sensor.gate_open") == "on"


async def test_it_is_tried_again_by_itself(
    hass: HomeAssistant, entry: MockConfigEntry, camera: FakeCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "RETRY_AFTER", (0.01,))
    (models(hass) / "mine.tflite").write_bytes(b"no model")
    hass.config_entries.async_update_entry(entry, data=NETWORK)
    assert await hass.config_entries.async_setup(entry.entry_id)
    await asyncio.sleep(0.1)
    assert told(hass).keys() == {"extractor_unusable"}
    (models(hass) / "mine.tflite").write_bytes(network())
    await settled(hass)
    assert not told(hass)
    assert entry.runtime_data.embedder.runtime == "portable"
    assert await hass.config_entries.async_unload(entry.entry_id)


async def test_a_failing_change_leaves_what_answers(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    (models(hass) / "mine.tflite").write_bytes(network())
    await change(hass, engine, **NETWORK)
    (models(hass) / "other.tflite").write_bytes(b"no model")
    hass.config_entries.async_update_entry(engine, data={"extractor": "other.tflite", "runtime": "portable"})
    await hass.async_block_till_done()
    while not told(hass):
        await asyncio.sleep(0.01)
    assert engine.runtime_data.pool.extractor == "mine.tflite"
    await hass.config_entries.async_remove(engine.entry_id)
    assert not told(hass), "an engine that is gone has no troubles"


async def test_an_engine_fetches_its_extractor_in_the_background(
    hass: HomeAssistant, entry: MockConfigEntry, camera: FakeCamera, server: FileServer
) -> None:
    go_on = asyncio.Event()

    async def patient(request: Request) -> None:
        await go_on.wait()
        await good(request)

    server.answers = [patient]
    hass.config_entries.async_update_entry(entry, data={"extractor": PUBLISHED, "runtime": "portable"})
    assert await hass.config_entries.async_setup(entry.entry_id)
    assert entry.runtime_data.embedder.runtime == "builtin"
    go_on.set()
    await settled(hass)
    assert entry.runtime_data.embedder.runtime == "portable"
    assert Path(hass.config.cache_path(DOMAIN, "published.tflite")).read_bytes() == server.content
    # It is there once and for all.
    assert await hass.config_entries.async_unload(entry.entry_id)
    assert await hass.config_entries.async_setup(entry.entry_id)
    assert entry.runtime_data.embedder.runtime == "portable"
    assert len(server.requests) == 1
    assert await hass.config_entries.async_unload(entry.entry_id)


async def test_a_failing_download_is_told_and_mended_without_a_restart(
    hass: HomeAssistant, entry: MockConfigEntry, camera: FakeCamera, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "RETRY_AFTER", (0.05,))
    server.answers = [status(404), status(404), good]
    hass.config_entries.async_update_entry(entry, data={"extractor": PUBLISHED, "runtime": "portable"})
    assert await hass.config_entries.async_setup(entry.entry_id)
    while "download_failed" not in told(hass):
        await asyncio.sleep(0.005)
    placeholders = told(hass)["download_failed"].translation_placeholders
    assert placeholders
    assert "404" in placeholders["reason"]
    assert (placeholders["file"], placeholders["serving"]) == ("published.tflite", "Built-in")
    assert entry.runtime_data.embedder.runtime == "builtin"
    await settled(hass)
    assert not told(hass)
    assert entry.runtime_data.embedder.runtime == "portable"
    assert await hass.config_entries.async_unload(entry.entry_id)


async def test_a_file_dropped_in_by_hand_needs_no_network(
    hass: HomeAssistant, entry: MockConfigEntry, camera: FakeCamera, server: FileServer
) -> None:
    (models(hass) / "published.tflite").write_bytes(server.content)
    hass.config_entries.async_update_entry(entry, data={"extractor": PUBLISHED, "runtime": "portable"})
    assert await hass.config_entries.async_setup(entry.entry_id)
    assert entry.runtime_data.embedder.runtime == "portable"
    assert not server.requests
    assert await hass.config_entries.async_unload(entry.entry_id)


async def test_unloading_amid_a_download_leaves_nothing_running(
    hass: HomeAssistant, entry: MockConfigEntry, camera: FakeCamera, server: FileServer
) -> None:
    async def hang(request: Request) -> None:
        await request.head(200, Content_Length=len(request.content))
        await request.body(request.content[:100])
        await asyncio.sleep(30)

    server.answers = [hang]
    hass.config_entries.async_update_entry(entry, data={"extractor": PUBLISHED, "runtime": "portable"})
    assert await hass.config_entries.async_setup(entry.entry_id)
    while not server.requests:
        await asyncio.sleep(0.01)
    assert await hass.config_entries.async_unload(entry.entry_id)
    assert entry.state is ConfigEntryState.NOT_LOADED
    await settled(hass)
    assert workers() == 0
