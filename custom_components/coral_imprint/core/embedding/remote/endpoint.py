"""One inference server: agreeing with it by trial, and embedding by what was agreed."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import replace
import logging
import time
from typing import Final, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import (
    EmbeddingError,
    ModelChanged,
    SelfTestFailed,
    ServerError,
    ServerRefused,
    ServerUnreachable,
    UnusableAnswer,
)
from ..pictures import test_pictures
from ..protocol.messages import Message
from .answers import Answer, read_model
from .contract import Contract, model_path
from .identity import Probe
from .negotiation import propose, published_sha256
from .settings import ModelOptions

_LOGGER = logging.getLogger(__name__)

_E = TypeVar("_E", bound=EmbeddingError)

_VERSIONS: Final = 16

JSON_GAIN: Final = 0.7
"""JSON is preferred to bytes where it takes less than this share of their time."""

AT_ONCE_BYTES: Final = 1 << 20
"""Of pictures that are written as bytes in the event loop: two tenths of a millisecond."""


class Transport(Protocol):
    """Carries messages to one server and back; every failure is a ServerError."""

    name: str
    """The server's address, as messages name it."""

    async def get(self, path: str) -> bytes:
        """Return what the server has at a path."""

    async def post(self, path: str, message: Message, limit: int) -> Message:
        """Return the answer to a message, of ``limit`` bytes at most."""

    async def aclose(self) -> None:
        """Close what is not the caller's."""


