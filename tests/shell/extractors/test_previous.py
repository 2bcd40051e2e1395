"""A change away from a server, and a restart in between: what answered answers on, and is forgotten in the end."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.coral_imprint.core.embedding import Embedder
from custom_components.coral_imprint.extractors import pool
from custom_components.coral_imprint.settings import EngineSettings
from tests.shell.conftest import (
    DOMAIN,
    NETWORK,
    FakeCamera,
    act,
    knowing_a_gate,
    models,
    network,
    settled,
    state,
    workers,
)
from tests.shell.cores import Scripted, serving

from .test_remote import TOKEN, engine_data, sees


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Return what lets extractors of this machine embed more than eight examples."""
    go_on = asyncio.Event()
    done: list[int] = []
    real = Embedder.embed_many

    async def slow(self: Embedder, pictures: list[bytes], *args: Any) -> Any:
        if done:
            await go_on.wait()
        done.append(len(pictures))
        return await real(self, pictures, *args)

    monkeypatch.setattr(Embedder, "embed_many", slow)
    return go_on


@pytest.fixture
async def leaving(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    camera: FakeCamera,
    socket_enabled: None,
    held: asyncio.Event,
    hass_storage: dict[str, Any],
) -> AsyncIterator[tuple[MockConfigEntry, Any]]:
    """Return an engine that was stopped amid its change from a server to a network of this machine, and the server."""
    (models(hass) / "mine.tflite").write_bytes(network())
    script = Scripted(token=TOKEN)
    async with serving(script), knowing_a_gate(hass, entry, camera, engine_data(script.url, token=TOKEN)):
        camera.show("open", 200)
        await act(hass, entry, "capture_example", **{"class": "open", "count": 10, "interval": 0})
        hass.config_entries.async_update_entry(entry, data=NETWORK)
        learner = entry.runtime_data.classifiers["gate_id"].learner
        async with asyncio.timeout(20):
            while learner.percent_embedded == 100 or not entry.runtime_data.embedder.frames:
                await asyncio.sleep(0.01)
        assert learner.learned.lens.embedder.runtime == "remote"
        assert await hass.config_entries.async_unload(entry.entry_id)
        assert workers() == 0
        yield entry, script
    assert workers() == 0


def kept(hass_storage: dict[str, Any], entry: MockConfigEntry) -> Any:
    """Return what is kept of an engine's former settings, None where nothing is."""
    return hass_storage.get(f"{DOMAIN}.former_{entry.entry_id}")


async def test_the_server_answers_until_the_examples_are_embedded(
    hass: HomeAssistant,
    leaving: tuple[MockConfigEntry, Any],
    camera: FakeCamera,
    held: asyncio.Event,
    hass_storage: dict[str, Any],
) -> None:
    entry, script = leaving
    (settings,) = kept(hass_storage, entry)["data"]
    assert EngineSettings.from_data(settings) == EngineSettings.from_data(engine_data(script.url, token=TOKEN))
    assert await hass.config_entries.async_setup(entry.entry_id)
    learner = entry.runtime_data.classifiers["gate_id"].learner
    assert (learner.learned.lens.embedder.runtime, entry.runtime_data.embedder.runtime) == ("remote", "portable")
    assert learner.learned.head
    asked = script.requests
    coordinator = entry.runtime_data.classifiers["gate_id"]
    for seed in (20, 21):
        camera.show("open", seed)
        await coordinator.async_refresh()
    assert state(hass, "sensor.gate_class") == "open" and script.requests > asked
    held.set()
    await settled(hass)
    assert learner.learned.lens.embedder.runtime == "portable"
    assert workers() == 1, "the server was left"
    assert kept(hass_storage, entry) is None, "its token is not kept any longer"
    asked = script.requests
    await sees(hass, entry, camera, "closed", 30)
    assert script.requests == asked


async def test_a_former_server_that_is_gone_is_not_waited_for_long(
    hass: HomeAssistant,
    leaving: tuple[MockConfigEntry, Any],
    camera: FakeCamera,
    held: asyncio.Event,
    hass_storage: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    entry, script = leaving
    monkeypatch.setattr(pool, "REOPEN_WITHIN", 0.1)
    script.delay = 60
    assert await hass.config_entries.async_setup(entry.entry_id)
    learner = entry.runtime_data.classifiers["gate_id"].learner
    assert (learner.learned.lens.embedder.runtime, learner.learned.head) == ("portable", None)
    said = [record.getMessage() for record in caplog.records if record.name.startswith("custom_components")]
    assert any("What answered before can't be used" in line for line in said)
    assert not any(TOKEN in line for line in said)
    async with asyncio.timeout(20):
        while state(hass, "sensor.gate_examples_embedded") == "100":  # until it is said why nothing is known
            await asyncio.sleep(0.01)
    held.set()
    await settled(hass)
    await sees(hass, entry, camera, "open", 40)
    assert kept(hass_storage, entry) is None


async def test_what_is_kept_goes_with_the_engine(
    hass: HomeAssistant, leaving: tuple[MockConfigEntry, Any], hass_storage: dict[str, Any]
) -> None:
    entry, _ = leaving
    texts = [path.read_bytes() for path in Path(hass.config.path(DOMAIN)).rglob("*") if path.is_file()]
    assert texts and not any(TOKEN.encode() in text for text in texts), "never beside the examples"
    assert kept(hass_storage, entry)
    await hass.config_entries.async_remove(entry.entry_id)
    assert kept(hass_storage, entry) is None
    assert entry.state is ConfigEntryState.NOT_LOADED


async def test_settings_that_can_not_be_read_count_as_none(
    hass: HomeAssistant, leaving: tuple[MockConfigEntry, Any], hass_storage: dict[str, Any], held: asyncio.Event
) -> None:
    entry, _ = leaving
    kept(hass_storage, entry)["data"] = [{"of": "another version"}]
    assert await hass.config_entries.async_setup(entry.entry_id)
    assert entry.runtime_data.classifiers["gate_id"].learner.learned.lens.embedder.runtime == "portable"
    held.set()
    await settled(hass)
