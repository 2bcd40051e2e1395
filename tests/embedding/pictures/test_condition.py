"""What a whole frame says of its camera: black, blinded, or fit to be looked at, by real frames too."""

import asyncio
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
import pytest

from embedding import WHOLE, Region, Seen, Wanted, measure_picture, open_embedder
from embedding.pictures.condition import Condition, measure
from embedding.pictures.decoding import cut
from embedding.pictures.layout import describe
from embedding.preparation import prepare, views
from tests.embedding.sample_pictures import scene

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"
GENUINE = sorted(DATA.glob("*/*/*.jpg"))
NIGHTS = sorted((DATA / "amos-day-night" / "night").glob("*.jpg"))
needs_data = pytest.mark.skipif(not GENUINE, reason="needs the pictures in ../shared/data")

DULL: dict[str, tuple[Callable[[NDArray[np.float64]], NDArray[np.float64]], str]] = {
    "no light": (lambda noise: 4 + noise, "black"),
    "no light, much gain": (lambda noise: 12 + 4 * noise, "black"),
    "sun in the lens": (lambda noise: 252 + noise, "blinded"),
    "a covered lens": (lambda noise: 120 + 2 * noise, "blinded"),
    "fog": (lambda noise: 190 + noise + np.linspace(0, 8, noise.shape[1])[:, None], "blinded"),
}


def jpeg(pixels: NDArray[np.float64] | NDArray[np.uint8], quality: int = 80) -> bytes:
    buffer = BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).round().astype(np.uint8)).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def verdict(condition: Condition) -> str:
    return "black" if condition.black else "blinded" if condition.blinded else "fit"


@pytest.mark.parametrize(("make", "expected"), DULL.values(), ids=DULL)
def test_dull_frames(make: Callable[[NDArray[np.float64]], NDArray[np.float64]], expected: str) -> None:
    """Noise makes nothing visible, and neither does a burnt-in clock."""
    noise = np.random.default_rng(1).normal(0, 2, (480, 640, 3))
    pixels = make(noise)
    assert verdict(measure_picture(jpeg(pixels))) == expected
    pixels[8:28, 8:200] = 255 - np.round(pixels.mean() / 255) * 255
    assert verdict(measure_picture(jpeg(pixels))) == expected


def test_a_lit_window_in_the_dark_is_something() -> None:
    pixels = np.random.default_rng(1).normal(3, 2, (480, 640, 3))
    pixels[100:220, 100:260] = 90
    assert verdict(measure_picture(jpeg(pixels))) == "fit"


@needs_data
def test_no_genuine_frame_is_called_dull() -> None:
    pictures = GENUINE[:: max(1, len(GENUINE) // 600)] + NIGHTS
    assert len(pictures) > 600
    called = {path.name: verdict(measure_picture(path.read_bytes())) for path in pictures}
    assert {name: found for name, found in called.items() if found != "fit"} == {}


@needs_data
def test_genuine_nights_without_their_light_are_black() -> None:
    for path in NIGHTS[::20]:
        pixels = np.asarray(Image.open(path).convert("RGB"), np.float64)
        assert verdict(measure_picture(jpeg(pixels * 0.08))) == "black", path.name


def test_measured_from_the_decode_of_the_look_itself() -> None:
    """Whatever the region, the whole frame is measured; and what is embedded is the same with it cut beside it."""
    picture = jpeg(np.asarray(scene(640, 360)))
    alone = measure_picture(picture)
    for region in (WHOLE, Region(0.1, 0.2, 0.5, 0.9)):
        for network in (None, (224, 224)):
            (prepared,) = prepare(picture, [region], network)
            pixels = cut(picture, views(region, network))
            assert np.array_equal(prepared.layout, describe(pixels[0]))
            assert network is None or np.array_equal(prepared.pixels, pixels[1])  # type: ignore[arg-type]
            assert np.abs(prepared.condition.luma.astype(int) - alone.luma).max() <= 24
            assert prepared.condition.ends == pytest.approx(alone.ends, abs=6)


def test_of_the_picture_in_hand_even_where_an_earlier_embedding_is_taken() -> None:
    async def run() -> tuple[Seen, Seen]:
        async with open_embedder() as embedder:
            (first,) = await embedder.see(jpeg(np.full((64, 64, 3), 3)), [Wanted(WHOLE)])
            (second,) = await embedder.see(jpeg(np.full((64, 64, 3), 250)), [Wanted(WHOLE, first, 101)])
            return first, second

    first, second = asyncio.run(run())
    assert second.reused and second.vector is first.vector
    assert (verdict(first.condition), verdict(second.condition)) == ("black", "blinded")


def test_luma() -> None:
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:32] = (255, 0, 0)
    pixels[32:] = (0, 0, 255)
    luma = measure(pixels).luma
    assert luma.dtype == np.uint8 and luma.shape == (64, 64)
    assert set(luma[:32].ravel()) == {76} and set(luma[32:].ravel()) == {28}
