"""The benchmark of accuracy by a real server's model: what it makes of pictures is what the same file does in the process."""

from io import BytesIO
import json
from pathlib import Path
import subprocess
import sys
from typing import Any

import numpy as np
from PIL import Image
import pytest

from tests.embedding.graphs import restart_random, separable
from tests.embedding.serving.client import environment, running

ROOT = Path(__file__).parents[3]
TOKEN = "a-token-of-more-than-sixteen-characters"


def picture(shade: int, number: int) -> bytes:
    """Return a JPEG of one shade with noise."""
    noise = np.random.default_rng(number).normal(shade, 25, (48, 64, 3)).clip(0, 255).astype(np.uint8)
    buffer = BytesIO()
    Image.fromarray(noise).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Return a folder of pictures in two classes."""
    for name, shade in (("dark", 110), ("light", 140)):
        folder = tmp_path / "shades" / name
        folder.mkdir(parents=True)
        for number in range(9):
            (folder / f"{number}.jpg").write_bytes(picture(shade, number + shade))
    return tmp_path / "shades"


def evaluate(*options: object, token: str = "") -> subprocess.CompletedProcess[str]:
    """Run the benchmark."""
    command = [sys.executable, "bench/evaluate.py", *map(str, options), "--shots", "1,2", "--episodes", "5", "--json"]
    return subprocess.run(
        command,
        cwd=ROOT,
        env=environment() | {"CORAL_IMPRINT_TOKEN": token},
        capture_output=True,
        text=True,
        check=False,
    )


def without_times(output: str) -> Any:
    report = json.loads(output)
    for one in report.values():
        assert one.pop("ms_per_picture") > 0
    return report


def test_a_servers_model_is_evaluated_as_its_file_is(pictures: Path, tmp_path: Path) -> None:
    file, token = tmp_path / "net.tflite", tmp_path / "token"
    restart_random()
    file.write_bytes(separable("uint8", 32, 32, 16))
    token.write_text(TOKEN)
    with running("--models", file, "--port", 0, "--runtime", "portable", "--token-file", token) as server:
        by_server = evaluate(pictures, "--extractor", "net", "--runtime", server.address, token=TOKEN)
        assert by_server.returncode == 0, by_server.stderr
        refused = evaluate(pictures, "--extractor", "net", "--runtime", server.address)
        assert refused.returncode == 1 and "token" in refused.stderr and TOKEN not in refused.stderr
        missing = evaluate(pictures, "--extractor", "other", "--runtime", server.address, token=TOKEN)
        assert missing.returncode == 1 and "no such model" in missing.stderr
    here = evaluate(pictures, "--extractor", file, "--runtime", "portable")
    assert without_times(by_server.stdout) == without_times(here.stdout)
    assert without_times(here.stdout)["shades"]["2"]["accuracy"] > 60
    wrong = evaluate(pictures, "--runtime", "fast")
    assert wrong.returncode == 2 and "--runtime" in wrong.stderr
