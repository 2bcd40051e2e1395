"""What one classifier has learned: its examples on disk, their embeddings, the head imprinted from them.

Teaching changes it one step at a time (a lock); looking only reads the head, which is replaced whole.
"""

import asyncio
from collections.abc import Callable, Mapping
import logging

from homeassistant.core import HomeAssistant
from homeassistant.util import dt as dt_util
import numpy as np
from numpy.typing import NDArray

from .embedding import Embedder, NotAPicture, Region, check_picture, to_jpeg
from .imprinting import EmbeddingCache, Example, ExampleStore, Head, LearnedClass, Report, StoreFailed, fit
from .models import ClassifierSettings, data_folder

_LOGGER = logging.getLogger(__name__)

_CACHE_FOLDER = ".embeddings"


def _whole_jpeg(picture: bytes) -> bytes:
    """Return a picture as JPEG once it is known to be whole. Raises NotAPicture."""
    check_picture(picture)
    return to_jpeg(picture)


class Learner:
    """The learning half of a classifier."""

    def __init__(self, hass: HomeAssistant, embedder: Embedder, settings: ClassifierSettings) -> None:
        """Prepare; nothing is read before async_load."""
        self._hass = hass
        self._embedder = embedder
        self._settings = settings
        root = data_folder(hass) / settings.folder
        self._root = root
        self._store = ExampleStore(root, _whole_jpeg, NotAPicture, dt_util.utcnow)
        self._cache: EmbeddingCache
        self.region = settings.region
        """The region that the head was imprinted from: looks use it until a new region's head is ready."""
        self.head: Head | None = None
        self._teaching = asyncio.Lock()

    def _open_cache(self, region: Region) -> EmbeddingCache:
        """Read the embeddings kept for a region. Blocking."""
        return EmbeddingCache(self._root / _CACHE_FOLDER, self._embedder.fingerprint(region), self._embedder.length)

    @property
    def classes(self) -> Mapping[str, LearnedClass]:
        """Classes by id, oldest first."""
        return self._store.classes

    def class_named(self, name: str) -> LearnedClass:
        """Return the class of this label or id. Raises UnknownClass."""
        return self._store.class_named(name)

    def counts(self) -> dict[str, int]:
        """Return how many examples each class has, by class id."""
        counts = dict.fromkeys(self.classes, 0)
        for example in self._store.examples():
            counts[example.class_id] += 1
        return counts

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
        self._cache = self._open_cache(self.region)

    def _report(self, report: Report) -> None:
        _LOGGER.debug("%s: examples read: %s", self._settings.name, report)
        if report.unreadable:
            _LOGGER.warning("%s: %s unreadable pictures were set aside", self._settings.name, report.unreadable)
        if report.failed:
            _LOGGER.warning("%s: %s repairs failed and will be tried again", self._settings.name, report.failed)

    def ready(self) -> bool:
        """Return whether every example's embedding is at hand, so that imprinting takes milliseconds."""
        return all(self._cache.get(example.key) is not None for example in self._store.examples())

    async def async_add_example(self, class_id: str, picture: bytes) -> Example:
        """File a picture under a class: durable on return, embedded, not yet imprinted.

        Raises UnknownClass, UnreadablePicture, StoreFailed.
        """
        async with self._teaching:
            example = await self._hass.async_add_executor_job(self._store.add_example, class_id, picture)
            await self._async_embed(example, self.region, self._cache)
            return example

    async def async_imprint(self, region: Region | None = None, rescan: bool = False) -> None:
        """Embed what has no embedding yet and imprint every class anew.

        With ``region``, for that region, which replaces the present one when its head is ready. With ``rescan``,
        pictures that appeared in or vanished from the folders are noticed first. Raises StoreFailed.
        """
        async with self._teaching:
            if rescan:
                self._report(await self._hass.async_add_executor_job(self._store.load))
            region = region or self.region
            cache = self._cache
            if region != self.region:
                cache = await self._hass.async_add_executor_job(self._open_cache, region)
            for example in self._store.examples():
                if cache.get(example.key) is None:
                    await self._async_embed(example, region, cache)
            head = await self._hass.async_add_executor_job(self._fit, cache)
            # Region, embeddings and head belong together: replaced in one go, between two looks.
            self.region, self._cache, self.head = region, cache, head

    async def _async_embed(self, example: Example, region: Region, cache: EmbeddingCache) -> None:
        """Embed one example into the cache; a picture that went bad on disk is set aside."""
        try:
            picture = await self._hass.async_add_executor_job(self._store.read, example)
            vector = await self._embedder.embed(picture, region)
        except NotAPicture as err:
            _LOGGER.warning("%s: an example was set aside: %s", self._settings.name, err)
            await self._hass.async_add_executor_job(self._store.set_aside, example.id)
        else:
            await self._hass.async_add_executor_job(self._keep, cache, example.key, vector)

    def _keep(self, cache: EmbeddingCache, key: bytes, vector: NDArray[np.float32]) -> None:
        """Cache an embedding. On a disk that refuses it stays in memory, and is computed again after a restart."""
        try:
            cache.put(key, vector)
        except StoreFailed as err:
            _LOGGER.warning("%s: an embedding could not be kept: %s", self._settings.name, err)

    def _fit(self, cache: EmbeddingCache) -> Head | None:
        examples = self._store.examples()
        try:
            cache.compact({example.key for example in examples})
        except StoreFailed as err:
            _LOGGER.warning("%s: the embeddings could not be tidied up: %s", self._settings.name, err)
        by_class: dict[str, list[NDArray[np.float32]]] = {}
        for example in examples:
            if (vector := cache.get(example.key)) is not None:
                by_class.setdefault(example.class_id, []).append(vector)
        if not by_class:
            return None
        return fit({class_id: np.stack(vectors) for class_id, vectors in by_class.items()})

    async def async_change[ResultT](self, change: Callable[[ExampleStore], ResultT]) -> ResultT:
        """Change the store (classes, labels) and imprint what is left. Raises what the store raises."""
        async with self._teaching:
            result = await self._hass.async_add_executor_job(change, self._store)
        await self.async_imprint()
        return result
