"""An engine whose extractor comes late, changes, fails or comes back: it answers all the while, and loses nothing."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

from freezegun.api import FrozenDateTimeFactory
from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr, entity_registry as er
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.coral_imprint.core.embedding import Embedder
from tests.shell.conftest import (
    DOMAIN,
    NETWORK,
    FakeCamera,
    act,
    change,
    decide,
    models,
    network,
    settled,
    state,
    teach,
    workers,
)

# --- another extractor --------------------------------------------------------------------------------------------


async def test_another_extractor_is_followed_without_a_reload(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    await teach(hass, engine, camera, "closed", "open")
    (models(hass) / "mine.tflite").write_bytes(network())
    coordinator = engine.runtime_data.classifiers["gate_id"]
    before = (await act(hass, engine, "look"))["evidence"]
    await change(hass, engine, **NETWORK)
    assert engine.runtime_data.classifiers["gate_id"] is coordinator
    assert state(hass, "binary_sensor.gate_open") == "on", "the state is kept"
    assert state(hass, "sensor.built_in_runtime") == "portable"
    assert (await act(hass, engine, "look"))["evidence"] != before
    device = dr.async_get(hass).async_get_device_by_identifier((DOMAIN, engine.entry_id), engine.entry_id)
    assert device and device.model == "Extractor, portable runtime"
    assert workers() == 1, "the former embedder was closed"
    camera.show("closed", 5)
    for _ in range(2):
        await act(hass, engine, "look")
    assert state(hass, "binary_sensor.gate_open") == "off"


async def test_the_old_head_answers_until_the_new_one_is_ready(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    await teach(hass, engine, camera, "closed", "open", "closed", "open")
    (models(hass) / "mine.tflite").write_bytes(network())
    go_on = asyncio.Event()
    real = Embedder.embed_many

    async def slow(self: Embedder, *args: Any) -> Any:
        if self.runtime != "builtin":
            await go_on.wait()
        return await real(self, *args)

    monkeypatch.setattr(Embedder, "embed_many", slow)
    hass.config_entries.async_update_entry(engine, data=NETWORK)
    coordinator = engine.runtime_data.classifiers["gate_id"]
    while coordinator.learner.progress is None:
        await asyncio.sleep(0.01)
    assert state(hass, "sensor.gate_examples_embedded") == "0"
    # Looks and captures go on as before.
    camera.show("closed", 9)
    for _ in range(2):
        await coordinator.async_look()
    assert state(hass, "binary_sensor.gate_closed") == "on"
    camera.show("open", 10)
    await coordinator.teaching.async_capture("open")
    assert state(hass, "binary_sensor.gate_open") == "on"
    assert workers() == 2
    go_on.set()
    await settled(hass)
    assert state(hass, "sensor.gate_examples_embedded") == "100"
    assert coordinator.learner.learned.lens.embedder.runtime == "portable"
    assert workers() == 1
    # What was captured meanwhile has moved too.
    assert sum(len(rows) for rows in await vectors(hass, engine)) == 5


async def vectors(hass: HomeAssistant, engine: MockConfigEntry) -> list[list[Any]]:
    """Return the embeddings of the present lens, by class."""
    learner = engine.runtime_data.classifiers["gate_id"].learner
    found = await learner.async_embeddings(learner.learned.lens)
    return [[vector for one, vector in found if one.class_id == class_id] for class_id in learner.classes]


async def test_going_back_embeds_nothing(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, embedded: list[bytes]
) -> None:
    await teach(hass, engine, camera, "closed", "open")
    (models(hass) / "mine.tflite").write_bytes(network())
    await decide(hass, engine, reject_foreign=False)  # no drawn pictures
    camera.frame = None  # no looks: only examples are embedded
    embedded.clear()
    await change(hass, engine, **NETWORK)
    assert len(embedded) == 2
    await change(hass, engine, extractor="builtin")
    await change(hass, engine, **NETWORK)
    assert len(embedded) == 2


async def test_former_embeddings_are_kept_for_a_week(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, freezer: FrozenDateTimeFactory
) -> None:
    await teach(hass, engine, camera, "closed", "open")
    folder = Path(hass.config.path(DOMAIN, "gate", ".embeddings"))
    (models(hass) / "mine.tflite").write_bytes(network())
    await change(hass, engine, **NETWORK)
    assert len(list(folder.glob("*.emb"))) == 2
    freezer.tick(timedelta(days=6))
    await act(hass, engine, "imprint")
    assert len(list(folder.glob("*.emb"))) == 2
    freezer.tick(timedelta(days=1, minutes=1))
    await act(hass, engine, "imprint")
    assert len(list(folder.glob("*.emb"))) == 1
    camera.show("open", 3)
    assert (await act(hass, engine, "look"))["best"] == "open"


async def test_a_change_is_resumed_after_a_restart_and_the_old_head_answers(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    gates = ["closed", "open"] * 10
    await teach(hass, engine, camera, *gates)
    (models(hass) / "mine.tflite").write_bytes(network())
    go_on = asyncio.Event()
    done: list[bytes] = []
    real = Embedder.embed_many

    async def slow(self: Embedder, pictures: list[bytes], *args: Any) -> Any:
        if self.runtime != "builtin":
            if done:
                await go_on.wait()
            done.extend(pictures)
        return await real(self, pictures, *args)

    monkeypatch.setattr(Embedder, "embed_many", slow)
    hass.config_entries.async_update_entry(engine, data=NETWORK)
    while len(done) < 8:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    # Home Assistant is restarted amid the change: what was embedded in whole batches is kept.
    assert await hass.config_entries.async_unload(engine.entry_id)
    assert workers() == 0
    camera.show("open", 77)
    assert await hass.config_entries.async_setup(engine.entry_id)
    coordinator = engine.runtime_data.classifiers["gate_id"]
    assert coordinator.learner.learned.lens.embedder.runtime == "builtin", "what answered before answers meanwhile"
    assert coordinator.learner.learned.head
    assert (await coordinator.async_look()).scores.best == coordinator.learner.examples.class_named("open").id
    go_on.set()
    await settled(hass)
    assert coordinator.learner.learned.lens.embedder.runtime == "portable"
    assert len(done) == len(set(done)) == len(gates), "the batch of eight that was done was not embedded twice"
    assert workers() == 1


async def test_another_region_is_resumed_after_a_restart_too(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    await teach(hass, engine, camera, "closed", "open")
    assert await hass.config_entries.async_unload(engine.entry_id)
    subentry = engine.subentries["gate_id"]
    region = {"left": 10, "top": 0, "right": 90, "bottom": 100}
    hass.config_entries.async_update_subentry(engine, subentry, data={**subentry.data, "region": region})
    camera.frame = None
    assert await hass.config_entries.async_setup(engine.entry_id)
    learner = engine.runtime_data.classifiers["gate_id"].learner
    assert (learner.learned.lens.region.left, learner.learned.head is not None) == (0, True)
    await settled(hass)
    assert learner.learned.lens.region.left == pytest.approx(0.1)


async def test_a_removed_extractor_leaves_no_former_lens(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    (models(hass) / "mine.tflite").write_bytes(network())
    await change(hass, engine, **NETWORK)
    await teach(hass, engine, camera, "closed", "open")
    assert await hass.config_entries.async_unload(engine.entry_id)
    (models(hass) / "mine.tflite").unlink()
    hass.config_entries.async_update_entry(engine, data={"extractor": "builtin", "runtime": "auto"})
    assert await hass.config_entries.async_setup(engine.entry_id)
    await settled(hass)
    camera.show("open", 5)
    assert (await act(hass, engine, "look"))["best"] == "open"


# --- sensors ------------------------------------------------------------------------------------------------------


async def test_the_engine_says_what_it_runs_on_and_why(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    shown = hass.states.get("sensor.built_in_runtime")
    assert shown
    assert (shown.state, shown.attributes["reason"], shown.attributes["extractor"]) == (
        "builtin",
        "builtin",
        "Built-in",
    )
    (models(hass) / "mine.tflite").write_bytes(network())
    await change(hass, engine, **NETWORK)
    shown = hass.states.get("sensor.built_in_runtime")
    assert shown
    assert (shown.state, shown.attributes["reason"], shown.attributes["extractor"]) == ("portable", "chosen", "mine")
    registered = er.async_get(hass).async_get("sensor.built_in_inference_time")
    assert registered and registered.disabled_by is er.RegistryEntryDisabler.INTEGRATION
