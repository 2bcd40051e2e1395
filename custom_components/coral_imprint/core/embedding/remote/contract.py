"""What client and server agreed on: how pictures become the model's input, and its output embeddings. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
import json
import math
from typing import Any, Final
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from ..protocol.messages import InferRequest, Message, RequestedOutput, encode_request
from ..protocol.tensors import DTYPES
from .answers import Answer, read_answer

PIXEL_TYPES: Final = ("UINT8", "INT8", "FP32", "FP16")
"""Element types of inputs that pictures can be sent as."""

CODES: Final = {"UINT8": (0.0, 255.0), "INT8": (-128.0, 127.0)}
"""What pixels 0 and 255 become where the model takes codes: as in `Runtime.embed`."""

_ENVELOPE: Final = 64 * 1024
_TEXT_PER_NUMBER: Final = 32
_LONGEST: Final = 1 << 16
"""Numbers in an embedding, before it is known how many there are."""


@dataclass(frozen=True, slots=True)
class Contract:
    """How to ask one server for embeddings."""

    model: str
    version: str | None
    input: str
    """Name of the tensor that takes pictures."""
    output: str
    """Name of the tensor that has their embeddings."""
    datatype: str
    """One of PIXEL_TYPES."""
    size: tuple[int, int]
    """Width and height of the pictures."""
    planar: bool
    """NCHW (or CHW) rather than NHWC (or HWC)."""
    batched: bool
    """Whether the input has a dimension for several pictures."""
    filled: int | None
    """Pictures that a request must have; None where any number up to ``most`` is taken."""
    most: int
    """Pictures that a request may have."""
    pixel_range: tuple[float, float]
    """What pixels 0 and 255 become."""
    binary: bool
    """Tensors as bytes rather than JSON."""
    length: int | None = None
    """Numbers in an embedding; None before the first answer."""

    @property
    def path(self) -> str:
        """Path of the request for inference, quoted."""
        return f"{model_path(self.model, self.version)}/infer"

    @property
    def answer_limit(self) -> int:
        """Bytes that an answer may have."""
        return _ENVELOPE + _TEXT_PER_NUMBER * (self.length or _LONGEST) * (self.filled or self.most)

    @property
    def _as_they_are(self) -> bool:
        """Whether the model takes pixels 0 to 255 as they are."""
        return (self.datatype, self.pixel_range) == ("UINT8", CODES["UINT8"])

    def encode(self, pictures: Sequence[NDArray[np.uint8]]) -> Message:
        """Write a request for 1 to ``most`` pictures of ``size``: uint8, (height, width, 3), RGB.

        Takes milliseconds for large pictures, and for JSON; long steps let other threads go on.
        """
        count = len(pictures)
        if not 0 < count <= self.most:
            raise ValueError(f"A request takes 1 to {self.most} pictures, not {count}")
        filling = [pictures[-1]] * ((self.filled or count) - count)
        pixels = np.stack([*pictures, *filling]) if count + len(filling) > 1 else pictures[0][np.newaxis]
        if self.planar:
            pixels = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
        if not self.batched:
            pixels = pixels[0]
        if not self.binary:
            return self._in_json(pixels)
        values = pixels if self._as_they_are else _codes(self.datatype, self.pixel_range)[pixels]
        wanted = RequestedOutput(self.output, binary=True)
        return encode_request(InferRequest({self.input: values}, (wanted,)), binary=True)

    def _in_json(self, pixels: NDArray[np.uint8]) -> Message:
        """Write the request as JSON: a pixel's number is looked up as text, padded with blanks, which JSON passes over.

        Many times as fast as turning each into a Python object, and without holding the interpreter all the while.
        """
        tensor = {"name": self.input, "shape": list(pixels.shape), "datatype": self.datatype, "data": []}
        frame = {"inputs": [tensor], "outputs": [{"name": self.output, "parameters": {"binary_data": False}}]}
        before, after = json.dumps(frame).split('"data": []', 1)
        numbers = _texts(self.datatype, self.pixel_range)[pixels].tobytes()
        return Message(b"".join((before.encode(), b'"data":[', memoryview(numbers)[:-1], b"]", after.encode())))

    def decode(self, message: Message, count: int) -> tuple[NDArray[np.float32], Answer]:
        """Read the answer to a request for ``count`` pictures: (count, length) float32, and what else it says.

        Raises UnusableAnswer where it holds anything but as many finite vectors, none of them zero.
        """
        answer = read_answer(message, self.output)
        sent = self.filled or count
        values = answer.values
        if not values.size or values.size % sent or (self.batched and (values.ndim < 2 or values.shape[0] != sent)):
            raise answer.unusable(f"has the shape {values.shape} for {sent} pictures")
        vectors = values.reshape(sent, -1)[:count].astype(np.float32)
        length = vectors.shape[1]
        if length != (self.length or length) or not 1 < length <= _LONGEST:
            raise answer.unusable(f"has {length} numbers per picture instead of {self.length or f'2 to {_LONGEST}'}")
        if not np.isfinite(vectors).all() or not vectors.any(axis=1).all():
            raise answer.unusable("holds an embedding that is zero, or values that are no numbers")
        return vectors, answer


def model_path(model: str, version: str | None) -> str:
    """Return a model's path on its server, quoted."""
    return f"/v2/models/{quoted(model)}" + (f"/versions/{quoted(version)}" if version else "")


def quoted(step: str) -> str:
    """Quote one step of a path; one of dots alone would climb."""
    return quote(step, safe="").replace(".", "%2E") if not step.strip(".") else quote(step, safe="")


@lru_cache(maxsize=8)
def _codes(datatype: str, pixel_range: tuple[float, float]) -> NDArray[Any]:
    """Return what each pixel 0 to 255 becomes, (256,), as the model takes it."""
    low, high = pixel_range
    values = low + np.arange(256) * ((high - low) / 255)
    dtype = DTYPES[datatype]
    return (np.rint(values) if dtype.kind in "iu" else values).astype(dtype)


@lru_cache(maxsize=8)
def _texts(datatype: str, pixel_range: tuple[float, float]) -> NDArray[Any]:
    """Return what each pixel 0 to 255 becomes, as text with a comma, all equally long: (256,)."""
    codes = _codes(datatype, pixel_range).tolist()
    digits = 0 if datatype in CODES else 9 if datatype == "FP32" else 5
    texts = [f"{code:.{digits}g}" if digits else str(code) for code in codes]
    width = max(map(len, texts))
    return np.array([f"{text:>{width}},".encode() for text in texts], dtype=f"S{width + 1}")


def finite(value: object) -> float | None:
    """Return a parameter that is a finite number, None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
