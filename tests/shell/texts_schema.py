"""What translations/en.json and icons.json of a custom integration may hold, as hassfest has it in 2026.10.

Written anew after ``script/hassfest/translations.py`` and ``icons.py`` of home-assistant/core; parts that this integration has no
use for (device automations, panels, conversation) are left out, and so refused.
"""

import re
import string
from typing import Any, Final

from homeassistant.helpers import config_validation as cv
import voluptuous as vol

_KEY = re.compile(r"[a-z0-9]+([-_][a-z0-9]+)*")
_LINK = re.compile(r"(\b(ftps?|scp|https?|mqtts?|socket|socks5)://|\bwww\.)\S", re.IGNORECASE)


def key(value: str) -> str:
    """Accept what may be a key: lower case, single hyphens and underscores inside."""
    if not _KEY.fullmatch(value):
        raise vol.Invalid(f"{value} is no key")
    return value


def plain(value: Any) -> str:
    """Accept a text without placeholders."""
    if any(name for _, name, _, _ in string.Formatter().parse(text(value))):
        raise vol.Invalid("placeholders are not filled in here")
    return str(value)


def text(value: Any) -> str:
    """Accept a text: no HTML, no link, no reference, no space around it, placeholders that are names and not quoted."""
    said = cv.string_with_no_html(value)
    if not said or said != said.strip():
        raise vol.Invalid("empty, or with space around it")
    if _LINK.search(said):
        raise vol.Invalid("links are placeholders")
    if "[%" in said or "%]" in said:
        raise vol.Invalid("custom integrations have no references")
    if re.search(r"'{\w*}'", said):
        raise vol.Invalid("a placeholder in single quotes is not filled in")
    for _, name, conversion, form in string.Formatter().parse(said):
        if name is not None and (not name.isidentifier() or form or conversion):
            raise vol.Invalid(f"{{{name}}} is no placeholder")
    return said


def keyed(value: Any, by: Any = key) -> Any:
    """Accept a mapping of keys, not empty."""
    return vol.All({by: value}, vol.Length(min=1))


_FIELDS: Final[dict[Any, Any]] = {
    vol.Optional("data"): keyed(text),
    vol.Optional("data_description"): keyed(text),
    vol.Optional("description"): text,
}


def _described(step: dict[str, Any]) -> dict[str, Any]:
    """Refuse descriptions of fields that aren't there."""
    if strange := step.get("data_description", {}).keys() - step.get("data", {}).keys():
        raise vol.Invalid(f"no such fields: {strange}")
    return step


_SECTION: Final = vol.All(_FIELDS | {vol.Required("name"): text}, _described)
_STEP: Final = vol.All(
    _FIELDS
    | {
        vol.Optional("title"): text,
        vol.Optional("menu_options"): keyed(text),
        vol.Optional("menu_option_descriptions"): keyed(text),
        vol.Optional("submit"): text,
        vol.Optional("sections"): keyed(_SECTION),
    },
    _described,
)
_FLOW: Final[dict[Any, Any]] = {
    vol.Required("step"): keyed(_STEP),
    **{vol.Optional(part): keyed(text) for part in ("abort", "create_entry", "error", "progress")},
}
_STATES: Final = keyed(plain)
_ACTION: Final = {
    vol.Required("name"): text,
    vol.Required("description"): text,
    vol.Optional("fields"): keyed({vol.Required("name"): text, vol.Required("description"): text}),
    vol.Optional("sections"): keyed({vol.Required("name"): text, vol.Optional("description"): text}),
}

TEXTS: Final = vol.Schema(
    {
        vol.Optional("title"): text,
        vol.Required("config"): {
            **_FLOW,
            vol.Optional("flow_title"): text,
            vol.Optional("initiate_flow"): {"user": text},
        },
        vol.Optional("config_subentries"): keyed(
            {
                **_FLOW,
                vol.Required("entry_type"): text,
                vol.Required("initiate_flow"): {vol.Required("user"): text, key: text},
            },
            cv.slug,
        ),
        vol.Optional("options"): _FLOW,
        vol.Optional("selector"): keyed(
            {
                vol.Optional("options"): keyed(text),
                vol.Optional("choices"): keyed(text),
                vol.Optional("unit_of_measurement"): keyed(text),
            },
            cv.slug,
        ),
        vol.Optional("system_health"): {vol.Optional("info"): keyed(text)},
        vol.Optional("issues"): keyed(
            vol.Any(
                {vol.Required("title"): text, vol.Required("description"): text},
                {vol.Required("title"): text, vol.Required("fix_flow"): _FLOW},
            )
        ),
        vol.Optional("device"): keyed({vol.Optional("name"): text}),
        vol.Optional("entity"): keyed(
            keyed(
                {
                    vol.Optional("name"): text,
                    vol.Optional("state"): _STATES,
                    vol.Optional("state_attributes"): keyed(
                        {vol.Optional("name"): plain, vol.Optional("state"): _STATES}
                    ),
                    vol.Optional("unit_of_measurement"): plain,
                }
            ),
            cv.slug,
        ),
        vol.Optional("exceptions"): keyed({vol.Required("message"): text}, cv.slug),
        vol.Optional("services"): keyed(_ACTION),
        vol.Optional("common"): keyed(text, cv.slug),
    }
)


def icon(value: Any) -> str:
    """Accept the name of an icon of Material Design Icons."""
    if not re.fullmatch(r"mdi:[a-z0-9]+(-[a-z0-9]+)*", str(value)):
        raise vol.Invalid(f"{value} is no icon")
    return str(value)


def _not_twice(icons: dict[str, Any]) -> dict[str, Any]:
    """Refuse icons of states that are the default's."""
    if any(one == icons.get("default") for one in icons.get("state", {}).values()):
        raise vol.Invalid("a state's icon is the default one")
    return icons


_ICONS: Final = vol.All(
    {
        vol.Optional("default"): icon,
        vol.Optional("state"): keyed(icon),
        vol.Optional("range"): {vol.Coerce(float): icon},
        vol.Optional("state_attributes"): keyed(
            vol.All({vol.Required("default"): icon, vol.Optional("state"): keyed(icon)}, _not_twice)
        ),
    },
    _not_twice,
)
_STEP_ICONS: Final = {"step": keyed({"section": keyed(icon)})}

ICONS: Final = vol.Schema(
    {
        vol.Optional("config"): _STEP_ICONS,
        vol.Optional("config_subentries"): keyed(_STEP_ICONS),
        vol.Optional("options"): _STEP_ICONS,
        vol.Optional("issues"): keyed({"fix_flow": _STEP_ICONS}),
        vol.Optional("entity"): keyed(keyed(_ICONS), cv.slug),
        vol.Optional("services"): keyed(
            {vol.Required("service"): icon, vol.Optional("sections"): keyed(icon)}, cv.slug
        ),
    }
)
