"""The server's own process: what it answers, who is let in, how it begins and ends."""

import itertools
import json
import os
from pathlib import Path
import signal
import socket
import stat
import subprocess
import threading
import time
from typing import Any

import numpy as np
import pytest

from embedding.network.model import read_model
from embedding.pictures import layout
from embedding.runtimes.litert import LiteRTRuntime
from embedding.runtimes.portable import PortableRuntime
from embedding.serving.worker import unit
from tests.embedding.graphs import pixels

from .client import CORE, ROOT, Answer, Server, ask, command, environment, infer_message, run, running
from .conftest import HEIGHT, KINDS, WIDTH

MODELS = ROOT.parent / "shared" / "models"
PICTURES = np.stack([pixels(number, HEIGHT, WIDTH) for number in range(5)])


def expected(file: Path, pictures: Any, runtime: Any = LiteRTRuntime) -> Any:
    """Return what the runtime in this process makes of pictures."""
    opened = runtime(read_model(file.read_bytes()))
    return np.stack([unit(opened.embed(picture)) for picture in pictures])


def test_health_and_metadata(server: Server) -> None:
    """A client learns all that it has to know from the protocol's own addresses."""
    assert ask(server.address, "/v2/health/live").json == {"live": True}
    assert ask(server.address, "/v2/health/ready").json == {"ready": True}
    about = ask(server.address, "/v2").json
    assert about["name"] == "coral-imprint"
    assert "binary_tensor_data" in about["extensions"]
    model = ask(server.address, "/v2/models/net_uint8").json
    assert model["platform"] == "tensorflow_lite"
    (taken,), (given,) = model["inputs"], model["outputs"]
    assert (taken["name"], taken["datatype"], taken["shape"]) == ("input", "UINT8", [-1, HEIGHT, WIDTH, 3])
    assert (given["name"], given["datatype"], given["shape"]) == ("embedding", "FP32", [-1, 16])
    assert taken["parameters"]["scale"] == pytest.approx(1 / 64)
    assert taken["parameters"]["zero_point"] == 128
    assert model["parameters"]["runtime"] == "litert"
    (version,) = model["versions"]
    assert ask(server.address, f"/v2/models/net_uint8/versions/{version}").json == model
    assert ask(server.address, f"/v2/models/net_uint8/versions/{version}/ready").json["ready"] is True
    assert ask(server.address, "/v2/models/net_float32").json["inputs"][0]["parameters"]["graph_datatype"] == "FP32"


def test_models_are_listed(server: Server) -> None:
    """The index holds what lies in the folder, but for what is no model."""
    listed = ask(server.address, "/v2/repository/index", b"").json
    assert [model["name"] for model in listed] == ["net_float32", "net_int8", "net_uint8"]
    assert {model["state"] for model in listed} == {"READY"}


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_embeddings_are_the_runtimes_own(server: Server, models: Path, kind: str, binary: bool) -> None:
    """To the last bit, as bytes and as JSON, alone and in a batch."""
    wanted = expected(models / f"net_{kind}.tflite", PICTURES)
    path = f"/v2/models/net_{kind}/infer"
    batch = ask(server.address, path, infer_message(PICTURES, binary=binary, id="five"))
    assert batch.status == 200
    np.testing.assert_array_equal(batch.vectors, wanted)
    assert ("inference-header-content-length" in batch.headers) is binary
    single = ask(server.address, path, infer_message(PICTURES[2:3], binary=binary))
    np.testing.assert_array_equal(single.vectors, wanted[2:3])
    assert batch.vectors.dtype == np.float32


def test_joined_as_in_process(server: Server, models: Path) -> None:
    """What the layout is joined to is the same direction, whether it was brought to length 1 before or not."""
    vector = ask(server.address, "/v2/models/net_uint8/infer", infer_message(PICTURES[:1])).vectors[0]
    own = LiteRTRuntime(read_model((models / "net_uint8.tflite").read_bytes())).embed(PICTURES[0])
    drawn = layout.describe(pixels(3, 64, 64))
    np.testing.assert_allclose(layout.join(vector, drawn), layout.join(own, drawn), atol=1e-7)


def test_nested_json(server: Server, models: Path) -> None:
    """Data nested as the shape is what data in a row is; what is not known is passed over."""
    body = {
        "id": "ü",
        "parameters": {"made_up": 1},
        "later": [1],
        "inputs": [
            {"name": "input", "shape": [1, HEIGHT, WIDTH, 3], "datatype": "UINT8", "data": PICTURES[:1].tolist()}
        ],
        "outputs": [{"name": "embedding", "parameters": {"binary_data": False}}],
    }
    answer = ask(server.address, "/v2/models/net_uint8/infer", json.dumps(body).encode())
    assert answer.json["id"] == "ü"
    assert answer.json["model_name"] == "net_uint8"
    np.testing.assert_array_equal(answer.vectors, expected(models / "net_uint8.tflite", PICTURES[:1]))


