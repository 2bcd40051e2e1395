"""Thresholds: of single classes, and for a budget of false alarms; and what an evaluation says of them."""

from datetime import timedelta
from typing import Any

from freezegun.api import FrozenDateTimeFactory
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import ServiceValidationError
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
import voluptuous as vol

from custom_components.coral_imprint.classifiers.coordinator import ClassifierCoordinator
from custom_components.coral_imprint.core.imprinting import Limits, with_thresholds
from tests.shell.conftest import FakeCamera, act, decide, settled, state, teach

NEVER = {"enter_at": 100, "stay_at": 100}


def gate(entry: MockConfigEntry) -> ClassifierCoordinator:
    found = entry.runtime_data.classifiers["gate_id"]
    assert isinstance(found, ClassifierCoordinator)
    return found


def limits(entry: MockConfigEntry, label: str) -> Limits:
    """Return the thresholds that a class is decided by."""
    classifier = gate(entry)
    class_id = classifier.learner.examples.class_named(label).id
    return with_thresholds(classifier.settings.rules, classifier.learned.thresholds).limits(class_id)


@pytest.fixture
async def taught(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, freezer: FrozenDateTimeFactory
) -> MockConfigEntry:
    """Return the engine with examples of six days and nights."""
    freezer.move_to("2026-06-01 10:00:00+00:00")
    hass.config.latitude, hass.config.longitude = 50.0, 8.0
    for number in range(12):
        for label in ("closed", "open"):
            camera.show(label, 200 + number)
            await act(hass, engine, "capture_example", **{"class": label})
        freezer.tick(timedelta(hours=12))
    return engine


async def test_a_class_may_have_thresholds_of_its_own(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    await teach(hass, engine, camera, "closed", "open")
    await act(hass, engine, "set_thresholds", **{"class": "open"}, enter_at=100, stay_at=10)
    await settled(hass)
    assert (limits(engine, "open"), limits(engine, "closed")) == (Limits(1.0, 0.1), Limits(0.8, 0.6))
    camera.show("closed", 500)
    for _ in range(2):
        await act(hass, engine, "look")
    camera.show("open", 500)
    for _ in range(3):
        found = await act(hass, engine, "look")
    assert (found["best"], found["finding"]) == ("open", "unsure"), "nothing is that sure"
    assert await hass.config_entries.async_reload(engine.entry_id)
    await settled(hass)
    assert limits(engine, "open") == Limits(1.0, 0.1)
    await act(hass, engine, "set_thresholds", **{"class": "open"})
    await settled(hass)
    assert limits(engine, "open") == Limits(0.8, 0.6)
    for _ in range(2):
        await act(hass, engine, "look")
    assert state(hass, "sensor.gate_class") == "open"


@pytest.mark.parametrize(
    ("asked", "key"),
    [
        ({"class": "open", "enter_at": 90}, "thresholds_incomplete"),
        ({"class": "open", "enter_at": 50, "stay_at": 60}, "stay_above_enter"),
        ({"class": "ajar", "enter_at": 50, "stay_at": 40}, "unknown_class"),
    ],
)
async def test_thresholds_that_contradict_themselves_are_refused(
    hass: HomeAssistant, engine: MockConfigEntry, asked: dict[str, Any], key: str
) -> None:
    with pytest.raises(ServiceValidationError) as refused:
        await act(hass, engine, "set_thresholds", **asked)
    assert refused.value.translation_key == key
    with pytest.raises(vol.Invalid):
        await act(hass, engine, "set_thresholds", **{"class": "open"}, enter_at=101, stay_at=10)
    assert "limits" not in engine.subentries["gate_id"].data


async def test_a_budget_of_false_alarms_raises_thresholds_where_the_examples_ask_for_it(
    hass: HomeAssistant, taught: MockConfigEntry, camera: FakeCamera
) -> None:
    as_set = Limits(0.8, 0.6)
    assert limits(taught, "open") == as_set
    await decide(hass, taught, false_alarms=0.1)
    learned = gate(taught).learner.learned.thresholds
    assert {one.trusted for one in learned.values()} == {True}
    tight = limits(taught, "open").enter_at
    assert tight >= as_set.enter_at
    await decide(hass, taught, false_alarms=1000)
    assert limits(taught, "open").enter_at <= tight
    # The user's own word counts more.
    await act(hass, taught, "set_thresholds", **{"class": "open"}, enter_at=55, stay_at=50)
    await settled(hass)
    assert limits(taught, "open") == Limits(0.55, 0.5)
    await act(hass, taught, "set_thresholds", **{"class": "open"})
    await decide(hass, taught, false_alarms=0)
    assert limits(taught, "open") == as_set


async def test_with_few_occasions_a_budget_is_not_promised(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    await teach(hass, engine, camera, "closed", "open", "closed", "open")
    await decide(hass, engine, false_alarms=1)
    assert limits(engine, "open") == Limits(0.95, 0.7)
    found = (await act(hass, engine, "evaluate"))["thresholds"]
    assert {label: (one["trusted"], one["doubt"], one["alarms"]) for label, one in found.items()} == {
        "open": (False, "few_occasions", None),
        "closed": (False, "few_occasions", None),
    }


async def test_an_evaluation_tells_of_alarms_misses_day_and_night(
    hass: HomeAssistant, taught: MockConfigEntry, camera: FakeCamera
) -> None:
    found = await act(hass, taught, "evaluate")
    assert set(found["conditions"]) == {"by day", "at night"}
    assert found["occasions"] == {"open": 12, "closed": 12}
    assert (found["thresholds"]["open"]["enter"], found["thresholds"]["open"]["trusted"]) == (0.8, True)
    assert 0 <= found["thresholds"]["open"]["misses"] <= 1
    alarms = sum(one["alarms"] for one in found["thresholds"].values())
    assert found["alarms_per_month"] == pytest.approx(alarms)
    await decide(hass, taught, enter_at=99)
    stricter = await act(hass, taught, "evaluate")
    assert stricter["alarms_per_month"] <= found["alarms_per_month"]
    assert stricter["thresholds"]["open"]["misses"] >= found["thresholds"]["open"]["misses"]


async def test_looks_may_be_counted_in_a_window_and_a_class_may_stay_for_a_while(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, freezer: FrozenDateTimeFactory
) -> None:
    await teach(hass, engine, camera, "open", "closed")
    await decide(hass, engine, looks=2, window=3, at_least=0)
    camera.show("open", 900)
    for unsure in (False, True, False):
        await act(hass, engine, "set_thresholds", **{"class": "open"}, **(NEVER if unsure else {}))
        await settled(hass)
        assert state(hass, "sensor.gate_class") == "closed"
        assert (await act(hass, engine, "look"))["finding"] == ("unsure" if unsure else "named")
    assert state(hass, "sensor.gate_class") == "open", "two of the last three"
    await decide(hass, engine, looks=1, window=0, at_least=60)
    for shown in ("closed", "open"):
        freezer.tick(61)
        camera.show(shown, 901)
        await act(hass, engine, "look")
        assert state(hass, "sensor.gate_class") == shown
    camera.show("closed", 902)
    await act(hass, engine, "look")
    assert state(hass, "sensor.gate_class") == "open"
    freezer.tick(61)
    await act(hass, engine, "look")
    assert state(hass, "sensor.gate_class") == "closed"
