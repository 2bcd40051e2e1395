"""What the classifiers of one engine share, so that nothing is done twice, and all wait in one queue."""

import asyncio

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import HomeAssistant

from ...extractors.pool import EmbedderPool
from ...extractors.statistics import LookStatistics
from .embed_queue import EmbedQueue
from .frames import SharedFrames


class EngineResources:
    """All that the classifiers of one engine share."""

    def __init__(
        self, hass: HomeAssistant, entry: ConfigEntry, embedders: EmbedderPool, statistics: LookStatistics
    ) -> None:
        """Begin with nothing to do."""
        self.pool = embedders
        self.statistics = statistics
        self.frames = SharedFrames(hass, entry, statistics)
        self.queue = EmbedQueue(hass, entry, statistics)
        self.refining = asyncio.Lock()
        """Held while a head is refined: all of them at once, as after a start, would leave looks no processor."""
