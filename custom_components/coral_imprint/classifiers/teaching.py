"""Every change that a person can make to what a classifier knows: one method each, whoever asks for it.

Actions, buttons and whatever else a person touches call these, and nothing below them.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Final, Protocol

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError

from ..core.imprinting import Change, ClassExists, ExampleStore, ImportReport, Known, LearnedClass
from ..errors import core_errors_translated, translated
from .archives import async_file_archive, async_open_archive
from .learning.learner import Learner
from .learning.network_classes import async_exported_classes, async_network_class

ADD_CLASS: Final = "add_class"
"""What a change is called in the versions of the head that follow it: as the action that makes it."""


class Looker(Protocol):
    """The half of a classifier that looks, as teaching needs it."""

    def async_frames(self, count: int, interval: float) -> AsyncGenerator[bytes]:
        """Yield fresh frames of the camera, ``interval`` seconds apart, in the light that the classifier wants."""

    async def async_answer_as_told(self, picture: bytes, class_id: str) -> None:
        """Take the user's word for what a picture shows: the entities follow at once. Raises EmbeddingError."""

    async def async_refresh(self) -> None:
        """Look, and let the entities follow."""

    @callback
    def async_classes_changed(self, removed: Collection[str]) -> None:
        """Take in that classes were added, renamed or removed; ``removed`` are the ids of those that are gone."""

    @callback
    def async_follow_lens(self) -> None:
        """Embed what has no embedding yet in the background, and imprint in the end."""


