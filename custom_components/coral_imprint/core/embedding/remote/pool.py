"""Several servers with the same model: which one is asked, which one is left alone, and when it is tried again."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
import logging
import random
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..errors import EmbeddingError, ModelChanged, ServerBusy, ServerDenied, ServerError, ServerUnreachable
from .endpoint import Endpoint
from .identity import Probe

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckPace:
    """How often servers are looked after, in seconds."""

    check_every: float = 30.0
    """Between two questions whether a healthy server is ready."""
    probe_every: float = 600.0
    """Between two comparisons of a healthy server's model with the one that the pool began with."""
    first_backoff: float = 0.5
    """Until a server is tried again that failed for the first time; doubles with each further failure."""
    longest_backoff: float = 30.0
    busy_patience: float = 2.0
    """Most that an embedding waits for a busy server, where there is no other."""


DEFAULT_PACE: Final = CheckPace()


@dataclass(slots=True, eq=False)
class Member:
    """A server's standing. Times are those of the event loop."""

    endpoint: Endpoint
    healthy: bool = False
    """Whether it is asked for embeddings: it could be reached the last time, and has the same model as the others."""
    error: EmbeddingError | None = None
    """What is wrong with it otherwise."""
    failures: int = 0
    """In a row."""
    resting_until: float = 0.0
    """It said that it is busy until then."""
    check_at: float = 0.0
    probe_at: float = 0.0
    asked: int = 0
    """Requests under way."""
    checking: asyncio.Lock = field(default_factory=asyncio.Lock)


