"""The portable runtime against LiteRT, operator by operator, on graphs that the tests build."""

from collections.abc import Callable
import itertools
from typing import NamedTuple

import numpy as np
import pytest

from embedding.errors import CorruptModel, UnsupportedModel, UnsupportedOperator
from embedding.network.model import read_model
from embedding.runtimes.litert import LiteRTRuntime
from embedding.runtimes.portable import PortableRuntime
from tests.embedding.graphs import (
    ACTIVATIONS,
    DTYPES,
    HEIGHT,
    PADDINGS,
    PICTURE,
    RANDOM,
    WIDTH,
    bias,
    finished,
    picture_of,
    pixels,
    restart_random,
    spread,
    weights,
)
from tests.embedding.tflite_builder import GraphBuilder, Scale


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Draw the same weights in every test."""
    restart_random()


def assert_agree(data: bytes, steps: float = 1.0) -> None:
    """Both runtimes return the same within a step of the output's quantisation, or 1e-4 of its size."""
    model = read_model(data)
    ours, theirs = PortableRuntime(model), LiteRTRuntime(model)
    output = model.tensors[model.output]
    for number in range(3):
        one, other = ours.embed(pixels(number)), theirs.embed(pixels(number))
        assert one.shape == other.shape == (ours.length,)
        assert np.ptp(other) > 0
        if output.quantisation is not None:
            np.testing.assert_allclose(one, other, rtol=0, atol=steps * 1.001 * float(output.quantisation.scale[0]))
        else:
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4 * float(np.abs(other).max()))


def conv_sides(padding: str, stride: int, dilation: int, taps: tuple[int, int]) -> tuple[int, int]:
    """Return the height and width of a window operator's result."""
    reaches = [(size - 1) * dilation + 1 for size in taps]
    spans = [
        side if padding == "SAME" else side - reach + 1 for side, reach in zip((HEIGHT, WIDTH), reaches, strict=True)
    ]
    return -(-spans[0] // stride), -(-spans[1] // stride)


class Layer(NamedTuple):
    """A kind of convolution."""

    dtype: str
    padding: str
    stride: int
    dilation: int
    activation: str
    per_channel: bool

    @property
    def options(self) -> dict[str, int]:
        """Its options, as the schema names them."""
        return {
            "Padding": PADDINGS[self.padding],
            "StrideH": self.stride,
            "StrideW": self.stride,
            "DilationHFactor": self.dilation,
            "DilationWFactor": self.dilation,
            "FusedActivationFunction": ACTIVATIONS[self.activation],
        }


LAYERS = [
    Layer(dtype, padding, stride, dilation, activation, per_channel)
    for dtype, padding, (stride, dilation), activation, per_channel in itertools.product(
        DTYPES, PADDINGS, ((1, 1), (2, 1), (1, 2)), ACTIVATIONS, (False, True)
    )
    if not per_channel or dtype == "int8"
]


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: "-".join(map(str, layer)))
@pytest.mark.parametrize("taps", [(1, 1), (3, 2)])
def test_convolution(layer: Layer, taps: tuple[int, int]) -> None:
    """CONV_2D in every combination that LiteRT has."""
    builder = GraphBuilder()
    picture = picture_of(builder, layer.dtype)
    matrix, scale = weights(builder, (5, *taps, 3), layer.dtype, 0 if layer.per_channel else None)
    height, width = conv_sides(layer.padding, layer.stride, layer.dilation, taps)
    target = builder.tensor([1, height, width, 5], layer.dtype, spread(layer.dtype, 4.0))
    builder.operator(
        "CONV_2D",
        [picture, matrix, bias(builder, 5, layer.dtype, scale)],
        target,
        **layer.options,
    )
    assert_agree(finished(builder, picture, target))


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: "-".join(map(str, layer)))
@pytest.mark.parametrize("multiplier", [1, 2])
def test_depthwise_convolution(layer: Layer, multiplier: int) -> None:
    """DEPTHWISE_CONV_2D in every combination that LiteRT has."""
    builder = GraphBuilder()
    picture = picture_of(builder, layer.dtype)
    channels = 3 * multiplier
    matrix, scale = weights(builder, (1, 3, 3, channels), layer.dtype, 3 if layer.per_channel else None)
    height, width = conv_sides(layer.padding, layer.stride, layer.dilation, (3, 3))
    target = builder.tensor([1, height, width, channels], layer.dtype, spread(layer.dtype, 3.0))
    builder.operator(
        "DEPTHWISE_CONV_2D",
        [picture, matrix, bias(builder, channels, layer.dtype, scale)],
        target,
        DepthMultiplier=multiplier,
        **layer.options,
    )
    assert_agree(finished(builder, picture, target))


