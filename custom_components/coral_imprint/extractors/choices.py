"""The extractors that an engine may use: what they are called, which are at hand, where their files are."""

from dataclasses import dataclass
from pathlib import Path

from homeassistant.core import HomeAssistant

from ..const import COMPILED
from ..core.embedding import BUILTIN, CATALOGUE, ModelError, find_file
from ..settings import EngineSettings, extractor_folders, models_folder
from .downloads import Listener, async_fetch
from .model_files import MODEL_SUFFIX

COMPILED_SUFFIX = COMPILED + MODEL_SUFFIX
"""Ends the names of files that were compiled for the Edge TPU; the same name without ``_edgetpu`` is the CPU's."""


@dataclass(frozen=True, slots=True)
class TwinFiles:
    """An extractor compiled for the Edge TPU, and the same for the CPU, which stands in while the device is gone."""

    compiled: Path
    twin: Path


type Source = str | Path | TwinFiles
"""What an embedder opens: BUILTIN, the name of a server's model, a file, or two."""


@dataclass(frozen=True, slots=True)
class ExtractorChoice:
    """An extractor that can be chosen."""

    key: str
    """BUILTIN, a key of the catalogue, or a file's name."""
    label: str
    at_hand: bool
    """Whether it can be used without a download."""


def title(extractor: str) -> str:
    """Return what an extractor is called. The built-in one's name is translated where it is shown."""
    if extractor in CATALOGUE:
        return CATALOGUE[extractor].title
    return "Built-in" if extractor == BUILTIN else extractor.removesuffix(MODEL_SUFFIX)


def _path(hass: HomeAssistant, extractor: str) -> Path | None:
    if extractor in CATALOGUE:
        return find_file(CATALOGUE[extractor].file, extractor_folders(hass))
    return models_folder(hass) / extractor


def _choices(hass: HomeAssistant) -> list[ExtractorChoice]:
    choices = [ExtractorChoice(BUILTIN, title(BUILTIN), at_hand=True)]
    published = set()
    for key, entry in CATALOGUE.items():
        path = _path(hass, key)
        size = f" · {entry.file.size / 1e6:.1f} MB" if entry.file.size else ""
        choices.append(ExtractorChoice(key, entry.title + size, at_hand=path is not None))
        published.add(path)
    files = sorted(path for path in models_folder(hass).glob(f"*{MODEL_SUFFIX}") if path.is_file())
    # A published file that was dropped in is offered once, as what it is.
    return choices + [ExtractorChoice(path.name, path.name, at_hand=True) for path in files if path not in published]


async def async_choices(hass: HomeAssistant) -> list[ExtractorChoice]:
    """Return every extractor that can be chosen: the built-in one, the catalogue's, the files in the models folder."""
    return await hass.async_add_executor_job(_choices, hass)


async def async_source(hass: HomeAssistant, extractor: str) -> str | Path | None:
    """Return what the embedder opens: BUILTIN or a path; None for a published file that isn't on this machine yet."""
    return BUILTIN if extractor == BUILTIN else await hass.async_add_executor_job(_path, hass, extractor)


def _twins(hass: HomeAssistant, extractor: str) -> TwinFiles | None:
    """Return an extractor's two files, None unless both are there. Blocking."""
    compiled: Path | None
    if extractor in CATALOGUE:
        published = CATALOGUE[extractor].edgetpu
        compiled = find_file(published, extractor_folders(hass)) if published else None
    else:
        compiled = models_folder(hass) / (extractor.removesuffix(MODEL_SUFFIX) + COMPILED_SUFFIX)
    twin = _path(hass, extractor)
    return TwinFiles(compiled, twin) if compiled and twin else None


def _compiled_choices(hass: HomeAssistant) -> list[ExtractorChoice]:
    choices = [choice for choice in _choices(hass) if choice.key in CATALOGUE and CATALOGUE[choice.key].edgetpu]
    files = sorted(models_folder(hass).glob(f"*{COMPILED_SUFFIX}"))
    twins = [path.with_name(path.name.removesuffix(COMPILED_SUFFIX) + MODEL_SUFFIX) for path in files]
    return choices + [ExtractorChoice(twin.name, twin.name, at_hand=True) for twin in twins if twin.is_file()]


async def async_compiled_choices(hass: HomeAssistant) -> list[ExtractorChoice]:
    """Return every extractor that an Edge TPU can execute: the catalogue's, and pairs of files in the models folder."""
    return await hass.async_add_executor_job(_compiled_choices, hass)


async def async_source_of(hass: HomeAssistant, settings: EngineSettings) -> Source | None:
    """Return what an engine's embedder opens; None for what isn't on this machine yet. Servers have theirs."""
    if settings.is_remote:
        return settings.extractor
    if settings.is_edgetpu:
        return await hass.async_add_executor_job(_twins, hass, settings.extractor)
    return await async_source(hass, settings.extractor)


async def async_provide(hass: HomeAssistant, settings: EngineSettings, on_progress: Listener | None = None) -> Source:
    """Return what an engine's embedder opens, fetched first where it isn't on this machine yet. Raises DownloadError."""
    if (source := await async_source_of(hass, settings)) is not None:
        return source
    published = CATALOGUE[settings.extractor]
    if not settings.is_edgetpu:
        return await async_fetch(hass, published.file, on_progress)
    if published.edgetpu is None:
        raise ModelError(f"{published.title} is not published for the Edge TPU")
    # What is there already is not fetched again.
    compiled = await async_fetch(hass, published.edgetpu, on_progress)
    return TwinFiles(compiled, await async_fetch(hass, published.file, on_progress))
