"""The actions that take examples, models and their classes in or out."""

from typing import Final

from homeassistant.core import ServiceCall, ServiceResponse, SupportsResponse
from homeassistant.helpers import config_validation as cv
import voluptuous as vol

from ..classifiers.coordinator import ClassifierCoordinator
from ..const import ATTR_CLASS, ATTR_CLASSES, ATTR_FILE, ATTR_MEDIA_CONTENT_ID, ATTR_SEARCH
from .action import Action
from .archives import async_export_examples, async_import_examples
from .known_classes import async_import, async_known_classes
from .models import async_export
from .pictures import async_media_path


async def _export_model(call: ServiceCall, classifier: ClassifierCoordinator) -> ServiceResponse:
    return await async_export(call.hass, classifier, call.data.get(ATTR_FILE))


async def _import_model(call: ServiceCall, classifier: ClassifierCoordinator) -> ServiceResponse:
    return await async_import(call.hass, classifier, call.data[ATTR_FILE])


async def _known_classes(call: ServiceCall, classifier: ClassifierCoordinator) -> ServiceResponse:
    return await async_known_classes(call.hass, classifier.learner.learned.lens, call.data[ATTR_SEARCH])


async def _export_examples(call: ServiceCall, classifier: ClassifierCoordinator) -> ServiceResponse:
    labels = call.data.get(ATTR_CLASSES, [])
    return await async_export_examples(call.hass, classifier, call.data.get(ATTR_FILE), labels)


async def _import_examples(call: ServiceCall, classifier: ClassifierCoordinator) -> ServiceResponse:
    data = call.data
    media = data.get(ATTR_MEDIA_CONTENT_ID)
    source = await async_media_path(call.hass, media) if media else data[ATTR_FILE]
    return await async_import_examples(call.hass, classifier, source, data.get(ATTR_CLASS))


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
    Action(
        name="export_examples",
        handler=_export_examples,
        fields={
            vol.Optional(ATTR_FILE): cv.string,
            vol.Optional(ATTR_CLASSES): vol.All(cv.ensure_list, [cv.string]),
        },
        response=SupportsResponse.OPTIONAL,
    ),
    Action(
        name="import_examples",
        handler=_import_examples,
        fields={
            vol.Exclusive(ATTR_FILE, "source"): cv.string,
            vol.Exclusive(ATTR_MEDIA_CONTENT_ID, "source"): cv.string,
            vol.Optional(ATTR_CLASS): cv.string,
        },
        check=cv.has_at_least_one_key(ATTR_FILE, ATTR_MEDIA_CONTENT_ID),
        response=SupportsResponse.OPTIONAL,
    ),
)
