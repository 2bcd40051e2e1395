"""What a classifier and an engine are made of, as their config entries say."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal

from homeassistant.config_entries import ConfigSubentry
from homeassistant.const import CONF_TOKEN, CONF_VERIFY_SSL
from homeassistant.core import HomeAssistant

from .const import (
    ANY_DEVICE,
    AT_LEAST,
    BIN_FOLDER,
    BURST_LOOKS,
    BURST_SPACING,
    CAMERA_PROBLEMS,
    CONF_BACKGROUND,
    CONF_CAMERA,
    CONF_CLASSES,
    CONF_DEVICE,
    CONF_DISCOVERY,
    CONF_EXTRACTOR,
    CONF_FOLDER,
    CONF_HEAD,
    CONF_LIGHT,
    CONF_LIMITS,
    CONF_PIXEL_RANGE,
    CONF_REFERENCE_SINCE,
    CONF_REJECT_FOREIGN,
    CONF_RUNTIME,
    CONF_SERVERS,
    CONF_THREADS,
    CONF_TRIGGERS,
    CONF_UNAVAILABLE_ON,
    CONF_WATCHING,
    DOMAIN,
    ENTER_AT,
    FALSE_ALARMS,
    HEAD_AUTO,
    HOLD,
    HOLD_FOREIGN,
    INTERVAL,
    LEAST_CHANGE,
    LOOKS,
    MODELS_FOLDER,
    REFRESH,
    REGION_EDGES,
    RUNTIME_EDGETPU,
    RUNTIME_REMOTE,
    SECTION_DECISION,
    SECTION_HEALTH,
    SECTION_REGION,
    SECTION_WHEN,
    SECTIONS,
    SETTLE,
    STALE_AFTER,
    STAY_AT,
    THREADS,
    WINDOW,
    NumberOption,
)
from .core.embedding import BUILTIN, Region, RuntimeChoice
from .core.imprinting import Limits, Rules

DEFAULT_UNAVAILABLE_ON: Final = frozenset(problem for problem, chosen in CAMERA_PROBLEMS.items() if chosen)

type EngineRuntime = RuntimeChoice | Literal["remote", "edgetpu"]


@dataclass(frozen=True, kw_only=True)
class EngineSettings:
    """One extractor on one runtime."""

    extractor: str
    """BUILTIN, a key of the catalogue, or the name of a file in the models folder; on servers the name of a model there."""
    runtime: EngineRuntime
    threads: int = int(THREADS.default)
    """Threads that a frame may use."""
    servers: tuple[str, ...] = ()
    """Addresses of inference servers, the preferred one first."""
    token: str | None = field(default=None, repr=False)
    """What the servers know this engine by."""
    verify_ssl: bool = True
    """Whether the servers' certificates have to be valid."""
    pixel_range: str = "server"
    """One of PIXEL_RANGES."""
    device: str = ANY_DEVICE
    """Which Edge TPU of this machine."""
    discovery: str | None = None
    """Id of the announcement that it was made from."""

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> EngineSettings:
        """Read a config entry's data."""
        return cls(
            extractor=data[CONF_EXTRACTOR],
            runtime=data[CONF_RUNTIME],
            threads=int(data.get(CONF_THREADS, THREADS.default)),
            servers=tuple(data.get(CONF_SERVERS, ())),
            token=data.get(CONF_TOKEN) or None,
            verify_ssl=bool(data.get(CONF_VERIFY_SSL, True)),
            pixel_range=data.get(CONF_PIXEL_RANGE, "server"),
            device=data.get(CONF_DEVICE, ANY_DEVICE),
            discovery=data.get(CONF_DISCOVERY),
        )

    @property
    def is_remote(self) -> bool:
        """Whether inference servers do the work."""
        return self.runtime == RUNTIME_REMOTE

    @property
    def is_edgetpu(self) -> bool:
        """Whether an Edge TPU of this machine does the work."""
        return self.runtime == RUNTIME_EDGETPU

    @property
    def is_elsewhere(self) -> bool:
        """Whether the work is done outside this process, by what may come later than Home Assistant."""
        return self.is_remote or self.is_edgetpu

    @property
    def local_runtime(self) -> RuntimeChoice:
        """What executes networks in this process, where something else is to."""
        if self.runtime == "remote":
            return "auto"
        return "auto" if self.runtime == "edgetpu" else self.runtime

    @property
    def place(self) -> tuple[object, ...]:
        """What is executed where, however that is reached."""
        return (self.extractor, self.runtime, self.servers, self.device, self.pixel_range)

    @property
    def unique_id(self) -> str:
        """There is one engine per extractor and runtime. The built-in extractor has no network to run."""
        if self.is_remote:
            return self.discovery or f"{self.extractor}:{self.runtime}:{' '.join(self.servers)}"
        if self.is_edgetpu:
            return f"{self.extractor}:{self.runtime}:{self.device}"
        return BUILTIN if self.extractor == BUILTIN else f"{self.extractor}:{self.runtime}"


