"""What can be known of classes without examples: by the network's own names for them, and from an exported file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError

from ...core.embedding import (
    EmbeddingError,
    ModelError,
    NetworkClasses,
    UnknownNetworkClass,
    WrongLabels,
    network_classes,
    same_extractor,
)
from ...core.imprinting import Known, check_labels
from ...errors import as_home_assistant_error, core_errors_translated, translated
from ...extractors.extractor_files import async_extractor_file
from ...extractors.labels import async_network_classes
from ...extractors.lens import Lens
from ...extractors.model_files import FileTooLarge, labels_name, read_label_lists, read_model

MOST_IMPORTED: Final = 100
"""Classes that a file may have to be imported: more were not exported from a classifier."""


async def async_network_class(hass: HomeAssistant, lens: Lens, names: Sequence[str]) -> Known:
    """Return what an extractor knows by these names of its own, several taken together. Raises HomeAssistantError."""
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
    return Known(found, network.imprinted, {lens.embedder.extractor: direction})


async def async_exported_classes(hass: HomeAssistant, lens: Lens, path: Path) -> dict[str, Known]:
    """Return the classes of an exported file by label, where it was made of this extractor. Raises HomeAssistantError."""
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
    return {
        label: Known((label,), network.imprinted, {lens.embedder.extractor: direction})
        for label, direction in zip(labels, directions, strict=True)
    }


def _labels_refused(path: Path, err: EmbeddingError) -> HomeAssistantError:
    return translated(
        ServiceValidationError,
        "import_without_labels",
        err,
        file=path.name,
        labels=labels_name(path),
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
