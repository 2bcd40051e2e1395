"""Where frames come from: the only door to cameras."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
import math
from time import monotonic
from typing import Final

from homeassistant.components.camera import async_get_image
from homeassistant.config_entries import ConfigEntry
from homeassistant.const import STATE_UNAVAILABLE
from homeassistant.core import CALLBACK_TYPE, Event, EventStateChangedData, HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.event import async_track_entity_registry_updated_event, async_track_state_change_event
from homeassistant.helpers.start import async_at_started

from ...entity_refs import resolve_camera
from ...errors import translated
from ...extractors.statistics import LookStatistics
from .health import Freshness

CAMERA_TIMEOUT: Final = 10
"""Seconds a camera may take to deliver a frame."""
SHARED_FOR: Final = 1.0
"""Seconds after which a frame is not given to anyone else's look."""
SAME_MOMENT: Final = 0.05
"""Seconds within which two who were called by the same trigger ask for a frame."""
OWN: Final = math.inf
"""In place of the moment since which a frame is asked for: one that is fetched for nobody else."""


async def async_grab(hass: HomeAssistant, camera: str) -> bytes:
    """Return the camera's current frame, whatever its bytes are. Raises HomeAssistantError."""
    entity_id = resolve_camera(hass, camera)
    registered = er.async_get(hass).async_get(entity_id)
    if registered and registered.disabled:
        raise translated(HomeAssistantError, "camera_disabled", entity_id=entity_id)
    # A stream camera that lost its source hands out its last image: ask its state first.
    state = hass.states.get(entity_id)
    if state is None or state.state == STATE_UNAVAILABLE:
        raise translated(HomeAssistantError, "camera_unavailable", entity_id=entity_id)
    try:
        # No size is asked for: Home Assistant would scale in the event loop.
        image = await async_get_image(hass, entity_id, timeout=CAMERA_TIMEOUT)
    except HomeAssistantError as err:
        raise translated(HomeAssistantError, "camera_no_image", err, entity_id=entity_id, reason=str(err)) from err
    return image.content


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A camera's picture, and when it was fetched, by the monotonic clock."""

    picture: bytes
    asked: float
    arrived: float


class SharedFrames:
    """An engine's way to cameras: who asks for a camera's picture at the same moment gets the same."""

    def __init__(self, hass: HomeAssistant, entry: ConfigEntry, statistics: LookStatistics) -> None:
        """Fetch nothing yet."""
        self._hass = hass
        self._entry = entry
        self._statistics = statistics
        self._fetching: dict[str, tuple[float, asyncio.Task[Frame]]] = {}
        self._last: dict[str, Frame] = {}
        self._starts: dict[str, float] = {}

    def start_of(self, camera: str) -> float:
        """Return the moment, by the event loop's clock, that the intervals of all looks at a camera are counted from."""
        return self._starts.setdefault(camera, self._hass.loop.time())

    async def async_frame(self, camera: str, since: float | None) -> Frame:
        """Return a camera's frame that was asked for at ``since`` or later; None: that is fresh enough for anyone.

        ``camera`` is a registry id or an entity id. Raises HomeAssistantError.
        """
        entity_id = resolve_camera(self._hass, camera)
        oldest = monotonic() - SHARED_FOR
        self._last = {key: frame for key, frame in self._last.items() if frame.arrived >= oldest}
        last = self._last.get(entity_id)
        if last and (since is None or last.asked >= since):
            return last
        asked, fetching = self._fetching.get(entity_id, (0.0, None))
        if fetching is None or (since is not None and asked < since):
            asked = monotonic()
            fetching = self._entry.async_create_background_task(
                self._hass, self._async_fetch(entity_id), f"fetch {entity_id}"
            )
            if not fetching.done():
                self._fetching[entity_id] = asked, fetching
        try:
            # Others may wait for it: it isn't cancelled with who asked first.
            return await asyncio.shield(fetching)
        except asyncio.CancelledError as err:
            if fetching.cancelled() and (current := asyncio.current_task()) and not current.cancelling():
                raise translated(
                    HomeAssistantError, "runtime_unavailable", err, reason="the engine was stopped"
                ) from err
            raise

    async def _async_fetch(self, entity_id: str) -> Frame:
        asked = monotonic()
        self._statistics.fetched += 1
        try:
            frame = Frame(await async_grab(self._hass, entity_id), asked, monotonic())
        finally:
            if self._fetching.get(entity_id, (0.0, None))[1] is asyncio.current_task():
                del self._fetching[entity_id]
        self._last[entity_id] = frame
        return frame


