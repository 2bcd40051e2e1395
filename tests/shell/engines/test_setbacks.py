"""Disks that refuse, parts that vanish, work that is interrupted: what was there goes on, and it is said what is wrong."""

import asyncio
import logging
from pathlib import Path
from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers import entity_registry as er
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.coral_imprint.classifiers.learning import known_classes as known_module
from custom_components.coral_imprint.classifiers.learning.learner import Learner
from custom_components.coral_imprint.classifiers.learning.refiner import Refiner
from custom_components.coral_imprint.core.embedding import Embedder, EmbeddingError
from custom_components.coral_imprint.core.imprinting import EmbeddingCache, Imprint, StoreFailed
from custom_components.coral_imprint.engines import advisor
from custom_components.coral_imprint.extractors import choices
from tests.shell.conftest import (
    CAMERA,
    DOMAIN,
    NETWORK,
    PUBLISHED,
    FakeCamera,
    act,
    change,
    draw,
    models,
    network,
    settled,
    state,
    teach,
)
from tests.shell.file_server import FileServer


def full(*_: Any, **__: Any) -> Any:
    """Refuse as a full disk does."""
    raise StoreFailed("No space left on device")


# --- teaching and learning -----------------------------------------------------------------------------------------


async def test_learning_that_fails_leaves_the_imprint(
    hass: HomeAssistant,
    engine: MockConfigEntry,
    camera: FakeCamera,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail(_self: Refiner) -> None:
        full()

    monkeypatch.setattr(Refiner, "async_refine", fail)
    await teach(hass, engine, camera, "closed", "open")
    assert "Gate: the imprint could not be refined: No space left" in caplog.text
    assert state(hass, "sensor.gate_class") == "open"


async def test_a_shelf_that_can_not_be_tidied_up_is_no_reason_not_to_learn(
    hass: HomeAssistant,
    engine: MockConfigEntry,
    camera: FakeCamera,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await teach(hass, engine, camera, "closed", "open")
    monkeypatch.setattr(EmbeddingCache, "compact", full)
    assert await hass.config_entries.async_reload(engine.entry_id)
    await settled(hass)
    assert "Gate: the embeddings could not be tidied up: No space left" in caplog.text
    await act(hass, engine, "look")
    assert state(hass, "sensor.gate_class") == "open"


async def test_the_log_calls_a_renamed_classifier_by_its_present_name(
    hass: HomeAssistant,
    engine: MockConfigEntry,
    camera: FakeCamera,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await teach(hass, engine, camera, "closed", "open")
    hass.config_entries.async_update_subentry(engine, engine.subentries["gate_id"], title="Front door")
    await settled(hass)
    monkeypatch.setattr(EmbeddingCache, "compact", full)
    await act(hass, engine, "imprint")
    assert "Front door: the embeddings could not be tidied up: No space left" in caplog.text
    assert "Gate: " not in caplog.text


async def test_a_class_that_is_known_is_added_whole_or_not_at_all(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    (models(hass) / "mine.tflite").write_bytes(network())
    (models(hass) / "mine_labels.txt").write_text("\n".join(f"thing {number}" for number in range(10)))
    await change(hass, engine, **NETWORK)
    monkeypatch.setattr(known_module, "save_known", full)
    with pytest.raises(HomeAssistantError) as caught:
        await act(hass, engine, "add_class", **{"class": "half", "known": "thing 3"})
    assert caught.value.translation_key == "store_failed"
    learner = engine.runtime_data.classifiers["gate_id"].learner
    assert {learned.label for learned in learner.classes.values()} == {"open", "closed"}


@pytest.fixture
async def knowing(hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera) -> MockConfigEntry:
    """Return an engine whose network knows ten things, one of which its classifier is to see."""
    (models(hass) / "mine.tflite").write_bytes(network())
    (models(hass) / "mine_labels.txt").write_text("\n".join(f"thing {number}" for number in range(10)))
    await change(hass, engine, **NETWORK)
    await act(hass, engine, "add_class", **{"class": "half", "known": "thing 3"})
    return engine


@pytest.mark.parametrize("labels", ["thing", "other"])
async def test_what_another_network_does_not_know_has_to_be_shown_to_it(
    hass: HomeAssistant,
    knowing: MockConfigEntry,
    camera: FakeCamera,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    labels: str,
) -> None:
    """Or it knows it, and the disk refuses to keep that: it is looked up again at the next start."""
    caplog.set_level(logging.INFO)
    (models(hass) / "other.tflite").write_bytes(network(24))
    (models(hass) / "other_labels.txt").write_text("\n".join(f"{labels} {number}" for number in range(10)))
    monkeypatch.setattr(known_module, "save_known", full)
    await change(hass, knowing, **{**NETWORK, "extractor": "other.tflite"})
    learned = knowing.runtime_data.classifiers["gate_id"].learner.learned
    assert learned.lens.extractor == "other.tflite"
    assert bool(learned.head) is (labels == "thing")
    said = "what is known could not be kept: No space left" if labels == "thing" else "is not known to the extractor"
    assert f"Gate: {said}" in caplog.text or f"Gate: a known class {said}" in caplog.text


async def test_examples_that_can_not_be_embedded_are_told_of(
    hass: HomeAssistant,
    engine: MockConfigEntry,
    camera: FakeCamera,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await teach(hass, engine, camera, "closed", "open")

    async def fail(*_: Any) -> Any:
        raise EmbeddingError("out of memory")

    (models(hass) / "mine.tflite").write_bytes(network())
    monkeypatch.setattr(Embedder, "embed_many", fail)
    await change(hass, engine, **NETWORK)
    assert "Gate: the examples could not be embedded: out of memory" in caplog.text
    assert state(hass, "sensor.gate_class") == "open", "the former extractor answers"


async def test_what_is_taught_again_begins_to_be_learned_again(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[asyncio.Event] = []

    async def slow(_self: Refiner) -> None:
        begun.append(asyncio.Event())
        await begun[-1].wait()

    monkeypatch.setattr(Refiner, "async_refine", slow)
    coordinator = engine.runtime_data.classifiers["gate_id"]
    for number, gate in enumerate(("closed", "open", "closed")):
        camera.show(gate, number)
        await coordinator.teaching.async_capture(gate)
        async with asyncio.timeout(10):
            # Each time anew, with what was taught meanwhile.
            while len(begun) <= number:
                await asyncio.sleep(0.01)
    assert not begun[0].is_set()
    await hass.config_entries.async_unload(engine.entry_id)
    await settled(hass)


# --- cameras -------------------------------------------------------------------------------------------------------


async def test_a_camera_that_was_removed_is_missed_until_another_is_chosen(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    er.async_get(hass).async_remove(CAMERA)
    await settled(hass)
    assert await hass.config_entries.async_reload(engine.entry_id)
    await settled(hass)
    assert state(hass, "sensor.gate_class") == "unavailable"
    with pytest.raises(HomeAssistantError) as caught:
        await act(hass, engine, "look")
    assert caught.value.translation_key == "camera_missing"


async def test_a_look_that_fails_for_no_reason_of_the_cameras_is_told_of(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    await teach(hass, engine, camera, "closed", "open")

    def break_down(*_: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(Imprint, "score", break_down)
    camera.show("closed", 3)
    with pytest.raises(HomeAssistantError) as caught:
        await act(hass, engine, "look")
    assert caught.value.translation_key == "look_failed"


# --- actions -------------------------------------------------------------------------------------------------------


async def test_a_picture_that_is_too_large_is_refused_unread(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, tmp_path: Path
) -> None:
    folder = tmp_path / "allowed"
    folder.mkdir()
    with (folder / "large.jpg").open("wb") as file:
        file.write(draw("open"))
        file.truncate(33 * 2**20)
    with pytest.raises(ServiceValidationError) as caught:
        await act(hass, engine, "capture_example", **{"class": "open", "file": str(folder / "large.jpg")})
    assert caught.value.translation_key == "file_too_large"


async def test_an_extractor_that_vanishes_before_it_is_compared_is_left_out(
    hass: HomeAssistant,
    engine: MockConfigEntry,
    camera: FakeCamera,
    server: FileServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await teach(hass, engine, camera, *(["closed", "open"] * 2))
    (models(hass) / "published.tflite").write_bytes(server.content)

    async def vanishing(hass: HomeAssistant) -> Any:
        found = await choices.async_choices(hass)
        assert PUBLISHED in {choice.key for choice in found if choice.at_hand}
        (models(hass) / "published.tflite").unlink()
        return found

    monkeypatch.setattr(advisor, "async_choices", vanishing)
    answer = await act(hass, engine, "recommend_extractor")
    assert [row["extractor"] for row in answer["extractors"]] == ["builtin"]
    assert answer["unusable"] == {PUBLISHED: "Published network is gone"}
    assert server.requests == []


async def test_a_comparison_that_the_disk_refuses_says_so(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    await teach(hass, engine, camera, *(["closed", "open"] * 2))

    async def fail(*_: Any) -> Any:
        full()

    monkeypatch.setattr(Learner, "async_embeddings", fail)
    with pytest.raises(HomeAssistantError) as caught:
        await act(hass, engine, "recommend_extractor")
    assert caught.value.translation_key == "store_failed"


async def test_pictures_that_can_not_be_read_are_counted_in_the_log(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, caplog: pytest.LogCaptureFixture
) -> None:
    await teach(hass, engine, camera, "closed", "open")
    (Path(hass.config.path(DOMAIN, "gate", "open")) / "holiday.jpg").write_bytes(b"no picture")
    with caplog.at_level(logging.WARNING):
        await act(hass, engine, "imprint")
    assert "Gate: 1 unreadable pictures were set aside" in caplog.text
