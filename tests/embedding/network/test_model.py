"""The reader: what it finds in a sound file, and how it refuses every other one."""

from collections.abc import Callable
import struct

import numpy as np
import pytest

from embedding.errors import CorruptModel, EmbeddingError, UnsupportedModel, UnsupportedOperator
from embedding.network.graph import LARGEST_TENSOR
from embedding.network.model import read_model
from embedding.runtimes.portable import PortableRuntime
from embedding.runtimes.rewrite import cut_model
from tests.embedding.graphs import HELD, classifier
from tests.embedding.tflite_builder import GraphBuilder, Scale


def test_reads_what_is_there() -> None:
    """Names, shapes, quantisation, constants and options arrive as they were written."""
    data, _ = classifier()
    model = read_model(data)
    assert model.input_size == (6, 8)
    assert model.length == 4
    convolution = model.operators[0]
    assert convolution.kind == "CONV_2D"
    assert convolution.options["Padding"] == "SAME"
    assert convolution.options["FusedActivationFunction"] == "NONE"
    kernel = model.tensors[convolution.inputs[1]]
    assert (kernel.name, kernel.shape, kernel.dtype.name) == ("tensor1", (4, 3, 3, 3), "uint8")
    assert kernel.quantisation is not None
    np.testing.assert_allclose(kernel.quantisation.scale, [0.01])
    np.testing.assert_array_equal(kernel.quantisation.zero_point, [128])
    np.testing.assert_array_equal(kernel.data, np.full((4, 3, 3, 3), 150))


def test_constants_are_views_of_the_file() -> None:
    """Weights are not copied, and can't be written to."""
    data, _ = classifier()
    kernel = read_model(data).tensors[1].data
    assert kernel is not None
    assert np.shares_memory(kernel, np.frombuffer(data, np.uint8))
    assert not kernel.flags.writeable


@pytest.mark.parametrize("pool", ["MEAN", "AVERAGE_POOL_2D"])
def test_classifier_ends_at_its_pool(pool: str) -> None:
    """What follows the pool is neither listed nor executed."""
    data, pooled = classifier(pool=pool)
    model = read_model(data)
    assert model.output == pooled
    assert [operator.kind for operator in model.operators] == ["CONV_2D", pool]
    assert model.kept == 2


def test_normalised_extractor_ends_at_its_end() -> None:
    """A model that ends in a unit vector is an extractor already."""
    data, pooled = classifier(end="L2_NORMALIZATION")
    model = read_model(data)
    assert model.output != pooled
    assert model.operators[-1].kind == "L2_NORMALIZATION"


def test_pool_that_is_no_bottleneck_is_passed() -> None:
    """A pool beside the main path (squeeze and excite) is no embedding."""
    data, pooled = classifier(end="RESHAPE", squeeze=True)
    model = read_model(data)
    assert model.output != pooled
    assert model.length == 192


@pytest.mark.parametrize("data", [b"", b"TFL3", b"not a model at all", b"\x1c\0\0\0TFL2" + bytes(64)])
def test_not_a_model(data: bytes) -> None:
    """Anything else than a TFLite file is called that."""
    with pytest.raises(CorruptModel, match="not a TFLite model"):
        read_model(data)


def attempt(data: bytes) -> str:
    """Read and execute a file; returns the name of the error, or nothing. Any other error fails the test."""
    try:
        runtime = PortableRuntime(read_model(data))
        width, height = runtime.input_size
        runtime.embed(np.zeros((height, width, 3), np.uint8))
    except EmbeddingError as error:
        return type(error).__name__
    return ""


def test_truncated_files() -> None:
    """A file cut short at any length is refused or, where only padding is lost, works."""
    data, _ = classifier()
    outcomes = {attempt(data[:length]) for length in range(0, len(data), 3)}
    assert "CorruptModel" in outcomes
    assert outcomes <= {"CorruptModel", "UnsupportedModel", "UnsupportedOperator", ""}


