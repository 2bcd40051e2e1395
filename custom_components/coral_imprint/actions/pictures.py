"""Pictures to file, and files to import, that don't come from the classifier's camera."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from homeassistant.components import image, media_source
from homeassistant.const import STATE_UNAVAILABLE
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError

from ..classifiers.looking.frames import async_grab
from ..const import ATTR_FILE, ATTR_IMAGE, ATTR_MEDIA, ATTR_MEDIA_CONTENT_ID
from ..core.imprinting import LARGEST_PICTURE_FILE
from ..errors import translated

_CAMERAS: Final = "media-source://camera/"
_IMAGES: Final = "media-source://image/"
"""Home Assistant lists cameras and image entities among the media, but resolves them to streams: they are asked themselves."""


SOURCES: Final = {ATTR_FILE, ATTR_IMAGE, ATTR_MEDIA}
"""Fields that name a picture from elsewhere."""


async def async_picture(hass: HomeAssistant, data: Mapping[str, Any]) -> bytes:
    """Return the picture that one of `SOURCES` in an action's data names, whatever its bytes are.

    Raises HomeAssistantError.
    """
    if file := data.get(ATTR_FILE):
        path = Path(file)
        # The check resolves links, which touches the disk.
        if not await hass.async_add_executor_job(hass.config.is_allowed_path, file):
            raise translated(ServiceValidationError, "file_not_allowed", file=path.name)
        return await _async_read(hass, path)
    if entity_id := data.get(ATTR_IMAGE):
        return await _async_image(hass, entity_id)
    content_id: str = data[ATTR_MEDIA][ATTR_MEDIA_CONTENT_ID]
    if content_id.startswith(_IMAGES):
        return await _async_image(hass, content_id.removeprefix(_IMAGES))
    if content_id.startswith(_CAMERAS):
        return await async_grab(hass, content_id.removeprefix(_CAMERAS))
    return await _async_read(hass, await async_media_path(hass, content_id))


async def async_media_path(hass: HomeAssistant, content_id: str) -> Path:
    """Return the file of a media-source item, which needs no other leave to be read. Raises HomeAssistantError."""
    try:
        media = await media_source.async_resolve_media(hass, content_id, None)
    except (HomeAssistantError, AssertionError) as err:
        # The local source asserts that it knows what kind of file it is.
        reason = str(err) or "the kind of file is not known"
        raise translated(ServiceValidationError, "media_not_found", err, media=content_id, reason=reason) from err
    if media.path is None:
        raise translated(ServiceValidationError, "media_not_local", media=content_id)
    return media.path


async def _async_image(hass: HomeAssistant, entity_id: str) -> bytes:
    """Return what an image entity shows. Raises HomeAssistantError."""
    state = hass.states.get(entity_id)
    if state is None or state.state == STATE_UNAVAILABLE:
        raise translated(HomeAssistantError, "image_unavailable", entity_id=entity_id)
    try:
        return (await image.async_get_image(hass, entity_id)).content
    except HomeAssistantError as err:
        raise translated(HomeAssistantError, "image_no_picture", err, entity_id=entity_id, reason=str(err)) from err


async def _async_read(hass: HomeAssistant, path: Path) -> bytes:
    """Read a picture's file. Raises ServiceValidationError."""
    try:
        return await hass.async_add_executor_job(_read, path)
    except OSError as err:
        raise translated(
            ServiceValidationError, "file_not_read", err, file=path.name, reason=err.strerror or str(err)
        ) from err


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(LARGEST_PICTURE_FILE + 1)
    if len(content) > LARGEST_PICTURE_FILE:
        raise translated(ServiceValidationError, "file_too_large", file=path.name)
    return content
