"""Planted into a Home Assistant by bench/chaos_home.py: gives its Edge TPU's process the stand-in, and tells what is held.

Its options: ``root``, this project's folder; ``python``, the interpreter of the device's process; ``environment`` of it;
``library``, the stand-in; ``patience``, see `Patience`; ``temporary``, where folders of sockets are made.
"""

import asyncio
from dataclasses import replace
from importlib import import_module
from pathlib import Path
import sys
from types import SimpleNamespace
from typing import Any, Final

from homeassistant.core import HomeAssistant, ServiceCall, ServiceResponse, SupportsResponse

DOMAIN: Final = "chaos_probe"
INTEGRATION: Final = "coral_imprint"


async def async_setup(hass: HomeAssistant, config: dict[str, Any]) -> bool:
    """Put the stand-in in the library's place, and offer the action that tells."""
    options = config[DOMAIN]
    sys.path.append(options["root"])
    faults = await hass.async_add_import_executor_job(import_module, "bench.faults")
    await hass.async_add_import_executor_job(_give, options)
    temporary = Path(options["temporary"])

    async def seen(call: ServiceCall) -> ServiceResponse:
        (entry,) = hass.config_entries.async_loaded_entries(INTEGRATION)
        answer: dict[str, Any] = entry.runtime_data.embedder.diagnostics()
        if call.data.get("held"):
            tasks = len(asyncio.all_tasks())
            answer["held"] = await hass.async_add_executor_job(faults.held, tasks, temporary)
        return answer

    hass.services.async_register(DOMAIN, "seen", seen, supports_response=SupportsResponse.ONLY)
    return True


def _give(options: dict[str, Any]) -> None:
    """Let engines find the stand-in and run it as they are told."""
    package = f"custom_components.{INTEGRATION}"
    edge_tpu: Any = import_module(f"{package}.extractors.edge_tpu")
    devices: Any = import_module(f"{package}.core.embedding.devices")
    patience = import_module(f"{package}.core.embedding.edgetpu.supervisor").Patience(**options["patience"])
    real = edge_tpu.options

    def changed(*arguments: Any) -> Any:
        return replace(
            real(*arguments), python=options["python"], environment=dict(options["environment"]), patience=patience
        )

    found = devices.Survey(Path(options["library"]), (devices.EdgeTPU("usb", "usb:0", "/dev/bus/usb/001/002"),))
    edge_tpu.options = changed
    edge_tpu.devices = SimpleNamespace(survey=lambda: found)
