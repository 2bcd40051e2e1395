"""Engines on inference servers: a server that goes, comes back, changes its model or its token, on real HTTP."""

import asyncio
from collections.abc import AsyncIterator
import logging
from typing import Any

from homeassistant.config_entries import SOURCE_REAUTH, ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import device_registry as dr
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.coral_imprint.engines import engine as engine_module
from custom_components.coral_imprint.settings import EngineSettings
from tests.shell.conftest import FakeCamera, act, knowing_a_gate, settled, state, teach, told, workers
from tests.shell.cores import MODEL, Scripted, replies, serving
from tests.shell.flows.test_classifier_flow import add_classifier, answers

TOKEN = "first-token-of-the-server"
OTHER_TOKEN = "second-token-of-the-server"


def engine_data(*urls: str, **more: Any) -> dict[str, Any]:
    """Return what the flow stores."""
    return {
        "extractor": MODEL,
        "runtime": "remote",
        "servers": list(urls),
        "token": None,
        "verify_ssl": True,
        "pixel_range": "server",
        **more,
    }


@pytest.fixture
async def script(socket_enabled: None) -> AsyncIterator[Any]:
    """Return a server that does what a test tells it to."""
    made = Scripted()
    async with serving(made):
        yield made


@pytest.fixture
async def remote(
    hass: HomeAssistant, entry: MockConfigEntry, camera: FakeCamera, script: Any
) -> AsyncIterator[MockConfigEntry]:
    """Return an engine on that server, with a classifier that knows a gate."""
    script.token = TOKEN
    async with knowing_a_gate(hass, entry, camera, engine_data(script.url, token=TOKEN)):
        yield entry
    assert workers() == 0


async def sees(hass: HomeAssistant, entry: MockConfigEntry, camera: FakeCamera, gate: str, seed: int) -> None:
    """Make sure that looks answer, and right."""
    for number in range(2):
        camera.show(gate, seed + number)
        await act(hass, entry, "look")
    assert state(hass, "sensor.gate_class") == gate


async def fails(hass: HomeAssistant, entry: MockConfigEntry, camera: FakeCamera, key: str, seed: int) -> None:
    """Make sure that a look fails, and why."""
    camera.show("open", seed)
    with pytest.raises(HomeAssistantError) as caught:
        await act(hass, entry, "look")
    assert (caught.value.translation_domain, caught.value.translation_key) == ("coral_imprint", key)


async def test_embeds_by_the_server(
    hass: HomeAssistant, remote: MockConfigEntry, camera: FakeCamera, script: Any
) -> None:
    asked = script.requests
    await sees(hass, remote, camera, "open", 20)
    await sees(hass, remote, camera, "closed", 30)
    assert script.requests >= asked + 4
    assert state(hass, "sensor.built_in_runtime") == "remote"
    device = dr.async_get(hass).async_get_device_by_identifier(("coral_imprint", remote.entry_id), remote.entry_id)
    assert device and device.model == "Extractor on an inference server"
    assert remote.runtime_data.embedder.runtime == "remote"
    assert not told(hass)


