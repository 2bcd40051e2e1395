"""Whether a classifier looks by itself."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, override

from homeassistant.components.switch import SwitchEntity, SwitchEntityDescription
from homeassistant.const import EntityCategory
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .const import CONF_WATCHING
from .engines.engine import EngineConfigEntry
from .entity import ClassifierControl, async_setup_described
from .settings import ClassifierSettings

PARALLEL_UPDATES = 0


@dataclass(frozen=True, kw_only=True)
class ClassifierSwitchDescription(SwitchEntityDescription):
    """A switch that is an option of the classifier; ``key`` is the option's."""

    value_fn: Callable[[ClassifierSettings], bool]


SWITCHES = (
    ClassifierSwitchDescription(
        key=CONF_WATCHING,
        translation_key="watching",
        entity_category=EntityCategory.CONFIG,
        value_fn=lambda settings: settings.watching,
    ),
)


async def async_setup_entry(
    hass: HomeAssistant, entry: EngineConfigEntry, async_add_entities: AddConfigEntryEntitiesCallback
) -> None:
    """Add each classifier's switches."""
    async_setup_described(entry, async_add_entities, ClassifierSwitch, SWITCHES)


class ClassifierSwitch(ClassifierControl, SwitchEntity):
    """A switch of a classifier, as its description says."""

    entity_description: ClassifierSwitchDescription

    @property
    @override
    def is_on(self) -> bool:
        return self.entity_description.value_fn(self.coordinator.settings)

    @override
    async def async_turn_on(self, **kwargs: Any) -> None:
        self.coordinator.options.async_change({self.entity_description.key: True})

    @override
    async def async_turn_off(self, **kwargs: Any) -> None:
        self.coordinator.options.async_change({self.entity_description.key: False})
