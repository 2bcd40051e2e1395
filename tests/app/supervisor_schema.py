"""What the Supervisor takes for an app's files: the part that concerns this one, after its published schema.

Source: home-assistant/supervisor, ``supervisor/apps/validate.py``, ``supervisor/apps/options.py`` and ``supervisor/validate.py``. Unlike there, keys
that are not known are errors: the Supervisor would leave them out without a word.
"""

import re
from typing import Any

import voluptuous as vol

OPTION = re.compile(
    r"(?:bool|email|url|port|device(?:\(subsystem=[a-z]+\))?|str(?:\(\d*,\d*\))?|password(?:\(\d*,\d*\))?"
    r"|int(?:\(-?\d*,-?\d*\))?|float(?:\([-\d.]*,[-\d.]*\))?|match\(.*\)|list\(.+\))\??"
)
_PORT = vol.All(int, vol.Range(min=1, max=65_535))
_PORT_NAME = vol.All(str, vol.Match(r"^\d+(?:/tcp|/udp)?$"))
_VERSION = vol.All(str, vol.Match(r"^\d+\.\d+\.\d+(?:[-.]?\w+)?$"))


def _whole(pattern: re.Pattern[str]) -> Any:
    def check(value: Any) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise vol.Invalid(f"{value!r} does not match {pattern.pattern}")
        return value

    return check


CONFIG = vol.Schema(
    {
        vol.Required("name"): vol.All(str, vol.Length(min=1)),
        vol.Required("version"): _VERSION,
        vol.Required("slug"): vol.Match(r"^[-_.A-Za-z0-9]+$"),
        vol.Required("description"): str,
        vol.Required("arch"): vol.All([vol.In(["amd64", "aarch64"])], vol.Length(min=1), vol.Unique()),
        "url": vol.Url(),
        "image": vol.Match(r"^([a-zA-Z\-\.:\d{}]+/)*?([\-\w{}]+)/([\-\w{}]+)$"),
        "startup": vol.In(["initialize", "system", "services", "application", "once"]),
        "boot": vol.In(["auto", "manual", "manual_only"]),
        "stage": vol.In(["stable", "experimental", "deprecated"]),
        "init": bool,
        "ports": {_PORT_NAME: vol.Maybe(_PORT)},
        "watchdog": vol.Match(r"^(?:https?|\[PROTO:\w+\]|tcp):\/\/\[HOST\]:(\[PORT:\d+\]|\d+).*$"),
        "homeassistant": _VERSION,
        "host_network": bool,
        "full_access": bool,
        "privileged": [str],
        "hassio_api": bool,
        "homeassistant_api": bool,
        "ingress": bool,
        "devices": [vol.Match(r"^/dev/[^:]+$")],
        "usb": bool,
        "udev": bool,
        "uart": bool,
        "apparmor": bool,
        "discovery": [str],
        "map": [
            {
                vol.Required("type"): vol.In(
                    ["data", "ssl", "backup", "share", "media", "homeassistant_config", "addon_config"]
                ),
                "read_only": bool,
                "path": str,
            }
        ],
        "backup_exclude": [str],
        "timeout": vol.All(int, vol.Range(min=10, max=300)),
        "options": dict,
        "schema": {str: _whole(OPTION)},
    }
)
_TRANSLATED = {vol.Required("name"): str, vol.Required("description"): str}
TRANSLATIONS = vol.Schema({vol.Required("configuration"): {str: _TRANSLATED}, "network": {_PORT_NAME: str}})
REPOSITORY = vol.Schema({vol.Required("name"): str, "url": vol.Url(), "maintainer": str})


def check_option(kind: str, value: Any) -> bool:
    """Whether the Supervisor lets a value pass as an option of a kind."""
    kind = kind.removesuffix("?")
    name, _, rest = kind.partition("(")
    inner = rest[:-1]
    match name:
        case "int":
            low, high = (int(bound) if bound else None for bound in (inner or ",").split(","))
            return type(value) is int and (low is None or value >= low) and (high is None or value <= high)
        case "list":
            return str(value) in inner.split("|")
        case "match":
            return re.match(inner, str(value)) is not None
        case "str" | "password":
            return isinstance(value, str)
        case "bool":
            return isinstance(value, bool)
    raise AssertionError(f"{kind} is not handled here")
