"""Picture → unit vector by an Edge TPU of this machine, in a process of its own; by its twin on the CPU while it is gone."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
import logging
from pathlib import Path
import sys
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..errors import EmbeddingError, ModelError, RuntimeUnavailable, UnsupportedModel
from ..network.graph import only_vector, read_graph
from ..out_of_process import OutOfProcessEmbedder
from ..preparation import file_identity
from ..published.catalogue import Extractor
from ..runtimes.choice import choose_runtime
from ..runtimes.runtime import Runtime, RuntimeChoice
from ..serving.models import ModelFile, read_model_file
from .client import ChildClient
from .fallback import Fallback, InThread
from .supervisor import Child, Command, Patience, Status
from .twins import Likeness, Pair, compare

_LOGGER = logging.getLogger(__name__)

FAMILY: Final = "edgetpu"
"""The runtime's family in fingerprints."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EdgeTPUOptions:
    """How the device's process is run."""

    device: str = "edgetpu"
    """``edgetpu`` is any; ``usb``, ``usb:N``, ``pci``, ``pci:N``."""
    python: str = sys.executable
    """The interpreter of the server, which may be one with pycoral's packages."""
    environment: dict[str, str] | None = None
    """Added to the server's."""
    patience: Patience | None = None
    runtime: RuntimeChoice = "auto"
    """The twin's."""
    threads: int = 1
    """What the twin may use."""
    notes: Path | None = None
    """A folder for what the twins have in common, so that the twin can answer after a restart without the device."""


@dataclass(frozen=True, slots=True)
class _Network:
    """What is known of the compiled file."""

    file: ModelFile
    size: tuple[int, int]
    length: int


