"""The main job: teach two classes, follow the camera."""

from homeassistant.core import HomeAssistant
from pytest_homeassistant_custom_component.common import MockConfigEntry

from .conftest import FakeCamera, act, teach

OPEN, CLOSED, CLASS = "binary_sensor.gate_open", "binary_sensor.gate_closed", "sensor.gate_class"


async def test_learns_from_one_example_each(hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera) -> None:
    assert hass.states.get(OPEN).state == "unknown"
    await teach(hass, engine, camera, "closed", "open")
    assert hass.states.get(OPEN).state == "on"
    camera.show("closed", 7)
    for _ in range(2):
        answer = await act(hass, engine, "look")
    assert answer["class"] == "closed", answer
    assert (hass.states.get(OPEN).state, hass.states.get(CLOSED).state) == ("off", "on")
    assert hass.states.get(CLASS).state == "closed"
