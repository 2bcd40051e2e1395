"""Small graphs that several tests use."""

import numpy as np
from numpy.typing import NDArray

from .tflite_builder import GraphBuilder, Scale

HEIGHT, WIDTH = 9, 11
ACTIVATIONS = {"NONE": 0, "RELU": 1, "RELU_N1_TO_1": 2, "RELU6": 3}
PADDINGS = {"SAME": 0, "VALID": 1}
DTYPES = ("uint8", "int8", "float32")
PICTURE = {"uint8": Scale([1 / 64], 128), "int8": Scale([1 / 64], -3), "float32": None}
RANDOM = np.random.default_rng(7)


def restart_random() -> None:
    """Draw the same weights from here on, whatever was drawn before."""
    RANDOM.bit_generator.state = np.random.default_rng(7).bit_generator.state


def spread(dtype: str, reach: float) -> Scale | None:
    """Return a quantisation that holds −reach to reach, off centre."""
    return None if dtype == "float32" else Scale([reach / 120], 125 if dtype == "uint8" else -3)


def weights(builder: GraphBuilder, shape: tuple[int, ...], dtype: str, axis: int | None) -> tuple[int, Scale | None]:
    """Add random weights, with one scale per slice of ``axis`` where there is one; returns them and their scale."""
    if dtype == "float32":
        return builder.constant(RANDOM.normal(0, 0.3, shape).astype(np.float32)), None
    if dtype == "uint8":
        scale = Scale([0.011], 119)
        return builder.constant(RANDOM.integers(1, 256, shape).astype(np.uint8), scale), scale
    sizes = 1 if axis is None else shape[axis]
    scale = Scale([0.004 + 0.001 * i for i in range(sizes)], 0, axis or 0)
    return builder.constant(RANDOM.integers(-127, 128, shape).astype(np.int8), scale), scale


def bias(builder: GraphBuilder, size: int, dtype: str, scale: Scale | None) -> int:
    """Add a random bias that belongs to weights of a scale."""
    if scale is None:
        return builder.constant(RANDOM.normal(0, 0.5, size).astype(np.float32))
    picture = PICTURE[dtype]
    assert picture is not None
    steps = [picture.scale[0] * s for s in scale.scale]
    return builder.constant((RANDOM.normal(0, 0.5, size) / np.mean(steps)).astype(np.int32), Scale(steps))


def finished(builder: GraphBuilder, picture: int, tensor: int) -> bytes:
    """End the graph in a vector of all that ``tensor`` holds."""
    last = builder.tensors[tensor]
    size = int(np.prod(last.shape))
    flat = builder.tensor([1, size], last.dtype, last.scale)
    shape = builder.constant(np.array([1, size], np.int32))
    builder.operator("RESHAPE", [tensor, shape], flat)
    return builder.build([picture], [flat])


def picture_of(builder: GraphBuilder, dtype: str) -> int:
    """Add the graph's input."""
    return builder.tensor([1, HEIGHT, WIDTH, 3], dtype, PICTURE[dtype])


def pixels(number: int = 0, height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.uint8]:
    """Return a drawn picture."""
    return np.random.default_rng(number).integers(0, 256, (height, width, 3), np.uint8)


def separable(dtype: str, height: int, width: int, channels: int = 16) -> bytes:
    """Return a small MobileNet: convolution, a residual block of depthwise and pointwise, pool, classifier."""
    builder = GraphBuilder()
    picture = builder.tensor([1, height, width, 3], dtype, PICTURE[dtype])
    high, wide = -(-height // 2), -(-width // 2)
    held = PICTURE[dtype]  # so that `bias` knows every source's scale

    def layer(kind: str, source: int, shape: tuple[int, ...], **options: int) -> int:
        per_channel = None if dtype != "int8" else (3 if kind.startswith("D") else 0)
        matrix, scale = weights(builder, shape, dtype, per_channel)
        inputs = [source, matrix, bias(builder, channels, dtype, scale)]
        target = builder.tensor([1, high, wide, channels], dtype, held)
        return builder.operator(kind, inputs, target, **({"StrideH": 1, "StrideW": 1} | options))

    first = layer("CONV_2D", picture, (channels, 3, 3, 3), StrideH=2, StrideW=2)
    deep = layer("DEPTHWISE_CONV_2D", first, (1, 3, 3, channels), DepthMultiplier=1, FusedActivationFunction=3)
    point = layer("CONV_2D", deep, (channels, 1, 1, channels))
    added = builder.operator("ADD", [first, point], builder.tensor([1, high, wide, channels], dtype, held))
    pooled = builder.tensor([1, 1, 1, channels], dtype, held)
    axes = builder.constant(np.array([1, 2], np.int32))
    builder.operator("MEAN", [added, axes], pooled, KeepDims=True)
    matrix, scale = weights(builder, (10, 1, 1, channels), dtype, None)
    logits = builder.tensor([1, 1, 1, 10], dtype, held)
    builder.operator("CONV_2D", [pooled, matrix, bias(builder, 10, dtype, scale)], logits, StrideH=1, StrideW=1)
    end = None if dtype == "float32" else Scale([1 / 256], 0 if dtype == "uint8" else -128)
    result = builder.operator("SOFTMAX", [logits], builder.tensor([1, 1, 1, 10], dtype, end), Beta=1.0)
    return builder.build([picture], [result], signature=True)


HELD = Scale([1 / 64], 3)


def classifier(end: str = "SOFTMAX", pool: str = "MEAN", squeeze: bool = False) -> tuple[bytes, int]:
    """Return a classifier's file and the tensor of its pool; with ``squeeze``, the pool looks at half the map only."""
    builder = GraphBuilder()
    picture = builder.tensor([1, 8, 6, 3], "uint8", Scale([1 / 128], 128))
    kernel = builder.constant(np.full((4, 3, 3, 3), 150, np.uint8), Scale([0.01], 128))
    offsets = builder.constant(np.arange(4, dtype=np.int32), Scale([0.01 / 128]))
    features = builder.tensor([1, 8, 6, 4], "uint8", HELD)
    builder.operator("CONV_2D", [picture, kernel, offsets], features, StrideH=1, StrideW=1)
    pooled = builder.tensor([1, 1, 1, 4], "uint8", HELD)
    if pool == "MEAN":
        builder.operator(pool, [features, builder.constant(np.array([2, 1], np.int32))], pooled, KeepDims=True)
    else:
        size = {"FilterHeight": 8, "FilterWidth": 6, "StrideH": 8, "StrideW": 6}
        builder.operator(pool, [features], pooled, Padding=1, **size)
    last = pooled
    if squeeze:
        last = builder.tensor([1, 8, 6, 4], "uint8", HELD)
        builder.operator("ADD", [features, pooled], last)
    shape = builder.constant(np.array([1, -1], np.int32))
    flat = builder.tensor([1, 192 if squeeze else 4], "uint8", HELD)
    builder.operator("RESHAPE", [last, shape], flat)
    if end == "RESHAPE":
        return builder.build([picture], [flat]), pooled
    scale = Scale([1 / 256], 0) if end == "SOFTMAX" else Scale([1 / 128], 128)
    options = {"Beta": 1.0} if end == "SOFTMAX" else {}
    result = builder.operator(end, [flat], builder.tensor([1, 192 if squeeze else 4], "uint8", scale), **options)
    return builder.build([picture], [result], signature=True), pooled
