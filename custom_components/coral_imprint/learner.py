"""What one classifier has learned: its examples on disk, their embeddings, the head imprinted from them.

Teaching changes it one step at a time (a lock); looking only reads the lens and the head, which are replaced together.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
import logging
import threading
from typing import Final

from homeassistant.core import CALLBACK_TYPE, HomeAssistant
from homeassistant.util import dt as dt_util
import numpy as np
from numpy.typing import NDArray

from .bank import async_make_bank
from .embedding import BUILTIN, NotAPicture, check_picture, to_jpeg
from .imprinting import (
    KINDS,
    Bank,
    EmbeddingCache,
    EmbeddingShelf,
    Evaluation,
    Example,
    ExampleStore,
    Head,
    InUse,
    LearnedClass,
    Plausibility,
    Report,
    StoreFailed,
    choose,
    evaluate,
    fit,
    fit_plausibility,
)
from .lens import Lens
from .models import ClassifierSettings, data_folder
from .rows import Rows, by_class

_LOGGER = logging.getLogger(__name__)

_CACHE_FOLDER: Final = ".embeddings"
_BATCH: Final = 8
"""Examples that are read, and whose embeddings are kept, together."""


def _whole_jpeg(picture: bytes) -> bytes:
    """Return a picture as JPEG once it is known to be whole. Raises NotAPicture."""
    check_picture(picture)
    return to_jpeg(picture)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the examples are embedded for the lens that is to be used next."""

    done: int
    total: int


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

        ``on_progress`` hears when progress changed, ``on_imprinted`` when there is an imprint to refine.
        """
        self._hass = hass
        self._settings = settings
        self._on_progress = on_progress
        self._on_imprinted = on_imprinted
        self.kind, self.reject_foreign = settings.head, settings.reject_foreign
        """The kind of head that the user fixed; None: what the examples speak for."""
        self._root = data_folder(hass) / settings.folder
        self._store = ExampleStore(self._root, _whole_jpeg, NotAPicture, dt_util.utcnow)
        self._shelf: EmbeddingShelf
        self._cache: EmbeddingCache
        self._caches: dict[str, EmbeddingCache] = {}
        """Caches that were opened, by fingerprint: two of the same file would spoil it."""
        self._disk = threading.Lock()
        """Held in the executor while caches are used: a job goes on after the task that asked for it was cancelled."""
        self.lens: Lens
        """What looks go through. Replaced together with the head."""
        self.head: Head | None = None
        self.plausibility: Plausibility | None = None
        """What a look has to be near to; replaced together with the head. None while the bank isn't ready, and for the
        built-in extractor, whose embeddings don't tell foreign pictures well enough."""
        self._bank: tuple[str, Bank] | None = None
        """The fingerprint that the bank belongs to, and the bank."""
        self.progress: Progress | None = None
        """None while no other lens is being prepared."""
        self._teaching = asyncio.Lock()

    @property
    def classes(self) -> Mapping[str, LearnedClass]:
        """Classes by id, oldest first."""
        return self._store.classes

    @property
    def in_use(self) -> InUse | None:
        """What the head was last imprinted from, also by an earlier run; None where nothing ever was."""
        return self._shelf.in_use

    @property
    def percent_embedded(self) -> int:
        """How many of the examples are embedded for the lens that is to be used, in percent."""
        progress = self.progress
        return 100 if progress is None else 100 * progress.done // max(1, progress.total)

    def class_named(self, name: str) -> LearnedClass:
        """Return the class of this label or id. Raises UnknownClass."""
        return self._store.class_named(name)

    def counts(self) -> dict[str, int]:
        """Return how many examples each class has, by class id."""
        counts = dict.fromkeys(self.classes, 0)
        for example in self._store.examples():
            counts[example.class_id] += 1
        return counts

    # --- begin ---------------------------------------------------------------------------------------------------

    async def async_load(self) -> None:
        """Read the classes and the list of examples; make the first classes of a new classifier.

        Raises StoreFailed.
        """
        await self._hass.async_add_executor_job(self._load)

    def _load(self) -> None:
        new = not self._root.exists()
        self._report(self._store.load())
        self._store.purge(dt_util.utcnow())
        if new:
            for label in self._settings.classes:
                self._store.add_class(label)
            if self._settings.background:
                self._store.add_class(self._settings.background, background=True)
        self._shelf = EmbeddingShelf(self._root / _CACHE_FOLDER, dt_util.utcnow)

    def _report(self, report: Report) -> None:
        _LOGGER.debug("%s: examples read: %s", self._settings.name, report)
        if report.unreadable:
            _LOGGER.warning("%s: %s unreadable pictures were set aside", self._settings.name, report.unreadable)
        if report.failed:
            _LOGGER.warning("%s: %s repairs failed and will be tried again", self._settings.name, report.failed)

    async def async_is_ready(self, lens: Lens) -> bool:
        """Return whether the embedding of every example through a lens is at hand. Raises StoreFailed."""
        return not self._missing(await self._hass.async_add_executor_job(self._open_cache, lens))

    async def async_open(self, lens: Lens) -> None:
        """Use a lens; imprint from the embeddings at hand where it is the one last used, or where none is missing.

        Raises StoreFailed.
        """
        cache = await self._hass.async_add_executor_job(self._open_cache, lens)
        self.lens, self._cache = lens, cache
        last_used = self.in_use is not None and self.in_use.fingerprint == lens.fingerprint
        if last_used or not self._missing(cache):
            self._use_imprint(*await self._hass.async_add_executor_job(self._fit, lens, cache))

    # --- teach ---------------------------------------------------------------------------------------------------

    async def async_add_example(self, class_id: str, picture: bytes) -> Example:
        """File a picture under a class: durable on return, embedded, not yet imprinted.

        Raises UnknownClass, UnreadablePicture, StoreFailed.
        """
        async with self._teaching:
            example = await self._hass.async_add_executor_job(self._store.add_example, class_id, picture)
            await self._async_embed([example], self.lens, self._cache)
            return example

    async def async_imprint(self, rescan: bool = False) -> None:
        """Embed what has no embedding yet and imprint every class anew.

        With ``rescan``, pictures that appeared in or vanished from the folders are noticed first. Raises StoreFailed.
        """
        async with self._teaching:
            if rescan:
                self._report(await self._hass.async_add_executor_job(self._store.load))
            for batch in _batches(self._missing(self._cache)):
                await self._async_embed(batch, self.lens, self._cache)
            self._use_imprint(*await self._hass.async_add_executor_job(self._fit, self.lens, self._cache))

    def _use_imprint(self, head: Head | None, plausibility: Plausibility | None) -> None:
        """Answer with an imprint, which is there at once, until a better head was learned."""
        self.head, self.plausibility = head, plausibility
        self._on_imprinted()

    async def async_refine(self) -> None:
        """Learn what is plausible, and the kind of head that the user fixed or that the examples speak for.

        Takes up to some seconds in a thread. What was imprinted meanwhile is left alone: it is refined next. Raises
        EmbeddingError, StoreFailed.
        """
        lens, learned = self.lens, self.head
        rows = await self._hass.async_add_executor_job(self._rows, self._cache)
        if learned is None or self.head is not learned or learned.classes != tuple(rows.vectors):
            return
        if self.kind != learned.kind and len(rows.vectors) > 1:
            chosen = await self._hass.async_add_executor_job(choose, rows.vectors, rows.occasions, self.kind)
            if self.head is not learned:
                return
            # Where the examples can't say which kind is better, none is changed to unasked.
            if self.kind is not None or chosen.validations:
                self.head = learned = chosen.head
        if self.reject_foreign and self.plausibility is None and lens.embedder.runtime != BUILTIN:
            self._bank = (lens.fingerprint, await async_make_bank(self._hass, lens))
            plausibility = await self._hass.async_add_executor_job(self._judge, lens, rows)
            if self.head is learned:
                self.plausibility = plausibility

    def _judge(self, lens: Lens, rows: Rows) -> Plausibility | None:
        """Learn what is plausible, where the lens's bank is at hand."""
        if self._bank is None or self._bank[0] != lens.fingerprint:
            return None
        return fit_plausibility(rows.vectors, self._bank[1], rows.occasions)

    async def async_change[ResultT](self, change: Callable[[ExampleStore], ResultT]) -> ResultT:
        """Change the store (classes, labels) and imprint what is left. Raises what the store raises."""
        async with self._teaching:
            result = await self._hass.async_add_executor_job(change, self._store)
        await self.async_imprint()
        return result

    # --- another lens --------------------------------------------------------------------------------------------

    async def async_move(self, lens: Lens) -> None:
        """Embed every example through another lens, then use that; the present one answers until then.

        May be cancelled at any time: what was embedded is kept, and the next move goes on from there. Raises
        EmbeddingError, StoreFailed.
        """
        try:
            cache = await self._hass.async_add_executor_job(self._open_cache, lens)
            await self._async_fill(lens, cache)
            async with self._teaching:
                # What was taught meanwhile.
                for batch in _batches(self._missing(cache)):
                    await self._async_embed(batch, lens, cache)
                learned = await self._hass.async_add_executor_job(self._fit, lens, cache)
                # Lens, embeddings and head belong together: replaced in one go, between two looks.
                self.lens, self._cache = lens, cache
                self._use_imprint(*learned)
                self._caches = {lens.fingerprint: cache}
        finally:
            self._set_progress(None)

    async def _async_fill(self, lens: Lens, cache: EmbeddingCache) -> None:
        """Embed the examples of this moment, telling how far it is; teaching goes on meanwhile."""
        total = len(self._store.examples())
        missing = self._missing(cache)
        for number, batch in enumerate(_batches(missing)):
            self._set_progress(Progress(total - len(missing) + number * _BATCH, total))
            try:
                await self._async_embed(batch, lens, cache)
            except StoreFailed as err:
                # Removed under our eyes, perhaps; if not, imprinting in the end says what is wrong.
                _LOGGER.debug("%s: examples not embedded yet: %s", self._settings.name, err)

    def _set_progress(self, progress: Progress | None) -> None:
        if progress != self.progress:
            self.progress = progress
            self._on_progress()

    async def async_embeddings(
        self, lens: Lens, on_example: Callable[[], None] | None = None
    ) -> list[tuple[Example, NDArray[np.float32]]]:
        """Return every example with its embedding through a lens, oldest first; what had none is embedded and kept.

        Looks go on through the present lens. Raises EmbeddingError, StoreFailed.
        """
        cache = await self._hass.async_add_executor_job(self._open_cache, lens)
        examples = self._store.examples()
        for example in examples:
            if cache.get(example.key) is None:
                await self._async_embed([example], lens, cache)
            if on_example:
                on_example()
        found = [(example, vector) for example in examples if (vector := cache.get(example.key)) is not None]
        if cache is not self._cache and self.progress is None:
            self._caches.pop(lens.fingerprint, None)
        return found

    async def async_evaluate(self) -> Evaluation:
        """Work out from the examples alone how good the head is. Raises EmbeddingError, StoreFailed."""
        found = await self.async_embeddings(self.lens)
        return await self._hass.async_add_executor_job(self._evaluate, found)

    def _evaluate(self, found: Sequence[tuple[Example, NDArray[np.float32]]]) -> Evaluation:
        rows = by_class(found)
        classes = self.classes.values()
        return evaluate(
            rows.vectors,
            rows.occasions,
            fit=KINDS[self.head.kind if self.head else "imprint"],
            ids=rows.ids,
            labels={learned.id: learned.label for learned in classes},
            background=frozenset(learned.id for learned in classes if learned.background),
        )

    async def async_embed_newest(self, lens: Lens, count: int) -> None:
        """Embed the newest examples, ``count`` at most, for the embedder to be timed by. Raises as async_embeddings."""
        for example in self._store.examples()[-count:]:
            await lens.embed(await self._hass.async_add_executor_job(self._store.read, example))

    # --- embeddings ----------------------------------------------------------------------------------------------

    def _open_cache(self, lens: Lens) -> EmbeddingCache:
        """Read the embeddings kept for a lens. Blocking."""
        with self._disk:
            if (cache := self._caches.get(lens.fingerprint)) is None:
                cache = self._shelf.open(lens.fingerprint, lens.length)
                self._caches[lens.fingerprint] = cache
            return cache

    def _missing(self, cache: EmbeddingCache) -> list[Example]:
        return [example for example in self._store.examples() if cache.get(example.key) is None]

    async def _async_embed(self, examples: Sequence[Example], lens: Lens, cache: EmbeddingCache) -> None:
        """Embed some examples into a cache; a picture that went bad on disk is set aside. Raises StoreFailed."""
        pictures = await self._hass.async_add_executor_job(lambda: [self._store.read(one) for one in examples])
        vectors: dict[bytes, NDArray[np.float32]] = {}
        for example, picture in zip(examples, pictures, strict=True):
            try:
                vectors[example.key] = await lens.embed(picture)
            except NotAPicture as err:
                _LOGGER.warning("%s: an example was set aside: %s", self._settings.name, err)
                await self._hass.async_add_executor_job(self._store.set_aside, example.id)
        await self._hass.async_add_executor_job(self._keep, cache, vectors)

    def _keep(self, cache: EmbeddingCache, vectors: Mapping[bytes, NDArray[np.float32]]) -> None:
        """Cache embeddings. On a disk that refuses they stay in memory, and are computed again after a restart."""
        with self._disk:
            for key, vector in vectors.items():
                try:
                    cache.put(key, vector)
                except StoreFailed as err:
                    _LOGGER.warning("%s: an embedding could not be kept: %s", self._settings.name, err)

    def _fit(self, lens: Lens, cache: EmbeddingCache) -> tuple[Head | None, Plausibility | None]:
        """Imprint from the embeddings at hand, which are those in use from then on."""
        examples = self._store.examples()
        with self._disk:
            try:
                cache.compact({example.key for example in examples})
                self._note_use(lens, cache)
                self._shelf.purge()
            except StoreFailed as err:
                _LOGGER.warning("%s: the embeddings could not be tidied up: %s", self._settings.name, err)
        rows = self._rows(cache)
        return (fit(rows.vectors), self._judge(lens, rows)) if rows.vectors else (None, None)

    def _rows(self, cache: EmbeddingCache) -> Rows:
        """Return the examples whose embeddings are at hand. Copies all of them: not for the event loop."""
        return by_class([(one, row) for one in self._store.examples() if (row := cache.get(one.key)) is not None])

    def _note_use(self, lens: Lens, cache: EmbeddingCache) -> None:
        if self._shelf.in_use is None or self._shelf.in_use.fingerprint != lens.fingerprint:
            note = {"extractor": lens.extractor, "runtime": lens.embedder.runtime, "region": lens.region.as_dict()}
            self._shelf.use(cache, lens.fingerprint, note)


def _batches(examples: Sequence[Example]) -> Iterator[Sequence[Example]]:
    for start in range(0, len(examples), _BATCH):
        yield examples[start : start + _BATCH]
