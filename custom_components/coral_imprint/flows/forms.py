"""What the flows' forms ask, and what their answers mean."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from homeassistant.const import CONF_NAME, CONF_TOKEN, CONF_VERIFY_SSL, Platform
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import section
from homeassistant.helpers.selector import (
    BooleanSelector,
    EntitySelector,
    EntitySelectorConfig,
    NumberSelector,
    NumberSelectorConfig,
    NumberSelectorMode,
    SelectOptionDict,
    SelectSelector,
    SelectSelectorConfig,
    SelectSelectorMode,
    TextSelector,
    TextSelectorConfig,
    TextSelectorType,
)
from homeassistant.helpers.translation import async_get_translations
import voluptuous as vol

from ..classifiers.looking.lighting import DOMAINS as LIGHT_DOMAINS
from ..const import (
    ANY_DEVICE,
    BURST_OPTIONS,
    CAMERA_PROBLEMS,
    CONF_BACKGROUND,
    CONF_CAMERA,
    CONF_CLASSES,
    CONF_DEVICE,
    CONF_EXTRACTOR,
    CONF_HEAD,
    CONF_LIGHT,
    CONF_PIXEL_RANGE,
    CONF_REJECT_FOREIGN,
    CONF_RUNTIME,
    CONF_SERVERS,
    CONF_TRIGGERS,
    CONF_UNAVAILABLE_ON,
    DECISION_OPTIONS,
    DOMAIN,
    GATE_OPTIONS,
    HEAD_AUTO,
    INTERVAL,
    PIXEL_RANGES,
    REGION_EDGES,
    RUNTIME_INSTALL,
    SECTION_DECISION,
    SECTION_HEALTH,
    SECTION_REGION,
    SECTION_WHEN,
    SETTLE,
    THREADS,
    NumberOption,
)
from ..core.embedding import DEFAULT
from ..core.imprinting import KINDS
from ..extractors.choices import ExtractorChoice


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


_LITERT_OPTION: Final = {"installed": ["litert"], "installable": [RUNTIME_INSTALL], "no_wheel": []}


def _extractors(choices: Iterable[ExtractorChoice]) -> SelectSelector:
    return SelectSelector(
        SelectSelectorConfig(
            # Names of networks and files are the same in every language; the built-in extractor's is translated.
            options=[SelectOptionDict(value=choice.key, label=choice.label) for choice in choices],
            translation_key=CONF_EXTRACTOR,
            mode=SelectSelectorMode.DROPDOWN,
        )
    )


def edgetpu_schema(extractors: Iterable[ExtractorChoice], devices: list[str]) -> vol.Schema:
    """Return the form of an engine on an Edge TPU of this machine. ``devices`` are those that can be used."""
    choices = list(extractors)
    device = SelectSelectorConfig(
        options=[ANY_DEVICE, *devices], translation_key=CONF_DEVICE, mode=SelectSelectorMode.DROPDOWN
    )
    return vol.Schema(
        {
            vol.Required(CONF_EXTRACTOR, default=choices[0].key): _extractors(choices),
            vol.Required(CONF_DEVICE, default=ANY_DEVICE): SelectSelector(device),
            **_numbers([THREADS]),
        }
    )


def engine_schema(extractors: Iterable[ExtractorChoice], litert: str) -> vol.Schema:
    """Return the engine's form. ``litert`` is how things stand with LiteRT here."""
    return vol.Schema(
        {
            vol.Required(CONF_EXTRACTOR, default=DEFAULT): _extractors(extractors),
            vol.Required(CONF_RUNTIME, default="auto"): _choice(
                ["auto", "portable", *_LITERT_OPTION[litert]], CONF_RUNTIME
            ),
            **_numbers([THREADS]),
        }
    )


_SECRET: Final = TextSelector(TextSelectorConfig(type=TextSelectorType.PASSWORD, autocomplete="off"))


def server_schema() -> vol.Schema:
    """Return the form of the servers that an engine is to use."""
    return vol.Schema(
        {
            vol.Required(CONF_SERVERS): TextSelector(TextSelectorConfig(multiple=True)),
            vol.Optional(CONF_TOKEN): _SECRET,
            vol.Required(CONF_VERIFY_SSL, default=True): BooleanSelector(),
        }
    )


def model_schema(models: list[str], preferred: str | None) -> vol.Schema:
    """Return the form of the model on them. ``models`` are those that a server told of; any other can be typed."""
    offered = SelectSelector(SelectSelectorConfig(options=models, custom_value=True, mode=SelectSelectorMode.DROPDOWN))
    model = vol.Required(CONF_EXTRACTOR, default=preferred) if preferred else vol.Required(CONF_EXTRACTOR)
    return vol.Schema(
        {
            model: offered,
            vol.Required(CONF_PIXEL_RANGE, default="server"): _choice([*PIXEL_RANGES], CONF_PIXEL_RANGE),
        }
    )


def token_schema() -> vol.Schema:
    """Return the form of a token."""
    return vol.Schema({vol.Optional(CONF_TOKEN): _SECRET})


async def async_text(hass: HomeAssistant, about: str, option: str) -> str:
    """Return a sentence of the translations' ``selector`` part, in the user's language, to be shown amid a form's text."""
    texts = await async_get_translations(hass, hass.config.language, "selector", [DOMAIN])
    return texts.get(f"component.{DOMAIN}.selector.{about}.options.{option}", option)


def _when_schema() -> vol.Schema:
    return vol.Schema(
        {
            vol.Optional(CONF_TRIGGERS, default=list): EntitySelector(EntitySelectorConfig(multiple=True)),
            **_numbers(BURST_OPTIONS),
            **_numbers(GATE_OPTIONS),
            vol.Optional(CONF_LIGHT): EntitySelector(EntitySelectorConfig(domain=[*LIGHT_DOMAINS])),
            **_numbers([SETTLE]),
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
            vol.Optional(SECTION_WHEN): section(_when_schema(), {"collapsed": True}),
            vol.Required(SECTION_DECISION): section(
                vol.Schema(
                    {
                        **_numbers(DECISION_OPTIONS),
                        vol.Required(CONF_HEAD, default=HEAD_AUTO): _choice([HEAD_AUTO, *KINDS], CONF_HEAD),
                        vol.Required(CONF_REJECT_FOREIGN, default=True): BooleanSelector(),
                    }
                ),
                {"collapsed": True},
            ),
            vol.Optional(SECTION_HEALTH): section(_health_schema(), {"collapsed": True}),
        }
    )


def complete(answers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the form's answers with the defaults of sections that were left out.

    A section's own default would be what the frontend shows in place of its fields' defaults.
    """
    return {SECTION_WHEN: _when_schema()({}), SECTION_HEALTH: _health_schema()({}), **answers}


def _health_schema() -> vol.Schema:
    problems = SelectSelectorConfig(
        options=[*CAMERA_PROBLEMS],
        translation_key="camera_problem",
        mode=SelectSelectorMode.LIST,
        multiple=True,
    )
    default = [problem for problem, chosen in CAMERA_PROBLEMS.items() if chosen]
    return vol.Schema({vol.Required(CONF_UNAVAILABLE_ON, default=default): SelectSelector(problems)})


def class_labels(answers: Mapping[str, Any]) -> list[str]:
    """Return every class name of the form, as typed but for surrounding space."""
    labels = [str(label).strip() for label in answers.get(CONF_CLASSES, [])]
    background = str(answers.get(CONF_BACKGROUND) or "").strip()
    return [label for label in (*labels, background) if label]
