"""The stand-in for libedgetpu: building it, telling it its faults, and the twin that computes for it."""

from collections.abc import Iterator
import contextlib
import fcntl
import os
from pathlib import Path
import shutil
import socket
import subprocess
import threading
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from embedding.network.model import Model, read_model
from embedding.runtimes.rewrite import cut_model
from tests.embedding.tflite_builder import GraphBuilder, Scale

SOURCE: Final = Path(__file__).with_name("libedgetpu.c")
LIBRARY: Final = "libedgetpu.so.1"
COMPILER: Final = next((found for name in ("cc", "gcc", "clang") if (found := shutil.which(name))), None)
_FLAGS: Final = ("-std=c11", "-Wall", "-Wextra", "-Werror", "-O2", "-shared", "-fPIC", "-fvisibility=hidden")
_CHUNK: Final = 1 << 16


def build(folder: Path) -> Path:
    """Compile the stand-in into a folder (made if need be); returns the library."""
    if COMPILER is None:
        raise RuntimeError("The stand-in for libedgetpu needs a C compiler (Debian: gcc, libc6-dev)")
    folder.mkdir(parents=True, exist_ok=True)
    library = folder / LIBRARY
    subprocess.run([COMPILER, *_FLAGS, f"-Wl,-soname,{LIBRARY}", "-o", str(library), str(SOURCE)], check=True)
    return library


class StandIn:
    """A built stand-in with a folder of faults; one device is attached."""

    def __init__(self, folder: Path) -> None:
        """Build it in ``folder``."""
        self.library = build(folder / "lib")
        self.faults = folder / "faults"
        self.faults.mkdir()
        self.attach()

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs so that it finds this library and its faults."""
        search = os.environ.get("LD_LIBRARY_PATH")
        paths = [str(self.library.parent), *([search] if search else [])]
        return {"STANDIN_EDGETPU": str(self.faults), "LD_LIBRARY_PATH": ":".join(paths)}

    def attach(self, devices: int = 1) -> None:
        """Plug devices in; 0 takes them away."""
        new = self.faults / "devices.new"
        new.write_text(str(devices))
        new.replace(self.faults / "devices")

    @contextlib.contextmanager
    def held(self, device: int = 0) -> Iterator[None]:
        """Have a device, as another program would; raises BlockingIOError where one has it."""
        with (self.faults / f"device-{device}").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield

    def set(self, fault: str) -> None:
        """Let one of the faults happen that are named in the source."""
        (self.faults / fault).touch()

    def clear(self, fault: str) -> None:
        """Let it happen no more."""
        (self.faults / fault).unlink(missing_ok=True)

    def pending(self, fault: str) -> bool:
        """Whether a fault is set and, for ``abort``, has not happened yet."""
        return (self.faults / fault).exists()


def compiled(model: Model) -> bytes:
    """Return a file that looks as if the Edge TPU compiler had made it from an extractor: one operator between its ends."""
    builder = GraphBuilder()
    ends = []
    for index in (model.input, model.output):
        tensor = model.tensors[index]
        held = tensor.quantisation
        scale = Scale([float(held.scale[0])], int(held.zero_point[0])) if held else None
        ends.append(builder.tensor(tensor.shape, tensor.dtype.name, scale))
    builder.operator("CUSTOM edgetpu-custom-op", [ends[0]], ends[1])
    return builder.build([ends[0]], [ends[1]])


class _Network:
    """A quantised network that takes and returns bytes."""

    def __init__(self, data: bytes) -> None:
        """Load an extractor's file."""
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter: Any = Interpreter(model_content=cut_model(read_model(data)), num_threads=1)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]
        self._output = self._interpreter.get_output_details()[0]["index"]
        self.input_bytes = int(np.prod(self._input["shape"]))

    def answer(self, picture: bytes) -> bytes:
        """Compute one output."""
        codes: NDArray[Any] = np.frombuffer(picture, self._input["dtype"]).reshape(self._input["shape"])
        self._interpreter.set_tensor(self._input["index"], codes)
        self._interpreter.invoke()
        result: NDArray[Any] = self._interpreter.get_tensor(self._output)
        return result.tobytes()


@contextlib.contextmanager
def twin(standin: StandIn, data: bytes) -> Iterator[None]:
    """Let the stand-in compute what LiteRT computes on the CPU from an extractor's file with 8-bit ends."""
    network = _Network(data)
    path = standin.faults / "twin"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        thread = threading.Thread(target=_serve, args=(listening, network), daemon=True)
        thread.start()
        try:
            yield
        finally:
            path.unlink()
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def _serve(listening: socket.socket, network: _Network) -> None:
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:
            return  # it was shut down
        with connection, contextlib.suppress(OSError):
            # An error: the asking process was aborted.
            picture = _received(connection)
            if len(picture) == network.input_bytes:
                connection.sendall(network.answer(picture))


def _received(connection: socket.socket) -> bytes:
    """Return all that is sent until the other side ends it."""
    return b"".join(iter(lambda: connection.recv(_CHUNK), b""))
