"""The pure parts of the client: addresses, metadata, messages, identity."""

from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
import subprocess
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray
import pytest

from embedding.errors import InvalidAddress, PixelRangeUnknown, UnsupportedModel, UnusableAnswer
from embedding.protocol.messages import InferResponse, Message, decode_request, encode_response
from embedding.remote.address import Address
from embedding.remote.answers import ModelInfo, TensorInfo, read_error, read_model, read_names
from embedding.remote.contract import Contract, model_path
from embedding.remote.identity import Probe
from embedding.remote.model_notes import identity
from embedding.remote.negotiation import propose
from embedding.remote.settings import ModelOptions
from embedding.remote.statuses import BUSY_WAIT, LONGEST_WAIT, read_wait

RANDOM = np.random.default_rng(3)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("host", Address("http://host")),
        ("host:8000", Address("http://host:8000")),
        (" https://host:8443/ ", Address("https://host:8443")),
        ("http://host/v2", Address("http://host")),
        ("http://host/v2/models", Address("http://host")),
        ("http://host/v2/models/a%20b/infer", Address("http://host", None, "a b")),
        ("https://host/serving/v2/models/m/versions/3", Address("https://host/serving", None, "m")),
        ("http://[::1]:8000", Address("http://[::1]:8000")),
        ("unix:///run/a%20b.sock", Address("http://localhost", "/run/a b.sock")),
    ],
)
def test_address(text: str, expected: Address) -> None:
    address = Address.parse(text)
    assert address == expected
    assert Address.parse(address.text).base == address.base


@pytest.mark.parametrize(
    "text",
    ["", "  ", "ftp://host", "http://", "http://a b", "http://host:x", "http://host:99999", "unix://", "unix://host/a",
     "http://host?a=1", "http://host#a", "http://user:secret@host", "http://host\n.x", "x" * 3000],
)  # fmt: skip
def test_no_address(text: str) -> None:
    with pytest.raises(InvalidAddress) as raised:
        Address.parse(text)
    assert "secret" not in f"{raised.value}{raised.value.details}"


def info(shape: tuple[int, ...] = (-1, 64, 48, 3), datatype: str = "UINT8", **parameters: Any) -> ModelInfo:
    picture = TensorInfo("in", datatype, shape, parameters)
    return ModelInfo([], "", [picture], [TensorInfo("out", "FP32", (-1, 8))], {})


@pytest.mark.parametrize(
    ("shape", "planar", "batched", "filled", "most"),
    [
        ((-1, 64, 48, 3), False, True, None, 8),
        ((1, 64, 48, 3), False, True, None, 1),
        ((4, 3, 64, 48), True, True, 4, 4),
        ((64, 48, 3), False, False, None, 1),
        ((3, 64, 48), True, False, None, 1),
    ],
)
def test_shapes(shape: tuple[int, ...], planar: bool, batched: bool, filled: int | None, most: int) -> None:
    (contract,) = propose(info(shape), "m", ModelOptions())
    assert (contract.planar, contract.batched, contract.filled, contract.most) == (planar, batched, filled, most)
    assert contract.size == (48, 64)


def test_size_has_to_be_known() -> None:
    with pytest.raises(UnsupportedModel, match="any size"):
        propose(info((-1, -1, -1, 3)), "m", ModelOptions())
    (contract,) = propose(info((-1, -1, -1, 3)), "m", ModelOptions(size=(32, 40)))
    assert contract.size == (32, 40)
    with pytest.raises(UnsupportedModel, match="48×64"):
        propose(info(), "m", ModelOptions(size=(64, 48)))


@pytest.mark.parametrize(
    ("parameters", "options", "expected"),
    [
        ({"low": -1, "high": 1.0}, {}, (-1.0, 1.0)),
        ({"scale": 1 / 128, "zero_point": 128}, {}, (-1.0, 127 / 128)),
        ({"low": -1, "high": 1}, {"pixel_range": (0.0, 1.0)}, (0.0, 1.0)),
    ],
)
def test_range_of_pixels(parameters: dict[str, Any], options: dict[str, Any], expected: tuple[float, float]) -> None:
    (contract,) = propose(info(datatype="FP32", **parameters), "m", ModelOptions(**options))
    assert contract.pixel_range == pytest.approx(expected)


