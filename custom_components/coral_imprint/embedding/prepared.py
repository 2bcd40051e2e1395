"""What every embedder does by itself, wherever the network runs: cut a picture, describe its layout, name the result, take the time."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
import math
import statistics
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import layout
from .condition import VIEW as WHOLE_FRAME, Conditions, measure
from .errors import NotAPicture
from .frame import VERSION as FRAME_VERSION, Region, View, cut

TIMED_FRAMES: Final = 32
"""How many of the last frames the time per frame is the median of."""


class Prepared(NamedTuple):
    """One region of a picture, ready for a network."""

    pixels: NDArray[np.uint8] | None
    """The network's input, (height, width, 3); None where there is no network."""

    layout: NDArray[np.float32]
    """The layout described, shape (`layout.LENGTH`,)."""

    def joined(self, network: NDArray[np.float32] | None) -> NDArray[np.float32]:
        """Return the region's embedding, of length 1, from the network's."""
        return layout.join(network, self.layout)


def views(region: Region, network: tuple[int, int] | None) -> list[View]:
    """Return what is cut from a frame to embed a region: the layout's view, then the network's (by its width and height)."""
    # Nothing of the layout's grid is spent on padding.
    part = [View(region, *layout.SIZE, max_stretch=math.inf)]
    return [*part, View(region, *network)] if network else part


def prepare(
    picture: bytes, regions: Sequence[Region], network: tuple[int, int] | None, conditions: Conditions | None = None
) -> list[Prepared]:
    """Cut regions out of a picture, from a single decode, and describe them. ``network``: its width and height.

    ``conditions`` is told what the whole frame is like. Raises NotAPicture.
    """
    asked = [view for region in regions for view in views(region, network)]
    if conditions is not None and WHOLE_FRAME not in asked:
        asked.append(WHOLE_FRAME)  # smaller than any region's view asks for: it changes nothing of the others
    pixels = cut(picture, asked)
    if conditions is not None:
        conditions.note(picture, measure(pixels[asked.index(WHOLE_FRAME)]))
    cuts = iter(pixels)
    prepared = []
    for _ in regions:
        small = next(cuts)
        prepared.append(Prepared(next(cuts) if network else None, layout.describe(small)))
    return prepared


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
