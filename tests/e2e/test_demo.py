"""The demo, as a newcomer runs it: a real Home Assistant process, its real flows, actions and states."""

import json
from pathlib import Path
import subprocess
from typing import Any

import pytest

from scripts.simulation.driveway import GATE_REGION, SIZE, Scene, draw

ROOT = Path(__file__).parents[2]
DEAD_S = 3600
"""After so long Home Assistant must be dead: a busy machine makes the demo slower, and nothing else."""


def demo(tmp_path: Path, *arguments: str) -> dict[str, Any]:
    """Run the demo and return the JSON that it prints."""
    command = [str(ROOT / "scripts" / "demo"), "--port", "0", "--config", str(tmp_path / "home"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEAD_S, check=False)
    console = tmp_path / "home" / "console.log"
    assert done.returncode == 0, f"{done.stderr}\n{console.read_text()[-5000:] if console.exists() else ''}"
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer | {"console": console.read_text()}


def test_three_examples_a_class_hold_through_day_night_and_rain(tmp_path: Path) -> None:
    seen = demo(tmp_path, "--once")
    assert seen["transitions"] >= 15
    assert seen["missed"] == []
    assert seen["flips_beyond_truth"] == 0
    assert seen["worst_delay_looks"] <= 2
    assert seen["looks_right_percent"] >= 99
    ours = [line for line in seen["console"].splitlines() if "coral_imprint" in line and " ERROR " in line]
    assert ours == []


def test_one_example_a_class_is_enough_by_day(tmp_path: Path) -> None:
    # The first 220 simulated seconds are a dry day from morning to afternoon.
    seen = demo(tmp_path, "--once", "--shots", "1", "--seconds", "200")
    assert seen["transitions"] >= 3
    assert (seen["looks_right_percent"], seen["missed"], seen["flips_beyond_truth"]) == (100.0, [], 0)


def test_pictures_get_the_cores_own_answers(tmp_path: Path) -> None:
    left, top, right, bottom = GATE_REGION
    box = (int(left * SIZE[0]), int(top * SIZE[1]), int(right * SIZE[0]), int(bottom * SIZE[1]))
    for gate in ("open", "closed"):
        folder = tmp_path / "pictures" / gate
        folder.mkdir(parents=True)
        for number in range(14):
            scene = Scene(gate=gate, car=number % 3 == 0, light=0.4 + 0.04 * number, paint=number % 7)
            draw(scene, number).crop(box).save(folder / f"{number:02}.jpg", quality=85)
    seen = demo(tmp_path, "--pictures", str(tmp_path / "pictures"), "--shots", "4", "--json")
    assert seen["shown"] == 20
    assert seen["accuracy"] == pytest.approx(seen["cores_accuracy"], abs=1)
    assert seen["accuracy"] >= 90
