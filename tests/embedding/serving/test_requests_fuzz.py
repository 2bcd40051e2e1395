"""A short round of damaged requests; ``scripts/fuzz requests`` does it at length."""

import json
import os
import subprocess
import sys

from scripts.fuzzing.requests import Requests

from .client import CORE, ROOT


def test_damaged_requests() -> None:
    """Nothing but refusals and right answers, no 500, no crash, no growth."""
    ended = subprocess.run(
        [sys.executable, "-m", "scripts.fuzzing.command", "requests", "--count", "3000", "--seed", "20", "--json"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join((str(CORE), str(ROOT)))},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    found = json.loads(ended.stdout)["requests"]
    assert found["failures"] == []
    assert found["cases"] == 3000
    assert found["outcomes"]["200"] > 100
    assert found["outcomes"]["400"] > 1000
    assert {"401", "404", "405"} <= found["outcomes"].keys()


def test_cases_can_be_had_again() -> None:
    """Seed and number make a case, in whatever order they are asked for."""
    one, other = Requests(), Requests()
    cases = [one.case(5, number) for number in range(40, 60)]
    assert [other.case(5, number) for number in range(59, 39, -1)] == cases[::-1]
    assert [one.case(6, number) for number in range(40, 60)] != cases
