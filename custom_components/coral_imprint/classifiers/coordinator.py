"""One classifier at work: camera → embedding → scores → decision, at its interval; and teaching it."""

import asyncio
from collections.abc import AsyncGenerator, Collection, Mapping
from dataclasses import replace
import logging
from pathlib import Path
from time import monotonic
from typing import Any, override

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.update_coordinator import DataUpdateCoordinator, UpdateFailed

from ..core.embedding import EmbeddingError
from ..core.imprinting import ImprintingError, LearnedClass, Odd, Written
from ..error_counts import ErrorCounts
from ..errors import as_update_failed, translated
from ..extractors.lens import Lens
from ..settings import ClassifierSettings
from .archives import async_write_archive
from .learning.learned import Learned
from .learning.learner import Learner
from .learning.refiner import Refiner
from .looking.camera_monitor import CameraMonitor
from .looking.change_gate import ChangeGate
from .looking.engine_resources import EngineResources
from .looking.frames import OWN, SAME_MOMENT, Frames
from .looking.lighting import lights
from .looking.scheduler import Looks, LookScheduler
from .looking.scoring import Reading, Scorer
from .options import Options
from .teaching import Teaching

__all__ = ["ClassifierCoordinator", "Reading"]

_LOGGER = logging.getLogger(__name__)


