"""A better head than the imprint, learned in the background: not while Home Assistant starts, and one after the other."""

import asyncio
import logging

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.helpers.start import async_at_started

from ...core.embedding import EmbeddingError
from ...core.imprinting import ImprintingError
from .learner import Learner

_LOGGER = logging.getLogger(__name__)


class Refiner:
    """When one classifier's head is refined."""

    def __init__(self, hass: HomeAssistant, entry: ConfigEntry, lock: asyncio.Lock, learner: Learner) -> None:
        """Prepare. ``lock`` is that of all classifiers of the engine: at once they would leave looks no processor."""
        self._hass = hass
        self._entry = entry
        self._lock = lock
        self._learner = learner
        self._task: asyncio.Task[None] | None = None
        self._cancel_waiting: CALLBACK_TYPE | None = None

    @callback
    def async_begin(self) -> None:
        """Refine what was imprinted last, once Home Assistant has started; the imprint answers until then."""
        self.async_stop()

        @callback
        def begin(_hass: HomeAssistant) -> None:
            self._task = self._entry.async_create_background_task(
                self._hass, self._async_refine(), f"{self._learner.settings.name}: refine"
            )

        self._cancel_waiting = async_at_started(self._hass, begin)

    @callback
    def async_stop(self) -> None:
        """Refine no more."""
        if self._cancel_waiting:
            self._cancel_waiting()
        if self._task:
            self._task.cancel()

    async def _async_refine(self) -> None:
        try:
            async with self._lock:
                await self._learner.async_refine()
        except (EmbeddingError, ImprintingError) as err:
            _LOGGER.warning("%s: the imprint could not be refined: %s", self._learner.settings.name, err)
