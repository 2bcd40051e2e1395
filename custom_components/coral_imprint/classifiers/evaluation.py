"""How good a classifier is, as its users read it: labels for ids, sentences in their language, day and night."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Final

from astral.sun import elevation
from homeassistant.core import HomeAssistant
from homeassistant.helpers.sun import get_astral_observer
from homeassistant.helpers.translation import async_get_translations

from ..const import DOMAIN
from ..core.imprinting import Example, Remark
from ..errors import core_errors_translated
from .coordinator import ClassifierCoordinator

_HORIZON: Final = -0.833
"""Degrees of the sun's centre above the horizon at sunrise and sunset."""


async def async_evaluate(hass: HomeAssistant, classifier: ClassifierCoordinator) -> dict[str, Any]:
    """Return an evaluation as an action answers. Raises HomeAssistantError."""
    texts = await async_get_translations(hass, hass.config.language, "selector", [DOMAIN])

    def text(about: str, key: str, fallback: str) -> str:
        return texts.get(f"component.{DOMAIN}.selector.{about}.options.{key}", fallback)

    def said(remark: Remark) -> str:
        # The cores speak English; here the sentences are those of the translations.
        return text("remark", remark.key, remark.text).format_map(remark.placeholders)

    with core_errors_translated():
        found, thresholds = await classifier.learner.async_evaluate(_day_or_night(hass, text))
    labels = classifier.labels
    answer: dict[str, Any] = _labelled(found.as_dict(), labels)
    answer["advice"] = [said(remark) for remark in found.remarks]
    del answer["remarks"]
    answer["head"] = classifier.learned.head.kind if classifier.learned.head else None
    answer["thresholds"] = {
        labels[class_id]: {key: value for key, value in asdict(one).items() if key != "background"}
        for class_id, one in thresholds.items()
        if class_id in labels
    }
    return answer


def _day_or_night(hass: HomeAssistant, text: Callable[[str, str, str], str]) -> Callable[[Example], str]:
    """Return what says whether the sun was up, at Home Assistant's place, when an example was captured."""
    observer = get_astral_observer(hass)
    day, night = text("condition", "day", "day"), text("condition", "night", "night")
    return lambda example: day if elevation(observer, example.captured) > _HORIZON else night


def _labelled(value: Any, labels: Mapping[str, str]) -> Any:
    """Return a nest of dicts and lists with the classes' labels in place of their ids."""
    if isinstance(value, Mapping):
        return {labels.get(str(key), str(key)): _labelled(one, labels) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_labelled(one, labels) for one in value]
    return labels.get(value, value) if isinstance(value, str) else value
