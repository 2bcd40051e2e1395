"""What the companion app announces becomes an engine, and the engine follows what it announces later."""

from typing import Any

from homeassistant.config_entries import (
    SOURCE_HASSIO,
    SOURCE_IGNORE,
    SOURCE_RECONFIGURE,
    ConfigEntryState,
    ConfigFlowContext,
)
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers.service_info.hassio import HassioServiceInfo
from pytest_homeassistant_custom_component.common import MockConfigEntry

from tests.shell.conftest import DOMAIN, FakeCamera, settled
from tests.shell.cores import MODEL, Scripted, serving

TOKEN = "the-token-of-the-app"
UUID = "0d5c8f2be4d44c4c8a3c4b7d3f8a5e10"


def announcement(url: str, **changed: Any) -> HassioServiceInfo:
    """Return what the Supervisor hands on from the app."""
    host, port = url.removeprefix("http://").split(":")
    config = {"host": host, "port": int(port), "token": TOKEN, "models": [MODEL]} | changed
    return HassioServiceInfo(config=config, name="Coral Imprint", slug="local_coral_imprint", uuid=UUID)


async def discover(hass: HomeAssistant, info: HassioServiceInfo) -> Any:
    """Let the app announce itself."""
    return await hass.config_entries.flow.async_init(DOMAIN, context={"source": SOURCE_HASSIO}, data=info)


async def test_the_app_becomes_an_engine_that_follows_it(
    hass: HomeAssistant, camera: FakeCamera, socket_enabled: None
) -> None:
    first = Scripted(token=TOKEN)
    async with serving(first) as (url,):
        result = await discover(hass, announcement(url))
        assert (result["type"], result["step_id"]) == (FlowResultType.FORM, "hassio_confirm")
        assert result["description_placeholders"] == {"servers": url}
        assert not hass.config_entries.async_entries(DOMAIN), "nothing without the user's word"
        result = await hass.config_entries.flow.async_configure(result["flow_id"], {})
        assert result["type"] is FlowResultType.CREATE_ENTRY
        assert result["data"] == {
            "extractor": MODEL,
            "runtime": "remote",
            "servers": [url],
            "token": TOKEN,
            "discovery": UUID,
            "pixel_range": "server",
        }
        entry = result["result"]
        await settled(hass)
        assert (entry.unique_id, entry.runtime_data.embedder.runtime) == (UUID, "remote")
        # After each of its starts it announces the same.
        result = await discover(hass, announcement(url))
        assert (result["type"], result["reason"]) == (FlowResultType.ABORT, "already_configured")
    # It was installed anew.
    second = Scripted(token="another token")
    async with serving(second) as (url,):
        result = await discover(hass, announcement(url, token="another token"))
        assert (result["type"], result["reason"]) == (FlowResultType.ABORT, "already_configured")
        await settled(hass)
        assert (entry.data["servers"], entry.data["token"]) == ([url], "another token")
        assert entry.state is ConfigEntryState.LOADED
        assert second.requests, "the engine went there"
        assert await hass.config_entries.async_unload(entry.entry_id)


async def test_a_model_for_the_edge_tpu_is_proposed(hass: HomeAssistant, camera: FakeCamera) -> None:
    result = await discover(hass, announcement("http://app:8000", models=["small", "small_edgetpu", "large_edgetpu"]))
    ((key, selector),) = [(key, value) for key, value in result["data_schema"].schema.items() if key == "extractor"]
    assert selector.config["options"] == ["small", "small_edgetpu", "large_edgetpu"]
    assert key.default() == "small_edgetpu"


async def test_an_app_that_does_not_answer_becomes_no_engine(
    hass: HomeAssistant, camera: FakeCamera, socket_enabled: None
) -> None:
    result = await discover(hass, announcement("http://127.0.0.1:9"))
    result = await hass.config_entries.flow.async_configure(result["flow_id"], {"extractor": MODEL})
    assert (result["step_id"], result["errors"]) == ("hassio_confirm", {"base": "server_unreachable"})
    assert "127.0.0.1:9" in str(result["description_placeholders"])


async def test_an_app_that_was_ignored_stays_so(hass: HomeAssistant, camera: FakeCamera) -> None:
    MockConfigEntry(domain=DOMAIN, source=SOURCE_IGNORE, unique_id=UUID).add_to_hass(hass)
    result = await discover(hass, announcement("http://app:8000"))
    assert (result["type"], result["reason"]) == (FlowResultType.ABORT, "already_configured")
    (ignored,) = hass.config_entries.async_entries(DOMAIN)
    assert TOKEN not in str(ignored.data)


async def test_a_broken_announcement_is_refused(hass: HomeAssistant, camera: FakeCamera) -> None:
    result = await discover(hass, announcement("http://app:8000", host=""))
    assert (result["type"], result["reason"]) == (FlowResultType.ABORT, "invalid_discovery")


async def test_a_changed_engine_stays_the_apps_where_its_server_does(
    hass: HomeAssistant, camera: FakeCamera, socket_enabled: None
) -> None:
    async with serving(Scripted(token=TOKEN)) as (url,), serving(Scripted(token=TOKEN)) as (other,):
        result = await discover(hass, announcement(url))
        result = await hass.config_entries.flow.async_configure(result["flow_id"], {})
        await settled(hass)
        entry = result["result"]
        for servers, discovery in (([url], UUID), ([other, url], None)):
            context = ConfigFlowContext(source=SOURCE_RECONFIGURE, entry_id=entry.entry_id)
            result = await hass.config_entries.flow.async_init(DOMAIN, context=context)
            result = await hass.config_entries.flow.async_configure(result["flow_id"], {"next_step_id": "server"})
            form = {"servers": servers, "verify_ssl": True, "token": TOKEN}
            result = await hass.config_entries.flow.async_configure(result["flow_id"], form)
            result = await hass.config_entries.flow.async_configure(result["flow_id"], {"extractor": MODEL})
            assert (result["type"], result["reason"]) == (FlowResultType.ABORT, "reconfigure_successful")
            await settled(hass)
            assert entry.data.get("discovery") == discovery
        assert await hass.config_entries.async_unload(entry.entry_id)
