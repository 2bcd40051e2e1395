"""What one classifier has learned from its examples: head, plausibility, thresholds.

Teaching changes it one step at a time (a lock); looking only reads `Learner.learned`, which is replaced as a whole.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
import logging
from typing import Any, Final

from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.util import dt as dt_util
import numpy as np
from numpy.typing import NDArray

from ...core.embedding import BUILTIN
from ...core.imprinting import (
    EmbeddingCache,
    Evaluation,
    Example,
    ExampleStore,
    Head,
    HeadVersions,
    LearnedClass,
    Odd,
    Plausibility,
    StoreFailed,
    Thresholds,
    TrainingSet,
    Version,
    with_thresholds,
)
from ...extractors.clutter_bank import async_draw_foreign
from ...extractors.lens import Lens
from ...settings import ClassifierSettings
from .examples import Examples, batches
from .expectations import as_decided, evaluate_head, expect
from .head_versions import keep_head, load_head
from .learned import Learned, Progress
from .novelty import Novelty

_LOGGER = logging.getLogger(__name__)

_VERSIONS_FOLDER: Final = ".heads"


class Learner:
    """The learning half of a classifier."""

    def __init__(
        self,
        hass: HomeAssistant,
        settings: ClassifierSettings,
        on_progress: CALLBACK_TYPE,
        on_imprinted: CALLBACK_TYPE,
    ) -> None:
        """Prepare; async_load reads, async_open makes it usable.

        ``on_progress`` hears when progress or what is to be reviewed changed, ``on_imprinted`` when there is an imprint to refine.
        """
        self._hass = hass
        self._on_progress = on_progress
        self._on_imprinted = on_imprinted
        self.examples = Examples(hass, settings)
        self._versions: HeadVersions
        self._cache: EmbeddingCache
        self.learned: Learned
        self.novelty = Novelty(hass)
        """What tells pictures of something that was never taught."""
        self.progress: Progress | None = None
        """None while no other lens is being prepared."""
        self.to_review: tuple[Odd, ...] | None = None
        """Examples that the others speak against; None before that was worked out."""
        self._why = "imprint"
        """The action that changed what was taught last."""
        self._teaching = asyncio.Lock()

    @property
    def settings(self) -> ClassifierSettings:
        """What the user chose. What was learned follows a change when it is imprinted or refined the next time."""
        return self.examples.settings

    @settings.setter
    def settings(self, settings: ClassifierSettings) -> None:
        self.examples.settings = settings

    @property
    def classes(self) -> Mapping[str, LearnedClass]:
        """Classes by id, oldest first."""
        return self.examples.classes

    @property
    def labels(self) -> dict[str, str]:
        """Labels by class id, oldest first."""
        return {class_id: learned.label for class_id, learned in self.classes.items()}

    @property
    def counts(self) -> Mapping[str, int]:
        """How many examples each class has, by class id."""
        return self.examples.index.counts

    def class_named(self, name: str) -> LearnedClass:
        """Return the class of this label or id. Raises UnknownClass."""
        return self.examples.class_named(name)

    @property
    def percent_embedded(self) -> int:
        """How many of the examples are embedded for the lens that is to be used, in percent."""
        progress = self.progress
        return 100 if progress is None else 100 * progress.done // max(1, progress.total)

    # --- begin ---------------------------------------------------------------------------------------------------

    async def async_load(self) -> None:
        """Read the examples and which heads there were. Raises StoreFailed."""
        await self.examples.async_load()
        folder = self.examples.root / _VERSIONS_FOLDER
        self._versions = await self._hass.async_add_executor_job(HeadVersions, folder, dt_util.utcnow)

    async def async_is_ready(self, lens: Lens) -> bool:
        """Return whether the embedding of every example through a lens is at hand. Raises StoreFailed."""
        return not self.examples.missing(await self.examples.async_open(lens))

    async def async_open(self, lens: Lens) -> None:
        """Use a lens; imprint from the embeddings at hand where it is the one last used, or where none is missing.

        Raises StoreFailed.
        """
        self._cache = await self.examples.async_open(lens)
        self.learned = Learned(lens)
        in_use = self.examples.in_use
        if (in_use and in_use.fingerprint == lens.fingerprint) or not self.examples.missing(self._cache):
            self._use_imprint(await self._hass.async_add_executor_job(self._opened, lens, self._cache))

    # --- teach ---------------------------------------------------------------------------------------------------

    async def async_add_example(self, class_id: str, picture: bytes) -> Example:
        """File a picture under a class: durable on return, embedded, not yet imprinted.

        Raises UnknownClass, UnreadablePicture, StoreFailed.
        """
        async with self._teaching:
            example = await self.examples.async_add(class_id, picture)
            await self.examples.async_embed([example], self.learned.lens, self._cache)
            self._why = "capture_example"
            return example

    async def async_imprint(self, *, anew: bool = False) -> None:
        """Embed what has no embedding yet and imprint every class.

        ``anew`` notices pictures that appeared in or vanished from the folders first, and lets the examples answer where
        a version was restored. Raises EmbeddingError, StoreFailed.
        """
        async with self._teaching:
            if anew:
                await self.examples.async_rescan()
                await self._hass.async_add_executor_job(self._versions.unpin)
                self._why = "imprint"
            await self._async_imprint(self.learned.lens, self._cache)

    async def async_change[ResultT](self, change: Callable[[ExampleStore], ResultT], why: str) -> ResultT:
        """Change the store (classes, labels) and imprint what is left; ``why`` is the action's name.

        Raises what the store raises, and as async_imprint.
        """
        async with self._teaching:
            result = await self.examples.async_change(change)
            self._why = why
            await self._async_imprint(self.learned.lens, self._cache)
        return result

    @asynccontextmanager
    async def async_filing(self, why: str | None) -> AsyncIterator[Examples]:
        """Keep others from changing the examples while many are filed or read; ``why`` is the action's name, if it changes any.

        Nothing is embedded or imprinted by this: ``async_move`` does both.
        """
        async with self._teaching:
            self._why = why or self._why
            yield self.examples

    async def async_erase(self, example_id: str, why: str) -> None:
        """Remove an example for good and imprint what is left. Raises UnknownExample, and as async_imprint."""
        async with self._teaching:
            self._why = why
            try:
                await self._hass.async_add_executor_job(self.examples.erase, example_id, self._versions)
            finally:
                await self._async_imprint(self.learned.lens, self._cache)

    async def _async_imprint(self, lens: Lens, cache: EmbeddingCache) -> None:
        """Embed what is missing through a lens, imprint, and answer by that: lens and head are replaced together."""
        await self.examples.async_embed_missing(lens, cache)
        learned = await self._hass.async_add_executor_job(self._imprint, lens, cache)
        self._cache = cache
        self._use_imprint(learned)

    def _imprint(self, lens: Lens, cache: EmbeddingCache) -> Learned:
        """Imprint from the embeddings at hand, which are those in use from then on. Blocking."""
        self.examples.settle(lens, cache)
        rows = self.examples.training_set(cache)
        if (head := self.examples.known.imprint(rows, lens, self.classes)) is None:
            return Learned(lens)
        plausibility = self.plausibility(lens, rows) if rows.covers(head.classes) else None
        learned = Learned(lens, head, plausibility)
        pinned = self._versions.pinned(self.examples.taught)
        restored = load_head(self._versions, pinned, lens.fingerprint, self.settings.name)
        return replace(learned, head=restored, restored=pinned.number) if pinned and restored else learned

    def rejects_foreign(self, lens: Lens) -> bool:
        """Return whether looks at what was never taught are to be told, and can be: to the built-in extractor they all look alike."""
        return self.settings.reject_foreign and lens.embedder.runtime != BUILTIN

    def plausibility(self, lens: Lens, rows: TrainingSet) -> Plausibility | None:
        """Return what a look has to be near to, where that is wanted and the lens's bank is at hand. Blocking."""
        return self.novelty.fit(lens, rows) if self.rejects_foreign(lens) else None

    def _opened(self, lens: Lens, cache: EmbeddingCache) -> Learned:
        """Imprint; answer by the head that did before, where it was learned from the same. Blocking."""
        learned = self._imprint(lens, cache)
        if learned.restored is not None or learned.head is None:
            return learned
        before = self._versions.current(self.examples.taught)
        head = load_head(self._versions, before, lens.fingerprint, self.settings.name)
        # Without an example, a class may be known since, or no more.
        return replace(learned, head=head) if head and {*head.classes} == {*learned.head.classes} else learned

    def _use_imprint(self, learned: Learned) -> None:
        """Answer with an imprint, which is there at once, until a better head was learned."""
        self.learned = learned
        self._on_imprinted()

    # --- for refinement ------------------------------------------------------------------------------------------

    async def async_training_set(self) -> TrainingSet:
        """Return the examples whose embeddings are at hand."""
        return await self._hass.async_add_executor_job(self.examples.training_set, self._cache)

    def replace_learned(self, before: Learned, after: Learned) -> bool:
        """Answer by something else, unless what was learned is not ``before`` any more; return whether it is done."""
        if self.learned is not before:
            return False
        self.learned = after
        return True

    def keep_version(self, learned: Learned, rows: TrainingSet) -> None:
        """Keep a head, learned from these examples, as a version. Blocking."""
        taught, name = self.examples.taught, self.settings.name
        keep_head(self._versions, learned, rows=rows, taught=taught, why=self._why, name=name)

    @callback
    def async_reviewed(self, odd: tuple[Odd, ...]) -> None:
        """Take in which examples the others speak against."""
        self.to_review = odd
        self._on_progress()

    @property
    def background(self) -> frozenset[str]:
        """Ids of the classes that mean there is nothing to report."""
        return frozenset(one.id for one in self.classes.values() if one.background)

    # --- versions ------------------------------------------------------------------------------------------------

    @property
    def versions(self) -> list[Version]:
        """The heads that answered, newest first, as far as they are kept."""
        return self._versions.versions

    def versions_as_dict(self) -> dict[str, Any]:
        """Return what people are told of them, and which one was restored."""
        labels = self.labels
        return {
            "versions": [version.as_dict(labels) for version in self.versions],
            "restored": self.learned.restored,
        }

    async def async_restore(self, number: int) -> None:
        """Answer by an earlier version until something is taught. Raises UnknownVersion, UnusableHead, StoreFailed."""
        async with self._teaching:
            learned = self.learned

            def restore() -> Head:
                return self._versions.restore(
                    number, lambda packed: Head.load(packed, learned.lens.fingerprint), self.examples.taught
                )

            head = await self._hass.async_add_executor_job(restore)
            self.learned = replace(learned, head=head, thresholds={}, restored=number)

    # --- another lens --------------------------------------------------------------------------------------------

    async def async_move(self, lens: Lens) -> None:
        """Embed every example through another lens, then use that; the present one answers until then.

        May be cancelled at any time: what was embedded is kept, and the next move goes on from there. Raises
        EmbeddingError, StoreFailed.
        """
        try:
            cache = await self.examples.async_open(lens)
            await self._async_fill(lens, cache)
            async with self._teaching:
                await self._async_imprint(lens, cache)  # with what was taught meanwhile
                self.examples.close_all_but(lens)
        finally:
            self._set_progress(None)

    async def _async_fill(self, lens: Lens, cache: EmbeddingCache) -> None:
        """Embed the examples of this moment, telling how far it is; teaching goes on meanwhile."""
        total, missing = len(self.examples), self.examples.missing(cache)
        done = total - len(missing)
        for batch in batches(missing):
            self._set_progress(Progress(done, total))
            done += len(batch)
            try:
                await self.examples.async_embed(batch, lens, cache)
            except StoreFailed as err:
                # Removed under our eyes, perhaps; if not, imprinting in the end says what is wrong.
                _LOGGER.debug("%s: examples not embedded yet: %s", self.settings.name, err)

    def _set_progress(self, progress: Progress | None) -> None:
        if progress != self.progress:
            self.progress = progress
            self._on_progress()

    async def async_embeddings(
        self, lens: Lens, on_example: Callable[[], None] | None = None
    ) -> list[tuple[Example, NDArray[np.float32]]]:
        """Return every example with its embedding through any lens. Raises EmbeddingError, StoreFailed."""
        found = await self.examples.async_embeddings(lens, on_example)
        if self.progress is None:
            self.examples.close_all_but(self.learned.lens)
        return found

    # --- evaluate ------------------------------------------------------------------------------------------------

    async def async_evaluate(self, conditions: Callable[[Example], str]) -> tuple[Evaluation, dict[str, Thresholds]]:
        """Work out from the examples alone how good the head is, and what may be expected of the thresholds in use.

        ``conditions`` says under which an example was taken; it is called in a thread. Raises EmbeddingError, StoreFailed.
        """
        async with self._teaching:
            await self.examples.async_embed_missing(self.learned.lens, self._cache)
        lens = self.learned.lens
        # To the built-in extractor everything drawn looks like something: that says nothing about photographs.
        foreign = None if lens.embedder.runtime == BUILTIN else await async_draw_foreign(self._hass, lens)
        return await self._hass.async_add_executor_job(self._evaluate, conditions, foreign)

    def _evaluate(
        self, conditions: Callable[[Example], str], foreign: NDArray[np.float32] | None
    ) -> tuple[Evaluation, dict[str, Thresholds]]:
        rows, learned = self.examples.training_set(self._cache), self.learned
        expected = dict(learned.thresholds) or expect(learned.head, rows, self.settings, self.background)
        bank = self.novelty.bank(learned.lens) if learned.plausibility else None
        found = evaluate_head(
            learned.head,
            rows,
            self.classes,
            judge=as_decided(with_thresholds(self.settings.rules, learned.thresholds), bank),
            expected=expected,
            conditions=conditions,
            foreign=foreign if len(rows.vectors) > 1 else None,
        )
        return found, expected
