"""Writing small TFLite files, so that tests can check the runtimes on graphs of their own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
from numpy.typing import NDArray
import tflite

_TYPES = {"float32": 0, "float16": 1, "int32": 2, "uint8": 3, "int64": 4, "int16": 7, "int8": 9}
_OPTIONS = {
    "ADD": "AddOptions",
    "AVERAGE_POOL_2D": "Pool2DOptions",
    "CONCATENATION": "ConcatenationOptions",
    "CONV_2D": "Conv2DOptions",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
    "FULLY_CONNECTED": "FullyConnectedOptions",
    "L2_NORMALIZATION": "L2NormOptions",
    "MEAN": "ReducerOptions",
    "MUL": "MulOptions",
    "RESHAPE": "ReshapeOptions",
    "SOFTMAX": "SoftmaxOptions",
}


@dataclass(frozen=True)
class Scale:
    """Quantisation of a tensor; several scales are one per slice of ``axis``."""

    scale: Sequence[float]
    zero: int = 0
    axis: int = 0


@dataclass
class _Tensor:
    shape: Sequence[int]
    dtype: str
    scale: Scale | None
    data: NDArray[Any] | None


@dataclass
class _Operator:
    kind: str
    inputs: Sequence[int]
    outputs: Sequence[int]
    options: Mapping[str, Any]


@dataclass
class GraphBuilder:
    """Collects a graph's parts, then writes the file."""

    tensors: list[_Tensor] = field(default_factory=list)
    operators: list[_Operator] = field(default_factory=list)

    def tensor(self, shape: Sequence[int], dtype: str, scale: Scale | None = None) -> int:
        """Add a tensor that is computed; returns its index."""
        self.tensors.append(_Tensor(shape, dtype, scale, None))
        return len(self.tensors) - 1

    def constant(self, data: NDArray[Any], scale: Scale | None = None) -> int:
        """Add a constant; returns its index."""
        self.tensors.append(_Tensor(data.shape, data.dtype.name, scale, data))
        return len(self.tensors) - 1

    def operator(self, kind: str, inputs: Sequence[int], output: int, **options: Any) -> int:
        """Add an operator with the options of its kind, by their names in the schema; returns ``output``."""
        self.operators.append(_Operator(kind, inputs, [output], options))
        return output

    def build(self, inputs: Sequence[int], outputs: Sequence[int], signature: bool = False) -> bytes:
        """Write the file, with a signature that names its ends if wanted."""
        builder = flatbuffers.Builder(1024)
        kinds = sorted({operator.kind for operator in self.operators})
        buffers = [self._buffer(builder, None)]
        tensors = []
        for number, tensor in enumerate(self.tensors):
            if tensor.data is not None:
                buffers.append(self._buffer(builder, tensor.data))
            tensors.append(self._tensor(builder, f"tensor{number}", tensor, len(buffers) - 1))
        operators = [self._operator(builder, operator, kinds) for operator in self.operators]
        graph = _table(
            builder,
            "SubGraph",
            Tensors=_offsets(builder, tensors),
            Inputs=_integers(builder, inputs),
            Outputs=_integers(builder, outputs),
            Operators=_offsets(builder, operators),
        )
        parts = {
            "Subgraphs": _offsets(builder, [graph]),
            "OperatorCodes": _offsets(builder, [self._code(builder, kind) for kind in kinds]),
            "Buffers": _offsets(builder, buffers),
        }
        if signature:
            ends = {
                "Inputs": _offsets(builder, [_end(builder, "picture", inputs[0])]),
                "Outputs": _offsets(builder, [_end(builder, "result", outputs[0])]),
                "SignatureKey": builder.CreateString("serving_default"),
            }
            parts["SignatureDefs"] = _offsets(builder, [_table(builder, "SignatureDef", **ends)])
        builder.Finish(_table(builder, "Model", Version=3, **parts), file_identifier=b"TFL3")
        return bytes(builder.Output())

    @staticmethod
    def _buffer(builder: Any, data: NDArray[Any] | None) -> int:
        if data is None:
            return _table(builder, "Buffer")
        return _table(builder, "Buffer", Data=builder.CreateByteVector(data.tobytes()))

    @staticmethod
    def _tensor(builder: Any, name: str, tensor: _Tensor, buffer: int) -> int:
        parts = {
            "Name": builder.CreateString(name),
            "Shape": _integers(builder, tensor.shape),
            "Type": _TYPES[tensor.dtype],
            "Buffer": buffer if tensor.data is not None else 0,
        }
        if tensor.scale is not None:
            scales = builder.CreateNumpyVector(np.asarray(tensor.scale.scale, np.float32))
            zeros = builder.CreateNumpyVector(np.full(len(tensor.scale.scale), tensor.scale.zero, np.int64))
            parts["Quantization"] = _table(
                builder,
                "QuantizationParameters",
                Scale=scales,
                ZeroPoint=zeros,
                QuantizedDimension=tensor.scale.axis,
            )
        return _table(builder, "Tensor", **parts)

    @staticmethod
    def _code(builder: Any, kind: str) -> int:
        if kind.startswith("CUSTOM "):
            name = builder.CreateString(kind.removeprefix("CUSTOM "))
            return _table(builder, "OperatorCode", DeprecatedBuiltinCode=32, BuiltinCode=32, CustomCode=name)
        code = getattr(tflite.BuiltinOperator, kind)
        return _table(builder, "OperatorCode", DeprecatedBuiltinCode=min(code, 127), BuiltinCode=code, Version=1)

    @staticmethod
    def _operator(builder: Any, operator: _Operator, kinds: Sequence[str]) -> int:
        parts: dict[str, int] = {"OpcodeIndex": kinds.index(operator.kind)}
        if operator.kind in _OPTIONS:
            schema = _OPTIONS[operator.kind]
            parts["BuiltinOptionsType"] = getattr(tflite.BuiltinOptions, schema)
            parts["BuiltinOptions"] = _table(builder, schema, **operator.options)
        parts["Inputs"] = _integers(builder, operator.inputs)
        parts["Outputs"] = _integers(builder, operator.outputs)
        return _table(builder, "Operator", **parts)


def _table(builder: Any, schema: str, **fields: Any) -> int:
    """Write a table of the schema with the writers that come with it."""
    getattr(tflite, f"{schema}Start")(builder)
    for name, value in fields.items():
        getattr(tflite, f"{schema}Add{name}")(builder, value)
    offset: int = getattr(tflite, f"{schema}End")(builder)
    return offset


def _offsets(builder: Any, offsets: Sequence[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    vector: int = builder.EndVector()
    return vector


def _integers(builder: Any, numbers: Sequence[int]) -> int:
    vector: int = builder.CreateNumpyVector(np.asarray(numbers, np.int32))
    return vector


def _end(builder: Any, name: str, tensor: int) -> int:
    text = builder.CreateString(name)
    return _table(builder, "TensorMap", Name=text, TensorIndex=tensor)
