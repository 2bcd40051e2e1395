"""Entities whose changes are a reason to look."""

from collections.abc import Sequence

from homeassistant.const import STATE_UNAVAILABLE, STATE_UNKNOWN
from homeassistant.core import CALLBACK_TYPE, Event, EventStateChangedData, HomeAssistant, State, callback
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.event import async_track_entity_registry_updated_event, async_track_state_change_event
from homeassistant.helpers.start import async_at_started

from ...entity_refs import resolve_entity


class Triggers:
    """Calls when one of some entities changes: a motion sensor, a door, a button, an event."""

    def __init__(self, hass: HomeAssistant, on_change: CALLBACK_TYPE, on_known: CALLBACK_TYPE) -> None:
        """Follow nothing yet; async_follow begins.

        ``on_change`` is called at every change of state; ``on_known`` whenever `missing` may have become another.
        """
        self._hass = hass
        self._on_change = on_change
        self._on_known = on_known
        self._names: dict[str, str] = {}
        """Entity ids of what is followed, by what was stored; those that are gone as they were called last."""
        self._untrack: list[CALLBACK_TYPE] = []
        self.missing: tuple[str, ...] = ()
        """Those that there are not, as far as they can still be named. Only known once Home Assistant has started."""

    @callback
    def async_follow(self, entities: Sequence[str]) -> None:
        """Follow entities, each stored by registry id or entity id, in place of those before."""
        former = self._names
        self.async_stop()
        self._names = {
            entity: resolve_entity(self._hass, entity) or former.get(entity, entity)
            for entity in dict.fromkeys(entities)
        }
        if not self._names:
            self._tell()
            return
        followed = list(self._names.values())
        self._untrack = [
            async_track_state_change_event(self._hass, followed, self._state_changed),
            async_track_entity_registry_updated_event(self._hass, followed, self._registry_changed),
            async_at_started(self._hass, self._started),
        ]

    @callback
    def async_stop(self) -> None:
        """Follow nothing."""
        while self._untrack:
            self._untrack.pop()()

    @callback
    def _started(self, _hass: HomeAssistant) -> None:
        self._tell()

    @callback
    def _tell(self) -> None:
        registry = er.async_get(self._hass)
        self.missing = tuple(
            name
            for name in self._names.values()
            # One that is disabled, or whose integration is not loaded, is known to the registry.
            if self._hass.states.get(name) is None and registry.async_get(name) is None
        )
        self._on_known()

    @callback
    def _state_changed(self, event: Event[EventStateChangedData]) -> None:
        if is_reason(event.data["old_state"], event.data["new_state"]):
            self._on_change()
        if self._hass.is_running and None in (event.data["old_state"], event.data["new_state"]):
            self._tell()

    @callback
    def _registry_changed(self, event: Event[er.EventEntityRegistryUpdatedData]) -> None:
        if event.data["action"] != "update" or "entity_id" in event.data["changes"]:
            self.async_follow(list(self._names))


def is_reason(old: State | None, new: State | None) -> bool:
    """Return whether something happened. Coming and going of the entity itself, and of its attributes, is nothing."""
    gone = {None, STATE_UNAVAILABLE}
    before = old.state if old else None
    after = new.state if new else None
    # From unknown is: a button's first press, a sensor's first word after a restart.
    return before not in gone and after not in gone | {STATE_UNKNOWN, before}
