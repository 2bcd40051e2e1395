"""The steps of the engine's flow that concern inference servers: adding, changing, discovering them, and asking for a token."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from homeassistant.config_entries import SOURCE_IGNORE, SOURCE_RECONFIGURE, ConfigFlow, ConfigFlowResult
from homeassistant.const import CONF_TOKEN, CONF_VERIFY_SSL
from homeassistant.helpers.service_info.hassio import HassioServiceInfo

from ..const import COMPILED, CONF_DISCOVERY, CONF_EXTRACTOR, CONF_RUNTIME, CONF_SERVERS, RUNTIME_REMOTE
from ..core.embedding import EmbeddingError, errors as embedding_errors
from ..extractors.choices import title
from ..extractors.remote import async_served_models, open_server_embedder
from ..settings import EngineSettings
from .forms import model_schema, server_schema, token_schema

_FIELDS: tuple[tuple[type[EmbeddingError], str], ...] = (
    (embedding_errors.InvalidAddress, CONF_SERVERS),
    (embedding_errors.ServerDenied, CONF_TOKEN),
    (embedding_errors.ServerUntrusted, CONF_VERIFY_SSL),
    (embedding_errors.NoSuchModel, CONF_EXTRACTOR),
    (embedding_errors.PixelRangeUnknown, "pixel_range"),
    (embedding_errors.ServerUnreachable, CONF_SERVERS),
)
"""Which answer an error speaks of; others speak of all of them."""


def _errors(err: EmbeddingError | None, asked: Mapping[Any, Any]) -> dict[str, str]:
    """Return a form's errors: beside the field that has to be changed, where the form has it."""
    if err is None:
        return {}
    field = next((name for kind, name in _FIELDS if isinstance(err, kind)), "base")
    return {field if field in asked else "base": err.key}


