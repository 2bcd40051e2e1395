"""What the classifier has decided, and how sure the last look was."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import override

from homeassistant.components.sensor import SensorDeviceClass, SensorEntity, SensorEntityDescription, SensorStateClass
from homeassistant.const import PERCENTAGE
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from homeassistant.helpers.typing import StateType

from .coordinator import ClassifierCoordinator
from .engine import EngineConfigEntry
from .entity import ClassifierEntity, async_setup_classifiers

PARALLEL_UPDATES = 0


@dataclass(frozen=True, kw_only=True)
class ClassifierSensorDescription(SensorEntityDescription):
    """A sensor of a classifier."""

    value_fn: Callable[[ClassifierSensor], StateType]
    options_fn: Callable[[ClassifierCoordinator], list[str]] | None = None


SENSORS = (
    ClassifierSensorDescription(
        key="class",
        translation_key="class",
        device_class=SensorDeviceClass.ENUM,
        # Undecided is None, which Home Assistant shows as its own "unknown".
        value_fn=lambda sensor: sensor.class_label(sensor.coordinator.data.verdict.current),
        options_fn=lambda coordinator: [learned.label for learned in coordinator.learner.classes.values()],
    ),
    ClassifierSensorDescription(
        key="confidence",
        translation_key="confidence",
        native_unit_of_measurement=PERCENTAGE,
        state_class=SensorStateClass.MEASUREMENT,
        value_fn=lambda sensor: (
            round(100 * scores.confidence) if (scores := sensor.coordinator.data.scores) and scores.best else None
        ),
    ),
)


async def async_setup_entry(
    hass: HomeAssistant, entry: EngineConfigEntry, async_add_entities: AddConfigEntryEntitiesCallback
) -> None:
    """Add each classifier's sensors."""
    async_setup_classifiers(
        entry,
        async_add_entities,
        lambda coordinator: [ClassifierSensor(coordinator, description) for description in SENSORS],
    )


class ClassifierSensor(ClassifierEntity, SensorEntity):
    """A sensor of a classifier, as its description says."""

    entity_description: ClassifierSensorDescription

    def __init__(self, coordinator: ClassifierCoordinator, description: ClassifierSensorDescription) -> None:
        """Take the description."""
        super().__init__(coordinator, description.key)
        self.entity_description = description

    @property
    @override
    def native_value(self) -> StateType:
        return self.entity_description.value_fn(self)

    @property
    @override
    def options(self) -> list[str] | None:
        options_fn = self.entity_description.options_fn
        return options_fn(self.coordinator) if options_fn else None
