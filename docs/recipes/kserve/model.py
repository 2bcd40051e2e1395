"""An extractor in KServe's own Python server: ``python model.py --file FILE --model_name NAME`` and KServe's other options.

Needs kserve and ai-edge-litert. The file has to end at its embedding, as Google's ``…_embedding_extractor.tflite`` do.
"""

import argparse
import threading
from typing import Any

from ai_edge_litert.interpreter import Interpreter
from kserve.errors import InvalidInput
import numpy as np
from numpy.typing import NDArray

from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer, model_server

INPUT, OUTPUT = "input", "embedding"


class Extractor(Model):  # type: ignore[misc]
    """A TFLite file that turns pictures (UINT8, [N, height, width, 3], RGB) into embeddings (FP32, [N, length])."""

    def __init__(self, name: str, file: str) -> None:
        """Load the file."""
        super().__init__(name)
        self._lock = threading.Lock()
        self._interpreter: Any = Interpreter(model_path=file, num_threads=1)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]
        self._output = self._interpreter.get_output_details()[0]
        if self._input["dtype"] != np.uint8 or self._output["dtype"] != np.uint8:
            raise ValueError(f"{file} does not take and give UINT8")
        self.ready = True

    def get_input_types(self) -> list[dict[str, Any]]:
        """Return the input's metadata."""
        return [{"name": INPUT, "datatype": "UINT8", "shape": [-1, *map(int, self._input["shape"][1:])]}]

    def get_output_types(self) -> list[dict[str, Any]]:
        """Return the output's metadata."""
        return [{"name": OUTPUT, "datatype": "FP32", "shape": [-1, int(np.prod(self._output["shape"]))]}]

    def predict(self, payload: InferRequest, headers: Any = None, response_headers: Any = None) -> InferResponse:
        """Embed the pictures of a request."""
        pictures = payload.get_input_by_name(INPUT).as_numpy()
        if pictures.dtype != np.uint8 or pictures.shape[1:] != tuple(self._input["shape"][1:]) or not len(pictures):
            raise InvalidInput(f"the input is UINT8 of the shape {self.get_input_types()[0]['shape']}")
        vectors = np.stack([self._embed(picture) for picture in pictures])
        asked = payload.request_outputs or []
        binary = any(output.name == OUTPUT and output.binary_data for output in asked)
        result = InferOutput(name=OUTPUT, shape=list(vectors.shape), datatype="FP32")
        result.set_data_from_numpy(vectors, binary_data=binary)
        return InferResponse(
            response_id=payload.id or "",
            model_name=self.name,
            infer_outputs=[result],
            requested_outputs=asked,
            use_binary_outputs=binary,
        )

    def _embed(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        scale, zero = self._output["quantization"]
        with self._lock:
            self._interpreter.set_tensor(self._input["index"], picture[np.newaxis])
            self._interpreter.invoke()
            codes = self._interpreter.get_tensor(self._output["index"]).reshape(-1)
        vector: NDArray[np.float32] = (codes.astype(np.float32) - zero) * np.float32(scale)
        return vector


if __name__ == "__main__":
    parser = argparse.ArgumentParser(parents=[model_server.parser])
    parser.add_argument("--file", required=True)
    options = parser.parse_args()
    ModelServer().start([Extractor(options.model_name, options.file)])
