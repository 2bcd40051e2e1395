"""Whatever a person is shown while a test runs, held against the translations: dialogs, issues, errors, entities' names."""

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from typing import Any, Self
from unittest.mock import patch

from homeassistant.components.repairs import RepairsFlow
from homeassistant.components.repairs.issue_handler import RepairsFlowManager
from homeassistant.config_entries import ConfigEntriesFlowManager, ConfigSubentryFlowManager, OptionsFlowManager
from homeassistant.const import EVENT_STATE_CHANGED
from homeassistant.core import Event, EventStateChangedData, HomeAssistant, callback
from homeassistant.data_entry_flow import FlowHandler, FlowManager, FlowResultType, section
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import entity_registry as er, issue_registry as ir
from homeassistant.helpers.selector import SelectSelector

from .metadata import placeholders, read, texts

DOMAIN = "coral_imprint"

NAMED_BY_THE_USER = {("binary_sensor", "class")}
"""Entities that are called what a person called their class."""
STATES_NAMED_BY_THE_USER = {("sensor", "class"), ("select", "class_to_teach")}
"""Entities whose states are what a person called their classes."""
HOME_ASSISTANTS = {
    *("access_token", "device_class", "entity_picture", "friendly_name", "icon", "max", "min", "mode", "restored"),
    *("options", "state_class", "step", "supported_features", "unit_of_measurement", "event_types", "event_type"),
}
"""Attributes that Home Assistant puts into words itself."""


