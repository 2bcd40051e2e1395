"""Pictures to file that don't come from the classifier's camera."""

from pathlib import Path
from typing import Final

from homeassistant.core import HomeAssistant
from homeassistant.exceptions import ServiceValidationError

from ..errors import translated

MAX_PICTURE_BYTES: Final = 32 * 1024 * 1024


def _read_picture(path: Path) -> bytes:
    if path.stat().st_size > MAX_PICTURE_BYTES:
        raise translated(ServiceValidationError, "file_too_large", file=path.name)
    return path.read_bytes()


async def async_read_file(hass: HomeAssistant, file: str) -> bytes:
    """Read a picture that Home Assistant is allowed to read. Raises ServiceValidationError."""
    path = Path(file)
    # The check resolves links, which touches the disk.
    if not await hass.async_add_executor_job(hass.config.is_allowed_path, file):
        raise translated(ServiceValidationError, "file_not_allowed", file=path.name)
    try:
        return await hass.async_add_executor_job(_read_picture, path)
    except OSError as err:
        raise translated(
            ServiceValidationError, "file_not_read", err, file=path.name, reason=err.strerror or str(err)
        ) from err
