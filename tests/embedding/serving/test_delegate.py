"""Models compiled for the Edge TPU, where there is none: what is recognised, and how its absence is named."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from embedding.errors import EmbeddingError, InvalidPixels, RuntimeUnavailable, UnsupportedModel
from embedding.serving import delegate
from embedding.serving.delegate import EdgeTPURuntime, libedgetpu_device
from embedding.serving.models import fits, read_model_file, read_models
from tests.embedding.graphs import pixels
from tests.embedding.tflite_builder import GraphBuilder, Scale

from .conftest import HEIGHT, WIDTH


def compiled(dtype: str = "uint8", end: str | None = None) -> bytes:
    """Return a file as the Edge TPU's compiler writes it: one custom operator from the picture to the embedding."""
    held = None if dtype == "float32" else Scale([0.5], 10)
    builder = GraphBuilder()
    picture = builder.tensor([1, HEIGHT, WIDTH, 3], dtype, held)
    vector = builder.operator("CUSTOM edgetpu-custom-op", [picture], builder.tensor([1, 5], dtype, held))
    if end:
        vector = builder.operator(end, [vector], builder.tensor([1, 5], dtype, held), Beta=1.0)
    return builder.build([picture], [vector])


class _Interpreter:
    """Stands for TFLite's where the device is missing: what it is given comes back as sums."""

    def __init__(self, model_content: bytes, experimental_delegates: list[Any]) -> None:
        assert experimental_delegates == ["delegate of usb:1"]
        self._picture: Any = None
        self.fails = False

    def allocate_tensors(self) -> None:
        """Do nothing."""

    def get_input_details(self) -> list[dict[str, int]]:
        return [{"index": 0}]

    def get_output_details(self) -> list[dict[str, int]]:
        return [{"index": 1}]

    def set_tensor(self, index: int, values: Any) -> None:
        self._picture = values

    def invoke(self) -> None:
        if self.fails:
            raise RuntimeError("Node number 0 (EdgeTpuDelegateForCustomOp) failed")

    def get_tensor(self, index: int) -> Any:
        return self._picture[0, 0, :1, :1].repeat(5).reshape(1, 5)


def _use(monkeypatch: pytest.MonkeyPatch, load: Any) -> list[tuple[str, Any]]:
    """Let the runtime get this loader of delegates; returns what it is called with."""
    calls: list[tuple[str, Any]] = []

    def loaded(library: str, options: Any) -> Any:
        calls.append((library, options))
        return load(len(calls))

    module = SimpleNamespace(Interpreter=_Interpreter, load_delegate=loaded)
    monkeypatch.setattr(delegate, "importlib", SimpleNamespace(import_module=lambda name: module))
    monkeypatch.setattr(delegate, "_SECOND_TRY_AFTER", 0.0)
    return calls


@pytest.mark.parametrize(
    ("device", "name"), [("edgetpu", ""), ("edgetpu:1", ":1"), ("usb", "usb"), ("usb:0", "usb:0"), ("pci:2", "pci:2")]
)
def test_names_of_devices(device: str, name: str) -> None:
    """Libedgetpu has its own words for any device."""
    assert libedgetpu_device(device) == name


def test_compiled_files_are_told_apart(tmp_path: Path) -> None:
    """They are for Edge TPUs, others for the CPU; their name says what they are."""
    (tmp_path / "net_edgetpu.tflite").write_bytes(compiled())
    file = read_model_file(tmp_path / "net_edgetpu.tflite")
    assert (file.name, file.compiled) == ("net_edgetpu", True)
    assert fits(file, "usb:0")
    assert not fits(file, "cpu")
    (tmp_path / "net.tflite").write_bytes(compiled())
    assert [model.name for model in read_models([tmp_path])] == ["net_edgetpu"]


@pytest.mark.parametrize(("dtype", "code"), [("uint8", lambda code: code), ("int8", lambda code: code - 128.0)])
def test_embedding(monkeypatch: pytest.MonkeyPatch, dtype: str, code: Any) -> None:
    """Pixels become the input's codes, and the output's codes what they mean; the second try is for devices that come anew."""

    def appears(attempt: int) -> str:
        if attempt == 1:
            raise ValueError("Failed to load delegate from libedgetpu.so.1\n")
        return "delegate of usb:1"

    calls = _use(monkeypatch, appears)
    runtime = EdgeTPURuntime(compiled(dtype), "usb:1")
    assert calls == 2 * [("libedgetpu.so.1", {"device": "usb:1"})]
    assert (runtime.family, runtime.input_size, runtime.length) == ("edgetpu", (WIDTH, HEIGHT), 5)
    picture = pixels(1, HEIGHT, WIDTH)
    wanted = (code(float(picture[0, 0, 0])) - 10) * 0.5
    np.testing.assert_array_equal(runtime.embed(picture), np.full(5, wanted, np.float32))
    with pytest.raises(InvalidPixels):
        runtime.embed(picture[:2])
    runtime._interpreter.fails = True
    with pytest.raises(EmbeddingError, match="EdgeTpuDelegateForCustomOp"):
        runtime.embed(picture)
    runtime.close()
    with pytest.raises(EmbeddingError, match="closed"):
        runtime.embed(picture)


@pytest.mark.parametrize(
    ("error", "tries", "words"),
    [
        (OSError("libedgetpu.so.1: cannot open shared object file"), 1, "libedgetpu can't be loaded"),
        (AttributeError("undefined symbol: tflite_plugin_create_delegate"), 1, "libedgetpu can't be loaded"),
        (ValueError("Failed to load delegate from libedgetpu.so.1\n"), 2, "missing, in use by another program"),
    ],
)
def test_absence_is_named(monkeypatch: pytest.MonkeyPatch, error: Exception, tries: int, words: str) -> None:
    """No library, a wrong one, no device: each in its words."""

    def fail(attempt: int) -> None:
        raise error

    calls = _use(monkeypatch, fail)
    with pytest.raises(RuntimeUnavailable, match=words):
        EdgeTPURuntime(compiled(), "usb:1")
    assert len(calls) == tries


@pytest.mark.parametrize(
    ("data", "words"),
    [(compiled("float32"), "floats"), (compiled(end="SOFTMAX"), "classifier")],
    ids=["floats", "classifier"],
)
def test_what_is_no_extractor(monkeypatch: pytest.MonkeyPatch, data: bytes, words: str) -> None:
    """What can't be one is refused before the device is touched."""
    calls = _use(monkeypatch, lambda attempt: "delegate of usb:1")
    with pytest.raises(UnsupportedModel, match=words):
        EdgeTPURuntime(data, "usb:1")
    assert not calls


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # LiteRT's own, about what it did not load
def test_without_the_library() -> None:
    """The real loader's error, where libedgetpu is not installed, is a named one."""
    pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")
    with pytest.raises(RuntimeUnavailable):
        EdgeTPURuntime(compiled(), "usb:0")
