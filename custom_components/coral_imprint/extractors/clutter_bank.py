"""Drawn pictures of nothing in particular, embedded: what looks at known things are told from.

A bank belongs to an embedder and a shape of region, and is shared by all classifiers that have both. Making one takes some
seconds of a thread; the embeddings are kept in Home Assistant's cache folder.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
import logging
import math
from typing import Final
from weakref import WeakValueDictionary

from homeassistant.core import HomeAssistant
from homeassistant.util.hass_dict import HassKey
import numpy as np
from numpy.typing import NDArray

from ..const import DOMAIN
from ..core.embedding import (
    CLUTTER_VERSION,
    WHOLE,
    NotAPicture,
    PictureEmbedder,
    Region,
    drawn_clutter,
    foreign_emphasis,
)
from ..core.imprinting import Bank, EmbeddingCache, StoreFailed, make_bank
from ..settings import cache_folder
from .lens import Lens

_LOGGER = logging.getLogger(__name__)

COUNT: Final = 120
"""Pictures in a bank. With 240, or 400 of twice the size, no more is rejected and no more accepted (`bench/unknown.py`)."""
ASKED: Final = 60
"""Drawn pictures that an evaluation asks for."""
SIZES: Final = ((56, 168), (72, 128), (96, 96), (128, 72), (168, 56))
"""Width and height of drawn pictures, in pixels: that of nearly the region's shape is used, so that both are padded alike."""
_FRAME: Final = 16 / 9
"""Width over height of a camera's frame, usually."""
_FOLDER: Final = "clutter"


@dataclass(frozen=True)
class _Banks:
    """The banks of one Home Assistant."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while a bank is made: one after the other, and each only once."""
    made: WeakValueDictionary[str, Bank] = field(default_factory=WeakValueDictionary)
    """Those that a classifier holds, by fingerprint."""


_BANKS: HassKey[_Banks] = HassKey(f"{DOMAIN}_banks")


def _key(number: int) -> bytes:
    return number.to_bytes(16, "big")


def _size(region: Region) -> tuple[int, int]:
    """Return the size of pictures of about the region's shape."""
    shape = region.width * _FRAME / region.height
    return min(SIZES, key=lambda size: abs(math.log(size[0] / size[1] / shape)))


async def async_make_bank(hass: HomeAssistant, lens: Lens) -> Bank:
    """Return the bank for a lens: one that is in use, or from the cache, or drawn and embedded.

    Where it was cancelled, the next call goes on. The bank lives as long as somebody holds it. Raises EmbeddingError,
    StoreFailed.
    """
    banks = hass.data.setdefault(_BANKS, _Banks())
    size = _size(lens.region)
    # A drawn picture is all region: where in the frame the lens looks makes no difference.
    fingerprint = f"{lens.embedder.fingerprint(WHOLE)}/clutter{CLUTTER_VERSION}x{size[0]}x{size[1]}"
    async with banks.lock:
        if (bank := banks.made.get(fingerprint)) is None:
            folder = cache_folder(hass) / _FOLDER
            cache = await hass.async_add_executor_job(EmbeddingCache, folder, fingerprint, lens.length)
            await _async_fill(hass, cache, lens.embedder, size)
            bank = banks.made[fingerprint] = await hass.async_add_executor_job(_from_cache, cache)
    return bank


async def async_draw_foreign(hass: HomeAssistant, lens: Lens) -> NDArray[np.float32]:
    """Draw and embed pictures that no bank holds, for an evaluation to ask for: shape (`ASKED`, d). Raises EmbeddingError."""
    size = _size(lens.region)
    drawn = await hass.async_add_executor_job(lambda: list(drawn_clutter(ASKED, size, seed=1)))
    found = await lens.embedder.embed_many(drawn, WHOLE)
    return np.stack([vector for vector in found if not isinstance(vector, NotAPicture)])


async def _async_fill(
    hass: HomeAssistant, cache: EmbeddingCache, embedder: PictureEmbedder, size: tuple[int, int]
) -> None:
    """Draw and embed what the cache lacks; looks come in between."""
    drawn = enumerate(drawn_clutter(COUNT, size))
    while len(cache) < COUNT and (picture := await hass.async_add_executor_job(_next_missing, drawn, cache)):
        number, data = picture
        vector = await embedder.embed(data, WHOLE)
        await hass.async_add_executor_job(_keep, cache, number, vector)


def _next_missing(drawn: Iterator[tuple[int, bytes]], cache: EmbeddingCache) -> tuple[int, bytes] | None:
    """Draw up to the next picture that the cache has no embedding of."""
    return next(((number, data) for number, data in drawn if cache.get(_key(number)) is None), None)


def _keep(cache: EmbeddingCache, number: int, vector: NDArray[np.float32]) -> None:
    try:
        cache.put(_key(number), vector)
    except StoreFailed as err:
        # It is kept in memory, and drawn again after a restart.
        _LOGGER.debug("An embedding of a drawn picture could not be kept: %s", err)


def _from_cache(cache: EmbeddingCache) -> Bank:
    found = (cache.get(_key(number)) for number in range(COUNT))
    clutter = np.stack([vector for vector in found if vector is not None])
    return make_bank(clutter, emphasis=foreign_emphasis(clutter.shape[1]))
