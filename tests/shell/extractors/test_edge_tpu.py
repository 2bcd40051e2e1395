"""Engines on an Edge TPU: a stand-in for libedgetpu in a real process of its own, which comes, goes and aborts."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from homeassistant.config_entries import SOURCE_USER, ConfigSubentryDataWithId
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import entity_registry as er
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
import pytest_socket

from bench.faults import Seen, Tally, Torment, growth, held, problems
from custom_components.coral_imprint.core.embedding import devices
from custom_components.coral_imprint.core.embedding.edgetpu.supervisor import Patience
from custom_components.coral_imprint.engines import engine as engine_module
from custom_components.coral_imprint.extractors import edge_tpu
from tests.shell.conftest import (
    DOMAIN,
    FakeCamera,
    act,
    change,
    classifier_data,
    device_id,
    draw,
    knowing_a_gate,
    models,
    network,
    settled,
    state,
    told,
    workers,
)
from tests.shell.cores import COMPILER, StandIn, compiled, standin_twin

WITH_COMPILER = pytest.mark.skipif(COMPILER is None, reason="needs a C compiler (Debian: gcc, libc6-dev)")
pytestmark = WITH_COMPILER

PATIENCE = Patience(start=20, watch=0.2, answer=1, misses=3, grace=0.5, first_pause=0.02, longest_pause=0.05)
CONNECTED = "binary_sensor.built_in_edge_tpu_connected"
ON_DEVICE = {"extractor": "mine.tflite", "runtime": "edgetpu", "device": "edgetpu", "threads": 1}


@pytest.fixture
def device(hass: HomeAssistant, socket_enabled: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a stand-in that computes nothing of its own, and put a pair of files into the folder of models."""
    pytest_socket.socket_allow_hosts(["127.0.0.1"], allow_unix_socket=True)
    standin = StandIn(tmp_path / "standin")
    (models(hass) / "mine.tflite").write_bytes(network())
    (models(hass) / "mine_edgetpu.tflite").write_bytes(compiled(network()))
    real = edge_tpu.options

    def options(*args: Any) -> Any:
        return replace(real(*args), environment=standin.environment, patience=PATIENCE)

    monkeypatch.setattr(edge_tpu, "options", options)
    monkeypatch.setattr(edge_tpu, "PATIENCE", 0.1)
    monkeypatch.setattr(engine_module, "RETRY_SOON_AFTER", (0.2,))
    found = devices.Survey(standin.library, (devices.EdgeTPU("usb", "usb:0", "/dev/bus/usb/001/002"),))
    monkeypatch.setattr(edge_tpu, "devices", SimpleNamespace(survey=lambda: found))
    return standin


@pytest.fixture
async def on_device(
    hass: HomeAssistant, entry: MockConfigEntry, camera: FakeCamera, device: Any
) -> AsyncIterator[MockConfigEntry]:
    """Return an engine on a device that computes what its twin does, with a classifier that knows a gate."""
    with standin_twin(device, network()):
        async with knowing_a_gate(hass, entry, camera, ON_DEVICE):
            yield entry
    assert workers() == 0


async def look_until(hass: HomeAssistant, entry: MockConfigEntry, camera: FakeCamera, connected: str) -> None:
    """Look, with success each time, until the device's sensor has a state."""
    coordinator = entry.runtime_data.classifiers["gate_id"]
    async with asyncio.timeout(30):
        # What looks as it did before is not embedded again.
        for seed in count(1000 + camera.asked):
            camera.show(("open", "closed")[seed % 2], seed)
            await coordinator.async_refresh()
            assert coordinator.last_update_success, coordinator.last_exception
            if state(hass, CONNECTED) == connected:
                return
            await asyncio.sleep(0.05)


async def told_until(hass: HomeAssistant, keys: set[str]) -> None:
    """Wait until exactly these issues are there."""
    async with asyncio.timeout(20):
        while set(told(hass)) != keys:
            await asyncio.sleep(0.02)


