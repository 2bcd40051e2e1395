"""Writing a model anew, with nothing in it but what was read and checked.

Interpreters in native code believe the files that they are given: an offset that leads nowhere ends the process. What they get is
therefore a new file, up to the embedding: sound by construction, and smaller than the one that it stands for.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .errors import UnsupportedOperator
from .model import ACTIVATIONS, DTYPES, OPTIONS, PADDINGS, Model, Operator, Quantisation, Tensor
from .portable.program import check_model

_WITHOUT_OPTIONS: Final = frozenset(
    {
        "DEQUANTIZE",
        "PAD",
        "QUANTIZE",
        "RELU",
        "RELU6",
        "RELU_N1_TO_1",
        "RESHAPE",
        "SQUEEZE",
    }
)
"""Operators that need none: what RESHAPE and SQUEEZE lead to is in the shape of their output."""

_LAYERS: Final[Mapping[str, int]] = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}
"""Operators that take a bias, and the axis of their weights that counts their outputs."""

_ALIGNMENT: Final = 16
"""Bytes, of constants: TFLite's schema wants it."""

_TYPES: Final[Mapping[str, int]] = {np.dtype(name).name: number for number, name in DTYPES.items()}


def cut_model(model: Model) -> bytes:
    """Return a TFLite file that ends at a model's embedding, for runtimes that execute whole files and believe what is in them.

    Nothing gets that far that the portable runtime would not execute: native code ends the process over shapes and scales that
    contradict each other. Tensors keep their numbers; those that the embedding does not need stay without data.
    Raises what the portable runtime raises: CorruptModel, UnsupportedOperator, UnsupportedModel, ModelTooLarge.
    """
    import flatbuffers  # noqa: PLC0415 - needed only where a model is opened

    check_model(model)
    for operator in model.operators:
        if operator.kind not in OPTIONS and operator.kind not in _WITHOUT_OPTIONS:
            raise UnsupportedOperator(f"The operator {operator.kind} can't be handed on", operator=operator.kind)
    writer = _Writer(flatbuffers.Builder(1 << 16))
    return writer.file(_completed(model))


def _completed(model: Model) -> Model:
    """Spell out what operators may leave open: the shape that a RESHAPE leads to, and a bias, for lack of which LiteRT's kernels crash."""
    tensors, operators = list(model.tensors), []
    for operator in model.operators:
        if operator.kind in ("RESHAPE", "SQUEEZE"):
            target = np.array(tensors[operator.outputs[0]].shape, np.int32)
            tensors.append(Tensor("", target.shape, target.dtype, None, target))
            operators.append(Operator("RESHAPE", (operator.inputs[0], len(tensors) - 1), operator.outputs, {}))
        elif operator.kind in _LAYERS and (len(operator.inputs) < 3 or operator.inputs[2] < 0):
            tensors.append(_no_bias(tensors[operator.inputs[0]], tensors[operator.inputs[1]], _LAYERS[operator.kind]))
            inputs = (*operator.inputs[:2], len(tensors) - 1)
            operators.append(Operator(operator.kind, inputs, operator.outputs, operator.options))
        else:
            operators.append(operator)
    return Model(tuple(tensors), tuple(operators), model.input, model.output, len(operators))


def _no_bias(source: Tensor, weights: Tensor, axis: int) -> Tensor:
    """Return a bias of zeros for a layer; ``axis`` of the weights counts its outputs."""
    outputs = weights.shape[axis]
    if source.quantisation is None or weights.quantisation is None or weights.dtype.kind == "f":
        return Tensor("", (outputs,), np.dtype("f4"), None, np.zeros(outputs, np.float32))
    scale = source.quantisation.scale * weights.quantisation.scale
    quantisation = Quantisation(scale, np.zeros(scale.size, np.int64), 0)
    return Tensor("", (outputs,), np.dtype("i4"), quantisation, np.zeros(outputs, np.int32))


class _Writer:
    """One writing of one file."""

    def __init__(self, builder: Any) -> None:
        """Take an empty builder of the flatbuffers package."""
        import tflite  # noqa: PLC0415

        self._builder = builder
        self._schema = tflite

    def file(self, model: Model) -> bytes:
        """Write everything."""
        used = {model.input, model.output}
        for operator in model.operators:
            used.update(operator.inputs, operator.outputs)
        kinds = sorted({operator.kind for operator in model.operators})
        buffers, tensors = [self._table("Buffer")], []
        for number, tensor in enumerate(model.tensors):
            place = 0
            if tensor.data is not None and number in used:
                buffers.append(self._table("Buffer", Data=self._bytes(tensor.data)))
                place = len(buffers) - 1
            tensors.append(self._tensor(tensor, place))
        graph = self._table(
            "SubGraph",
            Tensors=self._offsets(tensors),
            Inputs=self._numbers(np.array([model.input], np.int32)),
            Outputs=self._numbers(np.array([model.output], np.int32)),
            Operators=self._offsets([self._operator(operator, kinds, model.tensors) for operator in model.operators]),
        )
        root = self._table(
            "Model",
            Version=3,
            Subgraphs=self._offsets([graph]),
            OperatorCodes=self._offsets([self._code(kind) for kind in kinds]),
            Buffers=self._offsets(buffers),
        )
        self._builder.Finish(root, file_identifier=b"TFL3")
        return bytes(self._builder.Output())

    def _table(self, schema: str, **fields: int) -> int:
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
        raw = data.tobytes()
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

    def _code(self, kind: str) -> int:
        code: int = getattr(self._schema.BuiltinOperator, kind)
        return self._table("OperatorCode", DeprecatedBuiltinCode=min(code, 127), BuiltinCode=code, Version=1)

    def _operator(self, operator: Operator, kinds: Sequence[str], tensors: Sequence[Tensor]) -> int:
        fields: dict[str, int] = {
            "OpcodeIndex": kinds.index(operator.kind),
            "Inputs": self._numbers(np.array(operator.inputs, np.int32)),
            "Outputs": self._numbers(np.array(operator.outputs, np.int32)),
        }
        if operator.kind in OPTIONS:
            schema, _ = OPTIONS[operator.kind]
            fields["BuiltinOptionsType"] = getattr(self._schema.BuiltinOptions, schema)
            fields["BuiltinOptions"] = self._table(schema, **_numbered(operator.options), **_derived(operator, tensors))
        return self._table("Operator", **fields)


def _derived(operator: Operator, tensors: Sequence[Tensor]) -> Mapping[str, int]:
    """Return options that follow from the shapes, whatever the file says."""
    if operator.kind != "DEPTHWISE_CONV_2D":
        return {}
    source, target = (tensors[end].shape[-1:] for end in (operator.inputs[0], operator.outputs[0]))
    return {"DepthMultiplier": target[0] // source[0] if source and target and source[0] else 0}


def _numbered(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return options as the file has them: by number, not by name."""
    numbers: dict[str, Any] = dict(options)
    if "Padding" in numbers:
        numbers["Padding"] = PADDINGS.index(numbers["Padding"])
    if "FusedActivationFunction" in numbers:
        numbers["FusedActivationFunction"] = ACTIVATIONS.index(numbers["FusedActivationFunction"])
    return numbers