def _changed(**changes: Any) -> bytes:
    row = {
        "name": "input",
        "shape": [1, HEIGHT, WIDTH, 3],
        "datatype": "UINT8",
        "data": PICTURES[0].reshape(-1).tolist(),
    }
    return json.dumps({"inputs": [row | changes]}).encode()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "JSON"),
        (b"no JSON", "JSON"),
        (b"[]", "no JSON object"),
        (b"[" * 100_000, "JSON"),
        (b'{"inputs": []}', "no inputs"),
        (b'{"inputs": [{}]}', "no name"),
        (_changed(name="picture"), "one input"),
        (_changed(datatype="INT16"), "UINT8"),
        (_changed(datatype="BYTES"), "datatype"),
        (_changed(shape=[HEIGHT, WIDTH, 3]), r"shape \[N"),
        (_changed(shape=[1, WIDTH, HEIGHT, 3]), r"shape \[N"),
        (_changed(shape=[0, HEIGHT, WIDTH, 3], data=[]), "1 to 64"),
        (_changed(shape=[-1, HEIGHT, WIDTH, 3]), "shape"),
        (_changed(shape=[1, HEIGHT, WIDTH, True]), "shape"),
        (_changed(data=[1, 2, 3]), "shape"),
        (_changed(data=[256] * HEIGHT * WIDTH * 3), "beyond"),
        (_changed(data=[0.5] * HEIGHT * WIDTH * 3), "uint8"),
        (_changed(data="none"), "no list"),
        (_changed(parameters=[]), "parameters"),
        (_changed(parameters={"binary_data_size": 12}), "bytes"),
    ],
    ids=itertools.count(),
)
def test_malformed_requests(server: Server, body: bytes, words: str) -> None:
    """What breaks the protocol is answered by 400 and what is wrong."""
    answer = ask(server.address, "/v2/models/net_uint8/infer", body)
    assert answer.status == 400
    assert words.replace("\\", "") in answer.error


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/v2/models/none", "GET", 404),
        ("/v2/models/net_uint8/versions/1", "GET", 404),
        ("/v2/models/none/infer", "POST", 404),
        ("/v2/models/net_uint8/infer", "GET", 405),
        ("/v2/models/net_uint8", "DELETE", 405),
        ("/", "GET", 404),
        ("/v2/models/../../etc/passwd", "GET", 404),
    ],
)
def test_what_is_not_here(server: Server, path: str, method: str, status: int) -> None:
    """Errors are JSON, whatever they are about."""
    answer = ask(server.address, path, b"{}" if method == "POST" else None, method)
    assert answer.status == status
    assert answer.error
    assert ("allow" in answer.headers) is (status == 405)


def test_what_bodies_may_be(server: Server) -> None:
    """Neither compressed, nor of unknown length, nor longer than allowed, nor other than their header says."""
    path, message = "/v2/models/net_uint8/infer", infer_message(PICTURES[:1])
    assert ask(server.address, path, message, Content_Encoding="gzip").status == 415
    assert ask(server.address, path, message, Content_Length="99999999999").status == 413
    assert ask(server.address, path, message, Inference_Header_Content_Length="-1").status == 400
    assert ask(server.address, path, message, Inference_Header_Content_Length="9999999").status == 400
    assert ask(server.address, path, message, Inference_Header_Content_Length="7").status == 400
    assert ask(server.address, path, message, Content_Length="10").status == 400


def test_deadline_must_be_a_number(server: Server) -> None:
    """The parameter timeout is a whole number of microseconds."""
    path = "/v2/models/net_uint8/infer"
    for timeout in (0, -1, "5", 1.5, True):
        assert ask(server.address, path, infer_message(PICTURES, parameters={"timeout": timeout})).status == 400
    assert ask(server.address, path, infer_message(PICTURES, parameters={"timeout": 60_000_000})).status == 200


