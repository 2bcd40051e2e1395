"""Adding and changing engines on inference servers, against this project's own server in a process of its own."""

from collections.abc import Iterator
from typing import Any

from homeassistant.config_entries import SOURCE_USER, ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from tests.shell.conftest import DOMAIN, FakeCamera, network, settled, state
from tests.shell.cores import MODEL, Scripted, running, serving

TOKEN = "a-token-of-more-than-sixteen-characters"
UNKNOWN_RANGE = {
    "inputs": [{"name": "in", "datatype": "FP32", "shape": [-1, 32, 32, 3]}],
}


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Start a server of two models that wants a token."""
    folder = tmp_path_factory.mktemp("server")
    models, token = folder / "models", folder / "token"
    models.mkdir()
    (models / "first.tflite").write_bytes(network())
    (models / "second.tflite").write_bytes(network(24))
    token.write_text(TOKEN)
    options = ("--models", models, "--token-file", token, "--port", 0, "--runtime", "portable")
    with running(*options, ready=False) as server:
        yield server


@pytest.fixture
def server(process: Any, socket_enabled: None) -> str:
    """Return its address."""
    process.wait_ready()
    return str(process.address)


async def begin(hass: HomeAssistant) -> Any:
    """Begin to add an engine on a server."""
    result = await hass.config_entries.flow.async_init(DOMAIN, context={"source": SOURCE_USER})
    assert (result["type"], result["menu_options"]) == (FlowResultType.MENU, ["local", "server"])
    result = await hass.config_entries.flow.async_configure(result["flow_id"], {"next_step_id": "server"})
    assert (result["type"], result["step_id"], result["errors"]) == (FlowResultType.FORM, "server", {})
    return result


async def answer(hass: HomeAssistant, result: Any, **answers: Any) -> Any:
    """Submit a form."""
    return await hass.config_entries.flow.async_configure(result["flow_id"], answers)


def offered(result: Any) -> tuple[list[str], str | None]:
    """Return the models that a form offers, and the one it proposes."""
    ((key, selector),) = [(key, value) for key, value in result["data_schema"].schema.items() if key == "extractor"]
    return selector.config["options"], key.default() if callable(key.default) else None


async def test_add_an_engine_on_a_server(hass: HomeAssistant, camera: FakeCamera, server: str) -> None:
    result = await begin(hass)
    result = await answer(hass, result, servers=[server], token=TOKEN)
    assert (result["type"], result["step_id"], result["errors"]) == (FlowResultType.FORM, "model", {})
    assert offered(result) == (["first", "second"], "first")
    result = await answer(hass, result, extractor="second")
    assert (result["type"], result["title"]) == (FlowResultType.CREATE_ENTRY, "second (127.0.0.1)")
    assert result["data"] == {
        "extractor": "second",
        "runtime": "remote",
        "servers": [server],
        "token": TOKEN,
        "verify_ssl": True,
        "pixel_range": "server",
    }
    await settled(hass)
    entry = result["result"]
    assert entry.state is ConfigEntryState.LOADED
    assert state(hass, "sensor.second_127_0_0_1_runtime") == "remote"
    # The same again is no other engine; another model of the server is.
    for model, outcome in (("second", FlowResultType.ABORT), ("first", FlowResultType.CREATE_ENTRY)):
        result = await answer(hass, await begin(hass), servers=[server], token=TOKEN)
        result = await answer(hass, result, extractor=model)
        assert result["type"] is outcome
    await settled(hass)
    for made in hass.config_entries.async_entries(DOMAIN):
        assert await hass.config_entries.async_unload(made.entry_id)


@pytest.mark.parametrize(
    ("answers", "field", "key"),
    [
        ({"servers": ["{server}"]}, "token", "server_denied"),
        ({"servers": ["{server}"], "token": "wrong"}, "token", "server_denied"),
        ({"servers": ["http://127.0.0.1:9"]}, "servers", "server_unreachable"),
        ({"servers": ["http://user:secret@host"]}, "servers", "invalid_address"),
        ({"servers": ["not an address"]}, "servers", "invalid_address"),
        ({"servers": []}, "servers", "invalid_address"),
        ({"servers": ["{tls}"]}, "verify_ssl", "server_untrusted"),
    ],
    ids=["no token", "wrong token", "nobody there", "password", "blanks", "none", "no TLS"],
)
async def test_what_is_wrong_with_a_server_is_said_beside_its_field(
    hass: HomeAssistant, camera: FakeCamera, server: str, answers: dict[str, Any], field: str, key: str
) -> None:
    tls = server.replace("http:", "https:")
    addresses = [address.format(server=server, tls=tls) for address in answers["servers"]]
    result = await answer(hass, await begin(hass), **{**answers, "servers": addresses})
    assert (result["step_id"], result["errors"]) == ("server", {field: key})
    placeholders = result["description_placeholders"]
    assert placeholders["reason"] and "server" in placeholders
    assert "secret" not in str(placeholders)
    # The same dialog goes on to a good end.
    result = await answer(hass, result, servers=[server], token=TOKEN)
    assert result["step_id"] == "model"
    hass.config_entries.flow.async_abort(result["flow_id"])


async def test_a_model_that_can_not_be_used_is_refused(hass: HomeAssistant, camera: FakeCamera, server: str) -> None:
    result = await answer(hass, await begin(hass), servers=[server], token=TOKEN)
    result = await answer(hass, result, extractor="third")
    assert (result["type"], result["errors"]) == (FlowResultType.FORM, {"extractor": "server_no_such_model"})
    result = await answer(hass, result, extractor="first")
    assert result["type"] is FlowResultType.CREATE_ENTRY
    await settled(hass)
    assert await hass.config_entries.async_unload(result["result"].entry_id)


async def test_where_the_server_has_no_list_a_model_is_typed(
    hass: HomeAssistant, camera: FakeCamera, socket_enabled: None
) -> None:
    async with serving(Scripted()) as (url,):
        result = await answer(hass, await begin(hass), servers=[url])
        assert offered(result) == ([], None)
        result = await answer(hass, result, extractor=MODEL)
        assert result["type"] is FlowResultType.CREATE_ENTRY
        await settled(hass)
        assert await hass.config_entries.async_unload(result["result"].entry_id)


async def test_the_range_of_pixels_is_asked_for(hass: HomeAssistant, camera: FakeCamera, socket_enabled: None) -> None:
    async with serving(Scripted(metadata=UNKNOWN_RANGE)) as (url,):
        result = await answer(hass, await begin(hass), servers=[url])
        result = await answer(hass, result, extractor=MODEL)
        assert (result["type"], result["errors"]) == (FlowResultType.FORM, {"pixel_range": "pixel_range_unknown"})
        result = await answer(hass, result, extractor=MODEL, pixel_range="bytes")
        assert (result["type"], result["data"]["pixel_range"]) == (FlowResultType.CREATE_ENTRY, "bytes")
        await settled(hass)
        assert state(hass, "sensor.blocks_127_0_0_1_runtime") == "remote"
        assert await hass.config_entries.async_unload(result["result"].entry_id)


async def test_an_engine_moves_to_a_server_and_back(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, server: str
) -> None:
    result = await engine.start_reconfigure_flow(hass)
    result = await answer(hass, result, next_step_id="server")
    result = await answer(hass, result, servers=[server], token=TOKEN)
    result = await answer(hass, result, extractor="first")
    assert (result["type"], result["reason"]) == (FlowResultType.ABORT, "reconfigure_successful")
    await settled(hass)
    assert (engine.title, engine.runtime_data.embedder.runtime) == ("first (127.0.0.1)", "remote")
    # Another model: the token need not be given again, and is not shown.
    result = await engine.start_reconfigure_flow(hass)
    assert result["menu_options"] == ["choose", "recommend", "server"]
    result = await answer(hass, result, next_step_id="server")
    assert TOKEN not in str([key.description for key in result["data_schema"].schema])
    result = await answer(hass, result, servers=[server])
    assert offered(result) == (["first", "second"], "first")
    result = await answer(hass, result, extractor="second")
    await settled(hass)
    assert (engine.data["token"], engine.data["extractor"]) == (TOKEN, "second")
    # It is not told to a server that is new.
    result = await engine.start_reconfigure_flow(hass)
    result = await answer(hass, result, next_step_id="server")
    async with serving(Scripted(token=TOKEN)) as (url,):
        result = await answer(hass, result, servers=[url, server])
    assert (result["step_id"], result["errors"]) == ("server", {"token": "server_denied"})
    hass.config_entries.flow.async_abort(result["flow_id"])
    # Back.
    result = await engine.start_reconfigure_flow(hass)
    result = await answer(hass, result, next_step_id="choose")
    result = await answer(hass, result, extractor="builtin", runtime="auto")
    assert result["reason"] == "reconfigure_successful"
    await settled(hass)
    assert engine.data == {"extractor": "builtin", "runtime": "auto", "threads": 1}
    assert engine.runtime_data.embedder.runtime == "builtin"
