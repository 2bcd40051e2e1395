"""What looks say of a camera over time. No Home Assistant in it."""

from collections.abc import Iterable
from itertools import count

import numpy as np
import pytest

from custom_components.coral_imprint.classifiers.looking.health import (
    Freshness,
    Health,
    Problem,
    Stillness,
    Whereabouts,
)
from custom_components.coral_imprint.core.embedding import BackgroundPlace, Condition, Sighting

SAME, ELSEWHERE, NOWHERE, UNCLEAR = (
    BackgroundPlace.SAME,
    BackgroundPlace.ELSEWHERE,
    BackgroundPlace.NOWHERE,
    BackgroundPlace.UNCLEAR,
)
RNG = np.random.default_rng(0)
SCENE = RNG.integers(20, 220, (64, 64), dtype=np.uint8)


def noisy(level: int = 1) -> Condition:
    return Condition((SCENE + RNG.integers(0, level + 1, SCENE.shape)).astype(np.uint8))


def black() -> Condition:
    return Condition(np.full((64, 64), 5, np.uint8))


def blinded() -> Condition:
    return Condition(np.full((64, 64), 251, np.uint8))


# --- stale ----------------------------------------------------------------------------------------------------------


def stale_at(changes: Iterable[float], until: float, stale_after: float = 300, every: float = 10) -> list[float]:
    """Look every so often at a picture that changes at these times; return when it was stale."""
    fresh = Freshness()
    moments, frames = sorted(changes), count()
    frame, found = b"0", []
    now = 0.0
    while now <= until:
        while moments and moments[0] <= now:
            moments.pop(0)
            frame = str(next(frames)).encode()
        if fresh.observe(frame, now, stale_after):
            found.append(now)
        now += every
    return found


def test_a_picture_may_stay_the_same_for_as_long_as_the_user_allows() -> None:
    changes = [10.0 * look for look in range(60)]
    found = stale_at(changes, 1200)
    assert found[0] == 590 + 310 and found[-1] == 1200
    assert stale_at(changes, 1200, stale_after=0) == []
    assert stale_at(changes, 1190, stale_after=600) == []


def test_a_picture_that_changes_rarely_may_stay_the_same_for_longer() -> None:
    every_ten_minutes = [600.0 * change for change in range(20)]
    found = stale_at(every_ten_minutes, 12_000)
    assert max(found) < 600, "only before it is known how often it changes"
    found = stale_at(every_ten_minutes, 15_000)
    assert min(moment for moment in found if moment > 600) == 11_400 + 1810


def test_an_outage_is_no_habit() -> None:
    often = [10.0 * look for look in range(30)]
    outage = [3600 + moment for moment in often]
    found = stale_at([*often, *outage], 8000)
    assert min(moment for moment in found if moment > 3900) == 3600 + 290 + 310


# --- frozen ---------------------------------------------------------------------------------------------------------


def frozen(frames: Iterable[Condition], every: float = 60) -> list[bool]:
    still = Stillness()
    return [still.observe(frame.luma, number * every) for number, frame in enumerate(frames)]


def test_a_stuck_picture_under_a_running_clock_is_frozen() -> None:
    def shown(minute: int) -> Condition:
        luma = SCENE.copy()
        luma[:4, :16] = minute % 256
        return Condition(luma)

    found = frozen(shown(minute) for minute in range(80))
    assert found == [False] * 60 + [True] * 20


def test_a_sensor_is_never_as_still() -> None:
    assert not any(frozen(noisy() for _ in range(500)))


def test_so_few_looks_say_nothing() -> None:
    assert not any(frozen((Condition(SCENE) for _ in range(19)), every=3600))
    assert frozen((Condition(SCENE) for _ in range(20)), every=3600)[-1]


def test_a_change_of_light_ends_it() -> None:
    brighter = Condition(SCENE + np.uint8(3))
    found = frozen([*[Condition(SCENE)] * 70, brighter, *[brighter] * 10])
    assert found[69] and not any(found[70:])


