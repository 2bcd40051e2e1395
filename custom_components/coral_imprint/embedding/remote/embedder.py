"""Picture → unit vector by inference servers: decode, region and layout here, the network there."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
import statistics
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from .. import layout
from ..choice import Choice
from ..embedder import LAYOUT_WEIGHT, TIMED_FRAMES
from ..errors import InvalidAddress, NoSuchModel, RuntimeUnavailable, ServerRefused, UnusableAnswer
from ..frame import VERSION as FRAME_VERSION, WHOLE, Region, View, cut
from ..serving.protocol import Message
from .address import Address
from .answers import read_names
from .batches import Batches
from .contract import Contract
from .endpoint import Endpoint, Transport
from .notes import identity
from .pool import DEFAULT_PACE, Member, Pace, Pool
from .settings import DEFAULT_ACCESS, NOTHING_KNOWN, Access, ModelOptions

if TYPE_CHECKING:
    from aiohttp import ClientSession

LIST_LIMIT: Final = 1 << 20
"""Bytes that a list of models may have."""

FAMILY: Final = "remote"
"""The runtime's family in fingerprints: embeddings of servers are not mixed with those of this process."""


class RemoteEmbedder:
    """Turns pictures into unit vectors by a model on one or several servers: the face of `Embedder`."""

    def __init__(self, extractor: str, contract: Contract, pool: Pool, worker: ThreadPoolExecutor) -> None:
        """Take servers that were agreed with, and the thread that decodes."""
        self.extractor = extractor
        """Identity of the model: its name, its version where one was asked for, and what it makes of the test pictures (`notes`)."""
        self.choice = Choice("chosen")
        """How the runtime came to be used."""
        self.runtime = FAMILY
        """Family of what executes the network."""
        self.frames = 0
        """Pictures embedded so far, however many regions of each."""
        self.ms: float | None = None
        """Milliseconds per picture from its bytes to its vectors, the servers' time and the way to them included: the median of the
        last `TIMED_FRAMES`; None before the first."""
        self._size = contract.size
        self._network_length = contract.length or 0
        self._pool = pool
        self._batches = Batches(pool.embed, lambda: pool.limits)
        self._worker = worker
        self._times: deque[float] = deque(maxlen=TIMED_FRAMES)
        self._closed = False

    @property
    def length(self) -> int:
        """Length of the embedding."""
        return layout.LENGTH + self._network_length

    @property
    def servers(self) -> Sequence[Member]:
        """The servers and how they are, in the order in which they are preferred."""
        return self._pool.members

    def fingerprint(self, region: Region = WHOLE) -> str:
        """All that an embedding depends on: vectors of different fingerprints must never meet."""
        return "/".join(
            (
                self.extractor,
                self.runtime,
                f"frame{FRAME_VERSION}",
                f"layout{layout.VERSION}x{LAYOUT_WEIGHT}",
                region.key,
            )
        )

    async def embed(self, picture: bytes, region: Region = WHOLE) -> NDArray[np.float32]:
        """Embed one region of a picture.

        Returns a float32 vector of shape ``(length,)`` and length 1. Raises as `embed_regions`.
        """
        (vector,) = await self.embed_regions(picture, (region,))
        return vector

    async def embed_regions(self, picture: bytes, regions: Sequence[Region]) -> list[NDArray[np.float32]]:
        """Embed several regions of a picture from a single decode.

        Raises NotAPicture; ServerError where no server answers (ModelChanged where all that do have another model by now); and
        RuntimeUnavailable once the embedder was closed.
        """
        if self._closed:
            raise RuntimeUnavailable("the engine was stopped")
        loop = asyncio.get_running_loop()
        start = loop.time()
        views = await loop.run_in_executor(self._worker, self._views, picture, regions)
        networks = await asyncio.gather(*(self._batches.embed(pixels) for pixels, _ in views))
        joined = [
            layout.join(network, described, LAYOUT_WEIGHT)
            for network, (_, described) in zip(networks, views, strict=True)
        ]
        self._times.append((loop.time() - start) * 1e3)
        self.ms = statistics.median(self._times)
        self.frames += 1
        return joined

    def _views(self, picture: bytes, regions: Sequence[Region]) -> list[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
        """Return what the network gets of each region, and its layout; in the worker."""
        sizes = (layout.SIZE, self._size)
        cuts = cut(picture, [View(region, *size) for region in regions for size in sizes])
        return [(cuts[at + 1], layout.describe(cuts[at])) for at in range(0, len(cuts), len(sizes))]

    async def aclose(self) -> None:
        """Take no more pictures, give up on those under way, and leave the servers."""
        self._closed = True
        await self._batches.aclose()
        await self._pool.aclose()


@asynccontextmanager
async def open_remote_embedder(
    servers: Sequence[str],
    model: str,
    session: "ClientSession",
    access: Access = DEFAULT_ACCESS,
    options: ModelOptions = NOTHING_KNOWN,
    *,
    notes: Path | None = None,
    pace: Pace = DEFAULT_PACE,
) -> AsyncIterator[RemoteEmbedder]:
    """Open a model on inference servers that speak the Open Inference Protocol v2.

    Args:
        servers: their addresses as `Address.parse` reads them, in the order in which they are preferred.
        model: its name on all of them.
        session: the caller's, not closed here.
        access: how the servers may be reached.
        options: what is known of the model.
        notes: a folder for what is needed to know the model again after a restart, though its server rounds in another way.
        pace: how often the servers are looked after.

    Raises InvalidAddress, ServerError, UnsupportedModel (PixelRangeUnknown) and SelfTestFailed.

    """
    addresses = [Address.parse(server) for server in servers]
    if not addresses or not model:
        raise InvalidAddress("An engine on servers needs a server and the name of a model", address="")
    loop = asyncio.get_running_loop()
    worker = ThreadPoolExecutor(1, thread_name_prefix="coral_imprint")
    try:
        transports = [_transport(address, access, session) for address in addresses]
        pool = Pool([Endpoint(transport, model, options, worker) for transport in transports], pace)
        try:
            endpoint = (await pool.open()).endpoint
            known = await loop.run_in_executor(worker, identity, notes, model, pool.probe)
            contract = endpoint.contract
            assert contract is not None  # it was agreed on
            named = quote(model, safe="") + (f"@{quote(options.version, safe='')}" if options.version else "")
            embedder = RemoteEmbedder(f"{named}-{known}", contract, pool, worker)
            try:
                yield embedder
            finally:
                await embedder.aclose()
        finally:
            await pool.aclose()
    finally:
        # The worker may be busy with its last frame: its end is waited for elsewhere.
        await loop.run_in_executor(None, worker.shutdown)


async def served_models(server: str, session: "ClientSession", access: Access = DEFAULT_ACCESS) -> list[str]:
    """Return the names of the models that a server has; the one that its address names, where it does; empty where it doesn't tell.

    Asks as KServe answers, then by the model repository extension (Triton, MLServer). Raises InvalidAddress, ServerError.
    """
    address = Address.parse(server)
    if address.model:
        return [address.model]
    transport = _transport(address, access, session)
    try:
        with suppress(NoSuchModel, ServerRefused, UnusableAnswer):
            return read_names(await transport.get("/v2/models"))
        with suppress(NoSuchModel, ServerRefused, UnusableAnswer):
            return read_names((await transport.post("/v2/repository/index", Message(b"{}"), LIST_LIMIT)).body)
        return []
    finally:
        await transport.aclose()


def _transport(address: Address, access: Access, session: "ClientSession") -> Transport:
    """Return the way to a server."""
    # aiohttp is no dependency of this core as long as no server is used.
    from .http import Http  # noqa: PLC0415

    return Http(address, access, session)
