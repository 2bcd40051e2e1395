"""A process that works off numbered cases and says before and after each which one it is at: it may die of any of them."""

import argparse
from collections.abc import Callable
import faulthandler
import json
import os
from pathlib import Path
import resource
import sys
import time

from .archives import Archives, attempt as attempt_archive
from .models import Models, attempt as attempt_model
from .pictures import Pictures, attempt as attempt_picture

_STATUS = Path("/proc/self/status")


def memory(field: str) -> int:
    """Return a figure of this process (VmRSS, VmHWM, VmSize) in KiB."""
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1])


def forget_peak() -> None:
    """Let VmHWM begin anew from what is resident now."""
    Path("/proc/self/clear_refs").write_text("5")


def limit_memory(more_mib: int) -> None:
    """Let this process have no more than this beside what it has: a runaway must not take the machine along."""
    limit = memory("VmSize") * 1024 + more_mib * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _case_of(arguments: argparse.Namespace) -> tuple[Callable[[int], bytes], Callable[[bytes], str]]:
    """Return what makes a case's bytes and what works it off, warmed up."""
    if arguments.what == "models":
        models = Models(arguments.models)
        attempt_model(models.sound(), arguments.runtime)
        return (lambda number: models.case(arguments.seed, number)), (
            lambda data: attempt_model(data, arguments.runtime)
        )
    if arguments.what == "archives":
        archives = Archives()
        attempt_archive(archives.sound())
        return (lambda number: archives.case(arguments.seed, number)), attempt_archive
    pictures = Pictures(arguments.drawn)
    attempt_picture(pictures.sound())
    return (lambda number: pictures.case(arguments.seed, number)), attempt_picture


def main() -> None:
    """Work off the cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("models", "pictures", "archives"))
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--first", type=int, required=True)
    parser.add_argument("--step", type=int, required=True)
    parser.add_argument("--end", type=int, required=True)
    parser.add_argument("--runtime", choices=("portable", "litert"), default="portable")
    parser.add_argument("--models", type=Path)
    parser.add_argument("--drawn", type=Path)
    parser.add_argument("--more-mib", type=int, default=3072)
    arguments = parser.parse_args()
    faulthandler.enable()
    # What native code prints must not get among the reports.
    reports = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    make, work = _case_of(arguments)
    limit_memory(arguments.more_mib)
    start = memory("VmRSS")
    for number in range(arguments.first, arguments.end, arguments.step):
        print(json.dumps({"number": number}), file=reports, flush=True)
        data = make(number)
        forget_peak()
        began = time.perf_counter()
        # What comes out of this besides an outcome is what is looked for: it ends the process, and the report of it.
        outcome = work(data)
        report = {
            "number": number,
            "outcome": outcome,
            "seconds": time.perf_counter() - began,
            "mib": max(0, memory("VmHWM") - start) / 1024,
            "left_mib": (memory("VmRSS") - start) / 1024,
        }
        print(json.dumps(report), file=reports, flush=True)
    sys.exit(0)


if __name__ == "__main__":
    main()
