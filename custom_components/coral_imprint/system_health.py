"""What the integration has on this machine, as Home Assistant's system information shows it."""

from collections import Counter
from collections.abc import Iterable
import os
from pathlib import Path
from typing import Any

from homeassistant.components.system_health import SystemHealthRegistration
from homeassistant.core import HomeAssistant, callback

from .const import DOMAIN
from .core.embedding import CATALOGUE, devices, find_file
from .engines.engine import Engine
from .extractors.litert import litert_state
from .settings import cache_folder, data_folder, extractor_folders


@callback
def async_register(hass: HomeAssistant, register: SystemHealthRegistration) -> None:
    """Say who tells."""
    register.async_register_info(async_system_health_info, f"/config/integrations/integration/{DOMAIN}")


async def async_system_health_info(hass: HomeAssistant) -> dict[str, Any]:
    """Return counts. What takes the disk's time comes later: coroutines, which are not waited for here."""
    engines: list[Engine] = [entry.runtime_data for entry in hass.config_entries.async_loaded_entries(DOMAIN)]
    classifiers = [one for engine in engines for one in engine.classifiers.values()]

    async def size(folder: Path) -> str:
        return f"{await hass.async_add_executor_job(_bytes, folder) / 1e6:.1f} MB"

    async def models() -> int:
        return await hass.async_add_executor_job(_models, hass)

    async def litert() -> str:
        return await hass.async_add_executor_job(litert_state)

    async def edge_tpus() -> str | int:
        return await hass.async_add_executor_job(_edge_tpus)

    return {
        "engines": _counted(engine.embedder.runtime for engine in engines),
        "classifiers": len(classifiers),
        "examples": sum(sum(one.counts.values()) for one in classifiers),
        "models": models(),
        "litert": litert(),
        "edge_tpus": edge_tpus(),
        "data_size": size(data_folder(hass)),
        "cache_size": size(cache_folder(hass)),
    }


def _counted(names: Iterable[str]) -> str | int:
    """Return how many there are of each."""
    counts = Counter(names)
    return ", ".join(f"{count} × {name}" for name, count in sorted(counts.items())) or 0


def _models(hass: HomeAssistant) -> int:
    """Return how many published extractors are on this machine. Blocking."""
    folders = extractor_folders(hass)
    return sum(find_file(published.file, folders) is not None for published in CATALOGUE.values())


def _edge_tpus() -> str | int:
    """Return the devices found, those first that can be used, and why the others can't. Blocking."""
    found = devices.survey()
    usable = [device.device for device in found.usable]
    others = [f"{one.device} ({one.problem or 'no libedgetpu'})" for one in found.devices if one not in found.usable]
    return ", ".join((*usable, *others)) or 0


def _bytes(folder: Path) -> int:
    """Return the size of a folder's files; what vanishes meanwhile counts nothing. Blocking."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(parent) / name).lstat().st_size
            except OSError:
                continue
    return total
