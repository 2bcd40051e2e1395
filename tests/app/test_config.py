"""The app's files are what the Supervisor takes, and agree with each other and with the programs."""

import os
from pathlib import Path
import re
import shutil
import subprocess
from typing import Any

from PIL import Image
import pytest
import voluptuous as vol
import yaml

from companion import options, server, supervisor

from .conftest import APP, ROOT
from .supervisor_schema import CONFIG, REPOSITORY, TRANSLATIONS, check_option


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    data = read(APP / "config.yaml")
    assert isinstance(data, dict)
    return data


def test_the_supervisor_takes_the_files(config: dict[str, Any]) -> None:
    CONFIG(config)
    TRANSLATIONS(read(APP / "translations" / "en.yaml"))
    REPOSITORY(read(ROOT / "repository.yaml"))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("slug", "a b"),
        ("arch", ["armv7"]),
        ("watchdog", "http://localhost:8000"),
        ("schema", {"a": "integer"}),
        ("usbs", True),
    ],
)
def test_the_schema_refuses_what_the_supervisor_would_not_use(config: dict[str, Any], key: str, value: Any) -> None:
    with pytest.raises(vol.Invalid):
        CONFIG({**config, key: value})


def test_the_app_asks_for_no_more_than_it_needs(config: dict[str, Any]) -> None:
    assert config["apparmor"] is True and config["usb"] is True
    assert not {"host_network", "full_access", "privileged", "hassio_api", "homeassistant_api", "ingress"} & set(config)
    assert all(folder["read_only"] for folder in config["map"])
    # Reachable from outside only where the user gives it a port there.
    assert set(config["ports"].values()) == {None}


def test_options_have_defaults_translations_and_a_reader(config: dict[str, Any], tmp_path: Path) -> None:
    translated = read(APP / "translations" / "en.yaml")
    assert set(translated["configuration"]) == set(config["schema"])
    assert set(translated["network"]) == set(config["ports"])
    for key, kind in config["schema"].items():
        assert key in config["options"] or kind.endswith("?"), f"{key} is needed and has no default"
    for key, value in config["options"].items():
        assert check_option(config["schema"][key], value), key
    assert set(config["schema"]) == set(options.Options.__dataclass_fields__)
    defaults = tmp_path / "options.json"
    defaults.write_text("{}")
    from_config = {key: str(value) for key, value in config["options"].items()}
    own = {key: str(getattr(options.read_options(defaults), key)) for key in from_config}
    assert own == from_config


def test_choices_are_those_of_the_programs(config: dict[str, Any]) -> None:
    assert config["schema"]["device"] == f"list({'|'.join(options.DEVICES)})"
    assert config["schema"]["log_level"] == f"list({'|'.join(options.LOG_LEVELS)})"
    assert config["discovery"] == [supervisor.SERVICE] == [(ROOT / "custom_components" / "coral_imprint").name]
    port = server.Layout.port
    assert list(config["ports"]) == [f"{port}/tcp"] and f"[PORT:{port}]" in config["watchdog"]
    assert f"EXPOSE {port}\n" in (APP / "Dockerfile").read_text()


def test_what_a_user_reads_is_there(config: dict[str, Any]) -> None:
    documentation = (APP / "DOCS.md").read_text()
    for key in config["schema"]:
        assert f"| `{key}` |" in documentation, f"{key} is not documented"
    assert f"## {config['version']}\n" in (APP / "CHANGELOG.md").read_text()
    assert (APP / "README.md").is_file()
    with Image.open(APP / "icon.png") as icon, Image.open(APP / "logo.png") as logo:
        assert icon.size == (128, 128)
        assert logo.height == 128 < logo.width


def test_apparmor_profile_is_the_apps_own(config: dict[str, Any]) -> None:
    text = (APP / "apparmor.txt").read_text()
    assert re.findall(r"^profile (\S+) ", text, re.MULTILINE) == [config["slug"]]
    assert text.count("{\n") == text.count("\n}") == 1
    rules = [line for line in text.splitlines()[1:] if line.startswith("  ") and not line.lstrip().startswith("#")]
    assert rules and all(rule.endswith(",") for rule in rules)
    # Devices, and the folders that the app writes.
    for needed in ("/dev/bus/usb/** rw,", "/dev/apex_* rw,", "/data/** rwk,", "/share/** r,", "network inet stream,"):
        assert f"  {needed}" in rules
    assert not any(rule.strip() in {"file,", "capability,", "network,"} for rule in rules)


PARSER = shutil.which("apparmor_parser", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


@pytest.mark.skipif(
    PARSER is None or not Path("/etc/apparmor.d/tunables/global").is_file(),
    reason="needs apparmor_parser and what it includes (Debian: apparmor)",
)
def test_apparmor_profile_can_be_parsed() -> None:
    assert PARSER
    subprocess.run([PARSER, "--skip-kernel-load", "--skip-cache", str(APP / "apparmor.txt")], check=True)
