"""A config entry at work: one extractor on one runtime, and the classifiers that share it."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
import logging
from typing import Final

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import CALLBACK_TYPE, Event, HomeAssistant, callback
from homeassistant.helpers import device_registry as dr
from homeassistant.helpers.event import async_call_later
from homeassistant.util import dt as dt_util

from ..classifiers.coordinator import ClassifierCoordinator
from ..classifiers.looking.engine_resources import EngineResources
from ..const import DOMAIN, MODEL_ENGINE, SUBENTRY_CLASSIFIER
from ..core.embedding import (
    BUILTIN,
    EmbeddingError,
    PictureEmbedder,
    RuntimeUnavailable,
    SelfTestFailed,
    errors as embedding_errors,
)
from ..core.imprinting import StoreFailed, bin_whole, purge
from ..error_counts import ErrorCounts
from ..extractors.choices import Source, async_provide, async_source_of, title
from ..extractors.edge_tpu import DeviceWatch
from ..extractors.litert import async_install_litert, litert_state
from ..extractors.pool import EmbedderPool
from ..extractors.previous import PreviousSettings
from ..extractors.statistics import LookStatistics
from ..issues import (
    EXTRACTOR,
    REFUSED,
    RUNTIME,
    async_report_extractor,
    async_report_refused,
    async_report_runtime,
    async_settle,
)
from ..settings import ClassifierSettings, EngineSettings, bin_folder, data_folder

_LOGGER = logging.getLogger(__name__)

type EngineConfigEntry = ConfigEntry[Engine]
type ClassifierListener = Callable[[ClassifierCoordinator], None]

RETRY_AFTER: Final = (60, 300, 900, 3600)
"""Seconds to wait before an extractor that can't be used is tried again; the last one from then on."""
RETRY_SOON_AFTER: Final = (5, 15, 30, 60)
"""The same for servers, which may merely start later than Home Assistant, and for devices, which may be plugged in again."""

OPEN_WITHIN: Final = 10.0
"""Seconds that Home Assistant's start waits for servers or a device; it goes on in the background then."""


