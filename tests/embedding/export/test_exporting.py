"""Exported models: what runs them, what they answer, what is read back."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
import pytest

from bench.measures import imported_classes
from embedding.errors import CorruptModel, EmbeddingError, UnsupportedModel, WrongLabels
from embedding.export import exporting
from embedding.export.columns import class_columns, read_labels
from embedding.export.exporting import Arithmetic, export_model, labels_text
from embedding.network.graph import read_graph
from embedding.runtimes.runtime import Family, open_runtime
from tests.embedding.graphs import HEIGHT, WIDTH, pixels, restart_random, separable
from tests.embedding.tflite_builder import GraphBuilder, Scale

SHARED = Path(__file__).resolve().parents[4] / "shared"
MODELS = sorted((SHARED / "models").glob("*.tflite"))
COMPILED = [path for path in MODELS if path.stem.endswith("_edgetpu")]
PLAIN = [path for path in MODELS if path not in COMPILED]
needs_models = pytest.mark.skipif(not (COMPILED and PLAIN), reason="needs the models in ../shared/models")

DTYPES = ("uint8", "int8", "float32")
CLASSES = 4
LABELS = tuple(f"class {number}" for number in range(CLASSES))


def extractor(dtype: str) -> bytes:
    """Return a small classifier, to be cut at its pool."""
    restart_random()
    return separable(dtype, HEIGHT, WIDTH)


def embed(data: bytes, count: int = 60) -> NDArray[np.float32]:
    """Return the unit embeddings of drawn pictures of many contrasts, by LiteRT."""
    runtime = open_runtime(data, "litert")
    vectors = np.stack([runtime.embed(picture) for picture in drawn(runtime.input_size, count)])
    unit: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def drawn(size: tuple[int, int], count: int) -> list[NDArray[np.uint8]]:
    """Return coarse random pictures."""
    pictures = []
    for number in range(count):
        coarse = pixels(number, 4, 4)
        rows, across = np.arange(size[1]) * 4 // size[1], np.arange(size[0]) * 4 // size[0]
        pictures.append(coarse[rows][:, across] // np.uint8(1 + number % 3))
    return pictures


def imprinted(data: bytes) -> NDArray[np.float32]:
    """Return unit weights of classes that were imprinted from one drawn picture each."""
    return embed(data, CLASSES)


def interpreter(data: bytes) -> Any:
    """Return LiteRT with a file."""
    from ai_edge_litert.interpreter import Interpreter

    loaded = Interpreter(model_content=data, num_threads=1)
    loaded.allocate_tensors()
    return loaded


def answers(data: bytes, count: int) -> NDArray[Any]:
    """Return what a file makes of drawn pictures, [count, C]."""
    loaded = interpreter(data)
    source, target = loaded.get_input_details()[0], loaded.get_output_details()[0]
    rows = []
    for picture in drawn((source["shape"][2], source["shape"][1]), count):
        given = picture / np.float32(127.5) - 1 if source["dtype"] == np.float32 else picture
        loaded.set_tensor(source["index"], given[np.newaxis].astype(source["dtype"]))
        loaded.invoke()
        rows.append(loaded.get_tensor(target["index"])[0].copy())
    return np.stack(rows)


def softmax(logits: NDArray[Any]) -> NDArray[Any]:
    """Return probabilities."""
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: NDArray[Any] = odds / odds.sum(axis=1, keepdims=True)
    return result


@pytest.mark.parametrize("arithmetic", ["float", "quantised"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_answers_are_the_heads(dtype: str, arithmetic: Arithmetic) -> None:
    """LiteRT's probabilities are the softmax of the scaled cosines, in whole steps where the extractor is quantised."""
    data = extractor(dtype)
    weights = imprinted(data)
    bias = np.array([0, 0.02, -0.01, 0], np.float32)
    out = export_model(data, weights, 30.0, bias, arithmetic)
    expected = softmax(30.0 * (embed(data) @ weights.T + bias))
    found = answers(out, 60)
    assert found.shape == expected.shape
    assert found.dtype == (np.float32 if dtype == "float32" else np.uint8)
    if dtype == "float32":
        np.testing.assert_allclose(found, expected, atol=1e-3)
        return
    np.testing.assert_allclose(found / 256, expected, atol=2.1 / 256 if arithmetic == "float" else 0.12)
    if arithmetic == "float":
        np.testing.assert_array_equal(found.argmax(axis=1), expected.argmax(axis=1))
    assert len(set(expected.argmax(axis=1))) > 1


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_classes_that_are_almost_alike_are_kept_apart(dtype: str) -> None:
    """Probabilities that round to the same step are decided by the head, not by the order of the classes."""
    data = extractor(dtype)
    weights = imprinted(data)[:2]
    close = np.stack([weights[0], weights[0] + 0.02 * (weights[1] - weights[0])])
    close /= np.linalg.norm(close, axis=1, keepdims=True)
    cosines = embed(data) @ close.T
    shares = softmax(0.5 * cosines)
    assert np.abs(shares[:, 0] - shares[:, 1]).max() < 1 / 128
    found = answers(export_model(data, close, 0.5), 60)
    clear = np.abs(cosines[:, 0] - cosines[:, 1]) > 1e-4
    assert set(cosines[clear].argmax(axis=1)) == {0, 1}
    np.testing.assert_array_equal(found[clear].argmax(axis=1), cosines[clear].argmax(axis=1))


