"""What every embedder does by itself, wherever the network runs: cut a picture, describe its layout, name the result, take the time."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
import hashlib
import math
import statistics
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .errors import NotAPicture
from .pictures import layout
from .pictures.condition import VIEW as WHOLE_FRAME, Condition, measure
from .pictures.decoding import VERSION as FRAME_VERSION, Region, View, cut
from .pictures.thumbnail import change, thumbnail

TIMED_FRAMES: Final = 32
"""How many of the last frames the time per frame is the median of."""


class Seen(NamedTuple):
    """One region of a picture, embedded."""

    vector: NDArray[np.float32]
    """The embedding, (length,), of length 1."""
    thumbnail: NDArray[np.float32]
    """What was embedded, at 16 × 16: see `thumbnail`. Not of the picture in hand, where an earlier embedding was taken for it."""
    condition: Condition
    """What the whole frame in hand is like."""
    reused: bool = False
    """Whether it is an earlier picture's, which this one hardly differs from."""


class Wanted(NamedTuple):
    """A region to embed, unless it hardly differs from what was embedded before."""

    region: Region
    before: Seen | None = None
    """By the same embedder, of the same region."""
    least_change: float = 0.0
    """Of the thumbnails, in percent, under which ``before`` is taken; 0: it never is."""


class Prepared(NamedTuple):
    """One region of a picture, ready for a network."""

    pixels: NDArray[np.uint8] | None
    """The network's input, (height, width, 3); None where there is no network."""

    layout: NDArray[np.float32]
    """The layout described, shape (`layout.LENGTH`,)."""

    thumbnail: NDArray[np.float32]
    condition: Condition

    def joined(self, network: NDArray[np.float32] | None) -> NDArray[np.float32]:
        """Return the region's embedding, of length 1, from the network's."""
        return layout.join(network, self.layout)

    def seen(self, network: NDArray[np.float32] | None) -> Seen:
        """Return the region embedded, from the network's embedding of it."""
        return Seen(self.joined(network), self.thumbnail, self.condition)


def views(region: Region, network: tuple[int, int] | None) -> list[View]:
    """Return what is cut from a frame to embed a region: the layout's view, then the network's (by its width and height)."""
    # Nothing of the layout's grid is spent on padding.
    part = [View(region, *layout.SIZE, max_stretch=math.inf)]
    return [*part, View(region, *network)] if network else part


def prepare(picture: bytes, regions: Sequence[Region], network: tuple[int, int] | None) -> list[Prepared]:
    """Cut regions out of a picture, from a single decode, and describe them. ``network``: its width and height.

    Raises NotAPicture.
    """
    parts = prepare_changed(picture, [Wanted(region) for region in regions], network)
    return [part for part in parts if isinstance(part, Prepared)]  # all of them: nothing was seen before


def prepare_changed(picture: bytes, wanted: Sequence[Wanted], network: tuple[int, int] | None) -> list[Prepared | Seen]:
    """Do as `prepare`, but for regions that hardly differ from what was seen before: in their place that is returned.

    Raises NotAPicture.
    """
    asked = [view for one in wanted for view in views(one.region, network)]
    if WHOLE_FRAME not in asked:
        asked.append(WHOLE_FRAME)  # smaller than any region's view asks for: it changes nothing of the others
    pieces = cut(picture, asked)
    condition = measure(pieces[asked.index(WHOLE_FRAME)])
    cuts = iter(pieces)
    prepared: list[Prepared | Seen] = []
    for one in wanted:
        small = next(cuts)
        pixels = next(cuts) if network else None
        seen = thumbnail(small)
        if one.before is not None and change(one.before.thumbnail, seen) < one.least_change:
            prepared.append(one.before._replace(condition=condition, reused=True))
        else:
            prepared.append(Prepared(pixels, layout.describe(small), seen, condition))
    return prepared


def file_identity(data: bytes) -> str:
    """Return how embedders call the extractor in a file: 16 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(data).hexdigest()[:16]


def fingerprint(extractor: str, runtime: str, region: Region, *, network: bool) -> str:
    """Return all that an embedding depends on: vectors of different fingerprints must never meet."""
    weight = layout.WEIGHT if network else 1.0
    return "/".join((extractor, runtime, f"frame{FRAME_VERSION}", f"layout{layout.VERSION}x{weight}", region.key))


async def embed_each(
    embed: Callable[[bytes, Region], Awaitable[NDArray[np.float32]]], pictures: Sequence[bytes], region: Region
) -> list[NDArray[np.float32] | NotAPicture]:
    """Embed pictures by ``embed``, all at once; in place of a vector, the error of a picture that is none."""

    async def one(picture: bytes) -> NDArray[np.float32] | NotAPicture:
        try:
            return await embed(picture, region)
        except NotAPicture as error:
            return error

    return list(await asyncio.gather(*(one(picture) for picture in pictures)))


class FrameTimes:
    """How long the last frames took."""

    def __init__(self) -> None:
        """Begin without any."""
        self._last: deque[float] = deque(maxlen=TIMED_FRAMES)
        self.ms: float | None = None
        """The median in milliseconds; None before the first."""

    def add(self, seconds: float) -> None:
        """Take in a frame."""
        self._last.append(seconds * 1e3)
        self.ms = statistics.median(self._last)

    def percentile(self, share: float) -> float | None:
        """Return the milliseconds that a share (0 to 1) of the last frames took at most; None before the first."""
        ordered = sorted(self._last)
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None

    def __len__(self) -> int:
        """Return how many frames it speaks of."""
        return len(self._last)
