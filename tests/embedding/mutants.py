"""Portable runtimes with one wrong operator: each mutation changes one kernel of a compiled network, in one place."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from embedding.network.model import Model
from embedding.runtimes.portable import PortableRuntime, program
from embedding.runtimes.portable.codes import Call, Codes, Floats
from embedding.runtimes.portable.compiled_graph import CompiledGraph
from embedding.runtimes.portable.convolution import Convolution, DepthwiseConvolution
from embedding.runtimes.portable.elementwise import Add, Concatenation, Pad, Rescale, Reshape
from embedding.runtimes.portable.kernel import Kernel
from embedding.runtimes.portable.reduction import AveragePool, FullyConnected, GlobalMean, Softmax

WINDOWED = (Convolution, DepthwiseConvolution, AveragePool)
LAYERS = (Convolution, DepthwiseConvolution, FullyConnected)


@dataclass(frozen=True)
class Mutation:
    """One way to be wrong."""

    name: str
    kernels: tuple[type[Kernel], ...]
    """Whom it may befall."""
    apply: Callable[[Any], None]
    """Change a kernel that was just built."""
    fits: Callable[[Any], bool] = lambda kernel: True
    """Whether it changes anything in this kernel at all."""


def mutant(model: Model, place: int, mutation: Mutation) -> PortableRuntime:
    """Compile a model with a mutation of its ``place``-th operator."""
    built: list[Kernel] = []

    def wrapped(factory: Callable[[CompiledGraph, Any], Kernel]) -> Callable[[CompiledGraph, Any], Kernel]:
        def build(graph: CompiledGraph, operator: Any) -> Kernel:
            kernel = factory(graph, operator)
            if len(built) == place:
                mutation.apply(kernel)
            built.append(kernel)
            return kernel

        return build

    kernels = {kind: wrapped(factory) for kind, factory in program._KERNELS.items()}
    with patch.object(program, "_KERNELS", kernels):
        return PortableRuntime(model)


def mutations_of(model: Model) -> Iterator[tuple[int, str, Mutation]]:
    """Yield every place of a network, the kind of its operator and each mutation that can befall it."""
    graph = CompiledGraph(model)
    for place, kernel in enumerate(program._kernels(graph)):
        for mutation in MUTATIONS:
            if isinstance(kernel, mutation.kernels) and mutation.fits(kernel):
                yield place, kernel.operator.kind, mutation


# --- what a kernel leaves behind ---------------------------------------------------------------------------------


def _afterwards(change: Callable[[Floats], None]) -> Callable[[Kernel], None]:
    """Return a mutation that changes each band of results, (rows, width, channels), once it is computed."""

    def apply(kernel: Kernel) -> None:
        calls = kernel.calls

        def changed(first: int, last: int) -> Iterator[Call]:
            yield from calls(first, last)
            yield change, (kernel.target.rows(kernel.graph.arena, first, last),)

        kernel.calls = changed  # type: ignore[method-assign]

    return apply


def _assign(change: Callable[[Floats], NDArray[Any]]) -> Callable[[Kernel], None]:
    def assigned(rows: Floats) -> None:
        rows[...] = change(rows.copy())

    return _afterwards(assigned)


def _without_last_channel(rows: Floats) -> Floats:
    rows[..., -1] = 0
    return rows


def _channels(kernel: Kernel) -> bool:
    return kernel.target.shape[2] > 1


def _computed(change: Callable[[list[Call]], Iterable[Call]]) -> Callable[[Kernel], None]:
    """Return a mutation that rewrites the calls of each band."""

    def apply(kernel: Kernel) -> None:
        calls = kernel.calls
        kernel.calls = lambda first, last: iter(change(list(calls(first, last))))  # type: ignore[method-assign]

    return apply


# --- rounding and limits -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Careless(Codes):
    """Codes that are stored in another way."""

    rounds: Any = np.rint
    wraps: bool = False

    def store(self, sums: Floats, target: Floats) -> list[Call]:
        """Round and limit as told."""
        calls: list[Call] = [(self.rounds, (sums, sums))] if self.rounds is not None else []
        if not self.wraps:
            return [*calls, (sums.clip, (np.float32(self.low), np.float32(self.high), target))]

        def wrap() -> None:
            target[...] = np.mod(sums - self.low, 256) + self.low

        return [*calls, (wrap, ())]


def _codes(**changes: Any) -> Callable[[Kernel], None]:
    def apply(kernel: Kernel) -> None:
        held = {field.name: getattr(kernel.codes, field.name) for field in fields(Codes)}
        kernel.codes = _Careless(**(held | changes))

    return apply


def _half_up(sums: Floats, target: Floats) -> None:
    np.floor(sums + np.float32(0.5), out=target)


def _half_away(sums: Floats, target: Floats) -> None:
    np.copysign(np.floor(np.abs(sums) + np.float32(0.5)), sums, out=target)


def _quantised(kernel: Kernel) -> bool:
    return kernel.codes.quantised


def _limited(kernel: Kernel) -> bool:
    return bool(np.isfinite([kernel.codes.low, kernel.codes.high]).any())


# --- weights -----------------------------------------------------------------------------------------------------


def _rebias(change: Callable[[Any, Floats], Floats]) -> Callable[[Any], None]:
    """Return a mutation of a layer's bias, shape (outputs,)."""

    def apply(kernel: Any) -> None:
        bias = change(kernel, kernel._layer.bias).astype(np.float32)
        kernel._layer = replace(kernel._layer, bias=bias)
        if hasattr(kernel, "_bias"):
            kernel._bias = np.tile(bias, kernel.target.shape[1])

    return apply


