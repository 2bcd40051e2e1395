"""The stand-in for libedgetpu, in a real interpreter: what it claims, computes and how it fails."""

from contextlib import nullcontext
import ctypes
import os
from pathlib import Path
import signal
import subprocess
import sys
import time

import numpy as np
from numpy.typing import NDArray
import pytest

from embedding.network.model import read_model
from embedding.runtimes.litert import LiteRTRuntime
from tests.embedding.graphs import classifier
from tests.standin.edgetpu import COMPILER, StandIn, compiled, twin

ROOT = Path(__file__).parents[3]
SHARED = ROOT.parent / "shared" / "models"
REAL = SHARED / "mobilenet_v1_1.0_224_quant_embedding_extractor_edgetpu.tflite"

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs a C compiler (Debian: gcc, libc6-dev)")

PROGRAM = """
import sys
import numpy as np
from ai_edge_litert.interpreter import Interpreter, load_delegate
file, device, count = sys.argv[1:]
try:
    delegate = load_delegate("libedgetpu.so.1", {"device": device})
except (OSError, ValueError) as error:
    sys.exit(f"{type(error).__name__}: {error}")
interpreter = Interpreter(model_path=file, experimental_delegates=[delegate])
interpreter.allocate_tensors()
given, result = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
for number in range(int(count)):
    pixels = np.random.default_rng(number).integers(0, 256, given["shape"], np.uint8)
    interpreter.set_tensor(given["index"], pixels)
    try:
        interpreter.invoke()
    except RuntimeError as error:
        sys.exit(f"RuntimeError: {error}")
    print(interpreter.get_tensor(result["index"]).tobytes().hex(), flush=True)
"""


@pytest.fixture
def standin(tmp_path: Path) -> StandIn:
    return StandIn(tmp_path)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Return a small extractor, as if compiled."""
    path = tmp_path / "small_edgetpu.tflite"
    path.write_bytes(compiled(read_model(classifier()[0])))
    return path


def start(standin: StandIn, model: Path, count: int = 1, device: str = "usb:0") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(model), device, str(count)],
        env=os.environ | standin.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(standin: StandIn, model: Path, count: int = 1, device: str = "usb:0") -> tuple[int, list[bytes], str]:
    """Return the exit status, the outputs and what was said."""
    with start(standin, model, count, device) as process:
        out, said = process.communicate(timeout=60)
        return process.returncode, [bytes.fromhex(line) for line in out.split()], said


def drawn(number: int, height: int, width: int) -> NDArray[np.uint8]:
    """Return the picture that PROGRAM embeds."""
    return np.random.default_rng(number).integers(0, 256, (height, width, 3), np.uint8)


def test_computes_by_itself(standin: StandIn, model: Path) -> None:
    """Without a twin, the means of equal shares of the picture, which another picture has not."""
    status, outputs, said = run(standin, model, 2)
    assert status == 0, said
    for number, output in enumerate(outputs):
        shares = drawn(number, 8, 6).reshape(4, -1).astype(int).sum(axis=1) // 36
        assert list(output) == list(shares)
    assert outputs[0] != outputs[1]


def test_computes_what_the_twin_computes(standin: StandIn, model: Path) -> None:
    """With a twin, the very bytes that LiteRT computes on the CPU."""
    data, _ = classifier()
    extractor = read_model(data)
    runtime = LiteRTRuntime(extractor)
    scale = extractor.tensors[extractor.output].quantisation
    assert scale is not None
    with twin(standin, data):
        status, outputs, said = run(standin, model, 3)
    assert status == 0, said
    for number, output in enumerate(outputs):
        codes = np.frombuffer(output, np.uint8).astype(np.float32)
        found = (codes - np.float32(scale.zero_point[0])) * scale.scale[0]
        np.testing.assert_array_equal(found, runtime.embed(drawn(number, 8, 6)))


@pytest.mark.skipif(not REAL.is_file(), reason="needs the models in ../shared/models")
def test_claims_googles_compiled_model(standin: StandIn) -> None:
    """A file that the real compiler made: its operator is claimed, and its twin's embedding comes out."""
    data = (SHARED / REAL.name.replace("_edgetpu", "")).read_bytes()
    runtime = LiteRTRuntime(read_model(data))
    with twin(standin, data):
        status, (output,), said = run(standin, REAL)
    assert status == 0, said
    codes = np.frombuffer(output, np.uint8).astype(np.float64)
    expected = runtime.embed(drawn(0, 224, 224))
    assert codes @ expected / np.linalg.norm(codes) / np.linalg.norm(expected) > 1 - 1e-6


