"""A config entry at work: one embedder, and the classifiers that share it."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
import logging

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import Event, HomeAssistant, callback
from homeassistant.helpers import device_registry as dr
from homeassistant.util import dt as dt_util

from .const import DOMAIN, SUBENTRY_CLASSIFIER
from .coordinator import ClassifierCoordinator
from .embedding import Embedder, open_embedder
from .imprinting import StoreFailed, bin_whole, purge
from .models import ClassifierSettings, EngineSettings, bin_folder, data_folder

_LOGGER = logging.getLogger(__name__)

type EngineConfigEntry = ConfigEntry[Engine]
type ClassifierListener = Callable[[ClassifierCoordinator], None]


class Engine:
    """One extractor on one runtime, and its classifiers by subentry id."""

    def __init__(self, hass: HomeAssistant, entry: EngineConfigEntry) -> None:
        """Prepare; async_open begins."""
        self._hass = hass
        self._entry = entry
        self._stack = AsyncExitStack()
        self._following = asyncio.Lock()
        self._listeners: list[ClassifierListener] = []
        self.settings = EngineSettings.from_data(entry.data)
        self.classifiers: dict[str, ClassifierCoordinator] = {}
        self.embedder: Embedder

    async def async_open(self) -> None:
        """Open the extractor. Raises EmbeddingError."""
        self.embedder = await self._stack.enter_async_context(
            open_embedder(self.settings.source(self._hass), self.settings.runtime)
        )

    async def async_close(self, _event: Event | None = None) -> None:
        """Close the extractor; looks under way get no embedding any more."""
        await self._stack.aclose()

    async def async_follow_subentries(self) -> None:
        """Start, stop or change only the classifiers whose subentries came, went or changed. Raises StoreFailed."""
        async with self._following:
            wanted = {
                subentry.subentry_id: ClassifierSettings.from_subentry(subentry)
                for subentry in self._entry.get_subentries_of_type(SUBENTRY_CLASSIFIER)
            }
            for subentry_id in self.classifiers.keys() - wanted.keys():
                await self._async_remove(subentry_id)
            for subentry_id, settings in wanted.items():
                if (running := self.classifiers.get(subentry_id)) is None:
                    await self._async_add(subentry_id, settings)
                elif running.settings != settings:
                    running.async_apply(settings)
                    self._rename_device(subentry_id, settings.name)

    async def _async_add(self, subentry_id: str, settings: ClassifierSettings) -> None:
        coordinator = ClassifierCoordinator(self._hass, self._entry, subentry_id, settings, self.embedder)
        await coordinator.async_start()
        self.classifiers[subentry_id] = coordinator
        for listener in self._listeners:
            listener(coordinator)
        coordinator.async_begin()

    async def _async_remove(self, subentry_id: str) -> None:
        coordinator = self.classifiers.pop(subentry_id)
        await coordinator.async_shutdown()
        await async_bin_classifier(self._hass, coordinator.settings)

    def _rename_device(self, subentry_id: str, name: str) -> None:
        registry = dr.async_get(self._hass)
        if device := registry.async_get_device_by_identifier((DOMAIN, subentry_id), self._entry.entry_id):
            registry.async_update_device(device.id, name=name)

    @callback
    def async_on_classifier(self, listener: ClassifierListener) -> None:
        """Call a listener with each classifier, those at work and those to come."""
        self._listeners.append(listener)
        for coordinator in self.classifiers.values():
            listener(coordinator)


async def async_bin_classifier(hass: HomeAssistant, settings: ClassifierSettings) -> None:
    """Move a removed classifier's examples to the bin, where they stay for a week."""
    root = data_folder(hass) / settings.folder
    try:
        await hass.async_add_executor_job(bin_whole, root, bin_folder(hass), dt_util.utcnow())
    except StoreFailed as err:
        # The pictures stay where they are, which loses nothing.
        _LOGGER.warning("The examples of %s could not be moved to the bin: %s", settings.name, err)
    await async_purge_bin(hass)


async def async_purge_bin(hass: HomeAssistant) -> None:
    """Remove for good the classifiers that have been in the bin for a week."""
    try:
        await hass.async_add_executor_job(purge, bin_folder(hass), dt_util.utcnow())
    except StoreFailed as err:
        _LOGGER.warning("The bin could not be emptied: %s", err)