# --- moved ----------------------------------------------------------------------------------------------------------


def moved(places: Iterable[BackgroundPlace], every: float = 60) -> list[bool]:
    where = Whereabouts()
    return [where.observe(place, number * every) for number, place in enumerate(places)]


def test_several_looks_over_some_minutes_have_to_agree() -> None:
    assert moved([ELSEWHERE] * 8) == [False] * 5 + [True] * 3
    assert not any(moved([ELSEWHERE] * 30, every=10))
    assert moved([ELSEWHERE] * 31, every=10)[-1]


def test_a_look_at_the_background_in_its_place_begins_anew() -> None:
    assert not any(moved([*[ELSEWHERE] * 5, SAME] * 20))


def test_two_looks_at_it_in_its_place_end_it() -> None:
    found = moved([*[ELSEWHERE] * 6, UNCLEAR, SAME, UNCLEAR, SAME, SAME, UNCLEAR])
    assert found == [False] * 5 + [True] * 5 + [False] * 2


def test_looks_that_can_not_tell_neither_help_nor_hurt() -> None:
    assert moved([ELSEWHERE, UNCLEAR, UNCLEAR] * 6)[-1]
    assert not any(moved([ELSEWHERE, *[UNCLEAR] * 9] * 20)), "stray ones say nothing"


def test_a_night_without_its_background_is_no_move() -> None:
    night = [NOWHERE] * (14 * 60)
    day = [SAME] * (10 * 60)
    assert not any(moved([*day, *night] * 3))


def test_a_camera_that_shows_it_nowhere_for_more_than_a_day_was_moved() -> None:
    found = moved([SAME, *[NOWHERE] * (27 * 60)])
    assert found.index(True) == 1 + 26 * 60
    assert moved([NOWHERE] * 60, every=3600)[-1] is False, "too few looks"
    assert moved([NOWHERE] * 101, every=3600)[-1] is True
    assert not any(moved([UNCLEAR] * (99 * 60))), "a car that stands before it for days"


# --- together -------------------------------------------------------------------------------------------------------


def test_of_several_the_worst_is_told() -> None:
    camera = Health()
    assert camera.looked(noisy(), None, 0, stale=False) is None
    assert camera.looked(black(), None, 10, stale=False) is Problem.BLACK
    assert camera.looked(black(), None, 20, stale=True) is Problem.STALE
    assert camera.looked(blinded(), None, 30, stale=False) is Problem.BLINDED
    camera.failed(Problem.NO_IMAGE, 40)
    camera.failed(Problem.NO_IMAGE, 50)
    assert (camera.problem, camera.since) == (Problem.NO_IMAGE, 40)
    assert camera.looked(noisy(), None, 60, stale=False) is None


@pytest.mark.parametrize("problem", [Problem.BLACK, Problem.BLINDED])
def test_what_was_taught_is_no_problem(problem: Problem) -> None:
    condition = black() if problem is Problem.BLACK else blinded()
    assert Health().looked(condition, None, 0, stale=False) is problem
    assert Health().looked(condition, None, 0, stale=False, normal={problem}) is None


def test_the_very_same_frame_says_nothing_more() -> None:
    """Bytes that didn't change are no second look at where the camera points, nor at whether it moves."""
    camera, elsewhere, frame = Health(), Sighting(ELSEWHERE, 0.1), noisy()
    for look in range(200):
        assert camera.looked(frame, elsewhere, look * 60, stale=False) is None
    for look in range(200, 206):
        camera.looked(noisy(), elsewhere, look * 60, stale=False)
    assert camera.problem is Problem.MOVED
    assert camera.looked(black(), None, 13_000, stale=False) is Problem.BLACK
    assert camera.looked(noisy(), None, 13_060, stale=False) is Problem.MOVED, "remembered through the night"
    camera.forget_place()
    assert camera.looked(noisy(), None, 13_120, stale=False) is None
