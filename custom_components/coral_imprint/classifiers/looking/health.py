"""What is wrong with a camera, judged from look to look. Knows neither Home Assistant nor where frames come from.

Times are monotonic seconds, never less than before.
"""

from collections import deque
from collections.abc import Collection
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ...core.embedding import BackgroundPlace, Condition, Sighting


class Problem(StrEnum):
    """What can be wrong with a camera, the worst first: of several, the first is told."""

    MISSING = "missing"
    """Its entity was removed."""
    DISABLED = "disabled"
    UNAVAILABLE = "unavailable"
    NO_IMAGE = "no_image"
    """Asked for a picture, it fails."""
    NOT_A_PICTURE = "not_a_picture"
    STALE = "stale"
    """The very same bytes, for longer than it is used to."""
    BLACK = "black"
    BLINDED = "blinded"
    FROZEN = "frozen"
    """Other bytes, but not a pixel of the picture changes, not even by noise."""
    MOVED = "moved"
    """The background isn't where it was taught."""


USUAL_GAPS: Final = 20
"""How many of the last changes of the picture say how often it changes."""
USUAL: Final = 0.8
"""Share of them that are no rarer than usual: an outage is not."""
BEYOND_USUAL: Final = 3.0
"""How much longer than usual a picture may stay the same."""

FROZEN_AFTER: Final = 3600.0
"""Seconds without any change before a picture counts as frozen."""
FROZEN_LOOKS: Final = 20
"""Different files that have to show the very same picture."""
UNCHANGED: Final = 0.97
"""Share of the small frame's pixels that are exactly the same in a picture that stands still, a burnt-in clock left out.

Noise of 0.3 of 255 levels in a frame of 1280 × 720 leaves 0.94 the same from one look to the next.
"""

MOVED_LOOKS: Final = 5
"""Looks that have to show the background elsewhere before the camera counts as moved."""
MOVED_AFTER: Final = 300.0
"""Seconds that they have to span at least."""
MOVED_SHARE: Final = 0.2
"""Share that they have to have of all looks since the background was seen in its place; of the others none can tell."""
LOST_LOOKS: Final = 100
"""Looks that have to show it nowhere: as many as are needed to have seen it by day and by night."""
LOST_AFTER: Final = 26 * 3600.0
"""Seconds that they have to span at least: a day, and what it takes for the light to become the same again."""
BACK_LOOKS: Final = 2
"""Looks that have to show the background in its place again."""


class Freshness:
    """Whether a camera goes on delivering other pictures, by what it usually does.

    The same bytes may be its cache, or all that it has: a picture that is replaced every ten minutes is none the worse for
    it. So it may stay the same for three times as long as usual, and for as long as the user allows in any case.
    """

    def __init__(self) -> None:
        """Begin without a picture."""
        self._last = b""
        self._since = 0.0
        self._gaps: deque[float] = deque(maxlen=USUAL_GAPS)

    def observe(self, frame: bytes, now: float, stale_after: float) -> bool:
        """Take in a frame; return whether it is stale. ``stale_after``: seconds that it may stay the same; 0: for ever."""
        if frame != self._last:
            if self._last:
                self._gaps.append(now - self._since)
            self._last, self._since = frame, now
            return False
        return stale_after > 0 and self.age(now) > max(stale_after, BEYOND_USUAL * self.usual)

    def age(self, now: float) -> float:
        """Return for how many seconds the picture has been the same."""
        return now - self._since

    @property
    def usual(self) -> float:
        """Seconds for which pictures usually stayed the same; 0 before the first change."""
        gaps = sorted(self._gaps)
        return gaps[int(USUAL * (len(gaps) - 1))] if gaps else 0.0


class Stillness:
    """Whether different files go on showing the very same picture, as a camera's stuck decoder delivers under a running clock.

    A sensor's noise alone changes more than is allowed here. What can't be told from a stuck decoder is a camera that removes all
    noise, of a scene without any change of light for an hour.
    """

    def __init__(self) -> None:
        """Begin without a picture."""
        self._first: NDArray[np.uint8] | None = None
        self._since = 0.0
        self._looks = 0

    def observe(self, luma: NDArray[np.uint8], now: float) -> bool:
        """Take in a frame of other bytes than the one before, small and grey; return whether the picture is frozen."""
        if self._first is None or np.count_nonzero(luma == self._first) < UNCHANGED * luma.size:
            self._first, self._since, self._looks = luma, now, 1
            return False
        self._looks += 1
        return self._looks >= FROZEN_LOOKS and now - self._since >= FROZEN_AFTER


