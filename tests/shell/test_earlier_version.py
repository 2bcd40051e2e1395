"""What an earlier version left in a user's folders is used as it is: nothing is lost, embedded again or written anew.

`tests/fixtures/make_earlier_version.py` made the folders, in the version before the rooms were moved.
"""

from collections.abc import AsyncIterator
import json
import os
from pathlib import Path
import shutil
from typing import Any

from freezegun.api import FrozenDateTimeFactory
from homeassistant.bootstrap import async_load_base_functionality
from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import CoreState, HomeAssistant
from homeassistant.exceptions import ServiceValidationError
from homeassistant.helpers import entity_registry as er
import pytest

from tests.fixtures.make_earlier_version import FORMS, KEPT, LABELS, House, fake_cameras, picture

from .conftest import DOMAIN, settled, state

EARLIER = Path(__file__).parents[1] / "fixtures" / "earlier_version"
ANSWERS = json.loads((EARLIER / "answers.json").read_text())

ADOPTED = f"{DOMAIN}/gate/open/.adopted.json"
"""Which pictures with names of the user's were looked into."""

type Files = dict[str, tuple[bytes, int]]
"""Content and time of change (ns) of files, by path."""


@pytest.fixture
def load_registries() -> bool:
    """Leave the registries to be read from what was stored."""
    return False


@pytest.fixture
def earlier(hass: HomeAssistant, hass_storage: dict[str, Any], freezer: FrozenDateTimeFactory) -> Path:
    """Lay out the folders as the earlier version left them, a minute ago; return the configuration folder."""
    config = Path(hass.config.config_dir)
    shutil.copytree(EARLIER / "config", config, dirs_exist_ok=True)
    for name, modified in json.loads((EARLIER / "modified.json").read_text()).items():
        os.utime(config / name, ns=(modified, modified))
    for path in (config / ".storage").iterdir():
        hass_storage[path.name] = json.loads(path.read_text())
    freezer.move_to(ANSWERS["until"])
    freezer.tick(60)
    return config


@pytest.fixture
async def house(
    hass: HomeAssistant, earlier: Path, freezer: FrozenDateTimeFactory, embedded: list[bytes]
) -> AsyncIterator[House]:
    """Start Home Assistant with what was stored."""
    async with fake_cameras(hass) as cameras:
        hass.set_state(CoreState.not_running)
        await async_load_base_functionality(hass)
        hass.set_state(CoreState.running)
        entries = {entry.domain: entry for entry in hass.config_entries.async_entries()}
        for domain in ("fake", DOMAIN):
            assert await hass.config_entries.async_setup(entries[domain].entry_id)
            await settled(hass)
        entry = entries[DOMAIN]
        yield House(hass, cameras, freezer, entry)
        assert await hass.config_entries.async_unload(entry.entry_id)
        await settled(hass)


def files(config: Path) -> Files:
    """Return the files that the integration keeps."""
    found = [path for folder in KEPT for path in (config / folder).rglob("*") if path.is_file()]
    return {path.relative_to(config).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns) for path in found}


def stored(key: str, part: str) -> list[dict[str, Any]]:
    """Return what Home Assistant had stored."""
    found: list[dict[str, Any]] = json.loads((EARLIER / "config" / ".storage" / key).read_text())["data"][part]
    return found


def examples() -> set[bytes]:
    """Return every picture that lies in a folder of examples."""
    return {path.read_bytes() for path in EARLIER.rglob("*.jpg")}


async def test_it_loads_and_embeds_but_the_first_look_of_each(house: House, embedded: list[bytes]) -> None:
    assert house.entry.state is ConfigEntryState.LOADED
    assert set(house.by_folder) == set(FORMS)
    assert set(embedded) == {camera.frame for camera in house.cameras.values()} and len(embedded) == 2
    assert [camera.asked for camera in house.cameras.values()] == [1, 1]
    assert len(examples()) == 22, "there is something that could have been embedded"


async def test_a_start_writes_no_file_but_one_note(earlier: Path, house: House) -> None:
    """No content, no name and no time of change differs: of examples, embeddings, heads, journals, known classes, bins.

    One note is renewed, as the earlier version itself renewed it: an undo had brought a dropped-in picture back, and the
    next start looks into it, once.
    """
    modified = json.loads((EARLIER / "modified.json").read_text())
    before = {name: (content, modified[name]) for name, (content, _) in files(EARLIER / "config").items()}
    after = files(earlier)
    assert after.keys() == before.keys()
    assert {name for name in before if before[name] != after[name]} == {ADOPTED}
    notes = [json.loads(content) for content, _ in (before[ADOPTED], after[ADOPTED])]
    brought_back = (earlier / ADOPTED).with_name("my open 112.jpg").stat()
    assert notes[1] == notes[0] | {"my open 112.jpg": [brought_back.st_size, brought_back.st_mtime_ns]}


