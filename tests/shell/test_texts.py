"""The translations and icons are built as hassfest wants them."""

from collections import Counter
import json
from typing import Any

import pytest
import voluptuous as vol

from .metadata import HOUSE, leaves, placeholders, read, texts
from .texts_schema import ICONS, TEXTS


def test_the_translations_are_built_as_they_have_to_be() -> None:
    TEXTS(texts())


def test_the_icons_are_built_as_they_have_to_be() -> None:
    ICONS(read("icons.json"))


@pytest.mark.parametrize(
    ("where", "wrong"),
    [
        (("config", "step", "user", "title"), "See https://example.org"),
        (("config", "step", "user", "title"), "An <b>engine</b>"),
        (("config", "step", "user", "title"), "With space "),
        (("config", "step", "user", "title"), ""),
        (("config", "step", "user", "titel"), "Misspelt"),
        (("config", "step", "server", "data_description", "nothing"), "Of no field"),
        (("config", "error", "Download-Failed"), "Not a key"),
        (("exceptions", "camera_missing", "message"), "The camera '{camera}' is gone"),
        (("exceptions", "camera_missing", "message"), "The camera {0} is gone"),
        (("exceptions", "camera_missing", "message"), "[%key:component::camera::title%]"),
        (("exceptions", "camera_missing", "titel"), "Misspelt"),
        (("issues", "edgetpu_away", "description"), "Beside a flow"),
        (("entity", "sensor", "runtime", "state", "portable"), "Of {engine}"),
        (("services", "look", "fields", "device_id", "example"), "Not in the translations"),
    ],
    ids=str,
)
def test_what_hassfest_refuses_is_refused_here(where: tuple[str, ...], wrong: str) -> None:
    changed = node = read("translations/en.json")
    for name in where[:-1]:
        node = node[name]
    node[where[-1]] = wrong
    with pytest.raises(vol.Invalid):
        TEXTS(changed)


@pytest.mark.parametrize(
    "wrong",
    [
        {"entity": {"sensor": {"class": {"default": "tag"}}}},
        {"entity": {"sensor": {"class": {"default": "mdi:tag", "state": {"on": "mdi:tag"}}}}},
        {"services": {"look": "mdi:eye"}},
        {"colours": {}},
    ],
    ids=str,
)
def test_what_hassfest_refuses_of_icons_is_refused_here(wrong: Any) -> None:
    with pytest.raises(vol.Invalid):
        ICONS(wrong)


@pytest.mark.parametrize("file", ["translations/en.json", "icons.json", "manifest.json"])
def test_no_key_is_there_twice(file: str) -> None:
    """JSON's last one wins silently, which is how a merge loses a text."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        twice = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]
        assert not twice
        return dict(pairs)

    json.loads((HOUSE / file).read_text(), object_pairs_hook=once)


def test_the_same_is_said_in_the_same_words() -> None:
    """A step that is there twice, for a new and a changed one, asks the same question alike; so do errors and exceptions."""
    found = texts()
    flow = found["config_subentries"]["classifier"]["step"]
    new, changed = (
        leaves({key: flow[step].get(key, {}) for key in ("data", "data_description", "sections")})
        for step in ("user", "reconfigure")
    )
    assert {where: text for where, text in new.items() if where in changed} == changed
    messages = {key: one["message"] for key, one in found["exceptions"].items()}
    for key, text in found["config_subentries"]["classifier"]["error"].items():
        assert messages.get(key, text) == text, key


def test_no_text_is_shown_in_braces_that_nobody_fills_in() -> None:
    """Names, menus and states take no placeholders from us."""
    for where, text in leaves(texts()).items():
        if where[0] in {"services", "entity"} or "menu_options" in where or where[-1] == "entry_type":
            assert not placeholders(text) or where[-1] == "name", where
