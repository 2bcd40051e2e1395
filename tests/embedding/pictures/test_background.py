"""Whether a camera was moved: drawn scenes, and genuine cameras by day and by night."""

from collections import defaultdict
import math
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
import pytest

from embedding import Background, BackgroundPlace, edges, learn_background
from embedding.pictures.condition import measure
from tests.embedding.sample_pictures import scene

WEBCAMS = Path(__file__).resolve().parents[4] / "shared" / "data" / "amos-day-night"
needs_webcams = pytest.mark.skipif(not WEBCAMS.is_dir(), reason="needs the pictures in ../shared/data/amos-day-night")

Edges = NDArray[np.complex64]


def street(seed: int = 5) -> Image.Image:
    """Draw a scene with edges, as streets have them."""
    picture = scene(640, 480, seed=seed)
    canvas = ImageDraw.Draw(picture)
    rng = Random(seed)
    for _ in range(40):
        x, y = rng.randrange(640), rng.randrange(480)
        shade = rng.randrange(256), rng.randrange(256), rng.randrange(256)
        canvas.rectangle((x, y, x + rng.randrange(10, 120), y + rng.randrange(10, 90)), fill=shade)
    return picture


def look(picture: Image.Image, right: float = 0, down: float = 0, zoom: float = 1, turn: float = 0) -> Edges:
    """Return the edges of the middle four fifths of a picture, seen by a camera that was moved by this share of its frame."""
    width, height = picture.size
    across, along = width * 0.8 / zoom, height * 0.8 / zoom
    x, y = width / 2 + right * width * 0.8, height / 2 + down * height * 0.8
    angle = math.radians(turn)
    cos, sin = math.cos(angle), math.sin(angle)
    # From pixels of a frame of 256 × 256 to those of the picture.
    a, b, d, e = cos * across / 256, -sin * along / 256, sin * across / 256, cos * along / 256
    matrix = (a, b, x - 128 * (a + b), d, e, y - 128 * (d + e))
    seen = picture.transform((256, 256), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
    return edges(measure(np.asarray(seen.resize((64, 64), Image.Resampling.BOX))).luma)


def lit(picture: Image.Image, light: float) -> Image.Image:
    return picture.point([min(255, round(255 * light * (level / 255) ** 1.2)) for level in range(256)] * 3)


def taught(picture: Image.Image) -> Background:
    background = learn_background(
        [[look(lit(picture, light)) for light in lights] for lights in ((1.0, 0.7), (1.2, 0.4))]
    )
    assert background
    return background


MOVES: dict[str, dict[str, float]] = {
    "a little": {"right": 0.05},
    "down": {"right": -0.03, "down": 0.09},
    "zoomed": {"zoom": 1.1},
    "turned": {"turn": 5},
}


@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
def test_a_moved_camera_shows_its_background_elsewhere(move: dict[str, float]) -> None:
    picture = street()
    background = taught(picture)
    sighting = background.find(look(lit(picture, 0.9), **move))
    assert sighting.place is BackgroundPlace.ELSEWHERE
    if "right" in move:
        assert sighting.motion == pytest.approx(math.hypot(move["right"], move.get("down", 0)), abs=0.02)


@pytest.mark.parametrize("light", [0.15, 0.5, 1.0, 1.6])
def test_light_moves_nothing(light: float) -> None:
    picture = street()
    assert taught(picture).find(look(lit(picture, light))).place is BackgroundPlace.SAME


def test_what_stands_before_it_moves_nothing() -> None:
    picture = street()
    background = taught(picture)
    picture.paste(scene(260, 300, seed=9), (80, 120))
    assert background.find(look(picture)).place is BackgroundPlace.SAME


def test_nothing_can_be_said_of_another_scene() -> None:
    found = {taught(street()).find(look(street(seed))).place for seed in range(20, 40)}
    assert BackgroundPlace.SAME not in found and BackgroundPlace.NOWHERE in found


def test_where_examples_hide_it_now_and_then_an_unknown_frame_says_nothing() -> None:
    hidden = look(street(11))
    lights = [look(lit(street(), light)) for light in (1.0, 0.6, 1.3, 0.8)]
    background = learn_background([lights, [*lights[:2], hidden]])
    assert background
    assert background.find(look(street(12))).place is BackgroundPlace.UNCLEAR


def test_no_background_is_learned_of_few_frames_or_none_alike() -> None:
    lights = [look(lit(street(), light)) for light in (1.0, 0.6, 1.3, 0.8)]
    assert learn_background([lights[:2], lights[2:]]) is not None
    assert learn_background([lights[:1], lights[1:2]]) is None, "too few"
    assert learn_background([lights]) is None, "what a single class shows may be the class"
    assert learn_background([[], lights]) is None
    assert learn_background([lights, [look(street(seed)) for seed in range(3)]]) is None, "each class has to show it"
    assert learn_background([[look(street(seed)) for seed in range(4)], [look(street(9))] * 2]) is None
    assert learn_background([[look(Image.new("RGB", (640, 480), (90, 120, 80)))] * 3] * 2) is None


def test_edges_are_bounded_and_blind_to_contrast() -> None:
    picture = street(2)
    found = look(picture)
    assert found.shape == (64, 64) and found.dtype == np.complex64
    assert float(np.abs(found).max()) <= 1.0
    turned = look(picture.point([255 - level for level in range(256)] * 3))
    strong = (np.abs(found) > 0.7) & (np.abs(turned) > 0.5)
    assert strong.sum() > 100
    alike = (found * turned.conj()).real[strong] / np.abs(found * turned)[strong]
    assert np.median(alike) > 0.9, "bright on dark is the same edge as dark on bright"
    assert not look(Image.new("RGB", (640, 480), (9, 9, 9))).any()


@needs_webcams
def test_genuine_cameras_by_day_and_night() -> None:
    """Six examples by day and night tell most moves in a single look, and no genuine look is taken for one."""
    cameras: defaultdict[str, list[Path]] = defaultdict(list)
    for path in sorted(WEBCAMS.glob("*/*.jpg"), key=lambda path: path.name):
        cameras[path.name.partition("__")[0]].append(path)
    random = Random(4)
    found: defaultdict[str, list[BackgroundPlace]] = defaultdict(list)
    for paths in cameras.values():
        if len(paths) < 20:
            continue
        pictures = [Image.open(path).convert("RGB") for path in random.sample(paths, 14)]
        if (
            background := learn_background(
                [[look(picture) for picture in half] for half in (pictures[:3], pictures[3:6])]
            )
        ) is None:
            continue
        for picture in pictures[6:]:
            for name, move in {"none": {}, **MOVES}.items():
                found[name].append(background.find(look(picture, **move)).place)
    share = {name: places.count(BackgroundPlace.ELSEWHERE) / len(places) for name, places in found.items()}
    assert len(found["none"]) > 50
    assert share["none"] == 0
    assert found["none"].count(BackgroundPlace.SAME) > 0.9 * len(found["none"])
    assert share["a little"] > 0.8 and share["down"] > 0.8
    assert share["zoomed"] > 0.6 and share["turned"] > 0.4
    assert all(found[name].count(BackgroundPlace.SAME) < 0.1 * len(found[name]) for name in MOVES)
