"""Names, and the description of every option that a person can set."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

DOMAIN: Final = "coral_imprint"
MANUFACTURER: Final = "Coral Imprint"
MODEL_CLASSIFIER: Final = "Classifier"
"""Model of the classifiers' devices; the actions offer devices of this model."""
MODEL_ENGINE: Final = {
    "builtin": "Built-in extractor",
    "litert": "Extractor on LiteRT",
    "portable": "Extractor, portable runtime",
    "remote": "Extractor on an inference server",
    "edgetpu": "Extractor on an Edge TPU",
}
"""Model of an engine's device, by runtime."""

SUBENTRY_CLASSIFIER: Final = "classifier"

# Engine (config entry data)
CONF_EXTRACTOR: Final = "extractor"
CONF_RUNTIME: Final = "runtime"
CONF_THREADS: Final = "threads"
RUNTIME_REMOTE: Final = "remote"
"""Runtime of engines on inference servers. Their extractor is the model's name there."""
RUNTIME_EDGETPU: Final = "edgetpu"
"""Runtime of engines on an Edge TPU of this machine."""
CONF_DEVICE: Final = "device"
"""Which Edge TPU: ANY_DEVICE, ``usb:0``, ``pci:0``…"""
ANY_DEVICE: Final = "edgetpu"
CONF_SERVERS: Final = "servers"
"""The servers' addresses, the preferred one first."""
CONF_PIXEL_RANGE: Final = "pixel_range"
"""What a model on a server takes for the pixels 0 and 255, one of PIXEL_RANGES."""
PIXEL_RANGES: Final[Mapping[str, tuple[float, float] | None]] = {
    "server": None,
    "unit": (0.0, 1.0),
    "signed": (-1.0, 1.0),
    "bytes": (0.0, 255.0),
}
"""None: as the server says."""
CONF_DISCOVERY: Final = "discovery"
"""Id of the app's announcement that an engine was made from; what the app announces later is followed."""
RUNTIME_INSTALL: Final = "install"
"""What the form offers in place of LiteRT where it could be installed. Never stored."""

COMPILED: Final = "_edgetpu"
"""What the names of models end in that were compiled for the Edge TPU, as Coral's compiler writes them."""

MODELS_FOLDER: Final = "models"
"""Folder under <config>/coral_imprint where a user may put extractors of their own."""
EXPORTS_FOLDER: Final = "exports"
"""Folder under <config>/coral_imprint where exported models go."""
BIN_FOLDER: Final = ".bin"
"""Folder under <config>/coral_imprint where removed classifiers stay for a week."""

# Classifier (subentry data)
CONF_CAMERA: Final = "camera"
"""The camera's entity registry id, or its entity id where it has none."""
CONF_FOLDER: Final = "folder"
CONF_CLASSES: Final = "classes"
CONF_BACKGROUND: Final = "background"
CONF_HEAD: Final = "head"
HEAD_AUTO: Final = "auto"
CONF_REJECT_FOREIGN: Final = "reject_foreign"
"""Whether looks that resemble nothing that was taught name no class."""
CONF_LIMITS: Final = "limits"
"""Thresholds of single classes: by class id, the two probabilities in percent."""
CONF_TRIGGERS: Final = "triggers"
"""Entities whose changes are a reason to look, stored as the camera is."""
CONF_LIGHT: Final = "light"
"""What is switched on for captures and bursts, stored as the camera is."""
CONF_WATCHING: Final = "watching"
"""Whether it looks by itself; on demand it always does."""
SECTION_REGION: Final = "region"
SECTION_WHEN: Final = "when"
SECTION_DECISION: Final = "decision"
SECTION_HEALTH: Final = "health"
CONF_UNAVAILABLE_ON: Final = "unavailable_on"
"""What is wrong with the camera while the classifier's entities are unavailable."""
CAMERA_PROBLEMS: Final[Mapping[str, bool]] = {
    "unavailable": True,
    "no_image": True,
    "not_a_picture": True,
    "stale": True,
    "black": True,
    "blinded": True,
    "frozen": False,
    "moved": False,
}
"""What can be chosen, and whether it is by default. Of a camera that is missing or disabled nothing is known at all."""
CONF_REFERENCE_SINCE: Final = "reference_since"
"""Since when examples say where the camera looks (ISO 8601, UTC); earlier ones were taken from another place."""
SECTIONS: Final = (SECTION_REGION, SECTION_WHEN, SECTION_DECISION, SECTION_HEALTH)
"""Parts of the data whose options are changed one by one."""