type Grab = Callable[[str, float | None], Awaitable[Frame]]


class Frames:
    """One camera's frames, and when there is reason to ask for one."""

    def __init__(self, hass: HomeAssistant, grab: Grab, on_change: CALLBACK_TYPE, on_renamed: CALLBACK_TYPE) -> None:
        """Prepare; async_track begins.

        ``grab`` returns a camera's frame, asked for at a moment or later; ``on_change`` is called when the camera went or came
        back (and once Home Assistant has started, where that was asked for), ``on_renamed`` when its entity id changed.
        """
        self._hass = hass
        self._grab = grab
        self._camera = ""
        self._on_change = on_change
        self._on_renamed = on_renamed
        self._freshness = Freshness()
        self.stale = False
        """Whether the last frame had been the same for too long."""
        self._tracked = False
        self._untrack: list[CALLBACK_TYPE] = []

    @property
    def is_there(self) -> bool:
        """Whether the camera may be asked."""
        try:
            state = self._hass.states.get(resolve_camera(self._hass, self._camera))
        except HomeAssistantError:
            return False
        return state is not None and state.state != STATE_UNAVAILABLE

    @callback
    def async_track(self, camera: str) -> None:
        """Follow a camera, stored by registry id or entity id, in place of the one before."""
        self.async_untrack()
        self._camera = camera
        try:
            entity_id = resolve_camera(self._hass, camera)
        except HomeAssistantError:
            return  # every look says so, and the interval goes on trying
        self._tracked = True

        @callback
        def state_changed(event: Event[EventStateChangedData]) -> None:
            new, old = event.data["new_state"], event.data["old_state"]
            gone = (None, STATE_UNAVAILABLE)
            is_gone, was_gone = ((state.state if state else None) in gone for state in (new, old))
            if is_gone != was_gone and not self._hass.is_stopping:
                self._on_change()

        @callback
        def registry_changed(event: Event[er.EventEntityRegistryUpdatedData]) -> None:
            if event.data["action"] == "update" and "entity_id" in event.data["changes"]:
                self.async_track(camera)
                self._on_renamed()

        self._untrack += [
            async_track_state_change_event(self._hass, entity_id, state_changed),
            async_track_entity_registry_updated_event(self._hass, entity_id, registry_changed),
        ]

    @callback
    def async_untrack(self) -> None:
        """Follow no camera."""
        self._tracked = False
        while self._untrack:
            self._untrack.pop()()

    @callback
    def async_call_when_started(self) -> None:
        """Call ``on_change`` once Home Assistant has started."""

        @callback
        def started(_hass: HomeAssistant) -> None:
            self._on_change()

        self._untrack.append(async_at_started(self._hass, started))

    async def async_next(self, stale_after: float, since: float | None) -> Frame:
        """Return a frame asked for at ``since`` (monotonic; OWN: by this call) or later; None: as fresh as any that others look at.

        Notes whether it is `stale`, by ``stale_after`` (seconds; 0: never). Raises HomeAssistantError.
        """
        frame = await self._grab(self._camera, since)
        if not self._tracked:
            self.async_track(self._camera)  # it was missing, and came back
        self.stale = self._freshness.observe(frame.picture, monotonic(), stale_after)
        return frame

    async def async_fresh(self, stale_after: float) -> bytes:
        """Return a picture fetched for nobody else, where it isn't stale. Raises HomeAssistantError."""
        frame = await self.async_next(stale_after, OWN)
        if self.stale:
            raise self.stale_error()
        return frame.picture

    def stale_error(self) -> HomeAssistantError:
        """Return what tells for how long the picture has been the same."""
        return translated(HomeAssistantError, "camera_stale", seconds=str(int(self._freshness.age(monotonic()))))
