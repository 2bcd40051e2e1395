"""Convolutions.

A pointwise convolution is one matrix product per band of rows; others gather their windows into a matrix first. A depthwise one
has no matrix to multiply: it adds up the source's shifted rows, each times its tap's weights. Weights are repeated along a row, so
that each such step is a long run through memory; bands keep what is summed in the cache.
"""

from collections.abc import Iterator
import math

import numpy as np

from ...errors import UnsupportedOperator
from ...network.model import Operator
from .codes import Call, Floats, layer_of, tiled
from .compiled_graph import CompiledGraph, flat_rows
from .kernel import Kernel, rows_per_band
from .windows import windows_of

_LEAST_PLACES = 512
"""Places in a band of a matrix product: with fewer, BLAS spends its time on rearranging the weights."""


class Convolution(Kernel):
    """CONV_2D."""

    takes = 2

    def __init__(self, graph: CompiledGraph, operator: Operator) -> None:
        """Check the shapes, fold the scales into the weights."""
        super().__init__(graph, operator)
        weights = graph.constant(operator.inputs[1])
        self._check(len(weights.shape) == 4 and weights.shape[0] == self.target.shape[2])
        outputs, down, across, channels = weights.shape
        if channels != self.source.shape[2] and channels and self.source.shape[2] % channels == 0:
            raise UnsupportedOperator("CONV_2D with groups is not supported", operator="CONV_2D")
        self._check(channels == self.source.shape[2])
        self.windows = windows_of(operator, (down, across), self.source.shape, self.target.shape)
        graph.claim(math.prod(weights.shape) + 2 * outputs * self.target.shape[1])
        graph.charge(math.prod(self.target.shape) * down * across * channels // 16)
        self._layer = layer_of(weights, graph.optional(operator.inputs, 2), 0, self.source.codes, self.codes)
        self._matrix: Floats = np.ascontiguousarray(self._layer.weights.reshape(outputs, -1).T)
        width = self.target.shape[1]
        self._bias = np.tile(self._layer.bias, width)
        self._steps = None if self._layer.steps is None else tiled(self._layer.steps, width)
        self.band = rows_per_band(
            self.target.shape[0], width * max(outputs, channels), math.ceil(_LEAST_PLACES / width)
        )
        self._sums = self._gathered = -1

    def reserve(self) -> None:
        """Reserve the sums of a band and its gathered windows."""
        places = self.band * self.target.shape[1]
        self._sums = self.graph.scratch(places * self.target.shape[2])
        if not self._direct:
            self._gathered = self.graph.scratch(places * self._matrix.shape[0])

    @property
    def _direct(self) -> bool:
        """Whether the source's rows are the matrix."""
        return self.windows.single and not self.source.border

    def calls(self, first: int, last: int) -> Iterator[Call]:
        """Gather, multiply, add the bias, store."""
        arena = self.graph.arena
        places = (last - first) * self.target.shape[1]
        depth, outputs = self._matrix.shape
        if self._direct:
            matrix = self.source.rows(arena, first, last).reshape(places, depth)
        else:
            matrix = arena.array(self._gathered, (places, depth))
            patches = self.windows.patches(self.source.padded(arena), self.source.border, first, last)
            yield np.copyto, (matrix.reshape(patches.shape), patches)
        sums = arena.array(self._sums, (places, outputs))
        yield np.matmul, (matrix, self._matrix, sums)
        lines = sums.reshape(last - first, -1)
        target = flat_rows(self.target.rows(arena, first, last))
        yield from self._layer.finish(lines, self._bias, self._steps, self.codes, target)


class DepthwiseConvolution(Kernel):
    """DEPTHWISE_CONV_2D."""

    takes = 2

    def __init__(self, graph: CompiledGraph, operator: Operator) -> None:
        """Check the shapes, fold the scales into the weights, repeat them along a row."""
        super().__init__(graph, operator)
        weights = graph.constant(operator.inputs[1])
        height, width, channels = self.target.shape
        self._check(len(weights.shape) == 4 and weights.shape[0] == 1 and weights.shape[3] == channels)
        self._check(channels % self.source.shape[2] == 0)
        self._multiplier = channels // self.source.shape[2]
        """Outputs per channel of the source: output ``c · multiplier + m`` belongs to channel ``c``."""
        _, down, across, _ = weights.shape
        self.windows = windows_of(operator, (down, across), self.source.shape, self.target.shape)
        graph.claim((down * across + 2) * channels * width)
        graph.charge(2 * down * across * math.prod(self.target.shape))
        self._layer = layer_of(weights, graph.optional(operator.inputs, 2), 3, self.source.codes, self.codes)
        taps = self._layer.weights.reshape(down * across, channels)
        self._taps = [[np.tile(tap[m :: self._multiplier], width) for tap in taps] for m in range(self._multiplier)]
        self._bias = np.tile(self._layer.bias, width)
        self._steps = None if self._layer.steps is None else tiled(self._layer.steps, width)
        self.band = rows_per_band(height, width * channels)
        self._sums = self._product = self._planes = -1

    def reserve(self) -> None:
        """Reserve the sums of a band, one tap's products, and the source's columns where they are sorted."""
        _, width, channels = self.target.shape
        self._sums = self.graph.scratch(self.band * width * channels)
        self._product = self.graph.scratch(self.band * width * channels // self._multiplier)
        if self.windows.columns.stride > 1:
            self._planes = self.graph.scratch(math.prod(self._plane_shape(self.band)))

    def _plane_shape(self, count: int) -> tuple[int, int, int, int]:
        return self.windows.plane_shape(count, self.source.shape[2])

    def calls(self, first: int, last: int) -> Iterator[Call]:
        """Multiply and add tap by tap, add the bias, store; in bands of our own where asked for more rows."""
        for start in range(first, last, self.band):
            yield from self._band(start, min(last, start + self.band), first)

    def _band(self, first: int, last: int, begun: int) -> Iterator[Call]:
        arena = self.graph.arena
        _, width, channels = self.target.shape
        sums = arena.array(self._sums, (last - first, width * channels))
        product = arena.array(self._product, (last - first, width * channels // self._multiplier))
        padded = self.source.padded(arena)
        if self.windows.columns.stride > 1:
            planes = arena.array(self._planes, self._plane_shape(last - first))
            yield self.windows.split(padded, self.source.border, first, planes)
            sources = list(self.windows.plane_taps(planes, last - first))
        else:
            sources = list(self.windows.taps(padded, self.source.border, first, last))
        for multiple, weights in enumerate(self._taps):
            part = sums[:, multiple :: self._multiplier]
            yield np.multiply, (sources[0], weights[0], part)
            for source, tap in zip(sources[1:], weights[1:], strict=True):
                yield np.multiply, (source, tap, product)
                yield np.add, (part, product, part)
        target = flat_rows(self.target.rows(arena, begun, last)[first - begun :])
        yield from self._layer.finish(sums, self._bias, self._steps, self.codes, target)
