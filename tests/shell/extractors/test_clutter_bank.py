"""Banks of drawn pictures: made once for all classifiers that can share them, kept on disk, gone with their last user."""

import asyncio
from collections.abc import AsyncIterator
import gc
from pathlib import Path

from homeassistant.core import HomeAssistant
import pytest

from custom_components.coral_imprint.core.embedding import BUILTIN, WHOLE, Embedder, Region, open_embedder
from custom_components.coral_imprint.core.imprinting import EmbeddingCache, StoreFailed
from custom_components.coral_imprint.extractors import clutter_bank
from custom_components.coral_imprint.extractors.clutter_bank import async_make_bank
from custom_components.coral_imprint.extractors.lens import Lens

TALL = Region(0.0, 0.0, 0.3, 1.0)


@pytest.fixture
async def embedder() -> AsyncIterator[Embedder]:
    """Return an embedder; which one makes no difference to banks."""
    async with open_embedder(BUILTIN) as opened:
        yield opened


def lens(embedder: Embedder, region: Region = WHOLE) -> Lens:
    return Lens(BUILTIN, embedder, region)


def kept(hass: HomeAssistant) -> list[Path]:
    """Return the files of all banks."""
    return list(Path(hass.config.cache_path("coral_imprint", "clutter")).glob("*.emb"))


async def test_lenses_of_one_shape_share_a_bank(hass: HomeAssistant, embedder: Embedder) -> None:
    """Also when they ask at the same time, as they do after a start."""
    corner = Region(0.0, 0.5, 0.5, 1.0)
    whole, part = await asyncio.gather(
        async_make_bank(hass, lens(embedder)), async_make_bank(hass, lens(embedder, corner))
    )
    assert whole is part
    assert embedder.frames == clutter_bank.COUNT == len(whole.clutter)
    assert len(kept(hass)) == 1


async def test_another_shape_is_padded_otherwise_and_needs_a_bank_of_its_own(
    hass: HomeAssistant, embedder: Embedder
) -> None:
    whole, tall = await async_make_bank(hass, lens(embedder)), await async_make_bank(hass, lens(embedder, TALL))
    assert (whole.clutter != tall.clutter).any()
    assert len(kept(hass)) == 2


async def test_a_bank_that_nobody_holds_takes_no_memory_and_comes_back_from_disk(
    hass: HomeAssistant, embedder: Embedder
) -> None:
    made = await async_make_bank(hass, lens(embedder))
    centre = made.centre.copy()
    del made
    async with asyncio.timeout(10):
        while hass.data[clutter_bank._BANKS].made:  # the thread that made it may hold it for another moment
            gc.collect()
            await asyncio.sleep(0.01)
    again = await async_make_bank(hass, lens(embedder))
    assert (again.centre == centre).all()
    assert embedder.frames == clutter_bank.COUNT


async def test_what_was_cancelled_goes_on(hass: HomeAssistant, embedder: Embedder) -> None:
    task = hass.async_create_task(async_make_bank(hass, lens(embedder)))
    while embedder.frames < clutter_bank.COUNT // 2:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len((await async_make_bank(hass, lens(embedder))).clutter) == clutter_bank.COUNT
    # The one in hand when it was cancelled may have been lost.
    assert embedder.frames <= clutter_bank.COUNT + 1


async def test_a_disk_that_refuses_costs_nothing_but_time(
    hass: HomeAssistant, embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = EmbeddingCache.put

    def put(self: EmbeddingCache, *args: object) -> None:
        real(self, *args)  # type: ignore[arg-type]
        raise StoreFailed("full")

    monkeypatch.setattr(EmbeddingCache, "put", put)
    assert len((await async_make_bank(hass, lens(embedder))).clutter) == clutter_bank.COUNT


@pytest.mark.parametrize(
    ("region", "size"),
    [
        (WHOLE, (128, 72)),
        (Region(0.25, 0.0, 0.8, 1.0), (96, 96)),
        (TALL, (72, 128)),
        (Region(0.0, 0.0, 0.1, 1.0), (56, 168)),
        (Region(0.0, 0.4, 1.0, 0.9), (168, 56)),
        (Region(0.0, 0.4, 1.0, 0.42), (168, 56)),
    ],
)
def test_pictures_have_about_the_shape_of_the_region(region: Region, size: tuple[int, int]) -> None:
    assert clutter_bank._size(region) == size


def test_sizes_take_alike_much_to_draw() -> None:
    areas = [width * height for width, height in clutter_bank.SIZES]
    assert max(areas) < 1.1 * min(areas)
