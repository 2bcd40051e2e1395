"""The actions. Each takes a classifier's device; each error is one that the user can read."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from homeassistant.const import ATTR_DEVICE_ID, ATTR_NAME
from homeassistant.core import HomeAssistant, ServiceCall, ServiceResponse, SupportsResponse, callback
from homeassistant.exceptions import ServiceValidationError
from homeassistant.helpers import config_validation as cv, service
import voluptuous as vol

from ..classifiers.coordinator import ClassifierCoordinator
from ..classifiers.evaluation import async_evaluate
from ..const import (
    ATTR_BACKGROUND,
    ATTR_CLASS,
    ATTR_COUNT,
    ATTR_EXAMPLE,
    ATTR_FILE,
    ATTR_INTERVAL,
    ATTR_KNOWN,
    ATTR_SEARCH,
    ATTR_VERSION,
    DOMAIN,
    ENTER_AT,
    STAY_AT,
    NumberOption,
)
from ..engines.advisor import async_recommend
from ..engines.engine import Engine
from ..errors import core_errors_translated, translated
from ..imprinting import Change, ExampleStore
from .exporting import async_export
from .known import async_add_known, async_import, async_known_classes

MAX_PICTURE_BYTES = 32 * 1024 * 1024

type Handler = Callable[[ServiceCall, ClassifierCoordinator], Awaitable[ServiceResponse]]
type EngineHandler = Callable[[ServiceCall, Engine, list[ClassifierCoordinator]], Awaitable[ServiceResponse]]


@callback
def _classifier(hass: HomeAssistant, device_id: str) -> ClassifierCoordinator:
    """Return the classifier that a device stands for. Raises ServiceValidationError."""
    device, entry = service.async_get_device_and_config_entry(hass, DOMAIN, device_id)
    classifiers: dict[str, ClassifierCoordinator] = entry.runtime_data.classifiers
    if (found := classifiers.get(device.config_subentry_id or "")) is None:
        raise translated(ServiceValidationError, "not_a_classifier", device=device.name or device_id)
    return found


@callback
def _engine(hass: HomeAssistant, device_id: str) -> tuple[Engine, list[ClassifierCoordinator]]:
    """Return the engine of a device, and the classifiers that the device stands for: one, or all of the engine's.

    Raises ServiceValidationError.
    """
    device, entry = service.async_get_device_and_config_entry(hass, DOMAIN, device_id)
    engine: Engine = entry.runtime_data
    one = engine.classifiers.get(device.config_subentry_id or "")
    return engine, [one] if one else list(engine.classifiers.values())


def _read_picture(path: Path) -> bytes:
    if path.stat().st_size > MAX_PICTURE_BYTES:
        raise translated(ServiceValidationError, "file_too_large", file=path.name)
    return path.read_bytes()


async def _async_read_file(hass: HomeAssistant, file: str) -> bytes:
    """Read a picture that Home Assistant is allowed to read. Raises ServiceValidationError."""
    path = Path(file)
    # The check resolves links, which touches the disk.
    if not await hass.async_add_executor_job(hass.config.is_allowed_path, file):
        raise translated(ServiceValidationError, "file_not_allowed", file=path.name)
    try:
        return await hass.async_add_executor_job(_read_picture, path)
    except OSError as err:
        raise translated(
            ServiceValidationError, "file_not_read", err, file=path.name, reason=err.strerror or str(err)
        ) from err


async def _capture_example(call: ServiceCall, classifier: ClassifierCoordinator) -> ServiceResponse:
    label = call.data[ATTR_CLASS]
    if file := call.data.get(ATTR_FILE):
        ids = await classifier.async_file_picture(label, await _async_read_file(call.hass, file))
    else:
        interval = call.data[ATTR_INTERVAL].total_seconds()
        ids = await classifier.async_capture(label, call.data[ATTR_COUNT], interval)
    return {"examples": list(ids)}


async def _imprint(call: ServiceCall, classifier: ClassifierCoordinator) -> ServiceResponse:
    return {"examples": dict(await classifier.async_imprint())}


async def _look(call: ServiceCall, classifier: ClassifierCoordinator) -> ServiceResponse:
    reading = await classifier.async_look()
    classes = classifier.learner.classes

    def label(class_id: str | None) -> str | None:
        return classes[class_id].label if class_id is not None and class_id in classes else None

    scores = reading.scores
    taught = [class_id for class_id in classes if scores and class_id in scores.cosine]
    return {
        "class": label(reading.verdict.current),
        "finding": reading.verdict.finding.value,
        "best": label(scores.best if scores else None),
        "confidence": scores.confidence if scores else 0.0,
        "scores": {classes[key].label: scores.probability.get(key, 0.0) for key in taught} if scores else {},
        "evidence": {classes[key].label: scores.cosine[key] for key in taught} if scores else {},
        "taken": reading.taken.isoformat(),
        "camera_problem": reading.camera_problem.value if reading.camera_problem else None,
    }


async def _add_class(call: ServiceCall, classifier: ClassifierCoordinator) -> ServiceResponse:
    label, background = call.data[ATTR_CLASS], call.data[ATTR_BACKGROUND]
    if known := call.data.get(ATTR_KNOWN):
        learned = await async_add_known(call.hass, classifier, label, background, known)
    else:
        learned = await classifier.async_change(
            lambda store: store.add_class(label, background), call.service, look=False
        )
    return {"class": learned.label, "id": learned.id}


async def _rename_class(call: ServiceCall, classifier: ClassifierCoordinator) -> ServiceResponse:
    old, new = call.data[ATTR_CLASS], call.data[ATTR_NAME]
    await classifier.async_change(
        lambda store: store.rename_class(store.class_named(old).id, new), call.service, look=False
    )
    return None


async def _remove_class(call: ServiceCall, classifier: ClassifierCoordinator) -> ServiceResponse:
    label = call.data[ATTR_CLASS]
    await classifier.async_change(lambda store: store.remove_class(store.class_named(label).id), call.service)
    return None


async def _relabel_example(call: ServiceCall, classifier: ClassifierCoordinator) -> ServiceResponse:
    example, label = call.data[ATTR_EXAMPLE], call.data[ATTR_CLASS]
    await classifier.async_change(
        lambda store: store.relabel_example(example, store.class_named(label).id), call.service
    )
    return None


async def _remove_example(call: ServiceCall, classifier: ClassifierCoordinator) -> ServiceResponse:
    example = call.data[ATTR_EXAMPLE]
    await classifier.async_change(lambda store: store.remove_example(example), call.service)
    return None


async def _erase_example(call: ServiceCall, classifier: ClassifierCoordinator) -> ServiceResponse:
    await classifier.async_erase(call.data[ATTR_EXAMPLE], call.service)
    return None


def _described(change: Change, classifier: ClassifierCoordinator) -> ServiceResponse:
    """Return a change as an action answers: what kind, of what, when it was made."""
    learned = classifier.learner.classes.get(change.id)
    return {
        "change": change.kind,
        "of": learned.label if learned else change.id,
        "made": change.at.isoformat(),
    }


async def _undo(call: ServiceCall, classifier: ClassifierCoordinator) -> ServiceResponse:
    return _described(await classifier.async_change(ExampleStore.undo, call.service), classifier)


async def _redo(call: ServiceCall, classifier: ClassifierCoordinator) -> ServiceResponse:
    return _described(await classifier.async_change(ExampleStore.redo, call.service), classifier)


async def _evaluate(call: ServiceCall, classifier: ClassifierCoordinator) -> ServiceResponse:
    return await async_evaluate(call.hass, classifier)


async def _head_versions(call: ServiceCall, classifier: ClassifierCoordinator) -> ServiceResponse:
    learner = classifier.learner
    labels = {learned.id: learned.label for learned in learner.classes.values()}
    return {
        "versions": [
            {
                "version": version.number,
                "made": version.made.isoformat(),
                "why": version.why,
                "head": version.kind,
                "examples": {labels.get(key, key): count for key, count in version.counts.items()},
            }
            for version in learner.versions
        ],
        "restored": learner.learned.restored,
    }


async def _restore_head(call: ServiceCall, classifier: ClassifierCoordinator) -> ServiceResponse:
    await classifier.async_restore(call.data[ATTR_VERSION])
    return None


async def _set_thresholds(call: ServiceCall, classifier: ClassifierCoordinator) -> ServiceResponse:
    with core_errors_translated():
        class_id = classifier.learner.examples.class_named(call.data[ATTR_CLASS]).id
    enter, stay = call.data.get(ENTER_AT.key), call.data.get(STAY_AT.key)
    if enter is None and stay is None:
        classifier.async_set_limits(class_id, None)
    elif enter is None or stay is None:
        raise translated(ServiceValidationError, "thresholds_incomplete")
    elif stay > enter:
        raise translated(ServiceValidationError, "stay_above_enter")
    else:
        classifier.async_set_limits(class_id, {ENTER_AT.key: enter, STAY_AT.key: stay})
    return None


async def _export_model(call: ServiceCall, classifier: ClassifierCoordinator) -> ServiceResponse:
    return await async_export(call.hass, classifier, call.data.get(ATTR_FILE))


async def _import_model(call: ServiceCall, classifier: ClassifierCoordinator) -> ServiceResponse:
    return await async_import(call.hass, classifier, call.data[ATTR_FILE])


async def _known_classes(call: ServiceCall, classifier: ClassifierCoordinator) -> ServiceResponse:
    return await async_known_classes(call.hass, classifier.learner.learned.lens, call.data[ATTR_SEARCH])


async def _recommend_extractor(
    call: ServiceCall, engine: Engine, classifiers: list[ClassifierCoordinator]
) -> ServiceResponse:
    recommendation = await async_recommend(call.hass, engine, classifiers)
    return recommendation.as_response()


@dataclass(frozen=True, kw_only=True)
class Action:
    """One action: what it takes, what it does, who may call it."""

    name: str
    handler: Handler | None = None
    """For an action on a classifier."""
    engine_handler: EngineHandler | None = None
    """For an action on a classifier or on all of an engine's."""
    fields: dict[vol.Marker, object]
    response: SupportsResponse = SupportsResponse.NONE
    admin: bool = True


