"""When the interval is up."""

from datetime import datetime
import math

from homeassistant.core import CALLBACK_TYPE, HassJob, HomeAssistant, callback
from homeassistant.helpers.event import async_call_at


class Interval:
    """Calls at an interval, whatever a call takes: at a start, and whole intervals after it.

    Who shares a start is called at the same moment where the intervals' multiples meet, and so may share the work.
    """

    def __init__(self, hass: HomeAssistant, due: CALLBACK_TYPE) -> None:
        """Call nothing yet."""
        self._hass = hass
        self._due = due
        self._interval = 0.0
        self._start = 0.0
        self._cancel: CALLBACK_TYPE | None = None

    @callback
    def async_set(self, interval: float, start: float) -> None:
        """Call every ``interval`` seconds, counted from ``start`` by the event loop's clock; 0: never."""
        self.async_stop()
        self._interval, self._start = interval, start
        if interval > 0:
            self._arm()

    @callback
    def async_stop(self) -> None:
        """Call no more."""
        if self._cancel:
            self._cancel()
            self._cancel = None

    def _arm(self) -> None:
        past = self._hass.loop.time() - self._start
        # A timer may go off a clock's tick too early: it must not be set for the same moment again.
        number = math.floor(past / self._interval + 1e-3) + 1
        job = HassJob(self._ring, "coral_imprint look", cancel_on_shutdown=True)
        self._cancel = async_call_at(self._hass, job, self._start + number * self._interval)

    @callback
    def _ring(self, _now: datetime) -> None:
        self._arm()
        self._due()
