"""Known classes: what is read of a classifier's last layer, and where its columns are put beside imprinted weights."""

from pathlib import Path

from hypothesis import given, strategies as st
import numpy as np
from numpy.typing import NDArray
import pytest

from bench.measures import imported_classes
from embedding.errors import CorruptModel, EmbeddingError, UnsupportedModel, UnsupportedOperator, WrongLabels
from embedding.export import columns
from embedding.export.columns import class_columns, known_weight, proxy, read_labels, refined_weight
from embedding.network.model import read_model
from embedding.pictures.decoding import WHOLE, View, cut
from embedding.runtimes.runtime import open_runtime
from tests.embedding.graphs import PICTURE, classifier, restart_random, separable
from tests.embedding.tflite_builder import GraphBuilder, Scale

SHARED = Path(__file__).resolve().parents[4] / "shared"
MODEL = SHARED / "models" / "mobilenet_v1_0.25_128_quant.tflite"
LABELS = SHARED / "models" / "imagenet_labels.txt"
UNKNOWNS = sorted((SHARED / "data" / "unknowns" / "unknown").glob("*.jpg"))
CLASSIFIERS = sorted((SHARED / "models").glob("*_quant.tflite")) + sorted((SHARED / "models").glob("*_ptq.tflite"))
needs_shared = pytest.mark.skipif(
    not (MODEL.is_file() and len(UNKNOWNS) > 100), reason="needs ../shared/models and ../shared/data/unknowns"
)
RANDOM = np.random.default_rng(5)


def dense(
    kind: str, activation: int = 0, hidden: bool = False
) -> tuple[bytes, NDArray[np.float32], NDArray[np.float32]]:
    """Return a classifier with a dense last layer behind its pool, and the layer's real weights and bias."""
    builder = GraphBuilder()
    dtype = "float32" if kind in ("float32", "float16") else kind
    picture = builder.tensor([1, 8, 6, 3], dtype, PICTURE[dtype])
    pooled = builder.tensor([1, 3], dtype, PICTURE[dtype])
    builder.operator("MEAN", [picture, builder.constant(np.array([1, 2], np.int32))], pooled)
    source = pooled
    if hidden:
        square = builder.constant(np.eye(3, dtype=np.float32))
        source = builder.operator("FULLY_CONNECTED", [pooled, square, -1], builder.tensor([1, 3], dtype))
    if dtype == "float32":
        real = RANDOM.normal(size=(5, 3)).astype(np.float32)
        bias = RANDOM.normal(size=5).astype(np.float32)
        if kind == "float16":
            real = real.astype(np.float16).astype(np.float32)
            stored = builder.constant(real.astype(np.float16))
            matrix = builder.operator("DEQUANTIZE", [stored], builder.tensor([5, 3], "float32"))
        else:
            matrix = builder.constant(real)
        offset = builder.constant(bias)
    else:
        steps = np.linspace(0.01, 0.03, 5).astype(np.float32) if kind == "int8" else np.array([0.02], np.float32)
        zero = 0 if kind == "int8" else 100
        codes = RANDOM.integers(1, 120, (5, 3))
        real = (codes - zero).astype(np.float32) * steps[:, None]
        matrix = builder.constant(codes.astype(dtype), Scale(steps.tolist(), zero))
        held = PICTURE[dtype]
        assert held is not None
        counts = RANDOM.integers(-900, 900, 5)
        bias = counts.astype(np.float32) * steps * np.float32(held.scale[0])
        offset = builder.constant(counts.astype(np.int32), Scale((steps * held.scale[0]).tolist()))
    logits = builder.tensor([1, 5], dtype, PICTURE[dtype])
    builder.operator("FULLY_CONNECTED", [source, matrix, offset], logits, FusedActivationFunction=activation)
    end = builder.operator("SOFTMAX", [logits], builder.tensor([1, 5], dtype, PICTURE[dtype]), Beta=1.0)
    return builder.build([picture], [end]), real, bias


