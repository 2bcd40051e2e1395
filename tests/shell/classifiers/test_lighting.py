"""Light for pictures: on before, off afterwards, whatever happens in between."""

import asyncio
from collections.abc import Callable
from typing import Any

from homeassistant.const import EVENT_HOMEASSISTANT_STOP
from homeassistant.core import HomeAssistant, ServiceCall
from homeassistant.exceptions import HomeAssistantError
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.coral_imprint.classifiers.looking.lighting import Lights, lights
from tests.shell.conftest import DOMAIN, FakeCamera, act, draw, settled, state, teach

LAMP = "light.yard"
STORE = f"{DOMAIN}.lights"


class Lamp:
    """A light, and everything that was done to it."""

    def __init__(self, hass: HomeAssistant, camera: FakeCamera) -> None:
        """Be off. What the camera showed at each switching is noted."""
        self.calls: list[str] = []
        self.fails: HomeAssistantError | None = None
        self._hass = hass
        self._camera = camera
        for service, value in (("turn_on", "on"), ("turn_off", "off")):
            hass.services.async_register("light", service, self._switch(service, value))
        self.set("off")

    def set(self, value: str) -> None:
        """Be switched by someone else."""
        self._hass.states.async_set(LAMP, value)

    def _switch(self, service: str, value: str) -> Callable[[ServiceCall], Any]:
        async def switched(call: ServiceCall) -> None:
            assert call.data["entity_id"] == LAMP
            self.calls.append(service)
            if self.fails and service == "turn_on":
                raise self.fails
            self.set(value)
            self._camera.show("open" if value == "on" else "closed", len(self.calls))

        return switched

    @property
    def on(self) -> bool:
        """Whether there is light."""
        return self._hass.states.is_state(LAMP, "on")


@pytest.fixture
async def lamp(hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera) -> Lamp:
    """Return a lamp that the classifier is to use."""
    made = Lamp(hass, camera)
    await options(hass, engine, light=LAMP, settle=0)
    return made


async def options(hass: HomeAssistant, engine: MockConfigEntry, **when: Any) -> None:
    engine.runtime_data.classifiers["gate_id"].options.async_change({"when": when})
    await settled(hass)


