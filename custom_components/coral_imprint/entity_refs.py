"""Entities that a user chose: how they are stored, so that renaming them loses nothing, and found again."""

from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import entity_registry as er
import voluptuous as vol

from .errors import translated


def resolve_entity(hass: HomeAssistant, stored: str) -> str | None:
    """Return the entity id of what was stored by registry id or entity id; None where it is no longer there."""
    try:
        return er.async_validate_entity_id(er.async_get(hass), stored)
    except vol.Invalid:
        return None


def entity_ref(hass: HomeAssistant, entity_id: str) -> str:
    """Return what to store of an entity: its registry id, which survives its renaming, or its entity id where it has none."""
    registered = er.async_get(hass).async_get(entity_id)
    return registered.id if registered else entity_id


def resolve_camera(hass: HomeAssistant, camera: str) -> str:
    """Return the entity id of a camera stored by registry id or entity id. Raises HomeAssistantError."""
    try:
        return er.async_validate_entity_id(er.async_get(hass), camera)
    except vol.Invalid as err:
        raise translated(HomeAssistantError, "camera_missing", err) from err
