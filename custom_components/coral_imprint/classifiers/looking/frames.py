"""Where frames come from: the only door to cameras."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
import math
from time import monotonic
from typing import Final

from homeassistant.components.camera import async_get_image
from homeassistant.const import STATE_UNAVAILABLE
from homeassistant.core import CALLBACK_TYPE, Event, EventStateChangedData, HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.event import async_track_entity_registry_updated_event, async_track_state_change_event
from homeassistant.helpers.start import async_at_started
import voluptuous as vol

from ...errors import translated
from .health import Freshness

CAMERA_TIMEOUT: Final = 10
"""Seconds a camera may take to deliver a frame."""


SAME_MOMENT: Final = 0.05
"""Seconds within which two who were called by the same trigger ask for a frame."""
OWN: Final = math.inf
"""In place of the moment since which a frame is asked for: one that is fetched for nobody else."""


def resolve_camera(hass: HomeAssistant, camera: str) -> str:
    """Return the entity id of a camera stored by registry id or entity id. Raises HomeAssistantError."""
    try:
        return er.async_validate_entity_id(er.async_get(hass), camera)
    except vol.Invalid as err:
        raise translated(HomeAssistantError, "camera_missing", err) from err


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
        self.stale = self._freshness.take(frame.picture, monotonic(), stale_after)
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