async def test_embeds_by_the_device(
    hass: HomeAssistant, on_device: MockConfigEntry, camera: FakeCamera, device: Any
) -> None:
    await look_until(hass, on_device, camera, "on")
    embedder = on_device.runtime_data.embedder
    assert (embedder.runtime, state(hass, "sensor.built_in_runtime")) == ("edgetpu", "edgetpu")
    assert embedder.diagnostics()["likeness"]["may_share"]
    runtime = hass.states.get("sensor.built_in_runtime")
    assert runtime and runtime.attributes["likeness"] > 0.999
    by_twin = embedder.by_twin
    for gate, seed in (("open", 20), ("closed", 30)):
        for number in range(2):
            camera.show(gate, seed + number)
            await act(hass, on_device, "look")
        assert state(hass, "sensor.gate_class") == gate
    assert embedder.by_twin == by_twin
    assert not told(hass)


async def test_the_twin_stands_in_and_it_is_told(
    hass: HomeAssistant, on_device: MockConfigEntry, camera: FakeCamera, device: Any
) -> None:
    await look_until(hass, on_device, camera, "on")
    device.set("refuse")
    device.set("abort")
    await look_until(hass, on_device, camera, "off")
    await told_until(hass, {"edgetpu_away"})
    assert on_device.runtime_data.embedder.by_twin > 0
    device.clear("refuse")
    await look_until(hass, on_device, camera, "on")
    await told_until(hass, set())


async def test_aborts_cost_no_look(
    hass: HomeAssistant, on_device: MockConfigEntry, camera: FakeCamera, device: Any
) -> None:
    """The library ends its process amid pictures; this one goes on looking."""
    await look_until(hass, on_device, camera, "on")
    for _ in range(5):
        device.set("abort")
        await look_until(hass, on_device, camera, "off")
        assert not device.pending("abort")
        await look_until(hass, on_device, camera, "on")
    assert on_device.runtime_data.embedder.diagnostics()["server"]["starts"] > 5


@pytest.fixture
async def eight(
    hass: HomeAssistant, camera: FakeCamera, device: Any, tmp_path: Path
) -> AsyncIterator[tuple[MockConfigEntry, list[str]]]:
    """Return an engine on a device, and the devices of its eight classifiers, each on a region of its own."""
    subentries = []
    for number in range(8):
        region = {"left": 12 * number, "top": 0, "right": 12 * number + 12, "bottom": 100}
        decision = classifier_data(hass)["decision"] | {"reject_foreign": False}
        when = {"least_change": 0}
        data = classifier_data(
            hass, folder=f"gate_{number}", interval=3600, region=region, decision=decision, when=when
        )
        subentries.append(
            ConfigSubentryDataWithId(
                data=data,
                subentry_id=f"id_{number}",
                subentry_type="classifier",
                title=f"Gate {number}",
                unique_id=None,
            )
        )
    entry = MockConfigEntry(domain=DOMAIN, title="Built-in", data=ON_DEVICE, subentries_data=subentries)
    entry.add_to_hass(hass)
    with standin_twin(device, network()):
        assert await hass.config_entries.async_setup(entry.entry_id)
        await settled(hass)
        for number in range(8):
            for gate in ("closed", "open"):
                camera.show(gate, number)
                data = {"device_id": device_id(hass, entry, f"id_{number}"), "class": gate}
                await hass.services.async_call(DOMAIN, "capture_example", data, blocking=True)
        yield entry, [device_id(hass, entry, f"id_{number}") for number in range(8)]
        assert await hass.config_entries.async_unload(entry.entry_id)
        await settled(hass)
    assert workers() == 0


async def test_chaos(
    hass: HomeAssistant, eight: tuple[MockConfigEntry, list[str]], camera: FakeCamera, device: Any
) -> None:
    """Aborts, a hang and a device that vanishes while eight classifiers look: the short form of ``bench/chaos_home.py``."""
    entry, classifiers = eight
    frames = [draw(gate, seed) for seed in range(16) for gate in ("open", "closed")]
    tally, end = Tally(), asyncio.Event()
    samples: list[dict[str, float]] = []

    async def look(classifier: str) -> None:
        loop = asyncio.get_running_loop()
        while not end.is_set():
            start = loop.time()
            camera.frame = frames[camera.asked % len(frames)]
            data = {"device_id": classifier}
            try:
                answer: Any = await hass.services.async_call(DOMAIN, "look", data, blocking=True, return_response=True)
            except HomeAssistantError as error:
                tally.failed[str(error)] += 1
            else:
                tally.add(loop.time() - start)
                tally.wrong += set(answer["scores"]) != {"open", "closed"}
            await asyncio.sleep(0.02)

    async def see() -> Seen:
        return Seen.of(entry.runtime_data.embedder.diagnostics())

    async def sample() -> None:
        samples.append(held(len(asyncio.all_tasks())))

    async with asyncio.TaskGroup() as group:
        for classifier in classifiers:
            group.create_task(look(classifier))
        await Torment(device, see, poll=0.01).go_on(aborts=6, every=3, sample=sample)
        end.set()
    seen = await see()
    counts = {"aborts": 6, "starts": seen.starts, "by_device": seen.by_device, "by_twin": seen.by_twin}
    found = tally.report() | counts | {"growth": growth(samples)}
    assert problems(found, most_seconds=10.0, most_mib=32.0) == []
    assert found["answers"] > 8 * len(classifiers)


