"""A better head than the imprint, learned in the background: not while Home Assistant starts, and one after the other."""

import asyncio
from dataclasses import replace
import logging

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.helpers.start import async_at_started

from ...core.embedding import EmbeddingError
from ...core.imprinting import ImprintingError, TrainingSet, choose
from ...settings import ClassifierSettings
from .expectations import learn_thresholds, review
from .learned import Learned
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
                self._hass, self._async_run(), f"{self._learner.settings.name}: refine"
            )

        self._cancel_waiting = async_at_started(self._hass, begin)

    @callback
    def async_stop(self) -> None:
        """Refine no more."""
        if self._cancel_waiting:
            self._cancel_waiting()
        if self._task:
            self._task.cancel()

    async def _async_run(self) -> None:
        try:
            async with self._lock:
                await self.async_refine()
        except (EmbeddingError, ImprintingError) as err:
            _LOGGER.warning("%s: the imprint could not be refined: %s", self._learner.settings.name, err)

    async def async_refine(self) -> None:
        """Learn the kind of head that the user fixed or that the examples speak for, thresholds, and what is plausible.

        Takes up to some seconds in a thread. What was imprinted meanwhile is left alone: it is refined next. Raises
        EmbeddingError, StoreFailed.
        """
        learner, in_thread = self._learner, self._hass.async_add_executor_job
        learned = learner.learned
        if learned.head is None:
            learner.async_reviewed(())
            return
        rows = await learner.async_training_set()
        if learner.learned is not learned:
            return
        if learned.restored is None:
            refined = await in_thread(_refined, learned, rows, learner.settings, learner.background)
            if not learner.replace_learned(learned, refined):
                return
            learned = refined
            await in_thread(learner.keep_version, learned, rows)
        head = learned.head
        assert head
        learner.async_reviewed(await in_thread(review, head, rows))
        wanted = learner.rejects_foreign(learned.lens) and not learned.plausibility
        if wanted and rows.covers(head.classes):
            await learner.novelty.async_prepare(learned.lens)
            # The user may have decided otherwise meanwhile.
            plausibility = await in_thread(learner.plausibility, learned.lens, rows)
            learner.replace_learned(learned, replace(learned, plausibility=plausibility))


def _refined(learned: Learned, rows: TrainingSet, settings: ClassifierSettings, background: frozenset[str]) -> Learned:
    """Learn a better head where there is one, and its thresholds. Blocking."""
    kind, head = settings.head, learned.head
    if head and kind != head.kind and len(rows.vectors) > 1 and rows.covers(head.classes):
        chosen = choose(rows.vectors, rows.occasions, kind)
        # Where the examples can't say which kind is better, none is changed to unasked.
        if kind is not None or chosen.validations:
            head = chosen.head
    return replace(learned, head=head, thresholds=learn_thresholds(head, rows, settings, background) if head else {})
