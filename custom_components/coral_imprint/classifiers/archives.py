"""A classifier's examples as a zip to take along, and zips of examples filed."""

import asyncio
from collections.abc import Callable, Collection
from pathlib import Path

from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.util import dt as dt_util

from ..core.imprinting import (
    Archive,
    ExampleStore,
    Importing,
    ImportReport,
    StoreFailed,
    UnusableArchive,
    Written,
    write_archive,
)
from ..errors import core_errors_translated, translated
from .learning.learner import Learner


async def async_write_archive(learner: Learner, path: Path, labels: Collection[str]) -> Written:
    """Write examples of the classes of these labels, of all where there are none, to a zip.

    Raises HomeAssistantError.
    """

    def write(store: ExampleStore) -> Written:
        chosen = list({(one := store.class_named(label)).id: one for label in labels}.values())
        classes = chosen or list(store.classes.values())
        return write_archive(path, classes, store.examples(), title=learner.settings.name, now=dt_util.utcnow())

    with core_errors_translated():
        async with learner.async_filing(None) as examples:
            try:
                return await examples.async_read(write)
            except StoreFailed as err:
                raise translated(HomeAssistantError, "file_not_written", err, file=path.name, reason=str(err)) from err


async def async_open_archive(hass: HomeAssistant, path: Path, label: str | None) -> Archive:
    """Open a zip of pictures, all of which show the class ``label`` where one is named. Raises HomeAssistantError, OSError."""
    with core_errors_translated():
        return await hass.async_add_executor_job(lambda: Archive(path, label=label, now=dt_util.utcnow()))


async def async_file_archive(hass: HomeAssistant, learner: Learner, archive: Archive) -> ImportReport:
    """File the pictures of a zip, without embedding them, and close it. Raises HomeAssistantError, OSError."""
    with core_errors_translated():
        try:
            async with learner.async_filing("import_examples") as examples:
                importing = await examples.async_change(ExampleStore.begin_import)
                try:
                    await _async_parts(hass, archive, importing)
                except (StoreFailed, UnusableArchive) as err:
                    added = str(importing.report.added.total())
                    raise translated(HomeAssistantError, "import_stopped", err, added=added, reason=str(err)) from err
                finally:
                    importing.finish()
        finally:
            archive.close()
    return importing.report


async def _async_parts(hass: HomeAssistant, archive: Archive, importing: Importing) -> None:
    """Take an archive in part by part, so that it can be stopped between two. Raises StoreFailed, UnusableArchive."""
    pictures = archive.pictures()
    await _async_wholly(hass, lambda: importing.begin(archive))
    while await _async_wholly(hass, lambda: importing.take(pictures)):
        pass


async def _async_wholly[ResultT](hass: HomeAssistant, work: Callable[[], ResultT]) -> ResultT:
    """Do something in the executor; where this is cancelled, it ends first: nothing else may touch the store meanwhile."""
    job = hass.async_add_executor_job(work)
    try:
        return await asyncio.shield(job)
    except asyncio.CancelledError:
        await asyncio.wait([job])
        raise
