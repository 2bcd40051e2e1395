"""The imprint answers at once; a better head is learned after it, or the one that the user fixed."""

from datetime import timedelta
from pathlib import Path
import shutil
import threading
from types import MappingProxyType
from typing import Any

from freezegun.api import FrozenDateTimeFactory
from homeassistant.config_entries import ConfigSubentry
from homeassistant.const import EVENT_HOMEASSISTANT_STARTED
from homeassistant.core import CoreState, HomeAssistant
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.coral_imprint.classifiers.learning import refiner as refiner_module
from custom_components.coral_imprint.core.imprinting import KINDS, choose
from tests.shell.conftest import DOMAIN, FakeCamera, act, classifier_data, decide, settled, state, teach


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
    rows = learner.examples.training_set(learner._cache)
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

    monkeypatch.setattr(refiner_module, "choose", slow)
    coordinator = engine.runtime_data.classifiers["gate_id"]
    for number, gate in enumerate(("closed", "open")):
        camera.show(gate, number)
        await coordinator.teaching.async_capture(gate)
    assert await hass.async_add_executor_job(begun.wait, 10)
    assert kind(engine) == "imprint", "which answers meanwhile"
    await coordinator.teaching.async_add_class("half")
    camera.show("half", 5)
    await coordinator.teaching.async_capture("half")
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


def add_classifiers(hass: HomeAssistant, entry: MockConfigEntry, count: int) -> None:
    """Add classifiers like the first one."""
    for number in range(count):
        added = ConfigSubentry(
            data=MappingProxyType(classifier_data(hass, folder=f"yard_{number}")),
            subentry_type="classifier",
            title=f"Yard {number}",
            unique_id=None,
        )
        hass.config_entries.async_add_subentry(entry, added)


def copy_examples(hass: HomeAssistant, folder: str) -> None:
    """Give a classifier the first one's examples, as a user does who copies folders."""
    for gate in ("open", "closed"):
        for picture in Path(hass.config.path(DOMAIN, "gate", gate)).glob("*.jpg"):
            shutil.copy(picture, Path(hass.config.path(DOMAIN, folder, gate)))


async def test_heads_are_refined_after_the_start_and_one_after_the_other(
    hass: HomeAssistant, taught: MockConfigEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_classifiers(hass, taught, 3)
    await settled(hass)
    chosen_before = kind(taught)
    assert chosen_before == choose_anew(taught)
    for folder in ("yard_0", "yard_1", "yard_2"):
        copy_examples(hass, folder)
    under_way: list[int] = []
    together: list[int] = []

    def counted(*args: Any, **options: Any) -> Any:
        under_way.append(1)
        together.append(len(under_way))
        found = choose(*args, **options)
        under_way.pop()
        return found

    monkeypatch.setattr(refiner_module, "choose", counted)
    assert await hass.config_entries.async_unload(taught.entry_id)
    hass.set_state(CoreState.starting)
    assert await hass.config_entries.async_setup(taught.entry_id)
    await settled(hass)
    # The head that was learned before answers at once; nothing is learned while Home Assistant starts.
    assert kind(taught) == chosen_before
    assert together == []
    hass.set_state(CoreState.running)
    hass.bus.async_fire(EVENT_HOMEASSISTANT_STARTED)
    await settled(hass)
    assert len(together) >= 4
    assert max(together) == 1
    assert kind(taught) == choose_anew(taught)
