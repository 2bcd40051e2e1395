"""Arithmetic of quantised graphs in float32.

A quantised tensor is held as its codes less the zero point: whole numbers in float32, so that padding is zero. A layer's weights carry
all scales (input · weight / output): its sums come out in steps of its output, are rounded and held to the range of the
output's codes, as the integer arithmetic of TFLite does (Jacob et al., arXiv 1712.05877, section 2). Float tensors are held as
they are, with scale 1 and no limits.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...errors import CorruptModel, UnsupportedModel, UnsupportedOperator
from ...network.model import Tensor

Floats: TypeAlias = NDArray[np.float32]
Call: TypeAlias = tuple[Callable[..., object], tuple[object, ...]]
"""One step of a program: a function of NumPy and its arguments, the last of them the array that takes the result."""

_ACTIVATIONS: Mapping[str, tuple[float, float]] = {
    "NONE": (-np.inf, np.inf),
    "RELU": (0.0, np.inf),
    "RELU6": (0.0, 6.0),
    "RELU_N1_TO_1": (-1.0, 1.0),
}

_LEAST_SCALE: Final = 1e-9
_MOST_SCALE: Final = 1e6
"""Steps of what networks compute lie far within these; native interpreters end the process over absurd ratios of steps."""


@dataclass(frozen=True)
class Codes:
    """How a tensor's numbers are held."""

    scale: float = 1.0
    """What one step means."""
    zero: int = 0
    """The code that means 0; it is held as 0."""
    low: float = -np.inf
    """The least number held, in steps; infinite for float tensors without activation."""
    high: float = np.inf
    quantised: bool = False

    def activated(self, activation: str) -> "Codes":
        """Return the same with the limits of a fused activation."""
        if activation not in _ACTIVATIONS:
            raise UnsupportedOperator(f"The activation {activation} is not supported", operator=activation)
        low, high = (limit / self.scale for limit in _ACTIVATIONS[activation])
        if self.quantised:
            low, high = np.rint(low), np.rint(high)
        return replace(self, low=max(self.low, low), high=min(self.high, high))

    def store(self, sums: Floats, target: Floats) -> list[Call]:
        """Round and limit ``sums`` (which is overwritten) into ``target``, of the same shape."""
        if self.quantised:
            return [(np.rint, (sums, sums)), (sums.clip, (np.float32(self.low), np.float32(self.high), target))]
        if np.isinf([self.low, self.high]).all():
            return [(np.copyto, (target, sums))]
        return [(sums.clip, (np.float32(self.low), np.float32(self.high), target))]


def codes_of(tensor: Tensor) -> Codes:
    """Return how a computed tensor is held. Raises UnsupportedModel for other dtypes than uint8, int8 and float32."""
    if tensor.dtype.name == "float32":
        return Codes()
    if tensor.dtype.name not in ("uint8", "int8"):
        raise UnsupportedModel(f"The portable runtime has no tensors of type {tensor.dtype.name}")
    if tensor.quantisation is None:
        raise CorruptModel(f"A computed tensor of type {tensor.dtype.name} lacks its quantisation")
    if tensor.quantisation.scale.size != 1:
        raise UnsupportedModel("The portable runtime has no computed tensors with several scales")
    if not _LEAST_SCALE <= tensor.quantisation.scale[0] <= _MOST_SCALE:
        raise CorruptModel(f"A computed tensor has steps of {tensor.quantisation.scale[0]}")
    limits = np.iinfo(tensor.dtype)
    zero = int(tensor.quantisation.zero_point[0])
    return Codes(float(tensor.quantisation.scale[0]), zero, limits.min - zero, limits.max - zero, quantised=True)


def real_values(tensor: Tensor) -> NDArray[np.floating[Any]]:
    """Return what a constant means, in its own shape. Raises CorruptModel where it has no data."""
    if tensor.data is None:
        raise CorruptModel("A constant has no data")
    if tensor.quantisation is None or tensor.dtype.kind == "f":
        return tensor.data.astype(np.float32)
    values = tensor.data.astype(np.float64)
    sides = [1] * values.ndim
    if tensor.quantisation.scale.size > 1:
        sides[tensor.quantisation.axis] = -1
    scale = tensor.quantisation.scale.astype(np.float64).reshape(sides)
    return (values - tensor.quantisation.zero_point.reshape(sides)) * scale


@dataclass(frozen=True)
class LayerConstants:
    """The constants of a layer: ``target = store((weights · source + bias) · steps)``."""

    weights: Floats
    """In the shape of the model's tensor."""
    bias: Floats
    """Shape (outputs,)."""
    steps: Floats | None
    """Steps of the target per unit of the sums: shape (1,) or (outputs,); None where a unit is a step."""

    def finish(self, sums: Floats, bias: Floats, steps: Floats | None, codes: Codes, target: Floats) -> Iterator[Call]:
        """Yield what turns sums into the target, given bias and steps repeated to the shape of a row of sums."""
        yield np.add, (sums, bias, sums)
        if steps is not None:
            yield np.multiply, (sums, steps, sums)
        yield from codes.store(sums, target)


def layer_of(weights: Tensor, bias: Tensor | None, axis: int, source: Codes, target: Codes) -> LayerConstants:
    """Return a layer's constants; ``axis`` of the weights counts its outputs.

    A quantised layer keeps its weights as whole numbers, so that sums below 2²⁴ are exact and are rounded just as XNNPACK, which
    LiteRT uses, rounds them. Its bias has the scale input · weight, whatever its own record says (TFLite's quantisation
    specification).
    """
    outputs = weights.shape[axis]
    if bias is not None and (bias.data is None or bias.data.size != outputs):
        raise CorruptModel("A layer's bias does not match its weights")
    offsets = np.zeros(outputs) if bias is None or bias.data is None else bias.data.astype(np.float64).reshape(-1)
    quantisation = weights.quantisation
    if quantisation is None and weights.dtype.name in ("uint8", "int8"):
        raise CorruptModel("A layer's weights lack their quantisation")
    if not (source.quantised and target.quantised and quantisation is not None and weights.data is not None):
        if source.quantised or target.quantised or (bias is not None and bias.dtype.kind != "f"):
            raise UnsupportedModel("The portable runtime has no layers that mix quantised and float tensors")
        return LayerConstants(real_values(weights).astype(np.float32, copy=False), offsets.astype(np.float32), None)
    if bias is not None and (bias.dtype.kind != "i" or (bias.quantisation and bias.quantisation.zero_point.any())):
        raise CorruptModel("A quantised layer has a bias that is not")
    if quantisation.scale.size > 1 and quantisation.axis != axis:
        raise UnsupportedModel("The portable runtime has one weight scale per layer or per output")
    sides = [1] * weights.data.ndim
    if quantisation.scale.size > 1:
        sides[quantisation.axis] = -1
    whole = weights.data.astype(np.float32)
    whole -= quantisation.zero_point.astype(np.float32).reshape(sides)
    steps = np.float32(source.scale) * quantisation.scale / np.float32(target.scale)
    return LayerConstants(whole, offsets.astype(np.float32), steps)


def tiled(values: Floats, width: int) -> Floats:
    """Repeat values (channels,) along a row of ``width`` places, so that NumPy's inner loops are a row long."""
    return np.tile(values, width) if values.size > 1 else values
