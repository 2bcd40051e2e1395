"""A classifier's camera, checked at every look: what is wrong with it, and who is told."""

import asyncio
from datetime import datetime
from itertools import chain
import logging
from time import monotonic
from typing import Final

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import CALLBACK_TYPE, HassJob, HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.event import async_call_later

from ...const import CAMERA_PROBLEMS
from ...core.embedding import (
    Background,
    BackgroundPlace,
    Condition,
    NotAPicture,
    Sighting,
    edges,
    learn_background,
    measure_picture,
)
from ...core.imprinting import Example, StoreFailed
from ...errors import translated
from ...issues import async_report_camera, async_settle_camera
from ...settings import ClassifierSettings
from ..learning.examples import Examples
from .frames import Frames
from .health import Health, Problem

_LOGGER = logging.getLogger(__name__)

LEARN_AFTER: Final = 10.0
"""Seconds after the last change of the examples when their background is learned: nothing waits for it."""
EXAMPLES: Final = 24
"""Examples that it is learned from, at most."""
SEARCH_EVERY: Final = 10.0
"""Seconds between two searches for a background that isn't in its place; a search takes some 5 ms of a core."""
TOLD_AFTER: Final[dict[Problem, float]] = {
    Problem.MISSING: 0.0,
    Problem.DISABLED: 0.0,
    Problem.UNAVAILABLE: 3600.0,
    Problem.NO_IMAGE: 3600.0,
    Problem.NOT_A_PICTURE: 3600.0,
    Problem.STALE: 3600.0,
    Problem.BLACK: 86400.0,  # longer than a night
    Problem.BLINDED: 86400.0,
    Problem.FROZEN: 86400.0,
    Problem.MOVED: 0.0,
}
"""Seconds after which the user is told under Repairs."""

_ERRORS: Final = {
    "camera_missing": Problem.MISSING,
    "camera_disabled": Problem.DISABLED,
    "camera_unavailable": Problem.UNAVAILABLE,
    "camera_no_image": Problem.NO_IMAGE,
    NotAPicture.key: Problem.NOT_A_PICTURE,
}
"""By the key of the error that says so."""


def camera_error(problem: Problem) -> HomeAssistantError:
    """Return what a look fails with that the user wants no answer of."""
    match problem:
        case Problem.BLACK:
            return translated(HomeAssistantError, "camera_black")
        case Problem.BLINDED:
            return translated(HomeAssistantError, "camera_blinded")
        case Problem.FROZEN:
            return translated(HomeAssistantError, "camera_frozen")
        case _:
            return translated(HomeAssistantError, "camera_moved")


def _background(seen: list[list[Condition]]) -> Background | None:
    """Learn where a camera looks from its examples, by class. Some 0.1 s for as many as there are at most: blocking."""
    return learn_background([[edges(one.luma) for one in taught if not (one.black or one.blinded)] for taught in seen])


