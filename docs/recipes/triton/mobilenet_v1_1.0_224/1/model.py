"""An extractor in Triton's Python backend, executed by LiteRT: Triton itself knows no TFLite files.

Needs ai-edge-litert in Triton's Python. The file, named by the parameter ``file``, lies beside this one and ends at its embedding.
"""

from collections.abc import Sequence
import json
from pathlib import Path
from typing import Any

from ai_edge_litert.interpreter import Interpreter
import numpy as np
from numpy.typing import NDArray
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """What Triton looks for. An instance is used by one thread."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the file, and make sure that it is what the configuration says."""
        config = json.loads(args["model_config"])
        file = Path(__file__).with_name(config["parameters"]["file"]["string_value"])
        self._interpreter: Any = Interpreter(model_path=str(file), num_threads=1)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]
        self._output = self._interpreter.get_output_details()[0]
        wanted = [int(size) for size in config["input"][0]["dims"]], [int(size) for size in config["output"][0]["dims"]]
        there = [int(size) for size in self._input["shape"][1:]], [int(np.prod(self._output["shape"]))]
        if wanted != there or self._input["dtype"] != np.uint8 or self._output["dtype"] != np.uint8:
            raise pb_utils.TritonModelException(f"{file.name} takes and gives UINT8 {there}, not {wanted}")

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Embed the pictures of requests."""
        return [self._answer(pb_utils.get_input_tensor_by_name(request, "input").as_numpy()) for request in requests]

    def _answer(self, pictures: NDArray[np.uint8]) -> Any:
        vectors = np.stack([self._embed(picture) for picture in pictures])
        return pb_utils.InferenceResponse(output_tensors=[pb_utils.Tensor("embedding", vectors)])

    def _embed(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        scale, zero = self._output["quantization"]
        self._interpreter.set_tensor(self._input["index"], picture[np.newaxis])
        self._interpreter.invoke()
        codes = self._interpreter.get_tensor(self._output["index"]).reshape(-1)
        vector: NDArray[np.float32] = (codes.astype(np.float32) - zero) * np.float32(scale)
        return vector
