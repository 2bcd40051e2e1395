"""The reader of TFLite files: a flatbuffer, checked and turned into small frozen records, from the picture to the graph's end.

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

from ..errors import CorruptModel, UnsupportedModel, UnsupportedOperator
from .schema import ACTIVATIONS, DTYPES, IDENTIFIER, OPTIONS, PADDINGS, Operator, Quantisation, Tensor

if TYPE_CHECKING:
    import tflite

LARGEST_GRAPH = 4_000
"""Tensors, operators or buffers that a graph may have; MobileNets have fewer than 200."""

LARGEST_TENSOR = 1 << 24
"""Elements that one tensor may have (64 MiB as float32)."""

GARBAGE = (struct.error, IndexError, TypeError, ValueError, OverflowError, AssertionError)
"""What the flatbuffers package raises when offsets lead nowhere."""


@dataclass(frozen=True)
class Graph:
    """All of a file's first graph, checked."""

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    """In order of execution; custom ones are called ``CUSTOM`` and their name."""
    input: int
    """The tensor that takes the picture: 1×H×W×3, uint8, int8 or float32."""
    output: int
    """The tensor that the graph returns."""

    def producer(self, tensor: int) -> Operator | None:
        """Return the operator that computes a tensor; None for constants and the picture."""
        return next((operator for operator in self.operators if tensor in operator.outputs), None)


def read_graph(data: bytes, *, alone: bool = True) -> Graph:
    """Read the first graph of a TFLite file; with ``alone`` it has to be the only one.

    The graph may have custom operators: nothing is executed. Raises CorruptModel for a file that is no TFLite model, is truncated
    or contradicts itself, UnsupportedOperator for operators that the schema doesn't know, UnsupportedModel for what can't be read
    here and for graphs that do not turn one picture into one tensor.
    """
    if len(data) < 8 or data[4:8] != IDENTIFIER:
        raise CorruptModel("The file is not a TFLite model")
    import tflite  # noqa: PLC0415 - a hundred modules, needed only where a model is read

    try:
        return _Reader(data, tflite.Model.GetRootAs(data, 0)).graph(alone)
    except GARBAGE as error:
        raise CorruptModel(f"The model's file is damaged: {error}") from error


def only_vector(tensors: Sequence[Tensor], tensor: int) -> int:
    """Return the length of a tensor whose axes but the last are all 1; raises UnsupportedModel for other shapes."""
    shape = tensors[tensor].shape
    if len(shape) < 2 or shape[-1] < 2 or any(side != 1 for side in shape[:-1]):
        raise UnsupportedModel(f"The model's output is no vector: it has the shape {shape}")
    return shape[-1]


class _Reader:
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

    def graph(self, alone: bool) -> Graph:
        """Read everything."""
        root = self._root
        graphs = self._count(root.SubgraphsLength(), "subgraphs")
        if graphs < 1:
            raise CorruptModel("The model has no graph")
        if alone and graphs > 1:
            raise UnsupportedModel(f"The model has {graphs} graphs, not one")
        graph = root.Subgraphs(0)
        codes = [root.OperatorCodes(i) for i in range(self._count(root.OperatorCodesLength(), "operator codes"))]
        tensors = tuple(self._tensor(graph.Tensors(i)) for i in range(self._count(graph.TensorsLength(), "tensors")))
        operators = tuple(
            self._operator(graph.Operators(i), codes, len(tensors))
            for i in range(self._count(graph.OperatorsLength(), "operators"))
        )
        inputs = self._indices(graph.InputsLength(), graph.InputsAsNumpy, len(tensors))
        outputs = self._indices(graph.OutputsLength(), graph.OutputsAsNumpy, len(tensors))
        _check_ends(tensors, inputs, outputs)
        _check_order(tensors, operators, inputs)
        return Graph(tensors, operators, inputs[0], outputs[0])

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


def _check_ends(tensors: Sequence[Tensor], inputs: Sequence[int], outputs: Sequence[int]) -> None:
    """Refuse graphs that take anything but one picture or return anything but one tensor."""
    if len(inputs) != 1 or len(outputs) != 1 or -1 in (*inputs, *outputs):
        raise UnsupportedModel(f"The model has {len(inputs)} inputs and {len(outputs)} outputs, not one of each")
    picture = tensors[inputs[0]]
    if picture.dtype.name not in ("uint8", "int8", "float32"):
        raise UnsupportedModel(f"The model's input is of type {picture.dtype.name}")
    if len(picture.shape) != 4 or picture.shape[0] != 1 or picture.shape[3] != 3 or 0 in picture.shape:
        raise UnsupportedModel(f"The model's input has the shape {picture.shape}, not 1×height×width×3")


def _check_order(tensors: Sequence[Tensor], operators: Sequence[Operator], inputs: Sequence[int]) -> None:
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
