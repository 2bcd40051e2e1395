"""The frame of the last look."""

from datetime import timedelta
from typing import override

from homeassistant.components.image import ImageEntity, infer_image_type
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .classifiers.coordinator import ClassifierCoordinator
from .engines.engine import EngineConfigEntry
from .entity import ClassifierEntity, async_setup_classifiers

PARALLEL_UPDATES = 0

REFRESH = timedelta(minutes=1)
"""The state is the picture's time and the recorder keeps every state: a look a second would fill its database. The
picture itself is always that of the last look; its time moves when the decision does, or once in this while."""


async def async_setup_entry(
    hass: HomeAssistant, entry: EngineConfigEntry, async_add_entities: AddConfigEntryEntitiesCallback
) -> None:
    """Add each classifier's image."""
    async_setup_classifiers(entry, async_add_entities, lambda coordinator: [LastLook(hass, coordinator)])


class LastLook(ClassifierEntity, ImageEntity):
    """The frame of the last look, as the camera gave it."""

    _attr_translation_key = "last_look"

    def __init__(self, hass: HomeAssistant, coordinator: ClassifierCoordinator) -> None:
        """Take the classifier."""
        ClassifierEntity.__init__(self, coordinator, "last_look")
        ImageEntity.__init__(self, hass)
        self._follow()

    @override
    async def async_image(self) -> bytes | None:
        return reading.picture if (reading := self.coordinator.reading) else None

    @callback
    @override
    def _handle_coordinator_update(self) -> None:
        self._follow()
        super()._handle_coordinator_update()

    def _follow(self) -> None:
        reading = self.coordinator.reading
        if reading is None:
            return
        shown = self._attr_image_last_updated
        if shown is None or reading.verdict.changed or reading.taken - shown >= REFRESH:
            self._attr_image_last_updated = reading.taken
            self._attr_content_type = infer_image_type(reading.picture) or "image/jpeg"
