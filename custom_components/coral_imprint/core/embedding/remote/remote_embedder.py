"""Picture → unit vector by inference servers: decode, region and layout here, the network there."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidAddress, NoSuchModel, ServerRefused, UnusableAnswer
from ..out_of_process import OutOfProcessEmbedder
from ..protocol.messages import Message
from ..published.catalogue import Extractor
from .address import Address
from .answers import read_names
from .batches import Batches
from .contract import Contract
from .endpoint import Endpoint, Transport
from .files import is_model, likely
from .model_notes import identity
from .pool import DEFAULT_PACE, CheckPace, Member, Pool
from .settings import DEFAULT_ACCESS, NOTHING_KNOWN, Access, ModelOptions

if TYPE_CHECKING:
    from aiohttp import ClientSession

LIST_LIMIT: Final = 1 << 20
"""Bytes that a list of models may have."""

FAMILY: Final = "remote"
"""The runtime's family in fingerprints: embeddings of servers are not mixed with those of this process."""


class RemoteEmbedder(OutOfProcessEmbedder):
    """Turns pictures into unit vectors by a model on one or several servers.

    Its ways to the network raise ServerError where no server answers; ModelChanged where all that do have another model by now.
    """

    runtime = FAMILY

    def __init__(self, extractor: str, contract: Contract, pool: Pool, worker: ThreadPoolExecutor) -> None:
        """Take servers that were agreed with, and the thread that decodes.

        ``extractor``: the model's name, its version where one was asked for, and what it makes of the test pictures (`model_notes`).
        """
        super().__init__(extractor, contract.size, contract.length or 0, worker)
        self._pool = pool
        self._batches = Batches(pool.embed, lambda: pool.limits)

    @property
    def servers(self) -> Sequence[Member]:
        """The servers and how they are, in the order in which they are preferred."""
        return self._pool.members

    def likely(self, extractors: Iterable[Extractor]) -> list[Extractor]:
        """Return the published extractors that the model may be made from, the likeliest first."""
        told = next((member.endpoint.sha256 for member in self._pool.members if member.endpoint.sha256), None)
        return likely(extractors, self._pool.probe, self._size, told)

    def is_model(self, data: bytes, *, threads: int = 1, proofs: Path | None = None) -> bool:
        """Return whether a TFLite file is the model: see `files.is_model`. Blocking."""
        return is_model(data, self._pool.probe, self._size, threads=threads, proofs=proofs)

    def diagnostics(self) -> dict[str, Any]:
        """Return how the servers are, in the order in which they are preferred, without their addresses and what they call things."""
        now = asyncio.get_running_loop().time()
        return {"servers": [_standing(member, now) for member in self._pool.members]}

    async def _embed_away(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        return await self._batches.embed(pixels)

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
    pace: CheckPace = DEFAULT_PACE,
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


def _standing(member: Member, now: float) -> dict[str, Any]:
    """Return how a server is; ``now`` by the event loop's clock."""
    contract = member.endpoint.contract
    agreed = None if contract is None else asdict(contract)
    for private in ("model", "version", "input", "output"):
        if agreed is not None:
            del agreed[private]
    return {
        "healthy": member.healthy,
        "error": member.error.key if member.error else None,
        "failures_in_a_row": member.failures,
        "busy_for": round(max(0.0, member.resting_until - now), 1),
        "next_check_in": round(max(0.0, member.check_at - now), 1),
        "requests_under_way": member.asked,
        "agreed": agreed,
    }


def _transport(address: Address, access: Access, session: "ClientSession") -> Transport:
    """Return the way to a server."""
    # aiohttp is no dependency of this core as long as no server is used.
    from .http_transport import Http  # noqa: PLC0415

    return Http(address, access, session)
