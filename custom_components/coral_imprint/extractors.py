"""The extractors that an engine may use: what they are called, which are at hand, where their files are."""

from dataclasses import dataclass
from pathlib import Path

from homeassistant.core import HomeAssistant

from .downloads import Listener, async_fetch
from .embedding import BUILTIN, CATALOGUE, find_file
from .models import cache_folder, models_folder

FILE_SUFFIX = ".tflite"


@dataclass(frozen=True, slots=True)
class Choice:
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
    return "Built-in" if extractor == BUILTIN else extractor.removesuffix(FILE_SUFFIX)


def _folders(hass: HomeAssistant) -> tuple[Path, Path]:
    # What a user dropped in by hand counts as much as what was downloaded.
    return cache_folder(hass), models_folder(hass)


def _path(hass: HomeAssistant, extractor: str) -> Path | None:
    if extractor in CATALOGUE:
        return find_file(CATALOGUE[extractor].file, _folders(hass))
    return models_folder(hass) / extractor


def _choices(hass: HomeAssistant) -> list[Choice]:
    choices = [Choice(BUILTIN, title(BUILTIN), at_hand=True)]
    published = set()
    for key, entry in CATALOGUE.items():
        path = _path(hass, key)
        size = f" · {entry.file.size / 1e6:.1f} MB" if entry.file.size else ""
        choices.append(Choice(key, entry.title + size, at_hand=path is not None))
        published.add(path)
    files = sorted(path for path in models_folder(hass).glob(f"*{FILE_SUFFIX}") if path.is_file())
    # A published file that was dropped in is offered once, as what it is.
    return choices + [Choice(path.name, path.name, at_hand=True) for path in files if path not in published]


async def async_choices(hass: HomeAssistant) -> list[Choice]:
    """Return every extractor that can be chosen: the built-in one, the catalogue's, the files in the models folder."""
    return await hass.async_add_executor_job(_choices, hass)


async def async_source(hass: HomeAssistant, extractor: str) -> str | Path | None:
    """Return what the embedder opens: BUILTIN or a path; None for a published file that isn't on this machine yet."""
    return BUILTIN if extractor == BUILTIN else await hass.async_add_executor_job(_path, hass, extractor)


async def async_provide(hass: HomeAssistant, extractor: str, on_progress: Listener | None = None) -> str | Path:
    """Return what the embedder opens, fetched first where it isn't on this machine yet. Raises DownloadError."""
    if (source := await async_source(hass, extractor)) is not None:
        return source
    return await async_fetch(hass, CATALOGUE[extractor].file, on_progress)
