"""The portable runtime."""

import threading

import numpy as np
from numpy.typing import NDArray

from ...errors import EmbeddingError, UnsupportedModel
from ...network.model import Model
from ..pixels import check_pixels, picture_range
from . import blas
from .codes import Call, Floats
from .program import compile_model

_ITERATOR_BUFFER = 256
"""NumPy's iterators plan for a buffer even where, as here, nothing has to be converted: with the usual 8192 numbers they allocate
it, and walk short rows at half the speed."""


class PortableRuntime:
    """Executes a model in NumPy's float32, every buffer allocated when it is built.

    A frame allocates no array but the one returned. Quantised tensors are rounded and limited as the quantised graph's own, so
    that embeddings agree with TFLite's up to the last code.
    """

    family = "portable"

    def __init__(self, model: Model, threads: int = 1) -> None:
        """Compile the model. ``threads``: what BLAS may use during a frame. Raises `ModelError`'s kinds."""
        self.input_size = model.input_size
        self.length = model.length
        self._threads = threads
        self._lock = threading.Lock()
        try:
            # Absurd scales overflow; what comes of them is caught in the result.
            with np.errstate(all="ignore"):
                graph, self._calls = compile_model(model)
        except MemoryError as error:
            raise UnsupportedModel("The model needs more memory than there is") from error
        source, target = graph.value(model.input), graph.value(model.output)
        self._picture: Floats = source.whole(graph.arena)
        self._before: list[Call] = [*source.clear_border(graph.arena)]
        self._after: list[Call] = self._pixels_to_codes(picture_range(model))
        self._result: Floats = target.whole(graph.arena).reshape(-1)
        self._scale = np.float32(target.codes.scale)
        self._memory = 4 * graph.arena.size
        blas.prepare()

    def _pixels_to_codes(self, limits: tuple[float, float]) -> list[Call]:
        """Return what maps pixels 0 to 255, copied into the picture's place, to how the input is held."""
        low, high = limits
        factor, offset = np.float32((high - low) / 255), np.float32(low)
        calls: list[Call] = []
        if factor != 1:
            calls.append((np.multiply, (self._picture, factor, self._picture)))
        if offset != 0:
            calls.append((np.add, (self._picture, offset, self._picture)))
        return calls

    @property
    def memory(self) -> int:
        """Bytes of the buffers, weights not counted."""
        return self._memory

    def embed(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the embedding of a picture (height, width, 3), not normalised, as a new array of shape (length,)."""
        check_pixels(pixels, self.input_size)
        with self._lock, blas.limited(self._threads), np.errstate(all="ignore"):
            if not self._calls:
                raise EmbeddingError("The runtime was closed")
            buffer = np.setbufsize(_ITERATOR_BUFFER)
            try:
                self._run(pixels)
            finally:
                np.setbufsize(buffer)
            embedding: NDArray[np.float32] = self._result * self._scale
        if not np.isfinite(embedding).all():
            raise EmbeddingError("The network's output holds values that are no numbers")
        return embedding

    def _run(self, pixels: NDArray[np.uint8]) -> None:
        for function, arguments in self._before:
            function(*arguments)
        np.copyto(self._picture, pixels)
        for function, arguments in self._after:
            function(*arguments)
        for function, arguments in self._calls:
            function(*arguments)

    def close(self) -> None:
        """Give the memory back."""
        with self._lock:
            self._calls, self._before, self._after = [], [], []
            self._picture = self._result = np.empty(0, np.float32)
