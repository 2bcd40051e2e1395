"""Where the windows of convolutions and pools lie (TFLite's SAME and VALID padding)."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ...errors import CorruptModel, UnsupportedOperator
from ...network.model import Operator
from .codes import Call, Floats
from .compiled_graph import Border

_MOST_TAPS = 1024
_LARGEST_STEP = 1 << 12


@dataclass(frozen=True)
class _Axis:
    """Windows along one axis."""

    taps: int
    stride: int
    dilation: int
    source: int
    target: int
    before: int
    """Places that the first window begins before the map."""

    @property
    def after(self) -> int:
        """Places that the last window ends behind the map, up to a whole number of strides."""
        return max(0, self.plane * self.stride - self.before - self.source)

    @property
    def plane(self) -> int:
        """Every ``stride``-th place makes a plane of this length, as far as windows reach."""
        return self.target + (self.taps - 1) * self.dilation // self.stride

    def counts(self) -> list[int]:
        """Taps of each window that lie on the map."""
        starts = (place * self.stride - self.before for place in range(self.target))
        return [sum(0 <= start + tap * self.dilation < self.source for tap in range(self.taps)) for start in starts]


@dataclass(frozen=True)
class Windows:
    """The windows of one operator."""

    rows: _Axis
    columns: _Axis

    @property
    def border(self) -> Border:
        """The zeros that the windows reach over."""
        return Border(self.rows.before, self.rows.after, self.columns.before, self.columns.after)

    @property
    def single(self) -> bool:
        """Whether each window is the one place under it."""
        return (self.rows.taps, self.columns.taps, self.rows.stride, self.columns.stride) == (1, 1, 1, 1)

    def _origin(self, padded: Floats, border: Border, first: int) -> Floats:
        """Return the source from where the window of row ``first``, column 0 begins; its border may be wider than ours."""
        return padded[border.top - self.rows.before + first * self.rows.stride :, border.left - self.columns.before :]

    def taps(self, padded: Floats, border: Border, first: int, last: int) -> Iterator[Floats]:
        """Yield, tap by tap, what lies under it in rows of windows: (last − first, width, channels), or with the last two in one."""
        rows, columns = self.rows, self.columns
        row, place, number = padded.strides
        channels = padded.shape[2]
        for y in range(rows.taps):
            for x in range(columns.taps):
                origin = self._origin(padded, border, first)[y * rows.dilation :, x * columns.dilation :]
                if columns.stride == 1:
                    shape: tuple[int, ...] = (last - first, columns.target * channels)
                    strides: tuple[int, ...] = (row * rows.stride, number)
                else:
                    shape = (last - first, columns.target, channels)
                    strides = (row * rows.stride, place * columns.stride, number)
                yield as_strided(origin, shape, strides)

    def source_rows(self, count: int) -> int:
        """Return the rows of the source that ``count`` rows of windows reach over."""
        return (count - 1) * self.rows.stride + (self.rows.taps - 1) * self.rows.dilation + 1

    def plane_shape(self, count: int, channels: int) -> tuple[int, int, int, int]:
        """Return the shape of the planes that ``count`` rows of windows need: rows, planes, places, channels."""
        return self.source_rows(count), self.columns.stride, self.columns.plane, channels

    def split(self, padded: Floats, border: Border, first: int, planes: Floats) -> Call:
        """Return what sorts the source's columns into planes, so that what lies under a tap is one run a row again."""
        row, place, number = padded.strides
        count, stride, places, channels = planes.shape
        origin = self._origin(padded, border, first)
        source = as_strided(origin, (count, places, stride, channels), (row, place * stride, place, number))
        return np.copyto, (planes.transpose(0, 2, 1, 3), source)

    def plane_taps(self, planes: Floats, count: int) -> Iterator[Floats]:
        """Yield, tap by tap, what lies under it in ``count`` rows of windows, (count, width · channels), from the planes."""
        rows, columns = self.rows, self.columns
        shape = (count, columns.target * planes.shape[3])
        strides = (planes.strides[0] * rows.stride, planes.strides[3])
        for y in range(rows.taps):
            for x in range(columns.taps):
                place, plane = divmod(x * columns.dilation, columns.stride)
                yield as_strided(planes[y * rows.dilation :, plane, place:], shape, strides)

    def patches(self, padded: Floats, border: Border, first: int, last: int) -> Floats:
        """Return the windows themselves, shape (last − first, width, taps down, taps across, channels), overlapping in memory."""
        rows, columns = self.rows, self.columns
        row, place, number = padded.strides
        return as_strided(
            self._origin(padded, border, first),
            (last - first, columns.target, rows.taps, columns.taps, padded.shape[2]),
            (row * rows.stride, place * columns.stride, row * rows.dilation, place * columns.dilation, number),
        )


def windows_of(
    operator: Operator, taps: tuple[int, int], source: tuple[int, int, int], target: tuple[int, int, int]
) -> Windows:
    """Return the windows of a convolution or pool with ``taps`` (down, across).

    Raises CorruptModel where they do not lead from the source's shape to the target's, UnsupportedOperator for excessive ones.
    """
    options = operator.options
    if taps[0] * taps[1] > _MOST_TAPS:
        raise UnsupportedOperator(f"{operator.kind} has a window of {taps[0]}×{taps[1]}", operator=operator.kind)
    axes = []
    for axis, letter in enumerate("HW"):
        stride = options[f"Stride{letter}"]
        dilation = options.get(f"Dilation{letter}Factor", 1)
        if taps[axis] < 1 or not 0 < stride <= _LARGEST_STEP or not 0 < dilation <= _LARGEST_STEP:
            raise CorruptModel(f"{operator.kind} has the stride {stride}, dilation {dilation}, {taps[axis]} taps")
        reach = (taps[axis] - 1) * dilation + 1
        if options["Padding"] == "SAME":
            places = -(-source[axis] // stride)
            before = max(0, (places - 1) * stride + reach - source[axis]) // 2
        else:
            places = -(-(source[axis] - reach + 1) // stride)
            before = 0
        if places != target[axis] or places < 1:
            raise CorruptModel(f"{operator.kind} can't lead from the shape {source} to {target}")
        axes.append(_Axis(taps[axis], stride, dilation, source[axis], target[axis], before))
    return Windows(axes[0], axes[1])
