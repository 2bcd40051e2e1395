"""Picture → unit vector: decode, region, network, layout, one join."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from . import layout
from .errors import ModelError, RuntimeUnavailable
from .frame import VERSION as FRAME_VERSION, WHOLE, Region, View, cut
from .runtime import Runtime, RuntimeChoice, open_runtime

BUILTIN = "builtin"
"""Name of the built-in extractor: the layout descriptor alone, no network, no file."""

LAYOUT_WEIGHT = 0.7
"""Length of the layout part beside the network's unit embedding, before both are normalised together."""

MAX_MODEL_BYTES = 64 * 1024 * 1024


class Embedder:
    """Turns pictures into unit vectors, one at a time, in a thread of its own.

    The runtimes are not thread-safe and a slow one must not occupy the caller's executor, hence the one worker.
    """

    def __init__(self, extractor: str, runtime: Runtime | None, worker: ThreadPoolExecutor) -> None:
        """Take a runtime that is ready (None: layout alone) and the worker that alone may use it."""
        self._extractor = extractor
        self._runtime = runtime
        self._worker = worker
        self._closed = False

    @property
    def runtime(self) -> str:
        """Family of what executes the network: ``portable`` or ``litert``; ``builtin`` where there is no network."""
        return self._runtime.family if self._runtime else BUILTIN

    @property
    def length(self) -> int:
        """Length of the embedding."""
        return layout.LENGTH + (self._runtime.length if self._runtime else 0)

    def fingerprint(self, region: Region = WHOLE) -> str:
        """All that an embedding depends on: vectors of different fingerprints must never meet."""
        return "/".join(
            (
                self._extractor,
                self.runtime,
                f"frame{FRAME_VERSION}",
                f"layout{layout.VERSION}x{LAYOUT_WEIGHT if self._runtime else 1.0}",
                region.key,
            )
        )

    async def embed(self, picture: bytes, region: Region = WHOLE) -> NDArray[np.float32]:
        """Embed one region of a picture.

        Returns a float32 vector of shape ``(length,)`` and length 1. Raises NotAPicture.
        """
        (vector,) = await self.embed_regions(picture, (region,))
        return vector

    async def embed_regions(self, picture: bytes, regions: Sequence[Region]) -> list[NDArray[np.float32]]:
        """Embed several regions of a picture from a single decode.

        Raises NotAPicture, and RuntimeUnavailable once the embedder was closed.
        """
        if self._closed:
            raise RuntimeUnavailable("the engine was stopped")
        return await asyncio.get_running_loop().run_in_executor(self._worker, self._embed, picture, regions)

    def _embed(self, picture: bytes, regions: Sequence[Region]) -> list[NDArray[np.float32]]:
        """Do the work, in the worker."""
        sizes = [layout.SIZE]
        if self._runtime:
            sizes.append(self._runtime.input_size)
        cuts = cut(picture, [View(region, *size) for region in regions for size in sizes])
        return [self._join(cuts[at : at + len(sizes)]) for at in range(0, len(cuts), len(sizes))]

    def _join(self, views: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Embed one region from its views: the layout's first, then the network's where there is one."""
        network = self._runtime.embed(views[1]) if self._runtime else None
        return layout.join(network, layout.describe(views[0]), LAYOUT_WEIGHT)

    async def check(self) -> None:
        """Send a drawn gradient through the network. Raises ModelError where no sound embedding comes out."""
        await asyncio.get_running_loop().run_in_executor(self._worker, self._check)

    def _check(self) -> None:
        if self._runtime is None:
            return
        width, height = self._runtime.input_size
        ramp = np.linspace(0, 255, width * height * 3).astype(np.uint8).reshape(height, width, 3)
        vector = self._runtime.embed(ramp)
        if vector.shape != (self._runtime.length,) or not np.isfinite(vector).all() or not vector.any():
            raise ModelError("the network's output is no usable embedding")

    async def aclose(self) -> None:
        """Take no more pictures, finish the one in hand, free the network."""
        self._closed = True
        loop = asyncio.get_running_loop()
        if self._runtime:
            await loop.run_in_executor(self._worker, self._runtime.close)


def _read_model(path: Path) -> bytes:
    """Read an extractor's file. Raises ModelError when it is missing, unreadable or absurdly large."""
    try:
        if path.stat().st_size > MAX_MODEL_BYTES:
            raise ModelError(f"{path.name} is larger than {MAX_MODEL_BYTES // 1024 // 1024} MiB", model=path.name)
        return path.read_bytes()
    except OSError as err:
        raise ModelError(f"{path.name}: {err.strerror or err}", model=path.name) from err


def _open(extractor: str | Path, runtime: RuntimeChoice, threads: int) -> tuple[str, Runtime | None]:
    """Return the extractor's identity and a runtime ready for it. Blocking."""
    if extractor == BUILTIN:
        return BUILTIN, None
    data = _read_model(Path(extractor))
    return hashlib.sha256(data).hexdigest()[:16], open_runtime(data, runtime, threads)


@asynccontextmanager
async def open_embedder(
    extractor: str | Path = BUILTIN, runtime: RuntimeChoice = "auto", threads: int = 1
) -> AsyncIterator[Embedder]:
    """Open an extractor on a runtime.

    ``extractor`` is BUILTIN or the path of a TFLite file; ``runtime`` "auto" takes LiteRT where it can be imported and
    the portable runtime elsewhere; ``threads`` is how many the network may use. Raises ModelError (CorruptModel,
    UnsupportedModel, UnsupportedOperator) and RuntimeUnavailable.
    """
    loop = asyncio.get_running_loop()
    worker = ThreadPoolExecutor(1, thread_name_prefix="coral_imprint")
    try:
        embedder = Embedder(*await loop.run_in_executor(worker, _open, extractor, runtime, threads), worker)
        try:
            yield embedder
        finally:
            await embedder.aclose()
    finally:
        # The worker may be busy with its last frame: its end is waited for elsewhere.
        await loop.run_in_executor(None, worker.shutdown)
