"""Operators that bring many places or channels together."""

from collections.abc import Iterator
from functools import partial
import math

import numpy as np

from ...errors import UnsupportedOperator
from ...network.model import Operator
from .codes import Call, Floats, layer_of
from .compiled_graph import CompiledGraph, flat_rows
from .kernel import Kernel, rows_per_band
from .windows import windows_of


class AveragePool(Kernel):
    """AVERAGE_POOL_2D: the mean of what of a window lies on the map."""

    def __init__(self, graph: CompiledGraph, operator: Operator) -> None:
        """Count the places of each window."""
        super().__init__(graph, operator)
        height, width, channels = self.target.shape
        self._check(channels == self.source.shape[2])
        taps = operator.options["FilterHeight"], operator.options["FilterWidth"]
        self.windows = windows_of(operator, taps, self.source.shape, self.target.shape)
        graph.claim(math.prod(self.target.shape))
        graph.charge(taps[0] * taps[1] * math.prod(self.target.shape))
        counts = np.outer(self.windows.rows.counts(), self.windows.columns.counts())
        ratio = self.source.codes.scale / self.codes.scale
        self._shares: Floats = np.repeat(ratio / counts, channels, axis=1).astype(np.float32)
        self.band = rows_per_band(height, width * channels)
        self._sums = -1

    def reserve(self) -> None:
        """Reserve the sums of a band."""
        self._sums = self.graph.scratch(self.band * self.target.shape[1] * self.target.shape[2])

    def calls(self, first: int, last: int) -> Iterator[Call]:
        """Add up tap by tap, divide, store."""
        arena = self.graph.arena
        sums = arena.array(self._sums, (last - first, self._shares.shape[1]))
        for number, source in enumerate(self.windows.taps(self.source.padded(arena), self.source.border, first, last)):
            part = sums.reshape(source.shape)
            yield (np.add, (part, source, part)) if number else (np.copyto, (part, source))
        yield np.multiply, (sums, self._shares[first:last], sums)
        yield from self.codes.store(sums, flat_rows(self.target.rows(arena, first, last)))


class GlobalMean(Kernel):
    """MEAN over height and width, AVERAGE_POOL_2D over the whole map."""

    def __init__(self, graph: CompiledGraph, operator: Operator) -> None:
        """Check the axes."""
        super().__init__(graph, operator)
        self._check(math.prod(self.target.shape) == self.source.shape[2])
        if operator.kind == "MEAN":
            self._check(len(operator.inputs) == 2)
            axes = graph.constant(operator.inputs[1]).data
            rank = len(graph.model.tensors[operator.inputs[0]].shape)
            if axes is None or rank != 4 or sorted(int(axis) % 4 for axis in axes.flat) != [1, 2]:
                raise UnsupportedOperator("MEAN is supported over height and width only", operator="MEAN")
        self._sums = -1

    def reserve(self) -> None:
        """Reserve the sums."""
        self._sums = self.graph.scratch(self.source.shape[2])

    def calls(self, first: int, last: int) -> Iterator[Call]:
        """Add up, divide, store."""
        arena = self.graph.arena
        height, width, channels = self.source.shape
        sums = arena.array(self._sums, (channels,))
        yield np.add.reduce, (self.source.whole(arena), (0, 1), None, sums)
        ratio = self.source.codes.scale / self.codes.scale
        yield np.multiply, (sums, np.float32(ratio / (height * width)), sums)
        yield from self.codes.store(sums, self.target.whole(arena).reshape(channels))


