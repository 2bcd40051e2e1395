"""Operators that look at each place, or copy places about."""

from collections.abc import Iterator
import math

import numpy as np

from ...errors import CorruptModel, UnsupportedModel, UnsupportedOperator
from ...network.model import Operator
from .codes import Call, Codes, Floats, real_values
from .compiled_graph import CompiledGraph, Value, as_map, flat_rows
from .kernel import Kernel, rows_per_band

_MOST_RATIO = 2.0**16
"""How much coarser or finer the steps of a sum may be than those of its terms: native interpreters end the process beyond 2¹⁹."""


def convert(source: Value, codes: Codes, values: Floats, sums: Floats, target: Floats) -> Iterator[Call]:
    """Yield what expresses a value's numbers in another tensor's steps, by way of scratch memory ``sums``."""
    ratio = source.codes.scale / codes.scale
    if ratio == 1.0 and (source.codes.low, source.codes.high) == (codes.low, codes.high):
        yield np.copyto, (target, values)
        return
    yield np.multiply, (values, np.float32(ratio), sums)
    yield from codes.store(sums, target)


class _Banded(Kernel):
    """A kernel with one band of sums."""

    def __init__(self, graph: CompiledGraph, operator: Operator) -> None:
        """Choose the band."""
        super().__init__(graph, operator)
        height, width, channels = self.target.shape
        self.band = rows_per_band(height, width * channels)
        self._sums = -1

    def reserve(self) -> None:
        """Reserve the sums of a band."""
        self._sums = self.graph.scratch(self.band * self.target.shape[1] * self.target.shape[2])

    def _lines(self, first: int, last: int) -> tuple[Floats, Floats]:
        """Return the band of sums and of the target, both as (rows, width · channels)."""
        target = flat_rows(self.target.rows(self.graph.arena, first, last))
        return self.graph.arena.array(self._sums, target.shape), target


class Rescale(_Banded):
    """QUANTIZE, DEQUANTIZE, RELU, RELU6, RELU_N1_TO_1: the same numbers in other steps, limited."""

    def __init__(self, graph: CompiledGraph, operator: Operator) -> None:
        """Take the limits from the kind."""
        super().__init__(graph, operator)
        self._check(self.source.shape == self.target.shape)
        self.codes = self.codes.activated(operator.kind if operator.kind.startswith("RELU") else "NONE")

    def calls(self, first: int, last: int) -> Iterator[Call]:
        """Convert."""
        sums, target = self._lines(first, last)
        values = flat_rows(self.source.rows(self.graph.arena, first, last))
        yield from convert(self.source, self.codes, values, sums, target)


def _check_steps(steps: float, target: Codes) -> None:
    """Refuse a term of a quantised sum with steps out of all proportion."""
    if target.quantised and not 1 / _MOST_RATIO < steps / target.scale < _MOST_RATIO:
        raise CorruptModel(f"ADD has a term in steps of {steps} for a sum in steps of {target.scale}")


def _addition_ratios(first: Codes, second: Codes, target: Codes) -> tuple[np.float32, np.float32]:
    """Return what brings both terms of a sum to the target's steps.

    XNNPACK, which LiteRT uses, has 21 bits for the larger ratio of a quantised sum and as many places for the other; with more,
    sums near a half would be rounded differently.
    """
    ratios = first.scale / target.scale, second.scale / target.scale
    if target.quantised:
        unit = 2.0 ** (math.frexp(max(ratios))[1] - 21)
        ratios = round(ratios[0] / unit) * unit, round(ratios[1] / unit) * unit
    return np.float32(ratios[0]), np.float32(ratios[1])


class Add(_Banded):
    """ADD of two tensors, one of which may be a constant; either may be one row, place or channel for all."""

    takes = 2

    def __init__(self, graph: CompiledGraph, operator: Operator) -> None:
        """Check that the shapes can be added."""
        if operator.inputs and operator.inputs[0] in graph.constants:
            operator = Operator(operator.kind, operator.inputs[::-1], operator.outputs, operator.options)
        super().__init__(graph, operator)
        self._constant: Floats | None = None
        self._other = self.source
        if operator.inputs[1] in graph.constants:
            addend = graph.constant(operator.inputs[1])
            graph.claim(math.prod(addend.shape))
            for scale in addend.quantisation.scale if addend.quantisation else ():
                _check_steps(float(scale), self.codes)
            values = real_values(addend) / self.codes.scale
            self._constant = values.astype(np.float32).reshape(as_map(addend.shape))
        else:
            self._other = graph.value(operator.inputs[1])
        for term in (self.source, self._other):
            _check_steps(term.codes.scale, self.codes)
        shapes = self.source.shape, self._constant.shape if self._constant is not None else self._other.shape
        self._check(all(ours in (1, all_) for s in shapes for ours, all_ in zip(s, self.target.shape, strict=True)))
        self._product = -1

    def reserve(self) -> None:
        """Reserve the sums and the second term."""
        super().reserve()
        self._product = self.graph.scratch(self.band * self.target.shape[1] * self.target.shape[2])

    def _rows(self, value: Value, first: int, last: int, shape: tuple[int, ...]) -> Floats:
        one = value.shape[0] == 1
        return np.broadcast_to(value.rows(self.graph.arena, 0 if one else first, 1 if one else last), shape)

    def calls(self, first: int, last: int) -> Iterator[Call]:
        """Bring both to the target's steps, add, store."""
        sums, target = self._lines(first, last)
        product = self.graph.arena.array(self._product, sums.shape)
        shape = (last - first, *self.target.shape[1:])
        ratio, other_ratio = _addition_ratios(self.source.codes, self._other.codes, self.codes)
        yield np.multiply, (self._rows(self.source, first, last, shape), ratio, sums.reshape(shape))
        if self._constant is not None:
            one = self._constant.shape[0] == 1
            addend = np.broadcast_to(self._constant[0 if one else first : 1 if one else last], shape)
            yield np.add, (sums.reshape(shape), addend, sums.reshape(shape))
        else:
            others = self._rows(self._other, first, last, shape)
            yield np.multiply, (others, other_ratio, product.reshape(shape))
            yield np.add, (sums, product, sums)
        yield from self.codes.store(sums, target)


