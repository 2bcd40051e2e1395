"""Writing a model anew, with nothing in it but what was read and checked.

Interpreters in native code believe the files that they are given: an offset that leads nowhere ends the process. What they get is
therefore a new file, up to the embedding: sound by construction, and smaller than the one that it stands for.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from ..errors import UnsupportedOperator
from ..network.model import Model
from ..network.schema import ACTIVATIONS, OPTIONS, PADDINGS, Operator, Quantisation, Tensor
from ..network.writer import FlatWriter
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


def cut_model(model: Model) -> bytes:
    """Return a TFLite file that ends at a model's embedding, for runtimes that execute whole files and believe what is in them.

    Nothing gets that far that the portable runtime would not execute: native code ends the process over shapes and scales that
    contradict each other. Tensors keep their numbers; those that the embedding does not need stay without data.
    Raises what the portable runtime raises: CorruptModel, UnsupportedOperator, UnsupportedModel, ModelTooLarge.
    """
    check_model(model)
    for operator in model.operators:
        if operator.kind not in OPTIONS and operator.kind not in _WITHOUT_OPTIONS:
            raise UnsupportedOperator(f"The operator {operator.kind} can't be handed on", operator=operator.kind)
    return _written(_completed(model))


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


def _written(model: Model) -> bytes:
    """Write everything."""
    used = {model.input, model.output}
    for operator in model.operators:
        used.update(operator.inputs, operator.outputs)
    kinds = sorted({operator.kind for operator in model.operators})
    writer = FlatWriter()
    buffers, tensors = [writer.table("Buffer")], []
    for number, tensor in enumerate(model.tensors):
        place = 0
        if tensor.data is not None and number in used:
            buffers.append(writer.buffer(tensor.data))
            place = len(buffers) - 1
        tensors.append(writer.tensor(tensor, place))
    operators = [_operator(writer, one, kinds.index(one.kind), model.tensors) for one in model.operators]
    graph = writer.graph(tensors, (model.input, model.output), operators)
    return writer.file(
        Subgraphs=writer.offsets([graph]),
        OperatorCodes=writer.offsets([writer.code(kind) for kind in kinds]),
        Buffers=writer.offsets(buffers),
    )


def _operator(writer: FlatWriter, operator: Operator, code: int, tensors: Sequence[Tensor]) -> int:
    schema, _ = OPTIONS.get(operator.kind, (None, ()))
    return writer.operator(operator, code, schema, {**_numbered(operator.options), **_derived(operator, tensors)})


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
