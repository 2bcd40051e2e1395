"""The documents say what there is: every action, field, entity and option on its page, links that lead somewhere, examples that work."""

from pathlib import Path
import re
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from homeassistant.components.automation.config import async_validate_config_item
from homeassistant.components.script.config import async_validate_config_item as async_validate_script
from homeassistant.core import HomeAssistant
from homeassistant.helpers import config_validation as cv
from homeassistant.setup import async_setup_component
import pytest
import yaml

from custom_components.coral_imprint.const import (
    BURST_OPTIONS,
    DECISION_OPTIONS,
    GATE_OPTIONS,
    INTERVAL,
    REGION_EDGES,
    SETTLE,
    THREADS,
    NumberOption,
)

from .conftest import DOMAIN
from .documents import (
    CONTRIBUTING,
    DOCS,
    DOCUMENTS,
    LONGEST,
    PAGES,
    README,
    anchor,
    code_blocks,
    headings,
    paths_of,
    rows,
    said,
    sections,
    sentences,
    too_long,
    without_code,
    words,
)
from .metadata import HOUSE, ROOT, leaves, placeholders, read, texts

ACTIONS = DOCS / "actions.md"
ARCHITECTURE = DOCS / "architecture.md"
ENTITIES = DOCS / "entities.md"
OPTIONS = DOCS / "options.md"
TROUBLESHOOTING = DOCS / "troubleshooting.md"
ENGINES = (OPTIONS, DOCS / "extractors.md", DOCS / "edge-tpu.md")
"""Where the options of engines are described."""
APP = [ROOT / "app" / name for name in ("README.md", "DOCS.md", "CHANGELOG.md")]

SECTIONS = {
    "docs-actions": (ACTIONS, "Actions"),
    "docs-configuration-parameters": (OPTIONS, "Classifier"),
    "docs-data-update": (DOCS / "how-it-works.md", "When data is updated"),
    "docs-examples": (DOCS / "automations.md", "Examples of automations"),
    "docs-high-level-description": (README, "Coral Imprint"),
    "docs-installation-instructions": (DOCS / "installation.md", "Ways to install"),
    "docs-installation-parameters": (OPTIONS, "Engine"),
    "docs-known-limitations": (DOCS / "limits.md", "Known limits"),
    "docs-removal-instructions": (DOCS / "installation.md", "Removing it"),
    "docs-supported-devices": (DOCS / "limits.md", "Supported cameras"),
    "docs-supported-functions": (ENTITIES, "Entities"),
    "docs-troubleshooting": (TROUBLESHOOTING, "Messages and symptoms"),
    "docs-use-cases": (README, "What it is good for"),
}
"""Where the documents keep to each of the quality scale's rules for them: page and section."""

LARGEST_README: Final = 15_000
"""Bytes."""
ALLOWANCE: Final = 20
"""One sentence in so many may have more words than LONGEST."""


def test_every_rule_for_documents_is_kept_somewhere() -> None:
    rules = read("quality_scale.yaml")["rules"]
    assert {rule for rule, status in rules.items() if rule.startswith("docs-") and status == "done"} == SECTIONS.keys()
    for rule, (page, heading) in SECTIONS.items():
        assert len(sections(page.read_text())[heading].split()) > 40, rule


def test_the_readme_is_short() -> None:
    assert len(README.read_bytes()) <= LARGEST_README


def test_the_readme_leads_to_every_page() -> None:
    links = {
        link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", sections(README.read_text())["All pages"])
    }
    assert len(PAGES) > 10
    assert {str(path.relative_to(ROOT)) for path in DOCUMENTS if path != README} <= links


@pytest.mark.parametrize("page", [README, DOCS / "installation.md"], ids=lambda path: path.name)
def test_buttons_lead_to_this_integration(page: Path) -> None:
    links = [
        urlsplit(link)
        for link in re.findall(r"\]\((https://my\.home-assistant\.io/redirect/[^)\s]+)\)", page.read_text())
    ]
    asked = {link.path: {key: value for key, (value,) in parse_qs(link.query).items()} for link in links}
    owner, repository = urlsplit(read("manifest.json")["documentation"]).path.strip("/").split("/")
    assert asked == {
        "/redirect/hacs_repository/": {"owner": owner, "repository": repository, "category": "integration"},
        "/redirect/config_flow_start/": {"domain": DOMAIN},
    }


