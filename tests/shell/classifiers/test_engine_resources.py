"""A look costs only what it must: counted are camera reads, decodes and embeddings."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
import time
from types import MappingProxyType
from typing import Any

from freezegun.api import FrozenDateTimeFactory
from homeassistant.config_entries import ConfigSubentry
from homeassistant.core import HomeAssistant
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, async_fire_time_changed

from custom_components.coral_imprint.classifiers.looking import frames
from custom_components.coral_imprint.core.embedding import Embedder, Seen, Wanted
from tests.shell.conftest import FakeCamera, act, classifier_data, draw, settled, state, teach

GRAB = "custom_components.coral_imprint.classifiers.looking.frames.async_grab"

type Seeing = list[tuple[bytes, int]]
"""Each decode: its picture and how many regions were wanted of it."""


@pytest.fixture
def seeing(monkeypatch: pytest.MonkeyPatch) -> Seeing:
    """Return what embedders are asked for from now on, decode by decode."""
    asked: Seeing = []
    real = Embedder.see

    async def counted(self: Embedder, picture: bytes, wanted: list[Wanted]) -> list[Seen]:
        asked.append((picture, len(wanted)))
        return await real(self, picture, wanted)

    monkeypatch.setattr(Embedder, "see", counted)
    return asked


async def add(hass: HomeAssistant, engine: MockConfigEntry, name: str, **changed: Any) -> None:
    """Add a classifier to a running engine."""
    data = classifier_data(hass, folder=name, **changed)
    made = ConfigSubentry(
        data=MappingProxyType(data),
        subentry_id=f"{name}_id",
        subentry_type="classifier",
        title=name.capitalize(),
        unique_id=None,
    )
    hass.config_entries.async_add_subentry(engine, made)
    await settled(hass)


async def tick(hass: HomeAssistant, freezer: FrozenDateTimeFactory, seconds: float) -> None:
    freezer.tick(timedelta(seconds=seconds))
    async_fire_time_changed(hass)
    await settled(hass)


async def test_classifiers_on_one_camera_share_fetch_and_decode(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    engine: MockConfigEntry,
    camera: FakeCamera,
    seeing: Seeing,
) -> None:
    await add(hass, engine, "left", region={"left": 0, "top": 0, "right": 50, "bottom": 100})
    await add(hass, engine, "right", region={"left": 50, "top": 0, "right": 100, "bottom": 100})
    asked = camera.asked
    for number in range(3):
        seeing.clear()
        camera.show("open", number)
        await tick(hass, freezer, 11)
        assert camera.asked - asked == number + 1
        assert seeing == [(camera.frame, 3)], "one decode for all three"
    assert {state(hass, f"sensor.{name}_class") for name in ("gate", "left", "right")} == {"unknown"}


async def test_the_same_region_shares_the_embedding(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    engine: MockConfigEntry,
    camera: FakeCamera,
    seeing: Seeing,
) -> None:
    await add(hass, engine, "twin")
    await teach(hass, engine, camera, "closed", "open")
    seeing.clear()
    camera.show("closed", 5)
    await tick(hass, freezer, 11)
    assert seeing == [(camera.frame, 1)]
    assert state(hass, "sensor.twin_class") == "unknown", "what is learned is each one's own"


async def test_intervals_meet_where_they_can(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    engine: MockConfigEntry,
    camera: FakeCamera,
    seeing: Seeing,
) -> None:
    await add(hass, engine, "slow", interval=20)
    asked, before = camera.asked, engine.runtime_data.statistics.looks
    for number in range(4):
        camera.show("open", number)
        await tick(hass, freezer, 10.1)
    assert camera.asked - asked == 4, "the slower one never fetches a frame of its own"
    assert engine.runtime_data.statistics.looks - before == 4 + 2
    assert len({picture for picture, _ in seeing}) == len(seeing)


class SlowCamera:
    """Holds a camera's answer back until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Take the place of what asks cameras."""
        self.go = asyncio.Event()
        self.asked = 0
        real = frames.async_grab

        async def held(hass: HomeAssistant, entity_id: str) -> bytes:
            self.asked += 1
            await self.go.wait()
            return await real(hass, entity_id)

        monkeypatch.setattr(GRAB, held)


