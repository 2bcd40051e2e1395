"""One block of memory for all buffers: those that are never alive together share their place."""

import numpy as np
from numpy.typing import NDArray

_ALIGNMENT = 16
"""Floats in a cache line of 64 bytes."""


class Arena:
    """Buffers of float32: reserved with the steps that they live from and to, then allocated at once."""

    def __init__(self) -> None:
        """Start empty."""
        self._sizes: list[int] = []
        self._lives: list[tuple[int, int]] = []
        self._offsets: list[int] = []
        self._block: NDArray[np.float32] = np.empty(0, np.float32)

    def reserve(self, size: int, first: int, last: int) -> int:
        """Ask for ``size`` floats from step ``first`` to step ``last``, both included; returns the buffer's number."""
        self._sizes.append(-(-size // _ALIGNMENT) * _ALIGNMENT)
        self._lives.append((first, last))
        return len(self._sizes) - 1

    def allocate(self) -> None:
        """Place the buffers, the largest first, each at the lowest place that is free all its life."""
        self._offsets = [0] * len(self._sizes)
        placed: list[int] = []
        for number in sorted(range(len(self._sizes)), key=lambda number: -self._sizes[number]):
            first, last = self._lives[number]
            offset = 0
            for other in sorted(placed, key=lambda other: self._offsets[other]):
                if self._lives[other][0] > last or self._lives[other][1] < first:
                    continue
                if offset + self._sizes[number] <= self._offsets[other]:
                    break
                offset = max(offset, self._offsets[other] + self._sizes[other])
            self._offsets[number] = offset
            placed.append(number)
        total = max((offset + size for offset, size in zip(self._offsets, self._sizes, strict=True)), default=0)
        block = np.zeros(total + _ALIGNMENT, np.float32)
        start = -(block.ctypes.data // 4) % _ALIGNMENT
        self._block = block[start : start + total]

    def array(self, number: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Return a buffer, or the beginning of it, in a shape."""
        offset = self._offsets[number]
        return self._block[offset : offset + int(np.prod(shape))].reshape(shape)

    @property
    def size(self) -> int:
        """Floats in the block."""
        return self._block.size
