"""What every kernel has."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
import math

from ...errors import CorruptModel
from ...network.model import Operator
from .codes import Call
from .compiled_graph import CompiledGraph, Value

BAND = 48 * 1024
"""Floats of a map that are worked on at a time, so that a band, its sums and its source stay in a core's second cache."""


def rows_per_band(height: int, floats_per_row: int, least: int = 1) -> int:
    """Split a map into bands of about equal height and the size of `BAND`, ``least`` rows at least."""
    rows = min(height, max(1, least, BAND // max(1, floats_per_row)))
    return math.ceil(height / math.ceil(height / rows))


class Kernel(ABC):
    """An operator in the making: reserves memory when it is built, gives its calls when memory is there."""

    takes: int = 1
    """Inputs that it needs at least."""

    def __init__(self, graph: CompiledGraph, operator: Operator) -> None:
        """Take the operator; its first input has to be computed."""
        if len(operator.inputs) < self.takes:
            raise CorruptModel(f"{operator.kind} has {len(operator.inputs)} inputs")
        self.graph = graph
        self.operator = operator
        self.source: Value = graph.value(operator.inputs[0])
        self.target: Value = graph.value(operator.outputs[0])
        graph.charge(math.prod(self.source.shape) + math.prod(self.target.shape))
        self.codes = self.target.codes.activated(operator.options.get("FusedActivationFunction", "NONE"))
        self.band = self.target.shape[0]
        """Rows that it computes at a time."""

    def reserve(self) -> None:  # noqa: B027 - most kernels need none
        """Reserve scratch memory."""

    @abstractmethod
    def calls(self, first: int, last: int) -> Iterator[Call]:
        """Yield what computes rows ``first`` to ``last`` of the target, at most ``band`` of them."""

    def _check(self, fits: bool) -> None:
        """Refuse shapes that do not belong together."""
        if not fits:
            shapes: Sequence[tuple[int, ...]] = [
                self.graph.model.tensors[i].shape for i in (*self.operator.inputs, *self.operator.outputs) if i >= 0
            ]
            raise CorruptModel(f"{self.operator.kind} does not fit its tensors, of shapes {shapes}")
