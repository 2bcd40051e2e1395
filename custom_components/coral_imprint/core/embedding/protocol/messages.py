"""Messages of the Open Inference Protocol v2 over HTTP, with the binary tensor data extension. Pure: bytes to records and back.

A message is a JSON object; with the extension, tensors follow it as little-endian bytes, and a header says how long the
JSON is. What comes in is believed in nothing: every name, shape, size and number is checked, and what breaks the protocol is a
ProtocolError. Members that the protocol does not know are passed over, as it asks.

Source: Open Inference Protocol, HTTP/REST; binary tensor data extension.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
import json
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .tensors import ProtocolError, checked_dtype, checked_shape, datatype_of, from_bytes, from_json

JSON_LENGTH: Final = "Inference-Header-Content-Length"
"""The header that says how many bytes of a body are JSON."""

MOST_JSON: Final = 4 * 1024 * 1024
"""Bytes of JSON in a message: reading it takes many times its memory, and the event loop's time."""

MOST_TENSORS: Final = 16
LONGEST_TEXT: Final = 256
"""Characters of a name or an id."""

Parameters: TypeAlias = Mapping[str, bool | int | float | str]


@dataclass(frozen=True, slots=True)
class Message:
    """A body and what its headers have to say about it."""

    body: bytes
    json_length: int | None = None
    """Bytes of the body that are JSON; None where all are."""

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers that belong to the body."""
        if self.json_length is None:
            return {"Content-Type": "application/json"}
        return {"Content-Type": "application/octet-stream", JSON_LENGTH: str(self.json_length)}


@dataclass(frozen=True, slots=True)
class RequestedOutput:
    """An output that a request asks for."""

    name: str
    binary: bool
    parameters: Parameters = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class InferRequest:
    """A request for inference."""

    inputs: Mapping[str, NDArray[Any]]
    """By name. Arrays may be read-only views of the body."""
    outputs: Sequence[RequestedOutput] = ()
    """Empty: all that the model has."""
    id: str | None = None
    parameters: Parameters = field(default_factory=dict)

    @property
    def binary_output(self) -> bool:
        """Whether outputs that are not named one by one are wanted as bytes."""
        return self.parameters.get("binary_data_output") is True


@dataclass(frozen=True, slots=True)
class InferResponse:
    """What a model computed."""

    model: str
    outputs: Mapping[str, NDArray[Any]]
    version: str | None = None
    id: str | None = None
    parameters: Parameters = field(default_factory=dict)


def encode_request(request: InferRequest, *, binary: bool) -> Message:
    """Write a request; ``binary``: tensors as bytes, and outputs asked for as bytes too, else all in JSON."""
    head: dict[str, Any] = {} if request.id is None else {"id": request.id}
    parameters = dict(request.parameters)
    if binary and not request.outputs:
        parameters["binary_data_output"] = True
    if parameters:
        head["parameters"] = parameters
    head["inputs"], blobs = _encode_tensors(request.inputs, request.inputs if binary else ())
    if request.outputs:
        head["outputs"] = [
            {"name": output.name, "parameters": {**output.parameters, "binary_data": output.binary}}
            for output in request.outputs
        ]
    return _message(head, blobs)


def encode_response(response: InferResponse, binary: Collection[str] = ()) -> Message:
    """Write a response; ``binary``: the outputs to send as bytes."""
    head: dict[str, Any] = {"model_name": response.model}
    if response.version is not None:
        head["model_version"] = response.version
    if response.id is not None:
        head["id"] = response.id
    if response.parameters:
        head["parameters"] = dict(response.parameters)
    head["outputs"], blobs = _encode_tensors(response.outputs, binary)
    return _message(head, blobs)


def _encode_tensors(
    tensors: Mapping[str, NDArray[Any]], binary: Collection[str]
) -> tuple[list[dict[str, Any]], list[bytes | memoryview]]:
    """Return tensors as JSON has them, and the bytes that follow."""
    described: list[dict[str, Any]] = []
    blobs: list[bytes | memoryview] = []
    for name, values in tensors.items():
        one: dict[str, Any] = {"name": name, "shape": list(values.shape), "datatype": datatype_of(values)}
        if name in binary:
            little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
            blobs.append(little.reshape(-1).view(np.uint8).data)
            one["parameters"] = {"binary_data_size": values.nbytes}
        else:
            one["data"] = values.reshape(-1).tolist()
        described.append(one)
    return described, blobs


def _message(head: Mapping[str, Any], blobs: Sequence[bytes | memoryview]) -> Message:
    text = json.dumps(head, separators=(",", ":"), allow_nan=False).encode()
    return Message(b"".join((text, *blobs)), len(text)) if blobs else Message(text)


def decode_request(body: bytes, json_length: int | None = None) -> InferRequest:
    """Read a request for inference; ``json_length`` as in `Message`. Raises ProtocolError."""
    head, rest = _split(body, json_length)
    inputs = _tensors(head, "inputs", rest)
    if not inputs:
        raise ProtocolError("The request has no inputs")
    parameters = _parameters(head, "the request")
    return InferRequest(inputs, _requested(head, parameters), _text(head, "id"), parameters)


def decode_response(body: bytes, json_length: int | None = None) -> InferResponse:
    """Read the response to a request for inference; ``json_length`` as in `Message`. Raises ProtocolError."""
    head, rest = _split(body, json_length)
    model = _text(head, "model_name")
    if model is None:
        raise ProtocolError("The response names no model")
    outputs = _tensors(head, "outputs", rest)
    return InferResponse(
        model, outputs, _text(head, "model_version"), _text(head, "id"), _parameters(head, "the response")
    )


def decode_json(text: bytes) -> dict[str, Any]:
    """Read a JSON object. Raises ProtocolError for anything else, NaN and infinities included."""
    if len(text) > MOST_JSON:
        raise ProtocolError(f"A message may have {MOST_JSON} bytes of JSON, this one has {len(text)}")
    try:
        value = json.loads(text.decode("utf-8"), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        # UnicodeDecodeError, JSONDecodeError, and integers of thousands of digits are ValueErrors.
        raise ProtocolError(f"The message is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise ProtocolError("The message is no JSON object")
    return value


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number")


def read_json_length(header: str | None) -> int | None:
    """Read the header `JSON_LENGTH`, None where there is none. Raises ProtocolError."""
    if header is None:
        return None
    if not (header.isascii() and header.isdecimal() and len(header) < 12):
        raise ProtocolError(f"{JSON_LENGTH} is no number of bytes")
    return int(header)


def _split(body: bytes, json_length: int | None) -> tuple[dict[str, Any], memoryview]:
    """Return a body's JSON and its bytes behind it."""
    if json_length is None:
        return decode_json(body), memoryview(b"")
    if not 0 < json_length <= len(body):
        raise ProtocolError(f"{JSON_LENGTH} is {json_length}, but the body has {len(body)} bytes")
    return decode_json(body[:json_length]), memoryview(body)[json_length:]


