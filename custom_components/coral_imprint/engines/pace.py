"""How often an engine's classifiers look."""

from collections import deque
from time import monotonic
from typing import Final

WINDOW: Final = 60.0
"""Seconds that looks are counted over."""

LEAST: Final = 10.0
"""Seconds below which a mean says nothing."""


class Pace:
    """When the classifiers of one engine looked."""

    def __init__(self) -> None:
        """Begin at nothing."""
        self._begun = monotonic()
        self._looks: deque[float] = deque()

    def count(self) -> None:
        """Count a look."""
        self._forget(now := monotonic())
        self._looks.append(now)

    def _forget(self, now: float) -> None:
        while self._looks and now - self._looks[0] > WINDOW:
            self._looks.popleft()

    @property
    def per_second(self) -> float | None:
        """Looks a second, the mean of the last minute, or of the time since the engine was started; None right after that."""
        self._forget(now := monotonic())
        passed = min(WINDOW, now - self._begun)
        return len(self._looks) / passed if passed >= LEAST else None
