"""Whether a camera still looks where it did when it was taught: the background of whole frames, compared part by part.

Edges of a frame are maps of doubled gradient angles, each of a length between 0 and 1 that hardly depends on contrast: light
that turns, night that makes dark of bright, leave them alike. What stays where it is in all examples adds up in their mean,
what comes and goes averages out. Each part of that mean is looked for in a frame, where it was and around; parts that are found
elsewhere, and agree on one shift, turn and zoom, say that the camera was moved. Light, snow and cars move nothing coherently.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

_SIDE: Final = 64
_STEP: Final = 8
"""Width and height of a cell, in pixels; a part is two by two of them."""
_REACH: Final = 8
"""How far a part is looked for in each direction, in pixels: an eighth of the frame."""
_NOISE: Final = np.float32(10)
"""Gradient (of square roots of luma, 0..255) that is half noise."""
_TEXTURED: Final = 2.5
"""Length of a part's edges under which there is nothing to recognise."""
_ALIKE: Final = 0.35
"""Correlation (-1..1) from which a part counts as found."""
_CERTAIN: Final = 0.5
"""Correlation from which it need not be looked for elsewhere."""
_TOLERANCE: Final = 1.3
"""Pixels that a part may be off a common motion."""
_STILL: Final = 1.75
"""Motion at the frame's corners, in pixels, that is no motion yet: 2.7 % of the frame."""
_MOST_TURN: Final = 0.35
"""Largest turn (radians) and zoom (share) that is looked for."""
_SURE: Final = 0.9
"""Share of each class's examples that have to be recognised where a frame that isn't is to mean anything."""
_FAR: Final = 24
"""Pixels between two parts that a turn and zoom is tried from."""
_TRIED: Final = 96
_FOUND: Final = 6
"""Parts that have to agree."""
_SHARE: Final = 0.5
"""Share of the parts found, or of those with texture, that have to agree."""
_LEAD: Final = 3
"""How many more parts must have moved than stayed."""

MIN_EXAMPLES: Final = 3
"""Fewer frames don't tell background from what stands before it."""

_CORNERS: Final = np.array([-28 - 28j, 28 - 28j, 28 + 28j, -28 + 28j])


class BackgroundPlace(StrEnum):
    """Where a frame shows the background."""

    SAME = "same"
    ELSEWHERE = "elsewhere"
    NOWHERE = "nowhere"
    """It isn't found, though it was in nearly every example: night, fog, snow, or a camera that was moved a lot."""
    UNCLEAR = "unclear"
    """It isn't found, and wasn't in each example either: something large stands before it now and then."""


class Sighting(NamedTuple):
    """What one frame says."""

    place: BackgroundPlace
    motion: float = 0.0
    """How far the frame's corners moved at most, as a share of the frame; 0 where they didn't, or it can't be told."""


def edges(luma: NDArray[np.uint8]) -> NDArray[np.complex64]:
    """Return a frame's edges: doubled angles of gradients, (64, 64) complex64, each of a length of 0..1.

    ``luma``: (64, 64) uint8, as `Condition.luma`.
    """
    level = _LEVEL.take(luma)
    gradient = np.zeros((_SIDE, _SIDE), np.complex64)
    gradient.real[:, 1:-1] = level[:, 2:] - level[:, :-2]
    gradient.imag[1:-1] = level[2:] - level[:-2]
    square = gradient.real**2 + gradient.imag**2
    # z² has the doubled angle and the length |z|²; of which |z| / √(|z|² + noise²) is left.
    scaled: NDArray[np.complex64] = gradient * gradient / np.sqrt(square * (square + _NOISE**2) + np.float32(1e-12))
    return scaled


class Background:
    """What taught frames have in common. Never changes."""

    def __init__(self, mean: NDArray[np.complex64], *, sure: bool = False) -> None:
        """Take the mean of the examples' edges, (64, 64) complex64, and whether nearly each of them shows it."""
        self._sure = sure
        self._mean = _cells(mean)
        self._lengths = np.sqrt(_parts(_energy(self._mean)))
        self._textured = self._lengths > _TEXTURED

    @property
    def recognisable(self) -> bool:
        """Whether there is enough to recognise."""
        return int(self._textured.sum()) >= _FOUND

    def find(self, frame: NDArray[np.complex64]) -> Sighting:
        """Say where a frame (its `edges`) shows this background.

        Cheap (0.1 ms) as long as it is where it was; some 5 ms otherwise.
        """
        if self.stays(frame):
            return Sighting(BackgroundPlace.SAME)
        return self._search(frame)

    def stays(self, frame: NDArray[np.complex64], alike_from: float = _CERTAIN) -> bool:
        """Return whether most of the background is where it was, without looking elsewhere."""
        alike = self._alike(_cells(frame))[self._textured]
        return int((alike > alike_from).sum()) >= max(_FOUND, _SHARE * alike.size)

    def _alike(self, frames: NDArray[np.complex64]) -> NDArray[np.float32]:
        """Correlate frames (…, 8, 8, 8, 8), in cells, with the parts: (…, 7, 7), -1..1."""
        together = _parts(
            np.einsum("...aibj,aibj->...ab", frames.real, self._mean.real)
            + np.einsum("...aibj,aibj->...ab", frames.imag, self._mean.imag)
        )
        correlation: NDArray[np.float32] = together / (np.sqrt(_parts(_energy(frames))) * self._lengths + _TINY)
        return correlation

    def _search(self, frame: NDArray[np.complex64]) -> Sighting:
        """Look for each part around where it was, and for one motion that explains where most are."""
        # Shifted by -8 … 8 pixels in both directions: views of one padded copy.
        shifted = np.lib.stride_tricks.sliding_window_view(np.pad(frame, _REACH), frame.shape)
        alike = np.stack([self._alike(_cells(row)) for row in shifted])
        alike = alike.reshape(-1, self._textured.size)[:, self._textured.ravel()]
        found = alike.max(axis=0) > _ALIKE
        down, across = np.divmod(alike.argmax(axis=0)[found], 2 * _REACH + 1)
        moved = across + 1j * down - _REACH * (1 + 1j)
        sighting = _judge(_CENTRES[self._textured.ravel()][found], moved)
        return (
            Sighting(BackgroundPlace.NOWHERE) if self._sure and sighting.place is BackgroundPlace.UNCLEAR else sighting
        )


