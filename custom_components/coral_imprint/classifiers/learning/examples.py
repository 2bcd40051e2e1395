"""A classifier's examples on disk, and their embeddings through any lens.

Blocking work is done in the executor. Nothing here knows what is learned from them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
import logging
import threading
from typing import Final

from homeassistant.core import HomeAssistant
from homeassistant.util import dt as dt_util
import numpy as np
from numpy.typing import NDArray

from ...core.embedding import NotAPicture, check_picture, to_jpeg
from ...core.imprinting import (
    EmbeddingCache,
    EmbeddingFingerprints,
    Example,
    ExampleIndex,
    ExampleStore,
    HeadVersions,
    InUse,
    Known,
    LearnedClass,
    Report,
    StoreFailed,
    TrainingSet,
    by_class,
    erase_example,
)
from ...extractors.lens import Lens
from ...settings import ClassifierSettings, data_folder
from .known_classes import KnownClasses

_LOGGER = logging.getLogger(__name__)

_CACHE_FOLDER: Final = ".embeddings"
BATCH: Final = 8
"""Examples that are read, and whose embeddings are kept, together."""


def _whole_jpeg(picture: bytes) -> bytes:
    """Return a picture as JPEG once it is known to be whole. Raises NotAPicture."""
    check_picture(picture)
    return to_jpeg(picture)


def batches(examples: Sequence[Example]) -> Iterator[Sequence[Example]]:
    """Return the examples in parts of at most BATCH."""
    for start in range(0, len(examples), BATCH):
        yield examples[start : start + BATCH]


class Examples:
    """The examples of one classifier and their embeddings."""

    def __init__(self, hass: HomeAssistant, settings: ClassifierSettings) -> None:
        """Prepare; async_load reads."""
        self._hass = hass
        self.settings = settings
        self.root = data_folder(hass) / settings.folder
        """The classifier's folder."""
        self.known = KnownClasses(hass, self.root, lambda: self.settings.name)
        """What is known of classes without examples. Changed by `async_change` alone."""
        self._store = ExampleStore(self.root, _whole_jpeg, NotAPicture, dt_util.utcnow)
        self.index: ExampleIndex = self._store.index
        """The classes and examples, in memory."""
        self._fingerprints: EmbeddingFingerprints
        self._caches: dict[str, EmbeddingCache] = {}
        """Caches that were opened, by fingerprint: two of the same file would spoil it."""
        self._disk = threading.Lock()
        """Held in the executor while caches are used: a job goes on after the task that asked for it was cancelled."""

    @property
    def classes(self) -> Mapping[str, LearnedClass]:
        """Classes by id, oldest first."""
        return self.index.classes

    @property
    def in_use(self) -> InUse | None:
        """What the head was last imprinted from, also by an earlier run; None where nothing ever was."""
        return self._fingerprints.in_use

    @property
    def taught(self) -> str:
        """A digest of what is taught."""
        return self._store.taught

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.index.examples)

    def class_named(self, name: str) -> LearnedClass:
        """Return the class of this label or id. Raises UnknownClass."""
        return self._store.class_named(name)

    # --- on disk -------------------------------------------------------------------------------------------------

    async def async_load(self) -> None:
        """Read the classes and the list of examples; make the first classes of a new classifier. Raises StoreFailed."""
        await self._hass.async_add_executor_job(self._load)
        await self.known.async_load()

    def _load(self) -> None:
        new = not self.root.exists()
        self._report(self._store.load())
        self._store.purge(dt_util.utcnow())
        if new:
            self._store.begin(self.settings.classes, self.settings.background)
        self._fingerprints = EmbeddingFingerprints(self.root / _CACHE_FOLDER, dt_util.utcnow)

    async def async_rescan(self) -> None:
        """Notice pictures that appeared in or vanished from the folders. Raises StoreFailed."""
        self._report(await self._hass.async_add_executor_job(self._store.load))

    def _report(self, report: Report) -> None:
        _LOGGER.debug("%s: examples read: %s", self.settings.name, report)
        if report.unreadable:
            _LOGGER.warning("%s: %s unreadable pictures were set aside", self.settings.name, report.unreadable)
        if report.failed:
            _LOGGER.warning("%s: %s repairs failed and will be tried again", self.settings.name, report.failed)

    async def async_add(self, class_id: str, picture: bytes) -> Example:
        """File a picture under a class: durable on return. Raises UnknownClass, UnreadablePicture, StoreFailed."""
        return await self._hass.async_add_executor_job(self._store.add_example, class_id, picture)

    async def async_read[ResultT](self, read: Callable[[ExampleStore], ResultT]) -> ResultT:
        """Read from the store in the executor, without changing it. Raises what the store raises."""
        return await self._hass.async_add_executor_job(read, self._store)

    async def async_change[ResultT](self, change: Callable[[ExampleStore], ResultT]) -> ResultT:
        """Change the store (classes, labels). Raises what the store raises."""
        return await self._hass.async_add_executor_job(change, self._store)

    def add_known_class(self, label: str, known: Known, *, background: bool) -> LearnedClass:
        """Add a class and what is known of it, or neither. Blocking; for `async_change`. Raises what the store raises."""
        learned = self._store.add_class(label, background)
        try:
            self.known.add(learned.id, known, self._store.classes)
        except StoreFailed:
            self._store.remove_class(learned.id)
            raise
        return learned

    def sample(self, count: int, since: datetime | None) -> list[list[Example]]:
        """Return examples of each class captured since then (None: ever), ``count`` in all at most, spread over their order in time."""
        found = [self._store.examples(class_id) for class_id in self.classes]
        found = [[one for one in examples if since is None or one.captured >= since] for examples in found]
        each = max(1, count // max(1, sum(bool(examples) for examples in found)))
        return [examples[:: max(1, -(-len(examples) // each))] for examples in found if examples]

    def read(self, example: Example) -> bytes:
        """Return an example's picture. Raises StoreFailed. Blocking."""
        return self._store.read(example)

    def erase(self, example_id: str, versions: HeadVersions) -> None:
        """Remove an example for good, with all that was derived from it alone. Blocking.

        Raises UnknownExample, StoreFailed; doing it again finishes what failed.
        """
        with self._disk:
            erase_example(
                example_id,
                store=self._store,
                fingerprints=self._fingerprints,
                opened=self._caches.values(),
                versions=versions,
            )

    # --- embeddings ----------------------------------------------------------------------------------------------

    async def async_open(self, lens: Lens) -> EmbeddingCache:
        """Read, or begin, the embeddings kept for a lens. Raises StoreFailed."""
        await self.known.async_prepare(lens, self.classes)
        return await self._hass.async_add_executor_job(self._open, lens)

    def _open(self, lens: Lens) -> EmbeddingCache:
        with self._disk:
            if (cache := self._caches.get(lens.fingerprint)) is None:
                cache = self._fingerprints.open(lens.fingerprint, lens.length)
                self._caches[lens.fingerprint] = cache
            return cache

    def close_all_but(self, *used: Lens) -> None:
        """Let go of what was read of other lenses."""
        fingerprints = {lens.fingerprint for lens in used}
        self._caches = {key: cache for key, cache in self._caches.items() if key in fingerprints}

    def missing(self, cache: EmbeddingCache) -> list[Example]:
        """Return the examples whose embeddings aren't at hand."""
        return [example for example in self._store.examples() if cache.get(example.key) is None]

    async def async_embed(self, examples: Sequence[Example], lens: Lens, cache: EmbeddingCache) -> None:
        """Embed some examples into a cache; a picture that went bad on disk is set aside.

        Raises EmbeddingError, StoreFailed.
        """
        pictures = await self._hass.async_add_executor_job(lambda: [self._store.read(one) for one in examples])
        vectors: dict[bytes, NDArray[np.float32]] = {}
        for example, found in zip(examples, await lens.embed_many(pictures), strict=True):
            if isinstance(found, NotAPicture):
                _LOGGER.warning("%s: an example was set aside: %s", self.settings.name, found)
                await self._hass.async_add_executor_job(self._store.set_aside, example.id)
            else:
                vectors[example.key] = found
        await self._hass.async_add_executor_job(self._keep, cache, vectors)

    async def async_embed_missing(self, lens: Lens, cache: EmbeddingCache) -> None:
        """Embed what has no embedding yet. Raises EmbeddingError, StoreFailed."""
        for batch in batches(self.missing(cache)):
            await self.async_embed(batch, lens, cache)

    def _keep(self, cache: EmbeddingCache, vectors: Mapping[bytes, NDArray[np.float32]]) -> None:
        """Cache embeddings. On a disk that refuses they stay in memory, and are computed again after a restart."""
        with self._disk:
            taught = {example.key for example in self._store.examples()}
            for key in vectors.keys() & taught:  # not of what was erased meanwhile
                vector = vectors[key]
                try:
                    cache.put(key, vector)
                except StoreFailed as err:
                    _LOGGER.warning("%s: an embedding could not be kept: %s", self.settings.name, err)

    async def async_embeddings(
        self, lens: Lens, on_example: Callable[[], None] | None = None
    ) -> list[tuple[Example, NDArray[np.float32]]]:
        """Return every example with its embedding through a lens, oldest first; what had none is embedded and kept.

        Raises EmbeddingError, StoreFailed.
        """
        cache = await self.async_open(lens)
        examples = self._store.examples()
        for example in examples:
            if cache.get(example.key) is None:
                await self.async_embed([example], lens, cache)
            if on_example:
                on_example()
        return [(example, vector) for example in examples if (vector := cache.get(example.key)) is not None]

    async def async_embed_newest(self, lens: Lens, count: int) -> None:
        """Embed the newest examples, ``count`` at most, for the embedder to be timed by. Raises as async_embeddings."""
        for example in self._store.examples()[-count:]:
            await lens.embed(await self._hass.async_add_executor_job(self._store.read, example))

    def training_set(self, cache: EmbeddingCache) -> TrainingSet:
        """Return the examples whose embeddings are at hand. Copies all of them: blocking."""
        return by_class([(one, row) for one in self._store.examples() if (row := cache.get(one.key)) is not None])

    def settle(self, lens: Lens, cache: EmbeddingCache) -> None:
        """Note that a lens's embeddings are those in use, and drop what nobody needs. Blocking.

        A disk that refuses is no reason not to learn: it is tried again the next time.
        """
        with self._disk:
            try:
                cache.compact({example.key for example in self._store.examples()})
                if self._fingerprints.in_use is None or self._fingerprints.in_use.fingerprint != lens.fingerprint:
                    note = {
                        "extractor": lens.extractor,
                        "runtime": lens.embedder.runtime,
                        "region": lens.region.as_dict(),
                    }
                    self._fingerprints.use(cache, lens.fingerprint, note)
                self._fingerprints.purge()
            except StoreFailed as err:
                _LOGGER.warning("%s: the embeddings could not be tidied up: %s", self.settings.name, err)
