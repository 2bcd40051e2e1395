"""The layout descriptor: what it must see and what it must not mind."""

from concurrent.futures import ThreadPoolExecutor

from hypothesis import given, settings, strategies as st
import numpy as np
from numpy.typing import NDArray
from PIL import Image
import pytest

from embedding.pictures.layout import LENGTH, SIZE, describe, join
from tests.embedding.sample_pictures import scene

Pixels = NDArray[np.uint8]


def room(seed: int = 3) -> Pixels:
    """Draw a textured background."""
    return np.asarray(scene(*SIZE, seed=seed)) // 2 + np.uint8(40)


def with_box(at: tuple[int, int], colour: tuple[int, int, int] = (200, 60, 40)) -> Pixels:
    """Put a box of 20 × 20 pixels into the room."""
    pixels = room().copy()
    pixels[at[1] : at[1] + 20, at[0] : at[0] + 20] = colour
    return pixels


def likeness(one: Pixels, other: Pixels) -> float:
    """Cosine of two pictures' descriptors."""
    return float(describe(one) @ describe(other))


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 256), st.sampled_from([1, 2, 8, 64]))
def test_is_a_unit_vector(seed: int, levels: int, grain: int) -> None:
    """Any picture has a finite vector of the promised length, shape and type."""
    tile = np.random.default_rng(seed).integers(0, levels, (64 // grain, 64 // grain, 3), dtype=np.uint8)
    vector = describe(tile.repeat(grain, 0).repeat(grain, 1))
    assert vector.shape == (LENGTH,)
    assert vector.dtype == np.float32
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 0, 1), (128, 128, 128)])
def test_flat_pictures(colour: tuple[int, int, int]) -> None:
    """A picture of one colour has a vector too, and no gradients."""
    vector = describe(np.full((*SIZE, 3), colour, np.uint8))
    assert np.isfinite(vector).all()
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
    assert not vector[:1764].any()


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((64, 64), np.uint8), np.zeros((32, 64, 3), np.uint8), np.zeros((64, 64, 3), np.float32)],
    ids=["grey", "size", "type"],
)
def test_refuses(pixels: Pixels) -> None:
    """Another shape or type is no picture of ours."""
    with pytest.raises(ValueError, match="Expected"):
        describe(pixels)


def test_sees_where_a_thing_is() -> None:
    """The same box elsewhere is further away than the same box in noise or a pixel aside."""
    still = with_box((8, 8))
    moved = with_box((36, 32))
    noise = np.random.default_rng(1).integers(-4, 5, still.shape)
    noisy = np.clip(still.astype(int) + noise, 0, 255).astype(np.uint8)
    aside = with_box((9, 8))
    for harmless in (noisy, aside):
        assert 1 - likeness(still, harmless) < (1 - likeness(still, moved)) / 4


def test_sees_colour() -> None:
    """A box of another colour, as bright, in the same place is another picture."""
    red, blue = with_box((20, 20), (200, 60, 40)), with_box((20, 20), (40, 88, 210))
    noise = np.random.default_rng(1).integers(-4, 5, red.shape)
    noisy = np.clip(red.astype(int) + noise, 0, 255).astype(np.uint8)
    assert 1 - likeness(red, noisy) < (1 - likeness(red, blue)) / 2


@pytest.mark.parametrize("gain", [0.6, 0.8, 1.25])
def test_minds_brightness_less_than_content(gain: float) -> None:
    """A cloud before the sun changes less than a box that moves."""
    still = with_box((8, 8))
    clouded = np.clip(still * gain, 0, 255).astype(np.uint8)
    assert 1 - likeness(still, clouded) < (1 - likeness(still, with_box((36, 32)))) / 2


def test_mirrored_is_another_picture() -> None:
    """Left and right differ."""
    still = with_box((4, 20))
    assert likeness(still, np.ascontiguousarray(still[:, ::-1])) < 0.95


def test_gradients_follow_their_definition() -> None:
    """Votes of a vertical edge go to one orientation, of the cells at the edge only."""
    pixels = np.zeros((*SIZE, 3), np.uint8)
    pixels[:, 32:] = 255
    blocks = describe(pixels)[:1764].reshape(7, 7, 4, 9)
    assert blocks[..., 0].any()
    assert not blocks[..., 1:].any()
    assert blocks[:, 2:5].any()
    assert not blocks[:, :2].any()
    assert not blocks[:, 5:].any()


def test_is_bit_for_bit_the_same_from_any_thread() -> None:
    """Calls don't disturb each other."""
    pictures = [np.asarray(Image.fromarray(room(seed))) for seed in range(16)]
    alone = [describe(pixels).tobytes() for pixels in pictures]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(8):
            assert [vector.tobytes() for vector in pool.map(describe, pictures)] == alone


def test_does_not_touch_its_input() -> None:
    """The pixels stay as they are, and may be read-only."""
    pixels = room().copy()
    before = pixels.copy()
    pixels.flags.writeable = False
    describe(pixels)
    assert (pixels == before).all()


class TestJoin:
    """Network and layout in one vector."""

    @given(st.integers(1, 64), st.floats(0.05, 4), st.integers(0, 2**32 - 1))
    def test_cosine_is_the_weighted_mean(self, length: int, weight: float, seed: int) -> None:
        """The cosine of joined vectors is the mean of their parts' cosines, weighted by the square."""
        chance = np.random.default_rng(seed)
        networks = chance.normal(size=(2, length)).astype(np.float32) * 7
        layouts = chance.normal(size=(2, LENGTH)).astype(np.float32)
        beside = np.where(np.arange(LENGTH) < LENGTH - 128, 1, 2.8).astype(
            np.float32
        )  # palettes come last, and weigh more
        one, other = (join(network, layout, weight) for network, layout in zip(networks, layouts, strict=True))
        assert one.dtype == np.float32
        assert np.linalg.norm(one) == pytest.approx(1, abs=1e-5)
        cosines = [
            float(pair[0] @ pair[1] / np.linalg.norm(pair[0]) / np.linalg.norm(pair[1]))
            for pair in (networks, layouts * beside)
        ]
        expected = (cosines[0] + weight**2 * cosines[1]) / (1 + weight**2)
        assert float(one @ other) == pytest.approx(expected, abs=1e-4)

    def test_alone(self) -> None:
        """Without a network, the layout is all there is."""
        layout = describe(room())
        assert np.allclose(join(None, layout * 3), layout, atol=1e-6)

    def test_dead_network(self) -> None:
        """A network that says nothing (all zeros) leaves the layout."""
        joined = join(np.zeros(8, np.float32), describe(room()))
        assert np.linalg.norm(joined) == pytest.approx(1, abs=1e-5)
        assert not joined[:8].any()
