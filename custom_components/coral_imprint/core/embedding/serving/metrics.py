"""What a server counts, as Prometheus reads it (text exposition format 0.0.4)."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
import threading
from typing import Final, TypeAlias

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
PREFIX: Final = "coral_imprint"

BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of durations, in seconds."""

Labels: TypeAlias = tuple[str, ...]
Gauge: TypeAlias = Callable[[], Mapping[Labels, float]]


@dataclass
class _Durations:
    """A histogram of seconds."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    total: float = 0.0


class Metrics:
    """Counters, durations and gauges. Counting may be done from any thread.

    Labels are chosen by the server (its models, its devices, statuses), never by a client: there are only so many of them.
    """

    def __init__(self) -> None:
        """Count nothing yet."""
        self._lock = threading.Lock()
        self._counters: dict[str, tuple[str, Sequence[str], dict[Labels, float]]] = {}
        self._durations: dict[str, tuple[str, Sequence[str], dict[Labels, _Durations]]] = {}
        self._gauges: list[tuple[str, str, Sequence[str], Gauge]] = []

    def counter(self, name: str, text: str, *names: str) -> Callable[..., None]:
        """Add a counter with labels of these names; returns what counts: call it with the labels' values."""
        values: dict[Labels, float] = {} if names else {(): 0}
        self._counters[f"{name}_total"] = text, names, values

        def count(*labels: str) -> None:
            with self._lock:
                values[labels] = values.get(labels, 0) + 1

        return count

    def durations(self, name: str, text: str, *names: str) -> Callable[..., None]:
        """Add a histogram of durations; returns what counts: call it with the seconds and the labels' values."""
        values: dict[Labels, _Durations] = {}
        self._durations[f"{name}_seconds"] = text, names, values

        def count(seconds: float, *labels: str) -> None:
            with self._lock:
                found = values.setdefault(labels, _Durations())
                found.counts[bisect_left(BUCKETS, seconds)] += 1
                found.total += seconds

        return count

    def gauge(self, name: str, text: str, read: Gauge, *names: str) -> None:
        """Add a figure that is read when it is asked for: by the labels' values."""
        self._gauges.append((name, text, names, read))

    def render(self) -> str:
        """Return everything as text."""
        with self._lock:
            lines = [*self._counter_lines(), *self._duration_lines()]
        for name, text, names, read in self._gauges:
            lines += _head(name, text, "gauge")
            lines += [_line(name, names, labels, value) for labels, value in read().items()]
        return "\n".join(lines) + "\n"

    def _counter_lines(self) -> Iterable[str]:
        for name, (text, names, values) in self._counters.items():
            yield from _head(name, text, "counter")
            for labels, value in values.items():
                yield _line(name, names, labels, value)

    def _duration_lines(self) -> Iterable[str]:
        bounds = (*(f"{bound:g}" for bound in BUCKETS), "+Inf")
        for name, (text, names, values) in self._durations.items():
            yield from _head(name, text, "histogram")
            for labels, found in values.items():
                sums = list(accumulate(found.counts))
                for bound, count in zip(bounds, sums, strict=True):
                    yield _line(f"{name}_bucket", (*names, "le"), (*labels, bound), count)
                yield _line(f"{name}_sum", names, labels, found.total)
                yield _line(f"{name}_count", names, labels, sums[-1])


def _head(name: str, text: str, kind: str) -> list[str]:
    return [f"# HELP {PREFIX}_{name} {text}", f"# TYPE {PREFIX}_{name} {kind}"]


def _line(name: str, names: Sequence[str], labels: Labels, value: float) -> str:
    pairs = ",".join(f'{key}="{_escaped(text)}"' for key, text in zip(names, labels, strict=True))
    return f"{PREFIX}_{name}{{{pairs}}} {value:.12g}" if pairs else f"{PREFIX}_{name} {value:.12g}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
