"""What servers answer, read with as much suspicion as lenience: only what is needed, and that checked. Pure.

Servers fill the protocol's optional members each in its own way (``null`` where nothing is meant, parameters of parameters), so
members that don't matter here are not looked at.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from numpy.typing import NDArray

from ..errors import UnusableAnswer
from ..protocol.messages import Message, decode_json
from ..protocol.tensors import ProtocolError, checked_dtype, checked_shape, from_bytes, from_json

_MOST: Final = 64
"""Tensors of a model that are looked at; its square: models of a server."""
_LONGEST: Final = 256
"""Characters of a name."""
_QUOTED: Final = 200
"""Characters of a server's own message that are passed on."""


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """What a server says of a model's input or output."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    """−1 where any size is taken."""
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What a server says of a model."""

    versions: Sequence[str]
    platform: str
    inputs: Sequence[TensorInfo]
    outputs: Sequence[TensorInfo]
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """The part of an answer that was asked for."""

    output: str
    values: NDArray[Any]
    """Of a floating-point type, in the shape that the server says."""
    version: str | None
    """The model's version that answered, where the server says."""
    binary: bool
    """Whether the values came as bytes."""

    def unusable(self, why: str) -> UnusableAnswer:
        """Return the error that says what is wrong with the values."""
        return UnusableAnswer(f"The server's output {self.output} {why}")


def read_answer(message: Message, output: str) -> Answer:
    """Read one output from the answer to a request for inference. Raises UnusableAnswer."""
    try:
        return _read_answer(message, output)
    except ProtocolError as error:
        raise UnusableAnswer(f"The server's answer breaks the protocol: {error}") from error


def _read_answer(message: Message, output: str) -> Answer:
    length = len(message.body) if message.json_length is None else message.json_length
    if not 0 < length <= len(message.body):
        raise ProtocolError(f"of its {len(message.body)} bytes, {length} should be JSON")
    head = decode_json(message.body[:length])
    rest = memoryview(message.body)[length:]
    for row in _rows(head.get("outputs")):
        size = _mapping(row.get("parameters")).get("binary_data_size")
        if size is not None and (type(size) is not int or not 0 <= size <= len(rest)):
            raise ProtocolError(f"an output has {size} bytes, but {len(rest)} are left")
        if row.get("name") == output:
            shape, dtype = checked_shape(row.get("shape"), output), checked_dtype(row.get("datatype"), output)
            if dtype.kind != "f":
                raise ProtocolError(f"the output {output} is of the type {dtype.name}, not of real numbers")
            if size is None:
                values = from_json(row.get("data"), shape, dtype, output)
            else:
                values = from_bytes(rest[:size], shape, dtype, output)
            return Answer(output, values, _name(head.get("model_version")), size is not None)
        rest = rest[size or 0 :]
    raise ProtocolError(f"it has no output {output}")


def read_model(body: bytes) -> ModelInfo:
    """Read what a server says of a model. Raises UnusableAnswer."""
    head = _object(body)
    versions = head.get("versions")
    return ModelInfo(
        [str(version)[:_LONGEST] for version in versions[:_MOST]] if isinstance(versions, list) else [],
        str(head.get("platform"))[:_LONGEST],
        _tensors(head.get("inputs")),
        _tensors(head.get("outputs")),
        _mapping(head.get("parameters")),
    )


def read_names(body: bytes) -> list[str]:
    """Read a server's list of models: KServe's ``{"models": […]}``, or the repository extension's index.

    Raises UnusableAnswer where it is neither.
    """
    wrapped = body if body.lstrip()[:1] == b"{" else b'{"models":' + body + b"}"
    rows = _object(wrapped).get("models")
    if not isinstance(rows, list):
        raise UnusableAnswer("The server's list of models is none")
    names = [_name(row.get("name")) if isinstance(row, dict) else _name(row) for row in rows[: _MOST * _MOST]]
    return sorted({name for name in names if name})


def read_error(body: bytes) -> str:
    """Return what a server says about its refusal, shortened; empty where it says nothing legible."""
    try:
        head = decode_json(body)
    except ProtocolError:
        return ""
    said = next((head[key] for key in ("error", "detail", "message") if isinstance(head.get(key), str)), "")
    return "".join(sign if sign.isprintable() else " " for sign in said[:_QUOTED])


def _object(body: bytes) -> dict[str, Any]:
    try:
        return decode_json(body)
    except ProtocolError as error:
        raise UnusableAnswer(f"The server's answer breaks the protocol: {error}") from error


def _tensors(rows: object) -> list[TensorInfo]:
    """Read the tensors of a model; those that make no sense are left out."""
    tensors = []
    for row in _rows(rows):
        name, datatype, shape = _name(row.get("name")), _name(row.get("datatype")), row.get("shape")
        if name and datatype and isinstance(shape, list) and all(type(side) is int for side in shape):
            tensors.append(TensorInfo(name, datatype.upper(), tuple(shape), _mapping(row.get("parameters"))))
    return tensors


def _rows(rows: object) -> list[dict[str, Any]]:
    return [row for row in rows[:_MOST] if isinstance(row, dict)] if isinstance(rows, list) else []


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _name(value: object) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= _LONGEST else None