async def test_a_look_that_takes_longer_than_the_interval_skips_and_queues_nothing(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    engine: MockConfigEntry,
    camera: FakeCamera,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slow = SlowCamera(monkeypatch)
    looks, skipped = engine.runtime_data.statistics.looks, engine.runtime_data.statistics.skipped
    for _ in range(4):
        freezer.tick(timedelta(seconds=10.1))
        async_fire_time_changed(hass)
        await hass.async_block_till_done()
    assert slow.asked == 1
    assert (engine.runtime_data.statistics.looks - looks, engine.runtime_data.statistics.skipped - skipped) == (0, 3)
    slow.go.set()
    await settled(hass)
    assert (engine.runtime_data.statistics.looks - looks, slow.asked) == (1, 1), "what was skipped is not made up for"
    await tick(hass, freezer, 10.1)
    assert engine.runtime_data.statistics.looks - looks == 2


async def test_a_frame_that_waited_too_long_is_dropped_for_a_new_one(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    engine: MockConfigEntry,
    camera: FakeCamera,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two cameras' worth of frames on an engine that has one turn to give."""
    embedder = engine.runtime_data.embedder
    go, embedding = asyncio.Event(), []
    real = Embedder.see

    async def slow(self: Embedder, picture: bytes, wanted: list[Wanted]) -> list[Seen]:
        embedding.append(picture)
        await go.wait()
        return await real(self, picture, wanted)

    monkeypatch.setattr(Embedder, "see", slow)
    # The first one is being embedded, the second one waits for its turn, and grows old.
    camera.show("open", 76)
    first = hass.async_create_background_task(act_quietly(engine), "look")
    await until(lambda: bool(embedding))
    freezer.tick(timedelta(seconds=1.5))
    fetched = engine.runtime_data.statistics.fetched
    await add_without_waiting(hass, engine, "late")
    await until(lambda: engine.runtime_data.statistics.fetched > fetched)
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(embedding) == 1, "one at a time"
    freezer.tick(timedelta(seconds=1.5))
    camera.show("half", 77)
    newest = camera.frame
    dropped = engine.runtime_data.statistics.dropped
    go.set()
    await first
    await settled(hass)
    assert engine.runtime_data.statistics.dropped - dropped == 1
    assert embedding[-1] == newest
    assert len(embedding) == 2, "the stale one was never embedded"
    assert engine.runtime_data.embedder is embedder


async def act_quietly(engine: MockConfigEntry) -> None:
    await engine.runtime_data.classifiers["gate_id"].async_look()


async def add_without_waiting(hass: HomeAssistant, engine: MockConfigEntry, name: str) -> None:
    data = classifier_data(hass, folder=name)
    made = ConfigSubentry(
        data=MappingProxyType(data),
        subentry_id=f"{name}_id",
        subentry_type="classifier",
        title=name.capitalize(),
        unique_id=None,
    )
    hass.config_entries.async_add_subentry(engine, made)
    await hass.async_block_till_done()


async def until(there: Callable[[], bool]) -> None:
    """Wait in real time: the event loop's stands still."""
    for _ in range(5000):
        if there():
            return
        await asyncio.sleep(0)
        time.sleep(0.001)  # noqa: ASYNC251 - for what other threads do
    raise TimeoutError


async def test_an_unchanged_picture_is_not_embedded_again(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    engine: MockConfigEntry,
    camera: FakeCamera,
    embedded: list[bytes],
) -> None:
    await teach(hass, engine, camera, "closed", "open")
    camera.show("open", 200)
    await tick(hass, freezer, 11)
    embedded.clear()
    reused = engine.runtime_data.statistics.reused
    shown = camera.frame
    assert isinstance(shown, bytes)
    taken = []
    for number in range(4):
        # Other bytes, the same picture.
        camera.frame = shown + b"%d" % number
        await tick(hass, freezer, 11)
        taken.append(engine.runtime_data.classifiers["gate_id"].reading)
    assert embedded == []
    assert engine.runtime_data.statistics.reused - reused == 4
    assert [reading.picture for reading in taken] == [shown + b"%d" % number for number in range(4)]
    assert taken[0].taken < taken[1].taken
    assert state(hass, "sensor.gate_class") == "open"
    camera.frame = shown + b"anew"
    await tick(hass, freezer, 61)
    assert embedded == [camera.frame], "embedded anew after a minute, changed or not"
    await tick(hass, freezer, 61)
    assert embedded == [camera.frame], "the very same bytes would give the very same embedding"
    camera.show("closed", 201)
    await tick(hass, freezer, 11)
    assert embedded[1:] == [camera.frame]


async def test_every_picture_is_embedded_where_that_was_asked_for(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    engine: MockConfigEntry,
    camera: FakeCamera,
    embedded: list[bytes],
) -> None:
    engine.runtime_data.classifiers["gate_id"].options.async_change({"when": {"least_change": 0}})
    await settled(hass)
    embedded.clear()
    shown = draw("open", 3)
    for number in range(3):
        camera.frame = shown + b"%d" % number
        await tick(hass, freezer, 11)
    assert len(embedded) == 3


async def test_captures_take_pictures_of_their_own(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    """Also at one and the same moment: what was fetched for another is not what the user sees now."""
    await act(hass, engine, "look")
    camera.show("open", 9)
    asked = camera.asked
    await act(hass, engine, "capture_example", **{"class": "open", "count": 3, "interval": 0})
    assert camera.asked - asked == 3
    assert engine.runtime_data.classifiers["gate_id"].reading.picture == camera.frame


async def test_one_who_gives_up_does_not_take_the_frame_from_others(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = SlowCamera(monkeypatch)
    source = engine.runtime_data.classifiers["gate_id"]._resources.frames
    since = time.monotonic()
    one = hass.async_create_task(source.async_frame("camera.driveway", since))
    other = hass.async_create_task(source.async_frame("camera.driveway", since))
    await until(lambda: slow.asked == 1)
    one.cancel()
    slow.go.set()
    assert (await other).picture == camera.frame
    assert slow.asked == 1
