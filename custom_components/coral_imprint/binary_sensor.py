"""One binary sensor per class that isn't background: on while the classifier has decided for it. And the Edge TPU's."""

from typing import override

from homeassistant.components.binary_sensor import BinarySensorEntity
from homeassistant.components.binary_sensor.const import BinarySensorDeviceClass
from homeassistant.const import EntityCategory, Platform
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.device_registry import DeviceInfo
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .const import DOMAIN
from .engines.engine import EngineConfigEntry
from .entity import ClassEntity, async_setup_classes

PARALLEL_UPDATES = 0


async def async_setup_entry(
    hass: HomeAssistant, entry: EngineConfigEntry, async_add_entities: AddConfigEntryEntitiesCallback
) -> None:
    """Keep a binary sensor for each class of each classifier, as classes come and go, and one for the engine's Edge TPU."""
    async_setup_classes(entry, async_add_entities, Platform.BINARY_SENSOR, ClassBinarySensor)
    _async_follow_device(hass, entry, async_add_entities)


@callback
def _async_follow_device(
    hass: HomeAssistant, entry: EngineConfigEntry, async_add_entities: AddConfigEntryEntitiesCallback
) -> None:
    """Keep a binary sensor for the Edge TPU while the engine is to use one."""
    unique_id = f"{entry.entry_id}_edgetpu_connected"
    present = False

    @callback
    def follow() -> None:
        nonlocal present
        wanted = entry.runtime_data.edgetpu_connected is not None
        if wanted and not present:
            async_add_entities([DeviceBinarySensor(entry, unique_id)])
        elif not wanted:
            registry = er.async_get(hass)
            if entity_id := registry.async_get_entity_id(Platform.BINARY_SENSOR, DOMAIN, unique_id):
                registry.async_remove(entity_id)
        present = wanted

    follow()
    entry.async_on_unload(entry.runtime_data.async_on_change(follow))


class DeviceBinarySensor(BinarySensorEntity):
    """On while the engine's Edge TPU answers."""

    _attr_has_entity_name = True
    _attr_should_poll = False
    _attr_translation_key = "edgetpu_connected"
    _attr_device_class = BinarySensorDeviceClass.CONNECTIVITY
    _attr_entity_category = EntityCategory.DIAGNOSTIC

    def __init__(self, entry: EngineConfigEntry, unique_id: str) -> None:
        """Take the engine."""
        self._engine = entry.runtime_data
        self._attr_unique_id = unique_id
        self._attr_device_info = DeviceInfo(identifiers={(DOMAIN, entry.entry_id)})

    @override
    async def async_added_to_hass(self) -> None:
        await super().async_added_to_hass()
        self.async_on_remove(self._engine.async_on_change(self.async_write_ha_state))

    @property
    @override
    def is_on(self) -> bool | None:
        return self._engine.edgetpu_connected


class ClassBinarySensor(ClassEntity, BinarySensorEntity):
    """On while the camera shows this class."""

    translation = "class"  # for the icon; the name is the user's own

    @override
    def set_label(self, label: str) -> None:
        self._attr_name = label

    @property
    @override
    def is_on(self) -> bool | None:
        current = self.coordinator.data.verdict.current
        return None if current is None else current == self.class_id
