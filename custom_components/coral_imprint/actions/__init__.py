"""The actions. Each takes a classifier's device; each error is one that the user can read."""

from typing import Final

from homeassistant.core import HomeAssistant, callback

from .action import async_register
from .looking import LOOKING
from .teaching import TEACHING
from .transfer import TRANSFER

ACTIONS: Final = (*TEACHING, *LOOKING, *TRANSFER)


@callback
def async_register_actions(hass: HomeAssistant) -> None:
    """Register every action."""
    for action in ACTIONS:
        async_register(hass, action)
