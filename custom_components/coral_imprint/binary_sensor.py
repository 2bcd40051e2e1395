"""One binary sensor per class that isn't background: on while the classifier has decided for it."""

from typing import override

from homeassistant.components.binary_sensor import BinarySensorEntity
from homeassistant.const import Platform
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .coordinator import ClassifierCoordinator
from .engine import EngineConfigEntry
from .entity import ClassifierEntity, async_remove_entities
from .imprinting import LearnedClass

PARALLEL_UPDATES = 0


async def async_setup_entry(
    hass: HomeAssistant, entry: EngineConfigEntry, async_add_entities: AddConfigEntryEntitiesCallback
) -> None:
    """Keep a binary sensor for each class of each classifier, as classes come and go."""

    @callback
    def add_classifier(coordinator: ClassifierCoordinator) -> None:
        present: set[str] = set()

        @callback
        def follow_classes() -> None:
            wanted = {key: learned for key, learned in coordinator.learner.classes.items() if not learned.background}
            async_add_entities(
                [ClassBinarySensor(coordinator, learned) for key, learned in wanted.items() if key not in present],
                config_subentry_id=coordinator.subentry_id,
            )
            keep = {f"{coordinator.subentry_id}_{key}" for key in wanted}
            async_remove_entities(hass, Platform.BINARY_SENSOR, coordinator.subentry_id, keep)
            present.clear()
            present.update(wanted)

        follow_classes()
        coordinator.async_on_classes_changed(follow_classes)

    entry.runtime_data.async_on_classifier(add_classifier)


class ClassBinarySensor(ClassifierEntity, BinarySensorEntity):
    """On while the camera shows this class."""

    _attr_translation_key = "class"  # for the icon; the name is the user's own

    def __init__(self, coordinator: ClassifierCoordinator, learned: LearnedClass) -> None:
        """Take the class."""
        super().__init__(coordinator, learned.id)
        self._class_id = learned.id
        self._attr_name = learned.label

    @property
    @override
    def is_on(self) -> bool | None:
        current = self.coordinator.data.verdict.current
        return None if current is None else current == self._class_id

    @callback
    @override
    def _handle_coordinator_update(self) -> None:
        label = self.class_label(self._class_id)
        if label is None:
            return  # removed; the entity follows
        if label != self._attr_name:
            # Entity id and unique id stay.
            self._attr_name = label
            er.async_get(self.hass).async_update_entity(self.entity_id, original_name=label)
        super()._handle_coordinator_update()
