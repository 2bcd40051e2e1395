"""A model of one's own: the extractor with imprinted classes behind it, as one TFLite file that runs anywhere.

What is appended is what Qi, Brown and Lowe put behind their network (arXiv 1712.07136, section 3.1): L2 normalisation, one weight
per class, scaled, and a softmax. The picture goes in and probabilities come out as the extractor's own numbers do: a quantised
extractor makes a file with uint8 at both ends, as Coral's ``classify_image.py`` takes it.
"""

from collections.abc import Sequence
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import UnsupportedModel, WrongLabels
from ..network.graph import Graph, only_vector, read_graph
from ..network.model import Operator, Quantisation, Tensor, read_model
from ..runtimes.rewrite import cut_model
from .append import Addition, append
from .columns import LONGEST_LABEL, SHIFT

VERSION: Final = 1
"""Of the layout of exported files; it is in their description."""

Arithmetic = Literal["float", "quantised"]
"""How the appended layers compute. ``float``: exactly, on the processor; only the ends of the file are quantised. ``quantised``:
in the extractor's own 8 bits throughout, for compilers and devices that take nothing else. The normalisation's output has steps of
1/128 then, which TFLite prescribes: up to three pictures in a hundred change sides where many classes are alike."""

_UNIT_STEP: Final = 1 / 128
_SHARE_STEP: Final = 1 / 256
_LEAST_STEP: Final = 1e-6
_DECISIVE: Final = 1e5
"""Factor on logits that makes all or nothing of a difference of 0.0001."""
_AHEAD: Final = 1.05
"""Steps that the most probable class is put ahead: enough not to round to the same as the next one."""
_HEADROOM: Final = 1.25
"""Logits of pictures beside those of the prototypes, which may be less alike what all prototypes have in common."""


def export_model(
    extractor: bytes,
    weights: NDArray[np.float32],
    scale: float,
    bias: NDArray[np.float32] | None = None,
    arithmetic: Arithmetic = "float",
) -> bytes:
    """Return a TFLite file that turns a picture into its classes' probabilities.

    These are ``softmax(scale · (weights @ x + bias))``, x the network's embedding, of length 1. The layout's part of embeddings is
    not in the file: the weights have to be fitted without it.

    Args:
        extractor: a TFLite file, cut at its embedding here; one that was compiled for the Edge TPU is kept as it is, byte by byte,
            and what is appended runs on the processor.
        weights: (C, d) rows that are finite and not all zeros, C ≥ 2, d the length of the embedding. Unit prototypes, times their
            gains where there are any.
        scale: of the logits; finite, above 0.
        bias: (C,) finite; zeros without.
        arithmetic: of the appended layers. Without effect behind a float extractor.

    The file takes what the extractor takes (uint8 for int8) and returns [1, C], uint8 in steps of 1/256 or, behind a float
    extractor, float32. Raises ModelError (CorruptModel, UnsupportedModel, UnsupportedOperator) for an extractor that can't be used,
    ValueError for weights that don't fit.

    """
    base = _cut(extractor)
    graph = read_graph(base)
    length = only_vector(graph.tensors, graph.output)
    rows, offsets = _checked(weights, scale, bias, length)
    tail = _Tail(graph)
    embedding = graph.tensors[graph.output]
    if embedding.dtype.kind == "f":
        result = tail.float_layers(graph.output, rows, offsets)
    elif embedding.quantisation is None or embedding.dtype.name not in ("uint8", "int8"):
        raise UnsupportedModel(f"The extractor's output is {embedding.dtype.name} without a scale")
    elif arithmetic == "float":
        real = tail.step("DEQUANTIZE", graph.output, embedding.shape)
        result = tail.quantise(tail.decided(tail.float_layers(real, rows, offsets)))
    else:
        result = tail.quantise(tail.quantised_layers(graph.output, rows, offsets))
    picture, before = tail.picture()
    what = f"Coral Imprint {VERSION}: {len(rows)} classes"
    return append(base, Addition(graph, tail.tensors, before, tail.operators, picture, result, what))


