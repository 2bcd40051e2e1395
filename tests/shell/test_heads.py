"""The imprint answers at once; a better head is learned after it, or the one that the user fixed."""

from datetime import timedelta
import threading
from typing import Any

from freezegun.api import FrozenDateTimeFactory
from homeassistant.core import HomeAssistant
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.coral_imprint.classifiers import learner as learner_module
from custom_components.coral_imprint.imprinting import KINDS, choose

from .conftest import FakeCamera, act, classifier_data, decide, settled, state, teach


def kind(entry: MockConfigEntry) -> str:
    """Return the kind of head that answers."""
    head = entry.runtime_data.classifiers["gate_id"].learner.learned.head
    assert head
    return str(head.kind)


@pytest.fixture
async def taught(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, freezer: FrozenDateTimeFactory
) -> MockConfigEntry:
    """Return the engine with examples of four days."""
    for day in range(4):
        freezer.tick(timedelta(days=1))
        await teach(hass, engine, camera, "closed", "open", seed=200 + 10 * day)
    return engine


@pytest.mark.parametrize("chosen", KINDS)
async def test_the_user_may_fix_the_kind(
    hass: HomeAssistant, taught: MockConfigEntry, camera: FakeCamera, chosen: str
) -> None:
    classifier = taught.runtime_data.classifiers["gate_id"]
    await decide(hass, taught, head=chosen)
    assert taught.runtime_data.classifiers["gate_id"] is classifier, "nothing was reloaded"
    # A class with one mode has one proxy, and is an imprint then.
    assert kind(taught) == chosen or (chosen == "modes" and kind(taught) == "imprint")
    for gate in ("closed", "open"):
        camera.show(gate, 90)
        for _ in range(2):
            await act(hass, taught, "look")
        assert state(hass, "sensor.gate_class") == gate
    await decide(hass, taught, head="auto")
    assert kind(taught) == choose_anew(taught)


def choose_anew(entry: MockConfigEntry) -> str:
    """Return the kind that the examples speak for."""
    learner = entry.runtime_data.classifiers["gate_id"].learner
    rows = learner.examples.rows(learner._cache)
    assert all(len(set(occasions)) == 4 for occasions in rows.occasions.values())
    return str(choose(rows.vectors, rows.occasions).head.kind)


async def test_the_kind_is_kept_over_a_restart(
    hass: HomeAssistant, taught: MockConfigEntry, camera: FakeCamera
) -> None:
    await decide(hass, taught, head="ridge")
    assert await hass.config_entries.async_unload(taught.entry_id)
    assert await hass.config_entries.async_setup(taught.entry_id)
    await settled(hass)
    assert kind(taught) == "ridge"


async def test_what_is_taught_while_a_head_is_learned_is_not_lost(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(*args: Any, **options: Any) -> Any:
        begun.set()
        assert go_on.wait(10)
        return choose(*args, **options)

    monkeypatch.setattr(learner_module, "choose", slow)
    coordinator = engine.runtime_data.classifiers["gate_id"]
    for number, gate in enumerate(("closed", "open")):
        camera.show(gate, number)
        await coordinator.async_capture(gate)
    assert await hass.async_add_executor_job(begun.wait, 10)
    assert kind(engine) == "imprint", "which answers meanwhile"
    await coordinator.async_change(lambda store: store.add_class("half"), "add_class")
    camera.show("half", 5)
    await coordinator.async_capture("half")
    go_on.set()
    await settled(hass)
    head = coordinator.learner.learned.head
    assert head
    assert set(head.classes) == set(coordinator.learner.classes)
    assert (await act(hass, engine, "look"))["best"] == "half"


async def test_a_new_classifier_chooses_by_itself(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    assert "head" not in classifier_data(hass)["decision"], "as classifiers made before there was a choice"
    await teach(hass, engine, camera, "closed", "open")
    assert kind(engine) in KINDS
    assert state(hass, "binary_sensor.gate_open") == "on"
