"""A classifier as one TFLite file, and what it gives up."""

from dataclasses import dataclass, replace
import logging
from pathlib import Path
from typing import Any, Final

from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
import numpy as np

from ..const import COMPILED
from ..core.embedding import (
    EmbeddingError,
    export_model,
    exported_answers,
    find_file,
    labels_text,
    layer_answers,
    network_length,
    network_part,
)
from ..core.imprinting import ExampleStore, Layer, TrainingSet, as_layer, by_class, expected_accuracy, fit_kind
from ..errors import core_errors_translated, translated
from ..extractors.extractor_files import ExtractorFile, async_extractor_file
from ..extractors.model_files import LABELS_SUFFIX, MODEL_SUFFIX, FileTooLarge, read_model, write_export
from ..settings import extractor_folders
from .coordinator import ClassifierCoordinator

_LOGGER = logging.getLogger(__name__)

_CHECKED: Final = 64
"""Examples that the exported file is tried on, at most."""


@dataclass(frozen=True, slots=True)
class _ExportedHead:
    """What is exported, and where its accuracy stands."""

    kind: str
    layer: Layer
    accuracy: float | None
    """Of the exported head, 0 to 1; None where the examples can't say."""
    own_accuracy: float | None
    """Of the classifier's own head."""


async def async_export_model(hass: HomeAssistant, classifier: ClassifierCoordinator, target: Path) -> dict[str, Any]:
    """Write a classifier's model and labels; return what people are told of them. Raises HomeAssistantError.

    ``target`` is the path of the files without their suffixes.
    """
    learned = classifier.learner.learned
    extractor = await async_extractor_file(hass, learned.lens)
    if learned.head is None or len(learned.head.classes) < 2:
        raise translated(ServiceValidationError, "export_too_few_classes")
    with core_errors_translated():
        rows = by_class(await classifier.learner.async_embeddings(learned.lens))
        head = await hass.async_add_executor_job(_network_head, classifier, rows)
        labels = [classifier.learner.classes[class_id].label for class_id in head.layer.classes]
        model = await hass.async_add_executor_job(_model, extractor.data, head.layer)
        files = {target.name + MODEL_SUFFIX: model, target.name + LABELS_SUFFIX: labels_text(labels).encode()}
        compiled = await hass.async_add_executor_job(_compiled, hass, extractor)
        if compiled is not None:
            files[target.name + COMPILED + MODEL_SUFFIX] = await hass.async_add_executor_job(
                _model, compiled, head.layer
            )
        agreement = await _async_agreement(hass, classifier, model, head.layer, rows)
    try:
        await hass.async_add_executor_job(write_export, target.parent, files)
    except (OSError, HomeAssistantError) as err:
        raise translated(
            HomeAssistantError, "file_not_written", err, file=target.name + MODEL_SUFFIX, reason=str(err)
        ) from err
    return {
        **{key: str(target.parent / name) for key, name in zip(("model", "labels", "edgetpu"), files, strict=False)},
        "classes": labels,
        "size": len(model),
        "head": head.kind,
        "agreement": agreement,
        "accuracy": _accuracy(head),
    }


def _accuracy(head: _ExportedHead) -> dict[str, float | None]:
    """Return what is expected of the file, of the classifier itself, and the difference, in percent."""
    both = head.accuracy is not None and head.own_accuracy is not None
    file, own = (None if one is None else round(100 * one, 1) for one in (head.accuracy, head.own_accuracy))
    return {"file": file, "classifier": own, "given_up": round((own or 0) - (file or 0), 1) if both else None}


def _network_head(classifier: ClassifierCoordinator, rows: TrainingSet) -> _ExportedHead:
    """Learn the head on the network's part of the embeddings alone, of the kind that answers where a file can hold that."""
    learner = classifier.learner
    learned = learner.learned
    assert learned.head
    parts = {class_id: network_part(own) for class_id, own in rows.vectors.items()}
    own_kind = learned.head.kind
    kind = own_kind if own_kind != "imprint" and as_layer(learned.head) else "imprint"
    length = network_length(learned.lens.length)
    imprinted = learner.examples.known.imprint(replace(rows, vectors=parts), learned.lens, learner.classes, length)
    assert imprinted
    head = imprinted if kind == "imprint" else fit_kind(kind, parts, rows.occasions)
    layer = as_layer(head)
    assert layer, "an imprint is a layer"
    return _ExportedHead(
        kind,
        layer,
        expected_accuracy(kind, parts, rows.occasions),
        expected_accuracy(own_kind, rows.vectors, rows.occasions),
    )


def _model(extractor: bytes, layer: Layer) -> bytes:
    return export_model(extractor, layer.weights, layer.scale, layer.bias)


def _compiled(hass: HomeAssistant, extractor: ExtractorFile) -> bytes | None:
    """Return the same extractor compiled for the Edge TPU, where that is on this machine. Blocking."""
    path = extractor.path
    found: Path | None = path.with_name(f"{path.stem}{COMPILED}{MODEL_SUFFIX}")
    if published := extractor.published:
        folders = extractor_folders(hass)
        found = find_file(published.edgetpu, folders) if published.edgetpu else None
    try:
        return read_model(found) if found else None
    except OSError, FileTooLarge:
        return None


async def _async_agreement(
    hass: HomeAssistant, classifier: ClassifierCoordinator, model: bytes, layer: Layer, rows: TrainingSet
) -> dict[str, Any]:
    """Compare the file's answers with the head's, by LiteRT where that is installed, else by the layer in the file."""
    found = [
        (example, vector)
        for class_id, examples in rows.examples.items()
        for example, vector in zip(examples, rows.vectors[class_id], strict=True)
    ]
    chosen = [found[index * len(found) // _CHECKED] for index in range(_CHECKED)] if len(found) > _CHECKED else found
    if not chosen:
        return {"percent": None, "pictures": 0, "by": None}
    parts = network_part(np.stack([vector for _, vector in chosen]))
    expected = (parts @ layer.weights.T + layer.bias).argmax(axis=1)

    def read(store: ExampleStore) -> list[bytes]:
        return [store.read(example) for example, _ in chosen]

    by, region = "litert", classifier.learner.learned.lens.region
    try:
        pictures = await classifier.learner.examples.async_read(read)
        answers = await hass.async_add_executor_job(exported_answers, model, pictures, region)
    except EmbeddingError as err:
        _LOGGER.debug("The exported file could not be executed: %s", err)
        by, answers = "layer", await hass.async_add_executor_job(layer_answers, model, parts)
    same = float(np.mean(answers.argmax(axis=1) == expected))
    return {"percent": round(100 * same, 2), "pictures": len(chosen), "by": by}
