"""The README says what there is: every action, field, entity and option by its name, links that lead somewhere, examples that work."""

import re
from typing import Any

from homeassistant.components.automation.config import async_validate_config_item
from homeassistant.components.script.config import async_validate_config_item as async_validate_script
from homeassistant.core import HomeAssistant
from homeassistant.helpers import config_validation as cv
from homeassistant.setup import async_setup_component
import pytest
import yaml

from .conftest import DOMAIN
from .metadata import ROOT, leaves, placeholders, read, texts

README = (ROOT / "README.md").read_text()
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

SECTIONS = {
    "docs-actions": "Actions",
    "docs-configuration-parameters": "Classifier",
    "docs-data-update": "When data is updated",
    "docs-examples": "Examples of automations",
    "docs-high-level-description": "Coral Imprint",
    "docs-installation-instructions": "Installation",
    "docs-installation-parameters": "Engine",
    "docs-known-limitations": "Known limits",
    "docs-removal-instructions": "Removing it",
    "docs-supported-devices": "Supported cameras",
    "docs-supported-functions": "Entities",
    "docs-troubleshooting": "Troubleshooting",
    "docs-use-cases": "What it is good for",
}
"""Where the README keeps to each of the quality scale's rules for documents."""


def sections(text: str) -> dict[str, str]:
    """Return what stands under each heading, parts with headings of their own included."""
    found: dict[str, str] = {}
    lines = re.sub(r"```.*?```", lambda block: block.group().replace("\n#", "\n "), text, flags=re.DOTALL).split("\n")
    heads = [(index, len(line) - len(line.lstrip("#"))) for index, line in enumerate(lines) if re.match("#+ ", line)]
    for number, (index, level) in enumerate(heads):
        end = next((other for other, lower in heads[number + 1 :] if lower <= level), len(lines))
        found.setdefault(lines[index].lstrip("# "), "\n".join(lines[index + 1 : end]))
    return found


def anchor(heading: str) -> str:
    """Return a heading's anchor as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def blocks(language: str) -> list[Any]:
    """Return the README's pieces of code in a language."""
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def said(text: str) -> str:
    """Return a text as it is compared: without emphasis, in lower case, on one line."""
    return re.sub(r"\s+", " ", text.replace("*", "").lower())


def test_every_rule_for_documents_is_kept_somewhere() -> None:
    rules = read("quality_scale.yaml")["rules"]
    assert {rule for rule, status in rules.items() if rule.startswith("docs-") and status == "done"} == SECTIONS.keys()
    there = sections(README)
    for rule, heading in SECTIONS.items():
        assert len(there[heading].split()) > 40, rule


def test_every_action_and_field_is_described() -> None:
    described = sections(README)["Actions"]
    for name, action in texts()["services"].items():
        assert f"`{DOMAIN}.{name}`" in described, name
        for field in action["fields"]:
            assert f"`{field}`" in described, f"{name}.{field}"


def test_every_entity_is_described() -> None:
    described = said(sections(README)["Entities"])
    for path, name in leaves(texts()["entity"]).items():
        if path[-1] == "name" and len(path) == 3:
            words = [word.strip() for word in re.split(r"{\w+}", name)]
            entity = f"`{path[0]}.gate_{anchor(name.replace('{class}', 'open')).replace('-', '_')}`"
            assert entity in described or all(said(word) in described for word in words), name


def test_every_option_is_described() -> None:
    """Engines' under Engine, and where engines on servers and on an Edge TPU are described; classifiers' under Classifier."""
    there = sections(README)
    engines = said("".join(there[heading] for heading in there if "ngine" in heading))
    for step, fields in texts()["config"]["step"].items():
        for label in fields.get("data", {}).values():
            assert said(label) in engines, f"{step}: {label}"
    classifiers = said(there["Classifier"])
    for step in texts()["config_subentries"]["classifier"]["step"].values():
        for path, label in leaves(step).items():
            if "data" in path or (path[0] == "sections" and path[-1] == "name"):
                assert said(label) in classifiers, path


def test_every_issue_is_in_the_troubleshooting() -> None:
    described = said(sections(README)["Troubleshooting"])
    for key, issue in texts()["issues"].items():
        pieces = [piece.strip() for piece in re.split(r"{\w+}", issue["title"]) if len(piece.strip()) > 8]
        assert any(said(piece) in described for piece in pieces), f"{key}: {issue['title']}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Any) -> None:
    text = document.read_text()
    anchors = {path: {anchor(heading) for heading in sections(path.read_text())} for path in DOCUMENTS}
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    assert links or document.name == "architecture.md"
    for link in links:
        path, _, part = link.partition("#")
        if "://" in link:
            continue
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), link
        if part and target.suffix == ".md":
            assert part in anchors[target], link


def test_every_picture_is_shown_and_every_shown_one_is_there() -> None:
    shown = {name for document in DOCUMENTS for name in re.findall(r"images/([\w.-]+)", document.read_text())}
    assert shown == {path.name for path in (ROOT / "docs" / "images").iterdir()}


async def test_examples_are_sound(hass: HomeAssistant) -> None:
    """Automations and scripts as Home Assistant validates them, actions with the fields that they take."""
    for needed in ("automation", "script", DOMAIN):
        assert await async_setup_component(hass, needed, {})
    seen = 0
    for block in blocks("yaml"):
        code = yaml.safe_load(block)
        if "triggers" in code:
            automation = await async_validate_config_item(hass, "example", code)
            assert automation is not None and automation.validation_error is None, block
        elif "sequence" in code:
            script = await async_validate_script(hass, "example", code)
            assert script is not None and script.validation_error is None, block
        elif "action" in code:
            cv.SERVICE_SCHEMA(code)
        for call in _calls(code):
            name = call["action"].removeprefix(f"{DOMAIN}.")
            schema = hass.services.async_services_for_domain(DOMAIN)[name].schema
            assert schema is not None
            schema(call.get("data", {}))
            seen += 1
    assert seen >= 5


def _calls(code: Any) -> list[dict[str, Any]]:
    """Return the calls of our actions in a piece of code, however deep."""
    if isinstance(code, list):
        return [call for one in code for call in _calls(one)]
    if not isinstance(code, dict):
        return []
    own = [code] if str(code.get("action", "")).startswith(f"{DOMAIN}.") else []
    return own + [call for one in code.values() for call in _calls(one)]


def test_examples_name_entities_that_there_are() -> None:
    """The README's gate has the entities that a classifier of that name and its classes gets."""
    domains = "|".join(texts()["entity"])
    named = set(re.findall(rf"\b(?:{domains})\.gate_\w+", README))
    names = [value for path, value in leaves(texts()["entity"]).items() if path[-1] == "name" and len(path) == 3]
    suffixes = {re.sub(r"\W+", "_", name.lower()).strip("_") for name in names if not placeholders(name)}
    suffixes |= {"open", "closed", "score_of_open", "score_of_closed"}
    assert named and {entity.partition(".gate_")[2] for entity in named} <= suffixes
