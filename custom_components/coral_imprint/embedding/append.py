"""Writing operators behind (and before) those of a TFLite file, whose own bytes are not touched.

The new file is the old one with another root in front of it: tables of a flatbuffer are referred to by distances that only go
forward, so that new lists can name old tables where they lie. What was compiled for an accelerator stays as it was, bit by bit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from .errors import CorruptModel, UnsupportedModel
from .model import GARBAGE, Operator, Tensor
from .wholegraph import Graph

if TYPE_CHECKING:
    from flatbuffers.table import Table

_ALIGNMENT: Final = 16
"""Bytes: TFLite's schema wants constants to begin at multiples of it. The old file as a whole does, so that its constants do."""

_TYPES: Final[Mapping[str, int]] = {"float32": 0, "int32": 2, "uint8": 3, "int8": 9}
_OPTIONS: Final[Mapping[str, str]] = {
    "ADD": "AddOptions",
    "DEQUANTIZE": "DequantizeOptions",
    "FULLY_CONNECTED": "FullyConnectedOptions",
    "L2_NORMALIZATION": "L2NormOptions",
    "MUL": "MulOptions",
    "QUANTIZE": "QuantizeOptions",
    "SOFTMAX": "SoftmaxOptions",
}
_VERSIONS: Final[Mapping[tuple[str, str], int]] = {
    ("DEQUANTIZE", "int8"): 2,
    ("FULLY_CONNECTED", "int8"): 4,
    ("L2_NORMALIZATION", "int8"): 2,
    ("SOFTMAX", "int8"): 2,
}
"""Versions of operators by their input, as TFLite numbers them; 1 for the others."""

# Places of fields in the tables of TFLite's schema: 4 + 2 · the field's number.
_MODEL_CODES, _MODEL_SUBGRAPHS, _MODEL_BUFFERS = 6, 8, 12
_GRAPH_TENSORS, _GRAPH_OPERATORS = 4, 10
_BUFFER_OFFSET = 6
_OPERATOR_FAR_OPTIONS = 22


@dataclass(frozen=True)
class Addition:
    """What a file gets."""

    graph: Graph
    """What the file has."""
    tensors: Sequence[Tensor]
    """Numbered on from the file's own."""
    before: Sequence[Operator]
    behind: Sequence[Operator]
    input: int
    output: int
    description: str
    """What the file says of itself."""


def append(data: bytes, addition: Addition) -> bytes:
    """Return a TFLite file that executes ``addition`` around what ``data`` executes.

    ``data`` was read by `read_graph`: its tables are sound. Its metadata and signatures are left behind: they describe another
    graph. Raises UnsupportedModel for files with constants outside their flatbuffer, CorruptModel for damaged ones.
    """
    try:
        return _Appender(data).file(addition)
    except GARBAGE as error:
        raise CorruptModel(f"The model's file is damaged: {error}") from error


