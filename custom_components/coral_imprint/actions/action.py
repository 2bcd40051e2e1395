"""What an action is, which classifier or engine it acts on, and how it is registered."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from homeassistant.const import ATTR_DEVICE_ID
from homeassistant.core import HomeAssistant, ServiceCall, ServiceResponse, SupportsResponse, callback
from homeassistant.exceptions import ServiceValidationError
from homeassistant.helpers import config_validation as cv, service
from homeassistant.helpers.typing import VolSchemaType
import voluptuous as vol

from ..classifiers.coordinator import ClassifierCoordinator
from ..const import ATTR_CLASS, DOMAIN
from ..engines.engine import Engine
from ..errors import translated

type Handler = Callable[[ServiceCall, ClassifierCoordinator], Awaitable[ServiceResponse]]
type EngineHandler = Callable[[ServiceCall, Engine, list[ClassifierCoordinator]], Awaitable[ServiceResponse]]

CLASS: Final[dict[vol.Marker, object]] = {vol.Required(ATTR_CLASS): cv.string}
"""The field that names a class."""


@dataclass(frozen=True, kw_only=True)
class Action:
    """One action: what it takes, what it does, who may call it."""

    name: str
    handler: Handler | None = None
    """For an action on a classifier."""
    engine_handler: EngineHandler | None = None
    """For an action on a classifier or on all of an engine's."""
    fields: dict[vol.Marker, object]
    check: Callable[[dict[str, object]], dict[str, object]] | None = None
    """What is asked of the fields together."""
    response: SupportsResponse = SupportsResponse.NONE
    admin: bool = True


@callback
def classifier_of(hass: HomeAssistant, device_id: str) -> ClassifierCoordinator:
    """Return the classifier that a device stands for. Raises ServiceValidationError."""
    device, entry = service.async_get_device_and_config_entry(hass, DOMAIN, device_id)
    classifiers: dict[str, ClassifierCoordinator] = entry.runtime_data.classifiers
    if (found := classifiers.get(device.config_subentry_id or "")) is None:
        raise translated(ServiceValidationError, "not_a_classifier", device=device.name or device_id)
    return found


@callback
def engine_of(hass: HomeAssistant, device_id: str) -> tuple[Engine, list[ClassifierCoordinator]]:
    """Return the engine of a device, and the classifiers that the device stands for: one, or all of the engine's.

    Raises ServiceValidationError.
    """
    device, entry = service.async_get_device_and_config_entry(hass, DOMAIN, device_id)
    engine: Engine = entry.runtime_data
    one = engine.classifiers.get(device.config_subentry_id or "")
    return engine, [one] if one else list(engine.classifiers.values())


@callback
def async_register(hass: HomeAssistant, action: Action) -> None:
    """Let an action be called."""

    async def handle(call: ServiceCall) -> ServiceResponse:
        device_id = call.data[ATTR_DEVICE_ID]
        if action.engine_handler:
            return await action.engine_handler(call, *engine_of(hass, device_id))
        assert action.handler
        return await action.handler(call, classifier_of(hass, device_id))

    fields = vol.Schema({vol.Required(ATTR_DEVICE_ID): cv.string, **action.fields})
    schema: VolSchemaType = vol.All(fields, action.check) if action.check else fields
    if action.admin:
        service.async_register_admin_service(
            hass, DOMAIN, action.name, handle, schema, supports_response=action.response
        )
    else:
        hass.services.async_register(DOMAIN, action.name, handle, schema, supports_response=action.response)
