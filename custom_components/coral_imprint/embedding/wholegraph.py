"""A TFLite file's graph from the picture to its very end, beyond the embedding: what classifiers have there, `read_model` leaves out."""

from collections.abc import Sequence
from dataclasses import dataclass

from .errors import CorruptModel, UnsupportedModel
from .model import GARBAGE, IDENTIFIER, Operator, Reader, Tensor, check_ends, check_order


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


def read_graph(data: bytes) -> Graph:
    """Read the whole graph of a TFLite file. It may have custom operators: nothing is executed.

    Raises CorruptModel, UnsupportedOperator and UnsupportedModel as `read_model` does.
    """
    if len(data) < 8 or data[4:8] != IDENTIFIER:
        raise CorruptModel("The file is not a TFLite model")
    import tflite  # noqa: PLC0415 - a hundred modules, needed only where a model is read

    try:
        return _WholeReader(data, tflite.Model.GetRootAs(data, 0)).graph()
    except GARBAGE as error:
        raise CorruptModel(f"The model's file is damaged: {error}") from error


class _WholeReader(Reader):
    """The reader of models, without its end at the embedding."""

    def graph(self) -> Graph:
        """Read everything."""
        root = self._root
        if self._count(root.SubgraphsLength(), "subgraphs") != 1:
            raise UnsupportedModel(f"The model has {root.SubgraphsLength()} graphs, not one")
        graph = root.Subgraphs(0)
        codes = [root.OperatorCodes(i) for i in range(self._count(root.OperatorCodesLength(), "operator codes"))]
        tensors = tuple(self._tensor(graph.Tensors(i)) for i in range(self._count(graph.TensorsLength(), "tensors")))
        operators = tuple(
            self._operator(graph.Operators(i), codes, len(tensors))
            for i in range(self._count(graph.OperatorsLength(), "operators"))
        )
        inputs = self._indices(graph.InputsLength(), graph.InputsAsNumpy, len(tensors))
        outputs = self._indices(graph.OutputsLength(), graph.OutputsAsNumpy, len(tensors))
        check_ends(tensors, inputs, outputs)
        check_order(tensors, operators, inputs)
        return Graph(tensors, operators, inputs[0], outputs[0])


def only_vector(tensors: Sequence[Tensor], tensor: int) -> int:
    """Return the length of a tensor whose axes but the last are all 1; raises UnsupportedModel for other shapes."""
    shape = tensors[tensor].shape
    if len(shape) < 2 or shape[-1] < 2 or any(side != 1 for side in shape[:-1]):
        raise UnsupportedModel(f"The model's output is no vector: it has the shape {shape}")
    return shape[-1]
