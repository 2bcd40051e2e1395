"""The embedders of one engine: the one in use, and those that answer until every classifier has followed."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
import logging

from homeassistant.core import CALLBACK_TYPE, HomeAssistant

from ..const import RUNTIME_REMOTE
from ..embedding import BUILTIN, EmbeddingError, PictureEmbedder, Region, RuntimeUnavailable, open_embedder
from ..imprinting import InUse
from ..models import EngineSettings, cache_folder
from .edge_tpu import open_edgetpu
from .extractors import Source, TwinFiles, async_source_of
from .lens import Lens
from .servers import TroubleListener, open_server_embedder

_LOGGER = logging.getLogger(__name__)


class Embedders:
    """Opens embedders, and closes those that nothing looks through any more."""

    def __init__(
        self,
        hass: HomeAssistant,
        used: Callable[[], Iterable[PictureEmbedder]],
        on_trouble: TroubleListener,
        on_device: CALLBACK_TYPE,
    ) -> None:
        """Open nothing yet.

        ``used`` tells which embedders classifiers look through; ``on_trouble`` hears of servers', ``on_device`` when an Edge TPU
        came or went.
        """
        self._hass = hass
        self._used = used
        self._on_trouble = on_trouble
        self._on_device = on_device
        self._open: dict[PictureEmbedder, AsyncExitStack] = {}
        self._closed = False
        self.lock = asyncio.Lock()
        """Held while classifiers come and go: what they are about to use must not be closed."""
        self.extractor = BUILTIN
        """Name of the extractor that ``current`` embeds with."""
        self.current: PictureEmbedder
        """What new and moving classifiers use."""

    async def async_use(self, settings: EngineSettings, source: Source) -> None:
        """Open an extractor as settings say and make it the current one. Raises EmbeddingError; nothing changed then."""
        embedder = await self._async_enter(settings, source)
        self.extractor, self.current = settings.extractor, embedder

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
            if runtime == RUNTIME_REMOTE:
                # Its servers are no longer known, or just failed.
                return None
            settings = EngineSettings(extractor=extractor, runtime="auto" if runtime == BUILTIN else runtime)
            if (source := await async_source_of(self._hass, settings)) is None:
                return None
            embedder = await self._async_enter(settings, source, strict=True)
        except (KeyError, TypeError, EmbeddingError) as err:
            _LOGGER.debug("What answered before can't be used any more: %s", err)
            return None
        lens = Lens(extractor, embedder, region)
        if lens.fingerprint == in_use.fingerprint:
            return lens
        await self._open.pop(embedder).aclose()
        return None

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
