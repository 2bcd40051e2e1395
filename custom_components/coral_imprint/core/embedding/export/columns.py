"""Known classes: what a classifier network has learned already, as weights that stand for classes without any example.

Each column of a classifier's last layer is a proxy of its class, as an imprinted weight is (Qi, Brown and Lowe, arXiv 1712.07136,
section 3.1). Two things set them apart. What all columns have in common tells no class from another, so that their mean is taken
off. And a picture's cosine to the column of its class is small (about 0.2, to other columns 0 ± 0.06), while its cosine to an
imprinted weight is large whatever it shows: `known_weight` puts a column where it can be compared with imprinted weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass
import re
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..errors import UnsupportedModel, UnsupportedOperator, WrongLabels
from ..network.graph import Graph, read_graph
from ..network.model import Tensor, read_model

SHIFT: Final = "coral_imprint/shift"
"""Name of a constant, shape (d,) float32, that an exported layer's columns lack: it is the same for all, and is added again on reading."""

EXPECTED: Final = 0.05
"""Half of what a picture has in the direction of its class's column, beyond the middle of the other classes: the network's part of
unit embeddings, measured on photographs of three kinds of fruit and vegetables and of parked cars with four networks."""

REACH: Final = 2.5
"""Length of a column beside the middle of the other classes. With 1, the other classes' own weights drown it; measured with 1 to 8
other classes of 1 to 20 examples."""

OWN_WEIGHT: Final = 1.0
"""Examples that a column counts as beside real ones: more loses from 5 examples on, less does at 1."""

LARGEST_LABELS: Final = 1 << 20
"""Characters in a file of labels."""

LONGEST_LABEL: Final = 500
"""Characters in one label: the longest of ImageNet's has 121."""

_INDEXED: Final = re.compile(r"(\d{1,6})[:\s]+(\S.*)")
_TRANSPARENT: Final = frozenset({"SOFTMAX", "LOGISTIC", "RESHAPE", "SQUEEZE", "QUANTIZE", "DEQUANTIZE"})
_PLAIN: Final = frozenset({"RESHAPE", "SQUEEZE", "QUANTIZE", "DEQUANTIZE", "L2_NORMALIZATION"})


@dataclass(frozen=True, eq=False)
class Columns:
    """A classifier's last layer: ``logits = vectors @ x + bias`` of its input x."""

    vectors: NDArray[np.float32]
    """Shape (classes, d)."""
    bias: NDArray[np.float32]
    """Shape (classes,)."""
    normalised: bool
    """Whether the layer's input has length 1, as behind an imprinted layer; else it is the network's pooled embedding."""


def class_columns(data: bytes) -> Columns:
    """Read the last layer of a TFLite classifier: dense or a 1×1 convolution, quantised in any way or not.

    The layer has to read the model's embedding: weights behind further hidden layers say nothing about embeddings.

    Raises CorruptModel for damaged files, UnsupportedModel where there is no such layer (extractors, classifiers whose last layer
    was compiled for the Edge TPU), UnsupportedOperator where it is of a kind that can't be read.
    """
    graph = read_graph(data)
    layer = graph.producer(_logits(graph))
    if layer is None or layer.kind not in ("FULLY_CONNECTED", "CONV_2D") or len(layer.inputs) < 2:
        raise UnsupportedModel("The model does not end in a layer of classes")
    matrix = _constant(graph, layer.inputs[1])
    if layer.options.get("WeightsFormat", 0) != 0 or layer.options["FusedActivationFunction"] != "NONE":
        raise UnsupportedOperator("The model's layer of classes is of an unusual kind", operator=layer.kind)
    if matrix.ndim < 2 or matrix.shape[0] < 1 or matrix.shape[0] * matrix.shape[-1] != matrix.size:
        raise UnsupportedModel(f"The model's layer of classes has weights of the shape {matrix.shape}")
    vectors = matrix.reshape(matrix.shape[0], -1)
    trail = _back(graph, layer.inputs[0], _PLAIN)
    kinds = [producer.kind for tensor in trail[:-1] if (producer := graph.producer(tensor)) is not None]
    normalised = "L2_NORMALIZATION" in kinds
    _check_embedding(data, graph, trail, normalised)
    absent = len(layer.inputs) < 3 or layer.inputs[2] < 0
    bias = np.zeros(len(vectors), np.float32) if absent else _constant(graph, layer.inputs[2])
    if bias.shape != (len(vectors),):
        raise UnsupportedModel(f"The model's layer of {len(vectors)} classes has a bias of the shape {bias.shape}")
    return Columns(vectors + _shift(graph, vectors.shape[1]), bias, normalised)


def read_labels(text: str, count: int) -> tuple[str, ...]:
    """Read a file of labels: one per line, or ``number label`` where the numbers are exactly 0 … ``count`` − 1, in any order.

    Raises WrongLabels for a file of another length than ``count``, too long a file or label, and empty labels.
    """
    if len(text) > LARGEST_LABELS:
        raise WrongLabels(f"The labels have {len(text)} characters", expected=str(count))
    lines = [line.strip() for line in text.removeprefix("\ufeff").rstrip().splitlines()]
    if len(lines) != count:
        raise WrongLabels(f"There are {len(lines)} labels for {count} classes", expected=str(count))
    found = [_INDEXED.fullmatch(line) for line in lines]
    numbered = {int(match[1]): match[2] for match in found if match}
    labels = tuple(numbered[i] for i in range(count)) if numbered.keys() == set(range(count)) else tuple(lines)
    for number, label in enumerate(labels):
        if not label or len(label) > LONGEST_LABEL or not label.isprintable():
            raise WrongLabels(f"Label {number} is empty, too long or no text", expected=str(count))
    return labels


