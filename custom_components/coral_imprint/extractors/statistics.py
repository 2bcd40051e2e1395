"""How often an engine's classifiers look, how often they couldn't, and what they spared themselves."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Final

WINDOW: Final = 60.0
"""Seconds that looks are counted over."""

LEAST: Final = 10.0
"""Seconds below which a mean says nothing."""


class LookStatistics:
    """Counts the looks of all classifiers of one engine."""

    def __init__(self) -> None:
        """Begin at nothing."""
        self._begun = monotonic()
        self._looks: deque[float] = deque()
        self.looks = 0
        """Looks that gave a reading, since the engine was started; as all that follows."""
        self.skipped = 0
        """Looks that were due while the one before was still under way."""
        self.dropped = 0
        """Frames that grew stale while they waited for their turn."""
        self.fetched = 0
        """Frames asked of cameras."""
        self.reused = 0
        """Looks at a picture that had hardly changed, by the embedding that there was."""

    @contextmanager
    def look(self) -> Iterator[None]:
        """Count a look, unless it fails."""
        yield
        self.looks += 1
        self._looks.append(monotonic())

    @property
    def per_second(self) -> float | None:
        """Looks a second, the mean of the last minute, or of the time since the engine was started; None right after that."""
        now = monotonic()
        while self._looks and now - self._looks[0] > WINDOW:
            self._looks.popleft()
        passed = min(WINDOW, now - self._begun)
        return len(self._looks) / passed if passed >= LEAST else None

    @property
    def counts(self) -> dict[str, int]:
        """What was counted since the engine was started, by name."""
        return {
            "looks": self.looks,
            "skipped": self.skipped,
            "dropped": self.dropped,
            "fetched": self.fetched,
            "reused": self.reused,
        }
