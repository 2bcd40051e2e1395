"""The actions that take examples, models and their classes in or out."""

from typing import Final

from homeassistant.core import ServiceCall, ServiceResponse, SupportsResponse
from homeassistant.exceptions import ServiceValidationError
from homeassistant.helpers import config_validation as cv
from homeassistant.util import slugify
import voluptuous as vol

from ..classifiers.coordinator import ClassifierCoordinator
from ..classifiers.model_export import async_export_model
from ..const import ATTR_CLASS, ATTR_CLASSES, ATTR_FILE, ATTR_MEDIA_CONTENT_ID, ATTR_SEARCH
from ..errors import translated
from ..extractors.labels import async_network_classes
from ..extractors.model_files import MODEL_SUFFIX
from ..settings import models_folder
from .action import Action
from .paths import async_file_to_read, async_target, exports_folder
from .pictures import async_media_path

ARCHIVE_SUFFIX: Final = ".zip"


async def _export_model(call: ServiceCall, classifier: ClassifierCoordinator) -> ServiceResponse:
    target = await async_target(call.hass, call.data.get(ATTR_FILE) or slugify(classifier.name), MODEL_SUFFIX)
    return await async_export_model(call.hass, classifier, target)


async def _import_model(call: ServiceCall, classifier: ClassifierCoordinator) -> ServiceResponse:
    folders = (exports_folder(call.hass), models_folder(call.hass))
    path = await async_file_to_read(call.hass, call.data[ATTR_FILE], folders)
    added, there = await classifier.teaching.async_import_classes(path)
    return {"added": [*added], "there_already": [*there]}


async def _known_classes(call: ServiceCall, classifier: ClassifierCoordinator) -> ServiceResponse:
    network = await async_network_classes(call.hass, classifier.learned.lens, fetch=True)
    return network.as_dict(call.data[ATTR_SEARCH])


async def _export_examples(call: ServiceCall, classifier: ClassifierCoordinator) -> ServiceResponse:
    target = await async_target(call.hass, call.data.get(ATTR_FILE) or slugify(classifier.name), ARCHIVE_SUFFIX)
    path = target.with_name(target.name + ARCHIVE_SUFFIX)
    written = await classifier.async_write_examples(path, call.data.get(ATTR_CLASSES, []))
    return {"file": str(path), **written.as_dict(classifier.labels)}


async def _import_examples(call: ServiceCall, classifier: ClassifierCoordinator) -> ServiceResponse:
    if media := call.data.get(ATTR_MEDIA_CONTENT_ID):
        path = await async_media_path(call.hass, media)
    else:
        path = await async_file_to_read(call.hass, call.data[ATTR_FILE], [exports_folder(call.hass)])
    try:
        report = await classifier.teaching.async_import_examples(path, call.data.get(ATTR_CLASS))
    except OSError as err:
        reason = err.strerror or str(err)
        raise translated(ServiceValidationError, "file_not_read", err, file=path.name, reason=reason) from err
    return report.as_dict(classifier.labels)


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
