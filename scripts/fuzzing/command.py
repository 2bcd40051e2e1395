"""Damaged models, pictures, archives and requests: nothing but a named error or a right answer may come of them.

Each case is made from a seed and its number, so that a finding can be had again: ``--first NUMBER --count 1``. Ends with 1 where a case
crashed its process, hung, took more memory than allowed or let out anything but the named errors.
"""

import argparse
import json
import os
from pathlib import Path
import subprocess
import sys
import tempfile
import time
from typing import Any

from .children import ROOT, Crew, Limits, worker_command
from .requests import fuzz_requests

KINDS = ("models", "pictures", "archives", "requests")


def fuzz(
    what: str, first: int, end: int, seed: int, limits: Limits, *, few: bool = False, **options: object
) -> dict[str, Any]:
    """Work off the cases ``first`` to ``end`` − 1 in child processes; returns the findings as JSON can hold them.

    ``few``: leave most of the huge pictures out, which take seconds. ``options``: ``runtime`` (portable, litert) and ``models`` (a folder of TFLite files beside the built ones), for models.
    """
    with tempfile.TemporaryDirectory() as folder:
        if what == "pictures":
            path = os.pathsep.join((str(ROOT / "custom_components" / "coral_imprint" / "core"), str(ROOT)))
            subprocess.run(
                [sys.executable, "-m", "scripts.fuzzing.drawn", folder, *(["few"] if few else [])],
                cwd=ROOT,
                env=os.environ | {"PYTHONPATH": path},
                check=True,
            )
            options = {"drawn": folder}
        start = time.monotonic()
        findings = Crew(worker_command(what, seed, **options), limits).work(first, end).as_dict()
        return {"seed": seed, "first": first, **findings, "seconds": round(time.monotonic() - start, 1)}


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=KINDS, help="what to damage (default: one after the other)")
    parser.add_argument("--count", type=int, default=10_000, help="cases of each")
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runtime", choices=("portable", "litert"), help="what executes the models (default: each)")
    parser.add_argument("--models", type=Path, metavar="FOLDER", help="TFLite files to damage beside the built ones")
    parser.add_argument("--seconds", type=float, default=20, help="a case that takes longer hangs")
    parser.add_argument(
        "--mib", type=float, default=256, help="memory that a case may take beyond what is there before"
    )
    parser.add_argument("--json", action="store_true", help="nothing but one line of JSON")
    options = parser.parse_args()
    limits, end = Limits(options.seconds, options.mib), options.first + options.count
    models = options.models.resolve() if options.models else None
    report: dict[str, Any] = {}
    if options.what in (None, "models"):
        for runtime in (options.runtime,) if options.runtime else ("portable", "litert"):
            report[f"models, {runtime}"] = fuzz(
                "models", options.first, end, options.seed, limits, runtime=runtime, models=models
            )
    if options.what in (None, "pictures"):
        report["pictures"] = fuzz("pictures", options.first, end, options.seed, limits)
    if options.what in (None, "archives"):
        report["archives"] = fuzz("archives", options.first, end, options.seed, limits)
    if options.what in (None, "requests"):
        report["requests"] = fuzz_requests(options.first, end, options.seed, limits)
    print(json.dumps(report, indent=None if options.json else 2))
    return 1 if any(findings["failures"] for findings in report.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