async def test_looks_fail_while_the_server_is_away_and_recover(
    hass: HomeAssistant,
    remote: MockConfigEntry,
    camera: FakeCamera,
    script: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    script.fault = replies(500)
    await fails(hass, remote, camera, "server_refused", 40)
    await fails(hass, remote, camera, "server_unreachable", 41)
    await fails(hass, remote, camera, "server_unreachable", 42)
    assert state(hass, "binary_sensor.gate_open") == "unavailable"
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(errors) == 1, "an outage is logged once"
    assert not [record for record in caplog.records if TOKEN in record.getMessage() and "pytest" not in record.name]
    script.fault = None
    await until_it_looks(hass, remote, camera)
    await sees(hass, remote, camera, "closed", 50)
    assert not told(hass)


async def until_it_looks(hass: HomeAssistant, entry: MockConfigEntry, camera: FakeCamera) -> None:
    """Look again and again until a look succeeds."""
    coordinator = entry.runtime_data.classifiers["gate_id"]
    async with asyncio.timeout(20):
        for seed in range(1000, 2000):
            camera.show("closed", seed)
            await coordinator.async_refresh()
            reading = coordinator.reading
            # A frame that was fetched just before is not fetched again, and needs no server.
            if coordinator.last_update_success and reading and reading.picture == camera.frame:
                return
            await asyncio.sleep(0.05)


async def test_the_built_in_extractor_serves_until_the_server_is_there(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    camera: FakeCamera,
    socket_enabled: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine_module, "RETRY_SOON_AFTER", (0.05,))
    async with serving(Scripted()) as (url,):
        pass
    port = int(url.rpartition(":")[2])
    hass.config_entries.async_update_entry(entry, data=engine_data(url))
    assert await hass.config_entries.async_setup(entry.entry_id)
    assert entry.state is ConfigEntryState.LOADED
    assert state(hass, "sensor.built_in_runtime") == "builtin"
    issue = told(hass)["server_unusable"]
    assert issue.is_fixable and issue.translation_placeholders
    assert url in issue.translation_placeholders["reason"]
    assert issue.translation_placeholders["serving"] == "Built-in"
    async with serving(Scripted(), port=port):
        await settled(hass)
        assert state(hass, "sensor.built_in_runtime") == "remote"
        assert not told(hass)
        await teach(hass, entry, camera, "closed", "open")
        await sees(hass, entry, camera, "open", 60)
        assert await hass.config_entries.async_unload(entry.entry_id)
    await settled(hass)
    assert workers() == 0


async def test_the_start_does_not_wait_for_a_slow_server(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    camera: FakeCamera,
    script: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine_module, "OPEN_WITHIN", 0.05)
    script.delay = 0.2
    hass.config_entries.async_update_entry(entry, data=engine_data(script.url))
    assert await hass.config_entries.async_setup(entry.entry_id)
    assert state(hass, "sensor.built_in_runtime") == "builtin"
    await settled(hass)
    assert state(hass, "sensor.built_in_runtime") == "remote"
    assert not told(hass)
    assert await hass.config_entries.async_unload(entry.entry_id)


async def test_a_model_that_was_exchanged_is_opened_again(
    hass: HomeAssistant, remote: MockConfigEntry, camera: FakeCamera, script: Any
) -> None:
    before = remote.runtime_data.embedder.fingerprint()
    script.fault = replies(500)
    await fails(hass, remote, camera, "server_refused", 70)
    script.turned, script.fault = True, None
    await until_it_looks(hass, remote, camera)
    await settled(hass)
    assert remote.runtime_data.embedder.fingerprint() != before
    lens = remote.runtime_data.classifiers["gate_id"].learner.learned.lens
    assert lens.fingerprint == remote.runtime_data.embedder.fingerprint(lens.region)
    await sees(hass, remote, camera, "open", 80)


async def test_another_token_is_asked_for(
    hass: HomeAssistant,
    remote: MockConfigEntry,
    camera: FakeCamera,
    script: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    script.token = OTHER_TOKEN
    await fails(hass, remote, camera, "server_denied", 90)
    (flow,) = hass.config_entries.flow.async_progress()
    assert (flow["context"]["source"], flow["step_id"]) == (SOURCE_REAUTH, "reauth_confirm")
    # Every look says so again, but one dialog is enough.
    await fails(hass, remote, camera, "server_denied", 91)
    assert len(hass.config_entries.flow.async_progress()) == 1
    result = await hass.config_entries.flow.async_configure(flow["flow_id"], {"token": "a wrong one"})
    assert (result["type"], result["errors"]) == (FlowResultType.FORM, {"token": "server_denied"})
    result = await hass.config_entries.flow.async_configure(flow["flow_id"], {"token": OTHER_TOKEN})
    assert (result["type"], result["reason"]) == (FlowResultType.ABORT, "reauth_successful")
    await settled(hass)
    assert remote.data["token"] == OTHER_TOKEN
    await sees(hass, remote, camera, "closed", 95)
    # The harness's stand-in for .storage logs what is kept; Home Assistant doesn't.
    said = [record.getMessage() for record in caplog.records if not record.name.startswith("pytest_homeassistant")]
    assert said and not [line for line in said if TOKEN in line or OTHER_TOKEN in line]


async def test_a_token_that_is_refused_at_the_start_is_asked_for(
    hass: HomeAssistant, entry: MockConfigEntry, camera: FakeCamera, script: Any
) -> None:
    script.token = TOKEN
    hass.config_entries.async_update_entry(entry, data=engine_data(script.url, token=OTHER_TOKEN))
    assert await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    assert state(hass, "sensor.built_in_runtime") == "builtin"
    (flow,) = hass.config_entries.flow.async_progress()
    assert flow["context"]["source"] == SOURCE_REAUTH
    result = await hass.config_entries.flow.async_configure(flow["flow_id"], {"token": TOKEN})
    assert result["reason"] == "reauth_successful"
    await settled(hass)
    assert state(hass, "sensor.built_in_runtime") == "remote"
    assert await hass.config_entries.async_unload(entry.entry_id)


async def test_the_second_server_takes_over(
    hass: HomeAssistant, remote: MockConfigEntry, camera: FakeCamera, script: Any
) -> None:
    second = Scripted(token=TOKEN)
    async with serving(second) as (url,):
        hass.config_entries.async_update_entry(remote, data=engine_data(script.url, url, token=TOKEN))
        await settled(hass)
        script.fault = replies(500)
        await until_it_looks(hass, remote, camera)
        asked = second.requests
        await sees(hass, remote, camera, "open", 110)
        assert second.requests > asked
        assert await hass.config_entries.async_unload(remote.entry_id)


async def test_a_classifier_is_added_once_the_server_answers(
    hass: HomeAssistant, remote: MockConfigEntry, camera: FakeCamera, script: Any
) -> None:
    script.fault = replies(500)
    camera.show("open", 120)
    result = await add_classifier(hass, remote, answers())
    assert (result["type"], result["errors"]) == (FlowResultType.FORM, {"camera": "server_refused"})
    assert result["description_placeholders"]["server"]
    script.fault = None
    await until_it_looks(hass, remote, camera)
    result = await hass.config_entries.subentries.async_configure(result["flow_id"], answers())
    assert result["type"] is FlowResultType.CREATE_ENTRY
    await settled(hass)


def test_settings_keep_the_token_to_themselves() -> None:
    settings = EngineSettings.from_data(engine_data("http://server:8000", token=TOKEN))
    assert settings.token == TOKEN
    assert TOKEN not in repr(settings) and TOKEN not in settings.unique_id


async def test_a_wrong_token_is_asked_for_again(
    hass: HomeAssistant, remote: MockConfigEntry, camera: FakeCamera, script: Any
) -> None:
    script.token = OTHER_TOKEN
    await fails(hass, remote, camera, "server_denied", 130)
    (flow,) = hass.config_entries.flow.async_progress()
    result = await hass.config_entries.flow.async_configure(flow["flow_id"], {"token": "neither of them"})
    assert (result["type"], result["errors"]) == (FlowResultType.FORM, {"token": "server_denied"})
    assert remote.data["token"] == TOKEN
    result = await hass.config_entries.flow.async_configure(flow["flow_id"], {"token": OTHER_TOKEN})
    assert result["reason"] == "reauth_successful"
    await settled(hass)
    await sees(hass, remote, camera, "open", 140)
