"""Start, stop, removal: nothing is lost, nothing is left behind."""

import asyncio
from datetime import timedelta
from pathlib import Path
import threading
from types import MappingProxyType

from freezegun.api import FrozenDateTimeFactory
from homeassistant.config_entries import ConfigEntryState, ConfigSubentry
from homeassistant.const import EVENT_HOMEASSISTANT_STOP
from homeassistant.core import Context, HomeAssistant
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError, Unauthorized
from homeassistant.helpers import device_registry as dr, entity_registry as er, issue_registry as ir
from homeassistant.util import dt as dt_util
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, MockUser, async_fire_time_changed
import voluptuous as vol
import yaml

from custom_components import coral_imprint
from custom_components.coral_imprint.core.imprinting import StoreFailed
from custom_components.coral_imprint.engines.engine import async_purge_bin
from tests.shell.conftest import DOMAIN, FakeCamera, act, classifier_data, device_id, draw, state, teach


def examples(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.jpg"))


async def test_looks_follow_the_interval(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, freezer: FrozenDateTimeFactory
) -> None:
    asked = camera.asked
    for _ in range(3):
        freezer.tick(timedelta(seconds=11))
        async_fire_time_changed(hass)
        await hass.async_block_till_done(wait_background_tasks=True)
    assert camera.asked - asked == 3


async def test_no_one_looks_where_every_entity_is_disabled(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, freezer: FrozenDateTimeFactory
) -> None:
    registry = er.async_get(hass)
    for registered in er.async_entries_for_config_entry(registry, engine.entry_id):
        registry.async_update_entity(registered.entity_id, disabled_by=er.RegistryEntryDisabler.USER)
    await hass.async_block_till_done(wait_background_tasks=True)
    asked = camera.asked
    freezer.tick(timedelta(seconds=40))
    async_fire_time_changed(hass)
    await hass.async_block_till_done(wait_background_tasks=True)
    assert camera.asked == asked


async def test_unloading_ends_the_engine(hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera) -> None:
    embedder = engine.runtime_data.embedder
    assert await hass.config_entries.async_unload(engine.entry_id)
    assert engine.state is ConfigEntryState.NOT_LOADED
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("coral_imprint")]
    with pytest.raises(Exception, match="stopped"):
        await embedder.embed(draw("open"))
    with pytest.raises(ServiceValidationError):
        await act(hass, engine, "look")


async def test_stopping_home_assistant_ends_the_engine(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    hass.bus.async_fire(EVENT_HOMEASSISTANT_STOP)
    await hass.async_block_till_done(wait_background_tasks=True)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("coral_imprint")]