class EdgeTPUEmbedder(OutOfProcessEmbedder):
    """Turns pictures into unit vectors by the device, or by its twin; the twin's fingerprint is the device's.

    RuntimeUnavailable is raised where neither the device nor a twin that may stand in for it answers.
    """

    runtime = FAMILY

    def __init__(self, network: _Network, child: Child, fallback: Fallback, worker: ThreadPoolExecutor) -> None:
        """Take what is running. The extractor is the beginning of the SHA-256 of its compiled file."""
        super().__init__(network.file.sha256[:16], network.size, network.length, worker)
        self.by_twin = 0
        """Regions of pictures that the CPU embedded."""
        self._child = child
        self._fallback = fallback

    @property
    def connected(self) -> bool:
        """Whether the device answers."""
        return self._fallback.connected

    def likely(self, extractors: Iterable[Extractor]) -> list[Extractor]:
        """Return the published extractor whose compiled file this is."""
        return [one for one in extractors if one.edgetpu and (one.edgetpu.sha256 or "").startswith(self.extractor)]

    def is_model(self, data: bytes, *, proofs: Path) -> bool:
        """Return whether a compiled file is the one that was opened."""
        return file_identity(data) == self.extractor

    def diagnostics(self) -> dict[str, Any]:
        """Return how the device, its process and its twin are."""
        return {
            "connected": self.connected,
            "reason": self._fallback.reason,
            "server": asdict(self._child.status),
            "last_lines": list(self._child.lines),
            "frames": self.frames,
            "by_twin": self.by_twin,
            "likeness": self.likeness.as_dict() if self.likeness else None,
        }

    async def _embed_away(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        answer = await self._fallback.embed(pixels)
        self.by_twin += not answer.by_device
        return answer.embedding

    async def aclose(self) -> None:
        """Take no more pictures."""
        self._closed = True


@dataclass(frozen=True, slots=True)
class _Twin:
    """The same network on the CPU."""

    runtime: Runtime
    embeds: InThread
    pair: Pair


def _read_network(path: Path) -> _Network:
    """Read the compiled file. Raises ModelError's kinds. Blocking."""
    file = read_model_file(path)
    if not file.compiled:
        raise UnsupportedModel(f"{path.name} was not compiled for the Edge TPU")
    graph = read_graph(file.data)
    shape = graph.tensors[graph.input].shape
    return _Network(file, (shape[2], shape[1]), only_vector(graph.tensors, graph.output))


def _open_twin(path: Path, network: _Network, options: EdgeTPUOptions, worker: ThreadPoolExecutor) -> _Twin:
    """Open the twin on the CPU. Raises as `choose_runtime`. Blocking."""
    file = read_model_file(path)
    runtime, _ = choose_runtime(file.data, options.runtime, options.threads, proofs=options.notes)
    if (runtime.input_size, runtime.length) != (network.size, network.length):
        runtime.close()
        raise ModelError(f"{path.name} is not the network that was compiled", model=path.name)
    return _Twin(runtime, InThread(runtime, worker), Pair(network.file.sha256, file.sha256, runtime.family))


class _ProcessParts:
    """What an embedder is made of, and how they tell each other what happens."""

    def __init__(self, network: _Network, twin: _Twin | None, options: EdgeTPUOptions, compiled: Path) -> None:
        """Start nothing yet."""
        arguments = ("--models", str(compiled), "--device", options.device, "--log-level", "warning")
        command = Command(arguments=arguments, python=options.python, environment=options.environment or {})
        self.child = Child(command, patience=options.patience, listener=self._noticed)
        self.listener: Callable[[], None] | None = None
        self.embedder: EdgeTPUEmbedder
        self._network = network
        self._twin = twin
        self._notes = options.notes
        self._decided = asyncio.Event()
        self._compared = twin is None
        self._comparing: asyncio.Task[None] | None = None
        self._fallback: Fallback
        self._client: ChildClient

    def connect(self, worker: ThreadPoolExecutor, messages: ThreadPoolExecutor) -> None:
        """Make the embedder; the child has been started."""
        self._client = ChildClient(self.child.socket, self._network.file.name, messages)
        self._fallback = Fallback(self._client, None, listener=self._connected, stuck=self.child.restart)
        self.embedder = EdgeTPUEmbedder(self._network, self.child, self._fallback, worker)

    def _connected(self, connected: bool, reason: str) -> None:
        _LOGGER.debug("The Edge TPU %s", "answers" if connected else f"does not answer: {reason}")
        if connected:
            self._compare_once()
        self._changed()

    def _noticed(self, status: Status) -> None:
        if status.state == "serving":
            self._fallback.retry_now()
            self._compare_once()
        elif status.state == "backing_off":
            self._decided.set()
        self._changed()

    def _changed(self) -> None:
        if self.listener is not None:
            self.listener()

    def _compare_once(self) -> None:
        """Compare the device with its twin, if that has not succeeded before."""
        if self._twin is None or self._compared:
            self._decided.set()
        elif self._comparing is None or self._comparing.done():
            self._comparing = asyncio.get_running_loop().create_task(
                self._compare(self._twin), name="coral_imprint twins"
            )

    async def _compare(self, twin: _Twin) -> None:
        try:
            likeness = await compare(self._client, twin.embeds, self._network.size)
        except (EmbeddingError, OSError) as error:
            _LOGGER.debug("The Edge TPU and the CPU were not compared: %s", error)
        else:
            self._compared = True
            self._know(twin, likeness)
            if self._notes is not None:
                await asyncio.get_running_loop().run_in_executor(None, twin.pair.note, self._notes, likeness)
        self._decided.set()

    def _know(self, twin: _Twin, likeness: Likeness) -> None:
        self.embedder.likeness = likeness
        self._fallback.twin = twin.embeds if likeness.may_share else None

    async def settle(self) -> None:
        """Return when pictures can be embedded: at once where the twin may stand in. Raises RuntimeUnavailable."""
        if self._twin is not None and self._notes is not None:
            loop = asyncio.get_running_loop()
            if known := await loop.run_in_executor(None, self._twin.pair.noted, self._notes):
                self._know(self._twin, known)
                if known.may_share:
                    return
        await self._decided.wait()
        status = self.child.status
        if status.state != "serving":
            raise RuntimeUnavailable(f"The Edge TPU's server {status.reason}{self._said()}")

    def _said(self) -> str:
        """Return the server's last error, else its last words."""
        lines = list(self.child.lines)
        errors = [line for line in lines if line.startswith("ERROR ")]
        return "".join(f" ({line})" for line in (errors or lines)[-1:])

    async def aclose(self) -> None:
        """End everything."""
        if self._comparing is not None:
            self._comparing.cancel()
            await asyncio.wait((self._comparing,))
        await self.embedder.aclose()
        await self._fallback.aclose()
        await self._client.aclose()


async def _end(pool: ThreadPoolExecutor) -> None:
    """Wait for the end of a worker, which may be busy with its last picture, elsewhere."""
    await asyncio.get_running_loop().run_in_executor(None, pool.shutdown)


@asynccontextmanager
async def open_edgetpu_embedder(
    compiled: Path,
    twin: Path | None,
    options: EdgeTPUOptions = EdgeTPUOptions(),
    *,
    listener: Callable[[], None] | None = None,
) -> AsyncIterator[EdgeTPUEmbedder]:
    """Open an extractor on an Edge TPU of this machine. The first time, the device has to be there.

    Args:
        compiled: the file for the Edge TPU, an absolute path.
        twin: the same extractor for the CPU; None: without the device, nothing is embedded.
        options: how the device's process is run.
        listener: called when something changed that `EdgeTPUEmbedder.connected` or `EdgeTPUEmbedder.diagnostics` tell.

    Raises ModelError's kinds for files that can't be used, SelfTestFailed for a twin that is broken, and RuntimeUnavailable where
    the device does not answer and its twin may not stand in for it.

    """
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        worker, messages = ThreadPoolExecutor(1, "coral_imprint"), ThreadPoolExecutor(1, "coral_imprint")
        for pool in (worker, messages):
            stack.push_async_callback(_end, pool)
        network = await loop.run_in_executor(worker, _read_network, compiled)
        opened: _Twin | None = None
        if twin is not None:
            opened = await loop.run_in_executor(worker, _open_twin, twin, network, options, worker)
            stack.push_async_callback(loop.run_in_executor, worker, opened.runtime.close)
        parts = _ProcessParts(network, opened, options, compiled)
        await parts.child.start()
        stack.push_async_callback(parts.child.stop)
        parts.connect(worker, messages)
        stack.push_async_callback(parts.aclose)
        await parts.settle()
        parts.listener = listener
        yield parts.embedder
