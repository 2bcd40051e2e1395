"""Uncertain: fired when looks begin to name no class, so that the decision has to hold."""

from typing import override

from homeassistant.components.event import EventEntity, EventEntityDescription
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .classifiers.coordinator import ClassifierCoordinator, Reading
from .core.imprinting import Finding, Uncertainty
from .engines.engine import EngineConfigEntry
from .entity import ClassifierEntity, async_setup_classifiers

PARALLEL_UPDATES = 0

UNCERTAIN = EventEntityDescription(
    key="uncertain", translation_key="uncertain", event_types=[Finding.UNSURE.value, Finding.FOREIGN.value]
)


async def async_setup_entry(
    hass: HomeAssistant, entry: EngineConfigEntry, async_add_entities: AddConfigEntryEntitiesCallback
) -> None:
    """Add each classifier's event."""
    async_setup_classifiers(entry, async_add_entities, lambda coordinator: [UncertainEvent(coordinator, UNCERTAIN)])


class UncertainEvent(ClassifierEntity, EventEntity):
    """Fired once when uncertainty begins, with what the look comes nearest to."""

    def __init__(self, coordinator: ClassifierCoordinator, description: EventEntityDescription) -> None:
        """Take the classifier."""
        super().__init__(coordinator, description.key)
        self.entity_description = description
        self._uncertainty = Uncertainty()
        self._seen: Reading | None = coordinator.reading

    @property
    @override
    def available(self) -> bool:
        # The state says when it was fired last, which stays true. Coming and going with the camera would look like an event.
        return True

    @callback
    @override
    def _handle_coordinator_update(self) -> None:
        reading = self.coordinator.reading
        if reading is None or reading is self._seen:
            return
        self._seen = reading
        scores, verdict = reading.scores, reading.verdict
        if scores is None or (scores.best is None and verdict.finding is Finding.UNSURE):
            return  # nothing was taught, or nothing to tell it from
        kind = self._uncertainty.begins(verdict, self.coordinator.settings.rules.looks)
        if kind is None:
            return
        attributes = {
            "best_class": self.class_label(scores.best),
            "probability": round(100 * scores.confidence) if scores.best else None,
            "current_class": self.class_label(verdict.current),
        }
        self._trigger_event(kind.value, attributes)
        self.async_write_ha_state()
