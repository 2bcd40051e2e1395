"""The watch over what a person is shown sees what there is to see."""

from typing import Any

from homeassistant import config_entries
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import issue_registry as ir
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from . import shown as watch
from .conftest import DOMAIN, settled
from .metadata import read
from .shown import Shown


@pytest.fixture
def fewer(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return translations that a test may take something from."""
    made = read("translations/en.json")
    monkeypatch.setattr(watch, "texts", lambda: made)
    return made


async def test_a_dialog_is_watched(hass: HomeAssistant, shown: Shown, fewer: Any) -> None:
    del fewer["config"]["step"]["user"]["menu_options"]["local"]
    del fewer["config"]["step"]["server"]["data"]["token"]
    del fewer["config"]["error"]["invalid_address"]
    flow = await hass.config_entries.flow.async_init(DOMAIN, context={"source": config_entries.SOURCE_USER})
    flow = await hass.config_entries.flow.async_configure(flow["flow_id"], {"next_step_id": "server"})
    await hass.config_entries.flow.async_configure(flow["flow_id"], {"servers": ["no address"], "verify_ssl": True})
    assert [step for step, _ in shown.results] == ["user", "server", "server"]
    missed = {trouble.removeprefix("not translated: ") for trouble in shown.troubles}
    assert missed == {"menu option user.local", "data server.token", "error invalid_address"}
    shown.troubles.clear()


async def test_placeholders_are_watched(hass: HomeAssistant, shown: Shown, fewer: Any) -> None:
    fewer["config"]["step"]["local"]["description"] = "On {machine}"
    flow = await hass.config_entries.flow.async_init(DOMAIN, context={"source": config_entries.SOURCE_USER})
    await hass.config_entries.flow.async_configure(flow["flow_id"], {"next_step_id": "local"})
    assert shown.troubles == ["description of the step local lacks ['machine']"]
    shown.troubles.clear()


async def test_issues_and_errors_are_watched(hass: HomeAssistant, shown: Shown) -> None:
    ir.async_create_issue(
        hass, DOMAIN, "one", is_fixable=False, severity=ir.IssueSeverity.WARNING, translation_key="of_nothing"
    )
    HomeAssistantError(translation_domain=DOMAIN, translation_key="file_too_large")
    HomeAssistantError("Another integration's")
    assert shown.troubles == [
        "not translated: issue of_nothing",
        "not translated: text of the issue of_nothing",
        "error file_too_large lacks ['file']",
    ]
    shown.troubles.clear()


async def test_entities_are_watched(hass: HomeAssistant, engine: MockConfigEntry, shown: Shown, fewer: Any) -> None:
    confidence = fewer["entity"]["sensor"].pop("confidence")
    runtime = fewer["entity"]["sensor"]["runtime"]
    portable, reason = runtime["state"].pop("portable"), runtime["state_attributes"].pop("reason")
    with Shown(hass) as once_more:
        assert await hass.config_entries.async_reload(engine.entry_id)
        await settled(hass)
    assert {trouble.removeprefix("not translated: ") for trouble in once_more.troubles} == {
        "attribute reason of sensor.built_in_runtime",
        "name of sensor.gate_confidence",
        "state portable of sensor.built_in_runtime",
    }
    fewer["entity"]["sensor"]["confidence"] = confidence
    runtime["state"]["portable"], runtime["state_attributes"]["reason"] = portable, reason
    shown.troubles.clear()
