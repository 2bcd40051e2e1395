"""The protocol's messages, there and back."""

from collections.abc import Sequence
import json
from typing import Any

from hypothesis import given, strategies as st
from hypothesis.extra import numpy as arrays
import numpy as np
from numpy.typing import NDArray
import pytest

from embedding.protocol.messages import (
    MOST_JSON,
    InferRequest,
    InferResponse,
    Message,
    RequestedOutput,
    decode_json,
    decode_request,
    decode_response,
    encode_request,
    encode_response,
    read_json_length,
)
from embedding.protocol.tensors import DTYPES, ProtocolError, datatype_of

SHAPES = arrays.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5)


@st.composite
def tensors(draw: st.DrawFn) -> NDArray[Any]:
    """Draw a tensor of any type that the protocol has."""
    dtype = DTYPES[draw(st.sampled_from(sorted(DTYPES)))]
    elements = {"allow_nan": False, "allow_infinity": False} if dtype.kind == "f" else {}
    drawn: NDArray[Any] = draw(arrays.arrays(dtype, SHAPES, elements=elements))
    return drawn


def same(one: NDArray[Any], other: NDArray[Any]) -> None:
    """Two arrays agree in type, shape and every number."""
    assert one.dtype == other.dtype
    np.testing.assert_array_equal(one, other)


@given(tensor=tensors(), binary=st.booleans(), name=st.text(min_size=1, max_size=20))
def test_requests_there_and_back(tensor: NDArray[Any], binary: bool, name: str) -> None:
    """Any tensor arrives as it was sent, in JSON and as bytes."""
    message = encode_request(InferRequest({name: tensor}, id="7", parameters={"timeout": 5}), binary=binary)
    read = decode_request(message.body, message.json_length)
    same(read.inputs[name], tensor)
    assert (read.id, read.parameters["timeout"], read.binary_output) == ("7", 5, binary)
    assert (message.json_length is not None) is binary


@given(first=tensors(), second=tensors(), binary=st.sets(st.sampled_from(["a", "b"])))
def test_responses_there_and_back(first: NDArray[Any], second: NDArray[Any], binary: set[str]) -> None:
    """Outputs may be mixed, bytes and JSON."""
    message = encode_response(InferResponse("m", {"a": first, "b": second}, "1", "7"), binary)
    read = decode_response(message.body, message.json_length)
    same(read.outputs["a"], first)
    same(read.outputs["b"], second)
    assert (read.model, read.version, read.id) == ("m", "1", "7")


@given(st.binary(max_size=200), st.one_of(st.none(), st.integers(-5, 250)))
def test_garbage(body: bytes, length: int | None) -> None:
    """Nothing but ProtocolError comes of bytes that mean nothing."""
    for decode in (decode_request, decode_response):
        with pytest.raises(ProtocolError):
            decode(body, length)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.sampled_from(["name", "shape", "datatype", "data", "parameters", "binary_data_size", "x"]),
            inner,
            max_size=5,
        ),
    ),
    max_leaves=12,
)


@given(rows=st.lists(JSON, max_size=3), outputs=JSON, parameters=JSON)
def test_json_that_means_nothing(rows: Sequence[Any], outputs: Any, parameters: Any) -> None:
    """Well-formed JSON of the wrong kind is a ProtocolError, or arrays of the stated shape."""
    body = json.dumps({"inputs": rows, "outputs": outputs, "parameters": parameters}).encode()
    try:
        read = decode_request(body)
    except ProtocolError:
        return
    for values, row in zip(read.inputs.values(), rows, strict=True):
        assert list(values.shape) == row["shape"]


def test_headers_of_a_message() -> None:
    """The header says where the JSON ends, and is there for bytes only."""
    tensor = np.arange(6, dtype=np.uint8).reshape(2, 3)
    message = encode_request(InferRequest({"x": tensor}), binary=True)
    assert message.headers["Inference-Header-Content-Length"] == str(message.json_length)
    assert message.body[message.json_length :] == bytes(range(6))
    assert Message(b"{}").headers == {"Content-Type": "application/json"}