async def until(there: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not there():
            await asyncio.sleep(0.005)


async def test_captures_are_made_by_light(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, lamp: Lamp
) -> None:
    await act(hass, engine, "capture_example", **{"class": "open", "count": 3, "interval": 0})
    assert lamp.calls == ["turn_on", "turn_off"], "once for all three"
    assert not lamp.on
    reading = engine.runtime_data.classifiers["gate_id"].reading
    assert reading.picture == draw("open", 1), "what the camera saw by light"


async def test_looks_on_demand_and_at_the_interval_need_no_light(
    hass: HomeAssistant, engine: MockConfigEntry, lamp: Lamp
) -> None:
    await act(hass, engine, "look")
    assert lamp.calls == []


async def test_a_burst_has_light(hass: HomeAssistant, engine: MockConfigEntry, lamp: Lamp) -> None:
    hass.states.async_set("event.bell", "unknown")
    await options(hass, engine, triggers=["event.bell"], burst_looks=3, burst_spacing=0.02)
    looks = engine.runtime_data.statistics.looks
    hass.states.async_set("event.bell", "2026-11-21T05:00:00+00:00")
    await settled(hass)
    assert engine.runtime_data.statistics.looks - looks == 3
    assert (lamp.calls, lamp.on) == (["turn_on", "turn_off"], False)


async def test_what_is_on_stays_on(hass: HomeAssistant, engine: MockConfigEntry, lamp: Lamp) -> None:
    lamp.set("on")
    await act(hass, engine, "capture_example", **{"class": "open"})
    assert (lamp.calls, lamp.on) == ([], True)


async def test_it_settles_before_the_picture(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, lamp: Lamp
) -> None:
    await options(hass, engine, settle=0.2)
    asked = camera.asked
    capture = hass.async_create_task(act(hass, engine, "capture_example", **{"class": "open"}))
    await until(lambda: lamp.on)
    await asyncio.sleep(0.05)
    assert camera.asked == asked
    await capture
    assert camera.asked == asked + 1


async def test_a_camera_that_fails_leaves_no_light_on(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, lamp: Lamp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(camera, "show", lambda *_: None)
    camera.frame = HomeAssistantError("gone")
    with pytest.raises(HomeAssistantError) as caught:
        await act(hass, engine, "capture_example", **{"class": "open"})
    assert caught.value.translation_key == "camera_no_image"
    assert (lamp.calls, lamp.on) == (["turn_on", "turn_off"], False)


async def test_without_light_there_is_no_capture(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, lamp: Lamp
) -> None:
    asked = camera.asked
    lamp.fails = HomeAssistantError("no mains")
    with pytest.raises(HomeAssistantError) as caught:
        await act(hass, engine, "capture_example", **{"class": "open"})
    assert caught.value.translation_key == "light_failed"
    assert lamp.calls == ["turn_on", "turn_off"], "it may have come on all the same"
    lamp.set("unavailable")
    with pytest.raises(HomeAssistantError) as caught:
        await act(hass, engine, "capture_example", **{"class": "open"})
    assert caught.value.translation_key == "light_unavailable"
    assert camera.asked == asked
    lamp.fails = None
    lamp.set("off")
    await act(hass, engine, "capture_example", **{"class": "open"})
    assert not lamp.on


async def test_a_burst_looks_without_light_where_there_is_none(
    hass: HomeAssistant, engine: MockConfigEntry, lamp: Lamp, caplog: pytest.LogCaptureFixture
) -> None:
    hass.states.async_set("event.bell", "unknown")
    await options(hass, engine, triggers=["event.bell"], burst_looks=2, burst_spacing=0.02)
    lamp.set("unavailable")
    looks = engine.runtime_data.statistics.looks
    for second in range(2):
        hass.states.async_set("event.bell", f"2026-11-21T05:00:0{second}+00:00")
        await settled(hass)
    assert engine.runtime_data.statistics.looks - looks == 4
    assert caplog.text.count("looking without light") == 1, "told once"


async def test_many_share_one_switching(hass: HomeAssistant, camera: FakeCamera) -> None:
    lamp = Lamp(hass, camera)
    shared = lights(hass)
    seen: list[bool] = []

    async def use(seconds: float) -> None:
        async with shared.async_on(LAMP, 0.02):
            seen.append(lamp.on)
            await asyncio.sleep(seconds)
            seen.append(lamp.on)

    await asyncio.gather(use(0.01), use(0.1), use(0.03))
    assert (lamp.calls, seen) == (["turn_on", "turn_off"], [True] * 6)
    # Who comes while it is being switched off gets light of their own.
    await asyncio.gather(*(use(number * 0.01) for number in range(3)))
    assert seen == [True] * 12
    assert lamp.calls == ["turn_on", "turn_off"] * 2
    assert not lamp.on


async def test_light_that_is_needed_while_it_goes_off_comes_on_again(hass: HomeAssistant, camera: FakeCamera) -> None:
    lamp = Lamp(hass, camera)
    leaving = asyncio.Event()

    async def slow(call: ServiceCall) -> None:
        leaving.set()
        await asyncio.sleep(0.05)
        lamp.calls.append("turn_off")
        lamp.set("off")

    hass.services.async_register("light", "turn_off", slow)
    shared = lights(hass)

    async def first() -> None:
        async with shared.async_on(LAMP, 0):
            pass

    task = hass.async_create_task(first())
    await leaving.wait()
    async with shared.async_on(LAMP, 0):
        assert lamp.on
    await task
    assert not lamp.on


@pytest.mark.parametrize("before", [True, False], ids=["while it settles", "amid the pictures"])
async def test_who_is_cancelled_leaves_no_light_on(hass: HomeAssistant, camera: FakeCamera, before: bool) -> None:
    lamp = Lamp(hass, camera)

    async def use() -> None:
        async with lights(hass).async_on(LAMP, 60 if before else 0):
            await asyncio.sleep(60)

    task = hass.async_create_background_task(use(), "use")
    await until(lambda: lamp.on)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await hass.async_block_till_done()
    assert (lamp.calls, lamp.on) == (["turn_on", "turn_off"], False)


async def test_unloading_amid_a_burst_leaves_no_light_on(
    hass: HomeAssistant, engine: MockConfigEntry, lamp: Lamp
) -> None:
    hass.states.async_set("event.bell", "unknown")
    await options(hass, engine, triggers=["event.bell"], burst_looks=20, burst_spacing=1)
    hass.states.async_set("event.bell", "2026-11-21T05:00:00+00:00")
    await until(lambda: lamp.on)
    assert await hass.config_entries.async_unload(engine.entry_id)
    await until(lambda: not lamp.on)
    assert lamp.calls == ["turn_on", "turn_off"]


async def test_stopping_amid_a_capture_leaves_no_light_on(
    hass: HomeAssistant, engine: MockConfigEntry, lamp: Lamp
) -> None:
    capture = hass.async_create_task(act(hass, engine, "capture_example", **{"class": "open", "count": 50}))
    await until(lambda: lamp.on)
    hass.bus.async_fire(EVENT_HOMEASSISTANT_STOP)
    with pytest.raises(HomeAssistantError):
        await capture
    assert not lamp.on


async def test_what_a_crash_left_on_is_switched_off_at_the_next_start(
    hass: HomeAssistant, camera: FakeCamera, hass_storage: dict[str, Any]
) -> None:
    lamp = Lamp(hass, camera)
    kept: list[Any] = []

    async def use() -> None:
        async with Lights(hass).async_on(LAMP, 0):
            kept.append(hass_storage[STORE]["data"])

    await use()
    assert kept == [[LAMP]], "noted before it is switched"
    assert hass_storage[STORE]["data"] == []
    hass_storage[STORE] |= {"data": [LAMP]}
    lamp.set("unavailable")
    assert await async_setup_component(hass, DOMAIN, {})
    await settled(hass)
    assert lamp.calls == ["turn_on", "turn_off"], "it isn't there yet"
    lamp.set("on")
    await settled(hass)
    assert (lamp.calls[2:], lamp.on) == (["turn_off"], False)
    assert hass_storage[STORE]["data"] == []
    lamp.set("on")
    await settled(hass)
    assert lamp.on, "once"


async def test_light_helps_teaching(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, lamp: Lamp
) -> None:
    await teach(hass, engine, camera, "closed", "open")
    assert state(hass, "sensor.gate_class") == "open"
    assert len(lamp.calls) == 4
