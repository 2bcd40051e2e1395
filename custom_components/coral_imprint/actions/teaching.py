"""The actions that change classes and examples, and take such changes back."""

from typing import Final

from homeassistant.const import ATTR_NAME
from homeassistant.core import ServiceCall, ServiceResponse, SupportsResponse
from homeassistant.helpers import config_validation as cv, selector
import voluptuous as vol

from ..classifiers.coordinator import ClassifierCoordinator
from ..const import (
    ATTR_BACKGROUND,
    ATTR_CLASS,
    ATTR_COUNT,
    ATTR_EXAMPLE,
    ATTR_FILE,
    ATTR_IMAGE,
    ATTR_INTERVAL,
    ATTR_KNOWN,
    ATTR_MEDIA,
)
from .action import CLASS, Action
from .pictures import SOURCES, async_picture

_SECONDS = vol.All(cv.positive_time_period, vol.Range(max=cv.time_period(3600)))


async def _capture_example(call: ServiceCall, classifier: ClassifierCoordinator) -> ServiceResponse:
    label = call.data[ATTR_CLASS]
    if any(map(call.data.get, SOURCES)):
        ids = await classifier.teaching.async_file_picture(label, await async_picture(call.hass, call.data))
    else:
        interval = call.data[ATTR_INTERVAL].total_seconds()
        ids = await classifier.teaching.async_capture(label, call.data[ATTR_COUNT], interval)
    return {"examples": list(ids)}


async def _imprint(call: ServiceCall, classifier: ClassifierCoordinator) -> ServiceResponse:
    return {"examples": dict(await classifier.teaching.async_imprint())}


async def _add_class(call: ServiceCall, classifier: ClassifierCoordinator) -> ServiceResponse:
    label, background = call.data[ATTR_CLASS], call.data[ATTR_BACKGROUND]
    if known := call.data.get(ATTR_KNOWN):
        learned = await classifier.teaching.async_add_known_class(label, known, background=background)
    else:
        learned = await classifier.teaching.async_add_class(label, background=background)
    return {"class": learned.label, "id": learned.id}


async def _rename_class(call: ServiceCall, classifier: ClassifierCoordinator) -> ServiceResponse:
    await classifier.teaching.async_rename_class(call.data[ATTR_CLASS], call.data[ATTR_NAME])
    return None


async def _remove_class(call: ServiceCall, classifier: ClassifierCoordinator) -> ServiceResponse:
    await classifier.teaching.async_remove_class(call.data[ATTR_CLASS])
    return None


async def _relabel_example(call: ServiceCall, classifier: ClassifierCoordinator) -> ServiceResponse:
    await classifier.teaching.async_relabel_example(call.data[ATTR_EXAMPLE], call.data[ATTR_CLASS])
    return None


async def _remove_example(call: ServiceCall, classifier: ClassifierCoordinator) -> ServiceResponse:
    await classifier.teaching.async_remove_example(call.data[ATTR_EXAMPLE])
    return None


async def _erase_example(call: ServiceCall, classifier: ClassifierCoordinator) -> ServiceResponse:
    await classifier.teaching.async_erase_example(call.data[ATTR_EXAMPLE])
    return None


async def _undo(_call: ServiceCall, classifier: ClassifierCoordinator) -> ServiceResponse:
    return {**(await classifier.teaching.async_undo()).as_dict(classifier.labels)}


async def _redo(_call: ServiceCall, classifier: ClassifierCoordinator) -> ServiceResponse:
    return {**(await classifier.teaching.async_redo()).as_dict(classifier.labels)}


TEACHING: Final = (
    Action(
        name="capture_example",
        handler=_capture_example,
        fields={
            **CLASS,
            vol.Exclusive(ATTR_FILE, "source"): cv.path,
            vol.Exclusive(ATTR_IMAGE, "source"): cv.entity_domain("image"),
            vol.Exclusive(ATTR_MEDIA, "source"): selector.MediaSelector({"accept": ["image/*"]}),
            vol.Optional(ATTR_COUNT, default=1): vol.All(vol.Coerce(int), vol.Range(min=1, max=100)),
            vol.Optional(ATTR_INTERVAL, default=1): _SECONDS,
        },
        response=SupportsResponse.OPTIONAL,
    ),
    Action(name="imprint", handler=_imprint, fields={}, response=SupportsResponse.OPTIONAL),
    Action(
        name="add_class",
        handler=_add_class,
        fields={
            **CLASS,
            vol.Optional(ATTR_BACKGROUND, default=False): cv.boolean,
            vol.Optional(ATTR_KNOWN): vol.All(cv.ensure_list, [cv.string]),
        },
        response=SupportsResponse.OPTIONAL,
    ),
    Action(name="rename_class", handler=_rename_class, fields={**CLASS, vol.Required(ATTR_NAME): cv.string}),
    Action(name="remove_class", handler=_remove_class, fields=CLASS),
    Action(
        name="relabel_example",
        handler=_relabel_example,
        fields={vol.Required(ATTR_EXAMPLE): cv.string, **CLASS},
    ),
    Action(name="remove_example", handler=_remove_example, fields={vol.Required(ATTR_EXAMPLE): cv.string}),
    Action(name="erase_example", handler=_erase_example, fields={vol.Required(ATTR_EXAMPLE): cv.string}),
    Action(name="undo", handler=_undo, fields={}, response=SupportsResponse.OPTIONAL),
    Action(name="redo", handler=_redo, fields={}, response=SupportsResponse.OPTIONAL),
)
