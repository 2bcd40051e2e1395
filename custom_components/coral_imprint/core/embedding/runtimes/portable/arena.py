"""One block of memory for all buffers: those that are never alive together share their place."""

import numpy as np
from numpy.typing import NDArray

_ALIGNMENT = 16
"""Floats in a cache line of 64 bytes."""


def _lowest_gap(starts: NDArray[np.int64], ends: NDArray[np.int64], size: int) -> int:
    """Return the lowest place where ``size`` floats are free between occupied stretches, which may overlap."""
    order = np.argsort(starts)
    reached = np.concatenate(([0], np.maximum.accumulate(ends[order])))
    gaps = np.flatnonzero(starts[order] - reached[:-1] >= size)
    return int(reached[gaps[0]] if gaps.size else reached[-1])


class Arena:
    """Buffers of float32: reserved with the steps that they live from and to, then allocated at once."""

    def __init__(self) -> None:
        """Start empty."""
        self._sizes: list[int] = []
        self._lives: list[tuple[int, int]] = []
        self._offsets: list[int] = []
        self._total = 0
        self._block: NDArray[np.float32] = np.empty(0, np.float32)

    def reserve(self, size: int, first: int, last: int) -> int:
        """Ask for ``size`` floats from step ``first`` to step ``last``, both included; returns the buffer's number."""
        self._sizes.append(-(-size // _ALIGNMENT) * _ALIGNMENT)
        self._lives.append((first, last))
        return len(self._sizes) - 1

    def place(self) -> int:
        """Place the buffers, the largest first, each at the lowest place that is free all its life; returns the floats needed."""
        self._offsets = [0] * len(self._sizes)
        order = sorted(range(len(self._sizes)), key=lambda number: -self._sizes[number])
        lives = np.array([self._lives[number] for number in order], np.int64).reshape(-1, 2)
        starts, ends = np.zeros((2, len(order)), np.int64)
        for place, number in enumerate(order):
            together = (lives[:place, 0] <= lives[place, 1]) & (lives[:place, 1] >= lives[place, 0])
            starts[place] = _lowest_gap(starts[:place][together], ends[:place][together], self._sizes[number])
            ends[place] = starts[place] + self._sizes[number]
            self._offsets[number] = int(starts[place])
        self._total = int(ends.max(initial=0))
        return self._total

    def allocate(self) -> None:
        """Allocate the block, which begins at the beginning of a cache line."""
        block = np.zeros(self._total + _ALIGNMENT, np.float32)
        start = -(block.ctypes.data // 4) % _ALIGNMENT
        self._block = block[start : start + self._total]

    def array(self, number: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Return a buffer, or the beginning of it, in a shape."""
        offset = self._offsets[number]
        return self._block[offset : offset + int(np.prod(shape))].reshape(shape)

    @property
    def size(self) -> int:
        """Floats in the block."""
        return self._block.size
