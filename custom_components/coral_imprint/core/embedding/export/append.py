"""Writing operators behind (and before) those of a TFLite file, whose own bytes are not touched.

The new file is the old one with another root in front of it: tables of a flatbuffer are referred to by distances that only go
forward, so that new lists can name old tables where they lie. What was compiled for an accelerator stays as it was, bit by bit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..errors import CorruptModel, UnsupportedModel
from ..network.graph import GARBAGE, Graph
from ..network.schema import Operator, Tensor
from ..network.writer import FlatWriter

if TYPE_CHECKING:
    from flatbuffers.table import Table

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
        """Put the old file at the end of a new one."""
        from flatbuffers.table import Table  # noqa: PLC0415 - needed only where a model is exported

        self._writer = FlatWriter(behind=data)
        self._root = Table(bytearray(data), int.from_bytes(data[:4], "little"))

    def file(self, addition: Addition) -> bytes:
        """Write the new part."""
        writer = self._writer
        graph = self._tables(self._root, _MODEL_SUBGRAPHS)[0]
        buffers = self._tables(self._root, _MODEL_BUFFERS)
        operators = self._tables(graph, _GRAPH_OPERATORS)
        far = [table.Offset(_BUFFER_OFFSET) for table in buffers]
        if any(far) or any(table.Offset(_OPERATOR_FAR_OPTIONS) for table in operators):
            raise UnsupportedModel("The model keeps constants outside its flatbuffer")
        codes = self._tables(self._root, _MODEL_CODES)
        old_tensors = self._tables(graph, _GRAPH_TENSORS)
        new_buffers, new_tensors = self._constants(addition.tensors, len(buffers))
        added = [*addition.before, *addition.behind]
        wanted = [_kind(operator, addition) for operator in added]
        kinds = sorted(set(wanted))
        written = [
            writer.operator(operator, len(codes) + kinds.index(kind), _OPTIONS[operator.kind], operator.options)
            for operator, kind in zip(added, wanted, strict=True)
        ]
        first = len(addition.before)
        subgraph = writer.graph(
            [*self._old(old_tensors), *new_tensors],
            (addition.input, addition.output),
            [*written[:first], *self._old(operators), *written[first:]],
        )
        return writer.file(
            OperatorCodes=writer.offsets([*self._old(codes), *(writer.code(*kind) for kind in kinds)]),
            Subgraphs=writer.offsets([subgraph]),
            Description=writer.text(addition.description),
            Buffers=writer.offsets([*self._old(buffers), *new_buffers]),
        )

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
        return [self._writer.length_behind - table.Pos for table in tables]

    def _constants(self, tensors: Sequence[Tensor], place: int) -> tuple[list[int], list[int]]:
        """Write tensors and what they hold, in buffers numbered on from ``place``; returns buffers and tensors."""
        buffers: list[int] = []
        written = []
        for tensor in tensors:
            number = 0
            if tensor.data is not None:
                number = place + len(buffers)
                buffers.append(self._writer.buffer(tensor.data))
            written.append(self._writer.tensor(tensor, number))
        return buffers, written


def _kind(operator: Operator, addition: Addition) -> tuple[str, int]:
    """Return the kind of an operator and the version that its input needs."""
    source = (*addition.graph.tensors, *addition.tensors)[operator.inputs[0]]
    return operator.kind, _VERSIONS.get((operator.kind, source.dtype.name), 1)