class Pool:
    """Embeds by the first healthy server. One that fails is left alone until a check in the background finds it well again."""

    def __init__(self, endpoints: Sequence[Endpoint], pace: CheckPace) -> None:
        """Take servers in the order in which they are preferred. `open` begins."""
        self.members = [Member(endpoint) for endpoint in endpoints]
        self.probe: Probe
        """The test pictures' embeddings by the model that the pool began with; there after `open`."""
        self._pace = pace
        self._woken = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None

    async def open(self) -> Member:
        """Agree with the first server that can be used, return it, and look after all of them from now on.

        Raises the error of the first server where none can be used.
        """
        errors: dict[Member, EmbeddingError] = {}
        for member in self.members:
            try:
                self.probe = await member.endpoint.agree()
            except EmbeddingError as error:
                errors[member] = error
                continue
            self._well(member, probed=True)
            for failed, why in errors.items():
                self._failed(failed, why)
            self._watching = asyncio.get_running_loop().create_task(self._watch(), name="coral_imprint servers")
            return member
        raise next(iter(errors.values()))

    async def aclose(self) -> None:
        """Look after nothing any more, and let go of the servers."""
        if self._watching:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        for member in self.members:
            await member.endpoint.aclose()

    @property
    def limits(self) -> tuple[int, int]:
        """Pictures that a request may have, and requests that may be under way: one for each server that works."""
        contracts = [member.endpoint.contract for member in self.members if member.healthy]
        return max((contract.most for contract in contracts if contract), default=1), max(1, len(contracts))

    async def embed(self, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Return the embeddings of pictures, not normalised, (pictures, length); each server is tried once.

        Raises ServerError: of the server that was tried last, or why none is tried at present.
        """
        tried: dict[Member, EmbeddingError] = {}
        waited = False
        while True:
            member = self._choice(tried)
            if member is None:
                busy_for = self._busy_for(tried)
                if waited or busy_for is None or busy_for > self._pace.busy_patience:
                    raise next(reversed(tried.values()), None) or self._none_healthy()
                waited = True
                await asyncio.sleep(busy_for)
                tried.clear()
                continue
            try:
                return await self._embed_by(member, pictures)
            except EmbeddingError as error:
                tried[member] = error
                self._failed(member, error)

    async def _embed_by(self, member: Member, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        member.asked += 1
        try:
            vectors = await member.endpoint.embed(pictures)
        finally:
            member.asked -= 1
        if member.endpoint.unfamiliar:
            # Another version than the one that was looked at: is it the same model?
            await self._check(member, probe=True)
            if not member.healthy:
                raise member.error or ModelChanged("The model's version changed", server=member.endpoint.name)
        return vectors

    def _choice(self, tried: dict[Member, EmbeddingError]) -> Member | None:
        """Return the healthy server with the least to do, the preferred one of several."""
        now = asyncio.get_running_loop().time()
        free = [m for m in self.members if m.healthy and m.resting_until <= now and m not in tried]
        return min(free, key=lambda member: member.asked, default=None)

    def _busy_for(self, tried: dict[Member, EmbeddingError]) -> float | None:
        """Return the seconds until the first busy server may be asked again; None where none is merely busy."""
        now = asyncio.get_running_loop().time()
        resting = [member.resting_until for member in self.members if member.healthy and member.resting_until > now]
        if resting:
            return min(resting) - now
        # One may have stopped resting just now, having been tried before.
        return 0.0 if any(member.healthy and isinstance(tried.get(member), ServerBusy) for member in tried) else None

    def _none_healthy(self) -> EmbeddingError:
        """Return why no server is asked."""
        now = asyncio.get_running_loop().time()
        busy = [member for member in self.members if member.healthy]
        if busy:
            wait = min(member.resting_until for member in busy) - now
            name = busy[0].endpoint.name
            return ServerBusy(f"{name} is busy for {wait:.0f} more seconds", wait=wait, server=name)
        changed = [member.error for member in self.members if isinstance(member.error, ModelChanged)]
        if changed and changed[0]:
            return ModelChanged(str(changed[0]), **changed[0].details)
        first = self.members[0]
        name, why = first.endpoint.name, first.error
        if isinstance(why, ServerDenied):
            return ServerDenied(str(why), server=name)
        return ServerUnreachable(f"{name} failed, and is tried again soon: {why}", server=name)

    # --- health ---------------------------------------------------------------------------------------------------

    def _well(self, member: Member, *, probed: bool) -> None:
        now = asyncio.get_running_loop().time()
        if member.error:
            _LOGGER.info("%s works again", member.endpoint.name)
        member.healthy, member.error, member.failures = True, None, 0
        member.check_at = now + self._pace.check_every
        if probed:
            member.probe_at = now + self._pace.probe_every

    def _failed(self, member: Member, error: EmbeddingError) -> None:
        """Leave a server alone: as long as it wants where it is busy, else the longer the more often it failed."""
        now = asyncio.get_running_loop().time()
        if isinstance(error, ServerBusy) and member.healthy:
            member.resting_until = now + error.wait
            return
        if not member.error:
            _LOGGER.warning("%s is left alone: %s", member.endpoint.name, error)
        member.healthy, member.error = False, error
        backoff = min(self._pace.first_backoff * 2**member.failures, self._pace.longest_backoff)
        if isinstance(error, ServerBusy):
            backoff = max(backoff, error.wait)
        elif not isinstance(error, ServerError) or isinstance(error, ModelChanged | ServerDenied):
            # Nothing that passes by itself in a moment.
            backoff = self._pace.longest_backoff
        member.failures = min(member.failures + 1, 30)
        member.check_at = now + backoff * random.uniform(0.75, 1)
        self._woken.set()

    async def _watch(self) -> None:
        """Check each server when its time has come, for as long as the pool is open."""
        loop = asyncio.get_running_loop()
        while True:
            due = [member for member in self.members if member.check_at <= loop.time()]
            await asyncio.gather(*(self._check(member) for member in due))
            self._woken.clear()
            pause = max(0.0, min(member.check_at for member in self.members) - loop.time())
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._woken.wait()

    async def _check(self, member: Member, *, probe: bool = False) -> None:
        """See whether a server is ready, and where that is due, that it has the model that the pool began with."""
        async with member.checking:
            probe = probe or not member.healthy or member.probe_at <= asyncio.get_running_loop().time()
            try:
                await member.endpoint.ready()
                if probe:
                    await member.endpoint.agree(self.probe)
            except ServerBusy as error:
                self._failed(member, error)
                if member.healthy:
                    member.check_at = member.resting_until
            except EmbeddingError as error:
                self._failed(member, error)
            else:
                self._well(member, probed=probe)
