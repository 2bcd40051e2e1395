"""The select platform: which class the button “Capture example” teaches."""

from dataclasses import dataclass
from typing import Any, override

from homeassistant.components.select import SelectEntity, SelectEntityDescription
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from homeassistant.helpers.restore_state import ExtraStoredData, RestoreEntity

from .engines.engine import EngineConfigEntry
from .entity import ClassifierControl, async_setup_classifiers

PARALLEL_UPDATES = 0

CLASS_TO_TEACH = SelectEntityDescription(key="class_to_teach", translation_key="class_to_teach")


async def async_setup_entry(
    hass: HomeAssistant, entry: EngineConfigEntry, async_add_entities: AddConfigEntryEntitiesCallback
) -> None:
    """Add each classifier's choice of the class to teach."""
    async_setup_classifiers(entry, async_add_entities, lambda coordinator: [ClassToTeach(coordinator, CLASS_TO_TEACH)])


@dataclass(frozen=True)
class _StoredClass(ExtraStoredData):
    """What is kept of the choice: the class may have another label by the next start."""

    class_id: str | None

    @override
    def as_dict(self) -> dict[str, Any]:
        return {"class_id": self.class_id}


class ClassToTeach(ClassifierControl, SelectEntity, RestoreEntity):
    """The chosen class; none until one is chosen, and when the chosen one was removed: a guess would file pictures wrongly."""

    @override
    async def async_added_to_hass(self) -> None:
        await super().async_added_to_hass()
        stored = await self.async_get_last_extra_data()
        if stored and self.coordinator.class_to_teach is None:
            self.coordinator.class_to_teach = stored.as_dict().get("class_id")

    @property
    @override
    def extra_restore_state_data(self) -> ExtraStoredData:
        return _StoredClass(self.coordinator.class_to_teach)

    @property
    @override
    def followed(self) -> object:
        return self.coordinator.labels, self.coordinator.class_to_teach

    @property
    @override
    def available(self) -> bool:
        return bool(self.coordinator.classes)

    @property
    @override
    def options(self) -> list[str]:
        return [*self.coordinator.labels.values()]

    @property
    @override
    def current_option(self) -> str | None:
        return self.class_label(self.coordinator.class_to_teach)

    @override
    async def async_select_option(self, option: str) -> None:
        chosen = next(class_id for class_id, label in self.coordinator.labels.items() if label == option)
        self.coordinator.class_to_teach = chosen
        self.async_write_ha_state()
