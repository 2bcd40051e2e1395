"""The embedders of one engine: the one in use, and those that answer until every classifier has followed."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
import logging
from pathlib import Path

from homeassistant.core import HomeAssistant

from .embedding import BUILTIN, Embedder, EmbeddingError, Region, RuntimeChoice, RuntimeUnavailable, open_embedder
from .extractors import async_source
from .imprinting import InUse
from .lens import Lens
from .models import EngineSettings, cache_folder

_LOGGER = logging.getLogger(__name__)


class Embedders:
    """Opens embedders, and closes those that nothing looks through any more."""

    def __init__(self, hass: HomeAssistant, used: Callable[[], Iterable[Embedder]]) -> None:
        """Open nothing yet. ``used`` tells which embedders classifiers look through."""
        self._hass = hass
        self._used = used
        self._open: dict[Embedder, AsyncExitStack] = {}
        self._closed = False
        self.lock = asyncio.Lock()
        """Held while classifiers come and go: what they are about to use must not be closed."""
        self.extractor = BUILTIN
        """Name of the extractor that ``current`` embeds with."""
        self.current: Embedder
        """What new and moving classifiers use."""

    async def async_use(self, extractor: str, source: str | Path, settings: EngineSettings) -> None:
        """Open an extractor on the best runtime and make it the current one. Raises EmbeddingError; nothing changed then."""
        embedder = await self._async_enter(source, settings.runtime, settings.threads)
        self.extractor, self.current = extractor, embedder

    async def async_former_lens(self, in_use: InUse | None) -> Lens | None:
        """Return the lens that a classifier's last head was imprinted through, None where it can't be made any more."""
        if in_use is None:
            return None
        try:
            extractor, runtime = str(in_use.note["extractor"]), in_use.note["runtime"]
            region = Region(**in_use.note["region"])
            for embedder in self._open:
                if (lens := Lens(extractor, embedder, region)).fingerprint == in_use.fingerprint:
                    return lens
            if (source := await async_source(self._hass, extractor)) is None:
                return None
            embedder = await self._async_enter(source, "auto" if runtime == BUILTIN else runtime, strict=True)
        except (KeyError, TypeError, EmbeddingError) as err:
            _LOGGER.debug("What answered before can't be used any more: %s", err)
            return None
        lens = Lens(extractor, embedder, region)
        if lens.fingerprint == in_use.fingerprint:
            return lens
        await self._open.pop(embedder).aclose()
        return None

    async def _async_enter(
        self, source: str | Path, runtime: RuntimeChoice, threads: int = 1, *, strict: bool = False
    ) -> Embedder:
        stack = AsyncExitStack()
        opened = open_embedder(source, runtime, threads, strict=strict, proofs=cache_folder(self._hass))
        embedder = await stack.enter_async_context(opened)
        if self._closed:
            await stack.aclose()
            raise RuntimeUnavailable("the engine was stopped")
        self._open[embedder] = stack
        return embedder

    async def async_close_unused(self) -> None:
        """Close every embedder but the current one and those that classifiers look through."""
        async with self.lock:
            kept = {self.current, *self._used()}
            for embedder in self._open.keys() - kept:
                await self._open.pop(embedder).aclose()

    async def async_close(self) -> None:
        """Close all of them; looks under way get no embedding any more."""
        self._closed = True
        while self._open:
            _, stack = self._open.popitem()
            await stack.aclose()
