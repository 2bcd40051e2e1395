"""A real Home Assistant with the integration, and a camera that shows what a test tells it to."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
import threading
from typing import Any
from unittest.mock import patch

from custom_components import coral_imprint  # noqa: F401 - before the plug-in's own custom_components package

# isort: split
from homeassistant import config_entries
from homeassistant.components.camera import Camera
from homeassistant.config_entries import ConfigEntry, ConfigEntryState, ConfigSubentryDataWithId
from homeassistant.const import Platform
from homeassistant.core import HomeAssistant, SupportsResponse
from homeassistant.helpers import device_registry as dr, entity_registry as er, issue_registry as ir
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from homeassistant.setup import async_setup_component
import numpy as np
from PIL import Image, ImageDraw
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    MockModule,
    MockPlatform,
    mock_config_flow,
    mock_integration,
    mock_platform,
)

from custom_components.coral_imprint import issues
from custom_components.coral_imprint.core.embedding import Embedder, Extractor
from custom_components.coral_imprint.extractors import choices, clutter_bank, downloads, extractor_files
from tests.embedding.graphs import restart_random, separable

from .file_server import FileServer
from .shown import Shown

DOMAIN = "coral_imprint"
CAMERA = "camera.driveway"
PUBLISHED = "published"
NETWORK = {"extractor": "mine.tflite", "runtime": "portable"}


def draw(gate: str, seed: int = 0, size: tuple[int, int] = (320, 240)) -> bytes:
    """Return a JPEG of a gate: two bright leaves in the middle when closed, at the sides when open; noise by seed."""
    rng = np.random.default_rng((seed, len(gate)))
    noise = rng.normal(100, 12, (size[1], size[0], 3)).clip(0, 255).astype(np.uint8)
    picture = Image.fromarray(noise)
    canvas = ImageDraw.Draw(picture)
    width, height = size
    spans = {"closed": [(0.3, 0.7)], "open": [(0.0, 0.15), (0.85, 1.0)], "half": [(0.0, 0.15), (0.5, 0.7)]}[gate]
    for left, right in spans:
        canvas.rectangle((left * width, 0.2 * height, right * width, 0.9 * height), fill=(200, 190, 60))
        for bar in np.linspace(left, right, 6):
            canvas.line((bar * width, 0.2 * height, bar * width, 0.9 * height), fill=(40, 40, 40), width=4)
    buffer = BytesIO()
    picture.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


class FakeCamera:
    """The one thing that is not real: what the camera shows."""

    def __init__(self) -> None:
        """Show a closed gate."""
        self.frame: bytes | Exception | None = draw("closed")
        self.asked = 0

    def show(self, gate: str, seed: int = 0) -> None:
        """Show a gate."""
        self.frame = draw(gate, seed)


class FakeCameraEntity(Camera):
    """The camera's entity."""

    _attr_name = "Driveway"
    _attr_unique_id = "driveway"

    def __init__(self, shown: FakeCamera) -> None:
        """Take what is shown."""
        super().__init__()
        self._shown = shown

    async def async_camera_image(self, width: int | None = None, height: int | None = None) -> bytes | None:
        """Return the frame, or fail as told."""
        self._shown.asked += 1
        assert width is None and height is None
        if isinstance(self._shown.frame, Exception):
            raise self._shown.frame
        return self._shown.frame


@pytest.fixture(autouse=True)
def custom_integration(enable_custom_integrations: None) -> None:
    """Let Home Assistant load the integration."""


@pytest.fixture(autouse=True)
def small_banks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw as little as a bank takes: it is measured elsewhere."""
    monkeypatch.setattr(clutter_bank, "COUNT", 32)


@pytest.fixture
def all_enabled() -> Iterator[None]:
    """Enable the entities too that are disabled by default."""
    with patch("homeassistant.helpers.entity.Entity.entity_registry_enabled_default", True):
        yield


@pytest.fixture(autouse=True)
def own_config_folder(hass: HomeAssistant, tmp_path: Any) -> None:
    """Give each test a configuration folder of its own: examples are files."""
    hass.config.config_dir = str(tmp_path)
    hass.config.allowlist_external_dirs = {str(tmp_path / "allowed")}


@pytest.fixture(autouse=True)
def shown(hass: HomeAssistant) -> Iterator[Shown]:
    """Hold against the translations whatever a person would be shown in this test."""
    with Shown(hass) as made:
        yield made
    assert not made.troubles, "\n".join(made.troubles)


class _Flow(config_entries.ConfigFlow):
    """The camera integration's flow is never used."""


