"""Diagnostics say how things are, and nothing that is the user's own; system health; the logbook."""

from collections.abc import Iterator
import json
from pathlib import Path
from typing import Any

from homeassistant.components.logbook.helpers import async_subscribe_events
from homeassistant.core import CALLBACK_TYPE, Event, EventStateChangedData, HomeAssistant, callback
from homeassistant.helpers import device_registry as dr
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, get_system_health_info
from pytest_homeassistant_custom_component.components.diagnostics import (
    get_diagnostics_for_config_entry,
    get_diagnostics_for_device,
)
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.coral_imprint import system_health
from custom_components.coral_imprint.core.embedding import devices

from .conftest import (
    CAMERA,
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
from .cores import MODEL, Scripted, replies, serving
from .extractors.test_edge_tpu import WITH_COMPILER, device, on_device  # noqa: F401 - fixtures
from .extractors.test_remote import TOKEN, engine_data, fails

PRIVATE_WORDS = ("open", "closed", "Gate", "gate", "Driveway", "driveway")
"""Labels, the classifier's name, the camera's."""


def words(found: Any) -> Iterator[str]:
    """Yield every key and every text, with what other values look like."""
    if isinstance(found, dict):
        for key, value in found.items():
            yield str(key)
            yield from words(value)
    elif isinstance(found, list):
        for value in found:
            yield from words(value)
    else:
        yield str(found)


def keeps_to_itself(hass: HomeAssistant, found: Any, *secrets: str) -> list[str]:
    """Make sure that nothing private is in what would be handed on; return all that is said."""
    said = list(words(found))
    assert len(said) > 60
    names = {path.name for path in Path(hass.config.path(DOMAIN)).rglob("*") if path.is_file()}
    folders = {hass.config.config_dir, hass.config.path(DOMAIN), CAMERA}
    stems = {Path(name).stem for name in names if name.endswith(".jpg")}
    assert len(names) > 4 and stems
    for secret in (*secrets, *names, *stems, *folders):
        assert not [text for text in said if secret in text], secret
    for word in PRIVATE_WORDS:
        assert word not in said and not [text for text in said if word in text.split()], word
    return said


async def test_an_engine_with_a_file_of_the_users(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, hass_client: ClientSessionGenerator
) -> None:
    (models(hass) / "mine.tflite").write_bytes(network())
    await change(hass, engine, **NETWORK)
    await teach(hass, engine, camera, "closed", "open")
    subentry = engine.subentries["gate_id"]
    when = {"triggers": ["binary_sensor.bell", "binary_sensor.motion"], "light": "light.porch"}
    hass.config_entries.async_update_subentry(engine, subentry, data={**subentry.data, "when": when})
    await settled(hass)
    camera.frame = b"<html>"
    with pytest.raises(Exception, match="picture"):
        await act(hass, engine, "look")
    found: Any = await get_diagnostics_for_config_entry(hass, hass_client, engine)
    keeps_to_itself(hass, found, "mine", "bell", "motion", "porch")
    assert found["settings"] | {"extractor": "own", "runtime": "portable", "servers": 0} == found["settings"]
    assert found["engine"]["fingerprint"].startswith(f"{found['engine']['identity']}/portable/")
    assert found["engine"]["milliseconds"]["of"] >= 2
    times = found["engine"]["milliseconds"]
    assert 0 < times["p50"] <= times["p90"] <= times["most"]
    (classifier,) = found["classifiers"]
    assert classifier["camera"] == {"registered": True, "platform": "fake", "disabled": False, "state": "idle"}
    learner = engine.runtime_data.classifiers["gate_id"].learner
    assert {key: row["examples"] for key, row in classifier["classes"].items()} == learner.counts
    assert classifier["learned"]["head"] == "imprint" and classifier["learned"]["classes"] == 2
    assert classifier["errors"]["not_a_picture"]["times"] == 1
    assert classifier["last_look"]["good"] is False and classifier["last_look"]["current"] in learner.classes
    options = classifier["options"]
    assert (options["rules"]["enter_at"], options["region"]["right"], options["classes"]) == (0.8, 1, 2)
    assert (options["name"], options["camera"], options["head"]) == ("**REDACTED**", "**REDACTED**", None)
    assert found["engine"]["counts"]["looks"] > 2


async def test_a_classifiers_device_speaks_of_it_alone(
    hass: HomeAssistant, engine: MockConfigEntry, hass_client: ClientSessionGenerator
) -> None:
    registry = dr.async_get(hass)
    for identifier, classifiers in (("gate_id", ["gate_id"]), (engine.entry_id, ["gate_id"])):
        shown = registry.async_get(device_id(hass, engine, identifier))
        assert shown
        found: Any = await get_diagnostics_for_device(hass, hass_client, engine, shown)
        assert [one["id"] for one in found["classifiers"]] == classifiers
        assert found["engine"]["runtime"] == "builtin"


async def test_servers_are_told_of_without_address_and_token(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    camera: FakeCamera,
    hass_client: ClientSessionGenerator,
    socket_enabled: None,
) -> None:
    script = Scripted(token=TOKEN)
    async with serving(script), knowing_a_gate(hass, entry, camera, engine_data(script.url, token=TOKEN)):
        script.fault = replies(500, b'{"error": "a secret of the server\'s"}')
        await fails(hass, entry, camera, "server_refused", 40)
        found: Any = await get_diagnostics_for_config_entry(hass, hass_client, entry)
        port = script.url.rpartition(":")[2]
        keeps_to_itself(hass, found, TOKEN, "127.0.0.1", f":{port}", script.url, MODEL, "secret of the server")
        assert found["settings"]["token"] == "**REDACTED**" and found["settings"]["servers"] == 1
        (server,) = found["engine"]["servers"]
        assert (server["healthy"], server["error"], server["failures_in_a_row"]) == (False, "server_refused", 1)
        assert (
            server["agreed"]["datatype"] == "UINT8" and server["agreed"]["length"] == found["engine"]["length"] - 2084
        )
        assert found["classifiers"][0]["errors"]["server_refused"]["times"] == 1
        script.fault = None
    await settled(hass)
    found = await get_diagnostics_for_config_entry(hass, hass_client, entry)
    assert found.keys() == {"settings", "litert", "repairs"}, "what is not running still tells its settings"
    assert not [text for text in words(found) if TOKEN in text or "127.0.0.1" in text]


@WITH_COMPILER
async def test_an_edge_tpu_and_its_twin(
    hass: HomeAssistant,
    on_device: MockConfigEntry,  # noqa: F811
    camera: FakeCamera,
    hass_client: ClientSessionGenerator,
) -> None:
    embedder = on_device.runtime_data.embedder
    embedder._child.lines.append(f"WARNING {models(hass)}/mine_edgetpu.tflite: mine is slow (File /usr/x/y.py)")
    found: Any = await get_diagnostics_for_config_entry(hass, hass_client, on_device)
    keeps_to_itself(hass, found, "mine", "/usr/x")
    device = found["engine"]["edgetpu"]  # noqa: F811
    assert device["server"]["state"] == "serving" and device["server"]["starts"] == 1
    assert device["likeness"]["may_share"] and device["likeness"]["mean"] > 0.999
    assert device["last_lines"][-1] == "WARNING **REDACTED**: **REDACTED** is slow (File **REDACTED**)"
    assert json.dumps(found)


# --- system health ------------------------------------------------------------------------------------------------


async def test_system_health(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    await teach(hass, engine, camera, "closed", "open", "open")
    survey = devices.Survey(
        Path("/usr/lib/libedgetpu.so.1"),
        (
            devices.EdgeTPU("usb", "usb:0", "/dev/bus/usb/001/002"),
            devices.EdgeTPU("pci", "pci:0", "/dev/apex_0", "no_access"),
        ),
    )
    monkeypatch.setattr(devices, "survey", lambda: survey)
    assert await async_setup_component(hass, "system_health", {})
    await settled(hass)
    info = await get_system_health_info(hass, DOMAIN)
    later = {key: await value for key, value in info.items() if hasattr(value, "__await__")}
    assert later.keys() == {"models", "litert", "edge_tpus", "data_size", "cache_size"}
    found = info | later
    assert (found["engines"], found["classifiers"], found["examples"]) == ("1 × builtin", 1, 3)
    assert (found["models"], found["edge_tpus"]) == (0, "usb:0, pci:0 (no_access)")
    assert float(found["data_size"].removesuffix(" MB")) > 0 and found["cache_size"] == "0.0 MB"
    texts = json.loads((Path(system_health.__file__).parent / "translations" / "en.json").read_text())
    assert texts["system_health"]["info"].keys() == found.keys()
    assert await hass.config_entries.async_unload(engine.entry_id)
    info = await get_system_health_info(hass, DOMAIN)
    assert (info["engines"], info["classifiers"]) == (0, 0)
    for key in later:
        await info[key]


# --- logbook ------------------------------------------------------------------------------------------------------


async def test_what_happened_reads_well(hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera) -> None:
    """A decision is an entry of the class's sensor and of each binary sensor; what looks measure is none."""
    await teach(hass, engine, camera, "closed", "open")
    told: list[tuple[str, str]] = []

    @callback
    def tell(event: Event[EventStateChangedData]) -> None:
        state = event.data["new_state"]
        assert state
        told.append((state.entity_id, state.state))

    subscriptions: list[CALLBACK_TYPE] = []
    async_subscribe_events(hass, subscriptions, tell, [], None, None, None)
    for gate, seed in (("open", 1), ("closed", 2), ("closed", 3), ("closed", 4), ("open", 5), ("open", 6)):
        camera.show(gate, seed)
        await act(hass, engine, "look")
    await act(hass, engine, "capture_example", **{"class": "open"})
    for unsubscribe in subscriptions:
        unsubscribe()
    assert sorted(told) == sorted(
        (entity_id, state)
        for gate, other in (("closed", "open"), ("open", "closed"))
        for entity_id, state in (
            ("sensor.gate_class", gate),
            (f"binary_sensor.gate_{gate}", "on"),
            (f"binary_sensor.gate_{other}", "off"),
        )
    )
