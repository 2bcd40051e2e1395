"""A KServe server of one extractor in all of its dresses: ``python -m …kserve_server FILE --http_port PORT …`` (KServe's own options)."""

import sys
from typing import Any

from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer

from .dresses import DRESSES
from .network import Network


class Extractor(Model):  # type: ignore[misc]
    """One dress."""

    def __init__(self, name: str, path: str) -> None:
        """Load the file."""
        super().__init__(name)
        self._network = Network(path, DRESSES[name])
        self.ready = True

    def get_input_types(self) -> list[dict[str, Any]]:
        """Return the input's metadata."""
        dress = self._network.dress
        return [{"name": dress.input, "datatype": dress.datatype, "shape": self._network.input_shape}]

    def get_output_types(self) -> list[dict[str, Any]]:
        """Return the output's metadata."""
        return [{"name": self._network.dress.output, "datatype": "FP32", "shape": self._network.output_shape}]

    def predict(self, payload: InferRequest, headers: Any = None, response_headers: Any = None) -> InferResponse:
        """Embed the pictures of a request."""
        dress = self._network.dress
        vectors = self._network.embed(payload.get_input_by_name(dress.input).as_numpy())
        asked = payload.request_outputs or []
        binary = any(output.name == dress.output and output.binary_data for output in asked)
        output = InferOutput(name=dress.output, shape=list(vectors.shape), datatype="FP32")
        output.set_data_from_numpy(vectors, binary_data=binary)
        return InferResponse(
            response_id=payload.id or "",
            model_name=self.name,
            infer_outputs=[output],
            requested_outputs=asked,
            use_binary_outputs=binary,
        )


if __name__ == "__main__":
    file = sys.argv.pop(1)
    ModelServer(enable_grpc=False, workers=1).start([Extractor(name, file) for name in DRESSES])
