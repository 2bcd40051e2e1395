"""An unchanged picture is not embedded again; a changed one always is."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
import pytest

from embedding import Region, Seen, Wanted, open_embedder, thumbnail, thumbnail_change
from embedding.runtimes.portable.portable_runtime import PortableRuntime
from tests.embedding import sample_pictures
from tests.embedding.graphs import restart_random, separable

LEFT = Region(0, 0, 0.5, 1)
RIGHT = Region(0.5, 0, 1, 1)


def encode(pixels: NDArray[np.uint8]) -> bytes:
    return sample_pictures.encode(Image.fromarray(pixels))


def street(seed: int, noise: float = 3.0, level: float = 0.0) -> NDArray[np.uint8]:
    """Return pixels of a still scene with a camera's noise."""
    across, down = np.meshgrid(np.linspace(0, 12, 320), np.linspace(0, 9, 240))
    still = 110 + 50 * np.sin(across)[..., None] * np.cos(down)[..., None] + np.array([0, 8, -8])
    noisy = still + level + np.random.default_rng(seed).normal(0, noise, still.shape)
    pixels: NDArray[np.uint8] = noisy.clip(0, 255).astype(np.uint8)
    return pixels


def with_a_thing(pixels: NDArray[np.uint8], at: tuple[int, int], side: int = 20) -> NDArray[np.uint8]:
    """Put a bright square somewhere."""
    changed = pixels.copy()
    changed[at[1] : at[1] + side, at[0] : at[0] + side] = 230
    return changed


@contextmanager
def counted_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Count what the network is given."""
    calls: list[int] = []
    real = PortableRuntime.embed

    def counted(self: PortableRuntime, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        calls.append(pixels.size)
        return real(self, pixels)

    monkeypatch.setattr(PortableRuntime, "embed", counted)
    yield calls


def test_a_thumbnail_is_the_mean_of_its_cells() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    small = thumbnail(pixels)
    assert small.shape == (16, 16, 3)
    assert small.dtype == np.float32
    assert small[3, 5] == pytest.approx(pixels[12:16, 20:24].reshape(-1, 3).mean(axis=0), abs=1e-3)
    assert thumbnail(np.full((64, 64, 3), 255, np.uint8)).max() == pytest.approx(255)


def test_change_is_that_of_the_cell_that_changed_most() -> None:
    before = np.zeros((16, 16, 3), np.float32)
    after = before.copy()
    assert thumbnail_change(before, after) == 0
    after[7, 7, 1] = 51
    after[2, 2, 0] = 12
    assert thumbnail_change(before, after) == pytest.approx(20)
    assert thumbnail_change(after, before) == pytest.approx(20), "darker counts as brighter does"
    assert thumbnail_change(before, np.full((16, 16, 3), 255, np.float32)) == pytest.approx(100)


async def test_noise_is_no_change_and_a_thing_in_a_corner_is() -> None:
    async with open_embedder() as embedder:
        (first,) = await embedder.see(encode(street(1)), [Wanted(LEFT)])
        assert not first.reused
        (noisy,) = await embedder.see(encode(street(2)), [Wanted(LEFT, first, 4.0)])
        assert noisy.reused and noisy.vector is first.vector and noisy.thumbnail is first.thumbnail
        corner = encode(with_a_thing(street(3), (0, 220)))
        (changed,) = await embedder.see(corner, [Wanted(LEFT, first, 4.0)])
        assert not changed.reused
        assert np.array_equal(changed.vector, await embedder.embed(corner, LEFT))
        elsewhere = encode(with_a_thing(street(3), (250, 100), 60))
        (same,) = await embedder.see(elsewhere, [Wanted(LEFT, first, 4.0)])
        assert same.reused, "what is outside the region does not matter"
        (always,) = await embedder.see(encode(street(1)), [Wanted(LEFT, first, 0.0)])
        assert not always.reused, "0 never reuses, not even an equal one"


async def test_slow_drift_is_noticed_in_the_end() -> None:
    """What was embedded is compared, not the last picture: small steps add up."""
    embedded = []
    async with open_embedder() as embedder:
        seen: Seen | None = None
        for level in range(0, 25, 2):
            picture = encode(street(0, noise=0, level=level))
            (seen,) = await embedder.see(picture, [Wanted(LEFT, seen, 4.0)])
            if not seen.reused:
                embedded.append(level)
    assert len(embedded) in {2, 3}
    assert embedded[0] == 0
    assert 10 <= embedded[1] <= 14, "4 % of 255 are 10.2"


async def test_only_what_changed_is_given_to_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    restart_random()
    path = tmp_path / "small.tflite"
    path.write_bytes(separable("uint8", 32, 32, 16))
    async with open_embedder(path, "portable") as embedder:
        left, right = await embedder.see(encode(street(1)), [Wanted(LEFT), Wanted(RIGHT)])
        changed = encode(with_a_thing(street(2), (250, 100)))
        with counted_network(monkeypatch) as calls:
            again = await embedder.see(changed, [Wanted(LEFT, left, 4.0), Wanted(RIGHT, right, 4.0)])
        assert [seen.reused for seen in again] == [True, False]
        assert len(calls) == 1
        assert embedder.frames == 2
        await embedder.see(changed, [Wanted(LEFT, left, 4.0)])
        assert embedder.frames == 2, "a picture of which nothing was embedded isn't counted"