async def test_without_the_device_at_first_the_built_in_extractor_serves(
    hass: HomeAssistant, entry: MockConfigEntry, camera: FakeCamera, device: Any
) -> None:
    device.set("refuse")
    hass.config_entries.async_update_entry(entry, data=ON_DEVICE)
    with standin_twin(device, network()):
        assert await hass.config_entries.async_setup(entry.entry_id)
        assert state(hass, "sensor.built_in_runtime") == "builtin"
        assert state(hass, CONNECTED) == "off"
        assert set(told(hass)) == {"edgetpu_unusable"}
        device.clear("refuse")
        await settled(hass)
        assert state(hass, "sensor.built_in_runtime") == "edgetpu"
        await look_until(hass, entry, camera, "on")
        assert not told(hass)
        # After a restart without the device, the twin answers at once: the two are known to embed alike.
        assert await hass.config_entries.async_unload(entry.entry_id)
        device.set("refuse")
        assert await hass.config_entries.async_setup(entry.entry_id)
        assert (state(hass, "sensor.built_in_runtime"), state(hass, CONNECTED)) == ("edgetpu", "off")
        await look_until(hass, entry, camera, "off")
        await told_until(hass, {"edgetpu_away"})
        assert await hass.config_entries.async_unload(entry.entry_id)
        assert not told(hass)
    await settled(hass)
    assert workers() == 0


async def test_another_program_has_the_device_at_the_start(
    hass: HomeAssistant, entry: MockConfigEntry, camera: FakeCamera, device: Any
) -> None:
    """It is listed and can't be opened, until the other program lets go: that is found out without anybody's help."""
    hass.config_entries.async_update_entry(entry, data=ON_DEVICE)
    with standin_twin(device, network()):
        with device.held():
            assert await hass.config_entries.async_setup(entry.entry_id)
            assert state(hass, "sensor.built_in_runtime") == "builtin"
            assert set(told(hass)) == {"edgetpu_unusable"}
        await settled(hass)
        assert state(hass, "sensor.built_in_runtime") == "edgetpu"
        await look_until(hass, entry, camera, "on")
        assert not told(hass)
        # Our own process has it now, and lets go of it in the end.
        with pytest.raises(BlockingIOError), device.held():
            pytest.fail("two programs have one device")
        assert await hass.config_entries.async_unload(entry.entry_id)
        with device.held():
            # The twin is known to embed alike: it answers at once, and the device is tried again and again.
            assert await hass.config_entries.async_setup(entry.entry_id)
            await told_until(hass, {"edgetpu_away"})
            await look_until(hass, entry, camera, "off")
            embedder = entry.runtime_data.embedder
            async with asyncio.timeout(30):
                while embedder.diagnostics()["server"]["starts"] < 3:
                    await asyncio.sleep(0.05)
        await look_until(hass, entry, camera, "on")
        await told_until(hass, set())
        assert await hass.config_entries.async_unload(entry.entry_id)
    await settled(hass)
    assert workers() == 0


async def test_the_sensor_goes_with_the_device(
    hass: HomeAssistant, on_device: MockConfigEntry, camera: FakeCamera
) -> None:
    await look_until(hass, on_device, camera, "on")
    await change(hass, on_device, extractor="builtin", runtime="auto")
    assert state(hass, CONNECTED) is None
    assert er.async_get(hass).async_get(CONNECTED) is None
    await change(hass, on_device, **ON_DEVICE)
    await look_until(hass, on_device, camera, "on")


