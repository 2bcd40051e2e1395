"""The models that a server offers: what lies in its folders, opened on the devices that can execute it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
import faulthandler
from functools import partial
import hashlib
import logging
from pathlib import Path
import re
from typing import Any, Final

from ..errors import EmbeddingError, ModelError, RuntimeUnavailable
from ..network.graph import read_graph
from ..network.model import Tensor
from ..published.catalogue import LARGEST_MODEL, by_content
from ..runtimes.choice import choose_runtime
from ..runtimes.runtime import Runtime, RuntimeChoice
from ..runtimes.selftest import check
from .delegate import OPERATOR, EdgeTPURuntime
from .worker import Worker

_LOGGER = logging.getLogger(__name__)

CPU: Final = "cpu"
DEVICES: Final = re.compile(r"cpu|(edgetpu|usb|pci)(:\d{1,2})?")
"""What a device may be called; ``edgetpu`` is the first Edge TPU of either kind."""

OPENING_SECONDS: Final = 60
"""A model that takes longer to open on an Edge TPU ends the process: the device hangs."""

COMPILED_SUFFIX: Final = "_edgetpu"

INPUT: Final = "input"
OUTPUT: Final = "embedding"

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
"""What can be in an address as it is."""

_DATATYPES: Final[Mapping[str, str]] = {"uint8": "UINT8", "int8": "INT8", "float32": "FP32"}


@dataclass(frozen=True)
class ModelFile:
    """A TFLite file, read."""

    name: str
    """The catalogue's key where its content is known there, else the file's name; ends in ``_edgetpu`` where it is compiled."""
    data: bytes = field(repr=False)
    sha256: str
    compiled: bool
    """Whether it is for the Edge TPU."""
    extractor: str | None
    """Its key in the catalogue."""
    picture: Tensor
    """The graph's own input."""

    @property
    def version(self) -> str:
        """Tell this content from any other of the same name."""
        return self.sha256[:16]


@dataclass(frozen=True)
class ModelOnDevice:
    """A model on a device."""

    worker: Worker
    runtime: Runtime


@dataclass(frozen=True)
class Served:
    """A model that is ready."""

    file: ModelFile
    places: tuple[ModelOnDevice, ...]
    """At least one."""
    max_batch: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of its pictures."""
        return self.places[0].runtime.input_size

    def place(self) -> ModelOnDevice:
        """Return where a request waits the shortest."""
        return min(self.places, key=lambda place: place.worker.pending)

    def metadata(self) -> dict[str, Any]:
        """Return what the protocol says of a model."""
        runtime, picture = self.places[0].runtime, self.file.picture
        width, height = self.size
        own: dict[str, Any] = {
            "layout": "NHWC",
            "colour": "RGB",
            "graph_name": picture.name,
            "graph_datatype": _DATATYPES[picture.dtype.name],
        }
        if picture.quantisation is not None:
            own["scale"] = float(picture.quantisation.scale[0])
            own["zero_point"] = int(picture.quantisation.zero_point[0])
        return {
            "name": self.file.name,
            "versions": [self.file.version],
            "platform": "tensorflow_lite",
            "inputs": [{"name": INPUT, "datatype": "UINT8", "shape": [-1, height, width, 3], "parameters": own}],
            "outputs": [
                {"name": OUTPUT, "datatype": "FP32", "shape": [-1, runtime.length], "parameters": {"normalised": True}}
            ],
            "parameters": {
                "max_batch_size": self.max_batch,
                "sha256": self.file.sha256,
                "runtime": runtime.family,
                "devices": ",".join(place.worker.device for place in self.places),
                **({"extractor": self.file.extractor} if self.file.extractor else {}),
            },
        }


def read_models(paths: Iterable[Path]) -> list[ModelFile]:
    """Read files, and the ``*.tflite`` of folders. Blocking.

    What can't be read or used is passed over with a warning; so is the second file of a name, unless it is the same. Raises
    ModelError where a path is neither a file nor a folder.
    """
    found: dict[str, ModelFile] = {}
    for path in paths:
        if not path.exists():
            raise ModelError(f"{path} is neither a file nor a folder", model=path.name)
        for file in sorted(path.glob("*.tflite")) if path.is_dir() else (path,):
            try:
                model = read_model_file(file)
            except ModelError as error:
                _LOGGER.warning("%s is not offered: %s", file.name, error)
                continue
            other = found.setdefault(model.name, model)
            if other.sha256 != model.sha256:
                _LOGGER.warning("%s is not offered: there is another model called %s", file, model.name)
    return list(found.values())


def read_model_file(path: Path) -> ModelFile:
    """Read a TFLite file. Raises `ModelError`'s kinds. Blocking."""
    try:
        if path.stat().st_size > LARGEST_MODEL:
            raise ModelError(f"it is larger than {LARGEST_MODEL >> 20} MiB", model=path.name)
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(error.strerror or str(error), model=path.name) from error
    graph = read_graph(data)
    sha256 = hashlib.sha256(data).hexdigest()
    compiled = any(operator.kind == OPERATOR for operator in graph.operators)
    known = by_content(sha256)
    name = known.key if known else path.stem.removesuffix(COMPILED_SUFFIX)
    if not _NAME.fullmatch(name):
        raise ModelError("its name has other characters than letters, digits, “.”, “_” and “-”", model=path.name)
    return ModelFile(
        name + (COMPILED_SUFFIX if compiled else ""),
        data,
        sha256,
        compiled,
        known.key if known else None,
        graph.tensors[graph.input],
    )


def open_model(file: ModelFile, device: str, runtime: RuntimeChoice, threads: int) -> Runtime:
    """Open a model on a device and test it. Blocking; to be called in the device's thread.

    Raises `ModelError`'s kinds, RuntimeUnavailable and SelfTestFailed.
    """
    if device == CPU:
        return choose_runtime(file.data, runtime, threads, strict=runtime != "auto")[0]
    # libedgetpu may hang while it holds Python's lock: nothing of Python could end this process then.
    faulthandler.dump_traceback_later(OPENING_SECONDS, exit=True)
    try:
        opened = EdgeTPURuntime(file.data, device)
        check(opened, file.sha256)
    finally:
        faulthandler.cancel_dump_traceback_later()
    return opened


def fits(file: ModelFile, device: str) -> bool:
    """Whether a device can execute a file."""
    return file.compiled == (device != CPU)


async def open_models(
    files: Sequence[ModelFile], workers: Sequence[Worker], runtime: RuntimeChoice, threads: int, most_pictures: int
) -> dict[str, Served]:
    """Open models on all devices that can execute them, each in its device's thread; by name.

    What a device refuses is passed over with a warning. Raises RuntimeUnavailable where nothing is left.
    """
    served: dict[str, Served] = {}
    problems: list[str] = []
    for file in files:
        places: list[ModelOnDevice] = []
        for worker in workers:
            if not fits(file, worker.device):
                continue
            try:
                opened = await worker.call(partial(open_model, file, worker.device, runtime, threads))
            except EmbeddingError as error:
                _LOGGER.warning("%s is not offered on %s: %s", file.name, worker.device, error)
                problems.append(f"{file.name} on {worker.device}: {error}")
                continue
            _LOGGER.info("%s is ready on %s by %s", file.name, worker.device, opened.family)
            places.append(ModelOnDevice(worker, opened))
        if places:
            served[file.name] = Served(
                file, tuple(places), min(most_pictures, *(place.worker.capacity for place in places))
            )
    if not served:
        raise RuntimeUnavailable("There is no model to offer: " + ("; ".join(problems) or "no file fits the devices"))
    return served
