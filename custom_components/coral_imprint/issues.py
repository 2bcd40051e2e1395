"""What the user is told under Repairs."""

from collections.abc import Sequence
from typing import Final

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import issue_registry as ir

from .const import DOMAIN
from .core.embedding import CATALOGUE, DownloadError, EmbeddingError, Rejected
from .settings import EngineSettings, data_folder, models_folder

EXTRACTOR = "extractor"
RUNTIME = "runtime"
EDGETPU = "edgetpu"
REFUSED = "refused"
CAMERA_ISSUES: Final = {
    "missing": "camera_missing",
    "disabled": "camera_disabled",
    "unavailable": "camera_unavailable",
    "no_image": "camera_no_image",
    "not_a_picture": "camera_not_a_picture",
    "stale": "camera_stale",
    "black": "camera_black",
    "blinded": "camera_blinded",
    "frozen": "camera_frozen",
    "moved": "camera_moved",
}
"""By what is wrong with a classifier's camera."""
CAMERA_FIXABLE: Final = frozenset({"missing", "disabled", "moved"})
"""What a click mends: another camera is chosen, or where it looks is learned anew."""


def _issue_id(entry: ConfigEntry, kind: str) -> str:
    return f"{kind}_{entry.entry_id}"


@callback
def _tell(hass: HomeAssistant, entry: ConfigEntry, kind: str, key: str, placeholders: dict[str, str]) -> None:
    """Make or change the engine's issue of a kind. All of them are mended by trying again."""
    ir.async_create_issue(
        hass,
        DOMAIN,
        _issue_id(entry, kind),
        data={"entry_id": entry.entry_id},
        is_fixable=True,
        severity=ir.IssueSeverity.WARNING,
        translation_key=key,
        translation_placeholders=placeholders,
    )


@callback
def async_report_extractor(
    hass: HomeAssistant, entry: ConfigEntry, settings: EngineSettings, err: EmbeddingError, titles: tuple[str, str]
) -> None:
    """Report that the chosen extractor can't be used, why, and what answers meanwhile; ``titles`` are what both are called."""
    extractor = settings.extractor
    fetched = isinstance(err, DownloadError) and extractor in CATALOGUE
    placeholders = {
        "engine": entry.title,
        "extractor": titles[0],
        "file": CATALOGUE[extractor].file.name if extractor in CATALOGUE else extractor,
        "folder": str(models_folder(hass)),
        "reason": str(err),
        "serving": titles[1],
    }
    if settings.is_remote:
        key = "server_unusable"
    elif fetched:
        key = "download_failed"
    else:
        key = "edgetpu_unusable" if settings.is_edgetpu else "extractor_unusable"
    _tell(hass, entry, EXTRACTOR, key, placeholders)


@callback
def async_report_runtime(hass: HomeAssistant, entry: ConfigEntry, rejected: Rejected, serving: str) -> None:
    """Tell that a runtime was not used, why, and which one is."""
    placeholders = {
        "engine": entry.title,
        "runtime": rejected.family,
        "reason": str(rejected.error),
        "serving": serving,
    }
    _tell(hass, entry, RUNTIME, "runtime_rejected", placeholders)


@callback
def async_report_edgetpu(hass: HomeAssistant, entry: ConfigEntry) -> None:
    """Tell that an engine's Edge TPU is away."""
    _tell(hass, entry, EDGETPU, "edgetpu_away", {"engine": entry.title})


@callback
def async_report_refused(hass: HomeAssistant, entry: ConfigEntry, classifiers: list[str], reason: str) -> None:
    """Tell that the disk refuses the folders of some classifiers, which don't look until they can be read."""
    ir.async_create_issue(
        hass,
        DOMAIN,
        _issue_id(entry, REFUSED),
        is_fixable=False,
        severity=ir.IssueSeverity.ERROR,
        translation_key="classifiers_refused",
        translation_placeholders={
            "engine": entry.title,
            "classifiers": ", ".join(classifiers),
            "folder": str(data_folder(hass)),
            "reason": reason,
        },
    )


@callback
def async_report_camera(hass: HomeAssistant, entry: ConfigEntry, subentry_id: str, name: str, problem: str) -> None:
    """Tell that something is wrong with a classifier's camera. ``problem`` is what, as the diagnostic sensor says."""
    ir.async_create_issue(
        hass,
        DOMAIN,
        _camera_issue(subentry_id),
        data={"entry_id": entry.entry_id, "subentry_id": subentry_id, "camera_problem": problem},
        is_fixable=problem in CAMERA_FIXABLE,
        severity=ir.IssueSeverity.WARNING,
        translation_key=CAMERA_ISSUES[problem],
        translation_placeholders={"classifier": name},
    )


@callback
def async_settle_camera(hass: HomeAssistant, subentry_id: str) -> None:
    """Take back what was told of a classifier's camera."""
    ir.async_delete_issue(hass, DOMAIN, _camera_issue(subentry_id))


def _camera_issue(subentry_id: str) -> str:
    return f"camera_{subentry_id}"


@callback
def async_settle(hass: HomeAssistant, entry: ConfigEntry, *kinds: str) -> None:
    """Take back what was told of an engine."""
    for kind in kinds:
        ir.async_delete_issue(hass, DOMAIN, _issue_id(entry, kind))


@callback
def async_report_triggers(hass: HomeAssistant, subentry_id: str, classifier: str, missing: Sequence[str]) -> None:
    """Tell that entities are gone that a classifier was to look after; take it back where ``missing`` is empty."""
    issue_id = f"triggers_{subentry_id}"
    if not missing:
        ir.async_delete_issue(hass, DOMAIN, issue_id)
        return
    ir.async_create_issue(
        hass,
        DOMAIN,
        issue_id,
        is_fixable=False,
        severity=ir.IssueSeverity.WARNING,
        translation_key="triggers_missing",
        translation_placeholders={"classifier": classifier, "entities": ", ".join(missing)},
    )
