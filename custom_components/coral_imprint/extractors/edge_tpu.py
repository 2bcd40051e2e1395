"""Engines on an Edge TPU of this machine: the devices, the embedder in its own process, and what is told while it is gone."""

from contextlib import AbstractAsyncContextManager
from typing import Final

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.helpers.event import async_call_later

from ..core.embedding import devices
from ..core.embedding.edgetpu import EdgeTPUEmbedder, EdgeTPUOptions, open_edgetpu_embedder
from ..issues import EDGETPU, async_report_edgetpu, async_settle
from ..settings import EngineSettings, cache_folder
from .choices import TwinFiles

PATIENCE: Final = 30.0
"""Seconds that a device may be away before it is told: its process takes some to start, and to be restarted."""


async def async_devices(hass: HomeAssistant) -> list[str]:
    """Return what the Edge TPUs are called that can be used on this machine: libedgetpu is there, and they may be opened."""
    found = await hass.async_add_executor_job(devices.survey)
    return [device.device for device in found.usable]


def options(hass: HomeAssistant, settings: EngineSettings) -> EdgeTPUOptions:
    """Return how an engine's device is run."""
    return EdgeTPUOptions(device=settings.device, threads=settings.threads, notes=cache_folder(hass))


def open_edgetpu(
    hass: HomeAssistant, settings: EngineSettings, files: TwinFiles, listener: CALLBACK_TYPE | None = None
) -> AbstractAsyncContextManager[EdgeTPUEmbedder]:
    """Open an extractor on a device. ``listener`` is called when it comes, goes, or is known better. Raises EmbeddingError."""
    return open_edgetpu_embedder(files.compiled, files.twin, options(hass, settings), listener=listener)


class DeviceWatch:
    """Tells under Repairs that an engine's device has been away for a while, and takes it back."""

    def __init__(self, hass: HomeAssistant, entry: ConfigEntry) -> None:
        """Tell nothing yet."""
        self._hass = hass
        self._entry = entry
        self._waiting: CALLBACK_TYPE | None = None

    @callback
    def follow(self, connected: bool | None) -> None:
        """Take in whether the device answers; None where the engine uses none."""
        if connected is not False:
            self.stop()
        elif self._waiting is None:
            self._waiting = async_call_later(self._hass, PATIENCE, self._tell)

    @callback
    def _tell(self, _now: object) -> None:
        async_report_edgetpu(self._hass, self._entry)

    @callback
    def stop(self) -> None:
        """Tell nothing any more."""
        if self._waiting is not None:
            self._waiting()
            self._waiting = None
        async_settle(self._hass, self._entry, EDGETPU)