def proxy(columns: Columns, index: int | Sequence[int]) -> NDArray[np.float32]:
    """Return the direction that stands for a class, or for several taken together (all breeds for "dog").

    Shape (d,) float32, length 1: the column less the mean column, or, of a layer behind a normalisation, the column itself: there
    it is an imprinted weight already. Several are averaged as unit vectors. Raises IndexError for a class that isn't there and
    UnsupportedModel for a column without a direction.
    """
    indices = [index] if isinstance(index, int) else list(index)
    if not indices or not all(0 <= one < len(columns.vectors) for one in indices):
        raise IndexError(f"classes {indices} of {len(columns.vectors)}")
    vectors = columns.vectors.astype(np.float64)
    chosen = vectors[indices] if columns.normalised else vectors[indices] - vectors.mean(axis=0)
    return _unit(_unit(chosen).mean(axis=0)).astype(np.float32)


def known_weight(direction: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the weight of a class without examples, beside classes with some: w in the score w·x of a unit embedding x.

    A picture of the class is taken to lie about the middle of the other classes, moved along ``direction``. The weight's length
    is such that a picture in the middle gets the same score from it as from the other classes, on average, where it has `EXPECTED`
    in this direction. Its length is therefore part of it: as a prototype it is a unit vector and a gain, about 2.

    Args:
        direction: (n,) what `proxy` returned, n the length of the network's part. The layout's part of the weight is the middle's.
        others: (C, d) unit rows, d ≥ n: the prototypes of classes with examples, in the joined embedding or its network's part.
            Without any, the classes are all known ones: the weight is the direction itself, with zeros behind it.

    Returns:
        (d,) float32.

    """
    count = len(direction)
    along = np.zeros(others.shape[1])
    along[:count] = direction
    if not len(others):
        return along.astype(np.float32)
    middle = others.astype(np.float64).mean(axis=0)
    square = float(middle @ middle)
    across = _unit(along - middle * (middle @ along / square))
    share = float(np.sqrt(np.square(others[:, :count], dtype=np.float64).sum(axis=1).mean()))
    weight = (middle + REACH * across) / (1 + REACH * EXPECTED * share / square)
    return np.asarray(weight, np.float32)


def refined_weight(known: NDArray[np.float32], prototype: NDArray[np.float32], examples: int) -> NDArray[np.float32]:
    """Return the weight of a known class that has got examples.

    Args:
        known: (d,) what `known_weight` returned.
        prototype: (d,) their imprinted weight, of length 1.
        examples: how many, at least 1.

    Returns:
        (d,) float32, not of length 1: the mean of both, the known weight counting as `OWN_WEIGHT` examples.

    """
    share = OWN_WEIGHT / (OWN_WEIGHT + examples)
    weight: NDArray[np.float32] = share * known + (1 - share) * prototype
    return np.asarray(weight, np.float32)


def _logits(graph: Graph) -> int:
    """Return the tensor that the layer of classes computes, going back from the end."""
    trail = _back(graph, graph.output, _TRANSPARENT)
    last = graph.producer(trail[-1])
    if last is not None and last.kind == "ADD":
        # An exported file adds to its probabilities what keeps the most probable class apart.
        shares = graph.producer(last.inputs[0])
        if shares is not None and shares.kind == "SOFTMAX":
            trail = _back(graph, last.inputs[0], _TRANSPARENT)
    return trail[-1]


def _back(graph: Graph, tensor: int, kinds: frozenset[str]) -> list[int]:
    """Follow a tensor back through operators of some kinds; returns the tensors on the way, the first being ``tensor``."""
    trail = [tensor]
    while (operator := graph.producer(trail[-1])) is not None and operator.kind in kinds:
        if not operator.inputs or operator.inputs[0] < 0:
            raise UnsupportedModel(f"The operator {operator.kind} lacks its input")
        trail.append(operator.inputs[0])
    return trail


def _check_embedding(data: bytes, graph: Graph, trail: Sequence[int], normalised: bool) -> None:
    """Refuse a layer that reads anything but the embedding."""
    source = graph.producer(trail[-1])
    if source is not None and source.kind.startswith("CUSTOM "):
        return  # Compiled: what it computes is its output, which is all that can be known.
    if not normalised and read_model(data).output not in trail:
        raise UnsupportedModel("The model has further layers between its embedding and its classes")


def _constant(graph: Graph, index: int) -> NDArray[np.float32]:
    """Return a constant's values as real numbers; weights that are kept as float16 are widened by an operator of the graph."""
    tensor = graph.tensors[_back(graph, index, frozenset({"DEQUANTIZE"}))[-1]]
    if index < 0 or tensor.data is None:
        raise UnsupportedModel("The model's layer of classes has weights that are computed")
    return _real(tensor, tensor.data)


def _real(tensor: Tensor, data: NDArray[Any]) -> NDArray[np.float32]:
    """Return what a constant's codes mean."""
    if tensor.quantisation is None or data.dtype.kind not in "iu":
        return data.astype(np.float32)
    shape = [1] * data.ndim
    if tensor.quantisation.scale.size > 1:
        shape[tensor.quantisation.axis] = -1
    codes = data.astype(np.float64) - tensor.quantisation.zero_point.reshape(shape)
    return (codes * tensor.quantisation.scale.reshape(shape)).astype(np.float32)


def _shift(graph: Graph, length: int) -> NDArray[np.float32]:
    """Return what an exported file's columns lack; zeros where there is nothing of the kind."""
    for tensor in graph.tensors:
        if tensor.name == SHIFT and tensor.data is not None and tensor.shape == (length,):
            return _real(tensor, tensor.data)
    return np.zeros(length, np.float32)


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scale rows, or one vector, to length 1."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        raise UnsupportedModel("A class of the model has no direction of its own")
    unit: NDArray[np.float64] = vectors / lengths
    return unit
