"""What turns pictures into unit vectors, wherever it does: the face of every embedder."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .errors import NotAPicture
from .pictures.decoding import WHOLE, Region
from .preparation import FrameTimes, Seen, Wanted
from .published.catalogue import Extractor
from .runtimes.choice import Choice

if TYPE_CHECKING:
    # Only engines on an Edge TPU load what is about one.
    from .edgetpu.twins import Likeness


class PictureEmbedder(Protocol):
    """An extractor at work: in this process (`Embedder`), on servers (`RemoteEmbedder`) or a device (`EdgeTPUEmbedder`)."""

    @property
    def extractor(self) -> str:
        """Identity of the extractor."""

    @property
    def choice(self) -> Choice:
        """How the runtime came to be used."""

    @property
    def runtime(self) -> str:
        """Family of what executes the network: ``portable``, ``litert``, ``remote``; ``builtin`` where there is no network."""

    @property
    def frames(self) -> int:
        """Pictures embedded so far, however many regions of each."""

    @property
    def ms(self) -> float | None:
        """Milliseconds per picture, decoding included, the median of the last ones; None before the first."""

    @property
    def times(self) -> FrameTimes:
        """How long the last pictures took."""

    @property
    def length(self) -> int:
        """Length of the embedding."""

    @property
    def connected(self) -> bool | None:
        """Whether the device answers; None where it uses none."""

    @property
    def likeness(self) -> "Likeness | None":
        """How alike the device and its twin on the CPU are; None before that is known, and where there are no two."""

    def diagnostics(self) -> dict[str, Any]:
        """Return how the servers or the device are, without addresses; empty where there is neither."""

    def likely(self, extractors: Iterable[Extractor]) -> list[Extractor]:
        """Return the published extractors that this one may be, the likeliest first."""

    def is_model(self, data: bytes, *, proofs: Path) -> bool:
        """Return whether a TFLite file is the extractor that was opened. Blocking.

        ``proofs`` is a folder for notes that runtimes agree. Raises EmbeddingError where the file can't be used here.
        """

    def fingerprint(self, region: Region = WHOLE) -> str:
        """All that an embedding depends on: vectors of different fingerprints must never meet."""

    async def embed(self, picture: bytes, region: Region = WHOLE) -> NDArray[np.float32]:
        """Embed one region of a picture: (length,) float32 of length 1. Raises EmbeddingError."""

    async def embed_regions(self, picture: bytes, regions: Sequence[Region]) -> list[NDArray[np.float32]]:
        """Embed several regions of a picture from a single decode. Raises EmbeddingError."""

    async def see(self, picture: bytes, wanted: Sequence[Wanted]) -> list[Seen]:
        """Embed several regions of a picture from a single decode, but for those that hardly differ from what was seen before.

        Raises EmbeddingError.
        """

    async def embed_many(
        self, pictures: Sequence[bytes], region: Region = WHOLE
    ) -> list[NDArray[np.float32] | NotAPicture]:
        """Embed one region of each of many pictures; in place of a vector, the error of a picture that is none.

        Raises EmbeddingError otherwise.
        """

    async def aclose(self) -> None:
        """Take no more pictures."""
