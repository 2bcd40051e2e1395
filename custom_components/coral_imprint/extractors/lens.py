"""What turns a classifier's frames into embeddings: an extractor on a region."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..core.embedding import NotAPicture, PictureEmbedder, Region


@dataclass(frozen=True, slots=True)
class Lens:
    """An embedder looking at one region. Embeddings through lenses of different fingerprints never meet."""

    extractor: str
    """The embedder's extractor as engines name it, so that the lens can be made again after a restart."""
    embedder: PictureEmbedder
    region: Region

    @property
    def fingerprint(self) -> str:
        """All that the embeddings depend on."""
        return self.embedder.fingerprint(self.region)

    @property
    def length(self) -> int:
        """Length of the embeddings."""
        return self.embedder.length

    async def embed(self, picture: bytes) -> NDArray[np.float32]:
        """Return the picture's embedding, a float32 unit vector. Raises EmbeddingError."""
        return await self.embedder.embed(picture, self.region)

    async def embed_many(self, pictures: Sequence[bytes]) -> list[NDArray[np.float32] | NotAPicture]:
        """Return the embeddings of many pictures; in place of one, the error of a picture that is none.

        Raises EmbeddingError otherwise.
        """
        return await self.embedder.embed_many(pictures, self.region)
