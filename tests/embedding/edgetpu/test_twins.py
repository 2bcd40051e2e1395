"""Whether two embedders may share a fingerprint."""

from dataclasses import replace
import json
import math

import numpy as np
from numpy.typing import NDArray
import pytest

from embedding.edgetpu.twins import SHARED_LEAST, SHARED_MEAN, Likeness, compare
from embedding.errors import SelfTestFailed
from embedding.pictures import test_pictures

SIZE = (12, 9)


class Turned:
    """Embeds a picture as its mean colours, turned by an angle in a direction that no picture has."""

    def __init__(self, degrees: float = 0.0, scale: float = 1.0, spoil: float | None = None, length: int = 4) -> None:
        """Take the angle, the length of the vectors, and what to put in the place of a number."""
        self._angle = math.radians(degrees)
        self._scale = scale
        self._spoil = spoil
        self._length = length

    async def embed(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed."""
        assert pixels.shape == (SIZE[1], SIZE[0], 3)
        colours = pixels.reshape(-1, 3).mean(axis=0) + 1
        colours /= np.linalg.norm(colours)
        vector = np.zeros(self._length)
        vector[:3] = colours * math.cos(self._angle)
        vector[3] = math.sin(self._angle)
        if self._spoil is not None:
            vector[1] = self._spoil
        return (vector * self._scale).astype(np.float32)


async def test_same() -> None:
    """The same vectors, whatever their length, have cosines of 1."""
    likeness = await compare(Turned(), Turned(scale=7.0), SIZE)
    assert likeness.least == pytest.approx(1)
    assert likeness.may_share


@pytest.mark.parametrize(("degrees", "share"), [(0, True), (8, True), (8.2, False), (20, False), (180, False)])
async def test_angles(degrees: float, share: bool) -> None:
    """The cosines are the angle's, and the limit is at the cosine of 8.1 degrees."""
    likeness = await compare(Turned(), Turned(degrees), SIZE)
    assert likeness.mean == pytest.approx(math.cos(math.radians(degrees)), abs=1e-6)
    assert likeness.may_share is share


def test_one_bad_picture_is_enough() -> None:
    """A good mean does not outweigh a picture that is off."""
    cosines = [1.0] * len(test_pictures.NAMES)
    good = Likeness((*cosines[1:], SHARED_LEAST))
    assert good.mean > SHARED_MEAN and good.may_share
    assert not replace(good, cosines=(*cosines[1:], SHARED_LEAST - 0.001)).may_share


async def test_as_dict() -> None:
    """Diagnostics are JSON, and name each picture."""
    report = json.loads(json.dumps((await compare(Turned(), Turned(5), SIZE)).as_dict()))
    assert set(report["cosines"]) == set(test_pictures.NAMES)
    assert report["may_share"] is True
    assert report["least"] <= report["mean"] <= 1


@pytest.mark.parametrize("other", [Turned(spoil=math.nan), Turned(spoil=math.inf), Turned(scale=0), Turned(length=5)])
async def test_unusable(other: Turned) -> None:
    """What is no embedding can't be compared."""
    with pytest.raises(SelfTestFailed, match="can't be compared"):
        await compare(Turned(), other, SIZE)