async def test_add_an_engine_on_an_edge_tpu(hass: HomeAssistant, camera: FakeCamera, device: Any) -> None:
    result: Any = await hass.config_entries.flow.async_init(DOMAIN, context={"source": SOURCE_USER})
    assert result["menu_options"] == ["local", "server", "edgetpu"]
    result = await hass.config_entries.flow.async_configure(result["flow_id"], {"next_step_id": "edgetpu"})
    fields = {str(key): value for key, value in result["data_schema"].schema.items()}
    offered = [option["value"] for option in fields["extractor"].config["options"]]
    assert offered == ["mobilenet_v1_1.0_224", "efficientnet_edgetpu_s", "efficientnet_edgetpu_m", "mine.tflite"]
    assert fields["device"].config["options"] == ["edgetpu", "usb:0"]
    # A device that can't be opened is said in the form.
    device.set("refuse")
    result = await prepared(hass, result, extractor="mine.tflite")
    assert (result["type"], result["step_id"], result["errors"]) == (
        FlowResultType.FORM,
        "edgetpu",
        {"base": "runtime_unavailable"},
    )
    device.clear("refuse")
    with standin_twin(device, network()):
        result = await prepared(hass, result, extractor="mine.tflite", device="usb:0")
        assert (result["type"], result["title"]) == (FlowResultType.CREATE_ENTRY, "mine (Edge TPU)")
        assert result["data"] == {**ON_DEVICE, "device": "usb:0"}
        await settled(hass)
        assert result["result"].runtime_data.embedder.runtime == "edgetpu"
        assert await hass.config_entries.async_unload(result["result"].entry_id)


async def test_a_device_that_an_engine_has_is_not_tried_by_the_dialog(
    hass: HomeAssistant, on_device: MockConfigEntry, camera: FakeCamera, device: Any
) -> None:
    """The engine that is made has to wait for it, and says so."""
    (models(hass) / "other.tflite").write_bytes(network(24))
    (models(hass) / "other_edgetpu.tflite").write_bytes(compiled(network(24)))
    result: Any = await hass.config_entries.flow.async_init(DOMAIN, context={"source": SOURCE_USER})
    result = await hass.config_entries.flow.async_configure(result["flow_id"], {"next_step_id": "edgetpu"})
    device.set("refuse")  # as a device does that another process has
    result = await prepared(hass, result, extractor="other.tflite")
    assert result["type"] is FlowResultType.CREATE_ENTRY
    await told_until(hass, {"edgetpu_unusable"})
    device.clear("refuse")
    assert await hass.config_entries.async_unload(result["result"].entry_id)
    await look_until(hass, on_device, camera, "on")


async def prepared(hass: HomeAssistant, result: Any, **answers: Any) -> Any:
    """Submit the form, and wait while it is tried."""
    result = await hass.config_entries.flow.async_configure(result["flow_id"], answers)
    while result["type"] is FlowResultType.SHOW_PROGRESS:
        await asyncio.sleep(0.02)
        result = await hass.config_entries.flow.async_configure(result["flow_id"])
    return result


async def test_the_device_is_let_go_for_another_extractor(
    hass: HomeAssistant, entry: MockConfigEntry, camera: FakeCamera, device: Any
) -> None:
    """One process has a device at a time: a second one is refused until the first lets go."""
    (models(hass) / "other.tflite").write_bytes(network(24))
    (models(hass) / "other_edgetpu.tflite").write_bytes(compiled(network(24)))
    hass.config_entries.async_update_entry(entry, data=ON_DEVICE)
    assert await hass.config_entries.async_setup(entry.entry_id)
    await settled(hass)
    first = entry.runtime_data.embedder
    assert first.runtime == "edgetpu"
    device.set("refuse")
    hass.config_entries.async_update_entry(entry, data={**ON_DEVICE, "extractor": "other.tflite"})
    await told_until(hass, {"edgetpu_unusable"})
    assert state(hass, "sensor.built_in_runtime") == "builtin"
    async with asyncio.timeout(20):
        while first.diagnostics()["server"]["state"] != "stopped":
            await asyncio.sleep(0.02)
    device.clear("refuse")
    await settled(hass)
    assert (entry.runtime_data.pool.extractor, state(hass, "sensor.built_in_runtime")) == (
        "other.tflite",
        "edgetpu",
    )
    assert await hass.config_entries.async_unload(entry.entry_id)
    await settled(hass)
    assert workers() == 0
