"""Coral Imprint: teaches a camera new things in seconds."""

from homeassistant.const import EVENT_HOMEASSISTANT_STOP, Platform
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import ConfigEntryError
from homeassistant.helpers import config_validation as cv, device_registry as dr
from homeassistant.helpers.typing import ConfigType

from .actions import async_register_actions
from .classifiers.looking.lighting import lights
from .const import DOMAIN, MANUFACTURER, MODEL_ENGINE, SUBENTRY_CLASSIFIER
from .core.embedding import EmbeddingError
from .engines.engine import Engine, EngineConfigEntry, async_bin_classifier, async_purge_bin
from .errors import translated
from .extractors.previous import async_forget
from .issues import EXTRACTOR, REFUSED, RUNTIME, async_settle
from .settings import ClassifierSettings, EngineSettings

CONFIG_SCHEMA = cv.config_entry_only_config_schema(DOMAIN)
PLATFORMS = [
    Platform.BINARY_SENSOR,
    Platform.BUTTON,
    Platform.EVENT,
    Platform.IMAGE,
    Platform.NUMBER,
    Platform.SELECT,
    Platform.SENSOR,
    Platform.SWITCH,
]


async def async_setup(hass: HomeAssistant, config: ConfigType) -> bool:
    """Register the actions; empty the bin of what has been in it for a week."""
    async_register_actions(hass)
    await async_purge_bin(hass)
    await lights(hass).async_mend()
    return True


async def async_setup_entry(hass: HomeAssistant, entry: EngineConfigEntry) -> bool:
    """Open the engine and start its classifiers."""
    engine = Engine(hass, entry)
    try:
        await engine.async_open()
    except EmbeddingError as err:
        raise translated(ConfigEntryError, err.key, err, **err.details) from err
    entry.runtime_data = engine
    _register_engine_device(hass, entry)
    await engine.async_follow_subentries()
    await hass.config_entries.async_forward_entry_setups(entry, PLATFORMS)
    # Registered last, so that it is called first: from then on nothing is embedded, and the looks under way are
    # cancelled after it.
    entry.async_on_unload(engine.async_close)
    entry.async_on_unload(hass.bus.async_listen_once(EVENT_HOMEASSISTANT_STOP, engine.async_close))
    entry.async_on_unload(entry.add_update_listener(_async_entry_updated))
    return True


def _register_engine_device(hass: HomeAssistant, entry: EngineConfigEntry) -> None:
    """Make the engine's device before those of its classifiers, which hang on it."""
    dr.async_get(hass).async_get_or_create(
        config_entry_id=entry.entry_id,
        identifiers={(DOMAIN, entry.entry_id)},
        name=entry.title,
        manufacturer=MANUFACTURER,
        model=MODEL_ENGINE[entry.runtime_data.embedder.runtime],
        entry_type=dr.DeviceEntryType.SERVICE,
    )


async def _async_entry_updated(hass: HomeAssistant, entry: EngineConfigEntry) -> None:
    """Follow the entry: its extractor and runtime, and the classifiers that came, went or changed. Nothing is reloaded."""
    engine = entry.runtime_data
    await engine.async_follow_subentries()
    if (settings := EngineSettings.from_data(entry.data)) != engine.settings:
        engine.async_change(settings)


async def async_unload_entry(hass: HomeAssistant, entry: EngineConfigEntry) -> bool:
    """Stop the classifiers, then the engine."""
    if not await hass.config_entries.async_unload_platforms(entry, PLATFORMS):
        return False
    for coordinator in entry.runtime_data.classifiers.values():
        await coordinator.async_shutdown()
    return True


async def async_remove_entry(hass: HomeAssistant, entry: EngineConfigEntry) -> None:
    """Move the classifiers' examples to the bin, and take back what was told of the engine."""
    async_settle(hass, entry, EXTRACTOR, REFUSED, RUNTIME)
    await async_forget(hass, entry.entry_id)
    for subentry in entry.get_subentries_of_type(SUBENTRY_CLASSIFIER):
        await async_bin_classifier(hass, ClassifierSettings.from_subentry(subentry))
