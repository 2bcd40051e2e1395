"""What an action is, and which classifier or engine it acts on."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from homeassistant.core import HomeAssistant, ServiceCall, ServiceResponse, SupportsResponse, callback
from homeassistant.exceptions import ServiceValidationError
from homeassistant.helpers import config_validation as cv, service
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
