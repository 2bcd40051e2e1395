"""What a user may hand on when something is wrong: states, counts and times; no pictures, labels, names, addresses or tokens."""

from collections.abc import Iterable
from dataclasses import asdict
import re
from typing import Any, Final

from homeassistant.components.diagnostics import REDACTED
from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er, issue_registry as ir
from homeassistant.helpers.device_registry import DeviceEntry

from .classifiers.coordinator import ClassifierCoordinator
from .const import COMPILED, DOMAIN, RUNTIME_REMOTE
from .core.embedding import BUILTIN, CATALOGUE, PictureEmbedder
from .engines.engine import Engine, EngineConfigEntry
from .extractors.litert import litert_state
from .extractors.model_files import MODEL_SUFFIX
from .settings import EngineSettings

_OWN: Final = "own"
"""In place of what the user, or the user's server, calls an extractor."""
_WORDS: Final = {"head"}
"""Settings whose texts are this integration's."""
_FILES: Final = re.compile(r"/[^\s:;,'\"()“”]+|\S+\.(?:tflite|txt|py|so)\b\S*")
"""What is the name of a file in what another process says."""
_SHARES: Final = {"p50": 0.5, "p90": 0.9, "most": 1.0}


async def async_get_config_entry_diagnostics(hass: HomeAssistant, entry: EngineConfigEntry) -> dict[str, Any]:
    """Return how an engine and its classifiers are."""
    found: dict[str, Any] = {"settings": _settings(EngineSettings.from_data(entry.data))}
    found["litert"] = await hass.async_add_executor_job(litert_state)
    found["repairs"] = _repairs(hass, entry)
    if entry.state is not ConfigEntryState.LOADED:
        return found
    engine = entry.runtime_data
    found["engine"] = _engine(engine)
    found["classifiers"] = [_classifier(hass, one) for one in engine.classifiers.values()]
    return found


async def async_get_device_diagnostics(
    hass: HomeAssistant, entry: EngineConfigEntry, device: DeviceEntry
) -> dict[str, Any]:
    """Return how a classifier and its engine are; by an engine's device, how that and all of its classifiers are."""
    found = await async_get_config_entry_diagnostics(hass, entry)
    if entry.state is ConfigEntryState.LOADED and (subentry_id := device.config_subentry_id):
        classifier = entry.runtime_data.classifiers.get(subentry_id)
        found["classifiers"] = [_classifier(hass, classifier)] if classifier else []
    return found


def _settings(settings: EngineSettings) -> dict[str, Any]:
    """Return what the user chose."""
    return {
        "extractor": _extractor(settings.extractor),
        "runtime": settings.runtime,
        "threads": settings.threads,
        "device": settings.device,
        "servers": len(settings.servers),
        "encrypted": sum(server.startswith("https:") for server in settings.servers),
        "token": REDACTED if settings.token else None,
        "verify_ssl": settings.verify_ssl,
        "pixel_range": settings.pixel_range,
        "discovered": settings.discovery is not None,
    }


def _extractor(name: str) -> str:
    """Return what an extractor is called in the catalogue; other names are the user's."""
    return name if name == BUILTIN or name.removesuffix(COMPILED) in CATALOGUE else _OWN


def _repairs(hass: HomeAssistant, entry: EngineConfigEntry) -> list[str]:
    """Return what is told of the engine under Repairs."""
    return sorted(
        issue.translation_key or ""
        for issue in ir.async_get(hass).issues.values()
        if issue.domain == DOMAIN and (issue.data or {}).get("entry_id") == entry.entry_id
    )


def _engine(engine: Engine) -> dict[str, Any]:
    """Return how an engine does its work."""
    embedder = engine.embedder
    found = {
        "extractor": _extractor(engine.extractor),
        "identity": _identity(embedder),
        "fingerprint": _fingerprint(embedder, embedder.fingerprint()),
        "runtime": embedder.runtime,
        "reason": embedder.choice.reason,
        "rejected": {rejected.family: rejected.error.key for rejected in embedder.choice.rejected},
        "length": embedder.length,
        "pictures": embedder.frames,
        "milliseconds": _times(embedder),
        "looks_per_second": engine.statistics.per_second,
        "counts": engine.statistics.counts,
        "errors": engine.error_counts.as_dict(),
    }
    if embedder.connected is None:
        return found | embedder.diagnostics()
    return found | {"edgetpu": _scrubbed(embedder.diagnostics(), _names(engine.settings))}


