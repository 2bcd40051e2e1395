"""When the last embedding will do."""

from dataclasses import dataclass
from time import monotonic

import numpy as np
from numpy.typing import NDArray

from ...core.embedding import Seen, Wanted
from ...extractors.lens import Lens
from ...settings import When
from .engine_resources import EngineResources
from .frames import Frame


@dataclass(frozen=True, slots=True)
class _Kept:
    picture: bytes
    lens: Lens
    seen: Seen
    embedded: float
    """When, by the monotonic clock."""


class ChangeGate:
    """Keeps a classifier's last embedding, and has the next picture embedded only where that may tell something new."""

    def __init__(self, resources: EngineResources) -> None:
        """Know nothing yet."""
        self._resources = resources
        self._kept: _Kept | None = None

    async def async_see(self, lens: Lens, frame: Frame, when: When, *, first: bool) -> Seen | None:
        """Return what is seen of a frame, embedded, or of the one that it hardly differs from; None where it grew stale meanwhile.

        ``first``: before all others' frames. Raises EmbeddingError.
        """
        if (seen := self._same(frame.picture, lens)) is None:
            wanted = self._wanted(lens, when)
            if (seen := await self._resources.queue.async_see(lens, frame, wanted, first=first)) is None:
                return None
            self._keep(frame.picture, lens, seen)
            self._resources.statistics.reused += seen.reused
        else:
            self._resources.statistics.reused += 1
        return seen

    async def async_embed(self, lens: Lens, picture: bytes) -> NDArray[np.float32]:
        """Return the embedding of just this picture. Raises EmbeddingError."""
        if (seen := self._same(picture, lens)) is None:
            (seen,) = await lens.embedder.see(picture, [Wanted(lens.region)])
            self._keep(picture, lens, seen)
        return seen.vector

    def _same(self, picture: bytes, lens: Lens) -> Seen | None:
        """Return what was seen of the very same bytes: decoding them would tell nothing new, however old they are."""
        kept = self._kept
        same = kept and kept.picture == picture and kept.lens == lens and not kept.seen.reused
        return kept.seen if kept and same else None

    def _wanted(self, lens: Lens, when: When) -> Wanted:
        kept = self._kept
        if kept is None or kept.lens != lens or monotonic() - kept.embedded >= when.refresh:
            return Wanted(lens.region)
        return Wanted(lens.region, kept.seen, when.least_change)

    def _keep(self, picture: bytes, lens: Lens, seen: Seen) -> None:
        kept = self._kept
        embedded = kept.embedded if kept and seen.reused else monotonic()
        self._kept = _Kept(picture, lens, seen, embedded)