# Actions
ATTR_CLASS: Final = "class"
ATTR_CLASSES: Final = "classes"
ATTR_COUNT: Final = "count"
ATTR_EXAMPLE: Final = "example"
ATTR_FILE: Final = "file"
ATTR_IMAGE: Final = "image"
ATTR_INTERVAL: Final = "interval"
ATTR_BACKGROUND: Final = "background"
ATTR_KNOWN: Final = "known"
ATTR_MEDIA: Final = "media"
ATTR_MEDIA_CONTENT_ID: Final = "media_content_id"
ATTR_SEARCH: Final = "search"
ATTR_VERSION: Final = "version"


@dataclass(frozen=True, kw_only=True)
class NumberOption:
    """A number that a person can set, with its default, bounds and unit as shown."""

    key: str
    default: float
    low: float
    high: float
    step: float = 1
    unit: str | None = None


THREADS: Final = NumberOption(key=CONF_THREADS, default=1, low=1, high=16)
"""Threads that a frame may use. More than one helps large extractors on an idle machine, and hurts on a busy one."""

REGION_EDGES: Final = (
    NumberOption(key="left", default=0, low=0, high=100, step=0.1, unit="%"),
    NumberOption(key="top", default=0, low=0, high=100, step=0.1, unit="%"),
    NumberOption(key="right", default=100, low=0, high=100, step=0.1, unit="%"),
    NumberOption(key="bottom", default=100, low=0, high=100, step=0.1, unit="%"),
)
"""Edges of the region, in percent of the frame's width or height from its left or top edge."""

INTERVAL: Final = NumberOption(key="interval", default=10, low=0, high=3600, unit="s")
"""Time between two looks; 0: none but after triggers and on demand."""

BURST_LOOKS: Final = NumberOption(key="burst_looks", default=3, low=1, high=20)
"""Looks after a trigger."""
BURST_SPACING: Final = NumberOption(key="burst_spacing", default=1, low=0.2, high=60, step=0.1, unit="s")
"""Time between them."""
LEAST_CHANGE: Final = NumberOption(key="least_change", default=4, low=0, high=100, step=0.1, unit="%")
"""How much some part of the region has to change to be embedded anew; 0: every picture is."""
REFRESH: Final = NumberOption(key="refresh", default=60, low=0, high=3600, unit="s")
"""Time after which it is embedded anew, changed or not."""
SETTLE: Final = NumberOption(key="settle", default=2, low=0, high=60, step=0.5, unit="s")
"""Time between switching on the light and the picture."""

BURST_OPTIONS: Final = (BURST_LOOKS, BURST_SPACING)
GATE_OPTIONS: Final = (LEAST_CHANGE, REFRESH)

ENTER_AT: Final = NumberOption(key="enter_at", default=80, low=0, high=100, unit="%")
"""Probability that a class needs before it may replace the current one."""
STAY_AT: Final = NumberOption(key="stay_at", default=60, low=0, high=100, unit="%")
"""Probability below which the current class is no longer confirmed."""
LOOKS: Final = NumberOption(key="looks", default=2, low=1, high=20)
"""Looks that must name a class before it replaces the current one."""
WINDOW: Final = NumberOption(key="window", default=0, low=0, high=50)
"""How many of the last looks those are counted in; 0: they have to be consecutive."""
HOLD: Final = NumberOption(key="hold", default=30, low=0, high=3600, unit="s")
"""How long the current class is kept while looks can't tell."""
HOLD_FOREIGN: Final = NumberOption(key="hold_foreign", default=30, low=0, high=3600, unit="s")
"""The same, while looks show something foreign."""
AT_LEAST: Final = NumberOption(key="at_least", default=0, low=0, high=3600, unit="s")
"""How long a class stays the current one at least, whatever looks say."""
FALSE_ALARMS: Final = NumberOption(key="false_alarms", default=0, low=0, high=1000, step=0.1)
"""False alarms a month and class that are accepted; thresholds are raised to keep that. 0: thresholds stay as they are set."""
STALE_AFTER: Final = NumberOption(key="stale_after", default=300, low=0, high=86400, unit="s")
"""How long a camera may deliver the very same bytes before its picture counts as stale; 0: for ever."""

DECISION_OPTIONS: Final = (
    ENTER_AT,
    STAY_AT,
    LOOKS,
    WINDOW,
    HOLD,
    HOLD_FOREIGN,
    AT_LEAST,
    FALSE_ALARMS,
    STALE_AFTER,
)
