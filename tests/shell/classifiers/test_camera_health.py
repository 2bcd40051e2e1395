"""What is wrong with a camera is told, the user chooses what the sensors do about it, and a click mends what a click can."""

from collections.abc import Callable
from datetime import timedelta

from homeassistant.components.repairs import DOMAIN as REPAIRS
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.setup import async_setup_component
from homeassistant.util import dt as dt_util
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, async_fire_time_changed
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.coral_imprint.classifiers.looking import camera_monitor, frames
from custom_components.coral_imprint.classifiers.looking.health import Problem
from custom_components.coral_imprint.const import CAMERA_PROBLEMS
from custom_components.coral_imprint.issues import CAMERA_FIXABLE, CAMERA_ISSUES
from tests.shell.conftest import CAMERA, FakeCamera, act, draw, settled, state, teach, told
from tests.shell.faulty import OPEN, PROBLEM, look, mend, plain, yard

Clock = Callable[[float], None]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return what lets seconds pass for the checks of the camera."""
    now = [1000.0]
    for module in (frames, camera_monitor):
        monkeypatch.setattr(module, "monotonic", lambda: now[0])

    def passes(seconds: float) -> None:
        now[0] += seconds

    return passes


async def unavailable_on(hass: HomeAssistant, engine: MockConfigEntry, *problems: str) -> None:
    """Choose with which problems the sensors are unavailable, as the form does."""
    subentry = engine.subentries["gate_id"]
    data = {**subentry.data, "health": {"unavailable_on": list(problems)}}
    hass.config_entries.async_update_subentry(engine, subentry, data=data)
    await settled(hass)


async def learned(hass: HomeAssistant) -> None:
    """Let the time pass after which the background is learned."""
    async_fire_time_changed(hass, dt_util.utcnow() + timedelta(seconds=camera_monitor.LEARN_AFTER + 1))
    await settled(hass)


SHOWN: dict[str, tuple[bytes | Exception, str]] = {
    "black": (plain(4), "camera_black"),
    "blinded": (plain(252), "camera_blinded"),
    "not_a_picture": (b"<!DOCTYPE html><html>", "not_a_picture"),
    "no_image": (HomeAssistantError("on strike"), "camera_no_image"),
}


@pytest.mark.parametrize(("problem", "frame", "key"), [(name, *shown) for name, shown in SHOWN.items()], ids=SHOWN)
async def test_unavailable_rather_than_wrong(
    hass: HomeAssistant,
    engine: MockConfigEntry,
    camera: FakeCamera,
    problem: str,
    frame: bytes | Exception,
    key: str,
) -> None:
    await teach(hass, engine, camera, "closed", "open")
    assert (state(hass, OPEN), state(hass, PROBLEM)) == ("on", "ok")
    camera.frame = frame
    assert await look(hass, engine) == key
    assert (state(hass, OPEN), state(hass, PROBLEM)) == ("unavailable", problem)
    assert state(hass, "image.gate_last_look") == "unavailable"
    camera.show("open", 8)
    answer = await look(hass, engine)
    assert isinstance(answer, dict) and answer["camera_problem"] is None
    assert (state(hass, OPEN), state(hass, PROBLEM)) == ("on", "ok"), "right again at the first good look"


async def test_the_sensor_follows_from_one_problem_to_the_next(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    for problem, (frame, _) in SHOWN.items():
        camera.frame = frame
        await look(hass, engine)
        assert state(hass, PROBLEM) == problem


async def test_nothing_is_said_before_the_first_look(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    (other,) = hass.config_entries.async_entries("fake")
    assert await hass.config_entries.async_unload(other.entry_id)
    hass.states.async_set(CAMERA, "unavailable")
    assert await hass.config_entries.async_setup(entry.entry_id)
    await settled(hass)
    assert state(hass, PROBLEM) == "unavailable"
    shown = hass.states.get(PROBLEM)
    assert shown and shown.attributes["options"] == ["ok", *Problem]
    assert await hass.config_entries.async_unload(entry.entry_id)


async def test_a_stale_picture(hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, clock: Clock) -> None:
    await teach(hass, engine, camera, "closed", "open")
    clock(301)
    assert await look(hass, engine) == "camera_stale"
    assert (state(hass, OPEN), state(hass, PROBLEM)) == ("unavailable", "stale")
    await unavailable_on(hass, engine)
    answer = await look(hass, engine)
    assert isinstance(answer, dict) and answer["camera_problem"] == "stale"
    assert (state(hass, OPEN), state(hass, PROBLEM)) == ("on", "stale")
    with pytest.raises(HomeAssistantError) as caught:
        await act(hass, engine, "capture_example", **{"class": "open"})
    assert caught.value.translation_key == "camera_stale", "an old picture is no example of now"


async def test_a_camera_that_changes_rarely_is_not_stale(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, clock: Clock
) -> None:
    for seed in range(3):
        camera.show("open", seed)
        await look(hass, engine)
        clock(600)
    assert isinstance(await look(hass, engine), dict)
    clock(1201)
    assert await look(hass, engine) == "camera_stale"


async def test_by_choice_the_picture_is_judged_all_the_same(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    await teach(hass, engine, camera, "closed", "open")
    await unavailable_on(hass, engine, "blinded")
    camera.frame = plain(4)
    answer = await look(hass, engine)
    assert isinstance(answer, dict) and answer["camera_problem"] == "black"
    assert state(hass, OPEN) not in {"unavailable", None}
    assert state(hass, PROBLEM) == "black"
    camera.frame = plain(252)
    assert await look(hass, engine) == "camera_blinded"
    assert state(hass, OPEN) == "unavailable"


async def test_by_choice_the_last_answer_is_kept_for_the_hold_time(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    await teach(hass, engine, camera, "closed", "open")
    await unavailable_on(hass, engine)
    now = [5000.0]
    monkeypatch.setattr("custom_components.coral_imprint.classifiers.looking.scoring.monotonic", lambda: now[0])
    camera.frame = HomeAssistantError("hiccup")
    for _ in range(2):
        answer = await look(hass, engine)
        assert isinstance(answer, dict)
        assert (answer["class"], answer["camera_problem"]) == ("open", "no_image")
        assert (state(hass, OPEN), state(hass, PROBLEM)) == ("on", "no_image")
        now[0] += 30
    now[0] += 1
    await look(hass, engine)
    assert (state(hass, OPEN), state(hass, PROBLEM)) == ("unknown", "no_image")


async def test_what_was_taught_dark_is_no_problem(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    camera.frame = plain(4)
    await act(hass, engine, "capture_example", **{"class": "closed"})
    await teach(hass, engine, camera, "open")
    camera.frame = plain(4, 1)
    assert await look(hass, engine) == "camera_black"
    await learned(hass)
    await look(hass, engine)
    await look(hass, engine)
    assert (state(hass, "binary_sensor.gate_closed"), state(hass, PROBLEM)) == ("on", "ok")


async def test_a_frozen_picture_is_told(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, clock: Clock
) -> None:
    """The file changes (here: its comment), the picture doesn't."""
    await teach(hass, engine, camera, "closed", "open")
    picture = draw("open", 3)
    for number in range(32):
        camera.frame = picture[:2] + b"\xff\xfe\x00\x04" + bytes((65 + number // 8, 65 + number % 8)) + picture[2:]
        await look(hass, engine)
        assert (state(hass, OPEN), state(hass, PROBLEM)) == ("on", "frozen" if number >= 30 else "ok")
        clock(120)
    camera.show("open", 4)
    await look(hass, engine)
    assert state(hass, PROBLEM) == "ok"


async def taught_yard(hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, shift: int = 0) -> None:
    for seed, gate in enumerate(("closed", "open", "closed", "open")):
        camera.frame = yard(gate, seed, shift)
        await act(hass, engine, "capture_example", **{"class": gate})
    await learned(hass)


async def watch(hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, clock: Clock, shift: int) -> None:
    """Look for some minutes."""
    for seed in range(7):
        clock(60)
        camera.frame = yard("open", 50 + seed, shift)
        await look(hass, engine)


async def test_a_moved_camera_is_told_of_and_mended_by_putting_it_back(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, clock: Clock
) -> None:
    await taught_yard(hass, engine, camera)
    await watch(hass, engine, camera, clock, 0)
    assert (state(hass, PROBLEM), told(hass)) == ("ok", {})
    await watch(hass, engine, camera, clock, 25)
    assert state(hass, PROBLEM) == "moved"
    assert state(hass, OPEN) != "unavailable", "only told"
    answer = await look(hass, engine)
    assert isinstance(answer, dict) and answer["camera_problem"] == "moved"
    issue = told(hass)["camera_moved"]
    assert issue.is_fixable and issue.translation_placeholders == {"classifier": "Gate"}
    await unavailable_on(hass, engine, "moved")
    assert state(hass, OPEN) == "unavailable"
    await watch(hass, engine, camera, clock, 0)
    assert (state(hass, OPEN), state(hass, PROBLEM), told(hass)) == ("on", "ok", {})


async def test_a_camera_moved_on_purpose(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, clock: Clock, hass_client: ClientSessionGenerator
) -> None:
    assert await async_setup_component(hass, REPAIRS, {})
    await taught_yard(hass, engine, camera)
    await watch(hass, engine, camera, clock, 25)
    step = await mend(await hass_client(), told(hass)["camera_moved"].issue_id, {})
    assert step["type"] == "create_entry"
    await settled(hass)
    assert (state(hass, PROBLEM), told(hass)) == ("ok", {})
    await watch(hass, engine, camera, clock, 25)
    assert (state(hass, PROBLEM), told(hass)) == ("ok", {}), "what was taught before says nothing of the new place"
    assert (await act(hass, engine, "imprint"))["examples"] == {"open": 2, "closed": 2}, "and stays taught"
    # Once the new place was taught, moving away from it is noticed.
    await taught_yard(hass, engine, camera, 25)
    await watch(hass, engine, camera, clock, 25)
    assert state(hass, PROBLEM) == "ok"
    await watch(hass, engine, camera, clock, 0)
    assert state(hass, PROBLEM) == "moved"


async def test_the_place_is_known_again_after_a_restart(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, clock: Clock
) -> None:
    await taught_yard(hass, engine, camera)
    assert await hass.config_entries.async_reload(engine.entry_id)
    await settled(hass)
    await learned(hass)
    await watch(hass, engine, camera, clock, 25)
    assert state(hass, PROBLEM) == "moved"
    assert await hass.config_entries.async_unload(engine.entry_id)
    assert told(hass) == {}


async def test_lasting_trouble_is_told_under_repairs(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, clock: Clock
) -> None:
    for problem, (frame, _) in SHOWN.items():
        for number, seconds in enumerate((0, camera_monitor.TOLD_AFTER[Problem(problem)] - 1, 2)):
            assert told(hass) == {}
            clock(seconds)
            camera.frame = frame + bytes([number]) if isinstance(frame, bytes) else frame  # not the very same file
            await look(hass, engine)
        assert told(hass).keys() == {CAMERA_ISSUES[problem]}
        camera.show("open")
        await look(hass, engine)
        assert told(hass) == {}


def test_every_problem_has_its_words() -> None:
    assert CAMERA_ISSUES.keys() == set(Problem) == camera_monitor.TOLD_AFTER.keys()
    assert CAMERA_PROBLEMS.keys() | {Problem.MISSING, Problem.DISABLED} == set(Problem)
    assert set(Problem) > CAMERA_FIXABLE
    assert camera_monitor.camera_error(Problem.MOVED).translation_key == "camera_moved"
    assert camera_monitor.camera_error(Problem.FROZEN).translation_key == "camera_frozen"