class ServerSteps(ConfigFlow):
    """Server and model are given one after the other; the model embeds test pictures before the engine is made or changed."""

    def __init__(self) -> None:
        """Begin with nothing given."""
        self._server: dict[str, Any] = {}
        """What is known of the engine's data so far."""
        self._models: list[str] = []

    async def async_step_server(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Ask for the servers' addresses and how to reach them."""
        present = self._present()
        failure: EmbeddingError | None = None
        if user_input is not None:
            self._server = _server_data(user_input, present)
            settings = EngineSettings.from_data({CONF_EXTRACTOR: "", **self._server})
            try:
                self._models = await async_served_models(self.hass, settings)
            except EmbeddingError as err:
                failure = err
            else:
                return await self.async_step_model()
        shown = user_input or {key: value for key, value in present.items() if key != CONF_TOKEN}
        schema = server_schema()
        return self.async_show_form(
            step_id="server",
            data_schema=self.add_suggested_values_to_schema(schema, shown),
            errors=_errors(failure, schema.schema),
            description_placeholders=_placeholders(failure),
        )

    def _present(self) -> Mapping[str, Any]:
        """Return the data of the engine that is changed, where it is one on servers."""
        if self.source != SOURCE_RECONFIGURE:
            return {}
        data = self._get_reconfigure_entry().data
        return data if data[CONF_RUNTIME] == RUNTIME_REMOTE else {}

    async def async_step_model(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Ask for the model, and try it."""
        return await self._async_model("model", user_input)

    async def _async_model(self, step_id: str, user_input: dict[str, Any] | None) -> ConfigFlowResult:
        failure: EmbeddingError | None = None
        if user_input is not None:
            data = {**self._server, **user_input}
            settings = EngineSettings.from_data(data)
            await self.async_set_unique_id(settings.unique_id)
            self._abort_if_other_is_configured()
            failure = await self._async_try(settings)
            if failure is None:
                return self._finish_server(settings, data)
        schema = model_schema(self._models, _preferred(self._models, self._present()))
        return self.async_show_form(
            step_id=step_id,
            data_schema=self.add_suggested_values_to_schema(schema, user_input or self._present()),
            errors=_errors(failure, schema.schema),
            description_placeholders={"servers": ", ".join(self._server[CONF_SERVERS]), **_placeholders(failure)},
        )

    async def _async_try(self, settings: EngineSettings) -> EmbeddingError | None:
        """Open the model, which embeds test pictures; return what went wrong."""
        try:
            async with open_server_embedder(self.hass, settings):
                return None
        except EmbeddingError as err:
            return err

    def _abort_if_other_is_configured(self) -> None:
        """Abort where there is such an engine; one that is changed may stay as it is."""
        if self.source == SOURCE_RECONFIGURE and self.unique_id == self._get_reconfigure_entry().unique_id:
            return
        self._abort_if_unique_id_configured()

    def _finish_server(self, settings: EngineSettings, data: dict[str, Any]) -> ConfigFlowResult:
        """Make or change the engine."""
        host = urlsplit(settings.servers[0]).hostname if "//" in settings.servers[0] else settings.servers[0]
        name = f"{title(settings.extractor)} ({host or settings.servers[0]})"
        if self.source == SOURCE_RECONFIGURE:
            return self.async_update_and_abort(
                self._get_reconfigure_entry(), unique_id=settings.unique_id, title=name, data=data
            )
        return self.async_create_entry(title=name, data=data)

    # --- the app -------------------------------------------------------------------------------------------------

    async def async_step_hassio(self, discovery_info: HassioServiceInfo) -> ConfigFlowResult:
        """Take what the app announced; an engine that was made from it before follows without a question."""
        config = discovery_info.config
        if not (config.get("host") and config.get("port")):
            return self.async_abort(reason="invalid_discovery")
        found = {CONF_SERVERS: [f"http://{config['host']}:{config['port']}"], CONF_TOKEN: config.get("token")}
        known = await self.async_set_unique_id(discovery_info.uuid)
        # The update listener follows: nothing is reloaded. One that the user ignores is told nothing.
        ignored = known is not None and known.source == SOURCE_IGNORE
        self._abort_if_unique_id_configured(updates=None if ignored else found, reload_on_update=False)
        self._server = {CONF_RUNTIME: RUNTIME_REMOTE, CONF_DISCOVERY: discovery_info.uuid, **found}
        self._models = list(config.get("models", ()))
        self.context["title_placeholders"] = {"name": discovery_info.name}
        return await self.async_step_hassio_confirm()

    async def async_step_hassio_confirm(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Ask whether the app is to be used, and by which of its models."""
        return await self._async_model("hassio_confirm", user_input)

    # --- another token -------------------------------------------------------------------------------------------

    async def async_step_reauth(self, entry_data: Mapping[str, Any]) -> ConfigFlowResult:
        """Begin to ask for a token, which the server wants by now."""
        return await self.async_step_reauth_confirm()

    async def async_step_reauth_confirm(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Ask for a token, and try it."""
        entry = self._get_reauth_entry()
        failure: EmbeddingError | None = None
        if user_input is not None:
            token = {CONF_TOKEN: user_input.get(CONF_TOKEN) or None}
            failure = await self._async_try(EngineSettings.from_data({**entry.data, **token}))
            if failure is None:
                return self.async_update_and_abort(entry, data_updates=token)
        schema = token_schema()
        return self.async_show_form(
            step_id="reauth_confirm",
            data_schema=schema,
            errors=_errors(failure, schema.schema),
            description_placeholders={"servers": ", ".join(entry.data[CONF_SERVERS]), **_placeholders(failure)},
        )


def _server_data(answers: Mapping[str, Any], present: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the server's form says of an engine.

    Without a token, the present one stays; but it is not told to servers that didn't have it. The same servers stay those of the app.
    """
    servers = [server.strip() for server in answers[CONF_SERVERS]]
    before = present.get(CONF_SERVERS, ())
    token = answers.get(CONF_TOKEN) or (present.get(CONF_TOKEN) if set(servers) <= set(before) else None)
    data = {
        CONF_RUNTIME: RUNTIME_REMOTE,
        CONF_SERVERS: servers,
        CONF_TOKEN: token,
        CONF_VERIFY_SSL: answers[CONF_VERIFY_SSL],
    }
    if servers == list(before) and (discovery := present.get(CONF_DISCOVERY)):
        data[CONF_DISCOVERY] = discovery
    return data


def _preferred(models: list[str], present: Mapping[str, Any]) -> str | None:
    """Return the model to propose: the engine's own, one for an Edge TPU, or the first."""
    if present.get(CONF_EXTRACTOR) in models:
        return str(present[CONF_EXTRACTOR])
    return next((model for model in models if model.endswith(COMPILED)), models[0] if models else None)


def _placeholders(err: EmbeddingError | None) -> dict[str, str]:
    """Return what messages of errors name. Some errors know of no server."""
    return {"server": "", **err.details} if err else {}
