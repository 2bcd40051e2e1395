"""Adding and changing an engine in the UI. Its classifiers have a flow of their own."""

import asyncio
from collections.abc import Mapping
from typing import Any, override

from homeassistant.config_entries import (
    SOURCE_RECONFIGURE,
    ConfigEntry,
    ConfigEntryState,
    ConfigFlowResult,
    ConfigSubentryFlow,
)
from homeassistant.core import callback
from homeassistant.exceptions import HomeAssistantError

from .const import (
    CONF_EXTRACTOR,
    CONF_RUNTIME,
    CONF_THREADS,
    DOMAIN,
    RUNTIME_EDGETPU,
    RUNTIME_INSTALL,
    SUBENTRY_CLASSIFIER,
)
from .core.embedding import BUILTIN, DownloadError, EmbeddingError, open_embedder
from .engines.advisor import Recommendation, async_recommend
from .extractors.choices import TwinFiles, async_choices, async_compiled_choices, async_provide, async_source_of, title
from .extractors.edge_tpu import async_devices, open_edgetpu
from .extractors.litert import async_install_litert, litert_state
from .flows.classifier import ClassifierFlow
from .flows.forms import async_text, edgetpu_schema, engine_schema
from .flows.server import ServerSteps
from .settings import EngineSettings, cache_folder, models_folder


