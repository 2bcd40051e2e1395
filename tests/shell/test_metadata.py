"""What Home Assistant's and HACS's own checks look at, checked offline."""

import ast
import json
from pathlib import Path
import re
from typing import Any

from PIL import Image
import pytest
import yaml

ROOT = Path(__file__).parents[2]
HOUSE = ROOT / "custom_components" / "coral_imprint"

PURE_PYTHON_OR_MUSL = {"numpy", "pillow", "tflite", "threadpoolctl"}
"""Requirements known to install on Alpine: Home Assistant's own, and wheels without native code."""


def read(name: str) -> Any:
    return json.loads((HOUSE / name).read_text())


def leaves(node: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], str]:
    if isinstance(node, dict):
        return {key: value for name, child in node.items() for key, value in leaves(child, (*path, name)).items()}
    return {path: node}


def test_manifest() -> None:
    manifest = read("manifest.json")
    keys = list(manifest)
    assert keys[:2] == ["domain", "name"]
    assert keys[2:] == sorted(keys[2:])
    assert manifest["domain"] == HOUSE.name
    assert re.fullmatch(r"\d+\.\d+\.\d+", manifest["version"])
    assert manifest["codeowners"] == ["@coral-imprint"]
    assert f'version = "{manifest["version"]}"' in (ROOT / "pyproject.toml").read_text()
    names = {re.split(r"[=<>~!]", requirement)[0].lower() for requirement in manifest["requirements"]}
    assert names <= PURE_PYTHON_OR_MUSL


def test_hacs() -> None:
    hacs = json.loads((ROOT / "hacs.json").read_text())
    assert hacs["homeassistant"] == "2026.10.0"
    assert hacs["name"] == read("manifest.json")["name"]
    assert [
        path.name for path in (ROOT / "custom_components").iterdir() if path.is_dir() and path.name[0] not in "._"
    ] == ["coral_imprint"]
    files = [path for path in HOUSE.rglob("*") if path.is_file()]
    assert len(files) < 50_000 and sum(path.stat().st_size for path in files) < 100 * 2**20


def test_services_translations_and_icons_agree() -> None:
    services = yaml.safe_load((HOUSE / "services.yaml").read_text())
    texts, icons = read("translations/en.json")["services"], read("icons.json")["services"]
    assert services.keys() == texts.keys() == icons.keys()
    for name, service in services.items():
        assert service["fields"].keys() == texts[name]["fields"].keys(), name
    from custom_components.coral_imprint.actions import ACTIONS

    assert {action.name for action in ACTIONS} == services.keys()
    for action in ACTIONS:
        assert {str(field) for field in action.fields} | {"device_id"} == services[action.name]["fields"].keys()


def test_every_error_has_its_message() -> None:
    messages = read("translations/en.json")["exceptions"]
    used: set[str] = set()
    for path in HOUSE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "translated":
                key = node.args[1]
                if isinstance(key, ast.Constant):
                    used.add(str(key.value))
                    placeholders = set(re.findall(r"{(\w+)}", messages[key.value]["message"]))
                    given = {keyword.arg for keyword in node.keywords}
                    assert placeholders <= given, f"{path.name}:{node.lineno}"
            if isinstance(node, ast.Assign | ast.AnnAssign) and path.name == "errors.py":
                target = node.targets[0] if isinstance(node, ast.Assign) else node.target
                if ast.unparse(target) == "key" and isinstance(node.value, ast.Constant):
                    used.add(str(node.value.value))
    assert sorted(used) == sorted(messages)


def test_flows_translate_every_field_and_error() -> None:
    texts = read("translations/en.json")
    from custom_components.coral_imprint.flows.forms import classifier_schema, engine_schema

    steps = texts["config"]["step"]
    for step in ("local", "choose", "recommended"):
        fields = {str(key) for key in engine_schema([], "installed").schema}
        assert fields == steps[step]["data"].keys() == steps[step]["data_description"].keys()
    steps = texts["config_subentries"]["classifier"]["step"]
    for step in ("user", "reconfigure"):
        schema = classifier_schema(new=step == "user").schema
        sections = {str(key): value for key, value in schema.items() if hasattr(value, "options")}
        plain = {str(key) for key in schema} - sections.keys()
        assert plain == steps[step]["data"].keys() == steps[step]["data_description"].keys()
        assert sections.keys() == steps[step]["sections"].keys()
        for name, section in sections.items():
            shown = steps[step]["sections"][name]
            assert (
                {str(key) for key in section.schema.schema} == shown["data"].keys() == shown["data_description"].keys()
            )


def test_what_is_shown_of_runtimes_is_translated() -> None:
    texts = read("translations/en.json")
    from custom_components.coral_imprint.const import MODEL_ENGINE
    from custom_components.coral_imprint.embedding.runtimes.choice import REASONS

    runtime = texts["entity"]["sensor"]["runtime"]
    assert runtime["state"].keys() == MODEL_ENGINE.keys()
    assert runtime["state_attributes"]["reason"]["state"].keys() == set(REASONS)
    assert texts["selector"]["litert"]["options"].keys() == {"installed", "installable", "no_wheel"}


def test_every_issue_has_its_flow() -> None:
    texts = read("translations/en.json")["issues"]
    named = set(re.findall(r'"(\w+)"', (HOUSE / "issues.py").read_text()))
    assert texts.keys() <= named
    for key, issue in texts.items():
        assert issue["title"]
        # Either a flow mends it, whose steps say what is wrong, or the issue says it itself.
        assert ("fix_flow" in issue) != ("description" in issue), key
        steps = issue["fix_flow"]["step"].values() if "fix_flow" in issue else [issue]
        assert steps and all(step["description"] for step in steps), key


def test_texts_are_fit_to_print() -> None:
    for path, text in leaves(read("translations/en.json")).items():
        assert text.strip() == text and text, path
        assert "://" not in text, f"{path}: links are placeholders"
        assert "[%key" not in text, path


@pytest.mark.parametrize("stem", ["icon", "logo", "dark_icon", "dark_logo"])
def test_brand(stem: str) -> None:
    with Image.open(HOUSE / "brand" / f"{stem}.png") as once, Image.open(HOUSE / "brand" / f"{stem}@2x.png") as twice:
        assert (2 * once.width, 2 * once.height) == twice.size
        if stem.endswith("icon"):
            assert once.size == (256, 256)


def test_quality_scale_names_every_rule() -> None:
    rules = yaml.safe_load((HOUSE / "quality_scale.yaml").read_text())["rules"]
    assert len(rules) > 50
    for name, rule in rules.items():
        if isinstance(rule, dict):
            assert rule["status"] in {"exempt", "todo"} and rule["comment"], name
        else:
            assert rule in {"done", "todo"}, name


def test_the_project_speaks_of_itself_alone() -> None:
    own = [
        path
        for folder in ("app", "custom_components", "docs", "bench", "scripts", "tests")
        for path in (ROOT / folder).rglob("*")
        if not any(part.endswith("_cache") for part in path.parts)
    ]
    texts = [*own, *ROOT.glob("*.md"), *ROOT.glob("*.txt"), *ROOT.glob("*.toml")]
    registries = ("py" + "pi.org", "python" + "hosted.org", "npm" + "js.org", "deb." + "debian.org")
    for path in texts:
        if path.is_file() and path.suffix in {".py", ".md", ".json", ".yaml", ".txt", ".toml", ""}:
            text = path.read_text()
            assert not [name for name in registries if name in text], path