def test_the_oldest_home_assistant_is_that_of_hacs() -> None:
    oldest = re.sub(r"\.0$", "", str(yaml.safe_load((ROOT / "hacs.json").read_text())["homeassistant"]))
    for page in (README, DOCS / "installation.md"):
        assert f"Home Assistant {oldest} or newer" in page.read_text()


def test_every_action_and_field_is_described() -> None:
    """Each action in the table and in a section of its own, which describes its fields."""
    described = sections(ACTIONS.read_text())
    for name, action in texts()["services"].items():
        assert f"[`{DOMAIN}.{name}`](#{name})" in described["Actions"], name
        own = described[f"`{name}`"]
        assert f"action: {DOMAIN}.{name}\n" in own, f"{name}: an example"
        for field in action["fields"]:
            place = described["Actions"].partition("## ")[0] if field == "device_id" else without_blocks(own)
            assert f"`{field}`" in place, f"{name}.{field}"
    assert {heading.strip("`") for heading in described if heading.startswith("`")} == texts()["services"].keys()


def without_blocks(text: str) -> str:
    """Return a text without its pieces of code, inline code kept."""
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


def test_every_entity_is_described() -> None:
    described = said(sections(ENTITIES.read_text())["Entities"])
    for path, name in leaves(texts()["entity"]).items():
        if path[-1] == "name" and len(path) == 3:
            pieces = [word.strip() for word in re.split(r"{\w+}", name)]
            entity = f"`{path[0]}.gate_{anchor(name.replace('{class}', 'open')).replace('-', '_')}`"
            assert entity in described or all(said(word) in described for word in pieces), name


def test_every_attribute_of_entities_is_named() -> None:
    described = said(sections(ENTITIES.read_text())["Entities"])
    found = {path: name for path, name in leaves(texts()["entity"]).items() if path[-1] == "name" and len(path) == 5}
    assert len(found) > 8
    for path, name in found.items():
        assert said(name) in described or f"`{path[3]}`" in described, path


def test_every_option_is_described() -> None:
    """Engines' under Engine, and where engines on servers and on an Edge TPU are described; classifiers' under Classifier."""
    engines = said(sections(OPTIONS.read_text())["Engine"] + "".join(page.read_text() for page in ENGINES[1:]))
    for step, fields in texts()["config"]["step"].items():
        for label in fields.get("data", {}).values():
            assert said(label) in engines, f"{step}: {label}"
    classifiers = sections(OPTIONS.read_text())["Classifier"]
    for step in texts()["config_subentries"]["classifier"]["step"].values():
        for path, label in leaves(step).items():
            if "data" in path or (path[0] == "sections" and path[-1] == "name"):
                named = [row[0] for row in rows(classifiers)] if "data" in path else headings(classifiers)
                assert label in named, path


def test_numbers_have_the_defaults_and_bounds_of_the_code() -> None:
    described = {row[0]: row for row in rows(sections(OPTIONS.read_text())["Options"])}
    labels = {
        path[-1]: label
        for steps in (texts()["config"]["step"], texts()["config_subentries"]["classifier"]["step"])
        for path, label in leaves(steps).items()
        if "data" in path
    }
    numbers = (THREADS, *REGION_EDGES, INTERVAL, *BURST_OPTIONS, *GATE_OPTIONS, SETTLE, *DECISION_OPTIONS)
    assert len(numbers) > 15
    for option in numbers:
        _, default, bounds, *_ = described[labels[option.key]]
        assert default == with_unit(f"{option.default:g}", option), option.key
        assert bounds.partition(":")[0] == with_unit(f"{option.low:g}–{option.high:g}", option), option.key


def with_unit(number: str, option: NumberOption) -> str:
    return f"{number} {option.unit}" if option.unit else number


def test_every_issue_is_in_the_troubleshooting() -> None:
    described = said(sections(TROUBLESHOOTING.read_text())["Troubleshooting"])
    for key, issue in texts()["issues"].items():
        pieces = [piece.strip() for piece in re.split(r"{\w+}", issue["title"]) if len(piece.strip()) > 8]
        assert any(said(piece) in described for piece in pieces), f"{key}: {issue['title']}"