@pytest.mark.parametrize("device", ["usb:1", "pci:7"])
def test_absent_device(standin: StandIn, model: Path, device: str) -> None:
    """As with the real one, the reason is empty."""
    status, _, said = run(standin, model, device=device)
    assert status == 1
    assert said.strip() == "ValueError: Failed to load delegate from libedgetpu.so.1"


@pytest.mark.parametrize("how", ["absent", "refuse", "held"])
def test_no_device(standin: StandIn, model: Path, how: str) -> None:
    """No device, and one that another process has, look the same."""
    if how == "absent":
        standin.attach(0)
    elif how == "refuse":
        standin.set("refuse")
    with standin.held() if how == "held" else nullcontext():
        assert "ValueError: Failed to load delegate" in run(standin, model)[2]
    standin.attach(1)
    standin.clear("refuse")
    assert run(standin, model)[0] == 0


@pytest.mark.parametrize("how", ["missing", "damaged"])
def test_library_that_does_not_load(standin: StandIn, model: Path, how: str) -> None:
    """No library, and a file that is none."""
    standin.library.unlink()
    if how == "damaged":
        standin.library.write_text("not a library")
    status, _, said = run(standin, model)
    assert status == 1
    assert "\nOSError: " in f"\n{said}"


def test_library_that_ends_the_process(standin: StandIn, model: Path) -> None:
    """An old libedgetpu beside a new interpreter."""
    standin.set("load")
    assert run(standin, model)[0] == -signal.SIGABRT


def test_abort_in_an_inference(standin: StandIn, model: Path) -> None:
    """One file, one abort."""
    standin.set("abort")
    status, outputs, said = run(standin, model, 3)
    assert (status, outputs) == (-signal.SIGABRT, [])
    assert "USB transfer error" in said
    assert not standin.pending("abort")
    assert run(standin, model)[0] == 0


def test_device_that_vanishes(standin: StandIn, model: Path) -> None:
    """An error in the middle, with the process alive to tell it."""
    with start(standin, model, 100_000) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        standin.attach(0)
        process.stdout.read()
        assert "The device is gone" in process.stderr.read()
        assert process.wait() == 1


@pytest.mark.parametrize("fault", ["hang", "stall"])
def test_hang(standin: StandIn, model: Path, fault: str) -> None:
    """An inference, or the opening of the device, takes as long as it is told to."""
    standin.set(fault)
    with start(standin, model) as process:
        time.sleep(1)
        assert process.poll() is None
        standin.clear(fault)
        assert process.wait(30) == 0


def test_one_process_at_a_time(standin: StandIn, model: Path) -> None:
    """Who has the device keeps it to its end, and no longer."""
    with start(standin, model, 100_000) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert "ValueError: Failed to load delegate" in run(standin, model)[2]
        process.kill()
    assert run(standin, model)[0] == 0


class _Device(ctypes.Structure):
    _fields_ = (("type", ctypes.c_int), ("path", ctypes.c_char_p))


def test_lists_devices(standin: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """As programs do that ask libedgetpu."""
    monkeypatch.setenv("STANDIN_EDGETPU", str(standin.faults))
    library = ctypes.CDLL(str(standin.library))
    # The library reads the C environment, which Python's own follows.
    library.edgetpu_list_devices.restype = ctypes.POINTER(_Device)
    library.edgetpu_version.restype = ctypes.c_char_p
    count = ctypes.c_size_t()
    for devices in (0, 1, 3):
        standin.attach(devices)
        found = library.edgetpu_list_devices(ctypes.byref(count))
        assert [(found[i].type, found[i].path) for i in range(count.value)] == [
            (1, f"/sys/bus/usb/devices/2-{i + 1}".encode()) for i in range(devices)
        ]
        library.edgetpu_free_devices(found)
    assert b"no Edge TPU" in library.edgetpu_version()