def learn(classes: Sequence[Sequence[NDArray[np.complex64]]]) -> Background | None:
    """Return what taught frames (their `edges`, by class) have in common; None where that doesn't tell where a camera looks.

    It doesn't where there is a single class: what is in all its frames may be what makes the class. Nor where most frames of some
    class aren't recognised by what all others have in common: then there is hardly any background, and nothing can be said of
    other frames. Classes weigh the same, however many frames they have.
    """
    taught = [np.stack(frames) for frames in classes if len(frames)]
    if len(taught) < 2 or sum(len(frames) for frames in taught) < MIN_EXAMPLES:
        return None
    totals = [frames.sum(axis=0) for frames in taught]
    means = [total / np.float32(len(frames)) for total, frames in zip(totals, taught, strict=True)]
    mean = np.mean(means, axis=0)
    if not Background(mean).recognisable:
        return None
    shares = []
    for index, (total, frames) in enumerate(zip(totals, taught, strict=True)):
        others = means[:index] + means[index + 1 :]
        recognised = 0
        for own in frames:  # each by the others alone
            rest = [(total - own) / np.float32(len(frames) - 1)] if len(frames) > 1 else []
            recognised += Background(np.mean(others + rest, axis=0)).stays(own, _ALIKE)
        shares.append(recognised / len(frames))
    return Background(mean, sure=min(shares) >= _SURE) if min(shares) > _SHARE else None


def _judge(at: NDArray[np.complex128], moved: NDArray[np.complex128]) -> Sighting:
    """Judge from where parts are (from the frame's centre, pixels) and how far each was found from there.

    Tries the motions that single parts (a shift) and pairs (turn, zoom and shift) speak for; that with most consent counts.
    """
    count = len(at)
    if count < _FOUND:
        return Sighting(BackgroundPlace.UNCLEAR)
    one, two = np.triu_indices(count, 1)
    far = np.flatnonzero(np.abs(at[one] - at[two]) >= _FAR)
    far = far[:: max(1, len(far) // _TRIED)]
    one, two = one[far], two[far]
    turns = (moved[one] - moved[two]) / (at[one] - at[two])
    shifts = moved[one] - turns * at[one]
    small = np.abs(turns) < _MOST_TURN
    turns = np.concatenate((np.zeros(count), turns[small]))
    shifts = np.concatenate((moved, shifts[small]))
    agree = np.abs(turns[:, None] * at + shifts[:, None] - moved) < _TOLERANCE
    best = agree[agree.sum(axis=1).argmax()]
    consent, stayed = int(best.sum()), int((np.abs(moved) < _TOLERANCE).sum())
    turn, shift = _fit(at[best], moved[best])
    motion = float(np.abs(turn * _CORNERS + shift).max())
    if consent >= max(_FOUND, _SHARE * count, stayed + _LEAD) and motion > _STILL:
        return Sighting(BackgroundPlace.ELSEWHERE, motion / _SIDE)
    if stayed >= max(_FOUND, _SHARE * count) and motion <= _STILL:
        return Sighting(BackgroundPlace.SAME)
    return Sighting(BackgroundPlace.UNCLEAR)


def _fit(at: NDArray[np.complex128], moved: NDArray[np.complex128]) -> tuple[complex, complex]:
    """Return the turn and zoom, and the shift, that explain motions best (least squares)."""
    centre, mean = at.mean(), moved.mean()
    around = at - centre
    turn = (around.conj() * (moved - mean)).sum() / ((around.conj() * around).sum() + _TINY)
    return complex(turn), complex(mean - turn * centre)


def _cells(frames: NDArray[np.complex64]) -> NDArray[np.complex64]:
    """Divide frames (…, 64, 64) into cells: (…, 8, 8, 8, 8), row and column of the cell first and third."""
    cells: NDArray[np.complex64] = frames.reshape(*frames.shape[:-2], _SIDE // _STEP, _STEP, _SIDE // _STEP, _STEP)
    return cells


def _energy(cells: NDArray[np.complex64]) -> NDArray[np.float32]:
    """Return each cell's sum of squares."""
    energy: NDArray[np.float32] = np.einsum("...aibj,...aibj->...ab", cells.real, cells.real)
    energy += np.einsum("...aibj,...aibj->...ab", cells.imag, cells.imag)
    return energy


def _parts(cells: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sum cells (…, 8, 8) to parts of two by two, (…, 7, 7)."""
    lines = cells[..., 1:, :] + cells[..., :-1, :]
    parts: NDArray[np.float32] = lines[..., 1:] + lines[..., :-1]
    return parts


_TINY: Final = np.float32(1e-3)
_LEVEL: Final = (np.sqrt(np.arange(256, dtype=np.float32)) * np.float32(16)).astype(np.float32)
_STARTS: Final = np.arange(0, _SIDE - 2 * _STEP + 1, _STEP)
_CENTRES: Final = (_STARTS + 1j * _STARTS[:, None]).ravel() + (_STEP - _SIDE / 2) * (1 + 1j)