class Whereabouts:
    """Whether the camera was moved, by where looks showed the background.

    It was where several looks over some minutes show the background elsewhere, or none shows it in its place for more than a day. A
    look that does begins the count anew; two end it.
    """

    def __init__(self) -> None:
        """Begin with a camera in its place."""
        self.moved = False
        self._since: float | None = None
        self._elsewhere = 0
        """Looks since then that showed the background elsewhere; the first of them began it."""
        self._unseen_since: float | None = None
        self._unseen = 0
        """Looks since then that didn't show it in its place."""
        self._lost = 0
        """Of them those that should have shown it somewhere."""
        self._back = 0

    def observe(self, place: BackgroundPlace, now: float) -> bool:
        """Take in where a look showed the background; return whether the camera was moved."""
        if place is BackgroundPlace.SAME:
            self._since, self._elsewhere, self._unseen_since, self._unseen = None, 0, None, 0
            self._lost = 0
            self._back += 1
            self.moved = self.moved and self._back < BACK_LOOKS
            return self.moved
        self._back = 0
        self._unseen += 1
        self._lost += place is not BackgroundPlace.UNCLEAR
        if self._unseen_since is None:
            self._unseen_since = now
        if place is BackgroundPlace.ELSEWHERE:
            self._elsewhere += 1
            if self._since is None:
                self._since = now
        displaced = (
            self._since is not None
            and self._elsewhere >= max(MOVED_LOOKS, MOVED_SHARE * self._unseen)
            and now - self._since >= MOVED_AFTER
        )
        lost = self._lost >= LOST_LOOKS and now - self._unseen_since >= LOST_AFTER
        self.moved = self.moved or displaced or lost
        return self.moved


class Health:
    """What is wrong with one camera."""

    def __init__(self) -> None:
        """Begin without trouble."""
        self.problem: Problem | None = None
        """What is wrong at present."""
        self.since = 0.0
        """Since when (the first look that showed it)."""
        self._stillness = Stillness()
        self._whereabouts = Whereabouts()
        self._judged: Condition | None = None
        self._frozen = False

    def failed(self, problem: Problem, now: float) -> None:
        """Take in a look that brought no picture, and why."""
        self._become(problem, now)

    def looked(
        self,
        condition: Condition,
        sighting: Sighting | None,
        now: float,
        *,
        stale: bool,
        normal: Collection[Problem] = (),
    ) -> Problem | None:
        """Take in a look that brought a picture; return what is wrong.

        Args:
            condition: what the whole frame is like; the same object again where the bytes were the same.
            sighting: where it shows the background; None where that isn't known or wasn't looked for.
            now: when it was taken.
            stale: whether its bytes have been the same for too long.
            normal: what is no problem of this camera: a room that goes dark was taught dark.

        """
        dull = Problem.BLACK if condition.black else Problem.BLINDED if condition.blinded else None
        if condition is not self._judged:
            self._judged = condition
            if dull is None:
                self._frozen = self._stillness.observe(condition.luma, now)
                if sighting is not None:
                    self._whereabouts.observe(sighting.place, now)
        found = {
            Problem.STALE: stale,
            Problem.BLACK: dull is Problem.BLACK,
            Problem.BLINDED: dull is Problem.BLINDED,
            Problem.FROZEN: self._frozen and dull is None,
            Problem.MOVED: self._whereabouts.moved,
        }
        self._become(next((one for one, is_so in found.items() if is_so and one not in normal), None), now)
        return self.problem

    def forget_place(self) -> None:
        """Begin anew with where the camera looks."""
        self._whereabouts = Whereabouts()

    def _become(self, problem: Problem | None, now: float) -> None:
        if problem != self.problem:
            self.problem, self.since = problem, now
