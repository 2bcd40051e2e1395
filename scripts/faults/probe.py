"""A component planted into a Home Assistant that tells what runs in it."""

from collections.abc import Mapping
from dataclasses import dataclass
import json
from pathlib import Path
from typing import Any

DOMAIN = "house_probe"
YAML = f"{DOMAIN}:\n"

_MANIFEST = {"domain": DOMAIN, "name": "House probe", "version": "1.0.0", "requirements": [], "dependencies": []}
_SOURCE = '''\
"""Counts this process's tasks, threads, descriptors and classifiers."""
import asyncio
from collections import Counter
import gc
import os
import re
import threading
from homeassistant.core import SupportsResponse

def code_of(task):
    coroutine = task.get_coro()
    while (inner := getattr(coroutine, "cr_await", None)) is not None and hasattr(inner, "cr_code"):
        yield coroutine
        coroutine = inner
    yield coroutine

def is_ours(task):
    return any("coral_imprint/" in getattr(getattr(one, "cr_code", None), "co_filename", "") for one in code_of(task)) or (
        "coral_imprint" in task.get_name())

async def async_setup(hass, config):
    async def count(call):
        for _ in range(2):
            gc.collect()
        tasks = [task for task in asyncio.all_tasks() if is_ours(task)]
        threads = Counter(re.sub(r"[-_ ]?[0-9]+$", "", thread.name) for thread in threading.enumerate())
        # The shared executor starts its threads when they are needed, up to 64, and keeps them.
        threads = {name: number for name, number in threads.items() if not name.startswith("SyncWorker")}
        kinds = Counter(type(one).__name__ for one in gc.get_objects() if "coral_imprint" in str(type(one).__module__))
        return {
            "tasks": dict(Counter(task.get_name() for task in tasks)),
            "threads": threads,
            "objects": {name: kinds[name] for name in ("ClassifierCoordinator", "Engine", "Embedder", "Frames")},
            "descriptors": len(await hass.async_add_executor_job(os.listdir, "/proc/self/fd")),
        }
    hass.services.async_register("house_probe", "count", count, supports_response=SupportsResponse.ONLY)
    return True
'''


@dataclass(frozen=True)
class Count:
    """What runs, as the probe saw it."""

    tasks: Mapping[str, int]
    """The integration's, by name."""
    threads: Mapping[str, int]
    """All, by name without its number, but those of the shared executor."""
    objects: Mapping[str, int]
    """The integration's, by type."""
    descriptors: int

    def more_than(self, before: Count) -> dict[str, str]:
        """Return what there is more of than before, with both numbers."""
        pairs = [("task", self.tasks, before.tasks), ("thread", self.threads, before.threads)]
        pairs.append(("object", self.objects, before.objects))
        return {
            f"{kind} {name}": f"{earlier.get(name, 0)} -> {number}"
            for kind, later, earlier in pairs
            for name, number in later.items()
            if number > earlier.get(name, 0)
        }


def plant(config: Path) -> None:
    """Put the probe into a configuration folder."""
    folder = config / "custom_components" / DOMAIN
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(_SOURCE)
    (folder / "services.yaml").write_text("count:\n")
    (folder / "manifest.json").write_text(json.dumps(_MANIFEST))


def as_count(response: Mapping[str, Any]) -> Count:
    """Return what the probe's action answered."""
    return Count(response["tasks"], response["threads"], response["objects"], response["descriptors"])
