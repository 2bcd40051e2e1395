"""The reader of TFLite models: a flatbuffer, checked and turned into small frozen records, up to the embedding.

A file comes from a download or from a user: nothing in it is believed. Every index, length and size is checked against the
file before it is used, so that a damaged or hostile file ends in a named error.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
import math
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .errors import CorruptModel, UnsupportedModel, UnsupportedOperator

if TYPE_CHECKING:
    import tflite

LARGEST_GRAPH = 4_000
"""Tensors, operators or buffers that a graph may have; MobileNets have fewer than 200."""

LARGEST_TENSOR = 1 << 24
"""Elements that one tensor may have (64 MiB as float32)."""

IDENTIFIER = b"TFL3"
DTYPES: Mapping[int, str] = {0: "f4", 1: "f2", 2: "i4", 3: "u1", 4: "i8", 6: "?", 7: "i2", 9: "i1", 10: "f8"}
PADDINGS = ("SAME", "VALID")
ACTIVATIONS = ("NONE", "RELU", "RELU_N1_TO_1", "RELU6", "TANH", "SIGN_BIT")
_PLAIN = frozenset({"RESHAPE", "QUANTIZE", "DEQUANTIZE", "SQUEEZE"})

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

GARBAGE = (struct.error, IndexError, TypeError, ValueError, OverflowError, AssertionError)
"""What the flatbuffers package raises when offsets lead nowhere."""


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


@dataclass(frozen=True)
class Model:
    """A graph from a picture to its embedding."""

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    """In order of execution, only those that the embedding needs."""
    input: int
    """The tensor that takes the picture: 1×H×W×3, uint8, int8 or float32."""
    output: int
    """The tensor that holds the embedding; all its axes but the last are 1."""
    kept: int
    """How many of the file's operators, from the first, a runtime has to execute."""

    @property
    def input_size(self) -> tuple[int, int]:
        """Width and height of the picture, in pixels."""
        _, height, width, _ = self.tensors[self.input].shape
        return width, height

    @property
    def length(self) -> int:
        """Numbers in the embedding."""
        return self.tensors[self.output].shape[-1]


def read_model(data: bytes) -> Model:
    """Read a TFLite file up to its embedding.

    The embedding is the model's output where that is an L2-normalised vector; else the last global pool (AVERAGE_POOL_2D over the
    whole map, MEAN over height and width) that everything the output shows must pass, which makes an extractor of a
    classifier; else the model's output if it is a vector.

    Raises CorruptModel for a file that is no TFLite model, is truncated or contradicts itself, UnsupportedOperator for custom
    operators and ones that the schema doesn't know, UnsupportedModel for graphs that turn no picture into a vector.
    """
    if len(data) < 8 or data[4:8] != IDENTIFIER:
        raise CorruptModel("The file is not a TFLite model")
    import tflite  # noqa: PLC0415 - a hundred modules, needed only where a model is read

    try:
        return Reader(data, tflite.Model.GetRootAs(data, 0)).model()
    except GARBAGE as error:
        raise CorruptModel(f"The model's file is damaged: {error}") from error


_EDGETPU = "CUSTOM edgetpu-custom-op"