class ClassifierCoordinator(DataUpdateCoordinator[Reading]):
    """One classifier: looks at its interval, and learns."""

    config_entry: ConfigEntry

    def __init__(
        self,
        hass: HomeAssistant,
        entry: ConfigEntry,
        subentry_id: str,
        settings: ClassifierSettings,
        resources: EngineResources,
    ) -> None:
        """Prepare; async_start begins."""
        # Without an interval: its scheduler tells when to look.
        super().__init__(hass, _LOGGER, config_entry=entry, name=settings.name, update_interval=None)
        self.subentry_id = subentry_id
        self.settings = settings
        self.learner = Learner(hass, settings, self.async_update_listeners, self._imprinted)
        self._index = self.learner.examples.index
        self.options = Options(hass, entry, subentry_id, self.learner)
        """What can be changed of how it works."""
        self.teaching = Teaching(hass, entry, self.learner, self)
        """What can be changed of what it knows."""
        self._refiner = Refiner(hass, entry, resources.refining, self.learner)
        self.error_counts = ErrorCounts()
        """What looks failed by."""
        self.class_to_teach: str | None = None
        """Id of the class that the user chose to capture examples of."""
        self._pool = resources.pool
        self._moving: asyncio.Task[None] | None = None
        self._scorer = Scorer(settings.rules)
        self._resources = resources
        self.camera_monitor = CameraMonitor(
            hass, entry, subentry_id, settings, self.learner.examples, on_change=self.async_update_listeners
        )
        self._frames = Frames(hass, resources.frames.async_frame, self._look_soon, self._begin_if_not_begun)
        self._change_gate = ChangeGate(resources)
        looks = Looks(
            wanted=self._is_wanted,
            under_way=lambda: self._under_way,
            routine=lambda: self._async_refresh_since(None),
            fresh=lambda: self._async_refresh_since(monotonic() - SAME_MOMENT),
        )
        self._scheduler = LookScheduler(hass, entry, subentry_id, looks, resources.statistics)
        self._listening = 0
        self._under_way = False
        self._since: float | None = OWN
        """When the next look's frame has to have been asked for, as `Frames.async_next` takes it."""
        self._looking = asyncio.Lock()
        self._class_listeners: list[CALLBACK_TYPE] = []

    @property
    def reading(self) -> Reading | None:
        """What the last good look found; None before it."""
        return self.data

    @property
    def classes(self) -> Mapping[str, LearnedClass]:
        """Its classes by id, oldest first."""
        return self._index.classes

    @property
    def labels(self) -> dict[str, str]:
        """Labels of its classes by id, oldest first."""
        return {class_id: learned.label for class_id, learned in self._index.classes.items()}

    @property
    def counts(self) -> Mapping[str, int]:
        """How many examples each class has, by class id."""
        return self._index.counts

    def is_known(self, class_id: str) -> bool:
        """Return whether a class is known without examples."""
        return class_id in self.learner.examples.known

    @property
    def learned(self) -> Learned:
        """What looks are answered by at present."""
        return self.learner.learned

    @property
    def camera_state(self) -> str | None:
        """What is wrong with the camera, as the diagnostic sensor says it; None before the first look."""
        return self.camera_monitor.state

    @property
    def to_review(self) -> tuple[Odd, ...] | None:
        """Examples that the others speak against; None before that was worked out."""
        return self.learner.to_review

    @property
    def percent_embedded(self) -> int:
        """How many of the examples are embedded for the lens that is to be used, in percent."""
        return self.learner.percent_embedded

    def head_versions(self) -> dict[str, Any]:
        """Return what people are told of the heads that answered, and which one was restored."""
        return self.learner.versions_as_dict()

    async def async_write_examples(self, path: Path, labels: Collection[str]) -> Written:
        """Write examples of the classes of these labels, of all where there are none, to a zip.

        Raises HomeAssistantError.
        """
        return await async_write_archive(self.learner, path, labels)

    # --- life ----------------------------------------------------------------------------------------------------

    async def async_start(self) -> None:
        """Read what was learned. Raises StoreFailed."""
        await self.learner.async_load()
        self._frames.async_track(self.settings.camera)
        wanted = self._wanted_lens()
        lens = wanted
        if not (ready := await self.learner.async_is_ready(wanted)):
            # Another extractor or region was chosen and its embeddings aren't complete: the former ones answer meanwhile.
            lens = await self._pool.async_previous_lens(self.learner.examples.in_use) or wanted
        await self.learner.async_open(lens)
        if not ready or self._wanted_lens() != wanted:
            self.async_follow_lens()

    def _wanted_lens(self) -> Lens:
        return Lens(self._pool.extractor, self._pool.current, self.settings.region)

    @callback
    def async_follow_lens(self) -> None:
        """Embed the examples for the engine's embedder and the chosen region in the background, then look through them."""
        if self._moving:
            self._moving.cancel()
        self._moving = self.config_entry.async_create_background_task(
            self.hass, self._async_move(self._wanted_lens()), f"{self.name}: embed the examples"
        )

    @callback
    def _imprinted(self) -> None:
        self.camera_monitor.async_learn_soon()
        self._refiner.async_begin()

    async def _async_move(self, lens: Lens) -> None:
        before = self.learner.learned
        try:
            await self.learner.async_move(lens)
        except (EmbeddingError, ImprintingError) as err:
            _LOGGER.error("%s: the examples could not be embedded: %s", self.name, err)
            return
        await self._pool.async_close_unused()
        if self.settings.watching and (before.lens != lens or (self.learner.learned.head and not before.head)):
            await self.async_refresh()

    @callback
    def async_apply(self, settings: ClassifierSettings) -> None:
        """Follow changed settings without losing the current state."""
        before, self.settings = self.settings, settings
        self.learner.settings = settings
        self.camera_monitor.async_apply(settings)
        self.name = settings.name
        self._frames.async_track(self.settings.camera)
        self.async_begin()
        if before.learned_by != settings.learned_by:
            self.async_follow_lens()
        self.async_update_listeners()

    @callback
    def async_begin(self) -> None:
        """Begin to look. While Home Assistant starts, a camera that isn't there yet is waited for, not complained of."""
        if self._frames.is_there or not self.settings.watching:
            self._look_soon()
        else:
            self._frames.async_call_when_started()

    @callback
    def _begin_if_not_begun(self) -> None:
        if not self._scheduler.begun:
            self.async_begin()

    @callback
    def _look_soon(self) -> None:
        """Look at once and when there is occasion from then on; unless it isn't to look by itself."""
        self._scheduler.async_follow(self.settings, self._resources.frames.start_of(self.settings.camera))
        if self.settings.watching and self.settings.interval:
            # When classifiers are started, those on one camera look at the same frame.
            since = None if self.reading is None else OWN
            look = self._async_refresh_since(since)
            self.config_entry.async_create_background_task(self.hass, look, f"{self.name}: look")

    @override
    def async_add_listener(self, update_callback: CALLBACK_TYPE, context: Any = None) -> CALLBACK_TYPE:
        remove = super().async_add_listener(update_callback, context)
        self._listening += 1

        @callback
        def removed() -> None:
            self._listening -= 1
            remove()

        return removed

    def _is_wanted(self) -> bool:
        """Whether looks by itself are wanted: there are entities, and the engine's polling is not switched off."""
        return self._listening > 0 and not self.config_entry.pref_disable_polling and not self.hass.is_stopping

    @override
    async def async_shutdown(self) -> None:
        """Stop looking."""
        self._frames.async_untrack()
        self.camera_monitor.async_stop()
        self._scheduler.async_stop()
        self._refiner.async_stop()
        if self._moving:
            self._moving.cancel()
        await super().async_shutdown()

    # --- look ----------------------------------------------------------------------------------------------------

    @override
    async def _async_update_data(self) -> Reading:
        since, self._since = self._since, OWN
        self._under_way = True
        try:
            with self._resources.statistics.look():
                reading = await self._async_seen(since)
        except EmbeddingError as err:
            reading = self._failed(translated(UpdateFailed, err.key, err, **err.details))
        except HomeAssistantError as err:
            reading = self._failed(as_update_failed(err))
        finally:
            self._under_way = False
        return reading

    def _failed(self, err: UpdateFailed) -> Reading:
        """Return the last answer where the user wants that of what is wrong with the camera. Raises ``err`` else."""
        self.error_counts.note(err.translation_key or "other")
        verdict = self._scorer.failed(self.settings.rules.hold)
        problem = self.camera_monitor.async_failed(err.translation_key)
        if self.data is None or not self.camera_monitor.is_tolerated(problem):
            raise err
        return replace(self.data, verdict=verdict or self.data.verdict, camera_problem=problem)

    async def _async_refresh_since(self, since: float | None) -> None:
        """Look at a frame asked for at ``since`` or later, as `Frames.async_next` takes it."""
        self._since = since
        await self.async_refresh()

    async def _async_seen(self, since: float | None) -> Reading:
        """Fetch, embed, score and decide. Raises HomeAssistantError, EmbeddingError."""
        waited = False
        while True:
            frame = await self._frames.async_next(self.settings.stale_after, since)
            async with self._looking:
                learned = self.learner.learned
                seen = await self._change_gate.async_see(learned.lens, frame, self.settings.when, first=waited)
                if seen is not None:
                    problem = await self.camera_monitor.async_check(frame.picture, seen.condition, self._frames)
                    reading = self._scorer.reading(frame.picture, seen.vector, learned, self.settings.rules)
                    return replace(reading, camera_problem=problem)
            waited = True  # for so long that another frame is worth more

    async def async_look(self) -> Reading:
        """Look now. Raises HomeAssistantError when the camera or its picture is of no use."""
        await self.async_refresh()
        if not self.last_update_success and isinstance(self.last_exception, HomeAssistantError):
            raise self.last_exception
        if not self.last_update_success or self.reading is None:
            raise translated(HomeAssistantError, "look_failed")
        return self.reading

    # --- for teaching --------------------------------------------------------------------------------------------

    async def async_frames(self, count: int, interval: float) -> AsyncGenerator[bytes]:
        """Yield fresh frames of the camera, ``interval`` seconds apart, in the light that the classifier wants.

        Raises HomeAssistantError.
        """
        when = self.settings.when
        async with lights(self.hass).async_on(when.light, when.settle):
            for number in range(count):
                if number:
                    await asyncio.sleep(interval)
                yield await self._frames.async_fresh(self.settings.stale_after)

    async def async_answer_as_told(self, picture: bytes, class_id: str) -> None:
        """Embed, score and decide where the user has just said what the picture shows. Raises EmbeddingError."""
        async with self._looking:
            learned = self.learner.learned
            vector = await self._change_gate.async_embed(learned.lens, picture)
            reading = self._scorer.reading(picture, vector, learned, self.settings.rules, class_id)
        if not self.last_update_success:
            _LOGGER.info("Fetching %s data recovered", self.name)
        self.async_set_updated_data(reading)

    @callback
    def async_classes_changed(self, removed: Collection[str]) -> None:
        """Take in that classes were added, renamed or removed; ``removed`` are the ids of those that are gone."""
        for class_id in removed:
            self._scorer.forget(class_id)
        for listener in list(self._class_listeners):
            listener()
        self.async_update_listeners()

    @callback
    def async_on_classes_changed(self, listener: CALLBACK_TYPE) -> CALLBACK_TYPE:
        """Call a listener whenever classes were added, renamed or removed."""
        self._class_listeners.append(listener)
        return lambda: self._class_listeners.remove(listener)