def _rescaled(change: Callable[[Floats], Floats]) -> Callable[[Any], None]:
    """Return a mutation of the steps that a layer's sums are turned into."""

    def apply(kernel: Any) -> None:
        steps = change(kernel._layer.steps).astype(np.float32)
        kernel._layer = replace(kernel._layer, steps=steps)
        if hasattr(kernel, "_steps"):
            kernel._steps = np.tile(steps, kernel.target.shape[1]) if steps.size > 1 else steps

    return apply


def _reweighed(change: Callable[[Floats], NDArray[Any]]) -> Callable[[Any], None]:
    """Return a mutation of the weights as (down, across, inputs, outputs); a depthwise layer has one input."""

    def apply(kernel: Any) -> None:
        weights = kernel._layer.weights
        if isinstance(kernel, DepthwiseConvolution):
            _, down, across, channels = weights.shape
            taps = change(weights.reshape(down, across, 1, channels)).reshape(down * across, channels)
            width, multiplier = kernel.target.shape[1], kernel._multiplier
            kernel._taps = [[np.tile(tap[m::multiplier], width) for tap in taps] for m in range(multiplier)]
        else:
            windows = weights if weights.ndim == 4 else weights[:, np.newaxis, np.newaxis]
            changed = change(windows.transpose(1, 2, 3, 0)).reshape(-1, windows.shape[0])
            kernel._matrix = np.ascontiguousarray(changed, np.float32)

    return apply


def _weights_zero(kernel: Any) -> float:
    quantisation = kernel.graph.constant(kernel.operator.inputs[1]).quantisation
    return float(quantisation.zero_point[0]) if quantisation is not None and _quantised(kernel) else 0.0


def _add_weights_zero(kernel: Any) -> None:
    zero = np.float32(_weights_zero(kernel))
    _reweighed(lambda weights: weights + zero)(kernel)


def _sums_of_weights(kernel: Any) -> Floats:
    weights: Floats = kernel._layer.weights
    axis = 3 if isinstance(kernel, DepthwiseConvolution) else 0
    sums: Floats = weights.sum(axis=tuple(other for other in range(weights.ndim) if other != axis))
    return sums


def _first_tap_missing(weights: Floats) -> Floats:
    changed = weights.copy()
    changed[0, 0] = 0
    return changed


def _last_input_missing(weights: Floats) -> Floats:
    changed = weights.copy()
    changed[:, :, -1] = 0
    return changed


def _outputs_for_inputs(weights: Floats) -> NDArray[Any]:
    return np.ascontiguousarray(weights.swapaxes(2, 3)).reshape(weights.shape)


def _taps(kernel: Any) -> bool:
    return (
        isinstance(kernel, FullyConnected) is False
        and kernel._layer.weights.shape[1] * kernel._layer.weights.shape[2] > 1
    )


def _across(kernel: Any) -> bool:
    return _taps(kernel) and kernel._layer.weights.shape[2] > 1


def _down(kernel: Any) -> bool:
    return _taps(kernel) and kernel._layer.weights.shape[1] > 1


def _square(kernel: Any) -> bool:
    return _taps(kernel) and kernel._layer.weights.shape[1] == kernel._layer.weights.shape[2]


