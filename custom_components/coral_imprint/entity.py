"""What all entities of a classifier share."""

from collections.abc import Callable, Iterable
from typing import override

from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import device_registry as dr, entity_registry as er
from homeassistant.helpers.device_registry import DeviceInfo
from homeassistant.helpers.entity import Entity
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from homeassistant.helpers.update_coordinator import CoordinatorEntity

from .classifiers.coordinator import ClassifierCoordinator
from .const import DOMAIN, MANUFACTURER, MODEL_CLASSIFIER
from .engines.engine import EngineConfigEntry


class ClassifierEntity(CoordinatorEntity[ClassifierCoordinator]):
    """An entity on a classifier's device."""

    _attr_has_entity_name = True

    def __init__(self, coordinator: ClassifierCoordinator, key: str) -> None:
        """Take the classifier and what tells this entity from its others."""
        super().__init__(coordinator)
        self._attr_unique_id = f"{coordinator.subentry_id}_{key}"
        entry_id = coordinator.config_entry.entry_id
        self._attr_device_info = DeviceInfo(
            identifiers={(DOMAIN, coordinator.subentry_id)},
            name=coordinator.settings.name,
            manufacturer=MANUFACTURER,
            model=MODEL_CLASSIFIER,
            via_device_id=dr.async_get_device_id_by_identifier(
                coordinator.hass, (DOMAIN, entry_id), config_entry_id=entry_id
            ),
        )

    @property
    @override
    def available(self) -> bool:
        # Before the first look nothing is known: better unavailable than yesterday's answer.
        return super().available and self.coordinator.reading is not None

    def class_label(self, class_id: str | None) -> str | None:
        """Return the label of a class, None for none."""
        learned = self.coordinator.learner.classes.get(class_id) if class_id else None
        return learned.label if learned else None


@callback
def async_setup_classifiers(
    entry: EngineConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
    build: Callable[[ClassifierCoordinator], Iterable[Entity]],
) -> None:
    """Add a platform's entities for each classifier, now or when it comes."""

    @callback
    def add(coordinator: ClassifierCoordinator) -> None:
        async_add_entities(build(coordinator), config_subentry_id=coordinator.subentry_id)

    entry.runtime_data.async_on_classifier(add)


@callback
def async_remove_entities(hass: HomeAssistant, domain: str, subentry_id: str, keep: set[str]) -> None:
    """Remove a classifier's entities of one platform whose unique ids are not to be kept."""
    registry = er.async_get(hass)
    for registered in list(registry.entities.values()):
        if (
            registered.platform == DOMAIN
            and registered.domain == domain
            and registered.config_subentry_id == subentry_id
            and registered.unique_id not in keep
        ):
            registry.async_remove(registered.entity_id)