@pytest.mark.parametrize(
    "parameters", [{}, {"low": 1, "high": 1}, {"low": "0", "high": "1"}, {"low": True, "high": 5}, {"scale": -1, "zero_point": 0},
                   {"low": float("nan"), "high": 1}],
)  # fmt: skip
def test_range_of_pixels_is_not_guessed(parameters: dict[str, Any]) -> None:
    with pytest.raises(PixelRangeUnknown):
        propose(info(datatype="FP32", **parameters), "m", ModelOptions())
    assert len(propose(info(datatype="FP32", **parameters), "m", ModelOptions(sha256="a" * 64))) == 3


def pictures(count: int, size: tuple[int, int] = (20, 16)) -> list[NDArray[np.uint8]]:
    return [RANDOM.integers(0, 256, (size[1], size[0], 3), np.uint8) for _ in range(count)]


def contract(**more: Any) -> Contract:
    given: dict[str, Any] = {
        "model": "m", "version": None, "input": 'in"put', "output": "out", "datatype": "UINT8", "size": (20, 16), "planar": False,
        "batched": True, "filled": None, "most": 8, "pixel_range": (0.0, 255.0), "binary": True,
    }  # fmt: skip
    return Contract(**given | more)


@pytest.mark.parametrize("binary", [True, False], ids=["bytes", "JSON"])
@pytest.mark.parametrize("planar", [True, False], ids=["NCHW", "NHWC"])
@pytest.mark.parametrize(
    ("datatype", "low", "high", "tolerance"),
    [("UINT8", 0, 255, 0), ("INT8", -128, 127, 0), ("FP32", -1, 1, 1e-7), ("FP32", 0, 255, 0), ("FP16", 0, 1, 1e-3)],
)
def test_request_holds_the_pictures(
    binary: bool, planar: bool, datatype: str, low: float, high: float, tolerance: float
) -> None:
    """Read by the server's own reader, the tensor is what the pictures become, number by number."""
    given = pictures(3)
    asked = contract(binary=binary, planar=planar, datatype=datatype, pixel_range=(float(low), float(high)))
    message = asked.encode(given)
    assert (message.json_length is not None) == binary
    request = decode_request(message.body, message.json_length)
    expected = np.array(given, np.float64) * ((high - low) / 255) + low
    if planar:
        expected = expected.transpose(0, 3, 1, 2)
    assert list(request.inputs) == ['in"put']
    np.testing.assert_allclose(request.inputs['in"put'].astype(np.float64), expected, atol=tolerance, rtol=0)
    assert [(output.name, output.binary) for output in request.outputs] == [("out", binary)]


def test_batches_are_filled_up() -> None:
    asked, given = contract(filled=4, most=4), pictures(2)
    message = asked.encode(given)
    sent = decode_request(message.body, message.json_length).inputs['in"put']
    np.testing.assert_array_equal(sent, [*given, given[1], given[1]])
    response = encode_response(InferResponse("m", {"out": np.arange(1, 13, dtype=np.float32).reshape(4, 1, 1, 3)}))
    vectors, _ = asked.decode(response, 2)
    np.testing.assert_array_equal(vectors, [[1, 2, 3], [4, 5, 6]])
    with pytest.raises(ValueError, match="1 to 4"):
        asked.encode(pictures(5))


