"""Adding and changing an engine in the UI. Its classifiers have a flow of their own."""

from collections.abc import Mapping
from typing import Any, override

from homeassistant.config_entries import (
    SOURCE_RECONFIGURE,
    ConfigEntry,
    ConfigFlow,
    ConfigFlowResult,
    ConfigSubentryFlow,
)
from homeassistant.core import callback

from .classifier_flow import ClassifierFlow
from .const import DOMAIN, SUBENTRY_CLASSIFIER
from .embedding import BUILTIN, EmbeddingError, open_embedder
from .forms import engine_schema, find_extractors
from .models import EngineSettings, models_folder


class EngineFlow(ConfigFlow, domain=DOMAIN):
    """Choose an extractor and a runtime, and try them before the engine is made."""

    VERSION = 1

    @classmethod
    @callback
    @override
    def async_get_supported_subentry_types(cls, config_entry: ConfigEntry) -> dict[str, type[ConfigSubentryFlow]]:
        """Name the kinds of subentries."""
        return {SUBENTRY_CLASSIFIER: ClassifierFlow}

    async def async_step_user(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Add an engine."""
        return await self._async_step("user", user_input)

    async def async_step_reconfigure(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Give an engine another extractor or runtime."""
        return await self._async_step("reconfigure", user_input)

    async def _async_step(self, step_id: str, user_input: dict[str, Any] | None) -> ConfigFlowResult:
        errors: dict[str, str] = {}
        placeholders = {"models_folder": str(models_folder(self.hass))}
        if user_input is not None:
            settings = EngineSettings.from_data(user_input)
            await self.async_set_unique_id(settings.unique_id)
            self._abort_if_taken()
            try:
                await self._async_try(settings)
            except EmbeddingError as err:
                errors["base"] = err.key
                placeholders |= err.details
            else:
                return self._finish(settings, user_input)
        suggested: Mapping[str, Any] | None = user_input
        if suggested is None and self.source == SOURCE_RECONFIGURE:
            suggested = self._get_reconfigure_entry().data
        extractors = await self.hass.async_add_executor_job(find_extractors, self.hass)
        return self.async_show_form(
            step_id=step_id,
            data_schema=self.add_suggested_values_to_schema(engine_schema(extractors), suggested or {}),
            errors=errors,
            description_placeholders=placeholders,
        )

    def _abort_if_taken(self) -> None:
        """There is one engine per extractor and runtime; an engine may keep its own."""
        if self.source == SOURCE_RECONFIGURE and self.unique_id == self._get_reconfigure_entry().unique_id:
            return
        self._abort_if_unique_id_configured()

    async def _async_try(self, settings: EngineSettings) -> None:
        """Open the engine and embed a picture with it. Raises EmbeddingError."""
        async with open_embedder(settings.source(self.hass), settings.runtime) as embedder:
            await embedder.check()

    def _finish(self, settings: EngineSettings, data: dict[str, Any]) -> ConfigFlowResult:
        title = "Built-in" if settings.extractor == BUILTIN else settings.extractor.removesuffix(".tflite")
        if settings.extractor != BUILTIN and settings.runtime != "auto":
            title = f"{title} ({settings.runtime})"
        if self.source == SOURCE_RECONFIGURE:
            # The update listener reloads: a flow that reloads too would do it twice.
            return self.async_update_and_abort(
                self._get_reconfigure_entry(), unique_id=settings.unique_id, title=title, data=data
            )
        return self.async_create_entry(title=title, data=data)
