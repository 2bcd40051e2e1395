"""The actions `export_examples` and `import_examples`: what they take and what they answer."""

from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

from homeassistant.core import HomeAssistant
from homeassistant.exceptions import ServiceValidationError
from homeassistant.util import slugify

from ..classifiers.archives import async_take_in, async_write
from ..classifiers.coordinator import ClassifierCoordinator
from ..errors import translated
from .paths import async_source, async_target, exports_folder

SUFFIX: Final = ".zip"


async def async_export_examples(
    hass: HomeAssistant, classifier: ClassifierCoordinator, file: str | None, labels: Collection[str]
) -> dict[str, Any]:
    """Write a classifier's examples to a zip; return what the action answers. Raises HomeAssistantError."""
    target = await async_target(hass, file or slugify(classifier.name), SUFFIX)
    path = target.with_name(target.name + SUFFIX)
    written = await async_write(hass, classifier, path, labels)
    return {
        "file": str(path),
        "size": written.size,
        "examples": _by_label(classifier, written.counts),
        "missing": written.missing,
    }


async def async_import_examples(
    hass: HomeAssistant, classifier: ClassifierCoordinator, source: Path | str, label: str | None
) -> dict[str, Any]:
    """File the pictures of a zip; return what the action answers. Raises HomeAssistantError.

    ``source`` is the name of one in the folder of exports, a path that Home Assistant is allowed to read, or a Path
    that needs no leave.
    """
    path = source if isinstance(source, Path) else await async_source(hass, source, [exports_folder(hass)])
    try:
        report = await async_take_in(hass, classifier, path, label)
    except OSError as err:
        reason = err.strerror or str(err)
        raise translated(ServiceValidationError, "file_not_read", err, file=path.name, reason=reason) from err
    return {
        "added": _by_label(classifier, report.added),
        "there_already": _by_label(classifier, report.there_already),
        "classes": [learned.label for learned in report.made],
        "skipped": dict(report.skipped),
        "files": [{"file": one.name, "reason": one.reason} for one in report.named],
    }


def _by_label(classifier: ClassifierCoordinator, counts: Any) -> dict[str, int]:
    classes = classifier.learner.classes
    return {classes[class_id].label: count for class_id, count in counts.items() if class_id in classes}
