"""Engines on inference servers: what they serve, and embedders on them through Home Assistant's shared session."""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from aiohttp import ClientSession
from homeassistant.core import HomeAssistant
from homeassistant.helpers.aiohttp_client import async_get_clientsession
import numpy as np
from numpy.typing import NDArray

from ..const import PIXEL_RANGES
from ..core.embedding import (
    WHOLE,
    Choice,
    EmbeddingError,
    Extractor,
    FrameTimes,
    NotAPicture,
    Region,
    Seen,
    Wanted,
    errors as embedding_errors,
    remote,
)
from ..settings import EngineSettings, cache_folder

type TroubleListener = Callable[["ServerEmbedder", EmbeddingError], None]
"""Hears of what trying again doesn't mend: ModelChanged, ServerDenied."""


class ServerEmbedder:
    """Embeds by servers, and tells what trying again doesn't mend. The face of `PictureEmbedder`."""

    def __init__(self, remote_embedder: remote.RemoteEmbedder, on_trouble: TroubleListener | None) -> None:
        """Take what does the work."""
        self._remote = remote_embedder
        self._on_trouble = on_trouble

    @property
    def extractor(self) -> str:
        """Identity of the extractor."""
        return self._remote.extractor

    @property
    def choice(self) -> Choice:
        """How the runtime came to be used."""
        return self._remote.choice

    @property
    def runtime(self) -> str:
        """``remote``."""
        return self._remote.runtime

    @property
    def frames(self) -> int:
        """Pictures embedded so far, however many regions of each."""
        return self._remote.frames

    @property
    def ms(self) -> float | None:
        """Milliseconds per picture, the way to the server and back included."""
        return self._remote.ms

    @property
    def times(self) -> FrameTimes:
        """How long the last pictures took."""
        return self._remote.times

    def diagnostics(self) -> dict[str, Any]:
        """Return how the servers are, without their addresses."""
        return self._remote.diagnostics()

    @property
    def connected(self) -> None:
        """Without a device."""
        return

    @property
    def likeness(self) -> None:
        """Without a twin."""
        return

    @property
    def length(self) -> int:
        """Length of the embedding."""
        return self._remote.length

    def fingerprint(self, region: Region = WHOLE) -> str:
        """All that an embedding depends on."""
        return self._remote.fingerprint(region)

    async def embed(self, picture: bytes, region: Region = WHOLE) -> NDArray[np.float32]:
        """Embed one region of a picture: (length,) float32 of length 1. Raises EmbeddingError."""
        (vector,) = await self.embed_regions(picture, (region,))
        return vector

    async def embed_regions(self, picture: bytes, regions: Sequence[Region]) -> list[NDArray[np.float32]]:
        """Embed several regions of a picture from a single decode. Raises EmbeddingError."""
        with self._watched():
            return await self._remote.embed_regions(picture, regions)

    async def see(self, picture: bytes, wanted: Sequence[Wanted]) -> list[Seen]:
        """Embed several regions of a picture, but for those that hardly differ from what was seen before. Raises EmbeddingError."""
        with self._watched():
            return await self._remote.see(picture, wanted)

    async def embed_many(
        self, pictures: Sequence[bytes], region: Region = WHOLE
    ) -> list[NDArray[np.float32] | NotAPicture]:
        """Embed one region of each of many pictures, the error of one that is none in place of a vector.

        Raises EmbeddingError otherwise.
        """
        with self._watched():
            return await self._remote.embed_many(pictures, region)

    def likely(self, extractors: Iterable[Extractor]) -> list[Extractor]:
        """Return the published extractors that the servers' model may be made from, the likeliest first."""
        return self._remote.likely(extractors)

    def is_model(self, data: bytes, *, proofs: Path) -> bool:
        """Return whether a TFLite file is the servers' model. Blocking. Raises EmbeddingError where it can't be used here."""
        return self._remote.is_model(data, proofs=proofs)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Tell what trying again doesn't mend."""
        try:
            yield
        except (embedding_errors.ModelChanged, embedding_errors.ServerDenied) as err:
            if self._on_trouble:
                self._on_trouble(self, err)
            raise

    async def aclose(self) -> None:
        """Take no more pictures."""
        await self._remote.aclose()


@asynccontextmanager
async def open_server_embedder(
    hass: HomeAssistant, settings: EngineSettings, on_trouble: TroubleListener | None = None
) -> AsyncIterator[ServerEmbedder]:
    """Open an engine's model on its servers, with test pictures. Raises EmbeddingError."""
    options = remote.ModelOptions(pixel_range=PIXEL_RANGES[settings.pixel_range])
    notes = cache_folder(hass)
    session, access = _session(hass, settings), _access(settings)
    async with remote.open_remote_embedder(
        settings.servers, settings.extractor, session, access, options, notes=notes
    ) as embedder:
        yield ServerEmbedder(embedder, on_trouble)


async def async_served_models(hass: HomeAssistant, settings: EngineSettings) -> list[str]:
    """Return the names of the models that the first server which answers has; empty where it doesn't tell.

    Raises InvalidAddress for any address that is none; the first server's error where none answers.
    """
    for server in settings.servers:
        remote.Address.parse(server)
    failed: list[EmbeddingError] = []
    for server in settings.servers:
        try:
            return await remote.served_models(server, _session(hass, settings), _access(settings))
        except embedding_errors.ServerError as err:
            failed.append(err)
    if not failed:
        raise embedding_errors.InvalidAddress("none was given", address="")
    raise failed[0]


def _session(hass: HomeAssistant, settings: EngineSettings) -> ClientSession:
    return async_get_clientsession(hass, settings.verify_ssl)


def _access(settings: EngineSettings) -> remote.Access:
    # Certificates are the session's business.
    return remote.Access(token=settings.token)