@dataclass(frozen=True, kw_only=True)
class When:
    """When a classifier looks, but for its interval, and when a look needs no work."""

    triggers: tuple[str, ...] = ()
    """Registry ids or entity ids of what looks follow."""
    burst_looks: int = int(BURST_LOOKS.default)
    burst_spacing: float = BURST_SPACING.default
    """Seconds between looks of a burst."""
    least_change: float = LEAST_CHANGE.default
    """Of the region's thumbnail, in percent, under which the last embedding will do; 0: it never does."""
    refresh: float = REFRESH.default
    """Seconds after which it doesn't any more."""
    light: str | None = None
    """Registry id or entity id of what is on for captures and bursts."""
    settle: float = SETTLE.default
    """Seconds that it is on before."""

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> When:
        """Read the section of a subentry's data."""

        def option(row: NumberOption) -> float:
            return float(data.get(row.key, row.default))

        return cls(
            triggers=tuple(data.get(CONF_TRIGGERS, ())),
            burst_looks=int(option(BURST_LOOKS)),
            burst_spacing=option(BURST_SPACING),
            least_change=option(LEAST_CHANGE),
            refresh=option(REFRESH),
            light=data.get(CONF_LIGHT) or None,
            settle=option(SETTLE),
        )


@dataclass(frozen=True, kw_only=True)
class ClassifierSettings:
    """One question about one region of one camera."""

    name: str
    camera: str
    folder: str
    region: Region
    interval: float
    """Seconds between two looks; 0: it never looks by itself but after triggers."""
    rules: Rules
    stale_after: float
    """Seconds; 0: never."""
    classes: tuple[str, ...]
    """Classes to begin with."""
    background: str | None
    """Background class to begin with."""
    head: str | None = None
    """Kind of head; None: what the examples speak for."""
    reject_foreign: bool = True
    """Whether looks that resemble nothing that was taught name no class."""
    false_alarms: float = 0.0
    """False alarms a month and class that are accepted; 0: thresholds are as the rules say."""
    watching: bool = True
    """Whether it looks by itself; on demand it always does."""
    when: When = When()

    @property
    def pace(self) -> float:
        """Seconds between looks that thresholds are found for: where only triggers lead to looks, as if by the default."""
        return self.interval or INTERVAL.default

    unavailable_on: frozenset[str] = DEFAULT_UNAVAILABLE_ON
    """What is wrong with the camera, of CAMERA_PROBLEMS, while the classifier's entities are unavailable."""
    reference_since: datetime | None = None
    """Since when examples say where the camera looks, UTC; None: all do."""

    @property
    def learned_by(self) -> tuple[object, ...]:
        """Whatever changes what is learned from the same examples."""
        thresholds = (self.false_alarms, self.rules, self.pace) if self.false_alarms else ()
        return (self.region, self.head, self.reject_foreign, *thresholds)

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
            rules=_rules(option, data.get(CONF_LIMITS, {})),
            stale_after=option(STALE_AFTER),
            classes=tuple(data.get(CONF_CLASSES, ())),
            background=data.get(CONF_BACKGROUND) or None,
            head=None if (head := decision.get(CONF_HEAD, HEAD_AUTO)) == HEAD_AUTO else str(head),
            reject_foreign=bool(decision.get(CONF_REJECT_FOREIGN, True)),
            false_alarms=option(FALSE_ALARMS),
            unavailable_on=frozenset(data.get(SECTION_HEALTH, {}).get(CONF_UNAVAILABLE_ON, DEFAULT_UNAVAILABLE_ON)),
            reference_since=datetime.fromisoformat(since) if (since := data.get(CONF_REFERENCE_SINCE)) else None,
            when=When.from_data(data.get(SECTION_WHEN, {})),
            watching=bool(data.get(CONF_WATCHING, True)),
        )


def _rules(option: Callable[[NumberOption], float], limits: Mapping[str, Mapping[str, float]]) -> Rules:
    """Return the decision's rules; ``limits`` are what the user set for single classes, in percent."""
    looks = int(option(LOOKS))
    return Rules(
        enter_at=option(ENTER_AT) / 100,
        stay_at=option(STAY_AT) / 100,
        looks=looks,
        window=window if (window := int(option(WINDOW))) > looks else 0,
        hold=option(HOLD),
        hold_foreign=option(HOLD_FOREIGN),
        at_least=option(AT_LEAST),
        per_class={
            class_id: Limits(own[ENTER_AT.key] / 100, own[STAY_AT.key] / 100) for class_id, own in limits.items()
        },
    )


def stays_above_enter(data: Mapping[str, Any]) -> bool:
    """Whether a classifier's data asks more of a class to stay than to enter, which no rules can say."""
    decision = data.get(SECTION_DECISION, {})
    return bool(decision.get(STAY_AT.key, STAY_AT.default) > decision.get(ENTER_AT.key, ENTER_AT.default))


def with_options(data: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a classifier's data with changed options; those of a section one by one."""
    return {
        **data,
        **{key: {**data.get(key, {}), **value} if key in SECTIONS else value for key, value in changes.items()},
    }


def region_from_percent(edges: Mapping[str, float]) -> Region:
    """Return the region that a form's four percentages describe. Raises InvalidRegion."""
    return Region(**{row.key: edges.get(row.key, row.default) / 100 for row in REGION_EDGES})


def data_folder(hass: HomeAssistant) -> Path:
    """Return the folder of all classifiers' examples."""
    return Path(hass.config.path(DOMAIN))


def bin_folder(hass: HomeAssistant) -> Path:
    """Return the folder of removed classifiers."""
    return data_folder(hass) / BIN_FOLDER


def extractor_folders(hass: HomeAssistant) -> tuple[Path, Path]:
    """Return where files of extractors are: downloaded ones, and those that the user put there, which count as much."""
    return cache_folder(hass), models_folder(hass)


def models_folder(hass: HomeAssistant) -> Path:
    """Return the folder of the user's own extractors."""
    return data_folder(hass) / MODELS_FOLDER


def cache_folder(hass: HomeAssistant) -> Path:
    """Return the folder of downloaded extractors, and of what can be found out again. Backups leave it out."""
    return Path(hass.config.cache_path(DOMAIN))
