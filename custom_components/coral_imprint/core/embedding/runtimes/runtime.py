"""What executes an extractor: the interface of every runtime."""

from typing import Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..network.model import read_model
from .litert import LiteRTRuntime
from .portable import PortableRuntime

Family: TypeAlias = Literal["portable", "litert"]
"""The runtimes there are. Embeddings of different families are not mixed."""

RuntimeChoice: TypeAlias = Literal["auto", "portable", "litert"]
"""``auto`` is LiteRT where it is installed, takes the extractor and passes its self-test, else the portable runtime."""


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


def open_runtime(data: bytes, family: Family, threads: int = 1) -> Runtime:
    """Load an extractor from the bytes of a TFLite file into one runtime, untested; `choose_runtime` tests and falls back.

    ``threads`` is what a frame may use. Raises `ModelError`'s kinds for files that can't be used, `RuntimeUnavailable` where
    LiteRT is asked for and can't be imported.
    """
    if threads < 1:
        raise ValueError("A runtime needs at least one thread")
    model = read_model(data)
    return LiteRTRuntime(model, threads) if family == "litert" else PortableRuntime(model, threads)