async def test_unloading_amid_a_capture_keeps_what_was_acknowledged(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    burst = hass.async_create_task(
        hass.services.async_call(
            DOMAIN,
            "capture_example",
            {"device_id": device_id(hass, engine), "class": "open", "count": 50, "interval": 0.01},
            blocking=True,
            return_response=True,
        )
    )
    while len(examples(Path(hass.config.path(DOMAIN)))) < 3:
        await asyncio.sleep(0.01)
    assert await hass.config_entries.async_unload(engine.entry_id)
    with pytest.raises(HomeAssistantError):
        await burst
    assert len(examples(Path(hass.config.path(DOMAIN)))) >= 3
    assert await hass.config_entries.async_setup(engine.entry_id)
    await hass.async_block_till_done(wait_background_tasks=True)
    counted = await act(hass, engine, "imprint")
    assert counted["examples"]["open"] == len(examples(Path(hass.config.path(DOMAIN, "gate"))))


async def test_removing_a_classifier_moves_its_examples_to_the_bin(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    await teach(hass, engine, camera, "closed", "open")
    kept = [path.read_bytes() for path in examples(Path(hass.config.path(DOMAIN, "gate")))]
    hass.config_entries.async_remove_subentry(engine, "gate_id")
    await hass.async_block_till_done(wait_background_tasks=True)
    assert not Path(hass.config.path(DOMAIN, "gate")).exists()
    assert [path.read_bytes() for path in examples(Path(hass.config.path(DOMAIN, ".bin")))] == kept
    assert not engine.runtime_data.classifiers
    assert state(hass, "binary_sensor.gate_open") is None
    assert dr.async_get(hass).async_get_device_by_identifier((DOMAIN, "gate_id"), engine.entry_id) is None


async def test_removing_an_engine_moves_all_examples_to_the_bin(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    await teach(hass, engine, camera, "closed", "open")
    await hass.config_entries.async_remove(engine.entry_id)
    await hass.async_block_till_done(wait_background_tasks=True)
    assert not Path(hass.config.path(DOMAIN, "gate")).exists()
    assert len(examples(Path(hass.config.path(DOMAIN, ".bin")))) == 2


async def test_a_picture_file_becomes_an_example(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, tmp_path: Path
) -> None:
    allowed = tmp_path / "allowed"
    allowed.mkdir()
    (allowed / "open.jpg").write_bytes(draw("open", 60))
    (tmp_path / "secret.jpg").write_bytes(draw("open", 61))
    await teach(hass, engine, camera, "closed")
    answer = await act(hass, engine, "capture_example", **{"class": "open", "file": str(allowed / "open.jpg")})
    assert len(answer["examples"]) == 1
    camera.show("open", 9)
    for _ in range(2):
        await act(hass, engine, "look")
    assert state(hass, "binary_sensor.gate_open") == "on"
    (allowed / "page.jpg").write_bytes(b"<html>no picture</html>")
    for name, key in (
        (tmp_path / "secret.jpg", "file_not_allowed"),
        (allowed / "none.jpg", "file_not_read"),
        (allowed / "page.jpg", "unreadable_picture"),
    ):
        with pytest.raises(ServiceValidationError) as caught:
            await act(hass, engine, "capture_example", **{"class": "open", "file": str(name)})
        assert caught.value.translation_key == key
    with pytest.raises(vol.Invalid):
        await act(hass, engine, "capture_example", **{"class": "open", "file": str(allowed / ".." / "secret.jpg")})


async def test_only_administrators_teach(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, hass_read_only_user: MockUser
) -> None:
    context = Context(user_id=hass_read_only_user.id)
    target = {"device_id": device_id(hass, engine)}
    for action, data in (
        ("capture_example", {"class": "open"}),
        ("imprint", {}),
        ("add_class", {"class": "x"}),
        ("rename_class", {"class": "open", "name": "x"}),
        ("remove_class", {"class": "open"}),
    ):
        with pytest.raises(Unauthorized):
            await hass.services.async_call(DOMAIN, action, {**target, **data}, blocking=True, context=context)
    answer = await hass.services.async_call(
        DOMAIN, "look", target, blocking=True, context=context, return_response=True
    )
    assert answer


async def test_actions_want_a_classifier(hass: HomeAssistant, engine: MockConfigEntry) -> None:
    with pytest.raises(ServiceValidationError) as caught:
        await hass.services.async_call(
            DOMAIN, "look", {"device_id": device_id(hass, engine, engine.entry_id)}, blocking=True, return_response=True
        )
    assert caught.value.translation_key == "not_a_classifier"


async def test_a_bad_example_on_disk_is_set_aside(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    await teach(hass, engine, camera, "closed", "open")
    assert await hass.config_entries.async_unload(engine.entry_id)
    root = Path(hass.config.path(DOMAIN, "gate"))
    (spoilt,) = examples(root / "open")
    spoilt.write_bytes(draw("open")[:2000])
    (root / "open" / "page.jpg").write_bytes(b"<html></html>")
    assert await hass.config_entries.async_setup(engine.entry_id)
    await hass.async_block_till_done(wait_background_tasks=True)
    assert engine.state is ConfigEntryState.LOADED
    assert (await act(hass, engine, "imprint"))["examples"] == {"open": 0, "closed": 1}
    assert {path.name for path in (root / ".unreadable").rglob("*.jpg")} == {spoilt.name, "page.jpg"}


async def test_a_disk_that_refuses_is_reported_and_retried(
    hass: HomeAssistant, entry: MockConfigEntry, camera: FakeCamera, issue_registry: ir.IssueRegistry
) -> None:
    # The examples' folder can't be made where a file has its name.
    Path(hass.config.path(DOMAIN)).write_text("in the way")
    assert await hass.config_entries.async_setup(entry.entry_id)
    assert issue_registry.async_get_issue(DOMAIN, f"refused_{entry.entry_id}")
    assert entry.runtime_data.classifiers == {}
    # Unloaded, nothing is tried any more, and nothing is left behind.
    assert await hass.config_entries.async_unload(entry.entry_id)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("coral_imprint")]
    Path(hass.config.path(DOMAIN)).unlink()
    async_fire_time_changed(hass, dt_util.utcnow() + timedelta(minutes=2))
    await hass.async_block_till_done(wait_background_tasks=True)
    assert not Path(hass.config.path(DOMAIN)).exists()
    assert await hass.config_entries.async_setup(entry.entry_id)
    assert set(entry.runtime_data.classifiers) == {"gate_id"}
    assert issue_registry.async_get_issue(DOMAIN, f"refused_{entry.entry_id}") is None
    assert await hass.config_entries.async_unload(entry.entry_id)


async def test_lost_embeddings_are_computed_again_in_the_background(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    await teach(hass, engine, camera, "closed", "open")
    assert await hass.config_entries.async_unload(engine.entry_id)
    (cache,) = Path(hass.config.path(DOMAIN, "gate", ".embeddings")).glob("*.emb")
    cache.unlink()
    camera.show("closed", 5)
    assert await hass.config_entries.async_setup(engine.entry_id)
    await hass.async_block_till_done(wait_background_tasks=True)
    assert (await act(hass, engine, "look"))["best"] == "closed"
    assert cache.exists()


async def test_an_embedding_that_can_not_be_kept_fails_no_capture(
    hass: HomeAssistant,
    engine: MockConfigEntry,
    camera: FakeCamera,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def full(*_args: object) -> None:
        raise StoreFailed("No space left on device")

    monkeypatch.setattr("custom_components.coral_imprint.core.imprinting.examples.atomic.write_at", full)
    await teach(hass, engine, camera, "closed", "open")
    assert state(hass, "binary_sensor.gate_open") == "on"
    assert "could not be kept" in caplog.text


async def test_a_full_disk_fails_the_capture_and_loses_nothing(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    await teach(hass, engine, camera, "closed", "open")

    def full(*_args: object) -> None:
        raise StoreFailed("No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("custom_components.coral_imprint.core.imprinting.examples.atomic.write", full)
        with pytest.raises(HomeAssistantError) as caught:
            await act(hass, engine, "capture_example", **{"class": "open"})
        assert caught.value.translation_key == "store_failed"
        assert "No space left" in str(caught.value)
    assert state(hass, "binary_sensor.gate_open") == "on"
    await act(hass, engine, "capture_example", **{"class": "open"})
    assert (await act(hass, engine, "imprint"))["examples"] == {"open": 2, "closed": 1}


async def test_a_classifier_that_the_disk_refuses_waits_alone(
    hass: HomeAssistant,
    engine: MockConfigEntry,
    camera: FakeCamera,
    issue_registry: ir.IssueRegistry,
) -> None:
    await teach(hass, engine, camera, "closed", "open")
    in_the_way = Path(hass.config.path(DOMAIN, "yard"))
    in_the_way.write_text("in the way")
    added = ConfigSubentry(
        data=MappingProxyType(classifier_data(hass, folder="yard")),
        subentry_type="classifier",
        title="Yard",
        unique_id=None,
    )
    hass.config_entries.async_add_subentry(engine, added)
    await hass.async_block_till_done()
    issue = issue_registry.async_get_issue(DOMAIN, f"refused_{engine.entry_id}")
    assert issue and issue.translation_placeholders and issue.translation_placeholders["classifiers"] == "Yard"
    # The other classifier goes on as if nothing was, and no restart changes that.
    assert set(engine.runtime_data.classifiers) == {"gate_id"}
    assert (await act(hass, engine, "look"))["best"] == "open"
    assert await hass.config_entries.async_reload(engine.entry_id)
    assert (await act(hass, engine, "look"))["best"] == "open"
    in_the_way.unlink()
    async_fire_time_changed(hass, dt_util.utcnow() + timedelta(seconds=30))
    await hass.async_block_till_done(wait_background_tasks=True)
    assert set(engine.runtime_data.classifiers) == {"gate_id", added.subentry_id}
    assert state(hass, "sensor.yard_class") == "unknown"
    assert issue_registry.async_get_issue(DOMAIN, f"refused_{engine.entry_id}") is None


async def test_the_bin_keeps_a_week(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, freezer: FrozenDateTimeFactory
) -> None:
    await teach(hass, engine, camera, "closed", "open")
    hass.config_entries.async_remove_subentry(engine, "gate_id")
    await hass.async_block_till_done(wait_background_tasks=True)
    binned = Path(hass.config.path(DOMAIN, ".bin"))
    freezer.tick(timedelta(days=6))
    await async_purge_bin(hass)
    assert len(examples(binned)) == 2
    freezer.tick(timedelta(days=2))
    await async_purge_bin(hass)
    assert examples(binned) == []


async def test_actions_are_offered_for_classifiers_only(hass: HomeAssistant, engine: MockConfigEntry) -> None:
    services = yaml.safe_load(Path(coral_imprint.__file__).with_name("services.yaml").read_text())
    (wanted,) = services["look"]["fields"]["device_id"]["selector"]["device"]["filter"]
    devices = dr.async_entries_for_config_entry(dr.async_get(hass), engine.entry_id)
    offered = [device for device in devices if device.model == wanted["model"]]
    assert [device.name for device in offered] == ["Gate"]
    assert len(devices) == 2
