"""Pictures from elsewhere: image entities and Home Assistant's media."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from homeassistant.components import media_source
from homeassistant.components.image import ImageEntity
from homeassistant.components.image.const import DATA_COMPONENT
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
import voluptuous as vol

from custom_components.coral_imprint.actions import pictures
from tests.shell.classifiers.test_known_classes import learner_of
from tests.shell.conftest import CAMERA, FakeCamera, act, draw

from .test_archives import converted, gates, zipped


class Shown(ImageEntity):
    """An image entity of another integration."""

    _attr_unique_id = "doorbell"

    def __init__(self, hass: HomeAssistant, content: bytes | None) -> None:
        """Take what is shown."""
        super().__init__(hass)
        self.entity_id = "image.doorbell"
        self._attr_image_last_updated = datetime(2026, 11, 20, tzinfo=UTC)
        self.content = content

    async def async_image(self) -> bytes | None:
        """Return it."""
        return self.content


async def show(hass: HomeAssistant, content: bytes | None) -> Shown:
    """Return an image entity that shows something."""
    assert await async_setup_component(hass, "image", {})
    entity = Shown(hass, content)
    await hass.data[DATA_COMPONENT].async_add_entities([entity])
    return entity


def filed(entry: MockConfigEntry) -> list[bytes]:
    """Return the classifier's pictures."""
    return [one.path.read_bytes() for one in learner_of(entry).examples._store.examples()]


@pytest.fixture
def media(hass: HomeAssistant) -> Path:
    """Return the folder of Home Assistant's local media."""
    folder = Path(hass.config.path("media"))
    folder.mkdir()
    hass.config.media_dirs = {"local": str(folder)}
    return folder


def local(name: str) -> dict[str, Any]:
    """Return a local item as the media selector gives it."""
    return {"media_content_id": f"media-source://media_source/local/{name}", "media_content_type": "image/jpeg"}


async def test_an_image_entity(hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera) -> None:
    """What it shows is filed, as JPEG, and the camera is not asked for it."""
    entity = await show(hass, draw("open", 1))
    camera.frame = None
    await act(hass, engine, "capture_example", **{"class": "open", "image": "image.doorbell"})
    entity.content = converted(draw("closed", 2), "PNG")
    item = {"media_content_id": "media-source://image/image.doorbell", "media_content_type": "image/png"}
    answer = await act(hass, engine, "capture_example", **{"class": "closed", "media": item})
    assert len(answer["examples"]) == 1
    first, second = filed(engine)
    assert first == draw("open", 1)
    assert second[:3] == b"\xff\xd8\xff"


@pytest.mark.parametrize(
    ("content", "error", "key"),
    [
        (b"<svg/>", ServiceValidationError, "unreadable_picture"),
        (None, HomeAssistantError, "image_no_picture"),
    ],
)
async def test_an_image_entity_without_a_picture(
    hass: HomeAssistant, engine: MockConfigEntry, content: bytes | None, error: type[HomeAssistantError], key: str
) -> None:
    await show(hass, content)
    with pytest.raises(error) as refused:
        await act(hass, engine, "capture_example", **{"class": "open", "image": "image.doorbell"})
    assert refused.value.translation_key == key
    assert filed(engine) == []


async def test_an_image_entity_that_is_not_there(hass: HomeAssistant, engine: MockConfigEntry) -> None:
    with pytest.raises(HomeAssistantError) as refused:
        await act(hass, engine, "capture_example", **{"class": "open", "image": "image.nowhere"})
    assert refused.value.translation_key == "image_unavailable"
    with pytest.raises(vol.Invalid):
        await act(hass, engine, "capture_example", **{"class": "open", "image": CAMERA})


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
async def test_local_media(hass: HomeAssistant, media: Path, engine: MockConfigEntry, kind: str) -> None:
    """A file of the media folders needs no other leave."""
    name = f"gate.{kind.lower()}"
    (media / name).write_bytes(draw("open", 1) if kind == "JPEG" else converted(draw("open", 1), kind))
    await act(hass, engine, "capture_example", **{"class": "open", "media": local(name)})
    (picture,) = filed(engine)
    assert picture[:3] == b"\xff\xd8\xff"
    assert (picture == draw("open", 1)) is (kind == "JPEG")


async def test_another_camera_among_the_media(
    hass: HomeAssistant, media: Path, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    item = {"media_content_id": f"media-source://camera/{CAMERA}", "media_content_type": "image/jpeg"}
    camera.show("open", 5)
    await act(hass, engine, "capture_example", **{"class": "open", "media": item})
    assert filed(engine) == [draw("open", 5)]


@pytest.mark.parametrize(
    ("content_id", "key"),
    [
        ("media-source://media_source/local/missing.jpg", "file_not_read"),
        ("media-source://media_source/local/strange", "media_not_found"),
        ("media-source://media_source/local/../secrets.jpg", "media_not_found"),
        ("media-source://media_source/elsewhere/a.jpg", "media_not_found"),
        ("media-source://nobody/a.jpg", "media_not_found"),
        ("no media", "media_not_found"),
        ("media-source://media_source/local/large.jpg", "file_too_large"),
        ("media-source://image/image.nowhere", "image_unavailable"),
    ],
)
async def test_media_that_cannot_be_had(
    hass: HomeAssistant,
    media: Path,
    engine: MockConfigEntry,
    monkeypatch: pytest.MonkeyPatch,
    content_id: str,
    key: str,
) -> None:
    monkeypatch.setattr(pictures, "LARGEST_PICTURE_FILE", 1000)
    (media / "large.jpg").write_bytes(draw("open"))
    item = {"media_content_id": content_id, "media_content_type": "image/jpeg"}
    with pytest.raises(HomeAssistantError) as refused:
        await act(hass, engine, "capture_example", **{"class": "open", "media": item})
    assert refused.value.translation_key == key
    assert filed(engine) == []


async def test_media_of_the_internet(
    hass: HomeAssistant, engine: MockConfigEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is fetched from anywhere: private by default."""

    async def elsewhere(*_: Any) -> media_source.PlayMedia:
        return media_source.PlayMedia("http://elsewhere/a.jpg", "image/jpeg")

    monkeypatch.setattr(media_source, "async_resolve_media", elsewhere)
    with pytest.raises(ServiceValidationError) as refused:
        await act(hass, engine, "capture_example", **{"class": "open", "media": local("a.jpg")})
    assert refused.value.translation_key == "media_not_local"


async def test_a_file_without_a_name_is_none(hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera) -> None:
    """As from a template whose variable is empty: the camera is asked."""
    camera.show("open", 1)
    assert len((await act(hass, engine, "capture_example", **{"class": "open", "file": ""}))["examples"]) == 1
    assert filed(engine) == [camera.frame]


async def test_one_picture_at_a_time(hass: HomeAssistant, engine: MockConfigEntry) -> None:
    with pytest.raises(vol.Invalid):
        await act(hass, engine, "capture_example", **{"class": "open", "image": "image.a", "media": local("a.jpg")})


async def test_a_zip_among_the_media(hass: HomeAssistant, media: Path, engine: MockConfigEntry) -> None:
    zipped(media / "gate.zip", gates(each=2))
    answer = await act(hass, engine, "import_examples", media_content_id="media-source://media_source/local/gate.zip")
    assert answer["added"] == {"open": 2, "closed": 2}
