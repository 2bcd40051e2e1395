"""How often an engine's classifiers look, and how often they couldn't."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Final

WINDOW: Final = 60.0
"""Seconds that looks are counted over."""

LEAST: Final = 10.0
"""Seconds below which a mean says nothing."""


class Pace:
    """Counts the looks of all classifiers of one engine."""

    def __init__(self) -> None:
        """Begin at nothing."""
        self._begun = monotonic()
        self._looks: deque[float] = deque()
        self.skipped = 0
        """Looks that were due while the one before was still under way, since the engine was started."""

    @contextmanager
    def look(self, interval: float | None) -> Iterator[None]:
        """Count a look; ``interval``: the seconds after which the next one is due, None where none is."""
        begun = monotonic()
        try:
            yield
            self._looks.append(monotonic())
        finally:
            if interval:
                self.skipped += int((monotonic() - begun) / interval)

    @property
    def per_second(self) -> float | None:
        """Looks a second, the mean of the last minute, or of the time since the engine was started; None right after that."""
        now = monotonic()
        while self._looks and now - self._looks[0] > WINDOW:
            self._looks.popleft()
        passed = min(WINDOW, now - self._begun)
        return len(self._looks) / passed if passed >= LEAST else None