def damaged(data: bytes, kind: str, seed: int) -> bytes:
    """Return a file with some bits flipped, or one of its 32-bit numbers replaced by a nasty one."""
    random = np.random.default_rng(seed)
    copy = bytearray(data)
    if kind == "bits":
        for place in random.integers(0, len(copy), 1 + seed % 6):
            copy[place] ^= 1 << int(random.integers(8))
    else:
        nasty = (0, 1, 0x7F, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, len(copy), len(copy) - 4, 0x10000)
        place = 4 * int(random.integers(0, len(copy) // 4))
        struct.pack_into("<I", copy, place, nasty[int(random.integers(len(nasty)))])
    return bytes(copy)


@pytest.mark.parametrize("kind", ["bits", "numbers"])
def test_damaged_files(kind: str) -> None:
    """Damage ends in a named error or, where it hits a weight, in another embedding; never in a crash."""
    data, _ = classifier()
    outcomes = [attempt(damaged(data, kind, seed)) for seed in range(400)]
    assert outcomes.count("CorruptModel") > 40
    assert "" in outcomes


def test_endless_vectors_are_refused() -> None:
    """Claims of millions of parts, wherever they stand, are not followed: following one would take minutes and gigabytes."""
    data, _ = classifier()
    outcomes = []
    for place in range(0, len(data) - 4, 4):
        copy = bytearray(data)
        struct.pack_into("<I", copy, place, 0x00FFFFFF)
        outcomes.append(attempt(bytes(copy)))
    assert outcomes.count("CorruptModel") > len(outcomes) // 3


def _edgetpu(builder: GraphBuilder, picture: int) -> int:
    return builder.operator("CUSTOM edgetpu-custom-op", [picture], builder.tensor([1, 4], "uint8", HELD))


def _unknown_custom(builder: GraphBuilder, picture: int) -> int:
    return builder.operator("CUSTOM some-accelerator-op", [picture], builder.tensor([1, 4], "uint8", HELD))


def _no_vector(builder: GraphBuilder, picture: int) -> int:
    target = builder.tensor([1, 8, 6, 3], "uint8", Scale([1 / 128], 128))
    return builder.operator("RELU", [picture], target)


def _huge(builder: GraphBuilder, picture: int) -> int:
    return builder.operator("RELU", [picture], builder.tensor([1, LARGEST_TENSOR + 1], "uint8", HELD))


def _short_constant(builder: GraphBuilder, picture: int) -> int:
    kernel = builder.constant(np.zeros((4, 3, 3, 3), np.uint8), Scale([0.01], 128))
    builder.tensors[kernel].shape = [4, 3, 3, 4]
    target = builder.tensor([1, 8, 6, 4], "uint8", HELD)
    return builder.operator("CONV_2D", [picture, kernel, -1], target, StrideH=1, StrideW=1)


def _no_scale(builder: GraphBuilder, picture: int) -> int:
    return builder.operator("RELU", [picture], builder.tensor([1, 144], "uint8", Scale([0.0], 0)))


def _scales_of_another_shape(builder: GraphBuilder, picture: int) -> int:
    kernel = builder.constant(np.zeros((4, 3, 3, 3), np.int8), Scale([0.1, 0.2, 0.3], 0, 0))
    target = builder.tensor([1, 8, 6, 4], "uint8", HELD)
    return builder.operator("CONV_2D", [picture, kernel, -1], target, StrideH=1, StrideW=1)


def _before_it_exists(builder: GraphBuilder, picture: int) -> int:
    later = builder.tensor([1, 4], "uint8", HELD)
    builder.operator("ADD", [picture, later], builder.tensor([1, 4], "uint8", HELD))
    return builder.operator("RELU", [picture], later)


@pytest.mark.parametrize(
    ("graph", "error", "says"),
    [
        (_unknown_custom, UnsupportedOperator, "some-accelerator-op"),
        (_edgetpu, UnsupportedModel, "compiled for the Edge TPU"),
        (_no_vector, UnsupportedModel, "no vector"),
        (_huge, CorruptModel, "claims the shape"),
        (_short_constant, CorruptModel, "108 bytes"),
        (_no_scale, CorruptModel, "positive"),
        (_scales_of_another_shape, CorruptModel, "does not match its shape"),
        (_before_it_exists, CorruptModel, "before it is computed"),
    ],
)
def test_unsuitable_graphs_are_named(
    graph: Callable[[GraphBuilder, int], int], error: type[Exception], says: str
) -> None:
    """Contradictions and custom operators end in an error that says which."""
    builder = GraphBuilder()
    picture = builder.tensor([1, 8, 6, 3], "uint8", Scale([1 / 128], 128))
    data = builder.build([picture], [graph(builder, picture)])
    with pytest.raises(error, match=says):
        read_model(data)


def test_operator_without_inputs() -> None:
    """An operator that reads nothing is a contradiction."""
    builder = GraphBuilder()
    picture = builder.tensor([1, 8, 6, 3], "uint8", Scale([1 / 128], 128))
    data = builder.build([picture], [builder.operator("ADD", [], builder.tensor([1, 144], "uint8", HELD))])
    with pytest.raises(CorruptModel, match="ADD has 0 inputs"):
        PortableRuntime(read_model(data))


@pytest.mark.parametrize(
    ("shape", "dtype", "says"),
    [
        ([1, 8, 6, 1], "uint8", "not 1×height×width×3"),
        ([2, 8, 6, 3], "uint8", "not 1×height×width×3"),
        ([1, 144], "uint8", "not 1×height×width×3"),
        ([1, 8, 6, 3], "int16", "type int16"),
    ],
)
def test_inputs_that_are_no_picture(shape: list[int], dtype: str, says: str) -> None:
    """The input has to be one RGB picture."""
    builder = GraphBuilder()
    picture = builder.tensor(shape, dtype, HELD)
    target = builder.operator("RELU", [picture], builder.tensor([1, 144], dtype, HELD))
    with pytest.raises(UnsupportedModel, match=says):
        read_model(builder.build([picture], [target]))


def test_several_outputs() -> None:
    """Detectors have more than one output; they are no extractors."""
    builder = GraphBuilder()
    picture = builder.tensor([1, 8, 6, 3], "uint8", HELD)
    target = builder.operator("RELU", [picture], builder.tensor([1, 144], "uint8", HELD))
    with pytest.raises(UnsupportedModel, match="1 inputs and 2 outputs"):
        read_model(builder.build([picture], [target, target]))


def test_cut_file_is_a_model_that_ends_at_the_embedding() -> None:
    """The cut file reads as the same model without anything left to cut."""
    data, pooled = classifier()
    model = read_model(data)
    cut = cut_model(model)
    assert len(cut) < len(data)
    again = read_model(cut)
    assert (again.output, again.kept, again.operators) == (pooled, model.kept, model.operators)
