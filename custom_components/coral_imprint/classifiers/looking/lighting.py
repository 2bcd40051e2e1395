"""Light while pictures are taken. What was off is off again afterwards, whatever happens in between."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
import logging
from typing import Any, Final

from homeassistant.const import ATTR_ENTITY_ID, SERVICE_TURN_OFF, SERVICE_TURN_ON, STATE_OFF, STATE_ON
from homeassistant.core import Event, EventStateChangedData, HomeAssistant, callback, split_entity_id
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.event import async_track_state_change_event
from homeassistant.helpers.storage import Store
from homeassistant.util.hass_dict import HassKey

from ...const import DOMAIN
from ...entity_refs import resolve_entity
from ...errors import translated

_LOGGER = logging.getLogger(__name__)

DOMAINS: Final = ("light", "switch", "input_boolean")
"""What can be switched on for a picture."""
SWITCHING: Final = 10.0
"""Seconds that switching may take."""


@dataclass(slots=True, eq=False)
class _Lit:
    """An entity that someone needs to be on."""

    switching: asyncio.Task[None] | None = None
    """Ends when it is on; None where it was on already."""
    users: int = 0


class Lights:
    """Switches entities on while someone takes pictures, and back; all who take some at a time share one switching.

    What is on because of us is noted on disk before it is switched, so that it is switched off after a crash too.
    """

    def __init__(self, hass: HomeAssistant) -> None:
        """Switch nothing yet."""
        self._hass = hass
        self._lit: dict[str, _Lit] = {}
        self._ending: dict[str, asyncio.Task[None]] = {}
        """Those that are being switched off."""
        self._store: Store[list[str]] = Store(hass, 1, f"{DOMAIN}.lights")
        self._noted: set[str] = set()

    @asynccontextmanager
    async def async_on(self, light: str | None, settle: float) -> AsyncIterator[None]:
        """Let there be light: ``light`` (a registry id or entity id; None: none) is on inside the block, for ``settle`` seconds before.

        Who comes while it is on already, because of another one's pictures, waits no longer than that one does. Raises
        HomeAssistantError when it can't be switched on.
        """
        if light is None:
            yield
            return
        entity_id = resolve_entity(self._hass, light)
        while ending := self._ending.get(entity_id or ""):
            await asyncio.wait([ending])
        state = self._hass.states.get(entity_id) if entity_id else None
        if entity_id is None or state is None or state.state not in (STATE_ON, STATE_OFF):
            raise translated(HomeAssistantError, "light_unavailable", light=entity_id or light)
        if (lit := self._lit.get(entity_id)) is None:
            lit = self._lit[entity_id] = _Lit()
            if state.state == STATE_OFF:
                # Not cancelled with who came first: others may wait for it.
                lit.switching = self._hass.async_create_background_task(
                    self._async_switch_on(entity_id, settle), f"switch on {entity_id}"
                )
        lit.users += 1
        try:
            if lit.switching:
                await asyncio.shield(lit.switching)
            yield
        finally:
            lit.users -= 1
            if not lit.users:
                del self._lit[entity_id]
                if lit.switching:
                    # Whoever was here may have been cancelled: the light is switched off all the same.
                    end = self._hass.async_create_task(self._async_end(entity_id, lit.switching))
                    self._ending[entity_id] = end
                    end.add_done_callback(lambda _: self._ending.pop(entity_id))
                    await asyncio.shield(end)

    async def _async_switch_on(self, entity_id: str, settle: float) -> None:
        self._noted.add(entity_id)
        await self._store.async_save(sorted(self._noted))
        try:
            async with asyncio.timeout(SWITCHING):
                await self._async_call(SERVICE_TURN_ON, entity_id)
        except (HomeAssistantError, TimeoutError) as err:
            raise translated(HomeAssistantError, "light_failed", err, light=entity_id, reason=str(err)) from err
        await asyncio.sleep(settle)

    async def _async_end(self, entity_id: str, switching: asyncio.Task[None]) -> None:
        """Switch off, also what failed to be switched on: it may be on late."""
        switching.cancel()
        await asyncio.gather(switching, return_exceptions=True)
        await self._async_off(entity_id)

    async def _async_off(self, entity_id: str) -> None:
        try:
            async with asyncio.timeout(SWITCHING):
                await self._async_call(SERVICE_TURN_OFF, entity_id)
        except (HomeAssistantError, TimeoutError) as err:
            _LOGGER.error("%s could not be switched off after a picture: %s", entity_id, err)
            return  # still noted: it is tried again at the next start
        self._noted.discard(entity_id)
        await self._store.async_save(sorted(self._noted))

    async def _async_call(self, service: str, entity_id: str) -> None:
        domain = split_entity_id(entity_id)[0]
        await self._hass.services.async_call(domain, service, {ATTR_ENTITY_ID: entity_id}, blocking=True)

    async def async_mend(self) -> None:
        """Switch off what was left on when Home Assistant was killed amid a picture: now, or as soon as it is there."""
        for entity_id in await self._store.async_load() or []:
            self._noted.add(entity_id)
            self._mend_one(entity_id)

    @callback
    def _mend_one(self, entity_id: str) -> None:
        def there(state: Any) -> bool:
            return state is not None and state.state in (STATE_ON, STATE_OFF)

        if there(self._hass.states.get(entity_id)):
            self._hass.async_create_task(self._async_off(entity_id))
            return

        @callback
        def changed(event: Event[EventStateChangedData]) -> None:
            if there(event.data["new_state"]):
                untrack()
                self._hass.async_create_task(self._async_off(entity_id))

        untrack = async_track_state_change_event(self._hass, entity_id, changed)


_LIGHTS: HassKey[Lights] = HassKey(f"{DOMAIN}.lights")


@callback
def lights(hass: HomeAssistant) -> Lights:
    """Return what all engines switch lights by: two of them may use the same."""
    if _LIGHTS not in hass.data:
        hass.data[_LIGHTS] = Lights(hass)
    return hass.data[_LIGHTS]
