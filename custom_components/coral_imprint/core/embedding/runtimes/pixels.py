"""Pixels on their way into a network."""

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidPixels
from ..network.model import Model, Tensor


def check_pixels(pixels: NDArray[np.uint8], size: tuple[int, int]) -> None:
    """Refuse anything but uint8 pixels of shape (height, width, 3) for ``size`` (width, height) with InvalidPixels."""
    wanted = (size[1], size[0], 3)
    if pixels.shape != wanted or pixels.dtype != np.uint8:
        raise InvalidPixels(
            f"The extractor takes uint8 pixels of shape {wanted}, not {pixels.dtype} of shape {pixels.shape}",
            wanted=str(wanted),
            given=str(pixels.shape),
        )


def _held_range(tensor: Tensor) -> tuple[float, float]:
    """Return the range of a quantised tensor's codes less its zero point."""
    limits = np.iinfo(tensor.dtype)
    zero = int(tensor.quantisation.zero_point[0]) if tensor.quantisation else 0
    return float(limits.min - zero), float(limits.max - zero)


def picture_range(model: Model) -> tuple[float, float]:
    """Return what pixels 0 and 255 become: codes less the zero point for a quantised input, real numbers for a float one.

    A quantised input takes pixels as its codes, 0 as the least. A float input takes −1 to 1, or, where the first operator
    quantises it, the range of that quantisation: it is what the network saw when it was quantised.
    """
    picture = model.tensors[model.input]
    if picture.dtype.kind in "iu":
        return _held_range(picture)
    readers = [operator for operator in model.operators if model.input in operator.inputs]
    if len(readers) == 1 and readers[0].kind == "QUANTIZE":
        first = model.tensors[readers[0].outputs[0]]
        if first.quantisation is not None and first.dtype.kind in "iu":
            low, high = _held_range(first)
            scale = float(first.quantisation.scale[0])
            return low * scale, high * scale
    return -1.0, 1.0