@pytest.mark.parametrize("kind", ["uint8", "int8", "float32", "float16"])
def test_dense_layers_are_read(kind: str) -> None:
    """Per tensor, per channel, not quantised, or kept as float16: the real weights are the same."""
    data, real, bias = dense(kind)
    found = class_columns(data)
    np.testing.assert_allclose(found.vectors, real, rtol=1e-6)
    np.testing.assert_allclose(found.bias, bias, rtol=1e-5, atol=1e-7)
    assert found.vectors.dtype == np.float32
    assert not found.normalised


@pytest.mark.parametrize("dtype", ["uint8", "int8", "float32"])
def test_convolutions_are_read(dtype: str) -> None:
    """A 1×1 convolution behind the pool is the same layer."""
    restart_random()
    data = separable(dtype, 16, 16)
    found = class_columns(data)
    assert found.vectors.shape == (10, read_model(data).length)
    assert found.bias.shape == (10,)


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (b"nothing", CorruptModel, "not a TFLite model"),
        (classifier(end="SOFTMAX")[0], UnsupportedModel, "layer of classes"),
        (classifier(end="L2_NORMALIZATION")[0], UnsupportedModel, "layer of classes"),
        (dense("float32", hidden=True)[0], UnsupportedModel, "further layers"),
        (dense("float32", activation=1)[0], UnsupportedOperator, "unusual kind"),
    ],
    ids=["garbage", "no layer", "extractor", "hidden layer", "activation"],
)
def test_what_has_no_columns(data: bytes, error: type[EmbeddingError], message: str) -> None:
    """Files without a layer of classes right behind the embedding are refused by name."""
    with pytest.raises(error, match=message):
        class_columns(data)


def test_damaged_files() -> None:
    """Damage ends in a named error or in other weights, never in anything else."""
    data, _, _ = dense("int8")
    refused = 0
    for seed in range(400):
        random = np.random.default_rng(seed)
        copy = bytearray(data)
        for place in random.integers(0, len(copy), 1 + seed % 4):
            copy[place] ^= 1 << int(random.integers(8))
        try:
            class_columns(bytes(copy))
        except EmbeddingError:
            refused += 1
    assert refused > 40


def test_labels_one_per_line() -> None:
    """Lines are labels, in order; what editors add is not."""
    assert read_labels("\ufeffopen\r\n  half open \nclosed\n\n", 3) == ("open", "half open", "closed")


def test_labels_with_numbers() -> None:
    """Numbers order the labels, where they are exactly those of the classes."""
    assert read_labels("1 open\n0: 2 cars\n", 2) == ("2 cars", "open")
    assert read_labels("1 car\n2 cars\n", 2) == ("1 car", "2 cars")
    assert read_labels("0\n1\n", 2) == ("0", "1")


@pytest.mark.parametrize(
    "text", ["", "one\n", "one\ntwo\nthree\n", "one\n\n", f"one\n{'x' * 501}", "one\n\x00", "x" * ((1 << 20) + 1)]
)
def test_labels_that_do_not_fit(text: str) -> None:
    """Another number of labels than classes, and what is no label."""
    with pytest.raises(WrongLabels):
        read_labels(text, 2)


@given(st.text(max_size=60), st.integers(1, 5))
def test_any_text(text: str, count: int) -> None:
    """Whatever is read has as many labels as asked for, none of them empty."""
    try:
        labels = read_labels(text, count)
    except WrongLabels:
        return
    assert len(labels) == count
    assert all(labels)


