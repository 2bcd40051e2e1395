"""An extractor as a server's author would serve it: LiteRT on a file, in several dresses. Knows nothing of the integration.

Imported by the servers' own Python, which has no more than the server, NumPy and LiteRT.
"""

import threading
from typing import Any

from ai_edge_litert.interpreter import Interpreter
import numpy as np
from numpy.typing import NDArray

from .dresses import Dress


class Network:
    """A TFLite file that ends at its embedding, in one of the dresses."""

    def __init__(self, path: str, dress: Dress) -> None:
        """Load the file."""
        self.dress = dress
        self._lock = threading.Lock()
        self._interpreter: Any = Interpreter(model_path=path)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]
        self._output = self._interpreter.get_output_details()[0]
        _, height, width, _ = map(int, self._input["shape"])
        self.input_shape = dress.input_shape(height, width)
        self.output_shape = dress.output_shape(int(np.prod(self._output["shape"])))

    def embed(self, given: NDArray[Any]) -> NDArray[np.float32]:
        """Return the embeddings of a batch of pictures in this dress. Refuses other shapes and types with ValueError."""
        wanted = {"UINT8": np.uint8, "FP32": np.float32}[self.dress.datatype]
        batch = len(given) if self.dress.batch == -1 else self.dress.batch
        if given.dtype != wanted or list(given.shape) != [batch, *self.input_shape[1:]]:
            raise ValueError(f"{given.dtype} {given.shape} instead of {self.dress.datatype} {self.input_shape}")
        pictures = given.transpose(0, 2, 3, 1) if self.dress.planar else given
        if self.dress.datatype == "FP32":
            low, high = self.dress.pixel_range
            pictures = np.clip(np.rint((pictures - low) * (255 / (high - low))), 0, 255).astype(np.uint8)
        vectors = np.stack([self._embed(picture) for picture in pictures])
        return vectors.reshape(batch, *self.output_shape[1:])

    def _embed(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        scale, zero = self._output["quantization"]
        with self._lock:
            self._interpreter.set_tensor(self._input["index"], np.ascontiguousarray(picture)[np.newaxis])
            self._interpreter.invoke()
            codes = self._interpreter.get_tensor(self._output["index"]).reshape(-1)
        embedding: NDArray[np.float32] = (codes.astype(np.float32) - zero) * np.float32(scale)
        return embedding
