"""What a classifier and an engine are made of, as their config entries say."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from homeassistant.config_entries import ConfigSubentry
from homeassistant.core import HomeAssistant

from .const import (
    BIN_FOLDER,
    CONF_BACKGROUND,
    CONF_CAMERA,
    CONF_CLASSES,
    CONF_EXTRACTOR,
    CONF_FOLDER,
    CONF_HEAD,
    CONF_REJECT_FOREIGN,
    CONF_RUNTIME,
    CONF_THREADS,
    DOMAIN,
    ENTER_AT,
    HEAD_AUTO,
    HOLD,
    INTERVAL,
    LOOKS,
    MODELS_FOLDER,
    REGION_EDGES,
    SECTION_DECISION,
    SECTION_REGION,
    STALE_AFTER,
    STAY_AT,
    THREADS,
    NumberOption,
)
from .embedding import BUILTIN, Region, RuntimeChoice
from .imprinting import Rules


@dataclass(frozen=True, kw_only=True)
class EngineSettings:
    """One extractor on one runtime."""

    extractor: str
    """BUILTIN, a key of the catalogue, or the name of a file in the models folder."""
    runtime: RuntimeChoice
    threads: int = int(THREADS.default)
    """Threads that a frame may use."""

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> EngineSettings:
        """Read a config entry's data."""
        threads = data.get(CONF_THREADS, THREADS.default)
        return cls(extractor=data[CONF_EXTRACTOR], runtime=data[CONF_RUNTIME], threads=int(threads))

    @property
    def unique_id(self) -> str:
        """There is one engine per extractor and runtime. The built-in extractor has no network to run."""
        return BUILTIN if self.extractor == BUILTIN else f"{self.extractor}:{self.runtime}"


@dataclass(frozen=True, kw_only=True)
class ClassifierSettings:
    """One question about one region of one camera."""

    name: str
    camera: str
    folder: str
    region: Region
    interval: float
    """Seconds between two looks."""
    rules: Rules
    stale_after: float
    """Seconds; 0: never."""
    classes: tuple[str, ...]
    """Classes to begin with."""
    background: str | None
    """Background class to begin with."""
    head: str | None = None
    """Kind of head; None: what the examples speak for."""
    reject_foreign: bool = False
    """Whether looks that resemble nothing that was taught name no class."""

    @classmethod
    def from_subentry(cls, subentry: ConfigSubentry) -> ClassifierSettings:
        """Read a subentry's title and data."""
        data = subentry.data
        decision: Mapping[str, Any] = data.get(SECTION_DECISION, {})

        def option(row: NumberOption) -> float:
            return float(decision.get(row.key, row.default))

        return cls(
            name=subentry.title,
            camera=data[CONF_CAMERA],
            folder=data[CONF_FOLDER],
            region=region_from_percent(data.get(SECTION_REGION, {})),
            interval=float(data.get(INTERVAL.key, INTERVAL.default)),
            rules=Rules(
                enter_at=option(ENTER_AT) / 100,
                stay_at=option(STAY_AT) / 100,
                looks=int(option(LOOKS)),
                hold=option(HOLD),
            ),
            stale_after=option(STALE_AFTER),
            classes=tuple(data.get(CONF_CLASSES, ())),
            background=data.get(CONF_BACKGROUND) or None,
            head=None if (head := decision.get(CONF_HEAD, HEAD_AUTO)) == HEAD_AUTO else str(head),
            reject_foreign=bool(decision.get(CONF_REJECT_FOREIGN, False)),
        )


def region_from_percent(edges: Mapping[str, float]) -> Region:
    """Return the region that a form's four percentages describe. Raises InvalidRegion."""
    return Region(**{row.key: edges.get(row.key, row.default) / 100 for row in REGION_EDGES})


def data_folder(hass: HomeAssistant) -> Path:
    """Return the folder of all classifiers' examples."""
    return Path(hass.config.path(DOMAIN))


def bin_folder(hass: HomeAssistant) -> Path:
    """Return the folder of removed classifiers."""
    return data_folder(hass) / BIN_FOLDER


def models_folder(hass: HomeAssistant) -> Path:
    """Return the folder of the user's own extractors."""
    return data_folder(hass) / MODELS_FOLDER


def cache_folder(hass: HomeAssistant) -> Path:
    """Return the folder of downloaded extractors, and of what can be found out again. Backups leave it out."""
    return Path(hass.config.cache_path(DOMAIN))