def test_proxy_is_centred() -> None:
    """What all columns have in common is gone; several classes are averaged; a class that isn't there is an IndexError."""
    vectors = np.array([[3, 1, 0], [3, -1, 0], [3, 0, 2], [3, 0, -2]], np.float32)
    found = columns.Columns(vectors, np.zeros(4, np.float32), normalised=False)
    np.testing.assert_allclose(proxy(found, 2), [0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(proxy(found, [0, 2]), [0, 0.5**0.5, 0.5**0.5], atol=1e-6)
    absent: list[int | list[int]] = [4, -1, []]
    for index in absent:
        with pytest.raises(IndexError):
            proxy(found, index)
    with pytest.raises(UnsupportedModel):
        proxy(columns.Columns(vectors[:1], np.zeros(1, np.float32), normalised=False), 0)


def test_known_weight_among_known_ones() -> None:
    """Without imprinted classes the weight is the column, with zeros for the layout."""
    direction = np.array([0.6, 0.8], np.float32)
    np.testing.assert_allclose(known_weight(direction, np.zeros((0, 5), np.float32)), [0.6, 0.8, 0, 0, 0])


@pytest.mark.parametrize("count", [1, 2, 7])
def test_known_weight_ties_where_it_should(count: int) -> None:
    """A picture in the middle that has what is expected in the class's direction scores the same; more wins, less loses."""
    others = RANDOM.normal(1, 1, (count, 40))
    others /= np.linalg.norm(others, axis=1, keepdims=True)
    direction = RANDOM.normal(size=30)
    direction /= np.linalg.norm(direction)
    weight = known_weight(direction.astype(np.float32), others.astype(np.float32)).astype(np.float64)
    middle = others.mean(axis=0)
    along = np.concatenate((direction, np.zeros(10)))
    along -= middle * (middle @ along) / (middle @ middle)
    along /= np.linalg.norm(along)
    share = np.sqrt((others[:, :30] ** 2).sum(axis=1).mean())
    for factor, wins in ((0.9, False), (1.1, True)):
        picture = middle + factor * columns.EXPECTED * share * along
        assert (weight @ picture > (others @ middle).mean()) == wins


def test_examples_take_over() -> None:
    """With each example, the column counts less; the prototype wins in the end."""
    known, prototype = np.array([0, 2, 0], np.float32), np.array([1, 0, 0], np.float32)
    np.testing.assert_allclose(refined_weight(known, prototype, 1), [0.5, 1, 0])
    shares = [refined_weight(known, prototype, examples)[0] for examples in (1, 5, 1000)]
    assert shares == sorted(shares)
    assert shares[-1] > 0.99


def test_imported_classes_have_labels() -> None:
    """Labels name the proxies; too few, or two of a name, are refused."""
    data, _, _ = dense("uint8")
    names = [f"class {number}" for number in range(5)]
    found = imported_classes(data, names)
    assert list(found) == names
    np.testing.assert_array_equal(found["class 3"], proxy(class_columns(data), 3))
    for wrong in (names[:4], [*names[:4], names[0]]):
        with pytest.raises(WrongLabels):
            imported_classes(data, wrong)


@needs_shared
@pytest.mark.parametrize("path", CLASSIFIERS, ids=lambda path: path.stem)
def test_columns_of_published_classifiers(path: Path) -> None:
    """The published classifiers have 1001 columns as long as their embedding, and the labels fit."""
    data = path.read_bytes()
    found = class_columns(data)
    assert found.vectors.shape == (1001, read_model(data).length)
    labels = read_labels(LABELS.read_text(), len(found.vectors))
    assert labels[952] == "lemon"


@needs_shared
def test_known_classes_without_examples_on_pictures() -> None:
    """Columns alone tell five classes of photographs apart. The pictures' names are ImageNet's classes, which begin at label 1."""
    data = MODEL.read_bytes()
    runtime = open_runtime(data, "litert")
    found = class_columns(data)
    truth = np.array([int(path.stem) + 1 for path in UNKNOWNS])
    weights = np.stack([proxy(found, int(index)) for index in truth])
    view = View(WHOLE, *runtime.input_size)
    pictures = np.stack([runtime.embed(cut(path.read_bytes(), [view])[0]) for path in UNKNOWNS])
    scores = pictures @ weights.T
    random = np.random.default_rng(0)
    right = []
    for row in range(len(truth)):
        others = random.choice(np.delete(np.arange(len(truth)), row), 4, replace=False)
        right.append(scores[row, row] > scores[row, others].max())
    assert np.mean(right) > 0.8
