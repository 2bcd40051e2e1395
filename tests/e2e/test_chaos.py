"""The chaos test's short form: a minute of faults and a kill, in a real Home Assistant."""

import json
from pathlib import Path
import subprocess

ROOT = Path(__file__).parents[2]


def test_a_minute_of_faults_loses_nothing(tmp_path: Path) -> None:
    options = ("--minutes", "1", "--kills", "1", "--config", str(tmp_path / "home"))
    command = [str(ROOT / "scripts" / "chaos"), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1200, check=False)
    assert done.stdout, done.stderr
    report = json.loads(done.stdout)
    assert (report["wrong"], report["unhandled"], done.returncode) == ([], [], 0), done.stderr
    assert report["events"]["kill"] >= 1
    assert report["examples_acknowledged"] > 24
    assert report["looks"] > 100
