"""Drawn foreign pictures: the same every time, all different, and like pictures where it matters."""

from io import BytesIO
from itertools import islice
from pathlib import Path
import subprocess
import sys

import numpy as np
from PIL import Image
import pytest

from embedding.pictures.clutter import Chance, _noise, encoded, pictures
from embedding.pictures.decoding import WHOLE, View, cut


def test_a_picture_depends_on_its_number_size_and_seed_only() -> None:
    first = list(pictures(8, (48, 40)))
    assert [picture.shape for picture in first] == [(40, 48, 3)] * 8
    assert all(picture.dtype == np.uint8 for picture in first)
    for one, again in zip(first, islice(pictures(100, (48, 40)), 8), strict=True):
        assert (one == again).all()
    assert not any((one == other).all() for one, other in zip(first, pictures(8, (48, 40), seed=1), strict=True))


def test_no_two_pictures_are_alike() -> None:
    small = np.stack([picture[::8, ::8].ravel() for picture in pictures(60, (64, 64))]).astype(float)
    apart = np.abs(small[:, None] - small[None]).mean(axis=2)
    np.fill_diagonal(apart, np.inf)
    assert apart.min() > 2


def test_pictures_vary_in_light_colour_and_detail() -> None:
    """There are dark ones and light ones, grey ones and coloured ones, smooth ones and busy ones; and none is empty."""
    drawn = [picture.astype(float) for picture in pictures(120, (64, 64))]
    light = np.array([picture.mean() for picture in drawn])
    colour = np.array([np.ptp(picture.mean(axis=(0, 1))) for picture in drawn])
    detail = np.array([np.abs(np.diff(picture.mean(axis=2), axis=1)).mean() for picture in drawn])
    assert light.min() < 30
    assert light.max() > 150
    assert colour.min() < 4
    assert colour.max() > 60
    assert detail.max() > 8 * detail.min() > 0


@pytest.mark.parametrize("size", [(64, 64), (61, 33), (33, 90)])
def test_encoded_pictures_are_read_as_they_were_drawn(size: tuple[int, int]) -> None:
    for pixels, data in zip(pictures(6, size), encoded(6, size), strict=True):
        with Image.open(BytesIO(data)) as image:
            assert image.size == size
            assert (np.asarray(image.convert("RGB")) == pixels).all()


def test_they_take_the_way_of_a_camera() -> None:
    for data in encoded(6, (160, 120)):
        (view,) = cut(data, [View(WHOLE, 64, 64)])
        assert view.shape == (64, 64, 3)


def test_drawing_does_without_what_takes_memory_to_import() -> None:
    program = "import sys; from embedding.pictures.clutter import pictures; list(pictures(12)); print('numpy.random' in sys.modules)"
    path = str(Path(__file__).parents[3] / "custom_components" / "coral_imprint" / "core")
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, env={"PYTHONPATH": path}, check=True)
    assert found.stdout.strip() == b"False"


def test_chance_draws_evenly() -> None:
    """Noise has the mean, the variance and the neighbours' independence that pictures are made of."""
    noise = Chance("some").noise(300, 400)
    assert noise.shape == (300, 400)
    assert noise.dtype == np.float32
    assert abs(noise.mean()) < 0.02
    assert abs(noise.std() - 1) < 0.02
    assert abs(np.mean(noise[:, 1:] * noise[:, :-1])) < 0.02
    assert (noise != Chance("other").noise(300, 400)).mean() > 0.99


def test_the_spectrum_falls_as_asked() -> None:
    """Clouds' amplitude is 1 / frequency^slope: four times the frequency, an eighth of it at a slope of 1.5."""
    power = np.mean([np.abs(np.fft.rfft2(_noise(Chance(f"{n}"), 64, 64, 1.5))) ** 2 for n in range(40)], axis=0)
    assert np.sqrt(power[0, 4] / power[0, 16]) == pytest.approx(8, rel=0.35)


def test_too_small_a_size_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 32"):
        next(pictures(1, (31, 64)))
    assert not list(pictures(0))