@pytest.mark.parametrize("dtype", DTYPES)
def test_uneven_strides(dtype: str) -> None:
    """Strides that differ down and across, on a depthwise layer."""
    builder = GraphBuilder()
    picture = picture_of(builder, dtype)
    matrix, scale = weights(builder, (1, 3, 3, 3), dtype, None)
    target = builder.tensor([1, 9, 4, 3], dtype, spread(dtype, 3.0))
    inputs = [picture, matrix, bias(builder, 3, dtype, scale)]
    builder.operator("DEPTHWISE_CONV_2D", inputs, target, StrideH=1, StrideW=3, DepthMultiplier=1)
    assert_agree(finished(builder, picture, target))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize(("taps", "stride"), [((2, 2), 2), ((3, 3), 1), ((3, 2), 2)])
@pytest.mark.parametrize("activation", ["NONE", "RELU", "RELU6"])
def test_average_pool(dtype: str, padding: str, taps: tuple[int, int], stride: int, activation: str) -> None:
    """AVERAGE_POOL_2D, whose windows at the edges have fewer places."""
    builder = GraphBuilder()
    picture = picture_of(builder, dtype)
    target = builder.tensor([1, *conv_sides(padding, stride, 1, taps), 3], dtype, PICTURE[dtype])
    builder.operator(
        "AVERAGE_POOL_2D",
        [picture],
        target,
        Padding=PADDINGS[padding],
        StrideH=stride,
        StrideW=stride,
        FilterHeight=taps[0],
        FilterWidth=taps[1],
        FusedActivationFunction=ACTIVATIONS[activation],
    )
    assert_agree(finished(builder, picture, target))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["AVERAGE_POOL_2D", "MEAN"])
def test_global_pool(dtype: str, kind: str) -> None:
    """The mean of the whole map."""
    builder = GraphBuilder()
    picture = picture_of(builder, dtype)
    target = builder.tensor([1, 1, 1, 3], dtype, PICTURE[dtype])
    if kind == "MEAN":
        builder.operator(kind, [picture, builder.constant(np.array([1, 2], np.int32))], target, KeepDims=True)
    else:
        size = {"FilterHeight": HEIGHT, "FilterWidth": WIDTH, "StrideH": 1, "StrideW": 1}
        builder.operator(kind, [picture], target, Padding=PADDINGS["VALID"], **size)
    assert_agree(builder.build([picture], [target]))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("other", ["tensor", "row", "channels"])
def test_add(dtype: str, activation: str, other: str) -> None:
    """ADD of tensors with different scales, and of constants for all places."""
    builder = GraphBuilder()
    picture = picture_of(builder, dtype)
    if other == "tensor":
        addend = builder.tensor([1, HEIGHT, WIDTH, 3], dtype, spread(dtype, 1.3))
        builder.operator("QUANTIZE" if dtype != "float32" else "RELU", [picture], addend)
    else:
        shape = (1, 1, WIDTH, 3) if other == "row" else (3,)
        if dtype == "float32":
            addend = builder.constant(RANDOM.normal(0, 1, shape).astype(np.float32))
        else:
            values = RANDOM.integers(0, 127, shape).astype(dtype)
            addend = builder.constant(values, Scale([0.01], 100))
    target = builder.tensor([1, HEIGHT, WIDTH, 3], dtype, spread(dtype, 2.5))
    builder.operator("ADD", [picture, addend], target, FusedActivationFunction=ACTIVATIONS[activation])
    assert_agree(finished(builder, picture, target))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("axis", [1, 2, 3, -1])
def test_concatenation(dtype: str, axis: int) -> None:
    """CONCATENATION of a tensor with a limited copy of itself."""
    builder = GraphBuilder()
    picture = picture_of(builder, dtype)
    limited = builder.operator("RELU", [picture], builder.tensor([1, HEIGHT, WIDTH, 3], dtype, PICTURE[dtype]))
    shape = [1, HEIGHT, WIDTH, 3]
    shape[axis] *= 2
    target = builder.tensor(shape, dtype, PICTURE[dtype])
    builder.operator("CONCATENATION", [picture, limited], target, Axis=axis)
    assert_agree(finished(builder, picture, target))


