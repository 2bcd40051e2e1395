"""The options that users tune while they watch what a classifier does. The form has the same and more."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import override

from homeassistant.components.number import NumberDeviceClass, NumberEntity, NumberEntityDescription, NumberMode
from homeassistant.const import EntityCategory, UnitOfTime
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .const import ENTER_AT, HOLD, INTERVAL, LOOKS, SECTION_DECISION, STAY_AT, NumberOption
from .engines.engine import EngineConfigEntry
from .entity import ClassifierControl, async_setup_described
from .settings import ClassifierSettings

PARALLEL_UPDATES = 0


@dataclass(frozen=True, kw_only=True)
class ClassifierNumberDescription(NumberEntityDescription):
    """A number that is an option of the classifier; ``key`` is the option's."""

    value_fn: Callable[[ClassifierSettings], float]
    section: str | None = None
    """The part of the classifier's data that it is in."""


def _number(
    option: NumberOption,
    value_fn: Callable[[ClassifierSettings], float],
    section: str | None = SECTION_DECISION,
    *,
    enabled: bool = True,
) -> ClassifierNumberDescription:
    """Describe an option as the form does."""
    return ClassifierNumberDescription(
        key=option.key,
        translation_key=option.key,
        entity_category=EntityCategory.CONFIG,
        entity_registry_enabled_default=enabled,
        device_class=NumberDeviceClass.DURATION if option.unit == UnitOfTime.SECONDS else None,
        native_min_value=option.low,
        native_max_value=option.high,
        native_step=option.step,
        native_unit_of_measurement=option.unit,
        mode=NumberMode.BOX,
        value_fn=value_fn,
        section=section,
    )


def _percent(share: float) -> float:
    return round(100 * share, 6)


NUMBERS = (
    _number(INTERVAL, lambda settings: settings.interval, None),
    _number(ENTER_AT, lambda settings: _percent(settings.rules.enter_at)),
    _number(HOLD, lambda settings: settings.rules.hold),
    _number(STAY_AT, lambda settings: _percent(settings.rules.stay_at), enabled=False),
    _number(LOOKS, lambda settings: settings.rules.looks, enabled=False),
)


async def async_setup_entry(
    hass: HomeAssistant, entry: EngineConfigEntry, async_add_entities: AddConfigEntryEntitiesCallback
) -> None:
    """Add each classifier's numbers."""
    async_setup_described(entry, async_add_entities, ClassifierNumber, NUMBERS)


class ClassifierNumber(ClassifierControl, NumberEntity):
    """A number of a classifier, as its description says."""

    entity_description: ClassifierNumberDescription

    @property
    @override
    def native_value(self) -> float:
        return self.entity_description.value_fn(self.coordinator.settings)

    @override
    async def async_set_native_value(self, value: float) -> None:
        change = {self.entity_description.key: value}
        section = self.entity_description.section
        self.coordinator.options.async_change({section: change} if section else change)
