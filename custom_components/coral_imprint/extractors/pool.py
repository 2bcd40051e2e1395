"""The embedders of one engine: the one in use, and those that answer until every classifier has followed."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
import logging
from typing import Final

from homeassistant.core import CALLBACK_TYPE, HomeAssistant

from ..const import CONF_EXTRACTOR, CONF_RUNTIME, RUNTIME_REMOTE
from ..core.embedding import BUILTIN, EmbeddingError, PictureEmbedder, Region, RuntimeUnavailable, open_embedder
from ..core.imprinting import InUse
from ..settings import EngineSettings, cache_folder
from .choices import Source, TwinFiles, async_source_of
from .edge_tpu import open_edgetpu
from .lens import Lens
from .previous import PreviousSettings
from .remote import TroubleListener, open_server_embedder

_LOGGER = logging.getLogger(__name__)

REOPEN_WITHIN: Final = 10.0
"""Seconds that a start waits for the servers or the device that an engine used before."""


class EmbedderPool:
    """Opens embedders, and closes those that nothing looks through any more."""

    def __init__(
        self,
        hass: HomeAssistant,
        previous: PreviousSettings,
        used: Callable[[], Iterable[PictureEmbedder]],
        on_trouble: TroubleListener,
        on_device: CALLBACK_TYPE,
    ) -> None:
        """Open nothing yet.

        ``previous`` keeps what embedders on servers and devices were opened with; ``used`` tells which embedders classifiers look
        through; ``on_trouble`` hears of servers', ``on_device`` when an Edge TPU came or went.
        """
        self._hass = hass
        self._previous = previous
        self._used = used
        self._on_trouble = on_trouble
        self._on_device = on_device
        self._open: dict[PictureEmbedder, tuple[AsyncExitStack, EngineSettings]] = {}
        self._tried: set[tuple[object, ...]] = set()
        """Places of settings that could not be opened since the start: no classifier waits for them again."""
        self._closed = False
        self.lock = asyncio.Lock()
        """Held while classifiers come and go: what they are about to use must not be closed."""
        self.extractor = BUILTIN
        """Name of the extractor that ``current`` embeds with."""
        self.current: PictureEmbedder
        """What new and moving classifiers use."""

    async def async_use(self, settings: EngineSettings, source: Source) -> None:
        """Open an extractor as settings say and make it the current one. Raises EmbeddingError; nothing changed then."""
        try:
            embedder = await self._async_enter(settings, source)
        except EmbeddingError, asyncio.CancelledError:
            self._tried.add(settings.place)
            raise
        self.extractor, self.current = settings.extractor, embedder
        await self._previous.async_note(settings)

    async def async_previous_lens(self, in_use: InUse | None) -> Lens | None:
        """Return the lens that a classifier's last head was imprinted through, None where it can't be made any more."""
        if in_use is None:
            return None
        try:
            extractor, runtime = str(in_use.note["extractor"]), str(in_use.note["runtime"])
            region = Region(**in_use.note["region"])
        except (KeyError, TypeError, EmbeddingError) as err:
            _LOGGER.debug("What answered before is not known: %s", err)
            return None
        for embedder in self._open:
            if (lens := Lens(extractor, embedder, region)).fingerprint == in_use.fingerprint:
                return lens
        for settings in await self._async_possible(extractor, runtime):
            if (reopened := await self._async_reopened(settings)) is None:
                continue
            if (lens := Lens(extractor, reopened, region)).fingerprint == in_use.fingerprint:
                return lens
            await self._async_leave(reopened)
        return None

    async def _async_possible(self, extractor: str, runtime: str) -> list[EngineSettings]:
        """Return the settings with which an embedder may have been opened, the likeliest first."""
        previous = await self._previous.async_all()
        found = [one for one in previous if (one.extractor, one.runtime) == (extractor, runtime)]
        if runtime != RUNTIME_REMOTE:
            data = {CONF_EXTRACTOR: extractor, CONF_RUNTIME: "auto" if runtime == BUILTIN else runtime}
            found.append(EngineSettings.from_data(data))
        return [one for one in found if one.place not in self._tried]

    async def _async_reopened(self, settings: EngineSettings) -> PictureEmbedder | None:
        """Open what answered before; None where that doesn't work in the time that a start may take."""
        try:
            if (source := await async_source_of(self._hass, settings)) is None:
                return None
            async with asyncio.timeout(REOPEN_WITHIN if settings.is_elsewhere else None):
                return await self._async_enter(settings, source, strict=True)
        except (EmbeddingError, TimeoutError) as err:
            # Other classifiers don't wait for it again.
            self._tried.add(settings.place)
            _LOGGER.warning(
                "What answered before can't be used; examples have to be embedded first: %s", err or "no answer"
            )
            return None

    async def _async_leave(self, embedder: PictureEmbedder) -> None:
        stack, _ = self._open.pop(embedder)
        await stack.aclose()

    def _opened(
        self, settings: EngineSettings, source: Source, strict: bool
    ) -> AbstractAsyncContextManager[PictureEmbedder]:
        if settings.is_remote:
            return open_server_embedder(self._hass, settings, self._on_trouble)
        if isinstance(source, TwinFiles):
            return open_edgetpu(self._hass, settings, source, self._on_device)
        proofs = cache_folder(self._hass)
        return open_embedder(source, settings.local_runtime, settings.threads, strict=strict, proofs=proofs)

    async def _async_enter(self, settings: EngineSettings, source: Source, *, strict: bool = False) -> PictureEmbedder:
        stack = AsyncExitStack()
        embedder = await stack.enter_async_context(self._opened(settings, source, strict))
        if self._closed:
            await stack.aclose()
            raise RuntimeUnavailable("the engine was stopped")
        self._open[embedder] = (stack, settings)
        return embedder

    async def async_close_unused(self) -> None:
        """Close every embedder but the current one and those that classifiers look through."""
        async with self.lock:
            kept = {self.current, *self._used()}
            for embedder in self._open.keys() - kept:
                await self._async_leave(embedder)
            await self._previous.async_keep_only([settings for _, settings in self._open.values()])

    async def async_close(self) -> None:
        """Close all of them; looks under way get no embedding any more."""
        self._closed = True
        while self._open:
            await self._async_leave(next(iter(self._open)))