def test_metrics(server: Server) -> None:
    """Requests are counted by model and status, in Prometheus' text."""
    path = "/v2/models/net_int8/infer"
    assert ask(server.address, path, infer_message(PICTURES)).status == 200
    assert ask(server.address, path, b"{").status == 400
    answer = ask(server.address, "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    rows = dict(line.rsplit(" ", 1) for line in answer.body.decode().splitlines() if not line.startswith("#"))
    assert int(rows['coral_imprint_requests_total{model="net_int8",status="200"}']) >= 1
    assert int(rows['coral_imprint_requests_total{model="net_int8",status="400"}']) >= 1
    assert int(rows['coral_imprint_inference_seconds_count{device="cpu"}']) >= 5
    buckets = [int(value) for name, value in rows.items() if name.startswith("coral_imprint_request_seconds_bucket")]
    assert buckets
    assert rows['coral_imprint_queue_pictures{device="cpu"}'] == "0"


def test_token(models: Path, tmp_path: Path) -> None:
    """Beyond health, nothing is said without the token; wrong ones are refused alike."""
    token = "abcdefghijklmnopqrstuvwxyz"
    (tmp_path / "token").write_text(f"{token}\n")
    options = ("--models", models / "net_uint8.tflite", "--host", "0.0.0.0", "--port", 0)
    refused = run(*options)
    assert refused.returncode == 2
    assert "--token-file" in refused.stderr
    with running(*options, "--token-file", tmp_path / "token") as server:
        address = server.address.replace("0.0.0.0", "127.0.0.1")
        assert ask(address, "/v2/health/live").status == 200
        for path in ("/v2", "/v2/models/net_uint8", "/v2/models/none", "/metrics"):
            assert ask(address, path, Authorization=f"Bearer {token}").status != 401
            for wrong in ("", f"Bearer {token[:-1]}", token, f"Basic {token}"):
                answer = ask(address, path, Authorization=wrong)
                assert answer.status == 401
                assert answer.headers["www-authenticate"] == "Bearer"
        assert ask(address, "/v2").status == 401
        infer = "/v2/models/net_uint8/infer"
        assert ask(address, infer, infer_message(PICTURES)).status == 401
        assert ask(address, infer, infer_message(PICTURES), Authorization=f"bearer {token}").status == 200


@pytest.mark.parametrize("token", ["", "short", "with spaces in between them all", "ünïcode-ünïcode-ünïcode"])
def test_useless_tokens(tmp_path: Path, token: str) -> None:
    """A token that protects nothing, or can't be sent, is refused at the start."""
    (tmp_path / "token").write_text(token, encoding="utf-8")
    ended = run("--models", tmp_path, "--token-file", tmp_path / "token")
    assert ended.returncode == 2
    assert "token" in ended.stderr


def test_unix_socket_is_private(models: Path, tmp_path: Path) -> None:
    """Only this user may open it; a dead server's socket is replaced, a living one's isn't, nor are other files."""
    path = tmp_path / "run" / "socket"
    options = ("--models", models / "net_uint8.tflite", "--unix", path)
    with running(*options) as server:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        second = run(*options)
        assert second.returncode == 1
        assert "Another server" in second.stderr
        assert ask(server.address, "/v2/health/live").status == 200
        server.process.kill()
        server.process.wait()
    assert path.exists()
    with running(*options) as server:
        server.process.terminate()
        assert server.process.wait(20) == 0
    assert not path.exists()
    path.write_text("not a socket")
    assert "is no socket" in run(*options).stderr
    assert path.read_text() == "not a socket"
    path.unlink()
    path.parent.chmod(0o777)
    assert "Others may write" in run(*options).stderr


def test_ends_with_its_parent(models: Path, tmp_path: Path) -> None:
    """Nothing is left when the parent's end of the pipe is closed, as the kernel does for a killed parent."""
    with running("--models", models, "--unix", tmp_path / "socket", "--parent-pipe") as server:
        assert server.process.stdin is not None
        server.process.stdin.close()
        assert server.process.wait(20) == 0
    assert not (tmp_path / "socket").exists()


def test_ends_when_the_parent_is_killed(models: Path, tmp_path: Path) -> None:
    """Kill −9 of the parent ends the server."""
    parent = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
        "child.stdout.readline(); print(child.pid, flush=True); time.sleep(600)\n"
    )
    line = command("--models", models, "--unix", tmp_path / "socket", "--parent-pipe", "--log-level", "error")
    with subprocess.Popen(
        [line[0], "-c", parent, *line], env=environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        process.wait()
    end = time.monotonic() + 20
    while Path(f"/proc/{child}/stat").exists() and Path(f"/proc/{child}/stat").read_text().split()[2] != "Z":
        assert time.monotonic() < end
        time.sleep(0.05)


def test_nothing_to_offer(tmp_path: Path) -> None:
    """Without a model that a device can execute, the server says why and ends."""
    assert run("--models", tmp_path / "none", "--unix", tmp_path / "socket").returncode == 1
    ended = run("--models", tmp_path, "--unix", tmp_path / "socket")
    assert ended.returncode == 1
    assert "no model to offer" in ended.stderr
    assert not (tmp_path / "socket").exists()
    assert run().returncode == 2
    assert run("--models", tmp_path, "--device", "gpu").returncode == 2


def test_devices_are_listed() -> None:
    """The CPU is always there, with what executes models on it."""
    ended = run("--list-devices")
    assert ended.returncode == 0
    report = json.loads(ended.stdout)
    assert report["devices"][0]["device"] == "cpu"
    assert report["devices"][0]["runtime"].startswith("ai-edge-litert")
    assert "libedgetpu" in report


def test_self_test(models: Path) -> None:
    """Every model is opened and tested; the status says whether all passed."""
    ended = run("--models", models, "--self-test")
    assert ended.returncode == 0
    report = json.loads(ended.stdout)
    assert {row["model"]: (row["ok"], row["runtime"]) for row in report} == {
        f"net_{kind}": (True, "litert") for kind in KINDS
    }
    assert run("--models", models, "--self-test", "--device", "usb").returncode == 1


def test_two_listeners_and_the_portable_runtime(models: Path, tmp_path: Path) -> None:
    """One server answers at a Unix socket and at a loopback port; the runtime is what was asked for."""
    file = models / "net_uint8.tflite"
    with running("--models", file, "--unix", tmp_path / "s", "--port", 0, "--runtime", "portable") as server:
        assert len(server.addresses) == 2
        for address in server.addresses:
            assert ask(address, "/v2/models/net_uint8").json["parameters"]["runtime"] == "portable"
            answer = ask(address, "/v2/models/net_uint8/infer", infer_message(PICTURES))
            np.testing.assert_array_equal(answer.vectors, expected(file, PICTURES, PortableRuntime))


def test_many_clients_at_once(server: Server, models: Path) -> None:
    """Everyone gets the embeddings of their own pictures."""
    drawn = [pixels(number, HEIGHT, WIDTH)[np.newaxis] for number in range(16)]
    wanted = expected(models / "net_int8.tflite", np.concatenate(drawn))
    answers: dict[int, list[Answer]] = {}

    def client(number: int) -> None:
        answers[number] = [
            ask(server.address, "/v2/models/net_int8/infer", infer_message(drawn[number])) for _ in range(10)
        ]

    threads = [threading.Thread(target=client, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, found in answers.items():
        for answer in found:
            np.testing.assert_array_equal(answer.vectors[0], wanted[number])


@pytest.mark.skipif(not MODELS.is_dir(), reason="needs the models in shared/models beside the checkout")
def test_published_extractors(tmp_path: Path) -> None:
    """Catalogue files are offered under their keys, and embed as in process; compiled ones are left out on a CPU."""
    with running("--models", MODELS, "--unix", tmp_path / "socket") as server:
        names = [model["name"] for model in ask(server.address, "/v2/repository/index", b"{}").json]
        assert "mobilenet_v1_1.0_224" in names
        assert not any(name.endswith("_edgetpu") for name in names)
        file = MODELS / "mobilenet_v1_1.0_224_quant_embedding_extractor.tflite"
        pictures = np.stack([pixels(number, 224, 224) for number in range(2)])
        for binary in (True, False):
            message = infer_message(pictures, binary=binary)
            answer = ask(server.address, "/v2/models/mobilenet_v1_1.0_224/infer", message)
            np.testing.assert_array_equal(answer.vectors, expected(file, pictures))


def test_started_without_home_assistant() -> None:
    """Nothing of Home Assistant is imported."""
    code = "import embedding.server, sys; print([name for name in sys.modules if 'homeassistant' in name])"
    ended = subprocess.run(
        [command()[0], "-c", code],
        env={**os.environ, "PYTHONPATH": str(CORE)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.strip() == "[]"


def test_garbage_on_the_socket(server: Server) -> None:
    """What is no HTTP is refused, and the server goes on."""
    for garbage in (
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"\0" * 10_000,
        b"GET / HTTP/9.9\r\n\r\n",
    ):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(20)
            client.connect(server.address)
            client.sendall(garbage)
            client.shutdown(socket.SHUT_WR)
            seen = client.recv(4096)
            assert not seen or b" 400 " in seen.split(b"\r\n")[0]
    assert ask(server.address, "/v2/health/live").status == 200
