"""Adding and changing a classifier in the UI."""

from collections.abc import Mapping
from typing import Any

from homeassistant.config_entries import SOURCE_RECONFIGURE, ConfigEntryState, ConfigSubentryFlow, SubentryFlowResult
from homeassistant.const import CONF_NAME
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import entity_registry as er
from homeassistant.util import slugify

from ..classifiers.looking.frames import async_grab
from ..const import (
    BIN_FOLDER,
    CONF_BACKGROUND,
    CONF_CAMERA,
    CONF_CLASSES,
    CONF_FOLDER,
    CONF_LIGHT,
    CONF_TRIGGERS,
    DOMAIN,
    EXPORTS_FOLDER,
    MODELS_FOLDER,
    SECTION_REGION,
    SECTION_WHEN,
    SUBENTRY_CLASSIFIER,
)
from ..core.embedding import EmbeddingError, Region
from ..core.imprinting import ImprintingError, check_labels
from ..entity_refs import entity_ref, resolve_camera, resolve_entity
from ..settings import data_folder, region_from_percent, stays_above_enter
from .forms import class_labels, classifier_schema, complete


class ClassifierFlow(ConfigSubentryFlow):
    """Choose a camera, a region and the first classes; a frame is embedded before the classifier is made."""

    async def async_step_user(self, user_input: dict[str, Any] | None = None) -> SubentryFlowResult:
        """Add a classifier."""
        if self._get_entry().state is not ConfigEntryState.LOADED:
            return self.async_abort(reason="engine_not_loaded")
        if user_input is None:
            return self._form("user", {})
        user_input = complete(user_input)
        errors, placeholders = await self._async_check(user_input)
        if errors:
            return self._form("user", user_input, errors, placeholders)
        name = user_input.pop(CONF_NAME).strip()
        labels = class_labels(user_input)
        background = str(user_input.get(CONF_BACKGROUND) or "").strip()
        data = self._stored(user_input) | {
            CONF_FOLDER: await self.hass.async_add_executor_job(_free_folder, self.hass, name),
            CONF_CLASSES: [label for label in labels if label != background],
            CONF_BACKGROUND: background,
        }
        return self.async_create_entry(title=name, data=data)

    async def async_step_reconfigure(self, user_input: dict[str, Any] | None = None) -> SubentryFlowResult:
        """Change a classifier."""
        subentry = self._get_reconfigure_subentry()
        if self._get_entry().state is not ConfigEntryState.LOADED:
            return self.async_abort(reason="engine_not_loaded")
        if user_input is None:
            return self._form("reconfigure", self._shown(subentry.title, subentry.data))
        user_input = complete(user_input)
        errors, placeholders = await self._async_check(user_input)
        if errors:
            return self._form("reconfigure", user_input, errors, placeholders)
        name = user_input.pop(CONF_NAME).strip()
        # The update listener follows: nothing is reloaded.
        return self.async_update_and_abort(
            self._get_entry(), subentry, title=name, data_updates=self._stored(user_input)
        )

    def _form(
        self,
        step_id: str,
        suggested: Mapping[str, Any],
        errors: dict[str, str] | None = None,
        placeholders: dict[str, str] | None = None,
    ) -> SubentryFlowResult:
        schema = self.add_suggested_values_to_schema(classifier_schema(new=step_id == "user"), suggested)
        return self.async_show_form(
            step_id=step_id, data_schema=schema, errors=errors or {}, description_placeholders=placeholders or {}
        )

    def _stored(self, answers: dict[str, Any]) -> dict[str, Any]:
        """Return what is kept of the answers: entities by registry id, which survives their renaming."""
        when = {**answers[SECTION_WHEN]}
        when[CONF_TRIGGERS] = [entity_ref(self.hass, entity_id) for entity_id in when[CONF_TRIGGERS]]
        if light := when.get(CONF_LIGHT):
            when[CONF_LIGHT] = entity_ref(self.hass, light)
        return answers | {CONF_CAMERA: entity_ref(self.hass, answers[CONF_CAMERA]), SECTION_WHEN: when}

    def _shown(self, name: str, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the form shows of a classifier that is there."""
        shown = {**data, CONF_NAME: name}
        try:
            shown[CONF_CAMERA] = resolve_camera(self.hass, data[CONF_CAMERA])
        except HomeAssistantError:
            del shown[CONF_CAMERA]  # it was removed: ask for another
        when = {**data.get(SECTION_WHEN, {})}
        triggers = (resolve_entity(self.hass, trigger) for trigger in when.get(CONF_TRIGGERS, ()))
        when[CONF_TRIGGERS] = [entity_id for entity_id in triggers if entity_id]
        when[CONF_LIGHT] = resolve_entity(self.hass, when[CONF_LIGHT]) if CONF_LIGHT in when else None
        shown[SECTION_WHEN] = when
        return shown

    async def _async_check(self, answers: dict[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
        """Return what is wrong with the answers, by field, and the messages' placeholders."""
        if not answers[CONF_NAME].strip():
            return {CONF_NAME: "name_missing"}, {}
        if own := self._own(answers[SECTION_WHEN][CONF_TRIGGERS]):
            return {"base": "own_trigger"}, {"entity_id": own}
        if stays_above_enter(answers):
            return {"base": "stay_above_enter"}, {}
        try:
            check_labels(class_labels(answers))
            region = region_from_percent(answers[SECTION_REGION])
        except (ImprintingError, EmbeddingError) as err:
            return {CONF_CLASSES if isinstance(err, ImprintingError) else "base": err.key}, err.details
        return await self._async_check_camera(answers[CONF_CAMERA], region)

    def _own(self, triggers: list[str]) -> str | None:
        """Return one of the triggers that says what this very classifier found, None where there is none."""
        if self.source != SOURCE_RECONFIGURE:
            return None
        registry, own = er.async_get(self.hass), self._get_reconfigure_subentry().subentry_id
        found = ((trigger, registry.async_get(trigger)) for trigger in triggers)
        return next((trigger for trigger, known in found if known and known.config_subentry_id == own), None)

    async def _async_check_camera(self, camera: str, region: Region) -> tuple[dict[str, str], dict[str, str]]:
        embedder = self._get_entry().runtime_data.embedder
        try:
            frame = await async_grab(self.hass, camera)
            await embedder.embed(frame, region)
        except EmbeddingError as err:
            return {CONF_CAMERA: err.key}, {"server": "", **err.details}
        except HomeAssistantError as err:
            return {CONF_CAMERA: err.translation_key or "camera_no_image"}, err.translation_placeholders or {}
        return {}, {}


def _free_folder(hass: HomeAssistant, name: str) -> str:
    """Return a folder name for a classifier's examples that nothing else uses. Blocking."""
    taken = {BIN_FOLDER, EXPORTS_FOLDER, MODELS_FOLDER}
    for entry in hass.config_entries.async_entries(DOMAIN):
        taken |= {subentry.data[CONF_FOLDER] for subentry in entry.get_subentries_of_type(SUBENTRY_CLASSIFIER)}
    base = slugify(name)[:64]  # never empty: names without letters are "unknown"
    folder, number = base, 1
    while folder in taken or (data_folder(hass) / folder).exists():
        number += 1
        folder = f"{base}_{number}"
    return folder
