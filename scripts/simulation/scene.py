"""What is true in front of the camera, and how it changes over a day of ten minutes."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np

CYCLE_S = 600.0
"""Length of one simulated day in simulated seconds."""

NIGHT_BELOW = 0.12
"""Light below which the camera switches to infra-red."""

PAINTS = 7
"""How many paints a car may have."""

SUNRISE_H, SUNSET_H = 5.5, 19.5


@dataclass(frozen=True)
class Scene:
    """One state of the driveway.

    Raises ValueError for a value out of its range.
    """

    gate: Literal["open", "closed"] = "closed"
    car: bool = False
    """Whether a car is parked on the drive."""
    light: float = 1.0
    """Daylight, 0 (night) to 1 (noon). Below NIGHT_BELOW the camera lights the scene with infra-red."""
    rain: float = 0.0
    """Strength of the rain, 0 to 1."""
    hour: float = 13.0
    """Time of day, 0 to 24: the direction the sun shines from."""
    paint: int = 0
    """Which paint the car has, 0 to PAINTS - 1."""
    parked: float = 0.5
    """How far up the drive the car stands, 0 (at the house) to 1 (at the gate)."""

    def __post_init__(self) -> None:
        """Check the ranges: scenes also come from HTTP clients."""
        if self.gate not in ("open", "closed"):
            raise ValueError(f"gate must be open or closed, not {self.gate!r}")
        if not isinstance(self.car, bool):
            raise ValueError(f"car must be true or false, not {self.car!r}")  # noqa: TRY004 - one error for all fields
        for name, high in (("light", 1), ("rain", 1), ("parked", 1), ("hour", 24), ("paint", PAINTS - 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= high:
                raise ValueError(f"{name} must be a number from 0 to {high}, not {value!r}")
        if not isinstance(self.paint, int):
            raise ValueError(f"paint must be a whole number, not {self.paint!r}")  # noqa: TRY004

    @property
    def night(self) -> bool:
        """Whether the camera sees by infra-red."""
        return self.light < NIGHT_BELOW


class Phase(NamedTuple):
    """A stretch of the day: its length, its states, the hours it spans, and whether it rains."""

    length_s: float
    states: int
    from_hour: float
    to_hour: float
    wet: bool


# Six states visit every pair of gate and car, so each long phase has at least six; thirty in all lead
# back to the first, so that one day joins the next.
PHASES = (
    Phase(220, 10, 7.0, 14.5, wet=False),
    Phase(110, 6, 14.5, 18.0, wet=True),
    Phase(30, 1, 18.0, 19.5, wet=False),
    Phase(110, 6, 19.5, 24.0, wet=False),
    Phase(110, 6, 24.0, 29.0, wet=True),
    Phase(20, 1, 29.0, 31.0, wet=False),
)

# A car comes and goes only through the open gate.
VISIT: tuple[tuple[Literal["open", "closed"], bool], ...] = (
    ("closed", False),
    ("open", False),
    ("open", True),
    ("closed", True),
    ("open", True),
    ("open", False),
)


def daylight(hour: float) -> float:
    """Return the light (0 to 1) at an hour of the day (0 to 24)."""
    height = np.sin(np.pi * (hour - SUNRISE_H) / (SUNSET_H - SUNRISE_H))
    return float(max(height, 0.0) ** 0.8) if SUNRISE_H < hour < SUNSET_H else 0.0


@lru_cache(maxsize=8)
def _day(seed: int, day: int) -> tuple[tuple[float, ...], tuple[Scene, ...]]:
    """Return the borders of a day's states (s, one more than states) and the states, each with its light at its start."""
    rng = np.random.default_rng((seed, day))
    borders: list[float] = [0.0]
    scenes: list[Scene] = []
    paint, parked = 0, 0.5
    for phase in PHASES:
        # Equal shares, loosened by less than a third: every state lasts 10 to 40 s.
        shares = rng.uniform(0.7, 1.3, phase.states)
        for duration in shares / shares.sum() * phase.length_s:
            gate, car = VISIT[len(scenes) % len(VISIT)]
            if car and not scenes[-1].car:
                paint, parked = int(rng.integers(PAINTS)), float(rng.random())
            rain = float(rng.uniform(0.4, 1.0)) if phase.wet else 0.0
            hour = _hour(borders[-1])
            scenes.append(Scene(gate, car, daylight(hour), rain, hour, paint, parked))
            borders.append(borders[-1] + float(duration))
    borders[-1] = CYCLE_S
    return tuple(borders), tuple(scenes)


def _hour(t: float) -> float:
    """Return the hour of the day (0 to 24) at t seconds into a day."""
    ends = np.cumsum([0.0, *(phase.length_s for phase in PHASES)])
    hours = [PHASES[0].from_hour, *(phase.to_hour for phase in PHASES)]
    return float(np.interp(t, ends, hours)) % 24


def cycle(seed: int) -> Iterator[tuple[float, Scene]]:
    """Yield the states of the first day: duration in simulated seconds (10 to 40, CYCLE_S in all), and the scene at its start."""
    borders, scenes = _day(seed, 0)
    for (start, end), scene in zip(pairwise(borders), scenes, strict=True):
        yield end - start, scene


def scene_at(t: float, seed: int) -> Scene:
    """Return the truth at t simulated seconds (t >= 0).

    Gate, car and rain change at once, at the borders that cycle gives; light and hour move on all the time.
    The days after the first run through the same phases with other durations, cars and rain.
    """
    if t < 0:
        raise ValueError(f"t must not be negative, not {t}")
    day, second = divmod(t, CYCLE_S)
    borders, scenes = _day(seed, int(day))
    scene = scenes[min(int(np.searchsorted(borders, second, side="right")) - 1, len(scenes) - 1)]
    hour = _hour(second)
    return Scene(scene.gate, scene.car, daylight(hour), scene.rain, hour, scene.paint, scene.parked)