@pytest.mark.parametrize("arithmetic", ["float", "quantised"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_import_gives_the_classes_back(dtype: str, arithmetic: Arithmetic) -> None:
    """Labels and weights survive the file; the embedding it is cut at is the same."""
    data = extractor(dtype)
    weights = imprinted(data)
    out = export_model(data, weights, 25.0, arithmetic=arithmetic)
    found = imported_classes(out, read_labels(labels_text(LABELS), CLASSES))
    assert tuple(found) == LABELS
    for label, weight in zip(LABELS, weights, strict=True):
        assert found[label] @ weight > 0.999
    assert class_columns(out).normalised
    families: tuple[Family, ...] = ("litert", "portable")
    for family in families:
        before, after = open_runtime(data, family), open_runtime(out, family)
        for picture in drawn((WIDTH, HEIGHT), 5):
            np.testing.assert_array_equal(before.embed(picture), after.embed(picture))


def test_exported_model_can_be_exported_again() -> None:
    """An exported file is an extractor like any other: new classes take the place of the old."""
    data = extractor("uint8")
    weights = imprinted(data)
    once = export_model(data, weights[:2], 20.0)
    twice = export_model(once, weights, 20.0)
    np.testing.assert_array_equal(answers(twice, 20), answers(export_model(data, weights, 20.0), 20))


def test_int8_extractors_take_uint8_pictures() -> None:
    """Cameras' pixels are uint8, and so is what Coral's tools hand to a model."""
    out = export_model(extractor("int8"), imprinted(extractor("int8")), 10.0)
    loaded = interpreter(out)
    assert [end[0]["dtype"] for end in (loaded.get_input_details(), loaded.get_output_details())] == [np.uint8] * 2
    assert loaded.get_output_details()[0]["quantization"] == (1 / 256, 0)


def compiled(output: Literal["vector", "map"] = "vector") -> bytes:
    """Return an extractor in the shape of one compiled for the Edge TPU: a single custom operator."""
    builder = GraphBuilder()
    picture = builder.tensor([1, 8, 6, 3], "uint8", Scale([1 / 128], 128))
    shape = [1, 1, 1, 16] if output == "vector" else [1, 2, 2, 4]
    result = builder.operator("CUSTOM edgetpu-custom-op", [picture], builder.tensor(shape, "uint8", Scale([0.02], 0)))
    return builder.build([picture], [result])


def check_appended(data: bytes, out: bytes, weights: NDArray[np.float32]) -> None:
    """Check a file that could not be run: the compiled part is in it bit by bit, and what is behind it hangs together."""
    assert data in out
    assert (len(out) - len(data)) < 8192 + 8 * weights.size
    before, graph = read_graph(data), read_graph(out)
    assert graph.input == before.input
    assert graph.tensors[: len(before.tensors)] == before.tensors
    assert [operator.kind for operator in graph.operators] == [
        "CUSTOM edgetpu-custom-op", "DEQUANTIZE", "L2_NORMALIZATION", "FULLY_CONNECTED",
        "SOFTMAX", "SOFTMAX", "MUL", "ADD", "QUANTIZE",
    ]  # fmt: skip
    assert graph.operators[1].inputs == (before.output,)
    last = graph.tensors[graph.output]
    assert last.shape == (1, len(weights))
    assert last.dtype == np.uint8
    np.testing.assert_allclose(class_columns(out).vectors, 12.0 * weights, rtol=1e-6)


def test_compiled_part_is_not_touched() -> None:
    """The layers come behind the compiled operator."""
    weights = imprinted(extractor("uint8"))
    check_appended(compiled(), export_model(compiled(), weights, 12.0), weights)


@needs_models
@pytest.mark.parametrize("path", COMPILED, ids=lambda path: path.stem)
def test_published_compiled_extractors(path: Path) -> None:
    """So they do behind Coral's own file; LiteRT refuses it for the operator alone that only the Edge TPU has."""
    data = path.read_bytes()
    length = read_graph(data).tensors[read_graph(data).output].shape[-1]
    weights = np.random.default_rng(0).normal(size=(CLASSES, length)).astype(np.float32)
    out = export_model(data, weights, 12.0)
    check_appended(data, out, weights)
    with pytest.raises(RuntimeError, match="custom op: edgetpu-custom-op"):
        interpreter(out)


@needs_models
@pytest.mark.parametrize("path", PLAIN, ids=lambda path: path.stem)
def test_published_extractors(path: Path) -> None:
    """Files made of the published extractors run, and answer as the head does."""
    data = path.read_bytes()
    weights = imprinted(data)
    out = export_model(data, weights, 40.0)
    expected = embed(data, 12) @ weights.T
    np.testing.assert_array_equal(answers(out, 12).argmax(axis=1), expected.argmax(axis=1))
    assert (
        min(imported_classes(out, LABELS)[label] @ weight for label, weight in zip(LABELS, weights, strict=True))
        > 0.999
    )


@pytest.mark.parametrize(
    ("weights", "scale", "bias"),
    [
        (np.ones((4, 15)), 1.0, None),
        (np.ones((1, 16)), 1.0, None),
        (np.ones(16), 1.0, None),
        (np.zeros((4, 16)), 1.0, None),
        (np.full((4, 16), np.nan), 1.0, None),
        (np.ones((4, 16)), 0.0, None),
        (np.ones((4, 16)), np.inf, None),
        (np.ones((4, 16)), 1.0, np.zeros(3)),
        (np.ones((4, 16)), 1.0, np.array([0, 0, 0, np.inf])),
    ],
)
def test_weights_that_do_not_fit(weights: NDArray[Any], scale: float, bias: NDArray[Any] | None) -> None:
    """Shapes, numbers and scales that make no head are refused."""
    with pytest.raises(ValueError):
        export_model(extractor("uint8"), weights.astype(np.float32), scale, bias)


def test_files_that_are_no_extractors() -> None:
    """What can't be read or has no vector at its end is refused by name."""
    weights = np.ones((4, 16), np.float32)
    with pytest.raises(CorruptModel):
        export_model(b"nothing at all", weights, 1.0)
    with pytest.raises(UnsupportedModel, match="no vector"):
        export_model(compiled("map"), weights, 1.0)


@pytest.mark.parametrize("source", ["compiled", "plain"])
def test_damaged_files(source: str) -> None:
    """Damage ends in a named error or in another file, never in anything else."""
    data = compiled() if source == "compiled" else extractor("uint8")
    weights = np.ones((4, 16), np.float32)
    refused, lengths = 0, []
    for seed in range(300):
        random = np.random.default_rng(seed)
        copy = bytearray(data)
        for place in random.integers(0, len(copy), 1 + seed % 4):
            copy[place] ^= 1 << int(random.integers(8))
        try:
            export_model(bytes(copy), weights, 1.0)
        except EmbeddingError:
            refused += 1
        except ValueError as error:
            lengths.append(str(error))
    assert refused > 30
    assert all("for embeddings of length" in message for message in lengths)


def test_labels_file() -> None:
    """One per line; numbered where a label could be taken for a numbered line; what is read is what was written."""
    assert labels_text(["open", " half\n open", "closed"]) == "open\nhalf open\nclosed\n"
    assert labels_text(["open", "2 cars"]) == "0 open\n1 2 cars\n"
    for labels in (["open", "2 cars"], ["1", "0"], ["Tür offen", "zu"]):
        assert read_labels(labels_text(labels), 2) == tuple(labels)
    for wrong in ("", " \n", "\x07", "x" * 501):
        with pytest.raises(WrongLabels):
            labels_text(["open", wrong])


def test_file_says_what_it_is() -> None:
    """The description names the maker and its version."""
    out = export_model(extractor("uint8"), imprinted(extractor("uint8")), 10.0)
    assert f"Coral Imprint {exporting.VERSION}: 4 classes".encode() in out
