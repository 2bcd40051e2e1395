"""Flows that mend what is wrong with a classifier's camera: choose another one, or learn anew where it looks."""

from collections.abc import Mapping
from typing import Any

from homeassistant.components.repairs import RepairsFlow, RepairsFlowResult
from homeassistant.config_entries import ConfigEntry, ConfigEntryState, ConfigSubentry
from homeassistant.const import Platform
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import entity_registry as er, issue_registry as ir
from homeassistant.helpers.selector import EntitySelector, EntitySelectorConfig
from homeassistant.util import dt as dt_util
import voluptuous as vol

from ..classifiers.looking.frames import async_grab
from ..const import CONF_CAMERA, CONF_REFERENCE_SINCE, DOMAIN
from ..core.embedding import EmbeddingError


class CameraRepairFlow(RepairsFlow):
    """What the flows that mend cameras share."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        """Take the issue's data: which classifier of which engine."""
        self._entry_id = str(data["entry_id"])
        self._subentry_id = str(data["subentry_id"])

    def _classifier(self) -> tuple[ConfigEntry[Any], ConfigSubentry] | None:
        """Return the engine's entry and the classifier's subentry; None where they aren't at work."""
        entry = self.hass.config_entries.async_get_entry(self._entry_id)
        if entry is None or entry.state is not ConfigEntryState.LOADED or self._subentry_id not in entry.subentries:
            return None
        return entry, entry.subentries[self._subentry_id]

    def _placeholders(self) -> dict[str, str]:
        issue = ir.async_get(self.hass).async_get_issue(DOMAIN, self.issue_id)
        return dict((issue and issue.translation_placeholders) or {})


class ChooseCameraFlow(CameraRepairFlow):
    """Choose the camera to look at from now on."""

    async def async_step_init(self, user_input: dict[str, str] | None = None) -> RepairsFlowResult:
        """Say what is wrong, and ask."""
        return await self.async_step_camera()

    async def async_step_camera(self, user_input: dict[str, str] | None = None) -> RepairsFlowResult:
        """Take the camera, where it delivers a picture."""
        if (found := self._classifier()) is None:
            return self.async_abort(reason="engine_not_loaded")
        errors: dict[str, str] = {}
        placeholders = self._placeholders()
        if user_input is not None:
            entry, subentry = found
            camera = user_input[CONF_CAMERA]
            try:
                await entry.runtime_data.embedder.embed(await async_grab(self.hass, camera))
            except EmbeddingError as err:
                errors[CONF_CAMERA] = err.key
                placeholders |= {"server": "", **err.details}
            except HomeAssistantError as err:
                errors[CONF_CAMERA] = err.translation_key or "camera_no_image"
                placeholders |= err.translation_placeholders or {}
            else:
                registered = er.async_get(self.hass).async_get(camera)
                changed = {CONF_CAMERA: registered.id if registered else camera}
                self.hass.config_entries.async_update_subentry(entry, subentry, data={**subentry.data, **changed})
                return self.async_create_entry(data={})
        selector = EntitySelector(EntitySelectorConfig(domain=Platform.CAMERA))
        return self.async_show_form(
            step_id="camera",
            data_schema=vol.Schema({vol.Required(CONF_CAMERA): selector}),
            errors=errors,
            description_placeholders=placeholders,
        )


class MovedCameraFlow(CameraRepairFlow):
    """Learn anew where a camera looks that was moved on purpose."""

    async def async_step_init(self, user_input: dict[str, str] | None = None) -> RepairsFlowResult:
        """Say what is wrong, and ask."""
        return await self.async_step_confirm()

    async def async_step_confirm(self, user_input: dict[str, str] | None = None) -> RepairsFlowResult:
        """Take only what is taught from now on for where the camera looks."""
        if (found := self._classifier()) is None:
            return self.async_abort(reason="engine_not_loaded")
        if user_input is not None:
            entry, subentry = found
            data = {**subentry.data, CONF_REFERENCE_SINCE: dt_util.utcnow().isoformat()}
            self.hass.config_entries.async_update_subentry(entry, subentry, data=data)
            return self.async_create_entry(data={})
        return self.async_show_form(
            step_id="confirm", data_schema=vol.Schema({}), description_placeholders=self._placeholders()
        )


def camera_flow(data: Mapping[str, Any]) -> RepairsFlow:
    """Return the flow that mends what is wrong with a camera."""
    return MovedCameraFlow(data) if data["camera_problem"] == "moved" else ChooseCameraFlow(data)
