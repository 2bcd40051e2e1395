"""The compiler: a model becomes a list of calls of NumPy's functions on arrays that exist already."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from ...errors import UnsupportedOperator
from ...network.model import Model, Operator
from .codes import Call
from .compiled_graph import CompiledGraph
from .convolution import Convolution, DepthwiseConvolution
from .elementwise import Add, Concatenation, Pad, Rescale, Reshape
from .kernel import Kernel
from .reduction import AveragePool, FullyConnected, GlobalMean, L2Normalisation, Softmax
from .windows import Windows


def _pool(graph: CompiledGraph, operator: Operator) -> Kernel:
    """Take the short way where a pool's one window is the map."""
    kernel = AveragePool(graph, operator)
    whole = kernel.target.shape[:2] == (1, 1) and not kernel.windows.border
    covers = (kernel.windows.rows.taps, kernel.windows.columns.taps) == kernel.source.shape[:2]
    return GlobalMean(graph, operator) if whole and covers else kernel


_KERNELS: Mapping[str, Callable[[CompiledGraph, Operator], Kernel]] = {
    "ADD": Add,
    "AVERAGE_POOL_2D": _pool,
    "CONCATENATION": Concatenation,
    "CONV_2D": Convolution,
    "DEPTHWISE_CONV_2D": DepthwiseConvolution,
    "DEQUANTIZE": Rescale,
    "FULLY_CONNECTED": FullyConnected,
    "L2_NORMALIZATION": L2Normalisation,
    "MEAN": GlobalMean,
    "PAD": Pad,
    "QUANTIZE": Rescale,
    "RELU": Rescale,
    "RELU6": Rescale,
    "RELU_N1_TO_1": Rescale,
    "RESHAPE": Reshape,
    "SOFTMAX": Softmax,
    "SQUEEZE": Reshape,
}


def compile_model(model: Model) -> tuple[CompiledGraph, list[Call]]:
    """Compile a model: a graph whose memory is allocated, and the calls that compute its output from its input.

    Raises UnsupportedOperator and UnsupportedModel for what the portable runtime lacks, ModelTooLarge for what takes too much
    memory or time, CorruptModel for shapes that do not belong together.
    """
    graph, stages = _planned(model)
    graph.arena.allocate()
    return graph, [call for stage in stages for call in _calls(graph, stage)]


def check_model(model: Model) -> None:
    """Raise what `compile_model` would raise; nothing is allocated but the weights, for a moment."""
    with np.errstate(all="ignore"):
        _planned(model)


def _planned(model: Model) -> tuple[CompiledGraph, list[tuple[Kernel, ...]]]:
    """Build the kernels and place their memory."""
    graph = CompiledGraph(model)
    kernels = _kernels(graph)
    _widen(kernels)
    stages = list(_stages(graph, kernels))
    _reserve(graph, stages)
    graph.place()
    return graph, stages


def _kernels(graph: CompiledGraph) -> list[Kernel]:
    """Build the kernels, working constants out where an operator only unpacks one."""
    graph.add_value(graph.model.input)
    kernels = []
    for operator in graph.model.operators:
        if operator.kind not in _KERNELS:
            raise UnsupportedOperator(
                f"The portable runtime lacks the operator {operator.kind}", operator=operator.kind
            )
        if operator.kind == "DEQUANTIZE" and operator.inputs and operator.inputs[0] in graph.constants:
            # Weights in float16 or with scales: the layers unpack them anyway.
            graph.constants[operator.outputs[0]] = graph.constants[operator.inputs[0]]
            continue
        for index in operator.outputs:
            graph.add_value(index)
        kernels.append(_KERNELS[operator.kind](graph, operator))
    return kernels


def _widen(kernels: Sequence[Kernel]) -> None:
    """Give each value the border that its readers' windows need."""
    for kernel in kernels:
        windows: Windows | None = getattr(kernel, "windows", None)
        if windows is not None:
            kernel.source.border |= windows.border


def _stages(graph: CompiledGraph, kernels: Sequence[Kernel]) -> Iterator[tuple[Kernel, ...]]:
    """Yield kernels in order, a depthwise convolution together with the pointwise one that alone reads it."""
    readers: dict[int, int] = {graph.model.output: 1}
    for kernel in kernels:
        for index in kernel.operator.inputs:
            readers[index] = readers.get(index, 0) + 1
    taken = False
    for kernel, following in zip(kernels, [*kernels[1:], None], strict=True):
        if taken:
            taken = False
            continue
        taken = (
            isinstance(kernel, DepthwiseConvolution)
            and isinstance(following, Convolution)
            and following.source is kernel.target
            and following.windows.single
            and not following.source.border
            and readers[kernel.operator.outputs[0]] == 1
        )
        if taken and following is not None:
            kernel.target.band = following.band
            yield kernel, following
        else:
            yield (kernel,)


def _reserve(graph: CompiledGraph, stages: Sequence[tuple[Kernel, ...]]) -> None:
    """Reserve the memory of every value, from the stage that writes it to the last that reads it, and all scratch."""
    lives: dict[int, tuple[int, int]] = {graph.model.input: (0, 0)}
    for number, stage in enumerate(stages):
        for kernel in stage:
            for index in kernel.operator.outputs:
                lives[index] = (number, number)
            for index in kernel.operator.inputs:
                if index in lives:
                    lives[index] = (lives[index][0], number)
    lives[graph.model.output] = (lives[graph.model.output][0], len(stages))
    for index, (first, last) in lives.items():
        graph.values[index].reserve(graph.arena, first, last)
    for number, stage in enumerate(stages):
        graph.step = number
        for kernel in stage:
            kernel.reserve()


def _calls(graph: CompiledGraph, stage: tuple[Kernel, ...]) -> Iterator[Call]:
    """Yield a stage's calls, band by band."""
    last = stage[-1]
    for kernel in stage:
        yield from kernel.target.clear_border(graph.arena)
    height = last.target.shape[0]
    for first in range(0, height, last.band):
        for kernel in stage:
            yield from kernel.calls(first, min(height, first + last.band))