# --- windows -----------------------------------------------------------------------------------------------------


def _windows(axis: str) -> Callable[[Any], None]:
    """Return a mutation that lets the windows of an axis begin one place off."""

    def apply(kernel: Any) -> None:
        held = getattr(kernel.windows, axis)
        moved = replace(held, before=held.before - 1 if held.before else 1)
        kernel.windows = replace(kernel.windows, **{axis: moved})

    return apply


def _border_is_code_0(kernel: Any) -> None:
    """Fill the border of a kernel's source with what the code 0 means rather than the zero point."""
    source = kernel.source
    clear, value = source.clear_border, float(-source.codes.zero or 16)
    source.clear_border = lambda arena: [(fill, (value,)) for fill, _ in clear(arena)]


def _whole_pool(kernel: Any) -> None:
    """Divide by the whole window, places outside of the map included."""
    ratio = kernel.source.codes.scale / kernel.codes.scale
    taps = kernel.windows.rows.taps * kernel.windows.columns.taps
    kernel._shares = np.full_like(kernel._shares, ratio / taps)


# --- single kernels ----------------------------------------------------------------------------------------------


def _call(position: int, change: Callable[[Any, tuple[Any, ...]], Call]) -> Callable[[Kernel], None]:
    """Return a mutation that changes one call of each band."""

    def rewrite(calls: list[Call]) -> list[Call]:
        calls[position] = change(*calls[position])
        return calls

    return _computed(rewrite)


def _ratios(change: Callable[[Any, Any], Sequence[Any]]) -> Callable[[Kernel], None]:
    """Return a mutation of what the two terms of a sum are multiplied by."""

    def rewrite(calls: list[Call]) -> list[Call]:
        (_, one), (_, other) = calls[:2]
        first, second = change(one[1], other[1])
        return [(np.multiply, (one[0], first, one[2])), (np.multiply, (other[0], second, other[2])), *calls[2:]]

    return _computed(rewrite)


def _two_terms(kernel: Any) -> bool:
    return kernel._constant is None


def _swap_sources(kernel: Any) -> None:
    kernel._sources = kernel._sources[::-1]


def _move_place(kernel: Any) -> None:
    def moved(place: slice, side: int) -> slice:
        step = 1 if place.start == 0 else -1
        return place if place.stop - place.start == side else slice(place.start + step, place.stop + step)

    kernel._place = tuple(moved(place, side) for place, side in zip(kernel._place, kernel.target.shape, strict=True))


