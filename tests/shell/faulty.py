"""Faulty cameras, as several tests show them."""

from io import BytesIO
from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
import numpy as np
from PIL import Image, ImageDraw
from pytest_homeassistant_custom_component.common import MockConfigEntry

from .conftest import DOMAIN, act

OPEN, PROBLEM = "binary_sensor.gate_open", "sensor.gate_camera_problem"


def plain(level: int, seed: int = 0) -> bytes:
    """Return a JPEG of one grey and a sensor's noise."""
    noise = np.random.default_rng(seed).normal(level, 2, (240, 320, 3)).clip(0, 255).astype(np.uint8)
    buffer = BytesIO()
    Image.fromarray(noise).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def yard(gate: str, seed: int, shift: int = 0) -> bytes:
    """Return a JPEG of a gate in a yard full of things, by a camera turned by some pixels."""
    rng = np.random.default_rng(7)
    picture = Image.new("RGB", (400, 240), (90, 110, 100))
    canvas = ImageDraw.Draw(picture)
    for _ in range(60):
        x, y, width, height = rng.integers((0, 0, 10, 10), (390, 230, 70, 60))
        shade = tuple(int(level) for level in rng.integers(0, 255, 3))
        canvas.rectangle((x, y, x + width, y + height), fill=shade)
    canvas.rectangle((160, 80, 240, 180), fill=(200, 190, 60) if gate == "closed" else (30, 30, 30))
    noise = np.random.default_rng(seed).normal(0, 4, (240, 320, 3))
    seen = np.asarray(picture.crop((40 + shift, 0, 360 + shift, 240)), np.float64) + noise
    buffer = BytesIO()
    Image.fromarray(seen.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


async def look(hass: HomeAssistant, engine: MockConfigEntry) -> dict[str, Any] | str:
    """Look; return the answer, or the key of the error."""
    try:
        answer: dict[str, Any] = await act(hass, engine, "look")
    except HomeAssistantError as err:
        return err.translation_key or ""
    return answer


async def mend(client: Any, issue_id: str, *answers: dict[str, Any]) -> dict[str, Any]:
    """Go through an issue's fix flow."""
    step = await (await client.post("/api/repairs/issues/fix", json={"handler": DOMAIN, "issue_id": issue_id})).json()
    for answer in answers:
        step = await (await client.post(f"/api/repairs/issues/fix/{step['flow_id']}", json=answer)).json()
    found: dict[str, Any] = step
    return found
