"""Tensors of the Open Inference Protocol v2: what a message says of them, checked against the data that it brings."""

from collections.abc import Mapping, Sequence
from itertools import chain
import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..errors import EmbeddingError

DTYPES: Final[Mapping[str, np.dtype[Any]]] = {
    "BOOL": np.dtype("?"),
    "UINT8": np.dtype("u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
"""The protocol's names of element types. BYTES is left out: no tensor here is text."""

_NAMES: Final = {dtype: name for name, dtype in DTYPES.items()}

MOST_AXES: Final = 8
LONGEST_AXIS: Final = 1 << 31

JSON_ONLY_TYPES: Final[Mapping[str, frozenset[type]]] = {
    "b": frozenset({bool}),
    "u": frozenset({int}),
    "i": frozenset({int}),
    "f": frozenset({int, float}),
}
"""What JSON may hold for each kind of element."""


class ProtocolError(EmbeddingError):
    """A message breaks the Open Inference Protocol, or is beyond what is accepted."""


def datatype_of(values: NDArray[Any]) -> str:
    """Return the protocol's name of an array's element type; raises ProtocolError where it has none."""
    try:
        return _NAMES[values.dtype.newbyteorder("<")]
    except KeyError:
        raise ProtocolError(f"Elements of type {values.dtype} have no name in the protocol") from None


def checked_shape(shape: object, name: str) -> tuple[int, ...]:
    """Return a tensor's stated shape; raises ProtocolError where it is none."""
    if not isinstance(shape, list) or not 0 < len(shape) <= MOST_AXES:
        raise ProtocolError(f"The shape of the tensor {name} is no list of 1 to {MOST_AXES} numbers")
    if any(type(side) is not int or not 0 <= side < LONGEST_AXIS for side in shape):
        raise ProtocolError(f"The shape of the tensor {name} holds something else than whole numbers from 0")
    return tuple(shape)


def checked_dtype(datatype: object, name: str) -> np.dtype[Any]:
    """Return a tensor's stated element type; raises ProtocolError for unknown ones."""
    if not isinstance(datatype, str) or datatype not in DTYPES:
        raise ProtocolError(f"The datatype of the tensor {name} is none of {', '.join(DTYPES)}")
    return DTYPES[datatype]


def from_bytes(data: memoryview, shape: tuple[int, ...], dtype: np.dtype[Any], name: str) -> NDArray[Any]:
    """Return a read-only view of a binary tensor; raises ProtocolError where its size is not that of its shape."""
    wanted = math.prod(shape) * dtype.itemsize
    if len(data) != wanted:
        raise ProtocolError(f"The tensor {name} has {len(data)} bytes; its shape and datatype make {wanted}")
    if dtype.kind == "b" and (np.frombuffer(data, np.uint8) > 1).any():
        raise ProtocolError(f"The tensor {name} holds something else than 0 and 1")
    return np.frombuffer(data, dtype).reshape(shape)


def from_json(data: object, shape: tuple[int, ...], dtype: np.dtype[Any], name: str) -> NDArray[Any]:
    """Return a tensor from JSON's numbers, in one list or nested as its shape.

    Raises ProtocolError where they are not as many as the shape says, of another type, or beyond the type's range.
    """
    values = _flat(data, shape, name)
    if not set(map(type, values)) <= JSON_ONLY_TYPES[dtype.kind]:
        raise ProtocolError(f"The tensor {name} holds something else than {dtype.name} numbers")
    try:
        # Twice as fast as NumPy, and pictures in JSON are large.
        if dtype == np.uint8:
            return np.frombuffer(bytes(values), np.uint8).reshape(shape)
        with np.errstate(over="ignore"):
            result = np.array(values, dtype).reshape(shape)
    except (OverflowError, ValueError) as error:
        raise ProtocolError(f"The tensor {name} holds numbers beyond {dtype.name}") from error
    if dtype.kind == "f" and not np.isfinite(result).all():
        raise ProtocolError(f"The tensor {name} holds numbers beyond {dtype.name}")
    return result


def _flat(data: object, shape: tuple[int, ...], name: str) -> Sequence[Any]:
    """Return the numbers of a tensor in one list, row after row."""
    if not isinstance(data, list):
        raise ProtocolError(f"The data of the tensor {name} is no list")
    level: list[Any] = data
    if len(level) != math.prod(shape) or (len(shape) > 1 and level and isinstance(level[0], list)):
        if len(level) != shape[0]:
            raise _wrong_count(name)
        for side in shape[1:]:
            if set(map(type, level)) - {list} or set(map(len, level)) - {side}:
                raise _wrong_count(name)
            level = list(chain.from_iterable(level))
    return level


def _wrong_count(name: str) -> ProtocolError:
    return ProtocolError(f"The data of the tensor {name} does not have its shape")
