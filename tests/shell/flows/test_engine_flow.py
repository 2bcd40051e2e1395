"""Adding and changing engines as the UI does."""

import asyncio
from dataclasses import replace
import json
from pathlib import Path
from typing import Any

from homeassistant.config_entries import SOURCE_USER, ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import EVENT_DATA_ENTRY_FLOW_PROGRESS_UPDATE, FlowResultType
from homeassistant.helpers import device_registry as dr
from homeassistant.requirements import RequirementsNotFound
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, async_capture_events

from custom_components.coral_imprint import config_flow
from custom_components.coral_imprint.core.embedding import LITERT_REQUIREMENT, SelfTestFailed
from custom_components.coral_imprint.extractors import choices, litert
from tests.shell.conftest import DOMAIN, PUBLISHED, FakeCamera, act, state, teach
from tests.shell.file_server import FileServer, Request, good, status

ENGINE = {"extractor": "builtin", "runtime": "auto"}


async def begin(hass: HomeAssistant) -> Any:
    """Begin to add an engine on this machine."""
    result = await hass.config_entries.flow.async_init(DOMAIN, context={"source": SOURCE_USER})
    assert result["type"] is FlowResultType.MENU
    return await hass.config_entries.flow.async_configure(result["flow_id"], {"next_step_id": "local"})


async def test_add_the_built_in_engine(hass: HomeAssistant, camera: FakeCamera) -> None:
    result = await begin(hass)
    assert (result["type"], result["step_id"]) == (FlowResultType.FORM, "local")
    result = await hass.config_entries.flow.async_configure(result["flow_id"], ENGINE)
    assert (result["type"], result["title"]) == (FlowResultType.CREATE_ENTRY, "Built-in")
    assert result["data"] == {**ENGINE, "threads": 1}
    entry = result["result"]
    assert entry.unique_id == "builtin"
    await hass.async_block_till_done()
    assert entry.state is ConfigEntryState.LOADED
    assert dr.async_get(hass).async_get_device_by_identifier((DOMAIN, entry.entry_id), entry.entry_id)
    # One engine per extractor and runtime; the built-in extractor has no network, so its runtime tells nothing apart.
    for runtime in ("auto", "portable"):
        result = await begin(hass)
        result = await hass.config_entries.flow.async_configure(result["flow_id"], {**ENGINE, "runtime": runtime})
        assert (result["type"], result["reason"]) == (FlowResultType.ABORT, "already_configured")
    assert await hass.config_entries.async_unload(entry.entry_id)


@pytest.mark.parametrize(
    ("content", "key"),
    [
        (b"no model at all", "corrupt_model"),
        (b"", "corrupt_model"),
        (b"\x1c\x00\x00\x00TFL3" + bytes(20), "corrupt_model"),
    ],
    ids=["text", "empty", "header only"],
)
async def test_a_bad_extractor_is_refused_before_it_is_kept(
    hass: HomeAssistant, camera: FakeCamera, content: bytes, key: str
) -> None:
    models = Path(hass.config.path(DOMAIN, "models"))
    models.mkdir(parents=True)
    (models / "mine.tflite").write_bytes(content)
    result = await begin(hass)
    chosen = {"extractor": "mine.tflite", "runtime": "portable"}
    result = await hass.config_entries.flow.async_configure(result["flow_id"], chosen)
    assert (result["type"], result["errors"]) == (FlowResultType.FORM, {"base": key})
    assert (result["description_placeholders"] or {})["reason"]
    # The same flow goes on to a good end.
    result = await hass.config_entries.flow.async_configure(result["flow_id"], ENGINE)
    assert result["type"] is FlowResultType.CREATE_ENTRY
    await hass.async_block_till_done()
    assert await hass.config_entries.async_unload(result["result"].entry_id)


@pytest.mark.parametrize(
    ("litert", "offered"), [("installed", ["litert"]), ("installable", ["install"]), ("no_wheel", [])]
)
async def test_litert_is_offered_where_it_can_be_had_and_the_form_says_why_not(
    hass: HomeAssistant, camera: FakeCamera, monkeypatch: pytest.MonkeyPatch, litert: str, offered: list[str]
) -> None:
    monkeypatch.setattr(config_flow, "litert_state", lambda: litert)
    result = await begin(hass)
    schema = result["data_schema"]
    assert schema
    (options,) = [value.config["options"] for key, value in schema.schema.items() if key == "runtime"]
    assert options == ["auto", "portable", *offered]
    texts = json.loads((Path(config_flow.__file__).parent / "translations" / "en.json").read_text())
    assert (result["description_placeholders"] or {})["runtime_note"] == texts["selector"]["litert"]["options"][litert]
    hass.config_entries.flow.async_abort(result["flow_id"])


