"""The integration's files as its metadata's tests read them: texts, icons, actions, and the code as syntax trees."""

import ast
from collections.abc import Iterator, Mapping
from functools import cache
import json
from pathlib import Path
import string
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
HOUSE = ROOT / "custom_components" / "coral_imprint"
CORES = ("embedding", "imprinting")
SHELL_FILES = sorted(path for path in HOUSE.rglob("*.py") if path.relative_to(HOUSE).parts[0] != "core")
CORE_FILES = sorted(path for core in CORES for path in (HOUSE / "core" / core).rglob("*.py"))

type Place = tuple[str, ...]
"""Where a text is: the keys that lead to it."""


def read(name: str) -> Any:
    """Return a JSON or YAML file of the integration."""
    text = (HOUSE / name).read_text()
    return yaml.safe_load(text) if name.endswith(".yaml") else json.loads(text)


@cache
def texts() -> Any:
    """Return the translations. Not to be changed."""
    return read("translations/en.json")


@cache
def tree(path: Path) -> ast.Module:
    """Return a file's syntax tree."""
    return ast.parse(path.read_text())


def leaves(node: Any, path: Place = ()) -> dict[Place, str]:
    """Return the texts of nested mappings by where they are."""
    if isinstance(node, Mapping):
        return {key: value for name, child in node.items() for key, value in leaves(child, (*path, name)).items()}
    return {path: node}


def placeholders(text: str) -> set[str]:
    """Return the names of a text's placeholders."""
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def calls(path: Path, *names: str) -> Iterator[ast.Call]:
    """Yield a file's calls of functions or methods of these names."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)
            if called in names:
                yield node


def argument(call: ast.Call, name: str, position: int | None = None) -> ast.expr | None:
    """Return what a call gives for an argument, None where it gives nothing."""
    for keyword in call.keywords:
        if keyword.arg == name:
            return keyword.value
    return call.args[position] if position is not None and position < len(call.args) else None


def constants(node: ast.AST | None) -> set[str]:
    """Return the strings anywhere in a piece of code."""
    found = ast.walk(node) if node else ()
    return {one.value for one in found if isinstance(one, ast.Constant) and isinstance(one.value, str)}
