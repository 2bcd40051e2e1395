"""Which classes an extractor knows already, and where the list of their names comes from."""

import hashlib
from pathlib import Path
from typing import Final

from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError

from ..embedding import (
    BUILTIN,
    CATALOGUE,
    DownloadError,
    ModelError,
    NetworkClasses,
    WrongLabels,
    find_file,
    network_classes,
)
from ..errors import as_home_assistant_error, translated
from ..models import cache_folder, models_folder
from .downloads import async_fetch
from .extractors import async_source, title
from .lens import Lens
from .model_files import FileTooLarge, read_label_lists, read_model, read_text

_IDENTITY_LENGTH: Final = 16


def identity(data: bytes) -> str:
    """Return how embedders call the extractor in a file: the beginning of its SHA-256."""
    return hashlib.sha256(data).hexdigest()[:_IDENTITY_LENGTH]


async def async_extractor_file(hass: HomeAssistant, lens: Lens) -> tuple[Path, bytes]:
    """Return where a lens's extractor lies, and its content. Raises HomeAssistantError where that is no file, or changed."""
    if lens.embedder.extractor == BUILTIN:
        raise translated(ServiceValidationError, "extractor_is_no_file")
    path = await async_source(hass, lens.extractor)
    try:
        data = await hass.async_add_executor_job(read_model, Path(path or ""))
    except (OSError, FileTooLarge) as err:
        raise _gone(lens, err) from err
    if identity(data) != lens.embedder.extractor:
        raise _gone(lens)
    return Path(path or ""), data


def _gone(lens: Lens, err: OSError | FileTooLarge | None = None) -> HomeAssistantError:
    return translated(HomeAssistantError, "extractor_gone", err, extractor=title(lens.extractor))


async def async_network_classes(hass: HomeAssistant, lens: Lens, *, fetch: bool) -> NetworkClasses:
    """Return the classes that the extractor of a lens knows.

    With ``fetch``, the list of labels of a published extractor is downloaded where it isn't on this machine yet. Raises
    HomeAssistantError: where the extractor has no classes of its own, and where no list of labels fits.
    """
    path, data = await async_extractor_file(hass, lens)
    published = CATALOGUE[lens.extractor].labels if lens.extractor in CATALOGUE else None
    try:
        if published and fetch:
            beside: Path | None = await async_fetch(hass, published)
        elif published:
            folders = (cache_folder(hass), models_folder(hass))
            beside = await hass.async_add_executor_job(find_file, published, folders)
        else:
            beside = None
        return await hass.async_add_executor_job(_classes, data, path, beside)
    except WrongLabels as err:
        raise translated(
            ServiceValidationError,
            "no_labels",
            err,
            extractor=title(lens.extractor),
            file=f"{path.stem}_labels.txt",
            folder=str(models_folder(hass)),
            reason=str(err),
        ) from err
    except DownloadError as err:
        raise as_home_assistant_error(err) from err
    except ModelError as err:
        raise translated(
            ServiceValidationError, "no_known_classes", err, extractor=title(lens.extractor), reason=str(err)
        ) from err


def _classes(data: bytes, path: Path, published: Path | None) -> NetworkClasses:
    """Read what there is. Blocking; raises ModelError, WrongLabels."""
    texts = read_label_lists(path)
    if published and (text := read_text(published)) is not None:
        texts.insert(0, text)
    return network_classes(data, texts)