class Teaching:
    """What can be changed of one classifier. Every method raises HomeAssistantError, translated; what was filed stays."""

    def __init__(self, hass: HomeAssistant, entry: ConfigEntry, learner: Learner, looker: Looker) -> None:
        """Take both halves of a classifier."""
        self._hass = hass
        self._entry = entry
        self._learner = learner
        self._looker = looker

    # --- examples ------------------------------------------------------------------------------------------------

    async def async_capture(self, class_name: str, count: int = 1, interval: float = 1.0) -> list[str]:
        """File the camera's current frame under a class, ``count`` times, and imprint; return the examples' ids.

        ``class_name`` is a label or an id. Where a frame can't be had, those before it are imprinted all the same.
        """
        ids: list[str] = []
        with core_errors_translated():
            class_id = self._learner.class_named(class_name).id
            frame = b""
            try:
                async with aclosing(self._looker.async_frames(count, interval)) as frames:
                    async for frame in frames:
                        ids.append((await self._learner.async_add_example(class_id, frame)).id)
            finally:
                if ids:
                    await self._learner.async_imprint()
            await self._looker.async_answer_as_told(frame, class_id)
        return ids

    async def async_file_picture(self, class_name: str, picture: bytes) -> list[str]:
        """File a picture from elsewhere under a class, and imprint; return the example's id."""
        with core_errors_translated():
            class_id = self._learner.class_named(class_name).id
            example = await self._learner.async_add_example(class_id, picture)
            await self._learner.async_imprint()
        await self._looker.async_refresh()
        return [example.id]

    async def async_relabel_example(self, example_id: str, class_name: str) -> None:
        """File an example under another class."""
        await self._async_change(
            lambda store: store.relabel_example(example_id, store.class_named(class_name).id), "relabel_example"
        )

    async def async_remove_example(self, example_id: str) -> None:
        """Move an example to the bin."""
        await self._async_change(lambda store: store.remove_example(example_id), "remove_example")

    async def async_erase_example(self, example_id: str) -> None:
        """Remove an example for good, with all that was derived from it alone."""
        with core_errors_translated():
            await self._learner.async_erase(example_id, "erase_example")
        await self._looker.async_refresh()

    async def async_import_examples(self, path: Path, label: str | None) -> ImportReport:
        """File the pictures of a zip, all under the class ``label`` where one is named; return what became of them.

        They are embedded in the background after it, and imprinted once. Goes on where the caller is cancelled, until
        the classifier is stopped. Raises OSError too.
        """
        task = self._entry.async_create_background_task(
            self._hass, self._async_import(path, label), f"{self._learner.settings.name}: import examples"
        )
        await asyncio.wait([task])
        if task.cancelled():
            raise translated(HomeAssistantError, "import_interrupted", file=path.name)
        return task.result()

    async def _async_import(self, path: Path, label: str | None) -> ImportReport:
        archive = await async_open_archive(self._hass, path, label)
        try:
            return await async_file_archive(self._hass, self._learner, archive)
        finally:
            if not ((task := asyncio.current_task()) and task.cancelling()):
                self._looker.async_classes_changed(())
                self._looker.async_follow_lens()

    # --- classes -------------------------------------------------------------------------------------------------

    async def async_add_class(self, label: str, *, background: bool = False) -> LearnedClass:
        """Add a class without examples; ``background``: one that means there is nothing to report."""
        return await self._async_change(lambda store: store.add_class(label, background), ADD_CLASS, look=False)

    async def async_add_known_class(
        self, label: str, names: Sequence[str], *, background: bool = False
    ) -> LearnedClass:
        """Add a class that the extractor knows without an example, by one or several of the names it has for it."""
        known = await async_network_class(self._hass, self._learner.learned.lens, names)
        return await self._async_change(
            lambda _: self._learner.examples.add_known_class(label, known, background=background), ADD_CLASS
        )

    async def async_import_classes(self, path: Path) -> tuple[list[str], list[str]]:
        """Add the classes of an exported file; return the labels of those that were added, and of those that there were."""
        known = await async_exported_classes(self._hass, self._learner.learned.lens, path)
        return await self._async_change(lambda _: self._add_all(known), "import_model")

    def _add_all(self, known: dict[str, Known]) -> tuple[list[str], list[str]]:
        """Add classes that need no example. Blocking."""
        added: list[str] = []
        there: list[str] = []
        for label, one in known.items():
            try:
                added.append(self._learner.examples.add_known_class(label, one, background=False).label)
            except ClassExists:
                there.append(label)
        return added, there

    async def async_rename_class(self, class_name: str, label: str) -> None:
        """Call a class something else; its entity stays."""
        await self._async_change(
            lambda store: store.rename_class(store.class_named(class_name).id, label), "rename_class", look=False
        )

    async def async_remove_class(self, class_name: str) -> None:
        """Move a class with its examples to the bin."""
        await self._async_change(lambda store: store.remove_class(store.class_named(class_name).id), "remove_class")

    # --- back and forth ------------------------------------------------------------------------------------------

    async def async_undo(self) -> Change:
        """Take the latest change back; return it."""
        return await self._async_change(ExampleStore.undo, "undo")

    async def async_redo(self) -> Change:
        """Make the change again that was taken back last; return it."""
        return await self._async_change(ExampleStore.redo, "redo")

    async def async_imprint(self) -> dict[str, int]:
        """Take in what changed in the folders and imprint anew; return how many examples each class has, by label."""
        with core_errors_translated():
            await self._learner.async_imprint(anew=True)
        self._looker.async_classes_changed(())
        await self._looker.async_refresh()
        counts = self._learner.counts
        return {learned.label: counts[learned.id] for learned in self._learner.classes.values()}

    async def async_restore_head(self, version: int) -> None:
        """Answer by an earlier version of the head until something is taught."""
        with core_errors_translated():
            await self._learner.async_restore(version)
        await self._looker.async_refresh()

    async def _async_change[ResultT](
        self, change: Callable[[ExampleStore], ResultT], why: str, *, look: bool = True
    ) -> ResultT:
        """Change classes or examples, imprint what is left, and look.

        ``why`` is the action's name. Without ``look``, for changes that leave every answer as it is.
        """
        before = set(self._learner.classes)
        with core_errors_translated():
            result = await self._learner.async_change(change, why)
        self._looker.async_classes_changed(before - self._learner.classes.keys())
        if look:
            await self._looker.async_refresh()
        return result