class Reader:
    """One reading of one file."""

    def __init__(self, data: bytes, root: "tflite.Model") -> None:
        """Take the file and its root table."""
        import tflite  # noqa: PLC0415

        self._data = data
        self._schema = tflite
        self._root = root
        # The vectors of a sound file hardly overlap. One that sends us over the same bytes again and again is hostile.
        self._budget = 4 * len(data)
        self._kinds = {
            code: name
            for name, code in vars(tflite.BuiltinOperator).items()
            if not name.startswith("_") and name.isupper()
        }

    def model(self) -> Model:
        """Read everything and find the embedding."""
        if self._count(self._root.SubgraphsLength(), "subgraphs") < 1:
            raise CorruptModel("The model has no graph")
        graph = self._root.Subgraphs(0)
        codes = [
            self._root.OperatorCodes(i) for i in range(self._count(self._root.OperatorCodesLength(), "operator codes"))
        ]
        tensors = tuple(self._tensor(graph.Tensors(i)) for i in range(self._count(graph.TensorsLength(), "tensors")))
        operators = [
            self._operator(graph.Operators(i), codes, len(tensors))
            for i in range(self._count(graph.OperatorsLength(), "operators"))
        ]
        inputs = self._indices(graph.InputsLength(), graph.InputsAsNumpy, len(tensors))
        outputs = self._indices(graph.OutputsLength(), graph.OutputsAsNumpy, len(tensors))
        check_ends(tensors, inputs, outputs)
        check_order(tensors, operators, inputs)
        embedding = _find_embedding(tensors, operators, inputs[0], outputs[0])
        needed = _ancestors(operators, embedding)
        for index in needed:
            if operators[index].kind == _EDGETPU:
                raise UnsupportedModel("The file was compiled for the Edge TPU: take the same model's file for the CPU")
            if operators[index].kind.startswith("CUSTOM"):
                raise UnsupportedOperator(
                    f"The model needs the operator {operators[index].kind}", operator=operators[index].kind
                )
        return Model(
            tensors,
            tuple(operators[index] for index in needed),
            inputs[0],
            embedding,
            needed[-1] + 1 if needed else 0,
        )

    def _count(self, length: int, what: str) -> int:
        if length > LARGEST_GRAPH:
            raise CorruptModel(f"The model claims to have {length} {what}")
        self._spend(4 * length)
        return length

    def _spend(self, size: int) -> None:
        self._budget -= size
        if self._budget < 0:
            raise CorruptModel("The model's parts are longer than its file")

    def _indices(self, length: int, read: Any, tensors: int) -> tuple[int, ...]:
        """Read a vector of indices of tensors, −1 standing for none."""
        if not self._count(length, "ends"):
            return ()
        indices = tuple(int(index) for index in read())
        if any(not -1 <= index < tensors for index in indices):
            raise CorruptModel("The model refers to a tensor that it does not have")
        return indices

    def _tensor(self, tensor: "tflite.Tensor") -> Tensor:
        name = tensor.Name() or b""
        self._spend(len(name))
        rank = tensor.ShapeLength()
        if rank > 8:
            raise CorruptModel(f"A tensor claims to have {rank} axes")
        shape = tuple(int(side) for side in tensor.ShapeAsNumpy()) if rank else ()
        if any(side < 0 for side in shape) or math.prod(shape) > LARGEST_TENSOR:
            raise CorruptModel(f"A tensor claims the shape {shape}")
        if tensor.Type() not in DTYPES or tensor.Sparsity() is not None:
            raise UnsupportedModel(f"The model has a sparse tensor or one of type {tensor.Type()}")
        dtype = np.dtype(DTYPES[tensor.Type()])
        return Tensor(
            name.decode("utf-8", "replace"),
            shape,
            dtype,
            self._quantisation(tensor, shape, dtype),
            self._constant(tensor.Buffer(), shape, dtype),
        )

    def _quantisation(
        self, tensor: "tflite.Tensor", shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> Quantisation | None:
        parameters = tensor.Quantization()
        slices = parameters.ScaleLength() if parameters is not None else 0
        if not slices:
            return None
        axis = parameters.QuantizedDimension() if slices > 1 else 0
        if parameters.ZeroPointLength() not in (0, slices) or (
            slices > 1 and not (0 <= axis < len(shape) and shape[axis] == slices)
        ):
            raise CorruptModel("A tensor's quantisation does not match its shape")
        self._spend(12 * slices)
        scale = parameters.ScaleAsNumpy().astype(np.float32)
        zero = parameters.ZeroPointAsNumpy() if parameters.ZeroPointLength() else np.zeros(slices)
        if not (np.isfinite(scale).all() and (scale > 0).all()):
            raise CorruptModel("A tensor's quantisation has a scale that is no positive number")
        limits = np.iinfo(dtype) if dtype.kind in "iu" else np.iinfo(np.int32)
        if zero.min() < limits.min or zero.max() > limits.max:
            raise CorruptModel("A tensor's quantisation has a zero point out of range")
        return Quantisation(scale, zero.astype(np.int64), axis)

    def _constant(self, index: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any] | None:
        if not 0 <= index < max(1, self._root.BuffersLength()):
            raise CorruptModel("A tensor refers to a buffer that the model does not have")
        if index == 0:
            return None
        buffer = self._root.Buffers(index)
        if buffer.Offset() > 1:
            raw = np.frombuffer(self._data, np.uint8, buffer.Size(), buffer.Offset())
        elif buffer.DataLength():
            raw = buffer.DataAsNumpy()
        else:
            return None
        if raw.size != math.prod(shape) * dtype.itemsize:
            raise CorruptModel(f"A tensor of shape {shape} has {raw.size} bytes")
        view: NDArray[Any] = raw.view(dtype.newbyteorder("<")).reshape(shape)
        if dtype.kind == "f" and not np.isfinite(view).all():
            raise CorruptModel("A constant holds a value that is no number")
        return view

    def _operator(self, operator: "tflite.Operator", codes: Sequence["tflite.OperatorCode"], tensors: int) -> Operator:
        if not 0 <= operator.OpcodeIndex() < len(codes):
            raise CorruptModel("The model refers to an operator that it does not have")
        code = codes[operator.OpcodeIndex()]
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        if number not in self._kinds:
            raise UnsupportedOperator(f"The model needs the unknown operator number {number}", operator=str(number))
        kind = self._kinds[number]
        if kind == "CUSTOM":
            custom = code.CustomCode() or b""
            self._spend(len(custom))
            kind = f"CUSTOM {custom.decode('utf-8', 'replace')}"
        outputs = self._indices(operator.OutputsLength(), operator.OutputsAsNumpy, tensors)
        if not outputs or -1 in outputs:
            raise CorruptModel(f"The operator {kind} has no output")
        inputs = self._indices(operator.InputsLength(), operator.InputsAsNumpy, tensors)
        if -1 in inputs[:2]:
            raise CorruptModel(f"The operator {kind} lacks an input")
        return Operator(kind, inputs, outputs, self._options(operator, kind))

    def _options(self, operator: "tflite.Operator", kind: str) -> Mapping[str, Any]:
        if kind not in OPTIONS:
            return {}
        schema, fields = OPTIONS[kind]
        table = operator.BuiltinOptions()
        if table is None or operator.BuiltinOptionsType() != getattr(self._schema.BuiltinOptions, schema):
            raise CorruptModel(f"The operator {kind} lacks its options")
        reader = getattr(self._schema, schema)()
        reader.Init(table.Bytes, table.Pos)
        options = {field: getattr(reader, field)() for field in fields}
        for field, names in (("Padding", PADDINGS), ("FusedActivationFunction", ACTIVATIONS)):
            if field in options:
                if not 0 <= options[field] < len(names):
                    raise CorruptModel(f"The operator {kind} has an unknown {field}")
                options[field] = names[options[field]]
        return options


def check_ends(tensors: Sequence[Tensor], inputs: Sequence[int], outputs: Sequence[int]) -> None:
    """Refuse graphs that take anything but one picture or return anything but one tensor."""
    if len(inputs) != 1 or len(outputs) != 1 or -1 in (*inputs, *outputs):
        raise UnsupportedModel(f"The model has {len(inputs)} inputs and {len(outputs)} outputs, not one of each")
    picture = tensors[inputs[0]]
    if picture.dtype.name not in ("uint8", "int8", "float32"):
        raise UnsupportedModel(f"The model's input is of type {picture.dtype.name}")
    if len(picture.shape) != 4 or picture.shape[0] != 1 or picture.shape[3] != 3 or 0 in picture.shape:
        raise UnsupportedModel(f"The model's input has the shape {picture.shape}, not 1×height×width×3")


def check_order(tensors: Sequence[Tensor], operators: Sequence[Operator], inputs: Sequence[int]) -> None:
    """Refuse graphs where a step reads what has not been computed, or writes what exists."""
    known = {index for index, tensor in enumerate(tensors) if tensor.data is not None} | set(inputs)
    for operator in operators:
        for index in operator.inputs:
            # An empty constant (the axes of a reduction over none) has no bytes.
            if index >= 0 and index not in known and 0 not in tensors[index].shape:
                raise CorruptModel(f"The operator {operator.kind} reads a tensor before it is computed")
        if not known.isdisjoint(operator.outputs):
            raise CorruptModel(f"The operator {operator.kind} writes a tensor that exists already")
        known.update(operator.outputs)


def _ancestors(operators: Sequence[Operator], tensor: int, border: int = -1) -> list[int]:
    """Return the indices of the operators that ``tensor`` depends on, not looking behind the tensor ``border``."""
    wanted = {tensor} - {border}
    found = []
    for index in range(len(operators) - 1, -1, -1):
        if not wanted.isdisjoint(operators[index].outputs):
            found.append(index)
            wanted.update(i for i in operators[index].inputs if i not in (-1, border))
    return found[::-1]


def _pools_all(operator: Operator, tensors: Sequence[Tensor]) -> bool:
    """Whether an operator averages a whole map of several places into one vector."""
    source = tensors[operator.inputs[0]].shape if operator.inputs and operator.inputs[0] >= 0 else ()
    target = tensors[operator.outputs[0]].shape
    if len(source) != 4 or source[1] * source[2] < 2 or math.prod(target) != source[3]:
        return False
    if operator.kind == "AVERAGE_POOL_2D":
        return bool(operator.options["FilterHeight"] >= source[1] and operator.options["FilterWidth"] >= source[2])
    if operator.kind != "MEAN" or len(operator.inputs) < 2:
        return False
    axes = tensors[operator.inputs[1]].data
    return axes is not None and sorted(int(axis) % 4 for axis in axes.flat) == [1, 2]


def _find_embedding(tensors: Sequence[Tensor], operators: Sequence[Operator], picture: int, output: int) -> int:
    """Return the tensor that holds the embedding, as `read_model` describes."""
    path = _ancestors(operators, output)
    ends = [operators[index].kind for index in path if operators[index].kind not in _PLAIN]
    if not (ends and ends[-1] == "L2_NORMALIZATION"):
        pools = [index for index in path if _pools_all(operators[index], tensors)]
        if pools:
            pooled = operators[pools[-1]].outputs[0]
            behind = _ancestors(operators, output, pooled)
            if all(picture not in operators[index].inputs for index in behind):
                return pooled
    shape = tensors[output].shape
    if not shape or shape[-1] < 2 or math.prod(shape) != shape[-1] or not path:
        raise UnsupportedModel(f"The model has no vector to stop at: its output has the shape {shape}")
    return output
