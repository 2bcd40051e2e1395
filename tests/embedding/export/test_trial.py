"""Exported files at work: what they answer, by LiteRT and by the layer that is read back."""

import numpy as np
from numpy.typing import NDArray
import pytest

from embedding.errors import EmbeddingError, NotAPicture, RuntimeUnavailable, UnsupportedModel
from embedding.export import trial
from embedding.export.exporting import export_model
from embedding.export.trial import exported_answers, layer_answers
from embedding.pictures import layout
from embedding.pictures.decoding import Region, View, cut
from embedding.runtimes.runtime import open_runtime
from tests.embedding.graphs import restart_random, separable
from tests.embedding.sample_pictures import encode, scene

pytest.importorskip("ai_edge_litert", reason="needs LiteRT")

PICTURES = [encode(scene(320, 240, seed)) for seed in range(10)]
REGION = Region(0.1, 0.2, 0.9, 1.0)


def network(dtype: str) -> bytes:
    """Return a small classifier, always the same one."""
    restart_random()
    return separable(dtype, 32, 32)


def embeddings(data: bytes) -> NDArray[np.float32]:
    """Return the unit embeddings of the pictures' region, in the network's part."""
    runtime = open_runtime(data, "litert")
    rows = []
    for picture in PICTURES:
        _, pixels = cut(picture, [View(REGION, *layout.SIZE), View(REGION, *runtime.input_size)])
        rows.append(runtime.embed(pixels))
    unit: NDArray[np.float32] = np.stack(rows) / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return probabilities."""
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True), np.float32)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "float32"])
def test_the_answers_are_those_of_the_head(dtype: str) -> None:
    data = network(dtype)
    seen = embeddings(data)
    bias = np.array([0, 0.01, -0.02], np.float32)
    model = export_model(data, seen[:3], 25.0, bias)
    expected = softmax(25.0 * (seen @ seen[:3].T + bias))
    found = exported_answers(model, PICTURES, REGION)
    assert found.dtype == np.float32 and found.shape == (len(PICTURES), 3)
    np.testing.assert_allclose(found, expected, atol=2.1 / 256)
    np.testing.assert_array_equal(found.argmax(axis=1), expected.argmax(axis=1))
    assert len(set(found.argmax(axis=1).tolist())) > 1
    np.testing.assert_allclose(softmax(layer_answers(model, seen)), expected, atol=1e-3)


def test_the_region_matters() -> None:
    data = network("uint8")
    model = export_model(data, embeddings(data)[:2], 25.0)
    assert np.abs(exported_answers(model, PICTURES, REGION) - exported_answers(model, PICTURES)).max() > 0.01


def test_no_pictures_no_answers() -> None:
    data = network("uint8")
    assert exported_answers(export_model(data, embeddings(data)[:2], 25.0), []).shape == (0, 2)


def test_what_is_no_picture() -> None:
    data = network("uint8")
    with pytest.raises(NotAPicture):
        exported_answers(export_model(data, embeddings(data)[:2], 25.0), [b"<html>"])


class Failing:
    """An interpreter that fails in one of its methods."""

    method = ""

    def __init__(self, **options: object) -> None:
        """Load the real one."""
        from ai_edge_litert.interpreter import Interpreter

        self._real = Interpreter(**options)

    def __getattr__(self, name: str) -> object:
        """Return the real one's, but for the method that fails."""
        if name == self.method:
            raise RuntimeError("refused")
        return getattr(self._real, name)


@pytest.mark.parametrize(("method", "error"), [("allocate_tensors", UnsupportedModel), ("invoke", EmbeddingError)])
def test_failures_have_names(monkeypatch: pytest.MonkeyPatch, method: str, error: type[EmbeddingError]) -> None:
    data = network("uint8")
    model = export_model(data, embeddings(data)[:2], 25.0)
    monkeypatch.setattr(Failing, "method", method)
    monkeypatch.setattr(trial, "interpreter_class", lambda: Failing)
    with pytest.raises(error, match="LiteRT"):
        exported_answers(model, PICTURES)


def test_without_litert(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise RuntimeUnavailable("not installed")

    monkeypatch.setattr(trial, "interpreter_class", missing)
    with pytest.raises(RuntimeUnavailable):
        exported_answers(b"", PICTURES)
