"""The actions that say what a classifier sees and how good it is, and that choose what it answers by."""

from typing import Final

from homeassistant.core import ServiceCall, ServiceResponse, SupportsResponse
from homeassistant.exceptions import ServiceValidationError
import voluptuous as vol

from ..classifiers.coordinator import ClassifierCoordinator
from ..classifiers.evaluation import async_evaluate
from ..const import ATTR_CLASS, ATTR_VERSION, ENTER_AT, STAY_AT, NumberOption
from ..engines.advisor import async_recommend
from ..engines.engine import Engine
from ..errors import core_errors_translated, translated
from .action import CLASS, Action


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


async def _recommend_extractor(
    call: ServiceCall, engine: Engine, classifiers: list[ClassifierCoordinator]
) -> ServiceResponse:
    recommendation = await async_recommend(call.hass, engine, classifiers)
    return recommendation.as_response()


def _percent(option: NumberOption) -> object:
    return vol.All(vol.Coerce(float), vol.Range(min=option.low, max=option.high))


LOOKING: Final = (
    # Looking changes nothing: any user's script may.
    Action(name="look", handler=_look, fields={}, response=SupportsResponse.OPTIONAL, admin=False),
    # Changes nothing: any user's script may.
    Action(name="evaluate", handler=_evaluate, fields={}, response=SupportsResponse.ONLY, admin=False),
    Action(name="head_versions", handler=_head_versions, fields={}, response=SupportsResponse.ONLY),
    Action(
        name="restore_head",
        handler=_restore_head,
        fields={vol.Required(ATTR_VERSION): vol.All(vol.Coerce(int), vol.Range(min=1))},
    ),
    Action(
        name="set_thresholds",
        handler=_set_thresholds,
        fields={**CLASS, **{vol.Optional(one.key): _percent(one) for one in (ENTER_AT, STAY_AT)}},
    ),
    Action(
        name="recommend_extractor",
        engine_handler=_recommend_extractor,
        fields={},
        response=SupportsResponse.ONLY,
    ),
)