def _tensors(head: Mapping[str, Any], member: str, rest: memoryview) -> dict[str, NDArray[Any]]:
    """Read a list of tensors. The bytes behind the JSON must be theirs to the last."""
    rows = _rows(head, member)
    tensors: dict[str, NDArray[Any]] = {}
    for row in rows:
        name = _text(row, "name")
        if not name or name in tensors:
            raise ProtocolError(f"A tensor of the {member} has no name, or one that another has")
        shape, dtype = checked_shape(row.get("shape"), name), checked_dtype(row.get("datatype"), name)
        size = _parameters(row, f"the tensor {name}").get("binary_data_size")
        if size is None:
            tensors[name] = from_json(row.get("data"), shape, dtype, name)
            continue
        if type(size) is not int or not 0 <= size <= len(rest) or "data" in row:
            raise ProtocolError(f"The tensor {name} has data twice, or more bytes than the {len(rest)} that are left")
        tensors[name] = from_bytes(rest[:size], shape, dtype, name)
        rest = rest[size:]
    if len(rest):
        raise ProtocolError(f"{len(rest)} bytes behind the JSON belong to no tensor")
    return tensors


def _requested(head: Mapping[str, Any], parameters: Parameters) -> list[RequestedOutput]:
    """Read which outputs a request asks for."""
    default = parameters.get("binary_data_output", False)
    outputs: list[RequestedOutput] = []
    for row in _rows(head, "outputs"):
        name = _text(row, "name")
        if not name or any(output.name == name for output in outputs):
            raise ProtocolError("A requested output has no name, or one that another has")
        own = _parameters(row, f"the output {name}")
        binary = own.get("binary_data", default)
        if not isinstance(binary, bool):
            raise ProtocolError(f"binary_data of the output {name} is neither true nor false")
        outputs.append(RequestedOutput(name, binary, own))
    if not isinstance(default, bool):
        raise ProtocolError("binary_data_output is neither true nor false")
    return outputs


def _rows(head: Mapping[str, Any], member: str) -> list[dict[str, Any]]:
    rows = head.get(member, [])
    if not isinstance(rows, list) or len(rows) > MOST_TENSORS or not all(isinstance(row, dict) for row in rows):
        raise ProtocolError(f"“{member}” is no list of up to {MOST_TENSORS} objects")
    return rows


def _parameters(head: Mapping[str, Any], what: str) -> Parameters:
    parameters = head.get("parameters", {})
    if not isinstance(parameters, dict):
        raise ProtocolError(f"The parameters of {what} are no object")
    if any(not isinstance(value, bool | int | float | str) for value in parameters.values()):
        raise ProtocolError(f"The parameters of {what} hold something else than texts, numbers, true and false")
    return parameters


def _text(head: Mapping[str, Any], member: str) -> str | None:
    text = head.get(member)
    if text is not None and (not isinstance(text, str) or len(text) > LONGEST_TEXT):
        raise ProtocolError(f"“{member}” is no text of up to {LONGEST_TEXT} characters")
    return text
