"""The real frontend in a real browser: a new user adds an engine and a classifier, teaches it, looks at the result."""

from pathlib import Path
import subprocess

from PIL import Image

ROOT = Path(__file__).parents[2]


def test_a_new_user_gets_through_the_ui(tmp_path: Path) -> None:
    command = [
        str(ROOT / "scripts" / "screenshots"),
        "--folder",
        str(tmp_path / "images"),
        "--config",
        str(tmp_path / "home"),
    ]
    # It ends with an error where the frontend logged one, a request failed, or anything outside was asked for.
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    taken = {path.name for path in (tmp_path / "images").glob("*.png")}
    assert taken == {path.name for path in (ROOT / "docs" / "images").glob("*.png")}
    for name in taken:
        with Image.open(tmp_path / "images" / name) as picture:
            assert min(picture.size) > 100