_CLASS: Final[dict[vol.Marker, object]] = {vol.Required(ATTR_CLASS): cv.string}


def _percent(option: NumberOption) -> object:
    return vol.All(vol.Coerce(float), vol.Range(min=option.low, max=option.high))


_SECONDS = vol.All(cv.positive_time_period, vol.Range(max=cv.time_period(3600)))

ACTIONS: Final = (
    Action(
        name="capture_example",
        handler=_capture_example,
        fields={
            **_CLASS,
            vol.Exclusive(ATTR_FILE, "source"): cv.path,
            vol.Optional(ATTR_COUNT, default=1): vol.All(vol.Coerce(int), vol.Range(min=1, max=100)),
            vol.Optional(ATTR_INTERVAL, default=1): _SECONDS,
        },
        response=SupportsResponse.OPTIONAL,
    ),
    Action(name="imprint", handler=_imprint, fields={}, response=SupportsResponse.OPTIONAL),
    # Looking changes nothing: any user's script may.
    Action(name="look", handler=_look, fields={}, response=SupportsResponse.OPTIONAL, admin=False),
    Action(
        name="add_class",
        handler=_add_class,
        fields={
            **_CLASS,
            vol.Optional(ATTR_BACKGROUND, default=False): cv.boolean,
            vol.Optional(ATTR_KNOWN): vol.All(cv.ensure_list, [cv.string]),
        },
        response=SupportsResponse.OPTIONAL,
    ),
    Action(name="rename_class", handler=_rename_class, fields={**_CLASS, vol.Required(ATTR_NAME): cv.string}),
    Action(name="remove_class", handler=_remove_class, fields=_CLASS),
    Action(
        name="relabel_example",
        handler=_relabel_example,
        fields={vol.Required(ATTR_EXAMPLE): cv.string, **_CLASS},
    ),
    Action(name="remove_example", handler=_remove_example, fields={vol.Required(ATTR_EXAMPLE): cv.string}),
    Action(name="erase_example", handler=_erase_example, fields={vol.Required(ATTR_EXAMPLE): cv.string}),
    Action(name="undo", handler=_undo, fields={}, response=SupportsResponse.OPTIONAL),
    Action(name="redo", handler=_redo, fields={}, response=SupportsResponse.OPTIONAL),
    Action(name="head_versions", handler=_head_versions, fields={}, response=SupportsResponse.ONLY),
    Action(
        name="restore_head",
        handler=_restore_head,
        fields={vol.Required(ATTR_VERSION): vol.All(vol.Coerce(int), vol.Range(min=1))},
    ),
    Action(
        name="set_thresholds",
        handler=_set_thresholds,
        fields={**_CLASS, **{vol.Optional(one.key): _percent(one) for one in (ENTER_AT, STAY_AT)}},
    ),
    # Changes nothing: any user's script may.
    Action(name="evaluate", handler=_evaluate, fields={}, response=SupportsResponse.ONLY, admin=False),
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
        name="recommend_extractor",
        engine_handler=_recommend_extractor,
        fields={},
        response=SupportsResponse.ONLY,
    ),
)


@callback
def async_register_actions(hass: HomeAssistant) -> None:
    """Register every action."""
    for action in ACTIONS:

        async def handle(call: ServiceCall, action: Action = action) -> ServiceResponse:
            device_id = call.data[ATTR_DEVICE_ID]
            if action.engine_handler:
                return await action.engine_handler(call, *_engine(hass, device_id))
            assert action.handler
            return await action.handler(call, _classifier(hass, device_id))

        schema = vol.Schema({vol.Required(ATTR_DEVICE_ID): cv.string, **action.fields})
        if action.admin:
            service.async_register_admin_service(
                hass, DOMAIN, action.name, handle, schema, supports_response=action.response
            )
        else:
            hass.services.async_register(DOMAIN, action.name, handle, schema, supports_response=action.response)
