"""Where the frames of all classifiers of an engine wait to be embedded: each is decoded once, a region once, a stale one never."""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import HomeAssistant

from ...const import RUNTIME_REMOTE
from ...core.embedding import EmbeddingError, PictureEmbedder, Region, RuntimeUnavailable, Seen, Wanted
from ...extractors.lens import Lens
from ...extractors.statistics import LookStatistics
from .frames import Frame

TOO_LATE_AFTER: Final = 1.0
"""Seconds that a frame may wait for its turn; an older one is dropped, and a new one fetched in its place."""
AT_ONCE: Final = {RUNTIME_REMOTE: 8}
"""Frames that are embedded at the same time, by runtime; one in this process and on an Edge TPU."""


@dataclass(slots=True, eq=False)
class _Job:
    """A frame whose turn is to come, and what is wanted of it."""

    frame: Frame
    since: float
    """When it began to wait."""
    wanted: dict[Region, list[tuple[Wanted, asyncio.Future[Seen | None]]]] = field(default_factory=dict)


class _Turns:
    """Lets so many in at a time, in the order in which they came."""

    def __init__(self, at_once: int) -> None:
        self._at_once = self._free = at_once
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.jobs: list[_Job] = []
        """Those that wait."""

    @property
    def idle(self) -> bool:
        """Whether no one is in, and no one waits."""
        return self._free == self._at_once and not self.jobs

    async def acquire(self, *, first: bool) -> None:
        """Wait for a turn; ``first``: before all others."""
        if self._free:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if first:
            self._waiting.appendleft(turn)
        else:
            self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release()  # it was given at the same moment
            raise

    def release(self) -> None:
        """Let the next one in."""
        while self._waiting:
            if not (turn := self._waiting.popleft()).done():
                turn.set_result(None)
                return
        self._free += 1


class EmbedQueue:
    """Where an engine's frames are embedded: each is decoded once, for all who look at it."""

    def __init__(self, hass: HomeAssistant, entry: ConfigEntry, statistics: LookStatistics) -> None:
        """Begin with nothing to do."""
        self._hass = hass
        self._entry = entry
        self._statistics = statistics
        self._turns: dict[PictureEmbedder, _Turns] = {}

    async def async_see(self, lens: Lens, frame: Frame, wanted: Wanted, *, first: bool = False) -> Seen | None:
        """Embed a region of a frame; None where the frame grew stale before its turn: fetch another and come back ``first``.

        Raises EmbeddingError.
        """
        embedder = lens.embedder
        if (turns := self._turns.get(embedder)) is None:
            turns = self._turns[embedder] = _Turns(AT_ONCE.get(embedder.runtime, 1))
        job = next((job for job in turns.jobs if job.frame is frame), None)
        answer: asyncio.Future[Seen | None] = self._hass.loop.create_future()
        if job is None:
            job = _Job(frame, monotonic())
            turns.jobs.append(job)
            job.wanted.setdefault(wanted.region, []).append((wanted, answer))
            self._entry.async_create_background_task(
                self._hass, self._async_work(embedder, turns, job, first), f"{self._entry.title}: embed"
            )
        else:
            job.wanted.setdefault(wanted.region, []).append((wanted, answer))
        return await answer

    async def _async_work(self, embedder: PictureEmbedder, turns: _Turns, job: _Job, first: bool) -> None:
        with _answering(job):
            try:
                await asyncio.sleep(0)  # others were given the same frame just now, and are about to ask
                await turns.acquire(first=first)
            finally:
                turns.jobs.remove(job)
            try:
                if monotonic() - job.since > TOO_LATE_AFTER:
                    self._statistics.dropped += 1
                    found: list[Seen | None] = [None] * len(job.wanted)
                else:
                    found = [*await embedder.see(job.frame.picture, [_agreed(asked) for asked in job.wanted.values()])]
            finally:
                turns.release()
                if turns.idle:
                    self._turns.pop(embedder, None)
            for asked, seen in zip(job.wanted.values(), found, strict=True):
                for _, answer in asked:
                    if not answer.done():
                        answer.set_result(seen)


def _agreed(asked: list[tuple[Wanted, asyncio.Future[Seen | None]]]) -> Wanted:
    """Return what suits everyone who asks for the same region: nobody is given what is older than they would take."""
    wishes = [wanted for wanted, _ in asked]
    before = wishes[0].before
    if any(wanted.before is None or before is None or wanted.before.vector is not before.vector for wanted in wishes):
        return Wanted(wishes[0].region)
    return Wanted(wishes[0].region, before, min(wanted.least_change for wanted in wishes))


@contextmanager
def _answering(job: _Job) -> Iterator[None]:
    """Whatever goes wrong, whoever waits hears of it."""
    error: EmbeddingError | None = None
    try:
        yield
    except EmbeddingError as err:
        error = err
    finally:
        for asked in job.wanted.values():
            for _, answer in asked:
                if not answer.done():
                    answer.set_exception(error or RuntimeUnavailable("the engine was stopped"))
