"""What needs an extractor's file, on engines whose network is executed elsewhere: an Edge TPU, a real server of ours in its own process."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.exceptions import HomeAssistantError
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.coral_imprint.core.embedding.edgetpu import EdgeTPUEmbedder
from custom_components.coral_imprint.core.embedding.edgetpu.twins import Likeness
from custom_components.coral_imprint.core.imprinting.report import extractor_choice
from tests.shell.classifiers.test_known_classes import LABELS
from tests.shell.conftest import (
    DOMAIN,
    NETWORK,
    FakeCamera,
    act,
    change,
    device_id,
    knowing_a_gate,
    models,
    network,
    settled,
    teach,
)
from tests.shell.cores import Scripted, running, serving
from tests.shell.file_server import FileServer
from tests.shell.flows.test_engine_flow import progressed

from .test_edge_tpu import WITH_COMPILER, device, on_device  # noqa: F401 - fixtures
from .test_remote import engine_data


def exports(hass: HomeAssistant) -> Path:
    """Return the folder where exports go."""
    return Path(hass.config.path(DOMAIN, "exports"))


async def refused(hass: HomeAssistant, entry: MockConfigEntry, action: str, **data: Any) -> tuple[str, dict[str, str]]:
    """Call an action that fails; return the error's key and what it names."""
    with pytest.raises(HomeAssistantError) as caught:
        await act(hass, entry, action, **data)
    return caught.value.translation_key or "", dict(caught.value.translation_placeholders or {})


async def goes_round(hass: HomeAssistant, entry: MockConfigEntry) -> Any:
    """Export, list the network's classes, add one of them, import the exported file; return what the export answered."""
    exported = await act(hass, entry, "export_model", file="gates")
    assert exported["agreement"]["percent"] == 100
    assert set(exported["classes"]) == {"open", "closed"}
    found = await act(hass, entry, "known_classes", search="tabby")
    assert found == {"count": len(LABELS), "classes": [{"number": 5, "name": "tabby, tabby cat"}]}
    await act(hass, entry, "add_class", **{"class": "beast", "known": "tabby cat"})
    assert "beast" in (await act(hass, entry, "look"))["scores"]
    await act(hass, entry, "rename_class", **{"class": "open", "name": "ajar"})
    imported = await act(hass, entry, "import_model", file="gates.tflite")
    assert imported == {"added": ["open"], "there_already": ["closed"]}
    return exported


# --- an Edge TPU --------------------------------------------------------------------------------------------------


@WITH_COMPILER
async def test_an_edge_tpus_twin_is_its_file(hass: HomeAssistant, on_device: MockConfigEntry) -> None:  # noqa: F811
    (models(hass) / "mine_labels.txt").write_text("\n".join(LABELS))
    exported = await goes_round(hass, on_device)
    assert Path(exported["edgetpu"]).name == "gates_edgetpu.tflite", "what the device is to execute comes along"
    # What was exported from the device can be used without it.
    await change(hass, on_device, **NETWORK)
    await act(hass, on_device, "remove_class", **{"class": "open"})
    assert (await act(hass, on_device, "import_model", file="gates.tflite"))["added"] == ["open"]


@WITH_COMPILER
async def test_a_twin_that_embeds_otherwise_is_not_taken_for_the_same(
    hass: HomeAssistant,
    on_device: MockConfigEntry,  # noqa: F811
) -> None:
    embedder = on_device.runtime_data.embedder
    assert isinstance(embedder, EdgeTPUEmbedder)
    embedder.likeness = Likeness((0.9, 0.95))
    for action in ("export_model", "known_classes"):
        assert await refused(hass, on_device, action) == ("twin_differs", {"extractor": "mine"})


@WITH_COMPILER
@pytest.mark.parametrize("gone", ["mine.tflite", "mine_edgetpu.tflite"])
async def test_files_of_an_edge_tpu_that_are_gone(
    hass: HomeAssistant,
    on_device: MockConfigEntry,  # noqa: F811
    gone: str,
) -> None:
    (models(hass) / gone).unlink()
    assert await refused(hass, on_device, "export_model") == ("extractor_gone", {"extractor": "mine"})


# --- servers ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Start an inference server that has a published network and one of its owner's."""
    folder = tmp_path_factory.mktemp("server")
    (folder / "renamed.tflite").write_bytes(network())
    (folder / "mine.tflite").write_bytes(network(24))
    with running("--models", folder, "--port", 0, "--runtime", "portable", ready=False) as server:
        yield server


@pytest.fixture
async def on_server(
    request: pytest.FixtureRequest,
    hass: HomeAssistant,
    entry: MockConfigEntry,
    camera: FakeCamera,
    process: Any,
    socket_enabled: None,
) -> AsyncIterator[MockConfigEntry]:
    """Return an engine on one of the server's models, with a classifier that knows a gate."""
    process.wait_ready()
    data = engine_data(process.address, extractor=request.param)
    async with knowing_a_gate(hass, entry, camera, data):
        assert entry.runtime_data.embedder.runtime == "remote"
        yield entry


@pytest.mark.parametrize("on_server", ["renamed"], indirect=True)
async def test_a_published_model_is_known_by_its_content_and_fetched(
    hass: HomeAssistant, on_server: MockConfigEntry, server: FileServer
) -> None:
    """The server calls it something else, and says which file it is."""
    assert not server.requests
    published = Path(hass.config.cache_path(DOMAIN, "published.tflite"))
    assert not published.exists()
    with pytest.raises(HomeAssistantError):
        await act(hass, on_server, "known_classes")  # its labels aren't beside it yet
    assert published.read_bytes() == network()
    published.with_name("published_labels.txt").write_text("\n".join(LABELS))
    await goes_round(hass, on_server)
    assert len(server.requests) == 1, "fetched once"


