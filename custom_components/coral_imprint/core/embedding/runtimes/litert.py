"""The LiteRT runtime: TFLite's own interpreter, where it is installed."""

import importlib
from importlib import invalidate_caches, metadata
from importlib.util import find_spec
import os
import platform
import sys
import sysconfig
import threading
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..errors import EmbeddingError, RuntimeUnavailable, UnsupportedModel
from ..network.model import Model, Tensor
from .pixels import check_pixels, picture_range
from .rewrite import cut_model

REQUIREMENT: Final = "ai-edge-litert==2.3.0"
"""What to install where `installable`."""

_PACKAGES: Final = ("ai_edge_litert", "tflite_runtime")
"""Google's interpreter under its present and its former name."""

_PYTHONS: Final = ((3, 10), (3, 14))
"""The first and the last CPython that REQUIREMENT has wheels for."""
_LEAST_GLIBC: Final = (2, 27)
_LEAST_MACOS: Final = 12


def available() -> bool:
    """Whether an interpreter is installed, be it since this process started. Nothing is imported."""
    return _installed() is not None


def _installed() -> str | None:
    """Return the package that would be imported."""
    # Python remembers what its folders held when it last looked.
    invalidate_caches()
    return next((package for package in _PACKAGES if find_spec(package) is not None), None)


def version() -> str | None:
    """Return the installed package and its version, such as ``ai-edge-litert 2.3.0``; None where there is none."""
    package = _installed()
    return _version_of(package) if package else None


def _version_of(package: str) -> str:
    name = package.replace("_", "-")
    try:
        return f"{name} {metadata.version(name)}"
    except metadata.PackageNotFoundError:
        # Copied to its place rather than installed.
        return name


def installable() -> bool:
    """Whether REQUIREMENT has a wheel for this machine: glibc on x86_64 or aarch64, macOS on arm64, Windows on x86_64.

    There is none for musl (Home Assistant's own images), for 32-bit systems, nor for a Python without the GIL.
    """
    first, last = _PYTHONS
    if not (platform.python_implementation() == "CPython" and first <= sys.version_info[:2] <= last):
        return False
    if sysconfig.get_config_var("Py_GIL_DISABLED") or sys.maxsize < 1 << 32:
        return False
    system, machine = platform.system(), platform.machine().lower()
    if system == "Linux":
        return machine in ("x86_64", "aarch64") and _glibc() >= _LEAST_GLIBC
    if system == "Darwin":
        return machine == "arm64" and int(platform.mac_ver()[0].partition(".")[0] or 0) >= _LEAST_MACOS
    return system == "Windows" and machine == "amd64"


def _glibc() -> tuple[int, ...]:
    """Return the version of the glibc that this Python runs on; () where it runs on another libc, such as musl.

    The libc is asked itself: a musl system may hold a glibc too (for programs other than this Python), and the other way round.
    """
    try:
        name, _, number = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except (AttributeError, OSError, ValueError):
        # The name is known to Pythons that were built with glibc only.
        return ()
    parts = number.split(".")
    return tuple(map(int, parts)) if name == "glibc" and all(part.isdecimal() for part in parts) else ()


def interpreter_class() -> Any:
    """Import the interpreter; raises RuntimeUnavailable."""
    invalidate_caches()
    problems = []
    for package in _PACKAGES:
        try:
            return importlib.import_module(f"{package}.interpreter").Interpreter
        except (ImportError, OSError, AttributeError) as error:
            # A wheel for another libc or Python fails in more ways than not being there.
            problems.append(f"{package}: {error}")
    raise RuntimeUnavailable(f"LiteRT can't be imported ({'; '.join(problems)})")


class LiteRTRuntime:
    """Executes a model by LiteRT up to its embedding."""

    family = "litert"

    def __init__(self, model: Model, threads: int = 1) -> None:
        """Load a model, with ``threads`` threads.

        Raises RuntimeUnavailable where LiteRT can't be imported, UnsupportedModel where it refuses the model.
        """
        interpreter = interpreter_class()
        self.input_size = model.input_size
        self.length = model.length
        self.version = _version_of(interpreter.__module__.partition(".")[0])
        self._model = model
        self._lock = threading.Lock()
        try:
            self._interpreter: Any = interpreter(model_content=cut_model(model), num_threads=threads)
            self._interpreter.allocate_tensors()
            self._input = self._interpreter.get_input_details()[0]["index"]
            self._output = self._interpreter.get_output_details()[0]["index"]
        except (ValueError, RuntimeError) as error:
            raise UnsupportedModel(f"LiteRT refuses the model: {error}") from error

    def embed(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the embedding of a picture (height, width, 3), not normalised, as a new array of shape (length,)."""
        check_pixels(pixels, self.input_size)
        with self._lock:
            if self._interpreter is None:
                raise EmbeddingError("The runtime was closed")
            try:
                self._interpreter.set_tensor(self._input, self._picture(pixels)[np.newaxis])
                self._interpreter.invoke()
                result = self._interpreter.get_tensor(self._output)
            except (ValueError, RuntimeError) as error:
                raise EmbeddingError(f"LiteRT failed: {error}") from error
        embedding = dequantised(result, self._model.tensors[self._model.output]).reshape(-1)
        if not np.isfinite(embedding).all():
            raise EmbeddingError("The network's output holds values that are no numbers")
        return embedding

    def _picture(self, pixels: NDArray[np.uint8]) -> NDArray[Any]:
        """Return pixels as the model's input takes them."""
        dtype = self._model.tensors[self._model.input].dtype
        if dtype.kind == "f":
            low, high = picture_range(self._model)
            return pixels * np.float32((high - low) / 255) + np.float32(low)
        if dtype.kind == "i":
            return (pixels ^ np.uint8(128)).view(np.int8)
        return pixels

    def close(self) -> None:
        """Give the interpreter back."""
        with self._lock:
            self._interpreter = None


def dequantised(values: NDArray[Any], tensor: Tensor) -> NDArray[np.float32]:
    """Return what codes of a tensor mean, in a new array."""
    real = values.astype(np.float32)
    if tensor.quantisation is not None and tensor.dtype.kind in "iu":
        real -= np.float32(tensor.quantisation.zero_point[0])
        real *= tensor.quantisation.scale[0]
    return real
