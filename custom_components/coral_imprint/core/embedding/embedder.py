"""Picture → unit vector: decode, region, network, layout, one join."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import ModelError, NotAPicture, RuntimeUnavailable
from .pictures import layout
from .pictures.decoding import WHOLE, Region
from .preparation import FrameTimes, Seen, Wanted, file_identity, fingerprint, prepare_changed
from .published.catalogue import LARGEST_MODEL, Extractor
from .runtimes.choice import Choice, choose_runtime
from .runtimes.runtime import Runtime, RuntimeChoice

BUILTIN = "builtin"
"""Name of the built-in extractor: the layout descriptor alone, no network, no file."""


class Embedder:
    """Turns pictures into unit vectors, one at a time, in a thread of its own; many with a second one beside it.

    A slow runtime must not occupy the caller's executor, hence the worker.
    """

    def __init__(self, extractor: str, runtime: Runtime | None, choice: Choice, worker: ThreadPoolExecutor) -> None:
        """Take a runtime that is ready (None: layout alone) and the worker that alone may use it."""
        self.extractor = extractor
        """Identity of the extractor: BUILTIN, or the beginning of the SHA-256 of its file."""
        self.choice = choice
        """How the runtime came to be used."""
        self.frames = 0
        """Pictures embedded so far, however many regions of each."""
        self._runtime = runtime
        self._worker = worker
        # Without a thread until many pictures come at once.
        self._second = ThreadPoolExecutor(1, thread_name_prefix="coral_imprint_second")
        self.times = FrameTimes()
        """How long the last pictures took."""
        self._closed = False

    @property
    def connected(self) -> None:
        """Without a device."""
        return

    @property
    def likeness(self) -> None:
        """Without a twin."""
        return

    def diagnostics(self) -> dict[str, Any]:
        """Return what is to be said of servers and devices: nothing."""
        return {}

    def likely(self, extractors: Iterable[Extractor]) -> list[Extractor]:
        """Return the published extractor of this file."""
        return [one for one in extractors if (one.file.sha256 or "").startswith(self.extractor)]

    def is_model(self, data: bytes, *, proofs: Path) -> bool:
        """Return whether a file is the one that was opened."""
        return file_identity(data) == self.extractor

    @property
    def runtime(self) -> str:
        """Family of what executes the network: ``portable`` or ``litert``; ``builtin`` where there is no network."""
        return self._runtime.family if self._runtime else BUILTIN

    @property
    def ms(self) -> float | None:
        """Milliseconds per picture in the worker, decoding included: the median of the last ones; None before the first."""
        return self.times.ms

    @property
    def length(self) -> int:
        """Length of the embedding."""
        return layout.LENGTH + (self._runtime.length if self._runtime else 0)

    def fingerprint(self, region: Region = WHOLE) -> str:
        """All that an embedding depends on: vectors of different fingerprints must never meet."""
        return fingerprint(self.extractor, self.runtime, region, network=self._runtime is not None)

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
        return [seen.vector for seen in await self.see(picture, [Wanted(region) for region in regions])]

    async def see(self, picture: bytes, wanted: Sequence[Wanted]) -> list[Seen]:
        """Embed several regions of a picture from a single decode, but for those that hardly differ from what was seen before.

        Raises as `embed_regions`.
        """
        self._check_open()
        return await asyncio.get_running_loop().run_in_executor(self._worker, self._embed, picture, wanted)

    async def embed_many(
        self, pictures: Sequence[bytes], region: Region = WHOLE
    ) -> list[NDArray[np.float32] | NotAPicture]:
        """Embed one region of each of many pictures, in two threads: one is decoded while the network has another.

        Takes the memory of two decodes, and leaves pictures that come meanwhile to `embed` to wait for one picture at most.
        Returns, in order, the vectors that `embed` would, or what it would raise where that is NotAPicture. Raises
        RuntimeUnavailable once the embedder was closed.
        """
        loop = asyncio.get_running_loop()
        found: dict[int, NDArray[np.float32] | NotAPicture] = {}
        waiting = iter(enumerate(pictures))

        async def work(thread: ThreadPoolExecutor) -> None:
            for number, picture in waiting:
                self._check_open()
                try:
                    (seen,) = await loop.run_in_executor(thread, self._embed_views, picture, (Wanted(region),))
                    found[number] = seen.vector
                    self.frames += 1
                except NotAPicture as error:
                    found[number] = error

        await asyncio.gather(work(self._worker), work(self._second))
        return [found[number] for number in range(len(pictures))]

    def _check_open(self) -> None:
        """Raise RuntimeUnavailable once the embedder was closed."""
        if self._closed:
            raise RuntimeUnavailable("the engine was stopped")

    def _embed(self, picture: bytes, wanted: Sequence[Wanted]) -> list[Seen]:
        """Do the work, in the worker, and count it."""
        start = time.perf_counter()
        found = self._embed_views(picture, wanted)
        if not all(seen.reused for seen in found):
            self.times.add(time.perf_counter() - start)
            self.frames += 1
        return found

    def _embed_views(self, picture: bytes, wanted: Sequence[Wanted]) -> list[Seen]:
        parts = prepare_changed(picture, wanted, self._runtime.input_size if self._runtime else None)
        return [part if isinstance(part, Seen) else part.seen(self._network(part.pixels)) for part in parts]

    def _network(self, pixels: NDArray[np.uint8] | None) -> NDArray[np.float32] | None:
        """Run the network where there is one. One picture at a time has it, by its own lock."""
        return self._runtime.embed(pixels) if self._runtime and pixels is not None else None

    async def aclose(self) -> None:
        """Take no more pictures, finish the one in hand, free the network."""
        self._closed = True
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self._second.shutdown)
        if self._runtime:
            await loop.run_in_executor(self._worker, self._runtime.close)


def _read_model(path: Path) -> bytes:
    """Read an extractor's file. Raises ModelError when it is missing, unreadable or absurdly large."""
    try:
        if path.stat().st_size > LARGEST_MODEL:
            raise ModelError(f"{path.name} is larger than {LARGEST_MODEL >> 20} MiB", model=path.name)
        return path.read_bytes()
    except OSError as err:
        raise ModelError(f"{path.name}: {err.strerror or err}", model=path.name) from err


