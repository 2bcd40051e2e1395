"""What the flows' forms ask, and what their answers mean."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from homeassistant.const import CONF_NAME, Platform
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import section
from homeassistant.helpers.selector import (
    EntitySelector,
    EntitySelectorConfig,
    NumberSelector,
    NumberSelectorConfig,
    NumberSelectorMode,
    SelectSelector,
    SelectSelectorConfig,
    SelectSelectorMode,
    TextSelector,
    TextSelectorConfig,
)
import voluptuous as vol

from .const import (
    CONF_BACKGROUND,
    CONF_CAMERA,
    CONF_CLASSES,
    CONF_EXTRACTOR,
    CONF_RUNTIME,
    DECISION_OPTIONS,
    INTERVAL,
    REGION_EDGES,
    SECTION_DECISION,
    SECTION_REGION,
    NumberOption,
)
from .embedding import BUILTIN, litert_available
from .models import models_folder


def _number(option: NumberOption) -> NumberSelector:
    config = NumberSelectorConfig(min=option.low, max=option.high, step=option.step, mode=NumberSelectorMode.BOX)
    if option.unit:
        config["unit_of_measurement"] = option.unit
    return NumberSelector(config)


def _numbers(options: Iterable[NumberOption]) -> dict[vol.Marker, Any]:
    return {vol.Required(option.key, default=option.default): _number(option) for option in options}


def _choice(options: list[str], translation_key: str) -> SelectSelector:
    return SelectSelector(
        SelectSelectorConfig(options=options, translation_key=translation_key, mode=SelectSelectorMode.DROPDOWN)
    )


def find_extractors(hass: HomeAssistant) -> list[str]:
    """Return the extractors at hand: the built-in one, and the files in the models folder. Blocking."""
    folder: Path = models_folder(hass)
    return [BUILTIN, *sorted(path.name for path in folder.glob("*.tflite") if path.is_file())]


def engine_schema(extractors: list[str]) -> vol.Schema:
    """Return the engine's form."""
    runtimes = ["auto", "portable", *(["litert"] if litert_available() else [])]
    return vol.Schema(
        {
            vol.Required(CONF_EXTRACTOR, default=BUILTIN): _choice(extractors, CONF_EXTRACTOR),
            vol.Required(CONF_RUNTIME, default="auto"): _choice(runtimes, CONF_RUNTIME),
        }
    )


def classifier_schema(*, new: bool) -> vol.Schema:
    """Return the classifier's form; only a new classifier is asked for its first classes."""
    classes: dict[vol.Marker, Any] = {
        vol.Optional(CONF_CLASSES, default=list): TextSelector(TextSelectorConfig(multiple=True)),
        vol.Optional(CONF_BACKGROUND): TextSelector(),
    }
    return vol.Schema(
        {
            vol.Required(CONF_NAME): TextSelector(),
            vol.Required(CONF_CAMERA): EntitySelector(EntitySelectorConfig(domain=Platform.CAMERA)),
            **(classes if new else {}),
            **_numbers([INTERVAL]),
            vol.Required(SECTION_REGION): section(vol.Schema(_numbers(REGION_EDGES)), {"collapsed": True}),
            vol.Required(SECTION_DECISION): section(vol.Schema(_numbers(DECISION_OPTIONS)), {"collapsed": True}),
        }
    )


def class_labels(answers: Mapping[str, Any]) -> list[str]:
    """Return every class name of the form, as typed but for surrounding space."""
    labels = [str(label).strip() for label in answers.get(CONF_CLASSES, [])]
    background = str(answers.get(CONF_BACKGROUND) or "").strip()
    return [label for label in (*labels, background) if label]