class CameraMonitor:
    """Checks one classifier's camera."""

    def __init__(
        self,
        hass: HomeAssistant,
        entry: ConfigEntry,
        subentry_id: str,
        settings: ClassifierSettings,
        examples: Examples,
        *,
        on_change: CALLBACK_TYPE,
    ) -> None:
        """Prepare. ``on_change`` hears when something else is wrong."""
        self._hass = hass
        self._entry = entry
        self._subentry_id = subentry_id
        self._settings = settings
        self._examples = examples
        self._on_change = on_change
        self._health = Health()
        self._checked = False
        self._background: Background | None = None
        self._normal: frozenset[Problem] = frozenset()
        """What some example shows, and so is none of the camera's problems."""
        self._learned: tuple[str, datetime | None] | None = None
        """The examples that the background was learned from."""
        self._last: tuple[bytes, Condition] | None = None
        self._searched = -SEARCH_EVERY
        self._told: Problem | None = None
        self._timer: CALLBACK_TYPE | None = None
        self._learning: asyncio.Task[None] | None = None

    @property
    def problem(self) -> Problem | None:
        """What is wrong with the camera; None where nothing is, and before the first look."""
        return self._health.problem

    @property
    def state(self) -> str | None:
        """The same as a sensor shows it; None before the first look."""
        return (self.problem.value if self.problem else "ok") if self._checked else None

    # --- look ----------------------------------------------------------------------------------------------------

    @callback
    def async_failed(self, key: str | None) -> Problem | None:
        """Take in a look that brought no picture, by its error's key; return what that says of the camera, if anything."""
        problem = _ERRORS.get(key or "")
        if problem is not None:
            before = self.state
            self._health.failed(problem, monotonic())
            self._follow(before)
        return problem

    def is_tolerated(self, problem: Problem | None) -> bool:
        """Whether the user wants answers in spite of it."""
        return problem in CAMERA_PROBLEMS and problem not in self._settings.unavailable_on

    async def async_check(self, picture: bytes, condition: Condition, frames: Frames) -> Problem | None:
        """Take in a look's picture, what it is like, and where it is from; return what is wrong with the camera.

        Raises HomeAssistantError where the user wants no answer then.
        """
        before = self.state
        if self._last and self._last[0] == picture:
            condition = self._last[1]  # the very same says nothing more
        self._last = (picture, condition)
        sighting = await self._async_find(condition)
        self._health.looked(condition, sighting, monotonic(), stale=frames.stale, normal=self._normal)
        self._follow(before)
        if (problem := self.problem) in self._settings.unavailable_on:
            raise frames.stale_error() if problem is Problem.STALE else camera_error(problem)
        return problem

    async def _async_find(self, condition: Condition) -> Sighting | None:
        """Say where a frame shows the background; None where that isn't known, or was searched for just now."""
        background = self._background
        if background is None or condition.black or condition.blinded:
            return None
        frame = edges(condition.luma)
        if background.stays(frame):
            return Sighting(BackgroundPlace.SAME)
        if monotonic() - self._searched < SEARCH_EVERY:
            return None
        self._searched = monotonic()
        return await self._hass.async_add_executor_job(background.find, frame)

    @callback
    def _follow(self, before: str | None) -> None:
        """Tell of another problem, and under Repairs of one that lasts."""
        self._checked = True
        if self.state != before:
            self._on_change()
        problem = self.problem
        due = problem is not None and monotonic() - self._health.since >= TOLD_AFTER[problem]
        if due and problem is not None and problem is not self._told:
            self._told = problem
            async_report_camera(self._hass, self._entry, self._subentry_id, self._settings.name, problem.value)
        elif problem is None or (self._told and problem is not self._told):
            self.async_settle()

    @callback
    def async_settle(self) -> None:
        """Take back what was told."""
        if self._told:
            self._told = None
            async_settle_camera(self._hass, self._subentry_id)

    # --- learn ---------------------------------------------------------------------------------------------------

    @callback
    def async_apply(self, settings: ClassifierSettings) -> None:
        """Follow changed settings."""
        before, self._settings = self._settings, settings
        if (before.reference_since, before.camera) != (settings.reference_since, settings.camera):
            self._background = None
            self._health.forget_place()
            self.async_learn_soon()

    @callback
    def async_stop(self) -> None:
        """Learn nothing more, and take back what was told."""
        self._cancel()
        self.async_settle()

    def _cancel(self) -> None:
        if self._timer:
            self._timer()
            self._timer = None
        if self._learning:
            self._learning.cancel()

    @callback
    def async_learn_soon(self) -> None:
        """Learn from the examples where the camera looks, once they stay the same for a while."""
        self._cancel()

        @callback
        def learn(_now: datetime) -> None:
            self._timer = None
            self._learning = self._entry.async_create_background_task(
                self._hass, self._async_learn(), "learn the camera's background"
            )

        self._timer = async_call_later(self._hass, LEARN_AFTER, HassJob(learn, cancel_on_shutdown=True))

    def _measure(self, example: Example) -> Condition:
        return measure_picture(self._examples.read(example))

    async def _async_learn(self) -> None:
        examples, since = self._examples, self._settings.reference_since
        if self._learned == (version := (examples.taught, since)):
            return
        seen: list[list[Condition]] = []
        for taught in examples.sample(EXAMPLES, since):
            seen.append([])
            for example in taught:
                try:
                    # One by one: others have pictures to decode too.
                    seen[-1].append(await self._hass.async_add_executor_job(self._measure, example))
                except (NotAPicture, StoreFailed) as err:
                    _LOGGER.debug("An example can't say where the camera looks: %s", err)
        background = await self._hass.async_add_executor_job(_background, seen)
        every = list(chain.from_iterable(seen))
        normal = {Problem.BLACK: any(one.black for one in every), Problem.BLINDED: any(one.blinded for one in every)}
        self._normal = frozenset(problem for problem, is_so in normal.items() if is_so)
        self._background, self._learned = background, version
        if background is None:
            self._health.forget_place()