def labels_text(labels: Sequence[str]) -> str:
    """Return the labels file that belongs to an exported model: one label per line, in the order of the weights.

    Where a label begins with a number, which readers of such files could take for the class's, all lines begin with theirs. Raises
    WrongLabels for a label that is empty, too long or not on one line.
    """
    tidy = [" ".join(label.split()) for label in labels]
    for label in tidy:
        if not label or len(label) > LONGEST_LABEL or not label.isprintable():
            raise WrongLabels(f"The label “{label[:40]}” can't be written", expected=str(len(labels)))
    if any(label[0].isdigit() for label in tidy):
        tidy = [f"{number} {label}" for number, label in enumerate(tidy)]
    return "".join(f"{label}\n" for label in tidy)


def _cut(extractor: bytes) -> bytes:
    """Return a file that ends at the embedding. What was compiled ends there already, and is not touched."""
    graph = read_graph(extractor)
    if any(operator.kind.startswith("CUSTOM ") for operator in graph.operators):
        return extractor
    return cut_model(read_model(extractor))


def _checked(
    weights: NDArray[np.float32], scale: float, bias: NDArray[np.float32] | None, length: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the rows and offsets of the logits."""
    if weights.ndim != 2 or weights.shape[0] < 2 or weights.shape[1] != length:
        raise ValueError(f"weights of shape {weights.shape} for embeddings of length {length}")
    rows = scale * weights.astype(np.float64)
    offsets = np.zeros(len(rows)) if bias is None else scale * bias.astype(np.float64)
    if offsets.shape != (len(rows),) or not np.isfinite(offsets).all():
        raise ValueError(f"a bias of shape {offsets.shape} for {len(rows)} classes, or values that are not finite")
    if not (np.isfinite(rows).all() and rows.any(axis=1).all() and scale > 0):
        raise ValueError("weights or a scale that are not finite, or zero")
    return rows, offsets


class _Tail:
    """The layers behind an extractor, as they come together."""

    def __init__(self, graph: Graph) -> None:
        """Begin behind a graph."""
        self.tensors: list[Tensor] = []
        self.operators: list[Operator] = []
        self._graph = graph

    def picture(self) -> tuple[int, list[Operator]]:
        """Return the new file's input and what has to come first: int8 is made of uint8, as cameras' pixels come."""
        old = self._graph.tensors[self._graph.input]
        if old.dtype.name != "int8" or old.quantisation is None:
            return self._graph.input, []
        codes = _codes(float(old.quantisation.scale[0]), int(old.quantisation.zero_point[0]) + 128)
        picture = self._tensor("picture", old.shape, "uint8", codes)
        return picture, [Operator("QUANTIZE", (picture,), (self._graph.input,), {})]

    def step(
        self, kind: str, source: int, shape: tuple[int, ...], dtype: str = "float32", codes: Quantisation | None = None
    ) -> int:
        """Append an operator with one input; returns its output."""
        options: dict[str, Any] = {"SOFTMAX": {"Beta": 1.0}}.get(kind, {})
        result = self._tensor(kind.lower(), shape, dtype, codes)
        self.operators.append(Operator(kind, (source,), (result,), options))
        return result

    def float_layers(self, source: int, rows: NDArray[np.float64], offsets: NDArray[np.float64]) -> int:
        """Append normalisation, classes and softmax behind real numbers; returns [1, C] float32."""
        unit = self.step("L2_NORMALIZATION", source, self._graph.tensors[self._graph.output].shape)
        weights = self._constant("weights", rows.astype(np.float32))
        bias = self._constant("bias", offsets.astype(np.float32))
        logits = self._tensor("logits", (1, len(rows)), "float32")
        self.operators.append(Operator("FULLY_CONNECTED", (unit, weights, bias), (logits,), {}))
        return self.step("SOFTMAX", logits, (1, len(rows)))

    def quantised_layers(self, source: int, rows: NDArray[np.float64], offsets: NDArray[np.float64]) -> int:
        """Append them in the codes of the embedding's dtype; returns [1, C] in steps of 1/256.

        What all rows have in common changes no probability, but would take most of 8 bits: it is taken off, and kept beside. What
        rounding takes from the rows is made up for in the middle of the prototypes by the bias, which has 32 bits.
        """
        embedding = self._graph.tensors[self._graph.output]
        dtype, least = embedding.dtype.name, np.iinfo(embedding.dtype).min
        shift = rows.mean(axis=0)
        self._constant(SHIFT, shift.astype(np.float32))
        units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        apart = rows - shift
        step = max(float(np.abs(apart).max()) / 127, _LEAST_STEP)
        rounded = np.rint(apart / step)
        zero = least + 128  # Symmetric codes: int8 kernels take no others.
        weights = self._constant("weights", (rounded + zero).astype(dtype), _codes(step, zero))
        exact = offsets + (apart - rounded * step) @ units.mean(axis=0)
        steps = np.rint(exact / (step * _UNIT_STEP)).clip(-(2**30), 2**30).astype(np.int32)
        bias = self._constant("bias", steps, _codes(step * _UNIT_STEP, 0))
        unit = self.step("L2_NORMALIZATION", source, embedding.shape, dtype, _codes(_UNIT_STEP, zero))
        logits = self._tensor("logits", (1, len(rows)), dtype, _range(units @ apart.T + offsets, least))
        self.operators.append(Operator("FULLY_CONNECTED", (unit, weights, bias), (logits,), {}))
        return self.step("SOFTMAX", logits, (1, len(rows)), dtype, _codes(_SHARE_STEP, least))

    def decided(self, shares: int) -> int:
        """Append what gives the most probable class one step of the output more; returns [1, C] float32.

        Classes that round to the same step would else be told apart by their order.
        """
        softmax = self.operators[-1]
        shape = self.tensors[shares - len(self._graph.tensors)].shape
        first = self._tensor("first", shape, "float32")
        self.operators.append(Operator("SOFTMAX", softmax.inputs, (first,), {"Beta": _DECISIVE}))
        step = self._constant("step", np.array([_AHEAD * _SHARE_STEP], np.float32))
        more = self._tensor("more", shape, "float32")
        self.operators.append(Operator("MUL", (first, step), (more,), {}))
        result = self._tensor("decided", shape, "float32")
        self.operators.append(Operator("ADD", (shares, more), (result,), {}))
        return result

    def quantise(self, result: int) -> int:
        """Append what makes uint8 of probabilities, where they are not; returns the file's output."""
        last = self.tensors[result - len(self._graph.tensors)]
        if last.dtype.name == "uint8":
            return result
        return self.step("QUANTIZE", result, last.shape, "uint8", _codes(_SHARE_STEP, 0))

    def _constant(self, name: str, data: NDArray[Any], codes: Quantisation | None = None) -> int:
        return self._tensor(name, data.shape, data.dtype.name, codes, data)

    def _tensor(
        self,
        name: str,
        shape: tuple[int, ...],
        dtype: str,
        codes: Quantisation | None = None,
        data: NDArray[Any] | None = None,
    ) -> int:
        full = name if "/" in name else f"imprinted/{name}"
        self.tensors.append(Tensor(full, shape, np.dtype(dtype), codes, data))
        return len(self._graph.tensors) + len(self.tensors) - 1


def _codes(step: float, zero: int) -> Quantisation:
    """Return the quantisation of a whole tensor."""
    return Quantisation(np.array([step], np.float32), np.array([zero], np.int64), 0)


def _range(logits: NDArray[np.float64], least: int) -> Quantisation:
    """Return codes for logits that are hardly farther apart than those of the prototypes themselves."""
    low, high = _HEADROOM * min(float(logits.min()), 0.0), _HEADROOM * max(float(logits.max()), 0.0)
    step = max((high - low) / 255, _LEAST_STEP)
    return _codes(step, least + round(-low / step))