def _open(
    extractor: str | Path, runtime: RuntimeChoice, threads: int, strict: bool, proofs: Path | None
) -> tuple[str, Runtime | None, Choice]:
    """Return the extractor's identity, a runtime ready for it and how that was chosen. Blocking."""
    if extractor == BUILTIN:
        return BUILTIN, None, Choice("builtin")
    data = _read_model(Path(extractor))
    opened, choice = choose_runtime(data, runtime, threads, strict=strict, proofs=proofs)
    return file_identity(data), opened, choice


@asynccontextmanager
async def open_embedder(
    extractor: str | Path = BUILTIN,
    runtime: RuntimeChoice = "auto",
    threads: int = 1,
    *,
    strict: bool = False,
    proofs: Path | None = None,
) -> AsyncIterator[Embedder]:
    """Open an extractor on the first runtime that takes it and passes its self-test.

    ``extractor`` is BUILTIN or the path of a TFLite file; ``threads`` is how many the network may use; the others are those of
    `choose_runtime`. Raises ModelError (CorruptModel, UnsupportedModel, UnsupportedOperator), RuntimeUnavailable and
    SelfTestFailed.
    """
    loop = asyncio.get_running_loop()
    worker = ThreadPoolExecutor(1, thread_name_prefix="coral_imprint")
    try:
        opened = await loop.run_in_executor(worker, _open, extractor, runtime, threads, strict, proofs)
        embedder = Embedder(*opened, worker)
        try:
            yield embedder
        finally:
            await embedder.aclose()
    finally:
        # The worker may be busy with its last frame: its end is waited for elsewhere.
        await loop.run_in_executor(None, worker.shutdown)