def _identity(embedder: PictureEmbedder) -> str:
    """Return the digest that tells an extractor; that of a server's begins with its name there."""
    return embedder.extractor.rpartition("-")[2] if embedder.runtime == RUNTIME_REMOTE else embedder.extractor


def _fingerprint(embedder: PictureEmbedder, fingerprint: str) -> str:
    return fingerprint.replace(embedder.extractor, _identity(embedder), 1)


def _times(embedder: PictureEmbedder) -> dict[str, Any]:
    """Return the milliseconds that the last pictures took."""
    times = embedder.times
    shares = {name: times.percentile(share) for name, share in _SHARES.items()}
    return {"of": len(times), **{name: None if ms is None else round(ms, 2) for name, ms in shares.items()}}


def _names(settings: EngineSettings) -> list[str]:
    """Return what texts may call the user's extractor."""
    stem = settings.extractor.removesuffix(MODEL_SUFFIX)
    return [] if stem in CATALOGUE else [settings.extractor, stem]


def _scrubbed(value: Any, private: Iterable[str]) -> Any:
    """Return the same without names of files and other private words in its texts."""
    if isinstance(value, dict):
        return {key: _scrubbed(one, private) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_scrubbed(one, private) for one in value]
    if not isinstance(value, str):
        return value
    for word in private:
        value = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", REDACTED, value)
    return _FILES.sub(REDACTED, value)


def _classifier(hass: HomeAssistant, classifier: ClassifierCoordinator) -> dict[str, Any]:
    """Return how a classifier is. Its classes go by their ids: labels are the user's words."""
    settings = classifier.settings
    return {
        "id": classifier.subentry_id,
        "camera": _camera(hass, settings.camera),
        "options": _figures(asdict(settings)),
        "last_look": _last_look(classifier),
        "errors": classifier.error_counts.as_dict(),
        "embedded_percent": classifier.percent_embedded,
        "learned": _learned(classifier),
        "classes": _classes(classifier),
    }


def _figures(value: Any, key: str = "") -> Any:
    """Return settings without the user's words and entities: whatever is a text is one, and of lists the length is told."""
    if isinstance(value, dict):
        return {name: _figures(one, name) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return len(value)
    return REDACTED if isinstance(value, str) and key not in _WORDS else value


def _camera(hass: HomeAssistant, camera: str) -> dict[str, Any]:
    """Return which integration a camera is of, and whether it is there."""
    registry = er.async_get(hass)
    registered = registry.async_get(er.async_resolve_entity_id(registry, camera) or "")
    state = hass.states.get(registered.entity_id if registered else camera)
    return {
        "registered": registered is not None,
        "platform": registered.platform if registered else None,
        "disabled": bool(registered and registered.disabled),
        "state": state.state if state else None,
    }


def _last_look(classifier: ClassifierCoordinator) -> dict[str, Any] | None:
    """Return what the last good look found, and whether the last one was good."""
    if (reading := classifier.reading) is None:
        return None
    scores, verdict = reading.scores, reading.verdict
    return {
        "good": classifier.last_update_success,
        "taken": reading.taken.isoformat(),
        "bytes": len(reading.picture),
        "finding": verdict.finding.value,
        "current": verdict.current,
        "best": scores.best if scores else None,
        "probability": dict(scores.probability) if scores else {},
        "cosine": dict(scores.cosine) if scores else {},
    }


def _learned(classifier: ClassifierCoordinator) -> dict[str, Any]:
    """Return what looks are answered by."""
    learned = classifier.learned
    embedder, head = learned.lens.embedder, learned.head
    return {
        "extractor": _extractor(learned.lens.extractor),
        "fingerprint": _fingerprint(embedder, learned.lens.fingerprint),
        "runtime": embedder.runtime,
        "head": head.kind if head else None,
        "classes": len(head.classes) if head else 0,
        "rejects_foreign": learned.plausibility is not None,
        "versions": len(classifier.head_versions()["versions"]),
        "restored": learned.restored,
    }


def _classes(classifier: ClassifierCoordinator) -> dict[str, Any]:
    """Return what there is of each class, by its id."""
    counts, thresholds = classifier.counts, classifier.learned.thresholds
    return {
        learned.id: {
            "background": learned.background,
            "created": learned.created.isoformat(),
            "examples": counts.get(learned.id, 0),
            "known": classifier.is_known(learned.id),
            "thresholds": asdict(thresholds[learned.id]) if learned.id in thresholds else None,
        }
        for learned in classifier.classes.values()
    }
