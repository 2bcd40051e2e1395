"""A TFLite file's graph up to its embedding: what an extractor is."""

from collections.abc import Sequence
from dataclasses import dataclass
import math

from ..errors import UnsupportedModel, UnsupportedOperator
from .graph import read_graph
from .schema import Operator, Quantisation, Tensor

__all__ = ["Model", "Operator", "Quantisation", "Tensor", "read_model"]

_PLAIN = frozenset({"RESHAPE", "QUANTIZE", "DEQUANTIZE", "SQUEEZE"})
_EDGETPU = "CUSTOM edgetpu-custom-op"


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
    graph = read_graph(data, alone=False)
    tensors, operators = graph.tensors, graph.operators
    embedding = _find_embedding(tensors, operators, graph.input, graph.output)
    needed = _ancestors(operators, embedding)
    for index in needed:
        kind = operators[index].kind
        if kind == _EDGETPU:
            raise UnsupportedModel("The file was compiled for the Edge TPU: take the same model's file for the CPU")
        if kind.startswith("CUSTOM"):
            raise UnsupportedOperator(f"The model needs the operator {kind}", operator=kind)
    steps = tuple(operators[index] for index in needed)
    return Model(tensors, steps, graph.input, embedding, needed[-1] + 1 if needed else 0)


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