@pytest.fixture
async def camera(hass: HomeAssistant) -> AsyncIterator[FakeCamera]:
    """Return a camera entity of another integration."""
    made = FakeCamera()

    async def setup_entry(hass: HomeAssistant, entry: ConfigEntry) -> bool:
        await hass.config_entries.async_forward_entry_setups(entry, [Platform.CAMERA])
        return True

    async def unload_entry(hass: HomeAssistant, entry: ConfigEntry) -> bool:
        return await hass.config_entries.async_unload_platforms(entry, [Platform.CAMERA])

    async def add(hass: HomeAssistant, entry: ConfigEntry, add_entities: AddConfigEntryEntitiesCallback) -> None:
        add_entities([FakeCameraEntity(made)])

    mock_integration(hass, MockModule("fake", async_setup_entry=setup_entry, async_unload_entry=unload_entry))
    mock_platform(hass, "fake.config_flow")
    mock_platform(hass, "fake.camera", MockPlatform(async_setup_entry=add))
    with mock_config_flow("fake", _Flow):
        entry = MockConfigEntry(domain="fake")
        entry.add_to_hass(hass)
        assert await async_setup_component(hass, "homeassistant", {})
        assert await hass.config_entries.async_setup(entry.entry_id)
        await hass.async_block_till_done()
        assert hass.states.get(CAMERA)
        yield made


def classifier_data(hass: HomeAssistant, **changed: Any) -> dict[str, Any]:
    """Return a classifier's data as its flow would have stored it."""
    registered = er.async_get(hass).async_get(CAMERA)
    assert registered
    data: dict[str, Any] = {
        "camera": registered.id,
        "folder": "gate",
        "classes": ["open", "closed"],
        "background": "",
        "interval": 10,
        "region": {"left": 0, "top": 0, "right": 100, "bottom": 100},
        "decision": {"enter_at": 80, "stay_at": 60, "looks": 2, "hold": 30, "stale_after": 300},
    }
    return data | changed


@pytest.fixture
def entry(hass: HomeAssistant, camera: FakeCamera) -> MockConfigEntry:
    """Return an engine with one classifier, not yet set up."""
    made = MockConfigEntry(
        domain=DOMAIN,
        title="Built-in",
        unique_id="builtin",
        data={"extractor": "builtin", "runtime": "auto"},
        subentries_data=[
            ConfigSubentryDataWithId(
                data=classifier_data(hass),
                subentry_id="gate_id",
                subentry_type="classifier",
                title="Gate",
                unique_id=None,
            )
        ],
    )
    made.add_to_hass(hass)
    return made


@pytest.fixture
async def engine(hass: HomeAssistant, entry: MockConfigEntry) -> AsyncIterator[MockConfigEntry]:
    """Return the engine, set up, and unload it in the end."""
    assert await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done(wait_background_tasks=True)
    yield entry
    if entry.state is ConfigEntryState.LOADED:
        assert await hass.config_entries.async_unload(entry.entry_id)
        await hass.async_block_till_done(wait_background_tasks=True)


def device_id(hass: HomeAssistant, entry: MockConfigEntry, identifier: str = "gate_id") -> str:
    """Return the id of a classifier's device."""
    device = dr.async_get(hass).async_get_device_by_identifier((DOMAIN, identifier), entry.entry_id)
    assert device
    return device.id


def state(hass: HomeAssistant, entity_id: str) -> str | None:
    """Return an entity's state, None for one that is not there."""
    found = hass.states.get(entity_id)
    return found.state if found else None


async def act(hass: HomeAssistant, entry: MockConfigEntry, action: str, **data: Any) -> Any:
    """Call an action on the classifier and return its response."""
    response = hass.services.supports_response(DOMAIN, action) is not SupportsResponse.NONE
    result = await hass.services.async_call(
        DOMAIN, action, {"device_id": device_id(hass, entry), **data}, blocking=True, return_response=response
    )
    await hass.async_block_till_done(wait_background_tasks=True)
    return result