@pytest.mark.parametrize("on_server", ["mine"], indirect=True)
async def test_a_model_of_the_servers_own_needs_a_copy(
    hass: HomeAssistant, on_server: MockConfigEntry, server: FileServer
) -> None:
    folder = models(hass)
    expected = {"extractor": "mine", "folder": str(folder), "file": "mine.tflite"}
    for action, data in (
        ("export_model", {}),
        ("known_classes", {}),
        ("add_class", {"class": "beast", "known": "tabby cat"}),
        ("import_model", {"file": "gates.tflite"}),
    ):
        (folder / "gates.tflite").write_bytes(network(24))
        assert await refused(hass, on_server, action, **data) == ("model_on_server", expected), action
    del expected["extractor"]
    (folder / "mine.tflite").write_bytes(network(16))
    assert await refused(hass, on_server, "export_model") == ("model_differs", expected)
    (folder / "mine.tflite").write_bytes(b"no model")
    assert await refused(hass, on_server, "export_model") == ("model_differs", expected)
    (folder / "mine.tflite").write_bytes(network(24))
    (folder / "mine_labels.txt").write_text("\n".join(LABELS))
    await goes_round(hass, on_server)
    assert not server.requests, "nothing published was asked for"


@pytest.mark.parametrize("on_server", ["mine"], indirect=True)
async def test_a_published_name_alone_says_nothing(
    hass: HomeAssistant, on_server: MockConfigEntry, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server's own model is called as a published one is: what that one makes of the test pictures tells them apart."""
    from custom_components.coral_imprint.extractors import extractor_files

    (published,) = vars(extractor_files)["CATALOGUE"].values()
    monkeypatch.setattr(extractor_files, "CATALOGUE", {"mine": published})
    key, _ = await refused(hass, on_server, "export_model")
    assert (key, len(server.requests)) == ("model_on_server", 1)
    (models(hass) / "mine.tflite").write_bytes(network(24))
    assert (await act(hass, on_server, "export_model"))["agreement"]["percent"] == 100


@pytest.mark.parametrize("on_server", ["renamed"], indirect=True)
async def test_what_can_not_be_fetched_is_said(
    hass: HomeAssistant, on_server: MockConfigEntry, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from custom_components.coral_imprint.extractors import downloads

    monkeypatch.setattr(downloads, "ATTEMPTS", 1)
    await server.stop()
    key, named = await refused(hass, on_server, "export_model")
    assert (key, named["file"]) == ("download_failed", "published.tflite")


# --- comparing ----------------------------------------------------------------------------------------------------


async def compared(hass: HomeAssistant, entry: MockConfigEntry) -> Any:
    """Compare the extractors in the engine's dialog."""
    result: Any = await entry.start_reconfigure_flow(hass)
    assert "recommend" in result["menu_options"]
    result = await hass.config_entries.flow.async_configure(result["flow_id"], {"next_step_id": "recommend"})
    return await progressed(hass, result)


@pytest.mark.parametrize("on_server", ["mine"], indirect=True)
async def test_a_servers_extractor_is_compared_with_those_of_this_machine(
    hass: HomeAssistant, on_server: MockConfigEntry, camera: FakeCamera
) -> None:
    await teach(hass, on_server, camera, *(["closed", "open"] * 2))
    (models(hass) / "mine.tflite").write_bytes(network())
    target = {"device_id": device_id(hass, on_server)}
    answer: Any = await hass.services.async_call(
        DOMAIN, "recommend_extractor", target, blocking=True, return_response=True
    )
    rows = {row["extractor"]: row["title"] for row in answer["extractors"]}
    assert rows == {"builtin": "Built-in", "mine.tflite": "mine", "mine@remote": on_server.title}
    assert answer["recommended"] == "mine@remote", "too few occasions to leave the server for"
    result = await compared(hass, on_server)
    assert (result["type"], result["reason"]) == (FlowResultType.ABORT, "present_is_best")
    assert f"**{on_server.title}** ✔" in result["description_placeholders"]["comparison"]
    assert on_server.runtime_data.embedder.runtime == "remote"


async def test_what_is_better_on_this_machine_is_proposed(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    camera: FakeCamera,
    socket_enabled: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The gate is told by where its leaves are, which needs no network and no slow server."""
    monkeypatch.setattr(extractor_choice, "ENOUGH", 1)
    async with serving(Scripted(delay=0.1)) as (url,), knowing_a_gate(hass, entry, camera, engine_data(url)):
        await teach(hass, entry, camera, "closed", "open", seed=300)
        result = await compared(hass, entry)
        assert (result["type"], result["step_id"]) == (FlowResultType.FORM, "recommended")
        suggested = {str(key): (key.description or {}).get("suggested_value") for key in result["data_schema"].schema}
        assert (suggested["extractor"], suggested["runtime"]) == ("builtin", "auto")
        result = await hass.config_entries.flow.async_configure(
            result["flow_id"], {key: suggested[key] for key in ("extractor", "runtime", "threads")}
        )
        assert (result["type"], result["reason"]) == (FlowResultType.ABORT, "reconfigure_successful")
        await settled(hass)
        assert dict(entry.data) == {"extractor": "builtin", "runtime": "auto", "threads": 1}
        assert entry.runtime_data.embedder.runtime == "builtin"
