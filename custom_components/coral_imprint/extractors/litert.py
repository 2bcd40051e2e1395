"""LiteRT, which is never required: installed by Home Assistant's own requirements manager where the user asks for it."""

from homeassistant.core import HomeAssistant
from homeassistant.requirements import RequirementsNotFound, async_clear_install_history, async_process_requirements

from ..const import DOMAIN
from ..core.embedding import LITERT_REQUIREMENT, RuntimeUnavailable, litert_available, litert_installable


def litert_state() -> str:
    """Return how things stand with LiteRT here: ``installed``, ``installable`` or ``no_wheel``."""
    if litert_available():
        return "installed"
    return "installable" if litert_installable() else "no_wheel"


async def async_install_litert(hass: HomeAssistant) -> None:
    """Install LiteRT within Home Assistant's constraints, unless it is there. Raises RuntimeUnavailable."""
    state = await hass.async_add_executor_job(litert_state)
    if state == "installed":
        return
    if state == "no_wheel":
        raise RuntimeUnavailable("no LiteRT is published for this machine's system and Python")
    # What failed once, for want of a network perhaps, would not be tried again before a restart.
    async_clear_install_history(hass)
    try:
        await async_process_requirements(hass, DOMAIN, [LITERT_REQUIREMENT], is_built_in=False)
    except RequirementsNotFound as err:
        raise RuntimeUnavailable(f"{LITERT_REQUIREMENT} could not be installed; Home Assistant's log says why") from err
