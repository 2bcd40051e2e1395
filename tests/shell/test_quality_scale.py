"""The quality scale: every rule is there, and what its entry claims is so, as far as that can be seen from the code."""

import ast
from importlib import import_module
from importlib.metadata import files
import re
from typing import Any

from homeassistant.const import Platform

from .metadata import HOUSE, ROOT, SHELL_FILES, calls, read, tree

RULES = {
    "bronze": [
        "action-setup",
        "appropriate-polling",
        "brands",
        "common-modules",
        "config-flow-test-coverage",
        "config-flow",
        "dependency-transparency",
        "docs-actions",
        "docs-conditions",
        "docs-high-level-description",
        "docs-installation-instructions",
        "docs-removal-instructions",
        "docs-triggers",
        "entity-event-setup",
        "entity-unique-id",
        "has-entity-name",
        "runtime-data",
        "test-before-configure",
        "test-before-setup",
        "unique-config-entry",
    ],
    "silver": [
        "action-exceptions",
        "config-entry-unloading",
        "docs-configuration-parameters",
        "docs-installation-parameters",
        "entity-unavailable",
        "integration-owner",
        "log-when-unavailable",
        "parallel-updates",
        "reauthentication-flow",
        "test-coverage",
    ],
    "gold": [
        "devices",
        "diagnostics",
        "discovery-update-info",
        "discovery",
        "docs-data-update",
        "docs-examples",
        "docs-known-limitations",
        "docs-supported-devices",
        "docs-supported-functions",
        "docs-troubleshooting",
        "docs-use-cases",
        "dynamic-devices",
        "entity-category",
        "entity-device-class",
        "entity-disabled-by-default",
        "entity-translations",
        "exception-translations",
        "icon-translations",
        "reconfiguration-flow",
        "repair-issues",
        "stale-devices",
    ],
    "platinum": ["async-dependency", "inject-websession", "strict-typing"],
}
"""Every rule of the quality scale in 2026.10 and 2026.11, by tier."""


def rules() -> dict[str, Any]:
    found: dict[str, Any] = read("quality_scale.yaml")["rules"]
    return found


def status(rule: str) -> str:
    entry = rules()[rule]
    return str(entry["status"] if isinstance(entry, dict) else entry)


def steps() -> set[str]:
    """Return the steps of all flows."""
    flows = (HOUSE / "config_flow.py", *(HOUSE / "flows").glob("*.py"))
    functions = [node for path in flows for node in ast.walk(tree(path)) if isinstance(node, ast.AsyncFunctionDef)]
    return {node.name.removeprefix("async_step_") for node in functions if node.name.startswith("async_step_")}


def test_every_rule_is_there_and_nothing_is_left_to_do() -> None:
    assert list(rules()) == [rule for tier in RULES.values() for rule in tier]
    for name, entry in rules().items():
        assert status(name) in {"done", "exempt"}, name
        if isinstance(entry, dict):
            assert entry.keys() == {"status", "comment"} and entry["comment"].strip(), name
        else:
            assert entry == "done", f"{name}: why?"


def test_dialogs_are_as_the_scale_says() -> None:
    assert (status("reconfiguration-flow") == "done") == ("reconfigure" in steps())
    assert (status("reauthentication-flow") == "done") == ("reauth_confirm" in steps())
    discovering = {"bluetooth", "dhcp", "hassio", "homekit", "mqtt", "ssdp", "usb", "zeroconf"} & steps()
    for rule in ("discovery", "discovery-update-info"):
        assert (status(rule) == "done") == bool(discovering), rule
    flows = [path.read_text() for path in SHELL_FILES if path.parent.name == "flows" or path.name == "config_flow.py"]
    assert status("unique-config-entry") == "done" and any("async_set_unique_id" in text for text in flows)


def test_files_are_as_the_scale_says() -> None:
    assert (status("diagnostics") == "done") == (HOUSE / "diagnostics.py").is_file()
    assert (status("repair-issues") == "done") == any(
        True for path in SHELL_FILES for _ in calls(path, "async_create_issue")
    )
    assert (status("docs-triggers") == "exempt") == (not (HOUSE / "trigger.py").exists())
    assert (status("docs-conditions") == "exempt") == (not (HOUSE / "condition.py").exists())
    assert status("brands") == "done" and (HOUSE / "brand" / "icon.png").is_file()


def test_every_platform_says_how_many_at_once() -> None:
    platforms = [path.stem for path in HOUSE.glob("*.py") if path.stem in set(Platform)]
    assert len(platforms) >= 3
    for name in platforms:
        module = import_module(f"custom_components.coral_imprint.{name}")
        assert isinstance(module.PARALLEL_UPDATES, int), name


def test_what_runs_is_kept_in_the_entry() -> None:
    assert any("runtime_data" in path.read_text() for path in SHELL_FILES)
    assert not [path.name for path in SHELL_FILES if "hass.data[DOMAIN" in path.read_text()]


def test_sessions_are_home_assistants() -> None:
    """The shell makes no HTTP session of its own."""
    made = [path.name for path in SHELL_FILES for _ in calls(path, "ClientSession")]
    assert made == []


def test_types_are_as_strict_as_the_requirements_let_them_be() -> None:
    """The entry names the requirements that tell type checkers nothing."""
    names = [re.split(r"[=<>~!]", requirement)[0] for requirement in read("manifest.json")["requirements"]]
    untyped = {name for name in names if not any(file.name == "py.typed" for file in files(name) or ())}
    comment = rules()["strict-typing"]["comment"]
    assert {name for name in names if name in comment} == untyped
    assert "strict = true" in (ROOT / "pyproject.toml").read_text()