class _Appender:
    """One writing of one file."""

    def __init__(self, data: bytes) -> None:
        """Put the old file at the end of a new one: flatbuffers are written from their end."""
        import flatbuffers  # noqa: PLC0415 - needed only where a model is exported
        from flatbuffers.table import Table  # noqa: PLC0415
        import tflite  # noqa: PLC0415

        self._schema = tflite
        self._length = -(-len(data) // _ALIGNMENT) * _ALIGNMENT
        self._builder: Any = flatbuffers.Builder(2 * self._length + (1 << 16))
        self._builder.head -= self._length
        self._builder.Bytes[self._builder.head : self._builder.head + len(data)] = data
        self._root = Table(bytearray(data), int.from_bytes(data[:4], "little"))

    def file(self, addition: Addition) -> bytes:
        """Write the new part."""
        graph = self._tables(self._root, _MODEL_SUBGRAPHS)[0]
        buffers = self._tables(self._root, _MODEL_BUFFERS)
        operators = self._tables(graph, _GRAPH_OPERATORS)
        far = [table.Offset(_BUFFER_OFFSET) for table in buffers]
        if any(far) or any(table.Offset(_OPERATOR_FAR_OPTIONS) for table in operators):
            raise UnsupportedModel("The model keeps constants outside its flatbuffer")
        codes = self._tables(self._root, _MODEL_CODES)
        old_tensors = self._tables(graph, _GRAPH_TENSORS)
        new_buffers, new_tensors = self._constants(addition.tensors, len(buffers))
        wanted = [_kind(operator, addition) for operator in (*addition.before, *addition.behind)]
        kinds = sorted(set(wanted))
        numbers = [len(codes) + kinds.index(kind) for kind in wanted]
        first = len(addition.before)
        before = [self._operator(*pair) for pair in zip(addition.before, numbers[:first], strict=True)]
        behind = [self._operator(*pair) for pair in zip(addition.behind, numbers[first:], strict=True)]
        subgraph = self._table(
            "SubGraph",
            Tensors=self._offsets([*self._old(old_tensors), *new_tensors]),
            Inputs=self._numbers(np.array([addition.input], np.int32)),
            Outputs=self._numbers(np.array([addition.output], np.int32)),
            Operators=self._offsets([*before, *self._old(operators), *behind]),
        )
        root = self._table(
            "Model",
            Version=3,
            OperatorCodes=self._offsets([*self._old(codes), *(self._code(*kind) for kind in kinds)]),
            Subgraphs=self._offsets([subgraph]),
            Description=self._builder.CreateString(addition.description),
            Buffers=self._offsets([*self._old(buffers), *new_buffers]),
        )
        # The length from the old file's beginning to the new one's is a multiple of the alignment too.
        self._builder.minalign = max(self._builder.minalign, _ALIGNMENT)
        self._builder.Finish(root, file_identifier=b"TFL3")
        return bytes(self._builder.Output())

    def _tables(self, parent: "Table", field: int) -> list["Table"]:
        """Return the tables of a list in the old file."""
        from flatbuffers.table import Table  # noqa: PLC0415

        offset = parent.Offset(field)
        if not offset:
            return []
        start = parent.Vector(offset)
        return [Table(parent.Bytes, parent.Indirect(start + 4 * i)) for i in range(parent.VectorLen(offset))]

    def _old(self, tables: Sequence["Table"]) -> list[int]:
        """Return where tables of the old file lie in the new one, from its end."""
        return [self._length - table.Pos for table in tables]

    def _constants(self, tensors: Sequence[Tensor], place: int) -> tuple[list[int], list[int]]:
        """Write tensors and what they hold; returns buffers and tensors."""
        buffers: list[int] = []
        written = []
        for tensor in tensors:
            number = 0
            if tensor.data is not None:
                number = place + len(buffers)
                buffers.append(self._table("Buffer", Data=self._bytes(tensor.data)))
            written.append(self._tensor(tensor, number))
        return buffers, written

    def _table(self, schema: str, **fields: Any) -> int:
        """Write a table of the schema; vectors and tables are given by their offsets."""
        getattr(self._schema, f"{schema}Start")(self._builder)
        for name, value in fields.items():
            getattr(self._schema, f"{schema}Add{name}")(self._builder, value)
        offset: int = getattr(self._schema, f"{schema}End")(self._builder)
        return offset

    def _numbers(self, values: NDArray[Any]) -> int:
        offset: int = self._builder.CreateNumpyVector(values)
        return offset

    def _offsets(self, offsets: Sequence[int]) -> int:
        self._builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self._builder.PrependUOffsetTRelative(offset)
        vector: int = self._builder.EndVector()
        return vector

    def _bytes(self, data: NDArray[Any]) -> int:
        """Write a constant, aligned."""
        raw = data.astype(data.dtype.newbyteorder("<")).tobytes()
        self._builder.StartVector(1, len(raw), _ALIGNMENT)
        self._builder.head -= len(raw)
        self._builder.Bytes[self._builder.head : self._builder.head + len(raw)] = raw
        vector: int = self._builder.EndVector()
        return vector

    def _tensor(self, tensor: Tensor, buffer: int) -> int:
        fields = {
            "Shape": self._numbers(np.array(tensor.shape, np.int32)),
            "Type": _TYPES[tensor.dtype.name],
            "Buffer": buffer,
            "Name": self._builder.CreateString(tensor.name),
        }
        if tensor.quantisation is not None:
            fields["Quantization"] = self._table(
                "QuantizationParameters",
                Scale=self._numbers(tensor.quantisation.scale),
                ZeroPoint=self._numbers(tensor.quantisation.zero_point),
                QuantizedDimension=tensor.quantisation.axis,
            )
        return self._table("Tensor", **fields)

    def _code(self, kind: str, version: int) -> int:
        code: int = getattr(self._schema.BuiltinOperator, kind)
        return self._table("OperatorCode", DeprecatedBuiltinCode=min(code, 127), BuiltinCode=code, Version=version)

    def _operator(self, operator: Operator, code: int) -> int:
        schema = _OPTIONS[operator.kind]
        return self._table(
            "Operator",
            OpcodeIndex=code,
            Inputs=self._numbers(np.array(operator.inputs, np.int32)),
            Outputs=self._numbers(np.array(operator.outputs, np.int32)),
            BuiltinOptionsType=getattr(self._schema.BuiltinOptions, schema),
            BuiltinOptions=self._table(schema, **operator.options),
        )


def _kind(operator: Operator, addition: Addition) -> tuple[str, int]:
    """Return the kind of an operator and the version that its input needs."""
    source = (*addition.graph.tensors, *addition.tensors)[operator.inputs[0]]
    return operator.kind, _VERSIONS.get((operator.kind, source.dtype.name), 1)
