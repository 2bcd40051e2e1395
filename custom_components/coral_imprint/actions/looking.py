"""The actions that say what a classifier sees and how good it is, and that choose what it answers by."""

from typing import Final

from homeassistant.core import ServiceCall, ServiceResponse, SupportsResponse
import voluptuous as vol

from ..classifiers.coordinator import ClassifierCoordinator
from ..classifiers.evaluation import async_evaluate
from ..const import ATTR_CLASS, ATTR_VERSION, ENTER_AT, STAY_AT, NumberOption
from ..engines.advisor import async_recommend
from ..engines.engine import Engine
from .action import CLASS, Action


async def _look(_call: ServiceCall, classifier: ClassifierCoordinator) -> ServiceResponse:
    return (await classifier.async_look()).as_dict(classifier.labels)


async def _evaluate(call: ServiceCall, classifier: ClassifierCoordinator) -> ServiceResponse:
    return await async_evaluate(call.hass, classifier)


async def _head_versions(_call: ServiceCall, classifier: ClassifierCoordinator) -> ServiceResponse:
    return classifier.head_versions()


async def _restore_head(call: ServiceCall, classifier: ClassifierCoordinator) -> ServiceResponse:
    await classifier.teaching.async_restore_head(call.data[ATTR_VERSION])
    return None


async def _set_thresholds(call: ServiceCall, classifier: ClassifierCoordinator) -> ServiceResponse:
    data = call.data
    classifier.options.async_set_thresholds(data[ATTR_CLASS], data.get(ENTER_AT.key), data.get(STAY_AT.key))
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
