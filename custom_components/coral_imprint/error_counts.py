"""What went wrong, how often, and when the last time: for diagnostics."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from homeassistant.util import dt as dt_util


@dataclass(slots=True)
class _Count:
    times: int
    last: datetime


class ErrorCounts:
    """Counts errors by the key of their message, which says nothing of the user's."""

    def __init__(self) -> None:
        """Begin without any."""
        self._counts: dict[str, _Count] = {}

    def note(self, key: str) -> None:
        """Count an error."""
        now = dt_util.utcnow()
        count = self._counts.setdefault(key, _Count(0, now))
        count.times += 1
        count.last = now

    def as_dict(self) -> dict[str, Any]:
        """Return them, the latest first: times and the last moment by key."""
        latest = sorted(self._counts.items(), key=lambda item: item[1].last, reverse=True)
        return {key: {"times": count.times, "last": count.last.isoformat()} for key, count in latest}
