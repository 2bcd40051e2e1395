"""Writing the parts of a TFLite file: the flatbuffer's tables, and the tensors, constants and operators made of them."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .schema import DTYPES, IDENTIFIER, Operator, Tensor

ALIGNMENT: Final = 16
"""Bytes: TFLite's schema wants constants to begin at multiples of it."""

_TYPES: Final[Mapping[str, int]] = {np.dtype(name).name: number for number, name in DTYPES.items()}
_LARGEST_BYTE: Final = 127
"""Codes of operators beyond it stand in a newer field; the older one holds this number then."""


class FlatWriter:
    """One writing of one file, from its end to its beginning: what is referred to is written before what refers to it.

    Every method returns where it wrote, as a distance from the file's end; that is how tables are given to each other.
    """

    def __init__(self, behind: bytes = b"") -> None:
        """Begin a file; ``behind`` lies unchanged at its very end, aligned."""
        import flatbuffers  # noqa: PLC0415 - needed only where a model is written
        import tflite  # noqa: PLC0415 - a hundred modules

        self.length_behind: Final = -(-len(behind) // ALIGNMENT) * ALIGNMENT
        """Bytes that ``behind`` takes, aligned: its beginning as a distance from the end."""
        self._schema = tflite
        self._builder: Any = flatbuffers.Builder(2 * self.length_behind + (1 << 16))
        self._builder.head -= self.length_behind
        self._builder.Bytes[self._builder.head : self._builder.head + len(behind)] = behind

    def file(self, **fields: Any) -> bytes:
        """Write the root, a ``Model`` with these fields; return the file."""
        root = self.table("Model", Version=3, **fields)
        # What lies behind keeps its alignment only if all that is in front of it has one, too.
        self._builder.minalign = max(self._builder.minalign, ALIGNMENT)
        self._builder.Finish(root, file_identifier=IDENTIFIER)
        return bytes(self._builder.Output())

    def table(self, schema: str, **fields: Any) -> int:
        """Write a table of the schema; what is no number is given by where it was written."""
        getattr(self._schema, f"{schema}Start")(self._builder)
        for name, value in fields.items():
            getattr(self._schema, f"{schema}Add{name}")(self._builder, value)
        offset: int = getattr(self._schema, f"{schema}End")(self._builder)
        return offset

    def text(self, text: str) -> int:
        """Write a string."""
        offset: int = self._builder.CreateString(text)
        return offset

    def numbers(self, values: NDArray[Any]) -> int:
        """Write a vector of numbers of the array's dtype."""
        offset: int = self._builder.CreateNumpyVector(values)
        return offset

    def indices(self, values: Sequence[int]) -> int:
        """Write a vector of int32."""
        return self.numbers(np.array(values, np.int32))

    def offsets(self, offsets: Sequence[int]) -> int:
        """Write a vector of tables."""
        self._builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self._builder.PrependUOffsetTRelative(offset)
        vector: int = self._builder.EndVector()
        return vector

    def buffer(self, data: NDArray[Any]) -> int:
        """Write a constant, aligned, in a buffer of its own."""
        raw = data.astype(data.dtype.newbyteorder("<"), copy=False).tobytes()
        self._builder.StartVector(1, len(raw), ALIGNMENT)
        self._builder.head -= len(raw)
        self._builder.Bytes[self._builder.head : self._builder.head + len(raw)] = raw
        return self.table("Buffer", Data=self._builder.EndVector())

    def tensor(self, tensor: Tensor, buffer: int) -> int:
        """Write a tensor whose data is in the file's buffer of this number; 0 for none."""
        fields = {
            "Shape": self.indices(tensor.shape),
            "Type": _TYPES[tensor.dtype.name],
            "Buffer": buffer,
            "Name": self.text(tensor.name),
        }
        if tensor.quantisation is not None:
            fields["Quantization"] = self.table(
                "QuantizationParameters",
                Scale=self.numbers(tensor.quantisation.scale),
                ZeroPoint=self.numbers(tensor.quantisation.zero_point),
                QuantizedDimension=tensor.quantisation.axis,
            )
        return self.table("Tensor", **fields)

    def code(self, kind: str, version: int = 1) -> int:
        """Write what stands for a kind of operator."""
        code: int = getattr(self._schema.BuiltinOperator, kind)
        old = min(code, _LARGEST_BYTE)
        return self.table("OperatorCode", DeprecatedBuiltinCode=old, BuiltinCode=code, Version=version)

    def operator(self, operator: Operator, code: int, schema: str | None, options: Mapping[str, Any]) -> int:
        """Write an operator, whose kind is the file's code of this number.

        ``schema`` is the table that its options are in, None for kinds without; ``options`` has them by number, not by name.
        """
        fields = {
            "OpcodeIndex": code,
            "Inputs": self.indices(operator.inputs),
            "Outputs": self.indices(operator.outputs),
        }
        if schema is not None:
            fields["BuiltinOptionsType"] = getattr(self._schema.BuiltinOptions, schema)
            fields["BuiltinOptions"] = self.table(schema, **options)
        return self.table("Operator", **fields)

    def graph(self, tensors: Sequence[int], ends: tuple[int, int], operators: Sequence[int]) -> int:
        """Write a graph; ``ends`` are the tensors that take the picture and that are returned, by number."""
        return self.table(
            "SubGraph",
            Tensors=self.offsets(tensors),
            Inputs=self.indices(ends[:1]),
            Outputs=self.indices(ends[1:]),
            Operators=self.offsets(operators),
        )
