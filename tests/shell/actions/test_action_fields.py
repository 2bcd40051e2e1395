"""The actions as they are described (services.yaml, translations, icons) and as they are registered."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from homeassistant.core import Context, HomeAssistant, SupportsResponse
from homeassistant.exceptions import Unauthorized
from homeassistant.helpers.selector import selector, validate_selector
from homeassistant.setup import async_setup_component
from homeassistant.util.yaml import load_yaml_dict
import pytest
import voluptuous as vol

from tests.shell.conftest import DOMAIN
from tests.shell.metadata import HOUSE, read, texts

LOOKING = {"evaluate", "look"}
"""Actions that change nothing, and that any user may call."""


@pytest.fixture
async def registered(hass: HomeAssistant) -> Mapping[str, Any]:
    """Return the registered actions by name."""
    assert await async_setup_component(hass, DOMAIN, {})
    return hass.services.async_services_for_domain(DOMAIN)


@pytest.fixture
def described() -> dict[str, Any]:
    """Return the actions as services.yaml describes them, sections dissolved."""
    actions = load_yaml_dict(HOUSE / "services.yaml")
    return {name: dict(_fields((action or {}).get("fields", {}))) for name, action in actions.items()}


def _fields(fields: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, field in fields.items():
        if "fields" in field:
            yield from _fields(field["fields"])
        else:
            yield name, field


def markers(schema: Any) -> dict[str, tuple[vol.Marker, Any]]:
    """Return the fields of a registered action's schema."""
    inside = schema.validators[0] if isinstance(schema, vol.All) else schema
    return {str(marker.schema): (marker, value) for marker, value in inside.schema.items()}


async def test_what_is_registered_is_described_and_what_is_described_is_registered(
    registered: Mapping[str, Any], described: dict[str, Any]
) -> None:
    said, icons = texts()["services"], read("icons.json")["services"]
    assert registered.keys() == described.keys() == said.keys() == icons.keys()
    for name, fields in described.items():
        assert fields.keys() == said[name]["fields"].keys() == markers(registered[name].schema).keys(), name


async def test_fields_are_required_and_preset_as_they_are_described(
    registered: Mapping[str, Any], described: dict[str, Any]
) -> None:
    for name, fields in described.items():
        for field, (marker, value) in markers(registered[name].schema).items():
            where = f"{name}.{field}"
            about = fields[field]
            assert about.get("required", False) is isinstance(marker, vol.Required), where
            default: Any = getattr(marker, "default", None)
            preset = default() if callable(default) else None
            if "default" in about:
                taken = vol.Schema(value)
                assert taken(about["default"]) == taken(preset), where
            else:
                assert not preset, f"{where}: a default that nobody is told of"


async def test_selectors_are_home_assistants_and_agree_with_the_schemas(
    registered: Mapping[str, Any], described: dict[str, Any]
) -> None:
    for name, fields in described.items():
        for field, about in fields.items():
            where = f"{name}.{field}"
            assert set(about) <= {"required", "default", "example", "selector", "filter"}, where
            validate_selector(about["selector"])
            value = vol.Schema(markers(registered[name].schema)[field][1])
            for one in ("default", "example"):
                if one in about:
                    assert about[one] is not None, where
                    vol.Schema(selector(about["selector"]))(about[one])
                    value(about[one])
            if (number := about["selector"].get("number")) is not None:
                _check_bounds(value, number, where)
            if (choice := about["selector"].get("select")) is not None and "translation_key" in choice:
                assert set(choice["options"]) == texts()["selector"][choice["translation_key"]]["options"].keys(), where
                for option in choice["options"]:
                    value(option)


def _check_bounds(value: vol.Schema, number: Mapping[str, Any], where: str) -> None:
    """Hold what the dialog allows against what the action takes."""
    value(number["min"])
    value(number["max"])
    for beyond in (number["min"] - 1, number["max"] + 1):
        try:
            value(beyond)
        except vol.Invalid:
            continue
        assert beyond > 1e5, f"{where} takes {beyond}, which its dialog doesn't offer"


async def test_devices_are_asked_for_by_integration_and_model(described: dict[str, Any]) -> None:
    for name, fields in described.items():
        assert all(one["integration"] == DOMAIN for one in fields["device_id"]["selector"]["device"]["filter"]), name


async def test_what_changes_anything_is_for_administrators(
    hass: HomeAssistant, registered: Mapping[str, Any], hass_read_only_user: Any
) -> None:
    context = Context(user_id=hass_read_only_user.id)
    for name, action in registered.items():
        if name in LOOKING:
            continue
        response = action.supports_response is not SupportsResponse.NONE
        with pytest.raises(Unauthorized):
            await hass.services.async_call(
                DOMAIN, name, _example(name, action.schema), blocking=True, context=context, return_response=response
            )
    assert registered.keys() >= LOOKING


def _example(name: str, schema: Any) -> dict[str, Any]:
    """Return data that an action's schema takes, of the examples that its description gives."""
    fields = dict(_fields(load_yaml_dict(HOUSE / "services.yaml")[name]["fields"]))
    examples = {key: about["example"] for key, about in fields.items() if "example" in about}
    required = {key: value for key, value in examples.items() if fields[key].get("required")}
    data = {"device_id": "0123456789abcdef0123456789abcdef", **required}
    # Where one of several fields is needed, no single one is required.
    for more in ({}, *({key: value} for key, value in examples.items())):
        with suppress(vol.Invalid):
            schema(data | more)
            return data | more
    pytest.fail(f"no example of {name} is taken")


async def test_actions_that_only_look_answer_any_user(registered: Mapping[str, Any]) -> None:
    for name in LOOKING:
        assert registered[name].supports_response is not SupportsResponse.NONE