@pytest.mark.parametrize("header", ["-1", "", "1.0", "1e3", "٣", "123456789012", "+5", " 5"])
def test_length_header_that_is_none(header: str) -> None:
    """Only plain digits are a length."""
    with pytest.raises(ProtocolError):
        read_json_length(header)
    assert read_json_length("0012") == 12
    assert read_json_length(None) is None


def test_requested_outputs() -> None:
    """What is said of one output counts more than what is said of all."""
    tensor = {"x": np.zeros((1,), np.uint8)}
    asked = InferRequest(tensor, (RequestedOutput("a", True), RequestedOutput("b", False)))
    read = decode_request(encode_request(asked, binary=False).body)
    assert [(output.name, output.binary) for output in read.outputs] == [("a", True), ("b", False)]
    row = {"name": "x", "shape": [1], "datatype": "UINT8", "data": [0]}
    head = {"inputs": [row], "parameters": {"binary_data_output": True}, "outputs": [{"name": "a"}]}
    assert decode_request(json.dumps(head).encode()).outputs[0].binary
    head["parameters"] = {"binary_data_output": "yes"}
    with pytest.raises(ProtocolError, match="neither true nor false"):
        decode_request(json.dumps(head).encode())


def test_bytes_belong_to_tensors() -> None:
    """What is too much, too little or there twice is refused."""
    message = encode_request(InferRequest({"x": np.zeros((4,), np.uint16)}), binary=True)
    for body in (message.body + b"\0", message.body[:-1]):
        with pytest.raises(ProtocolError):
            decode_request(body, message.json_length)
    twice = message.body[: message.json_length].replace(b'"shape"', b'"data":[0,0,0,0],"shape"')
    with pytest.raises(ProtocolError, match="twice"):
        decode_request(twice + bytes(8), len(twice))


def test_booleans_are_zero_or_one() -> None:
    """Another byte is no boolean, nor is a number in JSON; true is no number."""
    message = encode_request(InferRequest({"x": np.array([True, False])}), binary=True)
    with pytest.raises(ProtocolError, match="0 and 1"):
        decode_request(message.body[:-1] + b"\2", message.json_length)
    for datatype, data in (("BOOL", [1, 0]), ("UINT8", [True, False]), ("FP32", [True, 1])):
        row = {"name": "x", "shape": [2], "datatype": datatype, "data": data}
        with pytest.raises(ProtocolError):
            decode_request(json.dumps({"inputs": [row]}).encode())


@pytest.mark.parametrize(
    ("datatype", "value"), [("UINT8", -1), ("INT8", 128), ("INT64", 2**63), ("FP16", 1e6), ("FP32", 1e39)]
)
def test_numbers_beyond_their_type(datatype: str, value: float) -> None:
    """Nothing wraps around, nothing becomes infinite."""
    row = {"name": "x", "shape": [1], "datatype": datatype, "data": [value]}
    with pytest.raises(ProtocolError, match="beyond"):
        decode_request(json.dumps({"inputs": [row]}).encode())


@pytest.mark.parametrize(
    "text", [b'{"a": NaN}', b'{"a": -Infinity}', b'{"a": 1', b"\xff{}", b"1" * 10_000, b"[" * 10**6]
)
def test_what_is_no_json(text: bytes) -> None:
    """Neither what Python's reader takes beyond JSON, nor depths and digits without end."""
    with pytest.raises(ProtocolError):
        decode_json(text)


def test_too_much_json() -> None:
    """Pictures belong into bytes."""
    with pytest.raises(ProtocolError, match="bytes of JSON"):
        decode_json(b" " * (MOST_JSON + 1))


def test_types_without_a_name() -> None:
    """Texts and complex numbers can't be sent."""
    for values in (np.array(["text"]), np.zeros(1, complex), np.array([None])):
        with pytest.raises(ProtocolError, match="no name"):
            datatype_of(values)
    assert datatype_of(np.zeros(1, ">f4")) == "FP32"