class Endpoint:
    """A model on one server."""

    def __init__(self, transport: Transport, model: str, options: ModelOptions, worker: Executor) -> None:
        """Ask nothing yet. ``worker`` writes and reads the messages, which takes its time."""
        self.name = transport.name
        self.contract: Contract | None = None
        """What was agreed on; None before `agree`."""
        self.sha256: str | None = None
        """SHA-256 of the file that the server says the model is made from, in hexadecimal; None where it doesn't tell."""
        self._answered: str | None = None
        """The version that answered last, where the server says."""
        self._known: set[str | None] = set()
        """The versions whose test pictures were looked at."""
        self._transport = transport
        self._model = model
        self._options = options
        self._worker = worker

    async def ready(self) -> None:
        """Return if the server has the model and can use it. Raises ServerError."""
        await self._transport.get(f"{model_path(self._model, self._options.version)}/ready")

    async def agree(self, expected: Probe | None = None) -> Probe:
        """Find out how to ask for embeddings, and return those of the test pictures; nothing is changed before all is known.

        Raises ServerError, UnsupportedModel (PixelRangeUnknown), ModelChanged where the test pictures' embeddings are not those
        that are ``expected``, and SelfTestFailed where the model is said to be made from a published extractor and embeds otherwise.
        """
        try:
            info = read_model(await self._transport.get(model_path(self._model, self._options.version)))
            proposed = propose(info, self._model, self._options)
            sha256 = published_sha256(info, self._options)
            contract, probe = await self._tested(proposed, sha256)
            if expected is not None and not probe.same(expected):
                raise ModelChanged("The model embeds the test pictures otherwise than before")
        except EmbeddingError as error:
            raise self._named(error) from error.__cause__
        _LOGGER.debug("Agreed with %s: %s", self.name, contract)
        self.contract, self.sha256 = contract, sha256
        if len(self._known) > _VERSIONS:
            self._known.clear()
        self._known.add(self._answered)
        return probe

    @property
    def unfamiliar(self) -> bool:
        """Whether the last answer came from a version of the model whose test pictures were not looked at yet."""
        return self._answered not in self._known

    async def _tested(self, proposed: Sequence[Contract], sha256: str | None) -> tuple[Contract, Probe]:
        """Return the first contract under which the test pictures are embedded as they should be, and their embeddings."""
        pictures = test_pictures.pictures(proposed[0].size)
        first = await self._encoding(proposed[0], pictures[0])
        failures: list[SelfTestFailed] = []
        for candidate in proposed:
            vectors, contract = await self._embed(replace(first, pixel_range=candidate.pixel_range), pictures)
            probe = Probe.of(vectors)
            try:
                if sha256:
                    probe.check(contract.size, sha256)
            except SelfTestFailed as error:
                failures.append(error)
            else:
                return contract, probe
        raise failures[0]

    async def _encoding(self, contract: Contract, picture: NDArray[np.uint8]) -> Contract:
        """Return the contract in the encoding that the server takes, the quicker one where it takes both.

        What servers list as their extensions is not to be relied on. One that does not know binary tensors may answer anything, or
        drop the connection; and one that does may turn them into something slower than JSON.
        """
        wanted = self._options.binary
        taken: list[Contract] = []
        refused: list[ServerError] = []
        for binary in (True, False) if wanted is None else (wanted,):
            encoding = replace(contract, binary=binary)
            try:
                vectors, _ = await self._ask(encoding, [picture])
            except (ServerRefused, ServerUnreachable, UnusableAnswer) as error:
                _LOGGER.debug("%s does not take this: %s: %s", self.name, encoding, error)
                refused.append(error)
            else:
                taken.append(replace(encoding, length=vectors.shape[1]))
        if not taken:
            raise refused[-1]
        if len(taken) == 1:
            return taken[0]
        in_bytes, in_json = [await self._seconds(encoding, picture) for encoding in taken]
        return taken[1] if in_json < JSON_GAIN * in_bytes else taken[0]

    async def _seconds(self, contract: Contract, picture: NDArray[np.uint8]) -> float:
        """Return what an embedding takes."""
        start = time.perf_counter()
        await self._ask(contract, [picture])
        return time.perf_counter() - start

    async def embed(self, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Return the embeddings of pictures, not normalised, (pictures, length), in as few requests as the model allows.

        Raises ServerError.
        """
        agreed = self.contract
        if agreed is None:
            raise self._named(ServerUnreachable(f"Nothing was agreed with {self.name}"))
        try:
            vectors, contract = await self._embed(agreed, pictures)
        except EmbeddingError as error:
            raise self._named(error) from error.__cause__
        if self.contract is agreed:
            self.contract = contract
        return vectors

    async def _embed(
        self, contract: Contract, pictures: Sequence[NDArray[np.uint8]]
    ) -> tuple[NDArray[np.float32], Contract]:
        """Return the pictures' embeddings, and the contract with the number of pictures that a request may really have."""
        parts: list[NDArray[np.float32]] = []
        done = 0
        while done < len(pictures):
            part = pictures[done : done + contract.most]
            try:
                vectors, answer = await self._ask(contract, part)
            except (ServerRefused, UnusableAnswer) as error:
                if len(part) == 1 or contract.filled:
                    raise
                _LOGGER.debug("%s does not take %s pictures at once: %s", self.name, len(part), error)
                contract = replace(contract, most=max(1, len(part) // 2))
                continue
            self._answered = answer.version
            parts.append(vectors)
            done += len(part)
        return np.concatenate(parts), contract

    async def _ask(
        self, contract: Contract, pictures: Sequence[NDArray[np.uint8]]
    ) -> tuple[NDArray[np.float32], Answer]:
        # Where it takes less than the way to another thread and back, it is done at once.
        at_once = contract.binary and sum(picture.nbytes for picture in pictures) <= AT_ONCE_BYTES
        loop = asyncio.get_running_loop()
        if at_once:
            message = contract.encode(pictures)
        else:
            message = await loop.run_in_executor(self._worker, contract.encode, pictures)
        answer = await self._transport.post(contract.path, message, contract.answer_limit)
        if at_once:
            return contract.decode(answer, len(pictures))
        return await loop.run_in_executor(self._worker, contract.decode, answer, len(pictures))

    def _named(self, error: _E) -> _E:
        """Return an error that says which server it is about."""
        error.details.setdefault("server", self.name)
        return error

    async def aclose(self) -> None:
        """Let go of the server."""
        await self._transport.aclose()
