"""An MLServer runtime of one extractor in one of its dresses: the model's name says which, its ``uri`` the file."""

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.errors import InferenceError
from mlserver.types import InferenceRequest, InferenceResponse

from .dresses import DRESSES
from .network import Network


class Extractor(MLModel):  # type: ignore[misc]
    """One dress."""

    async def load(self) -> bool:
        """Load the file."""
        self._network = Network(self.settings.parameters.uri, DRESSES[self.name])
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Embed the pictures of a request."""
        dress = self._network.dress
        given = next((tensor for tensor in payload.inputs if tensor.name == dress.input), None)
        if given is None:
            raise InferenceError(f"There is no input {dress.input}")
        try:
            vectors = self._network.embed(NumpyCodec.decode_input(given))
        except ValueError as error:
            raise InferenceError(str(error)) from error
        output = NumpyCodec.encode_output(name=dress.output, payload=vectors)
        return InferenceResponse(id=payload.id, model_name=self.name, model_version=self.version, outputs=[output])
