"""The event Uncertain: once when looks begin to name no class."""

from typing import Any

from homeassistant.core import Event, EventStateChangedData, HomeAssistant
from homeassistant.helpers.event import async_track_state_change_event
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.coral_imprint.core.imprinting import Finding, Verdict
from custom_components.coral_imprint.core.imprinting.decision.uncertainty import Uncertainty
from tests.shell.conftest import FakeCamera, act, decide, settled, state, teach
from tests.shell.test_controls import blind

UNCERTAIN = "event.gate_uncertain"
N, U, F = Finding.NAMED, Finding.UNSURE, Finding.FOREIGN


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ([U], [U]),
        ([N, N, U, U, U], [None, None, U, None, None]),
        # One look that names something doesn't end it where a decision takes two.
        ([U, N, U, N, U], [U, None, None, None, None]),
        ([U, N, N, U], [U, None, None, U]),
        # The other kind is news, once.
        ([U, F, U, F, N, N, F], [U, F, None, None, None, None, F]),
    ],
)
def test_uncertainty_begins_once(found: list[Finding], told: list[Finding | None]) -> None:
    uncertainty = Uncertainty()
    verdicts = [Verdict(None, None, changed=False, streak=0, finding=finding) for finding in found]
    assert [uncertainty.begins(verdict, 2) for verdict in verdicts] == told


@pytest.fixture
def fired(hass: HomeAssistant) -> list[dict[str, Any]]:
    """Return what the event entity said, each time that it was fired."""
    times = {"unknown", "unavailable"}
    attributes: list[dict[str, Any]] = []

    def changed(event: Event[EventStateChangedData]) -> None:
        new = event.data["new_state"]
        if new and new.state not in times:
            times.add(new.state)
            attributes.append({**new.attributes})

    async_track_state_change_event(hass, [UNCERTAIN], changed)
    return attributes


async def looks(hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, *gates: str, seed: int) -> list[str]:
    """Look at gates, one after the other; return what the looks by themselves found."""
    found = []
    for number, gate in enumerate(gates, seed):
        camera.show(gate, number)
        found.append((await act(hass, engine, "look"))["finding"])
    return found


async def test_it_is_fired_when_looks_begin_to_be_unsure(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, fired: list[dict[str, Any]]
) -> None:
    assert await looks(hass, engine, camera, "half", "half", seed=1) == ["unsure", "unsure"]
    assert fired == [], "nothing is taught: there is nothing to be uncertain of"
    await teach(hass, engine, camera, "closed", "open")
    # A gate between the two is neither.
    assert await looks(hass, engine, camera, "half", "half", "half", seed=3) == ["unsure"] * 3
    (event,) = fired
    assert (event["event_type"], event["current_class"]) == ("unsure", "open")
    assert event["best_class"] in {"open", "closed"} and 50 <= event["probability"] < 80
    assert event["event_types"] == ["unsure", "foreign"]
    assert await looks(hass, engine, camera, "closed", "closed", seed=9) == ["named"] * 2
    assert len(fired) == 1
    # The class that is kept is confirmed by less than it took to enter; not so here.
    await decide(hass, engine, stay_at=80)
    await looks(hass, engine, camera, "half", seed=12)
    assert [event["current_class"] for event in fired] == ["open", "closed"]


async def test_its_last_time_stays_known_while_the_camera_is_gone(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, fired: list[dict[str, Any]]
) -> None:
    assert state(hass, UNCERTAIN) == "unknown"
    await teach(hass, engine, camera, "closed", "open")
    await looks(hass, engine, camera, "half", seed=3)
    when = state(hass, UNCERTAIN)
    camera.frame = None
    await blind(engine)
    assert state(hass, "sensor.gate_class") == "unavailable"
    assert state(hass, UNCERTAIN) == when
    assert await hass.config_entries.async_reload(engine.entry_id)
    await settled(hass)
    assert state(hass, UNCERTAIN) == when, "it was then, whenever this is"
    assert len(fired) == 1
