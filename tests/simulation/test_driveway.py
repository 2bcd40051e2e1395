"""The drawn driveway: what is true, and what can be seen of it."""

from dataclasses import asdict, replace
import io
from itertools import pairwise, product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
import pytest

from scripts.simulation.driveway import CYCLE_S, GATE_REGION, SIZE, Scene, cycle, draw, jpeg, scene_at
from scripts.simulation.scene import PAINTS

NOON = Scene("closed", light=1.0)
CONDITIONS = {
    "noon": NOON,
    "morning": Scene(light=0.45, hour=7.5),
    "dusk": Scene(light=0.2, hour=19.0),
    "day rain": Scene(light=0.7, hour=16.0, rain=0.8),
    "night": Scene(light=0.0, hour=23.0),
    "night rain": Scene(light=0.0, hour=2.0, rain=0.8),
}


def pixels(scene: Scene, seed: int) -> NDArray[np.float32]:
    """Return a frame as numbers (h, w, 3)."""
    frame: NDArray[np.float32] = np.asarray(draw(scene, seed), np.float32)
    return frame


def gate_part(frame: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the part of a frame that shows the gate, in 8×8 blocks: noise and shake even out."""
    left, top, right, bottom = (round(edge * side) for edge, side in zip(GATE_REGION, SIZE * 2, strict=True))
    part = frame[top:bottom, left:right].mean(axis=2)
    high, wide = (side // 8 * 8 for side in part.shape)
    blocks: NDArray[np.float32] = part[:high, :wide].reshape(high // 8, 8, wide // 8, 8).mean(axis=(1, 3))
    return blocks


def unlikeness(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Return 1 - correlation of two pictures: blind to brightness and contrast."""
    return float(1 - np.corrcoef(a.ravel(), b.ravel())[0, 1])


@pytest.mark.parametrize("scene", CONDITIONS.values(), ids=CONDITIONS)
def test_a_frame_is_the_same_whenever_it_is_drawn(scene: Scene) -> None:
    """A later drawing of other moments changes nothing."""
    first = jpeg(scene, 5)
    jpeg(replace(scene, car=True), 6)
    assert jpeg(scene, 5) == first


@pytest.mark.parametrize("scene", CONDITIONS.values(), ids=CONDITIONS)
def test_each_moment_looks_a_little_different(scene: Scene) -> None:
    """Noise and weather touch nearly the whole picture, and most by night."""
    unlike = np.abs(pixels(scene, 1) - pixels(scene, 2))
    assert (unlike > 0).mean() > 0.5
    assert unlike.mean() < 60


def test_the_night_is_noisier_than_the_day() -> None:
    """Measured between neighbouring pixels, of which few lie across an edge."""

    def noise(scene: Scene) -> float:
        return float(np.median(np.abs(np.diff(pixels(scene, 3).mean(axis=2), axis=1))))

    assert noise(CONDITIONS["night"]) > 2 * noise(NOON)


@pytest.mark.parametrize("car", [False, True])
@pytest.mark.parametrize("scene", CONDITIONS.values(), ids=CONDITIONS)
def test_an_open_gate_looks_different_from_a_closed_one(scene: Scene, car: bool) -> None:
    """The gate's states differ by more than any two moments of one state, though clouds come and go."""
    frames = {
        gate: [gate_part(pixels(replace(scene, gate=gate, car=car), seed)) for seed in (11, 12, 60)]
        for gate in ("open", "closed")
    }
    within = max(unlikeness(frames[gate][0], other) for gate in frames for other in frames[gate][1:])
    between = min(unlikeness(a, b) for a in frames["open"] for b in frames["closed"])
    assert between > 1.2 * within


def test_the_light_changes_a_state_more_than_a_moment_does() -> None:
    """What makes the task hard: the same gate at noon and by night."""
    noon, later, night = (pixels(scene, seed) for scene, seed in ((NOON, 1), (NOON, 2), (CONDITIONS["night"], 1)))
    assert np.abs(noon - night).mean() > 3 * np.abs(noon - later).mean()


def test_the_night_is_nearly_grey() -> None:
    """The colours of a frame lie close together by night, and don't by day."""

    def saturation(scene: Scene) -> float:
        small = draw(scene, 1).reduce(16)
        return float(np.ptp(np.asarray(small, np.float32), axis=2).mean())

    assert saturation(CONDITIONS["night"]) < 6
    assert saturation(NOON) > 20


def test_a_car_shows_and_has_its_paint() -> None:
    """Every paint gives another picture, none of them that of the empty drive."""
    drive = np.s_[400:680, 400:680]
    looks = [pixels(NOON, 1)[drive].mean(axis=(0, 1))]
    looks += [pixels(replace(NOON, car=True, paint=paint), 1)[drive].mean(axis=(0, 1)) for paint in range(PAINTS)]
    assert all(np.abs(a - b).max() > 5 for index, a in enumerate(looks) for b in looks[:index])


def test_the_gate_fills_a_tenth_to_a_fifth_of_the_picture() -> None:
    """GATE_REGION holds the gate and little else."""
    left, top, right, bottom = GATE_REGION
    assert 0.1 <= (right - left) * (bottom - top) <= 0.2
    changed = np.abs(pixels(NOON, 1) - pixels(replace(NOON, gate="open"), 1)).mean(axis=2) > 40
    rows, columns = np.nonzero(changed)
    inside = (
        (columns / SIZE[0] > left) & (columns / SIZE[0] < right) & (rows / SIZE[1] > top) & (rows / SIZE[1] < bottom)
    )
    assert inside.mean() > 0.75


def test_a_frame_is_a_jpeg_of_the_size_asked_for() -> None:
    """By default 1280×720."""
    with Image.open(io.BytesIO(jpeg(NOON, 1))) as picture:
        assert (picture.format, picture.mode, picture.size) == ("JPEG", "RGB", (1280, 720))
    with Image.open(io.BytesIO(jpeg(NOON, 1, (640, 360)))) as picture:
        assert picture.size == (640, 360)


@pytest.mark.parametrize("seed", [0, 1, 99])
def test_a_cycle_lives_through_everything(seed: int) -> None:
    """Ten minutes, states of 10 to 40 s, each combination of gate, car, night and rain."""
    states = list(cycle(seed))
    assert sum(duration for duration, _ in states) == pytest.approx(CYCLE_S)
    assert all(10 <= duration <= 40 for duration, _ in states)
    combinations = {(scene.gate, scene.car, scene.night, scene.rain > 0) for _, scene in states}
    assert combinations == set(product(("open", "closed"), (False, True), (False, True), (False, True)))
    assert {bool(0.12 <= scene_at(t, seed).light < 0.4) for t in range(0, 600, 3)} == {True, False}


@pytest.mark.parametrize("seed", [0, 7])
def test_cars_come_and_go_through_an_open_gate(seed: int) -> None:
    """And no two things change at once, across the end of a cycle too."""
    scenes = [scene for _, scene in cycle(seed)]
    scenes.append(scene_at(CYCLE_S, seed))
    for before, after in pairwise(scenes):
        assert (before.gate != after.gate) + (before.car != after.car) <= 1
        if before.car != after.car:
            assert before.gate == after.gate == "open"
        elif after.car:
            assert (before.paint, before.parked) == (after.paint, after.parked)


def test_scene_at_follows_the_cycle() -> None:
    """Gate, car and rain are those of the state that t falls in, up to its very end."""
    start = 0.0
    for duration, scene in cycle(3):
        for t in (start + 1e-6, start + duration / 2, start + duration - 1e-6):
            now = scene_at(t, 3)
            assert (now.gate, now.car, now.rain) == (scene.gate, scene.car, scene.rain)
        start += duration


def test_light_moves_without_jumps() -> None:
    """A second changes it by little, over the end of a cycle too, and it is the same when asked again."""
    lights = [scene_at(float(t), 4).light for t in range(1300)]
    assert max(abs(a - b) for a, b in pairwise(lights)) < 0.06
    assert min(lights) == 0.0
    assert max(lights) > 0.99
    assert lights == [scene_at(float(t), 4).light for t in range(1300)]


def test_seeds_and_days_differ() -> None:
    """Other seeds, and later days of one seed, change at other times."""
    runs = {tuple(scene_at(start + t, seed).gate for t in range(600)) for seed in (0, 1, 2) for start in (0, CYCLE_S)}
    assert len(runs) == 6


def test_there_is_no_time_before_the_start() -> None:
    """A negative time is refused."""
    with pytest.raises(ValueError, match="negative"):
        scene_at(-1, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"gate": "ajar"},
        {"car": 1},
        {"light": 1.5},
        {"light": True},
        {"light": float("nan")},
        {"rain": -0.1},
        {"rain": "heavy"},
        {"hour": 25},
        {"paint": PAINTS},
        {"paint": 1.5},
        {"parked": None},
    ],
    ids=str,
)
def test_a_scene_out_of_range_is_refused(wrong: dict[str, Any]) -> None:
    """The error names the field."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Scene(**(asdict(NOON) | wrong))
