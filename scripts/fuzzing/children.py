"""Runs workers over numbered cases, and finds out which of them crash, hang or take too much memory."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
import json
import os
from pathlib import Path
import selectors
import subprocess
import sys
import tempfile
import threading
from typing import IO, Any, Final

_MOST_FAILURES: Final = 100
"""After so many, something is wrong with more than the cases."""

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Findings:
    """What came of the cases."""

    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[dict[str, Any]] = field(default_factory=list)
    """Cases that crashed, hung, took too much memory or let another exception out."""
    most_mib: float = 0.0
    most_mib_at: int = -1
    left_mib: float = 0.0
    """What a worker had grown by at its end, at most."""
    slowest_seconds: float = 0.0
    slowest_at: int = -1

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON can hold it."""
        return {
            "cases": self.outcomes.total(),
            "outcomes": dict(self.outcomes.most_common()),
            "failures": sorted(self.failures, key=lambda failure: int(failure["number"])),
            "most_mib": round(self.most_mib, 1),
            "most_mib_at": self.most_mib_at,
            "left_mib": round(self.left_mib, 1),
            "slowest_seconds": round(self.slowest_seconds, 3),
            "slowest_at": self.slowest_at,
        }


@dataclass(frozen=True)
class Limits:
    """What a case may take."""

    seconds: float = 20.0
    mib: float = 256.0


class Crew:
    """Some workers at once, each with every n-th case, and started again behind a case that it died of."""

    def __init__(self, command: Sequence[str], limits: Limits, workers: int = 2) -> None:
        """Take the worker's command line but for its numbers, which are added."""
        self._command = command
        self._limits = limits
        self._workers = workers
        self._lock = threading.Lock()
        self.findings = Findings()

    def work(self, first: int, end: int) -> Findings:
        """Work off the cases ``first`` to ``end`` − 1."""
        threads = [threading.Thread(target=self._share, args=(first + own, end)) for own in range(self._workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return self.findings

    def _share(self, number: int, end: int) -> None:
        """Work off one worker's share, with as many processes as it takes."""
        while number < end and len(self.findings.failures) < _MOST_FAILURES:
            number = self._one_process(number, end) + self._workers

    def _one_process(self, first: int, end: int) -> int:
        """Start a process at a case; returns the last case that it began."""
        numbers = ["--first", str(first), "--step", str(self._workers), "--end", str(end)]
        path = os.pathsep.join((str(ROOT / "custom_components" / "coral_imprint" / "core"), str(ROOT)))
        with (
            tempfile.TemporaryFile() as errors,
            subprocess.Popen(
                [*self._command, *numbers],
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=ROOT,
                env=os.environ | {"PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"},
            ) as process,
        ):
            at, finished, why = self._listen(process, first)
            if finished and process.wait() == 0:
                return at
            process.kill()
            code = process.wait()
            errors.seek(0)
            tail = errors.read().decode("utf-8", "replace")[-1500:]
            self._fail(at, why or ("crash" if code < 0 else "exception"), f"status {code}: {tail}")
            return at

    def _listen(self, process: subprocess.Popen[bytes], first: int) -> tuple[int, bool, str]:
        """Follow a process: the last case that it began, whether it got through that, and why not."""
        assert process.stdout
        at, finished, pending = first, False, b""
        while True:
            # The first case waits for the imports too.
            if not _readable(process.stdout, self._limits.seconds):
                return at, False, "hang"
            chunk = os.read(process.stdout.fileno(), 1 << 16)
            if not chunk:
                return at, finished, ""
            *lines, pending = (pending + chunk).split(b"\n")
            for line in lines:
                report = json.loads(line)
                at, finished = report["number"], "outcome" in report
                if finished:
                    self._add(report)

    def _add(self, report: dict[str, Any]) -> None:
        number = report["number"]
        with self._lock:
            found = self.findings
            found.outcomes[report["outcome"]] += 1
            found.left_mib = max(found.left_mib, report["left_mib"])
            if report["mib"] > found.most_mib:
                found.most_mib, found.most_mib_at = report["mib"], number
            if report["seconds"] > found.slowest_seconds:
                found.slowest_seconds, found.slowest_at = report["seconds"], number
            if report["mib"] > self._limits.mib:
                found.failures.append({"number": number, "why": "memory", "details": f"{report['mib']:.0f} MiB"})

    def _fail(self, number: int, why: str, details: str) -> None:
        with self._lock:
            self.findings.outcomes[why] += 1
            self.findings.failures.append({"number": number, "why": why, "details": details})


def worker_command(what: str, seed: int, **options: object) -> list[str]:
    """Return the command line of a worker, but for its numbers."""
    command = [sys.executable, "-m", "scripts.fuzzing.worker", what, "--seed", str(seed)]
    for name, value in options.items():
        if value is not None:
            command += [f"--{name.replace('_', '-')}", str(value)]
    return command


def _readable(pipe: IO[bytes], seconds: float) -> bool:
    """Wait until there is something to read, the end included, for so many seconds at most; return whether there is."""
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        return bool(selector.select(seconds))
