"""The actions that take models and their classes in or out."""

from typing import Final

from homeassistant.core import ServiceCall, ServiceResponse, SupportsResponse
from homeassistant.helpers import config_validation as cv
import voluptuous as vol

from ..classifiers.coordinator import ClassifierCoordinator
from ..const import ATTR_FILE, ATTR_SEARCH
from .action import Action
from .exporting import async_export
from .known import async_import, async_known_classes


async def _export_model(call: ServiceCall, classifier: ClassifierCoordinator) -> ServiceResponse:
    return await async_export(call.hass, classifier, call.data.get(ATTR_FILE))


async def _import_model(call: ServiceCall, classifier: ClassifierCoordinator) -> ServiceResponse:
    return await async_import(call.hass, classifier, call.data[ATTR_FILE])


async def _known_classes(call: ServiceCall, classifier: ClassifierCoordinator) -> ServiceResponse:
    return await async_known_classes(call.hass, classifier.learner.learned.lens, call.data[ATTR_SEARCH])


TRANSFER: Final = (
    Action(
        name="known_classes",
        handler=_known_classes,
        fields={vol.Optional(ATTR_SEARCH, default=""): cv.string},
        response=SupportsResponse.ONLY,
    ),
    Action(
        name="export_model",
        handler=_export_model,
        fields={vol.Optional(ATTR_FILE): cv.string},
        response=SupportsResponse.OPTIONAL,
    ),
    Action(
        name="import_model",
        handler=_import_model,
        fields={vol.Required(ATTR_FILE): cv.string},
        response=SupportsResponse.OPTIONAL,
    ),
)
