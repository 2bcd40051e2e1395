"""What executes an extractor: the interface of every runtime, and the choice of one."""

import logging
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from .errors import EmbeddingError, ModelError
from .model import read_model

_LOGGER = logging.getLogger(__name__)

RuntimeChoice = Literal["auto", "portable", "litert"]
"""``auto`` is LiteRT where it can be imported and takes the model, else the portable runtime."""


class Runtime(Protocol):
    """A loaded extractor. Its calls may come from any thread; they are executed one after the other."""

    family: str
    """``portable`` or ``litert``: embeddings of different families are not mixed."""
    input_size: tuple[int, int]
    """Width and height of the pictures it takes, in pixels."""
    length: int
    """Numbers in an embedding."""

    def embed(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the embedding of a picture, not normalised, as a new array of shape (length,).

        ``pixels`` has the shape (height, width, 3): RGB, 0 to 255. Another shape or dtype raises `InvalidPixels`, a failing
        runtime `EmbeddingError`.

        Quantised models take the pixels as codes: 0 to 255 are the whole range of their input, whose scale and zero point
        mean what the network was trained on. Float models get them in −1 to 1, or, where their first operator quantises
        the input, in the range of that quantisation.
        """

    def close(self) -> None:
        """Give the memory back. A closed runtime's `embed` raises `EmbeddingError`."""


def open_runtime(data: bytes, runtime: RuntimeChoice = "auto", threads: int = 1) -> Runtime:
    """Load an extractor from the bytes of a TFLite file.

    ``threads`` is what a frame may use. Raises `ModelError`'s kinds for files that can't be used, `RuntimeUnavailable` where
    LiteRT is asked for and can't be imported.
    """
    from . import litert  # noqa: PLC0415 - the runtimes depend on this module
    from .portable import PortableRuntime  # noqa: PLC0415

    if threads < 1:
        raise ValueError("A runtime needs at least one thread")
    model = read_model(data)
    if runtime == "litert" or (runtime == "auto" and litert.available()):
        try:
            return litert.LiteRTRuntime(data, model, threads)
        except EmbeddingError as error:
            if runtime == "litert":
                raise
            _LOGGER.info("LiteRT does not run this model (%s); the portable runtime is used", error)
            if isinstance(error, ModelError):
                _LOGGER.debug("Details: %s", error.details)
    return PortableRuntime(model, threads)