async def choose(hass: HomeAssistant, result: Any, **chosen: Any) -> Any:
    """Submit the engine's form, and wait until what goes on in the background is done."""
    result = await hass.config_entries.flow.async_configure(result["flow_id"], {**ENGINE, **chosen})
    return await progressed(hass, result)


async def progressed(hass: HomeAssistant, result: Any) -> Any:
    """Ask as the frontend does until a flow shows something else than progress."""
    while result["type"] is FlowResultType.SHOW_PROGRESS:
        await asyncio.sleep(0.01)
        result = await hass.config_entries.flow.async_configure(result["flow_id"])
    return result


async def test_an_extractor_is_downloaded_with_progress_and_tested(
    hass: HomeAssistant, camera: FakeCamera, server: FileServer
) -> None:
    updates = async_capture_events(hass, EVENT_DATA_ENTRY_FLOW_PROGRESS_UPDATE)
    result = await begin(hass)
    chosen = {**ENGINE, "extractor": PUBLISHED, "runtime": "portable"}
    result = await hass.config_entries.flow.async_configure(result["flow_id"], chosen)
    assert (result["type"], result["progress_action"]) == (FlowResultType.SHOW_PROGRESS, "download")
    result = await progressed(hass, result)
    assert (result["type"], result["title"]) == (FlowResultType.CREATE_ENTRY, "Published network (portable)")
    assert [event.data["progress"] for event in updates][-1] == 1
    await hass.async_block_till_done()
    entry = result["result"]
    assert entry.runtime_data.embedder.runtime == "portable"
    assert len(server.requests) == 1
    assert await hass.config_entries.async_unload(entry.entry_id)


