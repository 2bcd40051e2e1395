"""One classifier at work: camera → embedding → scores → decision, at its interval; and teaching it."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
import logging
from time import monotonic
from typing import override

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.update_coordinator import DataUpdateCoordinator, UpdateFailed
from homeassistant.util import dt as dt_util
import numpy as np
from numpy.typing import NDArray

from ..const import CAMERA_PROBLEMS, CONF_LIMITS
from ..embedding import EmbeddingError
from ..engines.embedders import Embedders
from ..engines.lens import Lens
from ..errors import core_errors_translated, translated
from ..imprinting import Decision, ExampleStore, ImprintingError, Scores, Verdict
from ..models import ClassifierSettings
from .checkup import Checkup, camera_error
from .frames import Frames
from .health import Problem
from .learner import Learner

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a look found."""

    picture: bytes
    taken: datetime
    """When the frame was fetched, UTC."""
    scores: Scores | None
    """None while no class has been taught."""
    verdict: Verdict
    camera_problem: Problem | None = None


class ClassifierCoordinator(DataUpdateCoordinator[Reading]):
    """One classifier: looks at its interval, and learns."""

    config_entry: ConfigEntry

    def __init__(
        self,
        hass: HomeAssistant,
        entry: ConfigEntry,
        subentry_id: str,
        settings: ClassifierSettings,
        embedders: Embedders,
    ) -> None:
        """Prepare; async_start begins."""
        super().__init__(
            hass,
            _LOGGER,
            config_entry=entry,
            name=settings.name,
            update_interval=None,  # until looking begins
        )
        self.subentry_id = subentry_id
        self.settings = settings
        self.learner = Learner(hass, settings, self.async_update_listeners, self._refine_soon)
        self._embedders = embedders
        self._moving: asyncio.Task[None] | None = None
        self._refining: asyncio.Task[None] | None = None
        self._decision = Decision(settings.rules)
        self.checkup = Checkup(
            hass, entry, subentry_id, settings, self.learner.examples, on_change=self.async_update_listeners
        )
        self._frames = Frames(hass, self._look_soon, self._begin_if_not_begun)
        self._looking = asyncio.Lock()
        self._class_listeners: list[CALLBACK_TYPE] = []
        self._last_embedded: tuple[bytes, Lens, NDArray[np.float32]] | None = None
        self._failing_since: float | None = None

    @property
    def reading(self) -> Reading | None:
        """What the last good look found; None before it."""
        return self.data

    # --- life ----------------------------------------------------------------------------------------------------

    async def async_start(self) -> None:
        """Read what was learned. Raises StoreFailed."""
        await self.learner.async_load()
        self._frames.async_track(self.settings.camera)
        wanted = self._wanted_lens()
        lens = wanted
        if not (ready := await self.learner.async_is_ready(wanted)):
            # Another extractor or region was chosen and its embeddings aren't complete: the former ones answer meanwhile.
            lens = await self._embedders.async_former_lens(self.learner.examples.in_use) or wanted
        await self.learner.async_open(lens)
        if not ready or self._wanted_lens() != wanted:
            self.async_follow_lens()

    def _wanted_lens(self) -> Lens:
        return Lens(self._embedders.extractor, self._embedders.current, self.settings.region)

    @callback
    def async_follow_lens(self) -> None:
        """Embed the examples for the engine's embedder and the chosen region in the background, then look through them."""
        if self._moving:
            self._moving.cancel()
        self._moving = self.config_entry.async_create_background_task(
            self.hass, self._async_move(self._wanted_lens()), f"{self.name}: embed the examples"
        )

    @callback
    def _refine_soon(self) -> None:
        """Learn a better head than the imprint in the background, once the last change was imprinted."""
        self.checkup.async_learn_soon()
        if self._refining:
            self._refining.cancel()
        self._refining = self.config_entry.async_create_background_task(
            self.hass, self._async_refine(), f"{self.name}: refine"
        )

    async def _async_refine(self) -> None:
        try:
            await self.learner.async_refine()
        except (EmbeddingError, ImprintingError) as err:
            _LOGGER.warning("%s: the imprint could not be refined: %s", self.name, err)

    async def _async_move(self, lens: Lens) -> None:
        before = self.learner.learned
        try:
            await self.learner.async_move(lens)
        except (EmbeddingError, ImprintingError) as err:
            _LOGGER.error("%s: the examples could not be embedded: %s", self.name, err)
            return
        if before.lens != lens:
            await self._embedders.async_close_unused()
        if before.lens != lens or (self.learner.learned.head and not before.head):
            await self.async_refresh()

    @callback
    def async_apply(self, settings: ClassifierSettings) -> None:
        """Follow changed settings without losing the current state."""
        before, self.settings = self.settings, settings
        self.learner.settings = settings
        self.checkup.async_apply(settings)
        self.name = settings.name
        self._frames.async_track(self.settings.camera)
        self.async_begin()
        if before.learned_by != settings.learned_by:
            self.async_follow_lens()

    @callback
    def async_begin(self) -> None:
        """Begin to look. While Home Assistant starts, a camera that isn't there yet is waited for, not complained of."""
        if self._frames.is_there:
            self._look_soon()
        else:
            self._frames.async_call_when_started()

    @callback
    def _begin_if_not_begun(self) -> None:
        if self.update_interval is None:
            self.async_begin()

    @callback
    def _look_soon(self) -> None:
        self.update_interval = timedelta(seconds=self.settings.interval)
        self.config_entry.async_create_background_task(self.hass, self.async_refresh(), f"{self.name}: look")

    @override
    async def async_shutdown(self) -> None:
        """Stop looking."""
        self._frames.async_untrack()
        self.checkup.async_stop()
        for task in (self._moving, self._refining):
            if task:
                task.cancel()
        await super().async_shutdown()

    # --- look ----------------------------------------------------------------------------------------------------

    @override
    async def _async_update_data(self) -> Reading:
        try:
            frame = await self._frames.async_next(self.settings.stale_after)
            reading = await self._async_read(frame)
        except EmbeddingError as err:
            return self._failed(translated(UpdateFailed, err.key, err, **err.details))
        except HomeAssistantError as err:
            return self._failed(
                UpdateFailed(
                    translation_domain=err.translation_domain,
                    translation_key=err.translation_key,
                    translation_placeholders=err.translation_placeholders,
                )
            )
        self._failing_since = None
        return reading

    def _failed(self, err: UpdateFailed) -> Reading:
        """Return the last answer where the user wants that of what is wrong with the camera; raise else.

        After an outage longer than the hold time, what was known before it is no longer worth keeping.
        """
        now = monotonic()
        if self._failing_since is None:
            self._failing_since = now
        over = now - self._failing_since > self.settings.rules.hold
        verdict = self._decision.reset() if over else None
        problem = self.checkup.async_failed(err.translation_key)
        tolerated = problem in CAMERA_PROBLEMS and problem not in self.settings.unavailable_on
        if not tolerated or self.data is None:
            raise err
        return replace(self.data, verdict=verdict or self.data.verdict, camera_problem=problem)

    async def _async_read(self, frame: bytes, taught: str | None = None) -> Reading:
        """Embed, score and decide. ``taught`` is the class that the user has just said this frame shows.

        Raises EmbeddingError.
        """
        async with self._looking:
            learned = self.learner.learned
            vector = await self._async_vector(frame, learned.lens)
            condition = learned.lens.embedder.conditions.of(frame)
            problem = await self.checkup.async_check(frame, condition, stale=self._frames.stale)
            if problem in self.settings.unavailable_on and taught is None:
                raise self._frames.stale_error() if problem is Problem.STALE else camera_error(problem)
            scores = learned.head.score(vector) if learned.head else None
            margins = learned.plausibility.margins(vector) if learned.plausibility else None
            self._decision.rules = learned.rules(self.settings.rules)
            verdict = self._decide(scores, margins, taught)
            return Reading(frame, dt_util.utcnow(), scores, verdict, problem)

    def _decide(self, scores: Scores | None, margins: Mapping[str, float] | None, taught: str | None) -> Verdict:
        if scores is None or (scores.best is None and margins is None):
            # Nothing taught, or nothing to tell it from.
            return self._decision.reset()
        if taught is not None:
            return self._decision.tell(taught, monotonic())
        return self._decision.update(scores, monotonic(), margins)

    async def _async_vector(self, frame: bytes, lens: Lens) -> NDArray[np.float32]:
        """Return the frame's embedding; the very same bytes are not embedded twice."""
        last = self._last_embedded
        if last and last[0] == frame and last[1] == lens:
            return last[2]
        vector = await lens.embed(frame)
        self._last_embedded = (frame, lens, vector)
        return vector

    async def async_look(self) -> Reading:
        """Look now. Raises HomeAssistantError when the camera or its picture is of no use."""
        await self.async_refresh()
        if not self.last_update_success and isinstance(self.last_exception, HomeAssistantError):
            raise self.last_exception
        if not self.last_update_success or self.reading is None:
            raise translated(HomeAssistantError, "look_failed")
        return self.reading

    # --- teach ---------------------------------------------------------------------------------------------------

    async def async_capture(self, class_name: str, count: int = 1, interval: float = 1.0) -> list[str]:
        """File the camera's current frame under a class, ``count`` times, and imprint.

        Returns the examples' ids. Raises HomeAssistantError (ServiceValidationError where the user can mend it); what
        was filed before that stays.
        """
        ids: list[str] = []
        with core_errors_translated():
            learned = self.learner.examples.class_named(class_name)
            frame = b""
            try:
                for number in range(count):
                    if number:
                        await asyncio.sleep(interval)
                    frame = await self._frames.async_fresh(self.settings.stale_after)
                    ids.append((await self.learner.async_add_example(learned.id, frame)).id)
            finally:
                if ids:
                    await self.learner.async_imprint()
            self._publish(await self._async_read(frame, taught=learned.id))
        return ids

    async def async_file_picture(self, class_name: str, picture: bytes) -> list[str]:
        """File a picture from elsewhere under a class, and imprint. Raises HomeAssistantError."""
        with core_errors_translated():
            learned = self.learner.examples.class_named(class_name)
            example = await self.learner.async_add_example(learned.id, picture)
            await self.learner.async_imprint()
        await self.async_refresh()
        return [example.id]

    async def async_imprint(self) -> dict[str, int]:
        """Take in what changed in the folders and imprint anew; return examples per label. Raises HomeAssistantError."""
        with core_errors_translated():
            await self.learner.async_imprint(anew=True)
        self._classes_changed()
        await self.async_refresh()
        counts = self.learner.examples.counts()
        return {learned.label: counts[learned.id] for learned in self.learner.classes.values()}

    async def async_change[ResultT](
        self, change: Callable[[ExampleStore], ResultT], why: str, *, look: bool = True
    ) -> ResultT:
        """Change classes or examples, imprint what is left, and look. Raises HomeAssistantError.

        ``why`` is the action's name. Without ``look``, for changes that leave every answer as it is.
        """
        before = set(self.learner.classes)
        with core_errors_translated():
            result = await self.learner.async_change(change, why)
        for class_id in before - self.learner.classes.keys():
            self._decision.forget(class_id)
        self._classes_changed()
        if look:
            await self.async_refresh()
        return result

    async def async_erase(self, example_id: str, why: str) -> None:
        """Remove an example for good, imprint what is left, and look. Raises HomeAssistantError."""
        with core_errors_translated():
            await self.learner.async_erase(example_id, why)
        await self.async_refresh()

    async def async_restore(self, version: int) -> None:
        """Answer by an earlier version of the head until something is taught, and look. Raises HomeAssistantError."""
        with core_errors_translated():
            await self.learner.async_restore(version)
        await self.async_refresh()

    @callback
    def async_set_limits(self, class_id: str, limits: Mapping[str, float] | None) -> None:
        """Store a class's own thresholds (in percent) with the classifier's settings; None takes them back."""
        subentry = self.config_entry.subentries[self.subentry_id]
        kept = {key: own for key, own in subentry.data.get(CONF_LIMITS, {}).items() if key in self.learner.classes}
        kept.pop(class_id, None)
        if limits is not None:
            kept[class_id] = dict(limits)
        data = {**subentry.data, CONF_LIMITS: kept}
        self.hass.config_entries.async_update_subentry(self.config_entry, subentry, data=data)

    # --- news ----------------------------------------------------------------------------------------------------

    @callback
    def _publish(self, reading: Reading) -> None:
        if not self.last_update_success:
            _LOGGER.info("Fetching %s data recovered", self.name)
        self._failing_since = None
        self.async_set_updated_data(reading)

    @callback
    def _classes_changed(self) -> None:
        for listener in list(self._class_listeners):
            listener()
        self.async_update_listeners()

    @callback
    def async_on_classes_changed(self, listener: CALLBACK_TYPE) -> CALLBACK_TYPE:
        """Call a listener whenever classes were added, renamed or removed."""
        self._class_listeners.append(listener)
        return lambda: self._class_listeners.remove(listener)
