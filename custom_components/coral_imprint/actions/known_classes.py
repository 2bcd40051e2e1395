"""What the actions do about classes that a network knows already: list them, add one, import those of an exported file."""

from pathlib import Path
from typing import Any, Final

from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError

from ..classifiers.coordinator import ClassifierCoordinator
from ..core.embedding import (
    EmbeddingError,
    ModelError,
    NetworkClasses,
    UnknownNetworkClass,
    WrongLabels,
    network_classes,
    same_extractor,
)
from ..core.imprinting import ClassExists, ExampleStore, Known, LearnedClass, StoreFailed, check_labels
from ..errors import as_home_assistant_error, core_errors_translated, translated
from ..extractors.extractor_files import async_extractor_file
from ..extractors.labels import async_network_classes
from ..extractors.lens import Lens
from ..extractors.model_files import FileTooLarge, read_label_lists, read_model
from ..settings import models_folder
from .paths import async_source, exports_folder

MOST_IMPORTED: Final = 100
"""Classes that a file may have to be imported: more were not exported from a classifier."""


async def async_known_classes(hass: HomeAssistant, lens: Lens, search: str) -> dict[str, Any]:
    """Return the classes that an extractor knows as an action answers. Raises HomeAssistantError."""
    network = await async_network_classes(hass, lens, fetch=True)
    return {
        "count": len(network.labels),
        "classes": [{"number": number, "name": label} for number, label in network.search(search)],
    }


async def async_add_known(
    hass: HomeAssistant, classifier: ClassifierCoordinator, label: str, background: bool, names: list[str]
) -> LearnedClass:
    """Add a class that the extractor knows, by one or several of the names it has for it. Raises HomeAssistantError."""
    lens = classifier.learner.learned.lens
    network = await async_network_classes(hass, lens, fetch=True)
    try:
        numbers = network.numbers(names)
        direction = network.direction(numbers)
    except UnknownNetworkClass as err:
        raise translated(ServiceValidationError, "unknown_network_class", err, reason=str(err)) from err
    except ModelError as err:
        raise as_home_assistant_error(err) from err
    # By their labels, so that the list of another extractor has them too.
    found = tuple(network.labels[number] for number in numbers)
    known = Known(found, network.imprinted, {lens.embedder.extractor: direction})
    return await classifier.async_change(
        lambda store: _add(store, classifier, label, known, background=background), "add_class"
    )


def _add(
    store: ExampleStore, classifier: ClassifierCoordinator, label: str, known: Known, *, background: bool = False
) -> LearnedClass:
    """Add a class and what is known of it, or neither. Blocking."""
    learned = store.add_class(label, background)
    try:
        classifier.learner.examples.known.add(learned.id, known, store.classes)
    except StoreFailed:
        store.remove_class(learned.id)
        raise
    return learned


async def async_import(hass: HomeAssistant, classifier: ClassifierCoordinator, file: str) -> dict[str, Any]:
    """Add the classes of an exported file that aren't there yet. Raises HomeAssistantError.

    ``file`` is a name in the folder of exports or of models, or a path that Home Assistant is allowed to read.
    """
    path = await async_source(hass, file, (exports_folder(hass), models_folder(hass)))
    lens = classifier.learner.learned.lens
    extractor = await async_extractor_file(hass, lens)
    try:
        network = await hass.async_add_executor_job(_read, path, extractor.data)
    except (OSError, FileTooLarge) as err:
        reason = "too large" if isinstance(err, FileTooLarge) else err.strerror or str(err)
        raise translated(ServiceValidationError, "file_not_read", err, file=path.name, reason=reason) from err
    except EmbeddingError as err:
        key_of = _labels_refused if isinstance(err, WrongLabels) else _model_refused
        raise key_of(path, err) from err
    if network is None:
        raise translated(ServiceValidationError, "other_extractor", file=path.name)
    if len(network.labels) > MOST_IMPORTED:
        raise translated(ServiceValidationError, "too_many_classes", file=path.name, most=str(MOST_IMPORTED))
    with core_errors_translated():
        labels = check_labels(network.labels)
        directions = [network.direction([number]) for number in range(len(labels))]

    def add(store: ExampleStore) -> tuple[list[str], list[str]]:
        added: list[str] = []
        there: list[str] = []
        for label, direction in zip(labels, directions, strict=True):
            known = Known((label,), network.imprinted, {lens.embedder.extractor: direction})
            try:
                added.append(_add(store, classifier, label, known).label)
            except ClassExists:
                there.append(label)
        return added, there

    added, there = await classifier.async_change(add, "import_model")
    return {"added": added, "there_already": there}


def _labels_refused(path: Path, err: EmbeddingError) -> HomeAssistantError:
    return translated(
        ServiceValidationError,
        "import_without_labels",
        err,
        file=path.name,
        labels=f"{path.stem}_labels.txt",
        reason=str(err),
    )


def _model_refused(path: Path, err: EmbeddingError) -> HomeAssistantError:
    return translated(ServiceValidationError, "import_unusable", err, file=path.name, reason=str(err))


def _read(path: Path, extractor: bytes) -> NetworkClasses | None:
    """Return a file's classes; None where it was made of another extractor. Blocking; raises OSError, FileTooLarge, EmbeddingError."""
    data = read_model(path)
    if not same_extractor(data, extractor):
        return None
    return network_classes(data, read_label_lists(path))
