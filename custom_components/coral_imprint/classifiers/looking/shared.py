"""What the classifiers of one engine share, so that nothing is done twice or queued."""

import asyncio

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import HomeAssistant

from ...extractors.pool import Embedders
from ...extractors.statistics import Pace
from .embed_queue import Desk
from .frames import SharedFrames


class Shared:
    """All that the classifiers of one engine share."""

    def __init__(self, hass: HomeAssistant, entry: ConfigEntry, embedders: Embedders, pace: Pace) -> None:
        """Begin with nothing to do."""
        self.embedders = embedders
        self.pace = pace
        self.frames = SharedFrames(hass, entry, pace)
        self.desk = Desk(hass, entry, pace)
        self.refining = asyncio.Lock()
        """Held while a head is refined: all of them at once, as after a start, would leave looks no processor."""
