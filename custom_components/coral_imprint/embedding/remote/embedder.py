"""Picture → unit vector by inference servers: decode, region and layout here, the network there."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from .. import layout
from ..choice import Choice
from ..errors import InvalidAddress, NoSuchModel, NotAPicture, RuntimeUnavailable, ServerRefused, UnusableAnswer
from ..frame import WHOLE, Region
from ..prepared import FrameTimes, embed_each, fingerprint, prepare
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
        self._size = contract.size
        self._network_length = contract.length or 0
        self._pool = pool
        self._batches = Batches(pool.embed, lambda: pool.limits)
        self._worker = worker
        self._times = FrameTimes()
        self._closed = False

    @property
    def ms(self) -> float | None:
        """Milliseconds per picture, decoding and the way to the network and back included: the median of the last ones."""
        return self._times.ms

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
        return fingerprint(self.extractor, self.runtime, region, network=True)

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
        parts = await loop.run_in_executor(self._worker, prepare, picture, regions, self._size)
        networks = await asyncio.gather(
            *(self._batches.embed(pixels) for part in parts if (pixels := part.pixels) is not None)
        )
        joined = [part.joined(network) for part, network in zip(parts, networks, strict=True)]
        self._times.add(loop.time() - start)
        self.frames += 1
        return joined

    async def embed_many(
        self, pictures: Sequence[bytes], region: Region = WHOLE
    ) -> list[NDArray[np.float32] | NotAPicture]:
        """Embed one region of each of many pictures, together.

        In place of a vector, the error of a picture that is none. Raises as `embed_regions` otherwise.
        """
        return await embed_each(self.embed, pictures, region)

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
