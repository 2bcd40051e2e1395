"""Drawn pictures of nothing in particular, embedded once per lens: what looks at known things are told from.

They need some seconds of a thread, and are kept in Home Assistant's cache folder.
"""

from collections.abc import Iterator, Sequence
from itertools import batched
from typing import Final

from homeassistant.core import HomeAssistant
import numpy as np

from .embedding import CLUTTER_VERSION, WHOLE, Region, drawn_clutter
from .imprinting import Bank, EmbeddingCache, StoreFailed, make_bank
from .lens import Lens
from .models import cache_folder

COUNT: Final = 400
_SIDE: Final = 192
"""Longer side of the drawn pictures, in pixels."""
_FRAME: Final = 16 / 9
"""Width over height of a camera's frame, usually."""
_BATCH: Final = 8
_FOLDER: Final = "clutter"


def _key(number: int) -> bytes:
    return number.to_bytes(16, "big")


def _size(region: Region) -> tuple[int, int]:
    """Return the size of pictures in the region's shape, within one to three."""
    shape = min(3.0, max(1 / 3, region.width * _FRAME / region.height))
    return (_SIDE, round(_SIDE / shape)) if shape > 1 else (round(_SIDE * shape), _SIDE)


async def async_make_bank(hass: HomeAssistant, lens: Lens) -> Bank:
    """Return the bank of a lens: from the cache, or drawn and embedded, which goes on where it was cancelled.

    Raises EmbeddingError, StoreFailed.
    """
    fingerprint = f"{lens.fingerprint}/clutter{CLUTTER_VERSION}"
    folder = cache_folder(hass) / _FOLDER
    cache = await hass.async_add_executor_job(EmbeddingCache, folder, fingerprint, lens.length)
    if len(cache) < COUNT:
        drawn = batched(enumerate(drawn_clutter(COUNT, _size(lens.region))), _BATCH, strict=False)
        while batch := await hass.async_add_executor_job(_next, drawn):
            missing = [(number, picture) for number, picture in batch if cache.get(_key(number)) is None]
            # The drawn picture is all region.
            vectors = [(number, await lens.embedder.embed(picture, WHOLE)) for number, picture in missing]
            await hass.async_add_executor_job(_keep, cache, vectors)
    found = [vector for number in range(COUNT) if (vector := cache.get(_key(number))) is not None]
    return await hass.async_add_executor_job(make_bank, np.stack(found))


def _next(drawn: Iterator[tuple[tuple[int, bytes], ...]]) -> tuple[tuple[int, bytes], ...]:
    return next(drawn, ())


def _keep(
    cache: EmbeddingCache, vectors: Sequence[tuple[int, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]]
) -> None:
    for number, vector in vectors:
        try:
            cache.put(_key(number), vector)
        except StoreFailed:
            continue  # kept in memory, and drawn again after a restart
