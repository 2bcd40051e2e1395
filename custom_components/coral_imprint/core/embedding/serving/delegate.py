"""Networks compiled for the Edge TPU, executed there through libedgetpu's TFLite delegate.

libedgetpu ends the process that loads it when the device fails: this is for processes that may die of it.
"""

import importlib
import threading
import time
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..devices import LIBRARY
from ..errors import EmbeddingError, RuntimeUnavailable, UnsupportedModel
from ..network.graph import Graph, only_vector, read_graph
from ..runtimes.litert import dequantised
from ..runtimes.pixels import check_pixels

OPERATOR: Final = "CUSTOM edgetpu-custom-op"

_PACKAGES: Final = ("tflite_runtime", "ai_edge_litert")
"""The former name first: where both are, it is the one that was built for the libedgetpu that is there (pycoral's)."""

_SECOND_TRY_AFTER: Final = 3.0
"""Seconds. The first use of a USB device makes it appear anew, under another id."""


def libedgetpu_device(device: str) -> str:
    """Return what libedgetpu calls a device: ``edgetpu`` is any, ``edgetpu:1`` the second of all, ``usb:0`` itself."""
    return device.removeprefix("edgetpu")


class EdgeTPURuntime:
    """Executes a compiled network on an Edge TPU."""

    family = "edgetpu"

    def __init__(self, data: bytes, device: str) -> None:
        """Load a compiled TFLite file onto a device: ``edgetpu``, ``edgetpu:N``, ``usb``, ``usb:N``, ``pci``, ``pci:N``.

        Raises UnsupportedModel for files that turn no picture into a vector, RuntimeUnavailable where the interpreter, libedgetpu
        or the device is missing.
        """
        graph = read_graph(data)
        self._check(graph)
        self.input_size = (graph.tensors[graph.input].shape[2], graph.tensors[graph.input].shape[1])
        self.length = only_vector(graph.tensors, graph.output)
        self._signed = graph.tensors[graph.input].dtype.kind == "i"
        self._target = graph.tensors[graph.output]
        self._lock = threading.Lock()
        interpreter, load = _interpreter()
        self._delegate = _load_delegate(load, device)
        try:
            self._interpreter: Any = interpreter(model_content=data, experimental_delegates=[self._delegate])
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise RuntimeUnavailable(f"The Edge TPU refuses the model: {error}") from error
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._output = self._interpreter.get_output_details()[0]["index"]

    @staticmethod
    def _check(graph: Graph) -> None:
        if not any(operator.kind == OPERATOR for operator in graph.operators):
            raise UnsupportedModel("The file was not compiled for the Edge TPU")
        if graph.tensors[graph.input].dtype.kind not in "iu":
            raise UnsupportedModel("The model takes floats, which an Edge TPU can't")
        if any(operator.kind == "SOFTMAX" for operator in graph.operators):
            raise UnsupportedModel("The model is a classifier, which can't be cut once it is compiled")

    def embed(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the embedding of a picture (height, width, 3), not normalised, as a new array of shape (length,)."""
        check_pixels(pixels, self.input_size)
        picture = (pixels ^ np.uint8(128)).view(np.int8) if self._signed else pixels
        with self._lock:
            if self._interpreter is None:
                raise EmbeddingError("The runtime was closed")
            try:
                self._interpreter.set_tensor(self._input, picture[np.newaxis])
                self._interpreter.invoke()
                result = self._interpreter.get_tensor(self._output)
            except (ValueError, RuntimeError) as error:
                raise EmbeddingError(f"The Edge TPU failed: {error}") from error
        embedding = dequantised(result, self._target).reshape(-1)
        if not np.isfinite(embedding).all():
            raise EmbeddingError("The network's output holds values that are no numbers")
        return embedding

    def close(self) -> None:
        """Give the interpreter and the device back."""
        with self._lock:
            # The interpreter uses the delegate up to its own end.
            self._interpreter = None
            self._delegate = None


def _interpreter() -> tuple[Any, Any]:
    """Return TFLite's interpreter and its loader of delegates; raises RuntimeUnavailable."""
    problems = []
    for package in _PACKAGES:
        try:
            module = importlib.import_module(f"{package}.interpreter")
        except (ImportError, OSError) as error:
            problems.append(f"{package}: {error}")
        else:
            return module.Interpreter, module.load_delegate
    raise RuntimeUnavailable(f"LiteRT can't be imported ({'; '.join(problems)})")


def _load_delegate(load: Any, device: str) -> Any:
    """Load libedgetpu for a device, trying twice; raises RuntimeUnavailable."""
    try:
        return _load_once(load, device)
    except ValueError:
        time.sleep(_SECOND_TRY_AFTER)
    try:
        return _load_once(load, device)
    except ValueError as error:
        raise RuntimeUnavailable(
            f"The Edge TPU {device} can't be opened: it is missing, in use by another program, or not allowed ({error})"
        ) from error


def _load_once(load: Any, device: str) -> Any:
    """Load libedgetpu; raises RuntimeUnavailable where that is impossible, ValueError where the device is missing or busy."""
    try:
        return load(LIBRARY, {"device": libedgetpu_device(device)})
    except (OSError, AttributeError) as error:
        raise RuntimeUnavailable(f"libedgetpu can't be loaded: {error}") from error