@pytest.mark.parametrize("shape", [(2, 6), (2, 1, 1, 6), (2, 6, 1, 1)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize("binary", [True, False])
def test_answers(shape: tuple[int, ...], dtype: type[Any], binary: bool) -> None:
    values = RANDOM.normal(size=shape).astype(dtype)
    outputs = {"other": np.ones((5, 7), np.int32), "out": values}
    message = encode_response(InferResponse("m", outputs, "7"), list(outputs) if binary else ())
    vectors, answer = contract(length=6).decode(message, 2)
    np.testing.assert_array_equal(vectors, values.reshape(2, 6).astype(np.float32))
    assert vectors.dtype == np.float32
    assert answer.version == "7"
    with pytest.raises(UnusableAnswer, match="instead of 5"):
        contract(length=5).decode(message, 2)
    with pytest.raises(UnusableAnswer, match="shape"):
        contract().decode(message, 3)


def test_optional_members_may_be_anything() -> None:
    body = (
        b'{"model_name": null, "id": 5, "parameters": null, "model_version": null, "outputs": [{"name": "b", "datatype": "BYTES", '
        b'"shape": [1], "data": ["x"], "parameters": {"headers": {"a": 1}}}, {"name": "out", "datatype": "FP32", '
        b'"shape": [1, 2], "parameters": null, "data": [[1, 2.5]]}]}'
    )
    vectors, answer = contract().decode(Message(body), 1)
    np.testing.assert_array_equal(vectors, [[1, 2.5]])
    assert answer.version is None


def test_metadata_of_nonsense() -> None:
    read = read_model(b'{"inputs": [1, {"name": 5}, {"name": "a", "datatype": "fp32", "shape": [1]}], "versions": [1]}')
    assert [tensor.name for tensor in read.inputs] == ["a"]
    assert read.inputs[0].datatype == "FP32"
    assert (read.versions, read.outputs, read.parameters) == (["1"], [], {})
    for body in (b"", b"[]", b"\xff", b"[" * 100_000):
        with pytest.raises(UnusableAnswer):
            read_model(body)


def test_lists_of_models() -> None:
    assert read_names(b'{"models": ["b", "a", 5, ""]}') == ["a", "b"]
    assert read_names(b'[{"name": "b", "state": "READY"}, {"name": "a"}, {}]') == ["a", "b"]
    for body in (b'{"models": 5}', b'"x"', b""):
        with pytest.raises(UnusableAnswer):
            read_names(body)


def test_what_servers_say_is_cleaned() -> None:
    assert read_error(b'{"error": "a\\u001b[31mb\\nc"}') == "a [31mb c"
    assert len(read_error(b'{"detail": "' + b"x" * 5000 + b'"}')) == 200
    assert read_error(b"<html>") == read_error(b'{"error": {"a": 1}}') == ""


def test_paths_stay_below_the_models() -> None:
    assert model_path("a/../b?c#d", "1") == "/v2/models/a%2F..%2Fb%3Fc%23d/versions/1"
    assert model_path("..", None) == "/v2/models/%2E%2E"


def test_retry_after() -> None:
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    later = datetime(2026, 1, 2, 3, 4, 25, tzinfo=UTC)
    assert read_wait(None, now) == read_wait("soon", now) == read_wait("nan", now) == BUSY_WAIT
    assert read_wait("7", now) == 7
    assert read_wait("-3", now) == read_wait(format_datetime(now, usegmt=True), later) == 0
    assert read_wait(format_datetime(later, usegmt=True), now) == 20
    assert read_wait("1e9", now) == LONGEST_WAIT


def probe(seed: int, noise: float = 0.0) -> Probe:
    vectors = np.random.default_rng(seed).normal(size=(9, 256))
    vectors += noise * np.random.default_rng(99).normal(size=(9, 256))
    return Probe.of(vectors.astype(np.float32))


def test_same_model_is_known_by_its_embeddings() -> None:
    assert probe(1).same(probe(1, 0.05))
    assert not probe(1).same(probe(1, 0.5))
    assert not probe(1).same(probe(2))
    with pytest.raises(UnusableAnswer):
        Probe.of(np.ones((9, 4), np.float32))


def test_identity_outlives_other_roundings(tmp_path: Path) -> None:
    """With notes, a model is the same though its server rounds in another way; without, it need not be."""
    folder = tmp_path / "notes"
    first = identity(folder, "m", probe(1))
    assert identity(folder, "m", probe(1, 0.02)) == first
    assert identity(None, "m", probe(1)) == first != identity(None, "m", probe(1, 0.02))
    second = identity(folder, "m", probe(2))
    assert second != first
    assert identity(folder, "m", probe(1, 0.02)) == first
    assert identity(folder, "other", probe(1, 0.02)) == identity(None, "", probe(1, 0.02))


def test_notes_that_are_damaged(tmp_path: Path) -> None:
    first = identity(tmp_path, "m", probe(1))
    (note,) = tmp_path.iterdir()
    whole = note.read_bytes()
    for content in (b"", whole[:50], whole[:-8], b"x" * 100):
        note.write_bytes(content)
        assert identity(tmp_path, "m", probe(1)) == first
        assert note.read_bytes() == whole
    assert [path.name for path in tmp_path.iterdir()] == [note.name]
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    assert identity(blocked, "m", probe(1)) == first


def test_notes_do_not_grow_for_ever(tmp_path: Path) -> None:
    for seed in range(30):
        identity(tmp_path, "m", probe(seed))
    assert len(list(tmp_path.iterdir())) <= 16


def test_aiohttp_is_imported_on_use() -> None:
    """The core works without it as long as no server is used."""
    script = "import sys; import embedding.remote; sys.exit('aiohttp' in sys.modules)"
    core = Path(__file__).parents[3] / "custom_components" / "coral_imprint" / "core"
    subprocess.run([sys.executable, "-c", script], check=True, cwd=core)


def test_one_zero_vector_among_good_ones() -> None:
    values = np.array([[1, 2], [0, 0]], np.float32)
    with pytest.raises(UnusableAnswer, match="zero"):
        contract().decode(encode_response(InferResponse("m", {"out": values})), 2)
