"""Both runtimes on real extractors and real pictures, where they lie beside the checkout."""

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
import pytest

from embedding.errors import UnsupportedModel
from embedding.network.model import read_model
from embedding.runtimes.litert import LiteRTRuntime, dequantised
from embedding.runtimes.portable import PortableRuntime

SHARED = Path(__file__).resolve().parents[4] / "shared"
MODELS = sorted((SHARED / "models").glob("*.tflite"))
PICTURES = sorted((SHARED / "data").rglob("*.jpg"))
COUNT = 100

COMPILED = [path for path in MODELS if path.stem.endswith("_edgetpu")]
PLAIN = [path for path in MODELS if path not in COMPILED]

needs_models = pytest.mark.skipif(not MODELS, reason="needs the models in ../shared/models")
needs_pictures = pytest.mark.skipif(len(PICTURES) < COUNT, reason=f"needs {COUNT} pictures in ../shared/data")


@cache
def pictures(size: tuple[int, int]) -> list[NDArray[np.uint8]]:
    """Return pictures from all of the folders, evenly chosen, at a size."""
    chosen = [PICTURES[number * len(PICTURES) // COUNT] for number in range(COUNT)]
    loaded = []
    for path in chosen:
        with Image.open(path) as picture:
            loaded.append(np.asarray(picture.convert("RGB").resize(size, Image.Resampling.BILINEAR)))
    return loaded


@needs_models
@needs_pictures
@pytest.mark.parametrize("path", PLAIN, ids=lambda path: path.stem)
def test_embeddings_agree(path: Path) -> None:
    """On real pictures the embeddings point the same way; differences are roundings that a deep network magnifies."""
    data = path.read_bytes()
    model = read_model(data)
    ours, theirs = PortableRuntime(model), LiteRTRuntime(model)
    cosines = []
    for pixels in pictures(model.input_size):
        one, other = ours.embed(pixels), theirs.embed(pixels)
        cosines.append(float(one @ other / np.linalg.norm(one) / np.linalg.norm(other)))
    assert min(cosines) >= 0.995
    assert np.median(cosines) >= 0.9999


@needs_models
@needs_pictures
@pytest.mark.parametrize("path", PLAIN, ids=lambda path: path.stem)
def test_cut_file_gives_what_the_whole_file_has_inside(path: Path) -> None:
    """Cutting a real file changes nothing of what LiteRT computes up to there."""
    from ai_edge_litert.interpreter import Interpreter

    data = path.read_bytes()
    model = read_model(data)
    with pytest.warns(UserWarning, match="experimental_preserve_all_tensors"):
        whole = Interpreter(model_content=data, experimental_preserve_all_tensors=True)
    whole.allocate_tensors()
    cut = LiteRTRuntime(model)
    for pixels in pictures(model.input_size)[:3]:
        whole.set_tensor(whole.get_input_details()[0]["index"], pixels[np.newaxis])
        whole.invoke()
        expected = dequantised(whole.get_tensor(model.output), model.tensors[model.output]).reshape(-1)
        np.testing.assert_array_equal(cut.embed(pixels), expected)


@needs_models
@pytest.mark.parametrize("path", COMPILED, ids=lambda path: path.stem)
def test_compiled_models_are_refused(path: Path) -> None:
    """A model compiled for the Edge TPU runs nowhere else, and the error names its operator."""
    with pytest.raises(UnsupportedModel, match="compiled for the Edge TPU"):
        read_model(path.read_bytes())


@needs_models
@pytest.mark.parametrize("path", PLAIN, ids=lambda path: path.stem)
def test_buffers_share_their_place(path: Path) -> None:
    """Less memory is held than all activations together would take, though scratch memory is counted too."""
    model = read_model(path.read_bytes())
    runtime = PortableRuntime(model)
    everything = sum(4 * int(np.prod(model.tensors[op.outputs[0]].shape)) for op in model.operators)
    assert runtime.memory < 0.7 * everything
