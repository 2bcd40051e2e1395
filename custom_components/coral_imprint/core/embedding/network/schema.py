"""What is read and written of TFLite's schema, as small frozen records: tensors and the steps between them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

IDENTIFIER = b"TFL3"
DTYPES: Mapping[int, str] = {0: "f4", 1: "f2", 2: "i4", 3: "u1", 4: "i8", 6: "?", 7: "i2", 9: "i1", 10: "f8"}
PADDINGS = ("SAME", "VALID")
ACTIVATIONS = ("NONE", "RELU", "RELU_N1_TO_1", "RELU6", "TANH", "SIGN_BIT")

_CONV = ("StrideH", "StrideW", "DilationHFactor", "DilationWFactor", "Padding", "FusedActivationFunction")
OPTIONS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "ADD": ("AddOptions", ("FusedActivationFunction",)),
    "AVERAGE_POOL_2D": (
        "Pool2DOptions",
        ("StrideH", "StrideW", "FilterHeight", "FilterWidth", "Padding", "FusedActivationFunction"),
    ),
    "CONCATENATION": ("ConcatenationOptions", ("Axis", "FusedActivationFunction")),
    "CONV_2D": ("Conv2DOptions", _CONV),
    "DEPTHWISE_CONV_2D": ("DepthwiseConv2DOptions", _CONV),
    "FULLY_CONNECTED": ("FullyConnectedOptions", ("FusedActivationFunction", "WeightsFormat", "KeepNumDims")),
    "L2_NORMALIZATION": ("L2NormOptions", ("FusedActivationFunction",)),
    "MEAN": ("ReducerOptions", ("KeepDims",)),
    "SOFTMAX": ("SoftmaxOptions", ("Beta",)),
}


@dataclass(frozen=True)
class Quantisation:
    """How codes stand for real numbers: ``real = scale · (code − zero_point)``, per tensor or per slice of ``axis``."""

    scale: NDArray[np.float32]
    """Shape (1,) or (slices,); finite and positive."""
    zero_point: NDArray[np.int64]
    """Shape of ``scale``; within the range of the tensor's dtype."""
    axis: int
    """The axis that the slices are of; 0 where there is one scale."""


@dataclass(frozen=True)
class Tensor:
    """A tensor of the graph, constant where it has data."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    quantisation: Quantisation | None
    data: NDArray[Any] | None
    """A read-only view of the file's bytes in the tensor's shape and dtype; None for what is computed."""


@dataclass(frozen=True)
class Operator:
    """A step of the graph."""

    kind: str
    """The name in TFLite's schema, such as ``CONV_2D``."""
    inputs: tuple[int, ...]
    """Indices of tensors; −1 for an optional input that is absent."""
    outputs: tuple[int, ...]
    options: Mapping[str, Any]
    """Fields of the schema's options by their name there; padding and activation by name. Empty for kinds without any."""