async def test_a_download_of_unknown_size_tells_no_progress(
    hass: HomeAssistant, camera: FakeCamera, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = vars(choices)["CATALOGUE"][PUBLISHED]
    unknown = replace(known, file=server.published(known=False, name="published.tflite"))
    monkeypatch.setattr(choices, "CATALOGUE", {PUBLISHED: unknown})

    async def without_length(request: Request) -> None:
        await request.head(200)
        await request.body(request.content)

    server.answers = [without_length]
    updates = async_capture_events(hass, EVENT_DATA_ENTRY_FLOW_PROGRESS_UPDATE)
    result = await choose(hass, await begin(hass), extractor=PUBLISHED, runtime="portable")
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert [event.data["progress"] for event in updates if event.data["progress"] < 1] == []
    await hass.async_block_till_done()
    assert await hass.config_entries.async_unload(result["result"].entry_id)


async def test_without_a_network_there_are_three_ways_on(
    hass: HomeAssistant, camera: FakeCamera, server: FileServer
) -> None:
    server.answers = [status(404)]
    result = await begin(hass)
    result = await choose(hass, result, extractor=PUBLISHED, runtime="portable")
    assert (result["type"], result["step_id"]) == (FlowResultType.MENU, "download_failed")
    shown = result["description_placeholders"]
    assert "404" in shown["reason"] and shown["file"] == "published.tflite" and shown["folder"]
    # Again, and in vain.
    result = await hass.config_entries.flow.async_configure(result["flow_id"], {"next_step_id": "retry"})
    result = await progressed(hass, result)
    assert result["step_id"] == "download_failed"
    # Another one.
    result = await hass.config_entries.flow.async_configure(result["flow_id"], {"next_step_id": "another"})
    assert (result["type"], result["step_id"], result["errors"]) == (FlowResultType.FORM, "local", {})
    result = await choose(hass, result, extractor=PUBLISHED, runtime="portable")
    # The server is back.
    server.answers = [good]
    result = await hass.config_entries.flow.async_configure(result["flow_id"], {"next_step_id": "retry"})
    result = await progressed(hass, result)
    assert result["type"] is FlowResultType.CREATE_ENTRY
    await hass.async_block_till_done()
    assert await hass.config_entries.async_unload(result["result"].entry_id)


async def test_an_engine_may_be_made_before_its_extractor_is_there(
    hass: HomeAssistant, camera: FakeCamera, server: FileServer
) -> None:
    server.answers = [status(404)]
    result = await begin(hass)
    result = await choose(hass, result, extractor=PUBLISHED)
    result = await hass.config_entries.flow.async_configure(result["flow_id"], {"next_step_id": "finish"})
    assert result["type"] is FlowResultType.CREATE_ENTRY
    await hass.async_block_till_done()
    assert result["result"].runtime_data.embedder.runtime == "builtin"
    assert await hass.config_entries.async_unload(result["result"].entry_id)


async def test_closing_the_dialog_stops_the_download(
    hass: HomeAssistant, camera: FakeCamera, server: FileServer
) -> None:
    async def hang(request: Request) -> None:
        await request.head(200, Content_Length=len(request.content))
        await request.body(request.content[:1000])
        await asyncio.sleep(30)

    server.answers = [hang]
    result = await begin(hass)
    arrived = async_capture_events(hass, EVENT_DATA_ENTRY_FLOW_PROGRESS_UPDATE)
    chosen = {**ENGINE, "extractor": PUBLISHED}
    result = await hass.config_entries.flow.async_configure(result["flow_id"], chosen)
    while not arrived:
        await asyncio.sleep(0.01)
    hass.config_entries.flow.async_abort(result["flow_id"])
    folder = Path(hass.config.cache_path(DOMAIN))
    while not list(folder.glob("*.part")):  # what arrived is still being written
        await asyncio.sleep(0.01)
    requests = len(server.requests)
    await asyncio.sleep(0.1)
    assert len(server.requests) == requests
    assert [path.name for path in folder.iterdir()] == ["published.tflite.part"]


async def test_what_was_downloaded_but_can_not_be_used_is_said_in_the_form(
    hass: HomeAssistant, camera: FakeCamera, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_args: object, **_options: object) -> None:
        raise SelfTestFailed("picture 3 looks like picture 4")

    monkeypatch.setattr("custom_components.coral_imprint.core.embedding.runtimes.choice.check", fails)
    result = await begin(hass)
    result = await choose(hass, result, extractor=PUBLISHED, runtime="portable")
    assert (result["type"], result["errors"]) == (FlowResultType.FORM, {"base": "self_test_failed"})
    assert result["description_placeholders"]["reason"] == "picture 3 looks like picture 4"
    hass.config_entries.flow.async_abort(result["flow_id"])


async def test_litert_is_installed_by_home_assistants_requirements_manager(
    hass: HomeAssistant, camera: FakeCamera, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Any, ...]] = []
    works = False
    there = False

    async def process(hass: HomeAssistant, name: str, needed: list[str], is_built_in: bool = True) -> None:
        nonlocal there
        await asyncio.sleep(0.01)
        asked.append((name, needed, is_built_in))
        if not works:
            raise RequirementsNotFound(name, needed)
        there = True

    monkeypatch.setattr(litert, "litert_available", lambda: there)
    monkeypatch.setattr(litert, "async_process_requirements", process)
    result = await begin(hass)
    chosen = {**ENGINE, "extractor": PUBLISHED, "runtime": "install"}
    result = await hass.config_entries.flow.async_configure(result["flow_id"], chosen)
    assert (result["type"], result["progress_action"]) == (FlowResultType.SHOW_PROGRESS, "install")
    result = await progressed(hass, result)
    assert (result["type"], result["errors"]) == (FlowResultType.FORM, {"base": "runtime_unavailable"})
    works = True
    result = await choose(hass, result, extractor=PUBLISHED, runtime="install")
    assert (result["type"], result["data"]["runtime"]) == (FlowResultType.CREATE_ENTRY, "litert")
    assert asked == [(DOMAIN, [LITERT_REQUIREMENT], False)] * 2
    await hass.async_block_till_done()
    # The package itself is in the tests' environment.
    assert result["result"].runtime_data.embedder.runtime == "litert"
    assert await hass.config_entries.async_unload(result["result"].entry_id)


async def test_reconfigure_an_engine(hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera) -> None:
    await teach(hass, engine, camera, "closed", "open")
    result = await engine.start_reconfigure_flow(hass)
    assert (result["type"], result["menu_options"]) == (FlowResultType.MENU, ["choose", "recommend", "server"])
    result = await hass.config_entries.flow.async_configure(result["flow_id"], {"next_step_id": "choose"})
    assert (result["type"], result["step_id"]) == (FlowResultType.FORM, "choose")
    result = await hass.config_entries.flow.async_configure(result["flow_id"], {**ENGINE, "runtime": "portable"})
    await hass.async_block_till_done(wait_background_tasks=True)
    assert (result["type"], result["reason"]) == (FlowResultType.ABORT, "reconfigure_successful")
    assert engine.data["runtime"] == "portable"
    assert engine.state is ConfigEntryState.LOADED
    assert engine.runtime_data.settings.runtime == "portable"
    camera.show("closed", 3)
    for _ in range(2):
        await act(hass, engine, "look")
    assert state(hass, "sensor.gate_class") == "closed"