class FullyConnected(Kernel):
    """FULLY_CONNECTED."""

    takes = 2

    def __init__(self, graph: CompiledGraph, operator: Operator) -> None:
        """Check the shapes, fold the scales into the weights."""
        super().__init__(graph, operator)
        if operator.options["WeightsFormat"] != 0:
            raise UnsupportedOperator(
                "FULLY_CONNECTED with shuffled weights is not supported", operator="FULLY_CONNECTED"
            )
        weights = graph.constant(operator.inputs[1])
        self._check(len(weights.shape) == 2 and 0 not in weights.shape)
        outputs, depth = weights.shape
        size = math.prod(self.source.shape)
        self._check(size % depth == 0 and math.prod(self.target.shape) == size // depth * outputs)
        graph.claim(outputs * depth)
        graph.charge(size * outputs // 16)
        self._layer = layer_of(weights, graph.optional(operator.inputs, 2), 0, self.source.codes, self.codes)
        self._matrix: Floats = np.ascontiguousarray(self._layer.weights.T)
        self._lines = size // depth
        self._sums = self._gathered = -1

    def reserve(self) -> None:
        """Reserve the sums and the source in one piece."""
        self._sums = self.graph.scratch(self._lines * self._matrix.shape[1])
        self._gathered = self.graph.scratch(math.prod(self.source.shape))

    def calls(self, first: int, last: int) -> Iterator[Call]:
        """Multiply, add the bias, store."""
        arena = self.graph.arena
        depth, outputs = self._matrix.shape
        gathered = arena.array(self._gathered, self.source.shape)
        yield np.copyto, (gathered, self.source.whole(arena))
        sums = arena.array(self._sums, (self._lines, outputs))
        yield np.matmul, (gathered.reshape(self._lines, depth), self._matrix, sums)
        target = self.target.whole(arena).reshape(sums.shape)
        yield from self._layer.finish(sums, self._layer.bias, self._layer.steps, self.codes, target)


class _AlongChannels(Kernel):
    """A kernel that works on the channels of each place."""

    def __init__(self, graph: CompiledGraph, operator: Operator) -> None:
        """Check the shapes."""
        super().__init__(graph, operator)
        self._check(self.source.shape == self.target.shape)
        self._values = self._squares = self._totals = -1

    def reserve(self) -> None:
        """Reserve the values, their squares and a total per place."""
        size = math.prod(self.source.shape)
        self._values = self.graph.scratch(size)
        self._squares = self.graph.scratch(size)
        self._totals = self.graph.scratch(size // self.source.shape[2])

    def _arrays(self) -> tuple[Floats, Floats, Floats]:
        arena, shape = self.graph.arena, self.source.shape
        totals = arena.array(self._totals, (*shape[:2], 1))
        return arena.array(self._values, shape), arena.array(self._squares, shape), totals


class Softmax(_AlongChannels):
    """SOFTMAX over the channels."""

    def calls(self, first: int, last: int) -> Iterator[Call]:
        """Less the greatest, scaled, exponentiated, divided by the total."""
        values, _, totals = self._arrays()
        source = self.source.whole(self.graph.arena)
        yield np.maximum.reduce, (source, 2, None, totals, True)
        yield np.subtract, (source, totals, values)
        yield np.multiply, (values, np.float32(self.source.codes.scale * self.operator.options["Beta"]), values)
        yield np.exp, (values, values)
        yield np.add.reduce, (values, 2, None, totals, True)
        yield np.multiply, (totals, np.float32(self.codes.scale), totals)
        yield np.divide, (values, totals, values)
        yield from self.codes.store(values, self.target.whole(self.graph.arena))


class L2Normalisation(_AlongChannels):
    """L2_NORMALIZATION over the channels."""

    def calls(self, first: int, last: int) -> Iterator[Call]:
        """Divide by the length, which is taken to be 1e-6 at least."""
        values, squares, totals = self._arrays()
        yield np.multiply, (self.source.whole(self.graph.arena), np.float32(self.source.codes.scale), values)
        yield np.multiply, (values, values, squares)
        yield np.add.reduce, (squares, 2, None, totals, True)
        yield np.sqrt, (totals, totals)
        # NumPy wants this one's result by name.
        yield partial(np.maximum, out=totals), (totals, np.float32(1e-6))
        yield np.multiply, (totals, np.float32(self.codes.scale), totals)
        yield np.divide, (values, totals, values)
        yield from self.codes.store(values, self.target.whole(self.graph.arena))
