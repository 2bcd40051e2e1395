"""When a classifier looks by itself: at its interval, and several times after a trigger."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
import logging
from typing import Any

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError

from ...extractors.statistics import LookStatistics
from ...issues import async_report_triggers
from ...settings import ClassifierSettings
from .interval import Interval
from .lighting import lights
from .triggers import Triggers

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Looks:
    """What a scheduler has to know of looks, and how it makes one."""

    wanted: Callable[[], bool]
    """Whether anyone wants to know."""
    under_way: Callable[[], bool]
    routine: Callable[[], Coroutine[Any, Any, None]]
    """Looks at whatever frame is about as old as any."""
    fresh: Callable[[], Coroutine[Any, Any, None]]
    """Looks at a frame from now on."""


class LookScheduler:
    """One classifier's interval and triggers."""

    def __init__(
        self, hass: HomeAssistant, entry: ConfigEntry, subentry_id: str, looks: Looks, statistics: LookStatistics
    ) -> None:
        """Begin nothing yet."""
        self._hass = hass
        self._entry = entry
        self._subentry_id = subentry_id
        self._looks = looks
        self._statistics = statistics
        self._settings: ClassifierSettings | None = None
        self._interval = Interval(hass, self._due)
        self._triggers = Triggers(hass, self._triggered, self._tell_missing)
        self._burst: asyncio.Task[None] | None = None
        self._left = 0
        self._dark = False

    @property
    def begun(self) -> bool:
        """Whether it follows settings already."""
        return self._settings is not None

    @callback
    def async_follow(self, settings: ClassifierSettings, start: float) -> None:
        """Look as settings say; ``start``: what the interval is counted from, by the event loop's clock."""
        self._settings = settings
        self._interval.async_set(settings.interval if settings.watching else 0, start)
        self._triggers.async_follow(settings.when.triggers)
        if self._burst and not settings.watching:
            self._burst.cancel()

    @callback
    def async_stop(self) -> None:
        """Look no more."""
        self._interval.async_stop()
        self._triggers.async_stop()
        if self._burst:
            self._burst.cancel()
        if self._settings:
            async_report_triggers(self._hass, self._subentry_id, self._settings.name, ())

    @callback
    def _due(self) -> None:
        if not self._looks.wanted():
            return
        if self._looks.under_way():
            self._statistics.skipped += 1  # its time is over: it is not made up for
            return
        self._entry.async_create_background_task(self._hass, self._looks.routine(), "coral_imprint look")

    @callback
    def _triggered(self) -> None:
        settings = self._settings
        if settings is None or not settings.watching or not self._looks.wanted():
            return
        self._left = settings.when.burst_looks
        if self._burst is None or self._burst.done():
            self._burst = self._entry.async_create_background_task(
                self._hass, self._async_burst(settings), "coral_imprint burst"
            )

    async def _async_burst(self, settings: ClassifierSettings) -> None:
        """Look several times; another trigger meanwhile begins the count anew."""
        when = settings.when
        while self._left:  # a trigger may come while the light is being switched off
            try:
                async with lights(self._hass).async_on(when.light, when.settle):
                    self._dark = False
                    await self._async_looks(when.burst_spacing)
            except HomeAssistantError as err:
                if not self._dark:
                    _LOGGER.warning("%s: looking without light: %s", settings.name, err)
                self._dark = True
                await self._async_looks(when.burst_spacing)

    async def _async_looks(self, spacing: float) -> None:
        loop = self._hass.loop
        due = loop.time()
        while self._left > 0:
            self._left -= 1
            await self._looks.fresh()
            due += spacing
            while self._left and due < loop.time() - spacing:
                # Looks take longer than their spacing: there are fewer, rather than late ones.
                due += spacing
                self._left -= 1
                self._statistics.skipped += 1
            if self._left:
                await asyncio.sleep(due - loop.time())

    @callback
    def _tell_missing(self) -> None:
        if self._settings:
            name, missing = self._settings.name, self._triggers.missing
            async_report_triggers(self._hass, self._subentry_id, name, missing)