ANY = (Kernel,)
MUTATIONS = (
    Mutation("result: channels rolled by one", ANY, _assign(lambda rows: np.roll(rows, 1, 2)), _channels),
    Mutation("result: mirrored channels", ANY, _assign(lambda rows: rows[..., ::-1]), _channels),
    Mutation("result: last channel missing", ANY, _assign(_without_last_channel), _channels),
    Mutation("result: a column off", ANY, _assign(lambda rows: np.roll(rows, 1, 1)), lambda k: k.target.shape[1] > 1),
    Mutation("result: a row off", ANY, _assign(lambda rows: np.roll(rows, 1, 0)), lambda k: k.target.shape[0] > 1),
    Mutation("result: nothing", ANY, _assign(np.zeros_like)),
    Mutation("result: sign", ANY, _assign(np.negative)),
    Mutation("result: halved", ANY, _assign(lambda rows: rows / 2)),
    Mutation("rounding: down", ANY, _codes(rounds=np.floor), _quantised),
    Mutation("rounding: towards zero", ANY, _codes(rounds=np.trunc), _quantised),
    Mutation("rounding: none", ANY, _codes(rounds=None), _quantised),
    Mutation("rounding: half up", ANY, _codes(rounds=_half_up), _quantised),
    Mutation("rounding: half away from zero", ANY, _codes(rounds=_half_away), _quantised),
    Mutation("limits: no lower", ANY, _codes(low=-np.inf), lambda k: k.codes.quantised and np.isfinite(k.codes.low)),
    Mutation("limits: no upper", ANY, _codes(high=np.inf), lambda k: k.codes.quantised and np.isfinite(k.codes.high)),
    Mutation("limits: wraps around", ANY, _codes(wraps=True), _quantised),
    Mutation("bias: ignored", LAYERS, _rebias(lambda _, bias: 0 * bias), lambda k: k._layer.bias.any()),
    Mutation("bias: doubled", LAYERS, _rebias(lambda _, bias: 2 * bias), lambda k: k._layer.bias.any()),
    Mutation("bias: of the next channel", LAYERS, _rebias(lambda _, bias: np.roll(bias, 1)), _channels),
    Mutation(
        "zero point of the source ignored",
        LAYERS,
        _rebias(lambda kernel, bias: bias + kernel.source.codes.zero * _sums_of_weights(kernel)),
        lambda k: k.source.codes.zero != 0,
    ),
    Mutation("zero point of the weights ignored", LAYERS, _add_weights_zero, lambda k: _weights_zero(k) != 0),
    Mutation("scale: 5 % off", LAYERS, _rescaled(lambda steps: steps * 1.05), lambda k: k._layer.steps is not None),
    Mutation(
        "scale: the first channel's for all",
        LAYERS,
        _rescaled(lambda steps: steps[:1].repeat(steps.size)),
        lambda k: k._layer.steps is not None and k._layer.steps.size > 1,
    ),
    Mutation("weights: of the next output", LAYERS, _reweighed(lambda w: np.roll(w, 1, 3)), _channels),
    Mutation(
        "weights: inputs rolled",
        LAYERS,
        _reweighed(lambda w: np.roll(w, 1, 2)),
        lambda k: k.source.shape[2] > 1 and not isinstance(k, DepthwiseConvolution),
    ),
    Mutation(
        "weights: transposed",
        LAYERS,
        _reweighed(_outputs_for_inputs),
        lambda k: not isinstance(k, DepthwiseConvolution),
    ),
    Mutation("weights: last input ignored", (Convolution, FullyConnected), _reweighed(_last_input_missing)),
    Mutation("weights: sign", LAYERS, _reweighed(np.negative)),
    Mutation("window: mirrored", LAYERS, _reweighed(lambda w: w[:, ::-1]), _across),
    Mutation("window: upside down", LAYERS, _reweighed(lambda w: w[::-1]), _down),
    Mutation("window: transposed", LAYERS, _reweighed(lambda w: w.swapaxes(0, 1)), _square),
    Mutation("window: first tap ignored", LAYERS, _reweighed(_first_tap_missing), _taps),
    Mutation("padding: a row off", WINDOWED, _windows("rows"), lambda k: k.windows.rows.taps > 1),
    Mutation("padding: a column off", WINDOWED, _windows("columns"), lambda k: k.windows.columns.taps > 1),
    Mutation("padding: not zero", WINDOWED, _border_is_code_0, lambda k: bool(k.windows.border)),
    Mutation("pool: divides by the whole window", (AveragePool,), _whole_pool, lambda k: bool(k.windows.border)),
    Mutation("sum: second term missing", (Add,), _computed(lambda calls: [calls[0], *calls[3:]]), _two_terms),
    Mutation("sum: difference", (Add,), _call(2, lambda _, arguments: (np.subtract, arguments)), _two_terms),
    Mutation("sum: ratios exchanged", (Add,), _ratios(lambda one, other: (other, one)), _two_terms),
    Mutation("sum: first ratio for both", (Add,), _ratios(lambda one, other: (one, one)), _two_terms),
    Mutation("sum: ratios ignored", (Add,), _ratios(lambda one, other: (np.float32(1), np.float32(1))), _two_terms),
    Mutation("mean: greatest", (GlobalMean,), _call(0, lambda _, a: (np.maximum.reduce, a))),
    Mutation("mean: last row missing", (GlobalMean,), _call(0, lambda f, a: (f, (a[0][:-1], *a[1:])))),
    Mutation("mean: wrong count", (GlobalMean,), _call(1, lambda f, a: (f, (a[0], a[1] * np.float32(0.98), a[2])))),
    Mutation("inputs: exchanged", (Concatenation,), _swap_sources),
    Mutation("margins: on the other side", (Pad,), _move_place),
    Mutation("margins: not zero", (Pad,), _call(0, lambda f, _: (f, (16.0,)))),
    Mutation("softmax: no exponential", (Softmax,), _computed(lambda calls: [c for c in calls if c[0] is not np.exp])),
    Mutation(
        "steps: 5 % off",
        (Rescale,),
        _call(0, lambda f, a: (f, (a[0], a[1] * np.float32(1.05), a[2]))),
        lambda k: k.codes.quantised,
    ),
    Mutation("order: reversed", (Reshape,), _assign(lambda rows: rows[::-1, ::-1, ::-1])),
)
