"""Flows that mend what the engine told under Repairs: try again."""

from homeassistant.components.repairs import RepairsFlow, RepairsFlowResult
from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.helpers import issue_registry as ir
import voluptuous as vol

from .const import DOMAIN
from .flows.camera import camera_flow


class TryAgainFlow(RepairsFlow):
    """Fetch, open and test an engine's extractor again."""

    def __init__(self, entry_id: str) -> None:
        """Take the engine's entry."""
        self._entry_id = entry_id

    async def async_step_init(self, user_input: dict[str, str] | None = None) -> RepairsFlowResult:
        """Say what is wrong, and try again when asked to."""
        return await self.async_step_confirm()

    async def async_step_confirm(self, user_input: dict[str, str] | None = None) -> RepairsFlowResult:
        """Try again; where that fails, say why."""
        entry = self.hass.config_entries.async_get_entry(self._entry_id)
        if entry is None or entry.state is not ConfigEntryState.LOADED:
            return self.async_abort(reason="engine_not_loaded")
        if user_input is not None:
            await entry.runtime_data.async_try()
        # What still does not work was told again.
        issue = ir.async_get(self.hass).async_get_issue(DOMAIN, self.issue_id)
        if issue is None:
            return self.async_create_entry(data={})
        return self.async_show_form(
            step_id="confirm",
            data_schema=vol.Schema({}),
            errors={} if user_input is None else {"base": "tried_again"},
            description_placeholders=dict(issue.translation_placeholders or {}),
        )


async def async_create_fix_flow(
    hass: HomeAssistant, issue_id: str, data: dict[str, str | int | float | None] | None
) -> RepairsFlow:
    """Return the flow that mends an issue."""
    if data and "camera_problem" in data:
        return camera_flow(data)
    return TryAgainFlow(str((data or {}).get("entry_id")))
