"""Which classes an extractor knows already, and where the list of their names comes from."""

from pathlib import Path

from homeassistant.core import HomeAssistant
from homeassistant.exceptions import ServiceValidationError

from ..core.embedding import DownloadError, ModelError, NetworkClasses, WrongLabels, find_file, network_classes
from ..errors import as_home_assistant_error, translated
from ..settings import extractor_folders, models_folder
from .choices import title
from .downloads import async_fetch
from .extractor_files import async_extractor_file
from .lens import Lens
from .model_files import labels_name, read_label_lists, read_text


async def async_network_classes(hass: HomeAssistant, lens: Lens, *, fetch: bool) -> NetworkClasses:
    """Return the classes that the extractor of a lens knows.

    With ``fetch``, the list of labels of a published extractor is downloaded where it isn't on this machine yet, and so is its file
    where a server has it. Raises HomeAssistantError: where the extractor has no classes of its own, and where no list of labels fits.
    """
    file = await async_extractor_file(hass, lens, fetch=fetch)
    path, published = file.path, file.published.labels if file.published else None
    try:
        if published and fetch:
            beside: Path | None = await async_fetch(hass, published)
        elif published:
            folders = extractor_folders(hass)
            beside = await hass.async_add_executor_job(find_file, published, folders)
        else:
            beside = None
        return await hass.async_add_executor_job(_classes, file.data, path, beside)
    except WrongLabels as err:
        raise translated(
            ServiceValidationError,
            "no_labels",
            err,
            extractor=title(lens.extractor),
            file=labels_name(path),
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
