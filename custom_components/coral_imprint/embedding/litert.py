"""The LiteRT runtime: TFLite's own interpreter, where it is installed."""

import importlib
from importlib.util import find_spec
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import EmbeddingError, RuntimeUnavailable, UnsupportedModel
from .model import Model, Tensor, cut_model
from .pixels import check_pixels, picture_range

_PACKAGES = ("ai_edge_litert", "tflite_runtime")
"""Google's interpreter under its present and its former name."""


def available() -> bool:
    """Whether an interpreter is installed. Nothing is imported."""
    return any(find_spec(package) is not None for package in _PACKAGES)


def _interpreter_class() -> Any:
    """Import the interpreter; raises RuntimeUnavailable."""
    problems = []
    for package in _PACKAGES:
        try:
            return importlib.import_module(f"{package}.interpreter").Interpreter
        except (ImportError, OSError, AttributeError) as error:
            # A wheel for another libc or Python fails in more ways than not being there.
            problems.append(f"{package}: {error}")
    raise RuntimeUnavailable(f"LiteRT can't be imported ({'; '.join(problems)})")


class LiteRTRuntime:
    """Executes a model by LiteRT up to its embedding."""

    family = "litert"

    def __init__(self, data: bytes, model: Model, threads: int = 1) -> None:
        """Load the file that ``model`` was read from, with ``threads`` threads.

        Raises RuntimeUnavailable where LiteRT can't be imported, UnsupportedModel where it refuses the model.
        """
        interpreter = _interpreter_class()
        self.input_size = model.input_size
        self.length = model.length
        self._model = model
        self._lock = threading.Lock()
        try:
            self._interpreter: Any = interpreter(model_content=cut_model(data, model), num_threads=threads)
            self._interpreter.allocate_tensors()
            self._input = self._interpreter.get_input_details()[0]["index"]
            self._output = self._interpreter.get_output_details()[0]["index"]
        except (ValueError, RuntimeError) as error:
            raise UnsupportedModel(f"LiteRT refuses the model: {error}") from error

    def embed(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the embedding of a picture (height, width, 3), not normalised, as a new array of shape (length,)."""
        check_pixels(pixels, self.input_size)
        with self._lock:
            if self._interpreter is None:
                raise EmbeddingError("The runtime was closed")
            try:
                self._interpreter.set_tensor(self._input, self._picture(pixels)[np.newaxis])
                self._interpreter.invoke()
                result = self._interpreter.get_tensor(self._output)
            except (ValueError, RuntimeError) as error:
                raise EmbeddingError(f"LiteRT failed: {error}") from error
        embedding = dequantised(result, self._model.tensors[self._model.output]).reshape(-1)
        if not np.isfinite(embedding).all():
            raise EmbeddingError("The network's output holds values that are no numbers")
        return embedding

    def _picture(self, pixels: NDArray[np.uint8]) -> NDArray[Any]:
        """Return pixels as the model's input takes them."""
        dtype = self._model.tensors[self._model.input].dtype
        if dtype.kind == "f":
            low, high = picture_range(self._model)
            return pixels * np.float32((high - low) / 255) + np.float32(low)
        if dtype.kind == "i":
            return (pixels ^ np.uint8(128)).view(np.int8)
        return pixels

    def close(self) -> None:
        """Give the interpreter back."""
        with self._lock:
            self._interpreter = None


def dequantised(values: NDArray[Any], tensor: Tensor) -> NDArray[np.float32]:
    """Return what codes of a tensor mean, in a new array."""
    real = values.astype(np.float32)
    if tensor.quantisation is not None and tensor.dtype.kind in "iu":
        real -= np.float32(tensor.quantisation.zero_point[0])
        real *= tensor.quantisation.scale[0]
    return real