def test_every_problem_of_cameras_is_described() -> None:
    states = texts()["entity"]["sensor"]["camera_problem"]["state"]
    described = sections(TROUBLESHOOTING.read_text())["Camera health"]
    named = {name.strip() for row in rows(described) for name in row[0].split(",")}
    assert {state for key, state in states.items() if key != "ok"} <= named


@pytest.mark.parametrize("document", [*DOCUMENTS, *APP], ids=lambda path: f"{path.parent.name}/{path.name}")
def test_links_lead_somewhere(document: Path) -> None:
    anchors = {path: {anchor(heading) for heading in headings(path.read_text())} for path in (*DOCUMENTS, *APP)}
    links = re.findall(r"\]\(([^)\s]+)\)", without_code(document.read_text()))
    assert links or document.name in {"CHANGELOG.md", "DOCS.md"}
    for link in links:
        path, _, part = link.partition("#")
        if "://" in link:
            continue
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), link
        assert ROOT in target.parents, link
        if part and target.suffix == ".md":
            assert part in anchors[target], link


def test_folders_that_are_gone_to_are_there() -> None:
    """Where pieces of code put the core on Python's path, or change to its folder, it is."""
    text = "".join(path.read_text() for path in DOCUMENTS)
    folders = re.findall(r"^cd (\S+)$|sys\.path\.insert\(0, \"([^\"]+)\"\)", text, flags=re.MULTILINE)
    assert len(folders) == 2
    assert all((ROOT / "".join(folder) / "embedding" / "server.py").is_file() for folder in folders)


def test_no_document_has_a_heading_twice() -> None:
    """An anchor would lead to the first of them."""
    for document in DOCUMENTS:
        found = [anchor(heading) for heading in headings(document.read_text())]
        assert found and len(found) == len(set(found)), document.name


def test_links_from_elsewhere_name_no_part_of_a_page() -> None:
    """Texts, code and the app's files may lead to the repository and its folders: pages and headings move."""
    home = read("manifest.json")["documentation"]
    kinds = {".py", ".json", ".yaml", ".c", ".toml"}
    folders = ("app", "bench", "custom_components", "scripts", "tests", ".github")
    files = [
        path for folder in folders for path in (ROOT / folder).rglob("*") if path.suffix in kinds and path.is_file()
    ]
    files += [path for path in ROOT.iterdir() if path.suffix in kinds]
    links = {link for path in files for link in re.findall(rf"{re.escape(home)}[\w/#.-]*", path.read_text())}
    assert home in links
    assert not [link for link in links if "#" in link or link.endswith(".md")]


def test_every_picture_is_shown_and_every_shown_one_is_there() -> None:
    shown = {name for document in DOCUMENTS for name in re.findall(r"images/([\w.-]+)", document.read_text())}
    assert shown == {path.name for path in (DOCS / "images").iterdir()}


async def test_examples_are_sound(hass: HomeAssistant) -> None:
    """Automations and scripts as Home Assistant validates them, actions with the fields that they take."""
    for needed in ("automation", "script", DOMAIN):
        assert await async_setup_component(hass, needed, {})
    called: list[str] = []
    blocks = [block for document in DOCUMENTS for block in code_blocks(document.read_text(), "yaml")]
    kinds = dict.fromkeys(("triggers", "sequence", "action"), 0)
    for block in blocks:
        code = yaml.safe_load(block)
        kinds |= {kind: kinds[kind] + 1 for kind in kinds if kind in code}
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
            called.append(name)
    assert set(called) == texts()["services"].keys()
    assert kinds["triggers"] >= 4 and kinds["sequence"] >= 1 and kinds["action"] >= len(set(called))


def _calls(code: Any) -> list[dict[str, Any]]:
    """Return the calls of our actions in a piece of code, however deep."""
    if isinstance(code, list):
        return [call for one in code for call in _calls(one)]
    if not isinstance(code, dict):
        return []
    own = [code] if str(code.get("action", "")).startswith(f"{DOMAIN}.") else []
    return own + [call for one in code.values() for call in _calls(one)]


