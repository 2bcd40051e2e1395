"""What engines were before: kept until every classifier has followed, so that what answered can answer after a restart too.

A file or the built-in extractor is found again by its name. Servers and devices are reached as the user said, token included: that is kept
as Home Assistant keeps config entries, not beside the examples.
"""

from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Any, Final

from homeassistant.core import HomeAssistant
from homeassistant.helpers.storage import Store

from ..const import DOMAIN
from ..settings import EngineSettings

_VERSION: Final = 1
_MOST: Final = 4
"""Settings of one engine that are kept: somebody may change it again and again before classifiers have followed."""


def _store(hass: HomeAssistant, entry_id: str) -> Store[list[dict[str, Any]]]:
    return Store(hass, _VERSION, f"{DOMAIN}.former_{entry_id}", private=True, atomic_writes=True)


def _read(data: Mapping[str, Any]) -> EngineSettings | None:
    try:
        return EngineSettings.from_data(data)
    except KeyError, TypeError, ValueError:
        return None  # of another version, perhaps


class PreviousSettings:
    """The settings of one engine's embedders on servers and devices, the last one first."""

    def __init__(self, hass: HomeAssistant, entry_id: str) -> None:
        """Take the engine; async_all reads."""
        self._store = _store(hass, entry_id)
        self._kept: list[EngineSettings] | None = None

    async def async_all(self) -> list[EngineSettings]:
        """Return what is kept."""
        if self._kept is None:
            found = await self._store.async_load()
            self._kept = [settings for one in found or [] if (settings := _read(one))]
        return list(self._kept)

    async def async_note(self, settings: EngineSettings) -> None:
        """Keep settings that an embedder was opened with; those of embedders in this process needn't be."""
        if settings.is_elsewhere:
            others = [one for one in await self.async_all() if one.place != settings.place]
            await self._async_keep([settings, *others][:_MOST])

    async def async_keep_only(self, used: Collection[EngineSettings]) -> None:
        """Forget what no embedder in use was opened with, its token too."""
        await self._async_keep([one for one in await self.async_all() if one in used])

    async def _async_keep(self, kept: list[EngineSettings]) -> None:
        if kept == self._kept:
            return
        self._kept = kept
        if kept:
            await self._store.async_save([asdict(one) for one in kept])
        else:
            await self._store.async_remove()


async def async_forget(hass: HomeAssistant, entry_id: str) -> None:
    """Forget what a removed engine was."""
    await _store(hass, entry_id).async_remove()
