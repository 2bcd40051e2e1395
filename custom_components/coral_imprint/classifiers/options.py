"""Changes of how a classifier works: options that a person sets on its device, and thresholds of single classes."""

from collections.abc import Mapping
from typing import Any

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import HomeAssistant, callback
from homeassistant.exceptions import ServiceValidationError

from ..const import CONF_LIMITS, ENTER_AT, STAY_AT
from ..errors import core_errors_translated, translated
from ..settings import stays_above_enter, with_options
from .learning.learner import Learner


class Options:
    """The options of one classifier. They are stored with its subentry, and the classifier follows that."""

    def __init__(self, hass: HomeAssistant, entry: ConfigEntry, subentry_id: str, learner: Learner) -> None:
        """Change nothing yet."""
        self._hass = hass
        self._entry = entry
        self._subentry_id = subentry_id
        self._learner = learner

    @callback
    def async_change(self, changes: Mapping[str, Any]) -> None:
        """Store changed options; of what the classifier does, only what they change is begun anew.

        ``changes`` are in the form's units, by key; those of a section are a mapping under its name: ``{"watching": False,
        "decision": {"hold": 10}}``. What they don't name stays as it is. Raises ServiceValidationError where
        thresholds contradict each other.
        """
        subentry = self._entry.subentries[self._subentry_id]
        data = with_options(subentry.data, changes)
        if stays_above_enter(data):
            raise translated(ServiceValidationError, "stay_above_enter")
        self._hass.config_entries.async_update_subentry(self._entry, subentry, data=data)

    @callback
    def async_set_thresholds(self, class_name: str, enter: float | None, stay: float | None) -> None:
        """Store a class's own thresholds (in percent); None and None take them back.

        ``class_name`` is a label or an id. Raises HomeAssistantError.
        """
        with core_errors_translated():
            class_id = self._learner.class_named(class_name).id
        if enter is None and stay is None:
            self._store_limits(class_id, None)
        elif enter is None or stay is None:
            raise translated(ServiceValidationError, "thresholds_incomplete")
        elif stay > enter:
            raise translated(ServiceValidationError, "stay_above_enter")
        else:
            self._store_limits(class_id, {ENTER_AT.key: enter, STAY_AT.key: stay})

    @callback
    def _store_limits(self, class_id: str, limits: Mapping[str, float] | None) -> None:
        subentry = self._entry.subentries[self._subentry_id]
        kept = {key: own for key, own in subentry.data.get(CONF_LIMITS, {}).items() if key in self._learner.classes}
        kept.pop(class_id, None)
        if limits is not None:
            kept[class_id] = dict(limits)
        self.async_change({CONF_LIMITS: kept})
