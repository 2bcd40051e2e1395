"""What the user is told under Repairs."""

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import issue_registry as ir

from .const import DOMAIN
from .embedding import CATALOGUE, DownloadError, EmbeddingError, Rejected
from .extractors import title
from .models import models_folder

EXTRACTOR = "extractor"
RUNTIME = "runtime"


def _issue_id(entry: ConfigEntry, kind: str) -> str:
    return f"{kind}_{entry.entry_id}"


@callback
def async_report_extractor(
    hass: HomeAssistant, entry: ConfigEntry, extractor: str, serving: str, err: EmbeddingError
) -> None:
    """Tell that the chosen extractor can't be used, why, and what answers meanwhile."""
    fetched = isinstance(err, DownloadError) and extractor in CATALOGUE
    placeholders = {
        "engine": entry.title,
        "extractor": title(extractor),
        "file": CATALOGUE[extractor].file.name if extractor in CATALOGUE else extractor,
        "folder": str(models_folder(hass)),
        "reason": str(err),
        "serving": title(serving),
    }
    ir.async_create_issue(
        hass,
        DOMAIN,
        _issue_id(entry, EXTRACTOR),
        data={"entry_id": entry.entry_id},
        is_fixable=True,
        severity=ir.IssueSeverity.WARNING,
        translation_key="download_failed" if fetched else "extractor_unusable",
        translation_placeholders=placeholders,
    )


@callback
def async_report_runtime(hass: HomeAssistant, entry: ConfigEntry, rejected: Rejected, serving: str) -> None:
    """Tell that a runtime was not used, why, and which one is."""
    ir.async_create_issue(
        hass,
        DOMAIN,
        _issue_id(entry, RUNTIME),
        data={"entry_id": entry.entry_id},
        is_fixable=True,
        severity=ir.IssueSeverity.WARNING,
        translation_key="runtime_rejected",
        translation_placeholders={
            "engine": entry.title,
            "runtime": rejected.family,
            "reason": str(rejected.error),
            "serving": serving,
        },
    )


@callback
def async_settle(hass: HomeAssistant, entry: ConfigEntry, *kinds: str) -> None:
    """Take back what was told of an engine."""
    for kind in kinds:
        ir.async_delete_issue(hass, DOMAIN, _issue_id(entry, kind))