class Shown:
    """Notes what was shown that the translations lack, while it is watching."""

    def __init__(self, hass: HomeAssistant) -> None:
        """Watch one Home Assistant."""
        self._hass = hass
        self._patches = ExitStack()
        self.troubles: list[str] = []
        self.results: list[tuple[str, Any]] = []
        """Each step's name and result, for tests of this watch itself."""

    def __enter__(self) -> Self:
        """Begin to watch."""
        for kind, name in (
            (FlowManager, "_async_handle_step"),
            (HomeAssistantError, "__init__"),
            (ir.IssueRegistry, "async_get_or_create"),
        ):
            real, wrapper = getattr(kind, name), getattr(self, f"_watched_{name.strip('_')}")
            self._patches.enter_context(patch.object(kind, name, _bound(wrapper, real)))
        self._patches.callback(self._hass.bus.async_listen(EVENT_STATE_CHANGED, self._check_state))
        return self

    def __exit__(self, *_error: object) -> None:
        """Look at the entities, and end."""
        self._patches.close()
        for entity in er.async_get(self._hass).entities.values():
            if entity.platform == DOMAIN:
                self._check_entity(entity)

    def _miss(self, found: bool, what: str) -> None:
        if not found:
            self.troubles.append(f"not translated: {what}")

    def _check_text(self, text: str | None, given: Iterable[str], what: str) -> None:
        """Note a text that is missing, or lacks what it names."""
        self._miss(bool(text), what)
        if lacking := placeholders(text or "") - set(given):
            self.troubles.append(f"{what} lacks {sorted(lacking)}")

    # --- dialogs -------------------------------------------------------------------------------------------------

    async def _watched_async_handle_step(self, real: Any, manager: Any, flow: Any, *step: Any) -> Any:
        result = await real(manager, flow, *step)
        if (root := _texts_of(manager, flow)) is not None:
            self.results.append((str(result.get("step_id")), result))
            self._check_result(root, result)
        return result

    def _check_result(self, root: Mapping[str, Any], result: Mapping[str, Any]) -> None:
        given = result.get("description_placeholders") or {}
        match result["type"]:
            case FlowResultType.ABORT:
                reason = result["reason"]
                self._check_text(root.get("abort", {}).get(reason), given, f"abort {reason}")
            case FlowResultType.SHOW_PROGRESS:
                action = result["progress_action"]
                self._check_text(root.get("progress", {}).get(action), given, f"progress {action}")
            case FlowResultType.FORM | FlowResultType.MENU:
                self._check_step(root, result, given)

    def _check_step(self, root: Mapping[str, Any], result: Mapping[str, Any], given: Mapping[str, str]) -> None:
        name = result["step_id"]
        step: Mapping[str, Any] = root["step"].get(name, {})
        self._check_text(step.get("title"), given, f"title of the step {name}")
        self._check_text(step.get("description", "none"), given, f"description of the step {name}")
        if isinstance(options := result.get("menu_options"), list):
            for option in options:
                self._check_text(step.get("menu_options", {}).get(option), given, f"menu option {name}.{option}")
        for key in (result.get("errors") or {}).values():
            self._check_text(root.get("error", {}).get(key), given, f"error {key}")
        if result["type"] is FlowResultType.FORM and (schema := result.get("data_schema")):
            self._check_fields(step, schema.schema, given, name)

    def _check_fields(self, step: Mapping[str, Any], schema: Any, given: Iterable[str], where: str) -> None:
        for key, value in schema.items():
            if isinstance(value, section):
                inside = step.get("sections", {}).get(str(key), {})
                self._check_text(inside.get("name"), given, f"section {where}.{key}")
                self._check_fields(inside, value.schema.schema, given, f"{where}.{key}")
                continue
            for kind in ("data", "data_description"):
                self._check_text(step.get(kind, {}).get(str(key)), given, f"{kind} {where}.{key}")
            if isinstance(value, SelectSelector):
                self._check_options(value.config, f"{where}.{key}")

    def _check_options(self, config: Mapping[str, Any], where: str) -> None:
        known = texts()["selector"].get(config.get("translation_key"), {}).get("options", {})
        for option in config["options"]:
            # Options with labels of their own are names: of networks, files, devices.
            if isinstance(option, str) and not config.get("custom_value"):
                self._miss(option in known or ":" in option, f"option {where}: {option}")

    # --- issues and errors ---------------------------------------------------------------------------------------

    def _watched_async_get_or_create(self, real: Any, registry: Any, domain: str, issue_id: str, **issue: Any) -> Any:
        if domain == DOMAIN:
            key = issue["translation_key"]
            known, given = texts()["issues"].get(key, {}), issue.get("translation_placeholders") or {}
            self._check_text(known.get("title"), given, f"issue {key}")
            self._miss(("fix_flow" if issue["is_fixable"] else "description") in known, f"text of the issue {key}")
            self._check_text(known.get("description", "none"), given, f"description of the issue {key}")
        return real(registry, domain, issue_id, **issue)

    def _watched_init(self, real: Any, error: HomeAssistantError, *args: Any, **named: Any) -> None:
        real(error, *args, **named)
        if named.get("translation_domain") == DOMAIN:
            key = named.get("translation_key")
            known = texts()["exceptions"].get(key, {})
            self._check_text(known.get("message"), named.get("translation_placeholders") or {}, f"error {key}")

    # --- entities ------------------------------------------------------------------------------------------------

    def _check_entity(self, entity: er.RegistryEntry) -> None:
        key = entity.translation_key or ""
        if (entity.domain, key) not in NAMED_BY_THE_USER:
            self._miss("name" in texts()["entity"].get(entity.domain, {}).get(key, {}), f"name of {entity.entity_id}")
        icon = read("icons.json")["entity"].get(entity.domain, {}).get(key)
        # A device class brings an icon along, but for lists of states.
        spoken = entity.original_device_class not in {None, "enum"}
        self._miss(bool(icon) or spoken, f"icon of {entity.entity_id}")
        self._miss(entity.has_entity_name, f"{entity.entity_id} by its device")
        if entity.original_name and "{" in entity.original_name:
            self.troubles.append(f"{entity.entity_id} is called {entity.original_name}")

    @callback
    def _check_state(self, event: Event[EventStateChangedData]) -> None:
        entity = er.async_get(self._hass).async_get(event.data["entity_id"])
        state = event.data["new_state"]
        if entity is None or entity.platform != DOMAIN or state is None:
            return
        key = entity.translation_key or ""
        known = texts()["entity"].get(entity.domain, {}).get(key, {})
        if (entity.domain, key) not in STATES_NAMED_BY_THE_USER:
            for option in state.attributes.get("options", ()):
                self._miss(option in known.get("state", {}), f"state {option} of {state.entity_id}")
        attributes = known.get("state_attributes", {})
        for kind in state.attributes.get("event_types", ()):
            self._miss(kind in attributes.get("event_type", {}).get("state", {}), f"event {kind} of {state.entity_id}")
        for attribute in state.attributes.keys() - HOME_ASSISTANTS:
            self._miss("name" in attributes.get(attribute, {}), f"attribute {attribute} of {state.entity_id}")
            value, words = state.attributes[attribute], attributes.get(attribute, {}).get("state")
            self._miss(words is None or value is None or value in words, f"{attribute} {value} of {state.entity_id}")


def _texts_of(manager: FlowManager[Any, Any, Any], flow: FlowHandler[Any, Any, Any]) -> Mapping[str, Any] | None:
    """Return the part of the translations that a flow shows; None where it is not one of ours."""
    if not type(flow).__module__.startswith(f"custom_components.{DOMAIN}"):
        return None
    found: Mapping[str, Any] | None = None
    match manager:
        case ConfigEntriesFlowManager():
            found = texts()["config"]
        case ConfigSubentryFlowManager():
            found = texts()["config_subentries"][flow.handler[1]]
        case OptionsFlowManager():
            found = texts()["options"]
        case RepairsFlowManager() if isinstance(flow, RepairsFlow):
            issue = ir.async_get(flow.hass).async_get_issue(DOMAIN, flow.issue_id)
            # A flow that has mended its issue shows nothing any more.
            found = texts()["issues"][issue.translation_key]["fix_flow"] if issue else {"step": {}}
    return found


def _bound(wrapper: Any, real: Any) -> Any:
    """Return a function that takes a method's place in its class."""

    # A partial object would not be bound to what the method is called on.
    def method(*args: Any, **named: Any) -> Any:
        return wrapper(real, *args, **named)

    return method
