"""What the classifier has decided, how sure the last look was, and how the engine is doing."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, override

from homeassistant.components.sensor import SensorDeviceClass, SensorEntity, SensorEntityDescription, SensorStateClass
from homeassistant.const import PERCENTAGE, EntityCategory, Platform, UnitOfTime
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.device_registry import DeviceInfo
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from homeassistant.helpers.event import async_track_time_interval
from homeassistant.helpers.typing import StateType

from .classifiers.coordinator import ClassifierCoordinator
from .classifiers.looking.health import Problem
from .const import DOMAIN, MODEL_ENGINE
from .engines.engine import Engine, EngineConfigEntry
from .entity import ClassEntity, ClassifierEntity, async_setup_classes, async_setup_described
from .extractors.choices import title

PARALLEL_UPDATES = 0

MOST_NAMED: Final = 20
"""Examples that a sensor names in its attributes."""


@dataclass(frozen=True, kw_only=True)
class ClassifierSensorDescription(SensorEntityDescription):
    """A sensor of a classifier."""

    value_fn: Callable[[ClassifierSensor], StateType]
    options_fn: Callable[[ClassifierCoordinator], list[str]] | None = None
    attributes_fn: Callable[[ClassifierCoordinator], dict[str, Any]] | None = None
    needs_reading: bool = True
    """Whether it says something about the last look, without which it is unavailable."""


@dataclass(frozen=True, kw_only=True)
class EngineSensorDescription(SensorEntityDescription):
    """A sensor of an engine."""

    value_fn: Callable[[Engine], StateType]
    attributes_fn: Callable[[Engine], dict[str, StateType]] | None = None
    interval: timedelta | None = None
    """How often it changes without another embedder."""


CLASSIFIER_SENSORS = (
    ClassifierSensorDescription(
        key="class",
        translation_key="class",
        device_class=SensorDeviceClass.ENUM,
        # Undecided is None, which Home Assistant shows as its own "unknown".
        value_fn=lambda sensor: sensor.class_label(sensor.coordinator.data.verdict.current),
        options_fn=lambda coordinator: [learned.label for learned in coordinator.classes.values()],
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
    ClassifierSensorDescription(
        key="embedded",
        translation_key="embedded",
        entity_category=EntityCategory.DIAGNOSTIC,
        native_unit_of_measurement=PERCENTAGE,
        value_fn=lambda sensor: sensor.coordinator.percent_embedded,
        needs_reading=False,
    ),
    ClassifierSensorDescription(
        key="camera_problem",
        translation_key="camera_problem",
        entity_category=EntityCategory.DIAGNOSTIC,
        device_class=SensorDeviceClass.ENUM,
        options_fn=lambda coordinator: ["ok", *Problem],
        value_fn=lambda sensor: sensor.coordinator.camera_state,
        needs_reading=False,
    ),
    ClassifierSensorDescription(
        key="examples",
        translation_key="examples",
        entity_category=EntityCategory.DIAGNOSTIC,
        state_class=SensorStateClass.MEASUREMENT,
        value_fn=lambda sensor: sum(sensor.coordinator.counts.values()),
        attributes_fn=lambda coordinator: {"by_class": _counts_by_label(coordinator)},
        needs_reading=False,
    ),
    ClassifierSensorDescription(
        key="to_review",
        translation_key="to_review",
        entity_category=EntityCategory.DIAGNOSTIC,
        state_class=SensorStateClass.MEASUREMENT,
        value_fn=lambda sensor: None if (odd := sensor.coordinator.to_review) is None else len(odd),
        attributes_fn=lambda coordinator: {"examples": _odd_examples(coordinator)},
        needs_reading=False,
    ),
)

ENGINE_SENSORS = (
    EngineSensorDescription(
        key="runtime",
        translation_key="runtime",
        entity_category=EntityCategory.DIAGNOSTIC,
        device_class=SensorDeviceClass.ENUM,
        options=[*MODEL_ENGINE],
        value_fn=lambda engine: engine.embedder.runtime,
        attributes_fn=lambda engine: {
            "extractor": title(engine.extractor),
            "reason": engine.embedder.choice.reason,
            **_likeness(engine),
        },
    ),
    EngineSensorDescription(
        key="inference_time",
        translation_key="inference_time",
        entity_category=EntityCategory.DIAGNOSTIC,
        entity_registry_enabled_default=False,
        device_class=SensorDeviceClass.DURATION,
        state_class=SensorStateClass.MEASUREMENT,
        native_unit_of_measurement=UnitOfTime.MILLISECONDS,
        suggested_display_precision=1,
        value_fn=lambda engine: engine.embedder.ms,
        interval=timedelta(seconds=30),
    ),
    EngineSensorDescription(
        key="looks_per_second",
        translation_key="looks_per_second",
        entity_category=EntityCategory.DIAGNOSTIC,
        entity_registry_enabled_default=False,
        state_class=SensorStateClass.MEASUREMENT,
        suggested_display_precision=2,
        value_fn=lambda engine: engine.statistics.per_second,
        interval=timedelta(seconds=30),
    ),
    EngineSensorDescription(
        key="skipped_looks",
        translation_key="skipped_looks",
        entity_category=EntityCategory.DIAGNOSTIC,
        entity_registry_enabled_default=False,
        state_class=SensorStateClass.TOTAL_INCREASING,
        value_fn=lambda engine: engine.statistics.skipped,
        interval=timedelta(seconds=30),
    ),
)


async def async_setup_entry(
    hass: HomeAssistant, entry: EngineConfigEntry, async_add_entities: AddConfigEntryEntitiesCallback
) -> None:
    """Add the engine's sensors, and each classifier's."""
    async_setup_classes(entry, async_add_entities, Platform.SENSOR, ScoreSensor)
    async_add_entities(EngineSensor(entry, description) for description in ENGINE_SENSORS)
    async_setup_described(entry, async_add_entities, ClassifierSensor, CLASSIFIER_SENSORS)


def _counts_by_label(coordinator: ClassifierCoordinator) -> dict[str, int]:
    classes, counts = coordinator.classes, coordinator.counts
    return {learned.label: counts.get(class_id, 0) for class_id, learned in classes.items()}


def _odd_examples(coordinator: ClassifierCoordinator) -> list[dict[str, str]]:
    """Return the examples that the others speak against, the surest first, as the actions take them."""
    classes = coordinator.classes
    return [
        {"example": odd.id, "class": classes[odd.class_id].label, "likely": classes[odd.likely].label}
        for odd in (coordinator.to_review or ())[:MOST_NAMED]
        if odd.class_id in classes and odd.likely in classes
    ]


def _likeness(engine: Engine) -> dict[str, StateType]:
    """Return how alike an Edge TPU and its twin on the CPU are, once that is known."""
    likeness = engine.embedder.likeness
    return {"likeness": round(likeness.mean, 4)} if likeness else {}


class ClassifierSensor(ClassifierEntity, SensorEntity):
    """A sensor of a classifier, as its description says."""

    entity_description: ClassifierSensorDescription
    _unrecorded_attributes = frozenset({"by_class", "examples"})

    def __init__(self, coordinator: ClassifierCoordinator, description: ClassifierSensorDescription) -> None:
        """Take the description."""
        super().__init__(coordinator, description.key)
        self.entity_description = description

    @property
    @override
    def available(self) -> bool:
        return super().available if self.entity_description.needs_reading else True

    @property
    @override
    def native_value(self) -> StateType:
        return self.entity_description.value_fn(self)

    @property
    @override
    def options(self) -> list[str] | None:
        options_fn = self.entity_description.options_fn
        return options_fn(self.coordinator) if options_fn else None

    @property
    @override
    def extra_state_attributes(self) -> dict[str, Any] | None:
        attributes_fn = self.entity_description.attributes_fn
        return attributes_fn(self.coordinator) if attributes_fn else None


class ScoreSensor(ClassEntity, SensorEntity):
    """How probable a class was in the last look."""

    translation = "score"
    suffix = "_score"
    of_background = True
    _attr_native_unit_of_measurement = PERCENTAGE
    _attr_state_class = SensorStateClass.MEASUREMENT
    _attr_entity_category = EntityCategory.DIAGNOSTIC
    _attr_entity_registry_enabled_default = False

    @override
    def set_label(self, label: str) -> None:
        self._attr_translation_placeholders = {"class": label}
        # Home Assistant remembers the name, and forgets it only for another _attr_name.
        self.__dict__.pop("name", None)

    @property
    @override
    def native_value(self) -> StateType:
        scores = self.coordinator.data.scores
        if scores is None or self.class_id not in scores.probability:
            return None
        return round(100 * scores.probability[self.class_id])

    @property
    @override
    def extra_state_attributes(self) -> dict[str, StateType] | None:
        scores = self.coordinator.data.scores if self.coordinator.reading else None
        return (
            {"evidence": round(scores.cosine[self.class_id], 3)} if scores and self.class_id in scores.cosine else None
        )


class EngineSensor(SensorEntity):
    """A sensor on an engine's device: follows when another embedder is used, and from time to time."""

    _attr_has_entity_name = True
    _attr_should_poll = False
    entity_description: EngineSensorDescription

    def __init__(self, entry: EngineConfigEntry, description: EngineSensorDescription) -> None:
        """Take the description."""
        self.entity_description = description
        self._engine = entry.runtime_data
        self._attr_unique_id = f"{entry.entry_id}_{description.key}"
        self._attr_device_info = DeviceInfo(identifiers={(DOMAIN, entry.entry_id)})

    @override
    async def async_added_to_hass(self) -> None:
        await super().async_added_to_hass()
        self.async_on_remove(self._engine.async_on_change(self.async_write_ha_state))
        if self.entity_description.interval:
            self.async_on_remove(async_track_time_interval(self.hass, self._follow, self.entity_description.interval))

    @callback
    def _follow(self, _now: datetime) -> None:
        self.async_write_ha_state()

    @property
    @override
    def native_value(self) -> StateType:
        return self.entity_description.value_fn(self._engine)

    @property
    @override
    def extra_state_attributes(self) -> dict[str, StateType] | None:
        attributes_fn = self.entity_description.attributes_fn
        return attributes_fn(self._engine) if attributes_fn else None