class Concatenation(Kernel):
    """CONCATENATION."""

    def __init__(self, graph: CompiledGraph, operator: Operator) -> None:
        """Find each input's place in the target."""
        super().__init__(graph, operator)
        self._sources = [graph.value(index) for index in operator.inputs]
        rank = len(graph.model.tensors[operator.outputs[0]].shape)
        axis = operator.options["Axis"]
        self._axis = (axis + rank if axis < 0 else axis) - rank + 3
        if not 0 <= self._axis < 3:
            raise UnsupportedOperator("CONCATENATION of batches is not supported", operator="CONCATENATION")
        for source in self._sources:
            rest = [
                s == t for i, (s, t) in enumerate(zip(source.shape, self.target.shape, strict=True)) if i != self._axis
            ]
            self._check(all(rest))
        self._check(sum(source.shape[self._axis] for source in self._sources) == self.target.shape[self._axis])
        self._sums = -1

    def reserve(self) -> None:
        """Reserve the sums of the largest input."""
        self._sums = self.graph.scratch(max(int(np.prod(source.shape)) for source in self._sources))

    def calls(self, first: int, last: int) -> Iterator[Call]:
        """Convert each input into its place."""
        target = self.target.whole(self.graph.arena)
        start = 0
        for source in self._sources:
            end = start + source.shape[self._axis]
            place = target[(slice(None),) * self._axis + (slice(start, end),)]
            sums = self.graph.arena.array(self._sums, source.shape)
            yield from convert(source, self.codes, source.whole(self.graph.arena), sums, place)
            start = end


class Pad(Kernel):
    """PAD with zeros (the zero point)."""

    takes = 2

    def __init__(self, graph: CompiledGraph, operator: Operator) -> None:
        """Read the widths of the margins."""
        super().__init__(graph, operator)
        margins = graph.constant(operator.inputs[1]).data
        rank = len(graph.model.tensors[operator.inputs[0]].shape)
        if margins is None or margins.dtype.kind != "i" or margins.shape != (rank, 2) or (margins < 0).any():
            raise CorruptModel("PAD has no valid margins")
        pairs = [(int(before), int(after)) for before, after in margins]
        if rank == 4 and pairs.pop(0) != (0, 0):
            raise UnsupportedOperator("PAD of batches is not supported", operator="PAD")
        pairs = [(0, 0)] * (3 - len(pairs)) + pairs
        sides = zip(self.source.shape, pairs, strict=True)
        self._check(tuple(side + before + after for side, (before, after) in sides) == self.target.shape)
        if self.source.codes != self.target.codes:
            raise UnsupportedModel("PAD changes the quantisation")
        self._place = tuple(slice(b, b + side) for side, (b, _) in zip(self.source.shape, pairs, strict=True))

    def calls(self, first: int, last: int) -> Iterator[Call]:
        """Write zeros, then the source into its place."""
        target = self.target.whole(self.graph.arena)
        yield target.fill, (0.0,)
        yield np.copyto, (target[self._place], self.source.whole(self.graph.arena))


class Reshape(_Banded):
    """RESHAPE and SQUEEZE: the same numbers in the same order."""

    def __init__(self, graph: CompiledGraph, operator: Operator) -> None:
        """Check that nothing gets lost."""
        super().__init__(graph, operator)
        self._check(np.prod(self.source.shape) == np.prod(self.target.shape))
        self.band = self.target.shape[0]

    def calls(self, first: int, last: int) -> Iterator[Call]:
        """Gather the source's rows, convert them into the target's."""
        arena = self.graph.arena
        sums = arena.array(self._sums, self.source.shape)
        yield np.copyto, (sums, self.source.whole(arena))
        shaped = sums.reshape(self.target.shape)
        yield from convert(self.source, self.codes, shaped, shaped, self.target.whole(arena))
