"""The file behind an extractor, wherever that is executed: what is exported, and what knows the network's own classes.

Of an engine on an Edge TPU it is the CPU's twin. Of one on servers it is a file on this machine that was seen to be the same model: the
published one, or a copy of the user's own.
"""

from dataclasses import dataclass
import logging
from pathlib import Path

from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.util import raise_if_invalid_filename

from ..const import COMPILED, RUNTIME_EDGETPU, RUNTIME_REMOTE
from ..core.embedding import BUILTIN, CATALOGUE, DownloadError, EmbeddingError, Extractor, PictureEmbedder, find_file
from ..errors import as_home_assistant_error, translated
from ..settings import EngineSettings, cache_folder, extractor_folders, models_folder
from .choices import TwinFiles, async_provide, async_source, async_source_of, title
from .downloads import async_fetch
from .lens import Lens
from .model_files import MODEL_SUFFIX, FileTooLarge, read_model

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ExtractorFile:
    """An extractor's file for the CPU."""

    path: Path
    data: bytes
    published: Extractor | None
    """What it is in the catalogue; None for a user's own."""


async def async_extractor_file(hass: HomeAssistant, lens: Lens, *, fetch: bool = True) -> ExtractorFile:
    """Return the file of a lens's extractor.

    With ``fetch``, a published one that is not on this machine is downloaded. Raises HomeAssistantError: where the extractor is no file,
    where that is gone or has changed, and where a server has it and it is not here.
    """
    embedder = lens.embedder
    if embedder.extractor == BUILTIN:
        raise translated(ServiceValidationError, "extractor_is_no_file")
    if embedder.runtime == RUNTIME_REMOTE:
        return await _async_of_server(hass, lens, fetch)
    if embedder.connected is not None:
        return await _async_twin(hass, lens, fetch)
    path = await async_source(hass, lens.extractor)
    return await _async_read(hass, lens, Path(path or ""))


async def _async_read(hass: HomeAssistant, lens: Lens, opened: Path, twin: Path | None = None) -> ExtractorFile:
    """Read the file that was opened, or its twin, and make sure that the opened one is still the same."""
    try:
        data = await hass.async_add_executor_job(read_model, opened)
        if not lens.embedder.is_model(data, proofs=cache_folder(hass)):
            raise _gone(lens)
        if twin is not None:
            data = await hass.async_add_executor_job(read_model, twin)
    except (OSError, FileTooLarge) as err:
        raise _gone(lens, err) from err
    return ExtractorFile(twin or opened, data, CATALOGUE.get(lens.extractor))


def _gone(lens: Lens, err: OSError | FileTooLarge | None = None) -> HomeAssistantError:
    return translated(HomeAssistantError, "extractor_gone", err, extractor=title(lens.extractor))


async def _async_twin(hass: HomeAssistant, lens: Lens, fetch: bool) -> ExtractorFile:
    """Return the CPU's file of an extractor that an Edge TPU executes."""
    likeness = lens.embedder.likeness
    if likeness is not None and not likeness.may_share:
        raise translated(ServiceValidationError, "twin_differs", extractor=title(lens.extractor))
    settings = EngineSettings(extractor=lens.extractor, runtime=RUNTIME_EDGETPU)
    try:
        files = await (async_provide(hass, settings) if fetch else async_source_of(hass, settings))
    except EmbeddingError as err:
        raise as_home_assistant_error(err) from err
    if not isinstance(files, TwinFiles):
        raise _gone(lens)
    return await _async_read(hass, lens, files.compiled, files.twin)


async def _async_of_server(hass: HomeAssistant, lens: Lens, fetch: bool) -> ExtractorFile:
    """Return a file that is seen to be the servers' model: a published one, or a copy of the user's under the model's name."""
    embedder = lens.embedder
    name = lens.extractor.removesuffix(MODEL_SUFFIX).removesuffix(COMPILED)
    likely = await hass.async_add_executor_job(embedder.likely, CATALOGUE.values())
    if name in CATALOGUE and CATALOGUE[name] not in likely:
        likely.append(CATALOGUE[name])
    own = models_folder(hass) / f"{name}{MODEL_SUFFIX}"
    proofs = cache_folder(hass)
    try:
        for published in likely:
            path = await _async_published(hass, published, fetch)
            if path and (data := await hass.async_add_executor_job(_same, path, embedder, proofs)):
                return ExtractorFile(path, data, published)
        raise_if_invalid_filename(own.name)
        if data := await hass.async_add_executor_job(_same, own, embedder, proofs):
            return ExtractorFile(own, data, None)
    except (ValueError, OSError, FileTooLarge) as err:
        extractor, folder = title(lens.extractor), str(own.parent)
        raise translated(
            ServiceValidationError, "model_on_server", err, extractor=extractor, folder=folder, file=own.name
        ) from err
    raise translated(ServiceValidationError, "model_differs", folder=str(own.parent), file=own.name)


async def _async_published(hass: HomeAssistant, published: Extractor, fetch: bool) -> Path | None:
    """Return where a published file is on this machine; None where it isn't and is not to be fetched."""
    if fetch:
        try:
            return await async_fetch(hass, published.file)
        except DownloadError as err:
            raise as_home_assistant_error(err) from err
    folders = extractor_folders(hass)
    return await hass.async_add_executor_job(find_file, published.file, folders)


def _same(path: Path, embedder: PictureEmbedder, proofs: Path) -> bytes | None:
    """Return a file's content where it is the servers' model. Blocking. Raises OSError, FileTooLarge."""
    data = read_model(path)
    try:
        return data if embedder.is_model(data, proofs=proofs) else None
    except EmbeddingError as err:
        _LOGGER.debug("%s is not the server's model: %s", path.name, err)
        return None
