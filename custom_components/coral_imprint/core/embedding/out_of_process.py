"""Picture → unit vector where the network runs in another process: decode, region and layout here, the network there."""

from abc import ABC, abstractmethod
import asyncio
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .errors import NotAPicture, RuntimeUnavailable
from .pictures import layout
from .pictures.decoding import WHOLE, Region
from .preparation import FrameTimes, Prepared, Seen, Wanted, embed_each, fingerprint, prepare_changed
from .published.catalogue import Extractor
from .runtimes.choice import Choice

if TYPE_CHECKING:
    from .edgetpu.twins import Likeness


class OutOfProcessEmbedder(ABC):
    """Turns pictures into unit vectors: the face of `Embedder`."""

    runtime: str
    """Family of what executes the network."""

    def __init__(self, extractor: str, size: tuple[int, int], length: int, worker: ThreadPoolExecutor) -> None:
        """Take the network's identity, its input's width and height, its embedding's length, and the thread that decodes."""
        self.extractor = extractor
        """Identity of the extractor."""
        self.choice = Choice("chosen")
        """How the runtime came to be used."""
        self.frames = 0
        """Pictures embedded so far, however many regions of each."""
        self.likeness: Likeness | None = None
        """How alike a device and its twin are; None before that is known, and where there are no two."""
        self._size = size
        self._network_length = length
        self._worker = worker
        self.times = FrameTimes()
        """How long the last pictures took."""
        self._closed = False

    @property
    def connected(self) -> bool | None:
        """Whether the device answers; None where it uses none."""
        return None

    @abstractmethod
    def diagnostics(self) -> dict[str, Any]:
        """Return how what executes the network is."""

    @abstractmethod
    def likely(self, extractors: Iterable[Extractor]) -> list[Extractor]:
        """Return the published extractors that this one may be, the likeliest first."""

    @property
    def ms(self) -> float | None:
        """Milliseconds per picture, decoding and the way to the network and back included: the median of the last ones."""
        return self.times.ms

    @property
    def length(self) -> int:
        """Length of the embedding."""
        return layout.LENGTH + self._network_length

    def fingerprint(self, region: Region = WHOLE) -> str:
        """All that an embedding depends on: vectors of different fingerprints must never meet."""
        return fingerprint(self.extractor, self.runtime, region, network=True)

    async def embed(self, picture: bytes, region: Region = WHOLE) -> NDArray[np.float32]:
        """Embed one region of a picture.

        Returns a float32 vector of shape ``(length,)`` and length 1. Raises as `embed_regions`.
        """
        (vector,) = await self.embed_regions(picture, (region,))
        return vector

    async def embed_regions(self, picture: bytes, regions: Sequence[Region]) -> list[NDArray[np.float32]]:
        """Embed several regions of a picture from a single decode.

        Raises NotAPicture; RuntimeUnavailable once the embedder was closed; and as the way to the network does.
        """
        return [seen.vector for seen in await self.see(picture, [Wanted(region) for region in regions])]

    async def see(self, picture: bytes, wanted: Sequence[Wanted]) -> list[Seen]:
        """Embed several regions of a picture from a single decode, but for those that hardly differ from what was seen before.

        Raises as `embed_regions`.
        """
        if self._closed:
            raise RuntimeUnavailable("the engine was stopped")
        loop = asyncio.get_running_loop()
        start = loop.time()
        parts = await loop.run_in_executor(self._worker, prepare_changed, picture, wanted, self._size)
        found = list(await asyncio.gather(*(self._seen(part) for part in parts)))
        if not all(seen.reused for seen in found):
            self.times.add(loop.time() - start)
            self.frames += 1
        return found

    async def _seen(self, part: Prepared | Seen) -> Seen:
        if isinstance(part, Seen):
            return part
        return part.seen(await self._embed_away(part.pixels) if part.pixels is not None else None)

    async def embed_many(
        self, pictures: Sequence[bytes], region: Region = WHOLE
    ) -> list[NDArray[np.float32] | NotAPicture]:
        """Embed one region of each of many pictures, together.

        In place of a vector, the error of a picture that is none. Raises as `embed_regions` otherwise.
        """
        return await embed_each(self.embed, pictures, region)

    @abstractmethod
    async def _embed_away(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the network's embedding of its input, shape (height, width, 3)."""
