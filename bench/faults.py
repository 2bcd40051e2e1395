"""What programs share that let an Edge TPU (a stand-in) fail again and again: the faults, what is held meanwhile, and what came of it.

Nothing but Python's own library, so that it can be loaded into Home Assistant's process too.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
import os
from pathlib import Path
import threading
from typing import Any, Final, Protocol

COME_AND_GO: Final = 4
"""Descriptors, tasks… that pictures under way may hold at the moment of a sample. A leak grows with every abort."""
ANSWERS_BETWEEN: Final = 20
"""Pictures that the device embeds between two faults, at least."""
KINDS: Final = ("descriptors", "threads", "tasks", "processes", "folders")
"""What may leak, beside memory."""
_MOST_SECONDS: Final = 60.0
"""For a fault to be noticed, or the device to be back."""


class Faults(Protocol):
    """A stand-in's, as tests/standin has them."""

    def set(self, fault: str) -> None:
        """Let a fault happen."""

    def clear(self, fault: str) -> None:
        """Let it happen no more."""

    def pending(self, fault: str) -> bool:
        """Whether it has not happened yet."""

    def attach(self, devices: int = 1) -> None:
        """Plug devices in; 0 takes them away."""


@dataclass(frozen=True)
class Seen:
    """How the device and its process are."""

    starts: int
    """Times that the process was started."""
    serving: bool
    connected: bool
    """Whether the device answers."""
    by_device: int
    """Pictures that the device has embedded."""
    by_twin: int
    said: str = ""
    """What else is known, for whoever wonders."""

    @classmethod
    def of(cls, diagnostics: Mapping[str, Any]) -> "Seen":
        """Read an embedder's diagnostics, each of whose frames had one region."""
        server, twin = diagnostics["server"], diagnostics["by_twin"]
        said = f"{server}; {diagnostics['reason']}; {diagnostics['last_lines'][-5:]}"
        serving, connected = server["state"] == "serving", bool(diagnostics["connected"])
        return cls(server["starts"], serving, connected, diagnostics["frames"] - twin, twin, said)


@dataclass
class Tally:
    """What happened to the pictures."""

    wrong: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    """Pictures without an answer, by what was said."""
    tenths: Counter[int] = field(default_factory=Counter)
    """Answers by the time that they took, in tenths of milliseconds: what is held must not grow with the answers."""

    def add(self, seconds: float) -> None:
        """Take in an answer."""
        self.tenths[round(seconds * 1e4)] += 1

    def quantile(self, share: float) -> float:
        """Return the milliseconds within which a share of the answers came."""
        left = share * self.tenths.total()
        for tenth in sorted(self.tenths):
            left -= self.tenths[tenth]
            if left <= 0:
                return tenth / 10
        return 0.0

    def report(self) -> dict[str, Any]:
        """Sum up."""
        shares = (("median", 0.5), ("p99", 0.99), ("most", 1.0))
        return {
            "answers": self.tenths.total(),
            "wrong": self.wrong,
            "failed": dict(self.failed),
            "ms": {name: self.quantile(share) for name, share in shares},
        }


class Torment:
    """Lets the device fail, while others embed."""

    def __init__(self, faults: Faults, see: Callable[[], Awaitable[Seen]], poll: float = 0.005) -> None:
        """Take the faults, what tells how things are, and the seconds between two glances."""
        self._faults = faults
        self._see = see
        self._poll = poll

    async def _until(self, wanted: Callable[[Seen], bool], what: str) -> Seen:
        try:
            async with asyncio.timeout(_MOST_SECONDS):
                while not wanted(seen := await self._see()):
                    await asyncio.sleep(self._poll)
        except TimeoutError as error:
            raise SystemExit(f"{what}: {seen.said}") from error
        return seen

    async def until_connected(self) -> None:
        """Wait until the device has answered some pictures."""
        before = await self._until(lambda seen: seen.serving, "The process does not serve")
        enough = before.by_device + ANSWERS_BETWEEN
        await self._until(lambda seen: seen.connected and seen.by_device >= enough, "The device does not answer")

    async def abort(self) -> None:
        """Let the next inference abort the process; returns when it is replaced."""
        starts = (await self._see()).starts
        self._faults.set("abort")
        await self._until(lambda seen: seen.starts > starts and not self._faults.pending("abort"), "Nothing aborts")

    async def hang(self) -> None:
        """Let the device hang until its process was replaced."""
        starts = (await self._see()).starts
        self._faults.set("hang")
        await self._until(lambda seen: seen.starts > starts, "The hanging process is not replaced")
        self._faults.clear("hang")

    async def vanish(self) -> None:
        """Take the device away until that was noticed."""
        self._faults.attach(0)
        await self._until(lambda seen: not seen.connected, "That the device is gone is not noticed")
        self._faults.attach(1)

    async def go_on(self, aborts: int, every: int, sample: Callable[[], Awaitable[None]]) -> None:
        """Abort again and again, with another fault once in ``every`` aborts (0: none); ``sample`` is called after each."""
        await self.until_connected()
        for number in range(aborts):
            await self.abort()
            if every and number % every == every // 2:
                await self.until_connected()
                await (self.hang if number // every % 2 else self.vanish)()
            await self.until_connected()
            await sample()


def children() -> int:
    """Count the processes that this one started and that are there, dead ones included."""
    return sum(len(Path(task, "children").read_text().split()) for task in Path("/proc/self/task").iterdir())


def held(tasks: int, temporary: Path | None = None) -> dict[str, float]:
    """Return what this process holds that may leak, with its tasks as the caller counts them. Reads files.

    ``temporary``: where folders of sockets are.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return {
        "descriptors": len(os.listdir("/proc/self/fd")),  # noqa: PTH208 - the listing holds one itself, always
        "threads": threading.active_count(),
        "tasks": tasks,
        "processes": children(),
        "folders": len(list(temporary.glob("coral_imprint-*"))) if temporary else 0,
        "mib": round(int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024, 2),
    }


def growth(samples: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return by how much more was held at the end than after the first tenth."""
    tenth = max(1, len(samples) // 10)
    first, last = samples[tenth - 1 : 2 * tenth], samples[-tenth:]
    return {key: round(min(s[key] for s in last) - max(s[key] for s in first), 2) for key in samples[0]}


def problems(found: Mapping[str, Any], most_seconds: float, most_mib: float) -> list[str]:
    """Return what is not as it should be in a report: `Tally.report` with ``growth``, ``aborts``, ``by_device``, ``by_twin``."""
    grown = found["growth"]
    bad = [f"{kind} grew by {grown[kind]:g}" for kind in KINDS if grown[kind] > COME_AND_GO]
    if grown["mib"] > most_mib:
        bad.append(f"memory grew by {grown['mib']:g} MiB")
    if found["wrong"]:
        bad.append(f"{found['wrong']} answers were wrong")
    if found["failed"]:
        bad.append(f"{sum(found['failed'].values())} pictures got no answer")
    if found["ms"]["most"] > most_seconds * 1e3:
        bad.append(f"an answer took {found['ms']['most']:g} ms")
    if found["by_device"] < found["aborts"] * ANSWERS_BETWEEN or not found["by_twin"]:
        bad.append("one of the two did not take its part")
    if found["starts"] <= found["aborts"]:
        bad.append("not every abort happened")
    return bad
