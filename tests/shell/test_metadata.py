"""What Home Assistant's and HACS's own checks look at, checked offline."""

import ast
import json
import re
from typing import Any

from awesomeversion import AwesomeVersion, AwesomeVersionException, AwesomeVersionStrategy
from PIL import Image
import pytest
import voluptuous as vol

from .metadata import HOUSE, ROOT, SHELL_FILES, read, tree

PURE_PYTHON_OR_MUSL = {"numpy", "pillow", "tflite", "threadpoolctl"}
"""Requirements known to install on Alpine: Home Assistant's own, and wheels without native code."""


def manifest_schema() -> vol.Schema:
    """Return what a custom integration's manifest may hold in 2026.10 and 2026.11, as hassfest and HACS have it."""
    link = vol.All(vol.Url(), vol.Match("https://"))
    classes = ["assumed_state", "calculated", "cloud_polling", "cloud_push", "local_polling", "local_push"]
    kinds = ["device", "entity", "hardware", "helper", "hub", "service", "system"]
    return vol.Schema(
        {
            # HACS asks for these six.
            **{vol.Required(key): str for key in ("domain", "name")},
            vol.Required("codeowners"): vol.All([vol.Match("@[A-Za-z0-9/-]+$")], vol.Length(min=1)),
            vol.Required("documentation"): vol.All(link, _not_home_assistants),
            vol.Required("issue_tracker"): link,
            vol.Required("version"): _version,
            vol.Required("integration_type"): vol.In(kinds),
            vol.Required("iot_class"): vol.In(classes),
            vol.Required("config_flow"): True,
            **{vol.Optional(key): bool for key in ("import_executor", "single_config_entry")},
            **{vol.Optional(key): [str] for key in ("after_dependencies", "dependencies", "loggers", "requirements")},
            vol.Optional("quality_scale"): vol.In(["bronze", "silver", "gold", "platinum", "custom"]),
        }
    )


def _not_home_assistants(value: str) -> str:
    if value.startswith("https://www.home-assistant.io/integrations"):
        raise vol.Invalid("the documentation is the integration's own")
    return value


def _version(value: str) -> str:
    strategies = AwesomeVersionStrategy
    AwesomeVersion(value, ensure_strategy=[strategies.CALVER, strategies.SEMVER, strategies.PEP440])
    return value


def test_manifest() -> None:
    manifest = read("manifest.json")
    manifest_schema()(manifest)
    keys = list(manifest)
    assert keys[:2] == ["domain", "name"]
    assert keys[2:] == sorted(keys[2:])
    assert manifest["domain"] == HOUSE.name
    assert manifest["codeowners"] == ["@coral-imprint"]
    assert f'version = "{manifest["version"]}"' in (ROOT / "pyproject.toml").read_text()
    names = {re.split(r"[=<>~!]", requirement)[0].lower() for requirement in manifest["requirements"]}
    assert names <= PURE_PYTHON_OR_MUSL


@pytest.mark.parametrize(
    "wrong",
    [
        {"documentation": "https://www.home-assistant.io/integrations/coral_imprint"},
        {"documentation": "http://example.org"},
        {"iot_class": "local"},
        {"version": "newest"},
        {"codeowners": []},
        {"mqtt_topic": "x"},
    ],
    ids=str,
)
def test_a_wrong_manifest_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises((vol.Invalid, AwesomeVersionException)):
        manifest_schema()({**read("manifest.json"), **wrong})


def test_the_manifest_names_every_integration_that_the_code_uses() -> None:
    """Those whose code is imported, but for platforms, and for what every Home Assistant has set up."""
    manifest = read("manifest.json")
    used: set[str] = set()
    for path in SHELL_FILES:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("homeassistant.components"):
                parts = str(node.module).split(".")
                used |= {parts[2]} if len(parts) > 2 else {alias.name for alias in node.names}
    platforms = {path.stem for path in HOUSE.glob("*.py")}
    always = {"homeassistant", "persistent_notification"}
    named = {*manifest["dependencies"], *manifest.get("after_dependencies", [])}
    assert "camera" in used and used - platforms - always <= named
    assert named <= used | {"media_source", "image", "http"}


def test_hacs() -> None:
    """``hacs.json`` as HACS's own check and 2026.11's Marketplace read it; the folder as they unpack it."""
    hacs = json.loads((ROOT / "hacs.json").read_text())
    flags = ("content_in_root", "hide_default_branch", "render_readme", "zip_release")
    texts = ("country", "filename", "hacs", "homeassistant", "persistent_directory")
    vol.Schema(
        {
            vol.Required("name"): str,
            **{vol.Optional(key): bool for key in flags},
            **{vol.Optional(key): str for key in texts},
        }
    )(hacs)
    assert hacs["homeassistant"] == "2026.10.0" and AwesomeVersion(hacs["homeassistant"]).valid
    assert hacs["name"] == read("manifest.json")["name"]
    assert not {"content_in_root", "filename", "zip_release"} & hacs.keys()
    assert [
        path.name for path in (ROOT / "custom_components").iterdir() if path.is_dir() and path.name[0] not in "._"
    ] == ["coral_imprint"]
    files = [path for path in HOUSE.rglob("*") if path.is_file()]
    assert len(files) < 50_000 and sum(path.stat().st_size for path in files) < 100 * 2**20
    assert (ROOT / "README.md").is_file() and (ROOT / "LICENSE").is_file()


def test_flows_translate_every_field_and_error() -> None:
    texts = read("translations/en.json")
    from custom_components.coral_imprint.extractors.choices import ExtractorChoice
    from custom_components.coral_imprint.flows import forms
    from custom_components.coral_imprint.flows.forms import classifier_schema, engine_schema

    steps = texts["config"]["step"]
    asked = {
        "server": forms.server_schema(),
        "model": forms.model_schema([], None),
        "hassio_confirm": forms.model_schema([], None),
        "reauth_confirm": forms.token_schema(),
        "edgetpu": forms.edgetpu_schema([ExtractorChoice("one", "One", at_hand=True)], []),
    }
    for step, schema in asked.items():
        fields = {str(key) for key in schema.schema}
        assert fields == steps[step]["data"].keys() == steps[step]["data_description"].keys(), step
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
    from custom_components.coral_imprint.core.embedding.runtimes.choice import REASONS

    runtime = texts["entity"]["sensor"]["runtime"]
    assert runtime["state"].keys() == MODEL_ENGINE.keys()
    assert runtime["state_attributes"]["reason"]["state"].keys() == set(REASONS)
    assert texts["selector"]["litert"]["options"].keys() == {"installed", "installable", "no_wheel"}


@pytest.mark.parametrize("stem", ["icon", "logo", "dark_icon", "dark_logo"])
def test_brand(stem: str) -> None:
    """Sizes as home-assistant/brands asks for them: icons square, 256 and 512; a logo's shorter side 128–256 and 256–512."""
    with Image.open(HOUSE / "brand" / f"{stem}.png") as once, Image.open(HOUSE / "brand" / f"{stem}@2x.png") as twice:
        assert once.format == twice.format == "PNG"
        assert (2 * once.width, 2 * once.height) == twice.size
        if stem.endswith("icon"):
            assert once.size == (256, 256)
        else:
            assert 128 <= min(once.size) <= 256 and once.width > once.height
        # Transparent around it, and nothing but air cut off.
        assert once.mode == "RGBA" and once.getchannel("A").getextrema() == (0, 255)


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