async def teach(hass: HomeAssistant, entry: MockConfigEntry, camera: FakeCamera, *gates: str, seed: int = 100) -> None:
    """Capture an example of each gate, the first one drawn by ``seed``, the next ones by the numbers after it."""
    for number, gate in enumerate(gates, seed):
        camera.show(gate, number)
        await act(hass, entry, "capture_example", **{"class": gate})


async def decide(hass: HomeAssistant, entry: MockConfigEntry, **options: Any) -> None:
    """Change options of the classifier's decision as its form does."""
    subentry = entry.subentries["gate_id"]
    decision = {**subentry.data["decision"], **options}
    hass.config_entries.async_update_subentry(entry, subentry, data={**subentry.data, "decision": decision})
    await settled(hass)


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Return a list of the pictures that are embedded, by any embedder, from now on."""
    pictures: list[bytes] = []
    real = Embedder.see

    async def counted(self: Embedder, picture: bytes, *args: Any) -> Any:
        found = await real(self, picture, *args)
        if not all(seen.reused for seen in found):
            pictures.append(picture)
        return found

    many = Embedder.embed_many

    async def counted_many(self: Embedder, found: Sequence[bytes], *args: Any) -> Any:
        pictures.extend(found)
        return await many(self, found, *args)

    monkeypatch.setattr(Embedder, "see", counted)
    monkeypatch.setattr(Embedder, "embed_many", counted_many)
    return pictures


@asynccontextmanager
async def knowing_a_gate(
    hass: HomeAssistant, entry: MockConfigEntry, camera: FakeCamera, data: dict[str, Any]
) -> AsyncIterator[MockConfigEntry]:
    """Set an engine up as it is told, with a classifier that knows a gate and embeds every picture, and unload it in the end."""
    hass.config_entries.async_update_entry(entry, data=data)
    subentry = entry.subentries["gate_id"]
    own = {**subentry.data, "when": {"least_change": 0}}
    hass.config_entries.async_update_subentry(entry, subentry, data=own)
    assert await hass.config_entries.async_setup(entry.entry_id)
    await settled(hass)
    await teach(hass, entry, camera, "closed", "open")
    yield entry
    if entry.state is ConfigEntryState.LOADED:
        assert await hass.config_entries.async_unload(entry.entry_id)
    await settled(hass)


def network(channels: int = 16) -> bytes:
    """Return the file of a small network, another one for another number of channels."""
    restart_random()
    return separable("uint8", 32, 32, channels)


@pytest.fixture
async def server(
    hass: HomeAssistant, socket_enabled: None, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[FileServer]:
    """Return a server of a published network, which the catalogue knows."""
    monkeypatch.setattr(downloads, "BACKOFF", 0.002)
    made = FileServer(network())
    await made.start()
    file = made.published(name="published.tflite")
    extractor = Extractor(
        key=PUBLISHED,
        title="Published network",
        licence="Apache-2.0",
        file=file,
        edgetpu=None,
        input_size=(32, 32),
        length=16,
        ms={},
        fixed_camera=None,
        kinds=None,
    )
    for module in (extractor_files, choices, issues):
        monkeypatch.setattr(module, "CATALOGUE", {PUBLISHED: extractor})
    yield made
    await made.stop()


def models(hass: HomeAssistant) -> Path:
    """Return the user's folder of models."""
    folder = Path(hass.config.path(DOMAIN, "models"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


async def change(hass: HomeAssistant, entry: MockConfigEntry, **data: Any) -> None:
    """Change an engine as its reconfiguration does."""
    hass.config_entries.async_update_entry(entry, data={"runtime": "portable", **data})
    await hass.async_block_till_done(wait_background_tasks=True)


async def settled(hass: HomeAssistant) -> None:
    await hass.async_block_till_done(wait_background_tasks=True)


def told(hass: HomeAssistant) -> dict[str, ir.IssueEntry]:
    """Return our issues by translation key."""
    found = [issue for issue in ir.async_get(hass).issues.values() if issue.domain == DOMAIN]
    return {issue.translation_key or "": issue for issue in found}


def workers() -> int:
    """Return how many embedders are open."""
    return sum(thread.name.startswith("coral_imprint_0") for thread in threading.enumerate())