@pytest.mark.parametrize("dtype", DTYPES)
def test_pad_before_a_valid_convolution(dtype: str) -> None:
    """PAD, as exporters write what SAME can't say."""
    builder = GraphBuilder()
    picture = picture_of(builder, dtype)
    margins = builder.constant(np.array([[0, 0], [1, 0], [2, 1], [0, 0]], np.int32))
    padded = builder.tensor([1, HEIGHT + 1, WIDTH + 3, 3], dtype, PICTURE[dtype])
    builder.operator("PAD", [picture, margins], padded)
    matrix, scale = weights(builder, (4, 2, 2, 3), dtype, None)
    target = builder.tensor([1, HEIGHT, WIDTH + 2, 4], dtype, spread(dtype, 4.0))
    inputs = [padded, matrix, bias(builder, 4, dtype, scale)]
    builder.operator("CONV_2D", inputs, target, Padding=PADDINGS["VALID"], StrideH=1, StrideW=1)
    assert_agree(finished(builder, picture, target))


@pytest.mark.parametrize(("dtype", "per_channel"), [*((dtype, False) for dtype in DTYPES), ("int8", True)])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_fully_connected(dtype: str, activation: str, per_channel: bool) -> None:
    """FULLY_CONNECTED on a flattened map."""
    builder = GraphBuilder()
    picture = picture_of(builder, dtype)
    size = HEIGHT * WIDTH * 3
    flat = builder.tensor([1, size], dtype, PICTURE[dtype])
    builder.operator("RESHAPE", [picture, builder.constant(np.array([1, -1], np.int32))], flat)
    matrix, scale = weights(builder, (7, size), dtype, 0 if per_channel else None)
    target = builder.tensor([1, 7], dtype, spread(dtype, 40.0))
    inputs = [flat, matrix, bias(builder, 7, dtype, scale)]
    builder.operator("FULLY_CONNECTED", inputs, target, FusedActivationFunction=ACTIVATIONS[activation])
    assert_agree(builder.build([picture], [target]))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("beta", [1.0, 0.5])
def test_softmax(dtype: str, beta: float) -> None:
    """SOFTMAX of each place's channels, in the scale that TFLite prescribes."""
    builder = GraphBuilder()
    picture = picture_of(builder, dtype)
    scale = None if dtype == "float32" else Scale([1 / 256], 0 if dtype == "uint8" else -128)
    target = builder.tensor([1, HEIGHT, WIDTH, 3], dtype, scale)
    builder.operator("SOFTMAX", [picture], target, Beta=beta)
    assert_agree(finished(builder, picture, target))


@pytest.mark.parametrize("dtype", DTYPES)
def test_l2_normalisation(dtype: str) -> None:
    """A pooled vector made a unit one, which is where the model then ends."""
    builder = GraphBuilder()
    picture = picture_of(builder, dtype)
    pooled = builder.tensor([1, 3], dtype, PICTURE[dtype])
    builder.operator("MEAN", [picture, builder.constant(np.array([1, 2], np.int32))], pooled, KeepDims=False)
    scale = None if dtype == "float32" else Scale([1 / 128], 128 if dtype == "uint8" else 0)
    target = builder.operator("L2_NORMALIZATION", [pooled], builder.tensor([1, 3], dtype, scale))
    data = builder.build([picture], [target])
    assert read_model(data).output == target
    assert_agree(data, steps=2.0)  # LiteRT's own square root is an integer one


@pytest.mark.parametrize(
    ("kind", "dtype"), [*itertools.product(("RELU", "RELU6"), DTYPES), ("RELU_N1_TO_1", "float32")]
)
def test_rectifiers(kind: str, dtype: str) -> None:
    """Activations that stand alone."""
    builder = GraphBuilder()
    picture = picture_of(builder, dtype)
    target = builder.operator(kind, [picture], builder.tensor([1, HEIGHT, WIDTH, 3], dtype, PICTURE[dtype]))
    assert_agree(finished(builder, picture, target))


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_dequantize(dtype: str) -> None:
    """A quantised picture in a float graph."""
    builder = GraphBuilder()
    picture = picture_of(builder, dtype)
    target = builder.operator("DEQUANTIZE", [picture], builder.tensor([1, HEIGHT, WIDTH, 3], "float32"))
    assert_agree(finished(builder, picture, target))


