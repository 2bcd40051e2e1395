"""What a classifier does when asked to: capture an example, imprint, look."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import override

from homeassistant.components.button import ButtonEntity, ButtonEntityDescription
from homeassistant.const import EntityCategory
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import ServiceValidationError
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .classifiers.coordinator import ClassifierCoordinator
from .engines.engine import EngineConfigEntry
from .entity import ClassifierControl, async_setup_described
from .errors import translated

PARALLEL_UPDATES = 0


@dataclass(frozen=True, kw_only=True)
class ClassifierButtonDescription(ButtonEntityDescription):
    """A button of a classifier."""

    press_fn: Callable[[ClassifierCoordinator], Awaitable[object]]


async def _async_capture(coordinator: ClassifierCoordinator) -> None:
    """File the camera's current frame under the class that the user chose."""
    chosen = coordinator.classes.get(coordinator.class_to_teach or "")
    if chosen is None:
        raise translated(ServiceValidationError, "no_class_chosen")
    await coordinator.teaching.async_capture(chosen.label)


BUTTONS = (
    ClassifierButtonDescription(key="capture_example", translation_key="capture_example", press_fn=_async_capture),
    ClassifierButtonDescription(
        key="imprint",
        translation_key="imprint",
        entity_category=EntityCategory.CONFIG,
        press_fn=lambda coordinator: coordinator.teaching.async_imprint(),
    ),
    ClassifierButtonDescription(
        key="look", translation_key="look", press_fn=lambda coordinator: coordinator.async_look()
    ),
)


async def async_setup_entry(
    hass: HomeAssistant, entry: EngineConfigEntry, async_add_entities: AddConfigEntryEntitiesCallback
) -> None:
    """Add each classifier's buttons."""
    async_setup_described(entry, async_add_entities, ClassifierButton, BUTTONS)


class ClassifierButton(ClassifierControl, ButtonEntity):
    """A button of a classifier, as its description says."""

    entity_description: ClassifierButtonDescription

    @override
    async def async_press(self) -> None:
        await self.entity_description.press_fn(self.coordinator)