class EngineFlow(ServerSteps, domain=DOMAIN):
    """Choose an extractor and a runtime; both are fetched and tried before the engine is made or changed."""

    VERSION = 1

    def __init__(self) -> None:
        """Begin with nothing chosen."""
        super().__init__()
        self._answers: dict[str, Any] | None = None
        self._install = False
        self._on_edgetpu = False
        """Whether the forms are those of an Edge TPU."""
        self._settings: EngineSettings
        self._task: asyncio.Task[None] | None = None
        self._failure: EmbeddingError | None = None
        self._comparison: asyncio.Task[Recommendation] | None = None

    @classmethod
    @callback
    @override
    def async_get_supported_subentry_types(cls, config_entry: ConfigEntry) -> dict[str, type[ConfigSubentryFlow]]:
        """Name the kinds of subentries."""
        return {SUBENTRY_CLASSIFIER: ClassifierFlow}

    @callback
    @override
    def async_remove(self) -> None:
        """Stop what goes on in the background when the dialog is closed. What was downloaded so far is kept."""
        for task in (self._task, self._comparison):
            if task and not task.done():
                task.cancel()

    # --- choosing ------------------------------------------------------------------------------------------------

    async def async_step_user(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Ask where the engine is to do its work."""
        return self.async_show_menu(
            step_id="user", menu_options=["local", "server", *await self._async_edgetpu_option()]
        )

    async def _async_edgetpu_option(self) -> list[str]:
        """Return the menus' option of an Edge TPU, where there is one."""
        return ["edgetpu"] if await async_devices(self.hass) else []

    async def async_step_local(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Add an engine on this machine."""
        return await self._async_choose(user_input)

    async def async_step_reconfigure(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Change an engine: by choosing, or by comparing the extractors first."""
        options = ["choose", "recommend", "server", *await self._async_edgetpu_option()]
        return self.async_show_menu(step_id="reconfigure", menu_options=options)

    async def async_step_edgetpu(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Put an engine on an Edge TPU of this machine."""
        self._on_edgetpu = True
        return await self._async_choose(None if user_input is None else {**user_input, CONF_RUNTIME: RUNTIME_EDGETPU})

    async def async_step_choose(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Give an engine another extractor or runtime."""
        return await self._async_choose(user_input)

    @property
    def _step_id(self) -> str:
        if self._on_edgetpu:
            return "edgetpu"
        return "choose" if self.source == SOURCE_RECONFIGURE else "local"

    async def _async_choose(self, user_input: dict[str, Any] | None) -> ConfigFlowResult:
        if user_input is None:
            return await self._async_form()
        self._answers = dict(user_input)
        self._failure = None
        self._install = user_input[CONF_RUNTIME] == RUNTIME_INSTALL
        if self._install:
            user_input[CONF_RUNTIME] = "litert"
        self._settings = EngineSettings.from_data(user_input)
        await self.async_set_unique_id(self._settings.unique_id)
        self._abort_if_other_is_configured()
        if self._install or self._settings.is_edgetpu or await async_source_of(self.hass, self._settings) is None:
            return await self.async_step_retry()
        try:
            await self._async_prepare()
        except EmbeddingError as err:
            self._failure = err
            return await self._async_form()
        return await self.async_step_finish()

    async def _async_form(self, step_id: str | None = None, **placeholders: str) -> ConfigFlowResult:
        """Ask for extractor and runtime, with what went wrong, if anything did."""
        placeholders |= {"models_folder": str(models_folder(self.hass))}
        if self._on_edgetpu:
            schema = edgetpu_schema(await async_compiled_choices(self.hass), await async_devices(self.hass))
        else:
            litert = await self.hass.async_add_executor_job(litert_state)
            placeholders["runtime_note"] = await async_text(self.hass, "litert", litert)
            schema = engine_schema(await async_choices(self.hass), litert)
        errors: dict[str, str] = {}
        if self._failure:
            errors["base"] = self._failure.key
            placeholders |= self._failure.details
        return self.async_show_form(
            step_id=step_id or self._step_id,
            data_schema=self.add_suggested_values_to_schema(schema, self._suggested()),
            errors=errors,
            description_placeholders=placeholders,
        )

    def _suggested(self) -> Mapping[str, Any]:
        """Return what the form shows: what was answered before, else what the engine has, where the form can say that."""
        if self._answers is not None or self.source != SOURCE_RECONFIGURE:
            return self._answers or {}
        data = self._get_reconfigure_entry().data
        settings = EngineSettings.from_data(data)
        return data if settings.is_edgetpu == self._on_edgetpu and not settings.is_remote else {}

    # --- preparing -----------------------------------------------------------------------------------------------

    async def _async_prepare(self) -> None:
        """Fetch, install, open and test what was chosen. Raises EmbeddingError."""
        if self._install:
            await async_install_litert(self.hass)
        source = await async_provide(self.hass, self._settings, self._progressed)
        settings = self._settings
        if isinstance(source, TwinFiles):
            # One process has a device at a time: where an engine has it, it is that engine that will try.
            if not self._is_device_taken():
                async with open_edgetpu(self.hass, settings, source):
                    pass
            return
        async with open_embedder(
            source, settings.local_runtime, settings.threads, strict=True, proofs=cache_folder(self.hass)
        ):
            pass

    def _is_device_taken(self) -> bool:
        entries = self.hass.config_entries.async_loaded_entries(DOMAIN)
        return any(entry.data[CONF_RUNTIME] == RUNTIME_EDGETPU for entry in entries)

    @callback
    def _progressed(self, received: int, total: int | None) -> None:
        if total:
            self.async_update_progress(min(1.0, received / total))

    async def async_step_retry(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Prepare, for the first time or once more."""
        self._task = None
        return await self.async_step_prepare()

    async def async_step_prepare(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Show how the preparation goes on."""
        if self._task is None:
            self._task = self.hass.async_create_task(self._async_prepare())
        if not self._task.done():
            return self.async_show_progress(
                step_id="prepare",
                progress_action="install" if self._install else "download",
                description_placeholders={"extractor": title(self._settings.extractor)},
                progress_task=self._task,
            )
        task, self._task = self._task, None
        try:
            task.result()
        except DownloadError as err:
            self._failure = err
            return self.async_show_progress_done(next_step_id="download_failed")
        except EmbeddingError as err:
            self._failure = err
            return self.async_show_progress_done(next_step_id="rejected")
        return self.async_show_progress_done(next_step_id="finish")

    async def async_step_rejected(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Ask again after what was chosen turned out not to work."""
        return await self._async_form()

    async def async_step_download_failed(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Offer what can be done without a network."""
        details = self._failure.details if self._failure else {}
        return self.async_show_menu(
            step_id="download_failed",
            menu_options=["retry", "finish", "another"],
            description_placeholders={"extractor": title(self._settings.extractor), **details},
        )

    async def async_step_another(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Choose again."""
        self._failure = None
        return await self._async_form()

    async def async_step_finish(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Make or change the engine. What could not be fetched is fetched by the engine, the built-in extractor serves meanwhile."""
        data = {**(self._answers or {}), CONF_RUNTIME: self._settings.runtime}
        name = title(self._settings.extractor)
        if self._settings.is_edgetpu:
            name = f"{name} (Edge TPU)"
        elif self._settings.extractor != BUILTIN and self._settings.runtime != "auto":
            name = f"{name} ({self._settings.runtime})"
        if self.source == SOURCE_RECONFIGURE:
            # The update listener follows: nothing is reloaded.
            return self.async_update_and_abort(
                self._get_reconfigure_entry(), unique_id=self._settings.unique_id, title=name, data=data
            )
        return self.async_create_entry(title=name, data=data)

    # --- comparing -----------------------------------------------------------------------------------------------

    async def async_step_recommend(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Compare the extractors at hand on the engine's own examples."""
        entry = self._get_reconfigure_entry()
        if entry.state is not ConfigEntryState.LOADED:
            return self.async_abort(reason="engine_not_loaded")
        if self._comparison is None:
            engine = entry.runtime_data
            self._comparison = self.hass.async_create_task(
                async_recommend(self.hass, engine, list(engine.classifiers.values()), self.async_update_progress)
            )
        if not self._comparison.done():
            return self.async_show_progress(
                step_id="recommend", progress_action="compare", progress_task=self._comparison
            )
        return self.async_show_progress_done(next_step_id="recommended")

    async def async_step_recommended(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Show how the extractors compare, and propose one."""
        compared, self._comparison = self._comparison, None
        if compared is None:
            return await self._async_choose(user_input)
        # What was submitted, if anything, was meant for the step before.
        try:
            recommendation = compared.result()
        except HomeAssistantError as err:
            return self.async_abort(
                reason=err.translation_key or "comparison_failed",
                description_placeholders=err.translation_placeholders or {},
            )
        entry = self._get_reconfigure_entry()
        comparison = recommendation.as_markdown()
        if recommendation.extractor == recommendation.present:
            return self.async_abort(reason="present_is_best", description_placeholders={"comparison": comparison})
        present = EngineSettings.from_data(entry.data)
        self._answers = {CONF_EXTRACTOR: recommendation.extractor, CONF_RUNTIME: present.local_runtime}
        self._answers[CONF_THREADS] = present.threads
        verdict = await async_text(self.hass, "advice", "enough" if recommendation.advice.enough else "too_few")
        return await self._async_form("recommended", comparison=comparison, verdict=verdict)
