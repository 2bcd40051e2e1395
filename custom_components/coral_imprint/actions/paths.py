"""Files that a user names: where they are, and whether Home Assistant may use them."""

from collections.abc import Sequence
from pathlib import Path

from homeassistant.core import HomeAssistant
from homeassistant.exceptions import ServiceValidationError
from homeassistant.util import raise_if_invalid_filename

from ..const import EXPORTS_FOLDER
from ..errors import translated
from ..settings import data_folder


def exports_folder(hass: HomeAssistant) -> Path:
    """Return the folder where exports go unless the user names another."""
    return data_folder(hass) / EXPORTS_FOLDER


async def async_target(hass: HomeAssistant, file: str, suffix: str) -> Path:
    """Return the path, without the suffix, of what is to be written. Raises ServiceValidationError.

    ``file`` is a name for the folder of exports, or a path that Home Assistant is allowed to use.
    """
    path = Path(file.removesuffix(suffix))
    _check_name(path, file)
    if path == Path(path.name):
        return exports_folder(hass) / path.name
    allowed = path.is_absolute() and await hass.async_add_executor_job(hass.config.is_allowed_path, str(path))
    if not allowed:
        raise translated(ServiceValidationError, "file_not_writable", file=path.name)
    return path


async def async_file_to_read(hass: HomeAssistant, file: str, own: Sequence[Path]) -> Path:
    """Return the path of what is to be read. Raises ServiceValidationError.

    ``file`` is the name of one in the folders ``own``, or a path that Home Assistant is allowed to read.
    """
    path = Path(file)
    _check_name(path, file)
    if path == Path(path.name):
        there = [folder / path.name for folder in own]
        return await hass.async_add_executor_job(lambda: next((one for one in there if one.is_file()), there[0]))
    if path.parent not in own and not await hass.async_add_executor_job(hass.config.is_allowed_path, file):
        raise translated(ServiceValidationError, "file_not_allowed", file=path.name)
    return path


def _check_name(path: Path, file: str) -> None:
    try:
        raise_if_invalid_filename(path.name)
    except ValueError as err:
        raise translated(ServiceValidationError, "file_name_invalid", err, file=file) from err