class Engine:
    """One extractor on one runtime, and its classifiers by subentry id."""

    def __init__(self, hass: HomeAssistant, entry: EngineConfigEntry) -> None:
        """Prepare; async_open begins."""
        self._hass = hass
        self._entry = entry
        self._classifier_listeners: list[ClassifierListener] = []
        self._listeners: list[CALLBACK_TYPE] = []
        self._trying: asyncio.Task[None] | None = None
        self._changing = asyncio.Lock()
        self._closed = False
        self._cancel_asking: CALLBACK_TYPE | None = None
        self._asked = 0
        """How often the disk refused some classifier in a row."""
        self.settings = EngineSettings.from_data(entry.data)
        self.classifiers: dict[str, ClassifierCoordinator] = {}
        previous = PreviousSettings(hass, entry.entry_id)
        self.pool = EmbedderPool(hass, previous, self._used_embedders, self._trouble, self._device_changed)
        self._watch = DeviceWatch(hass, entry)
        self.statistics = LookStatistics()
        self._resources = EngineResources(hass, entry, self.pool, self.statistics)
        self.error_counts = ErrorCounts()
        """Why the chosen extractor couldn't be used."""

    @property
    def embedder(self) -> PictureEmbedder:
        """What new and moving classifiers use."""
        return self.pool.current

    @property
    def extractor(self) -> str:
        """Name of the extractor that it embeds with at present."""
        return self.pool.extractor

    @property
    def title(self) -> str:
        """What the user calls it."""
        return self._entry.title

    def _used_embedders(self) -> Iterator[PictureEmbedder]:
        return (coordinator.learned.lens.embedder for coordinator in self.classifiers.values())

    # --- the extractor -------------------------------------------------------------------------------------------

    async def async_open(self) -> None:
        """Use the chosen extractor; where it can't be used yet the built-in one serves, and it is tried again.

        Raises EmbeddingError where not even that works.
        """
        failed = False
        try:
            source = await async_source_of(self._hass, self.settings)
            if source is not None:
                async with asyncio.timeout(OPEN_WITHIN if self.settings.is_elsewhere else None):
                    await self._async_use(source)
        except TimeoutError:
            source = None
            await self._async_use_builtin()
        except EmbeddingError as err:
            failed = True
            await self._async_use_builtin()
            self._report(err)
        else:
            if source is None:
                await self._async_use_builtin()
        fetch = source is None or self._wants_litert()
        if fetch or failed:
            self._keep_trying(at_once=fetch)  # takes its time; what failed just now can wait

    def _wants_litert(self) -> bool:
        """Whether LiteRT was chosen and is not here, as after an upgrade of Python, which starts without what was installed."""
        chosen = self.settings.runtime == "litert" and self.pool.extractor != BUILTIN
        return chosen and litert_state() == "installable"

    async def _async_use_builtin(self) -> None:
        await self.pool.async_use(EngineSettings(extractor=BUILTIN, runtime="auto"), BUILTIN)
        self._device_changed()

    @callback
    def _report(self, err: EmbeddingError) -> None:
        self.error_counts.note(err.key)
        if isinstance(err, embedding_errors.ServerDenied):
            # Home Assistant asks for another token, under Repairs too.
            async_settle(self._hass, self._entry, EXTRACTOR)
            self._entry.async_start_reauth(self._hass)
            return
        titles = title(self.settings.extractor), title(self.pool.extractor)
        async_report_extractor(self._hass, self._entry, self.settings, err, titles)

    @callback
    def _trouble(self, embedder: PictureEmbedder, err: EmbeddingError) -> None:
        """Do what mends a server's embedder: ask for a token, or open the model that replaced it."""
        if embedder is not self.embedder:
            return  # another one is in use already, and classifiers are about to follow
        self.error_counts.note(err.key)
        if isinstance(err, embedding_errors.ServerDenied):
            self._entry.async_start_reauth(self._hass)
        elif self._trying is None or self._trying.done():
            self._keep_trying(at_once=True)

    @callback
    def async_change(self, settings: EngineSettings) -> None:
        """Follow changed settings: classifiers embed their examples anew in the background and answer meanwhile."""
        self.settings = settings
        self._keep_trying(at_once=True)

    async def async_try(self) -> EmbeddingError | None:
        """Fetch, open and test the chosen extractor, and let the classifiers follow; return what went wrong."""
        async with self._changing:
            try:
                source = await async_provide(self._hass, self.settings)
                await self._async_install_litert()
                await self._async_use(source)
            except EmbeddingError as err:
                if self.settings.is_edgetpu and self.embedder.connected is not None:
                    # The one that is open may hold the device: it makes way, for the next attempt to succeed.
                    await self._async_use_builtin()
                    await self._async_let_follow()
                self._report(err)
                return err
        await self._async_let_follow()
        return None

    async def _async_let_follow(self) -> None:
        """Let the classifiers embed their examples by the current embedder; what nothing uses any more is closed."""
        for coordinator in self.classifiers.values():
            coordinator.async_follow_lens()
        if not self.classifiers:
            await self.pool.async_close_unused()

    async def _async_install_litert(self) -> None:
        """Install LiteRT where it was chosen. Without it the portable runtime is used, which says why."""
        if self.settings.runtime == "litert" and self.settings.extractor != BUILTIN:
            try:
                await async_install_litert(self._hass)
            except RuntimeUnavailable as err:
                _LOGGER.warning("%s", err)

    async def _async_use(self, source: Source) -> None:
        await self.pool.async_use(self.settings, source)
        async_settle(self._hass, self._entry, EXTRACTOR, RUNTIME)
        for rejected in self.embedder.choice.rejected:
            # What LiteRT can't do is no trouble as long as nobody asked for it; a wrong answer always is.
            if rejected.family == self.settings.runtime or isinstance(rejected.error, SelfTestFailed):
                async_report_runtime(self._hass, self._entry, rejected, self.embedder.runtime)
        registry = dr.async_get(self._hass)
        if device := registry.async_get_device_by_identifier((DOMAIN, self._entry.entry_id), self._entry.entry_id):
            registry.async_update_device(device.id, name=self._entry.title, model=MODEL_ENGINE[self.embedder.runtime])
        self._device_changed()

    @property
    def edgetpu_connected(self) -> bool | None:
        """Whether the engine's Edge TPU answers; None for engines on something else."""
        if not self.settings.is_edgetpu:
            return None
        return bool(self.embedder.connected)

    @callback
    def _device_changed(self) -> None:
        """Tell that another embedder is used, or that its device came or went."""
        self._watch.follow(self.embedder.connected)
        for listener in list(self._listeners):
            listener()

    @callback
    def _keep_trying(self, *, at_once: bool) -> None:
        if self._trying:
            self._trying.cancel()
        self._trying = self._entry.async_create_background_task(
            self._hass, self._async_keep_trying(at_once), f"{self._entry.title}: prepare the extractor"
        )

    async def _async_keep_trying(self, at_once: bool) -> None:
        if at_once and await self.async_try() is None:
            return
        pauses = RETRY_SOON_AFTER if self.settings.is_elsewhere else RETRY_AFTER
        waits = iter(pauses)
        while True:
            await asyncio.sleep(next(waits, pauses[-1]))
            if await self.async_try() is None:
                return

    async def async_close(self, _event: Event | None = None) -> None:
        """Close the extractor; looks under way get no embedding any more."""
        if self._trying:
            self._trying.cancel()
        self._closed = True
        self._stop_asking()
        await self.pool.async_close()
        self._watch.stop()

    @callback
    def async_on_change(self, listener: CALLBACK_TYPE) -> CALLBACK_TYPE:
        """Call a listener whenever another embedder is used, or its device came or went."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    # --- the classifiers -----------------------------------------------------------------------------------------

    async def async_follow_subentries(self) -> None:
        """Start, stop or change only the classifiers whose subentries came, went or changed.

        One that the disk refuses is told of and tried again from time to time; the others are none the worse for it.
        """
        async with self.pool.lock:
            wanted = {
                subentry.subentry_id: ClassifierSettings.from_subentry(subentry)
                for subentry in self._entry.get_subentries_of_type(SUBENTRY_CLASSIFIER)
            }
            for subentry_id in self.classifiers.keys() - wanted.keys():
                await self._async_remove(subentry_id)
            refused: dict[str, StoreFailed] = {}
            for subentry_id, settings in wanted.items():
                if (running := self.classifiers.get(subentry_id)) is None:
                    try:
                        await self._async_add(subentry_id, settings)
                    except StoreFailed as err:
                        refused[settings.name] = err
                elif running.settings != settings:
                    running.async_apply(settings)
                    self._rename_device(subentry_id, settings.name)
            self._tell_refused(refused)

    @callback
    def _tell_refused(self, refused: Mapping[str, StoreFailed]) -> None:
        """Tell which classifiers can't be read, by name, and go on trying."""
        self._stop_asking()
        if not refused:
            async_settle(self._hass, self._entry, REFUSED)
            self._asked = 0
            return
        reason = "; ".join(sorted({str(err) for err in refused.values()}))
        async_report_refused(self._hass, self._entry, sorted(refused), reason)
        if self._closed:
            return
        pause = RETRY_SOON_AFTER[min(self._asked, len(RETRY_SOON_AFTER) - 1)]
        self._asked += 1

        async def ask_again(_now: datetime) -> None:
            await self.async_follow_subentries()

        self._cancel_asking = async_call_later(self._hass, pause, ask_again)

    @callback
    def _stop_asking(self) -> None:
        if self._cancel_asking:
            self._cancel_asking()
            self._cancel_asking = None

    async def _async_add(self, subentry_id: str, settings: ClassifierSettings) -> None:
        coordinator = ClassifierCoordinator(self._hass, self._entry, subentry_id, settings, self._resources)
        try:
            await coordinator.async_start()
        except StoreFailed:
            await coordinator.async_shutdown()
            raise
        self.classifiers[subentry_id] = coordinator
        for listener in self._classifier_listeners:
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
        self._classifier_listeners.append(listener)
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
