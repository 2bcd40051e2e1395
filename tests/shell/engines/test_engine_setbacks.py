"""Engines that can't open what they should, or not any more: what is there goes on, and it is said what is wrong."""

from importlib import import_module
from pathlib import Path
from typing import Any

from homeassistant.components.repairs import DOMAIN as REPAIRS
from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.coral_imprint.core.embedding import BUILTIN, RuntimeUnavailable, SelfTestFailed, litert_available
from custom_components.coral_imprint.core.imprinting import StoreFailed
from custom_components.coral_imprint.engines import engine as engine_module
from custom_components.coral_imprint.engines.engine import async_bin_classifier
from custom_components.coral_imprint.extractors import litert, pool
from custom_components.coral_imprint.settings import ClassifierSettings
from tests.shell.conftest import (
    DOMAIN,
    NETWORK,
    FakeCamera,
    act,
    change,
    models,
    network,
    settled,
    state,
    teach,
    told,
    workers,
)


def full(*_: Any, **__: Any) -> Any:
    """Refuse as a full disk does."""
    raise StoreFailed("No space left on device")


async def test_an_engine_that_can_open_nothing_says_why(
    hass: HomeAssistant, entry: MockConfigEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise RuntimeUnavailable("no thread can be started")

    monkeypatch.setattr(pool, "open_embedder", refuse)
    assert not await hass.config_entries.async_setup(entry.entry_id)
    assert entry.state is ConfigEntryState.SETUP_ERROR
    assert entry.reason == "The runtime can't be used: no thread can be started"
    assert (entry.error_reason_translation_key, workers()) == ("runtime_unavailable", 0)


async def test_an_engine_whose_entities_can_not_be_unloaded_goes_on(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: Any) -> bool:
        return False

    with monkeypatch.context() as patch:
        patch.setattr(hass.config_entries, "async_unload_platforms", refuse)
        assert not await hass.config_entries.async_unload(engine.entry_id)
    assert engine.state is ConfigEntryState.FAILED_UNLOAD
    await engine.runtime_data.classifiers["gate_id"].async_refresh()
    assert engine.runtime_data.classifiers["gate_id"].last_update_success
    await engine.runtime_data.async_close()


@pytest.mark.skipif(litert_available() is False, reason="LiteRT is not installed")
async def test_litert_that_can_not_be_installed_is_done_without(
    hass: HomeAssistant,
    engine: MockConfigEntry,
    camera: FakeCamera,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As after an upgrade of Python, on a system that no wheel is published for."""
    monkeypatch.setattr(litert, "litert_available", lambda: False)
    monkeypatch.setattr(litert, "litert_installable", lambda: False)
    (models(hass) / "mine.tflite").write_bytes(network())
    await change(hass, engine, **{**NETWORK, "runtime": "litert"})
    assert "no LiteRT is published for this machine" in caplog.text
    assert state(hass, "sensor.built_in_runtime") in {"litert", "portable"}


async def test_a_runtime_that_computes_something_else_is_told_of_and_not_used(
    hass: HomeAssistant,
    engine: MockConfigEntry,
    camera: FakeCamera,
    monkeypatch: pytest.MonkeyPatch,
    hass_client: ClientSessionGenerator,
) -> None:
    assert await async_setup_component(hass, REPAIRS, {})
    choice = import_module("custom_components.coral_imprint.core.embedding.runtimes.choice")

    def check(runtime: Any, *arguments: Any) -> Any:
        if runtime.family == "litert":
            raise SelfTestFailed("picture 3 looks like picture 4")
        return real(runtime, *arguments)

    real = choice.check
    monkeypatch.setattr(choice, "check", check)
    monkeypatch.setattr(litert, "litert_available", lambda: True)
    (models(hass) / "mine.tflite").write_bytes(network())
    await change(hass, engine, **{**NETWORK, "runtime": "litert"})
    assert state(hass, "sensor.built_in_runtime") == "portable"
    issue = told(hass)["runtime_rejected"]
    assert issue.translation_placeholders == {
        "engine": "Built-in",
        "runtime": "litert",
        "reason": "picture 3 looks like picture 4",
        "serving": "portable",
    }
    # It can't be tried again while the engine is stopped; then it can, and is well.
    client = await hass_client()
    fix = {"handler": DOMAIN, "issue_id": issue.issue_id}
    assert await hass.config_entries.async_unload(engine.entry_id)
    flow = await (await client.post("/api/repairs/issues/fix", json=fix)).json()
    assert (flow["type"], flow["reason"]) == ("abort", "engine_not_loaded")
    monkeypatch.setattr(choice, "check", real)
    assert await hass.config_entries.async_setup(engine.entry_id)
    await settled(hass)
    assert state(hass, "sensor.built_in_runtime") == "litert"
    assert not told(hass)


async def test_what_litert_is_asked_for_is_installed_once(hass: HomeAssistant, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    async def process(*arguments: Any, **_: Any) -> None:
        asked.append(arguments)

    monkeypatch.setattr(litert, "async_process_requirements", process)
    monkeypatch.setattr(litert, "litert_available", lambda: True)
    await litert.async_install_litert(hass)
    assert asked == []
    monkeypatch.setattr(litert, "litert_available", lambda: False)
    monkeypatch.setattr(litert, "litert_installable", lambda: True)
    await litert.async_install_litert(hass)
    assert len(asked) == 1


async def test_an_engine_that_was_stopped_opens_nothing_more(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    """An extractor that is opened while the engine stops is closed again."""
    (models(hass) / "mine.tflite").write_bytes(network())
    running = engine.runtime_data
    await running.pool.async_close()
    hass.config_entries.async_update_entry(engine, data=NETWORK)
    await hass.async_block_till_done()
    assert isinstance(await running.async_try(), RuntimeUnavailable)
    assert workers() == 0


async def test_a_bin_that_can_not_be_used_loses_nothing(
    hass: HomeAssistant,
    engine: MockConfigEntry,
    camera: FakeCamera,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await teach(hass, engine, camera, "closed", "open")
    monkeypatch.setattr(engine_module, "bin_whole", full)
    monkeypatch.setattr(engine_module, "purge", full)
    settings = ClassifierSettings.from_subentry(engine.subentries["gate_id"])
    await async_bin_classifier(hass, settings)
    assert len(list(Path(hass.config.path(DOMAIN, "gate")).rglob("*.jpg"))) == 2
    assert "The examples of Gate could not be moved to the bin: No space left" in caplog.text
    assert "The bin could not be emptied: No space left" in caplog.text


# --- a former extractor --------------------------------------------------------------------------------------------


@pytest.fixture
async def mid_change(hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera) -> MockConfigEntry:
    """Return an engine that was stopped after its extractor was changed, before the examples were embedded."""
    (models(hass) / "mine.tflite").write_bytes(network())
    await change(hass, engine, **NETWORK)
    await teach(hass, engine, camera, "closed", "open")
    assert await hass.config_entries.async_unload(engine.entry_id)
    await settled(hass)
    hass.config_entries.async_update_entry(engine, data={"extractor": "builtin", "runtime": "auto"})
    return engine


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b"no model"),
        lambda path: path.write_bytes(network(24)),
    ],
    ids=["gone", "damaged", "another"],
)
async def test_what_answered_before_a_change_and_can_not_any_more(
    hass: HomeAssistant, mid_change: MockConfigEntry, camera: FakeCamera, spoil: Any
) -> None:
    spoil(models(hass) / "mine.tflite")
    assert await hass.config_entries.async_setup(mid_change.entry_id)
    await settled(hass)
    assert mid_change.runtime_data.classifiers["gate_id"].learner.learned.lens.extractor == BUILTIN
    camera.show("open", 7)
    await act(hass, mid_change, "look")
    assert state(hass, "sensor.gate_class") == "open"
    assert workers() == 1
    assert await hass.config_entries.async_unload(mid_change.entry_id)
