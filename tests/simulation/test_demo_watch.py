"""How the demo follows a simulated day: by looks, never by the clock."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from scripts.simulation import demo
from scripts.simulation.camera import Camera
from scripts.simulation.client import Client
from scripts.simulation.driveway import Scene
from scripts.simulation.home import Home

DAY_S = 120


class Pretended:
    """Home Assistant with a classifier that knows the truth some looks late; ``never`` is a state that it never sees."""

    def __init__(self, camera: Camera, late: int, never: str = "") -> None:
        """Take the camera, and how late the state is."""
        self._camera = camera
        self._late = late
        self._never = never
        self._seen: list[str] = []
        self._listener: Callable[[str, str], None] = lambda *_: None
        self.said = "closed"
        self.moments: list[float | None] = []

    async def on_states(self, listener: Callable[[str, str], None]) -> None:
        """Listen."""
        self._listener = listener

    async def state(self, _entity_id: str) -> str:
        """Return the state."""
        return self.said

    async def call(self, *_action: str, **_data: object) -> dict[str, Any]:
        """Look."""
        scene = self._camera.scene
        assert scene
        self.moments.append(self._camera.simulated)
        self._seen.append(scene.gate)
        agreed = set(self._seen[-self._late :])
        if len(self._seen) >= self._late and len(agreed) == 1 and not agreed & {self.said, self._never}:
            (self.said,) = agreed
            self._listener("sensor.gate", self.said)
        return {"best": scene.gate, "confidence": 1.0}


@pytest.fixture
def camera(monkeypatch: pytest.MonkeyPatch) -> Camera:
    """Return a camera that draws nothing."""

    async def frame(_camera: Camera) -> bytes:
        return b""

    monkeypatch.setattr(Camera, "frame", frame)
    return Camera()


async def watched(camera: Camera, home: Pretended) -> demo.Watch:
    """Follow a part of a day."""

    def truth() -> str:
        scene = camera.scene
        return scene.gate if isinstance(scene, Scene) else ""

    made = demo.Setting(Home(Path(), 0, Path(), {}), cast(Client, home), camera, "", {"Class": "sensor.gate"})
    watch = demo.Watch(truth)
    await demo.watch_cycle(made, watch, DAY_S)
    return watch


@pytest.mark.parametrize("late", [1, 2, 9])
async def test_a_day_waits_for_the_looks(camera: Camera, late: int) -> None:
    """As many looks at the same moments, and nothing missed, however many looks a state takes to be known."""
    home = Pretended(camera, late)
    watch = await watched(camera, home)
    assert home.moments == [number * demo.STEP_S for number in range(DAY_S)]
    assert len(watch.delays) >= 3
    assert max(watch.delays) == late
    assert (watch.looks, watch.wrong_looks, watch.missed, watch.pending) == (DAY_S, 0, [], None)


async def test_a_state_that_never_comes_is_missed(camera: Camera) -> None:
    """The day ends after as many looks as ever."""
    watch = await watched(camera, Pretended(camera, late=2, never="open"))
    assert (watch.looks, set(watch.missed)) == (DAY_S, {"open"})