def test_examples_name_entities_that_there_are() -> None:
    """The documents' gate has the entities that a classifier of that name and its classes gets."""
    domains = "|".join(texts()["entity"])
    named = {name for page in DOCUMENTS for name in re.findall(rf"\b(?:{domains})\.gate_\w+", page.read_text())}
    names = [value for path, value in leaves(texts()["entity"]).items() if path[-1] == "name" and len(path) == 3]
    suffixes = {re.sub(r"\W+", "_", name.lower()).strip("_") for name in names if not placeholders(name)}
    suffixes |= {"open", "closed", "score_of_open", "score_of_closed"}
    assert named and {entity.partition(".gate_")[2] for entity in named} <= suffixes


@pytest.mark.parametrize(
    "document", [README, CONTRIBUTING, ARCHITECTURE, *PAGES], ids=lambda path: path.name.removesuffix(".md")
)
def test_sentences_are_short(document: Path) -> None:
    long, count = too_long(document.read_text())
    assert count > 10
    assert len(long) <= count // ALLOWANCE, "\n".join(f"{words(one)} words: {one}" for one in long)


TEXT = f"""
# A heading that is no sentence, {"however many words it has " * 10}

One. This is a sentence of seven words. This one
goes on in the next line, see [a link with words](https://example.org/and.an.address).

- An item of a list. Another sentence in it.
  It goes on here, with `inline code of many words` as one word.
1. A numbered item without a full stop
2. *Is this a question?* “Yes,” said the table.

| head | another head |
|---|---|
| 10 s | A cell with a sentence. And one more of them |

```yaml
{"a piece of code is none " * 10}
```

![{"A picture has words that do not count " * 5}](images/x.png)
<!-- {"A comment is not read " * 10} -->
The version 2.0.1 of e.g. this ends here! Then {"word " * 26}
"""


def test_sentences_are_found() -> None:
    found = list(sentences(TEXT))
    assert [(one.split()[0], words(one)) for one in found] == [
        ("This", 7),
        ("This", 13),
        ("An", 5),
        ("Another", 4),
        ("It", 9),
        ("A", 7),
        ("*Is", 4),
        ("“Yes,”", 4),
        ("A", 5),
        ("And", 5),
        ("The", 8),
        ("Then", 27),
    ]


def test_long_sentences_are_counted() -> None:
    long, count = too_long(TEXT)
    assert [words(one) for one in long] == [27] and count == 12
    edge = "word " * (LONGEST - 1)
    assert too_long(f"A {edge}. A {edge}.") == ([], 2)
    assert [words(one) for one in too_long(f"A {edge}. a {edge}.")[0]] == [50], "no sentence begins in lower case"
    assert len(too_long(f"A {edge}end.\n\n- A {edge}end.\n\n| A {edge}end. |\n")[0]) == 3
    assert len(too_long(f"A {edge}\n\n- A {edge}\n\n| A {edge} |\n")[0]) == 0
    assert len(too_long(f"A {edge}; and this: too.")[0]) == 1, "neither a semicolon nor a colon ends a sentence"


def test_paths_of_the_architecture_are_there() -> None:
    """A path is from the integration's folder or from the repository's; in a room's section a file's name is enough."""
    named = paths_of(ARCHITECTURE, {room for room in sections(ARCHITECTURE.read_text()) if (HOUSE / room).is_dir()})
    assert len(named) > 200
    gone = {name for name in named if not (HOUSE / name).exists() and not (ROOT / name).exists()}
    assert not gone


def test_the_architecture_describes_every_room() -> None:
    described = sections(ARCHITECTURE.read_text())
    rooms = {path.parent.relative_to(HOUSE).as_posix() for path in HOUSE.rglob("*.py")}
    rooms = {room for room in rooms if any(path.name != "__init__.py" for path in (HOUSE / room).glob("*.py"))}
    assert len(rooms) > 20
    assert rooms - {"."} <= described.keys()
    files = {path.relative_to(HOUSE).as_posix() for path in HOUSE.rglob("*.py") if path.name != "__init__.py"}
    missing = files - paths_of(ARCHITECTURE, described.keys())
    assert not missing