@pytest.mark.parametrize(
    ("source", "target"), [("uint8", "int8"), ("int8", "uint8"), ("float32", "int8"), ("float32", "uint8")]
)
def test_quantize(source: str, target: str) -> None:
    """QUANTIZE between codes, and of a float picture, which then comes in the quantisation's range."""
    builder = GraphBuilder()
    picture = picture_of(builder, source)
    result = builder.tensor([1, HEIGHT, WIDTH, 3], target, Scale([0.013], 4))
    assert_agree(finished(builder, picture, builder.operator("QUANTIZE", [picture], result)))


def test_weights_in_half_precision() -> None:
    """Weights as float16, unpacked by a DEQUANTIZE."""
    builder = GraphBuilder()
    picture = picture_of(builder, "float32")
    half = builder.constant(RANDOM.normal(0, 0.3, (4, 3, 3, 3)).astype(np.float16))
    matrix = builder.operator("DEQUANTIZE", [half], builder.tensor([4, 3, 3, 3], "float32"))
    target = builder.tensor([1, HEIGHT, WIDTH, 4], "float32")
    inputs = [picture, matrix, bias(builder, 4, "float32", None)]
    builder.operator("CONV_2D", inputs, target, StrideH=1, StrideW=1)
    assert_agree(finished(builder, picture, target))


def _multiplied(builder: GraphBuilder, picture: int) -> int:
    return builder.operator("MUL", [picture, picture], builder.tensor([1, HEIGHT, WIDTH, 3], "float32"))


def _grouped(builder: GraphBuilder, picture: int) -> int:
    matrix, _ = weights(builder, (3, 1, 1, 1), "float32", None)
    target = builder.tensor([1, HEIGHT, WIDTH, 3], "float32")
    return builder.operator("CONV_2D", [picture, matrix, -1], target, StrideH=1, StrideW=1)


def _tanh(builder: GraphBuilder, picture: int) -> int:
    target = builder.tensor([1, HEIGHT, WIDTH, 3], "float32")
    return builder.operator("ADD", [picture, picture], target, FusedActivationFunction=4)


def _wrong_shape(builder: GraphBuilder, picture: int) -> int:
    matrix, _ = weights(builder, (3, 3, 3, 3), "float32", None)
    target = builder.tensor([1, HEIGHT + 1, WIDTH, 3], "float32")
    return builder.operator("CONV_2D", [picture, matrix, -1], target, StrideH=1, StrideW=1)


def _no_stride(builder: GraphBuilder, picture: int) -> int:
    matrix, _ = weights(builder, (3, 3, 3, 3), "float32", None)
    target = builder.tensor([1, HEIGHT, WIDTH, 3], "float32")
    return builder.operator("CONV_2D", [picture, matrix, -1], target, StrideH=0, StrideW=1)


def _computed_weights(builder: GraphBuilder, picture: int) -> int:
    matrix = builder.operator("RELU", [picture], builder.tensor([1, HEIGHT, WIDTH, 3], "float32"))
    target = builder.tensor([1, 1, 1, 3], "float32")
    inputs = [picture, matrix, -1]
    return builder.operator("DEPTHWISE_CONV_2D", inputs, target, Padding=1, StrideH=1, StrideW=1, DepthMultiplier=1)


@pytest.mark.parametrize(
    ("graph", "error", "says"),
    [
        (_multiplied, UnsupportedOperator, "MUL"),
        (_grouped, UnsupportedOperator, "groups"),
        (_tanh, UnsupportedOperator, "TANH"),
        (_wrong_shape, CorruptModel, "CONV_2D"),
        (_no_stride, CorruptModel, "stride 0"),
        (_computed_weights, UnsupportedModel, "constant weights"),
    ],
)
def test_what_it_lacks_is_named(graph: Callable[[GraphBuilder, int], int], error: type[Exception], says: str) -> None:
    """Unsupported and contradictory operators end in an error that names them."""
    builder = GraphBuilder()
    picture = picture_of(builder, "float32")
    model = read_model(finished(builder, picture, graph(builder, picture)))
    with pytest.raises(error, match=says):
        PortableRuntime(model)