async def test_looks_find_all_in_its_place(earlier: Path, house: House) -> None:
    """Neither looks nor a second start write anything."""
    before = files(earlier)
    for folder in FORMS:
        await house.looks(folder)
    assert await house.hass.config_entries.async_reload(house.entry.entry_id)
    await settled(house.hass)
    assert files(earlier) == before


@pytest.mark.parametrize("folder", FORMS)
async def test_the_same_heads_answer(house: House, embedded: list[bytes], folder: str) -> None:
    """As it was left, by each head restored, and imprinted anew from the embeddings that were kept."""
    assert ANSWERS["shed"]["heads"]["restored"] == 3, "one of them answered by an earlier head"
    answers = await house.answers(folder)
    assert answers["heads"] == ANSWERS[folder]["heads"]
    assert answers["examples"] == ANSWERS[folder]["examples"]
    for kind in ("looks", "imprinted"):
        assert_alike(answers[kind], ANSWERS[folder][kind])
    assert answers["restored"].keys() == ANSWERS[folder]["restored"].keys()
    for number, looks in answers["restored"].items():
        assert_alike(looks, ANSWERS[folder]["restored"][number])
    assert not examples() & set(embedded)


def assert_alike(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    """Hold looks against what the earlier version saw, as far as one machine computes like another."""
    assert [look["best"] for look in found] == [look["best"] for look in expected]
    for look, before in zip(found, expected, strict=True):
        for key in ("scores", "evidence"):
            assert look[key] == pytest.approx(before[key], abs=1e-3)


async def test_everything_can_be_undone_and_done_again(earlier: Path, house: House) -> None:
    """The last undo was under way when the earlier version ended; the changes before it lie in the journal."""
    journal = json.loads((earlier / DOMAIN / "gate" / ".journal.json").read_text())
    made = [change["at"] for change in journal["changes"]]
    assert len(made) == 10 and [step["way"] for step in journal["pending"]] == ["undo"]
    before = filed(earlier)
    undone = [await house.act("gate", "undo") for _ in made[:-1]]
    assert [change["made"] for change in undone] == made[-2::-1]
    assert [change["change"] for change in undone] == [
        *("example_removed", "example_relabelled", "class_renamed"),
        *("example_added", "example_added", "example_added", "class_removed", "example_added", "class_added"),
    ]
    assert {folder: len(pictures) for folder, pictures in filed(earlier).items()} == {"open": 5, "closed": 4}
    with pytest.raises(ServiceValidationError) as refused:
        await house.act("gate", "undo")
    assert refused.value.translation_key == "nothing_to_undo"
    again = [await house.act("gate", "redo") for _ in made[:-1]]
    assert [change["made"] for change in again] == made[:-1]
    assert filed(earlier) == before
    assert (await house.act("gate", "redo"))["change"] == "example_removed"
    assert before["open"] - filed(earlier)["open"] == {picture("open", 112)}
    assert await house.act("gate", "look")


def filed(config: Path) -> dict[str, set[bytes]]:
    """Return the pictures of each class of the gate, by the class's folder."""
    folders = [path.parent for path in (config / DOMAIN / "gate").glob("*/.class.json")]
    return {folder.name: {path.read_bytes() for path in folder.glob("*.jpg")} for folder in folders}


async def test_known_classes_are_still_known(house: House) -> None:
    """The list is that of the network; a class without any example answers as soon as no earlier head does."""
    assert [one["name"] for one in (await house.act("shed", "known_classes"))["classes"]] == LABELS
    assert state(house.hass, "binary_sensor.shed_half") == "unknown", "the earlier head knows nothing of it"
    assert (await house.act("shed", "imprint"))["examples"]["half"] == 0
    assert set((await house.act("shed", "look"))["scores"]) == {"open", "closed", "half"}
    assert state(house.hass, "binary_sensor.shed_half") == "off"


async def test_entities_are_those_of_the_registry(hass: HomeAssistant, house: House) -> None:
    """Each with its id and its unique id; none more, none fewer, and those that are enabled have a state."""
    before = {one["entity_id"]: one for one in stored("core.entity_registry", "entities") if one["platform"] == DOMAIN}
    after = {one.entity_id: one for one in er.async_get(hass).entities.values() if one.platform == DOMAIN}
    assert len(before) > 40 and after.keys() == before.keys()
    for entity_id, entity in after.items():
        kept = {
            key: before[entity_id][key] for key in ("id", "unique_id", "device_id", "config_subentry_id", "disabled_by")
        }
        assert {key: getattr(entity, key) for key in kept} == kept
        shown = hass.states.get(entity_id)
        assert (shown is None) == (entity.disabled_by is not None), entity_id
        assert shown is None or "restored" not in shown.attributes, f"nobody provides {entity_id} any more"


async def test_settings_are_those_of_the_entry(house: House) -> None:
    """Nothing of the stored entry or its subentries is changed by a start."""
    (before,) = (one for one in stored("core.config_entries", "entries") if one["domain"] == DOMAIN)
    assert json.loads(json.dumps(house.entry.as_dict(), default=str)) == before
