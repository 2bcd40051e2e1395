"""A look at something that was never taught is told from one that can't decide between two classes."""

from datetime import timedelta
from io import BytesIO
from pathlib import Path

from freezegun.api import FrozenDateTimeFactory
from homeassistant.core import HomeAssistant
import numpy as np
from PIL import Image
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from tests.shell.conftest import NETWORK, FakeCamera, act, change, decide, models, settled, state, teach

MODEL = Path(__file__).parents[4] / "shared" / "models" / "mobilenet_v1_0.25_128_quant.tflite"


def something_else(seed: int) -> bytes:
    """Return a picture of nothing that was ever taught: blots of colour."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), np.uint8)
    buffer = BytesIO()
    Image.fromarray(coarse).resize((320, 240), Image.Resampling.BICUBIC).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture
async def networked(hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera) -> MockConfigEntry:
    """Return the engine with a real network, not taught yet: one of random weights knows nothing of pictures."""
    if not MODEL.is_file():
        pytest.skip(f"needs {MODEL.name} in shared/models beside the checkout")
    (models(hass) / "mine.tflite").write_bytes(MODEL.read_bytes())
    await change(hass, engine, **NETWORK)
    await decide(hass, engine, reject_foreign=True)
    return engine


async def test_something_else_ends_the_state_and_is_called_foreign(
    hass: HomeAssistant, networked: MockConfigEntry, camera: FakeCamera, freezer: FrozenDateTimeFactory
) -> None:
    await teach(hass, networked, camera, "closed", "open")
    await settled(hass)
    assert networked.runtime_data.classifiers["gate_id"].learner.learned.plausibility
    for seed in range(20, 24):
        camera.show("open", seed)
        assert (await act(hass, networked, "look"))["finding"] == "named"
    assert state(hass, "binary_sensor.gate_open") == "on"
    for seed in range(3):
        camera.frame = something_else(seed)
        assert (await act(hass, networked, "look"))["finding"] == "foreign"
        freezer.tick(20)
    assert state(hass, "sensor.gate_class") == "unknown"
    assert state(hass, "binary_sensor.gate_open") == "unknown"
    camera.show("closed", 30)
    for _ in range(2):
        await act(hass, networked, "look")
    assert state(hass, "sensor.gate_class") == "closed"


async def test_rejecting_can_be_turned_off(hass: HomeAssistant, networked: MockConfigEntry, camera: FakeCamera) -> None:
    await teach(hass, networked, camera, "closed", "open")
    await settled(hass)
    await decide(hass, networked, reject_foreign=False)
    camera.frame = something_else(0)
    assert (await act(hass, networked, "look"))["finding"] != "foreign"


async def test_one_class_is_enough(hass: HomeAssistant, networked: MockConfigEntry, camera: FakeCamera) -> None:
    await teach(hass, networked, camera, "open")
    await settled(hass)
    for seed in (40, 41):
        camera.show("open", seed)
        await act(hass, networked, "look")
    assert state(hass, "binary_sensor.gate_open") == "on"
    camera.frame = something_else(9)
    assert (await act(hass, networked, "look"))["finding"] == "foreign"
    event = hass.states.get("event.gate_uncertain")
    assert event
    told = [event.attributes[key] for key in ("event_type", "best_class", "probability", "current_class")]
    assert told == ["foreign", None, None, "open"], "a single class has no probability"


async def test_what_is_drawn_is_embedded_once(
    hass: HomeAssistant, networked: MockConfigEntry, camera: FakeCamera, embedded: list[bytes]
) -> None:
    await teach(hass, networked, camera, "closed", "open")
    await settled(hass)
    assert list(Path(hass.config.cache_path("coral_imprint", "clutter")).glob("*.emb"))
    assert await hass.config_entries.async_unload(networked.entry_id)
    camera.frame = None
    embedded.clear()
    assert await hass.config_entries.async_setup(networked.entry_id)
    await settled(hass)
    assert networked.runtime_data.classifiers["gate_id"].learner.learned.plausibility
    assert not embedded


async def test_the_built_in_extractor_does_not_claim_to_know(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    await decide(hass, engine, reject_foreign=True)
    await teach(hass, engine, camera, "closed", "open")
    assert engine.runtime_data.classifiers["gate_id"].learner.learned.plausibility is None
    camera.frame = something_else(1)
    assert (await act(hass, engine, "look"))["finding"] != "foreign"


async def test_an_evaluation_asks_for_pictures_of_nothing(
    hass: HomeAssistant, networked: MockConfigEntry, camera: FakeCamera, freezer: FrozenDateTimeFactory
) -> None:
    """By the rule that decides: what is rejected as foreign is not accepted."""
    for day in range(3):
        freezer.tick(timedelta(days=1))
        for number, gate in enumerate(("closed", "open")):
            camera.show(gate, 200 + 10 * day + number)
            await act(hass, networked, "capture_example", **{"class": gate})
    found = await act(hass, networked, "evaluate")
    assert (found["foreign"]["share"], found["foreign"]["asked"]) == (0, 60)
    assert any("no background class" in sentence for sentence in found["advice"])
    await decide(hass, networked, reject_foreign=False, enter_at=50, stay_at=50)
    found = await act(hass, networked, "evaluate")
    assert found["foreign"]["share"] == 1, "one of two classes is always the likelier"
    assert any("something else" in sentence for sentence in found["advice"])
