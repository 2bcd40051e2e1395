"""Examples out as a zip and back in: what the actions answer, what the classifier knows then, and what is refused."""

import asyncio
import errno
from io import BytesIO
from pathlib import Path
from typing import Any
import zipfile

from homeassistant.core import Context, HomeAssistant
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError, Unauthorized
from PIL import Image
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, MockUser
import voluptuous as vol

from custom_components.coral_imprint.core.imprinting import Importing
from custom_components.coral_imprint.core.imprinting.examples import atomic
from tests.shell.classifiers.test_known_classes import learner_of
from tests.shell.conftest import DOMAIN, FakeCamera, act, device_id, draw, settled, state, teach

from .test_models import exports


def converted(jpeg: bytes, kind: str) -> bytes:
    """Return a picture in another format."""
    buffer = BytesIO()
    with Image.open(BytesIO(jpeg)) as image:
        image.save(buffer, kind)
    return buffer.getvalue()


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    """Write a zip of files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def gates(each: int = 3, kind: str = "JPEG") -> dict[str, bytes]:
    """Return pictures of open and closed gates in class folders."""
    suffix = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp"}[kind]
    return {
        f"gate/{gate}/{number}.{suffix}": converted(picture, kind) if kind != "JPEG" else picture
        for gate in ("open", "closed")
        for number in range(each)
        for picture in [draw(gate, 500 + number)]
    }


async def test_out_and_in_again(hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera) -> None:
    await teach(hass, engine, camera, "closed", "open", "closed")
    answer = await act(hass, engine, "export_examples")
    path = exports(hass) / "gate.zip"
    assert answer == {
        "file": str(path),
        "size": path.stat().st_size,
        "examples": {"open": 1, "closed": 2},
        "missing": 0,
    }
    before = {one.id: one.captured for one in learner_of(engine).examples._store.examples()}
    for label in ("open", "closed"):
        await act(hass, engine, "remove_class", **{"class": label})
    assert len(learner_of(engine).examples) == 0
    answer = await act(hass, engine, "import_examples", file="gate.zip")
    assert answer == {
        "added": {"open": 1, "closed": 2},
        "there_already": {},
        "classes": ["open", "closed"],
        "skipped": {},
        "files": [],
    }
    assert {one.id: one.captured for one in learner_of(engine).examples._store.examples()} == before
    camera.show("open", 7)
    assert (await act(hass, engine, "look"))["best"] == "open"
    assert state(hass, "binary_sensor.gate_open") is not None


async def test_only_some_classes(hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera) -> None:
    await teach(hass, engine, camera, "closed", "open")
    answer = await act(hass, engine, "export_examples", file="some.zip", classes=["OPEN"])
    assert answer["examples"] == {"open": 1}
    assert Path(answer["file"]).name == "some.zip"
    with zipfile.ZipFile(answer["file"]) as archive:
        assert sum(name.endswith(".jpg") for name in archive.namelist()) == 1
    with pytest.raises(ServiceValidationError) as refused:
        await act(hass, engine, "export_examples", classes=["ajar"])
    assert refused.value.translation_key == "unknown_class"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
async def test_class_folders_of_any_format(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, embedded: list[bytes], kind: str
) -> None:
    """Imported pictures are JPEG on disk, each embedded once, imprinted once, and undone at once."""
    path = zipped(Path(hass.config.path("allowed")) / "gate.zip", gates(kind=kind))
    files = {**gates(kind=kind), "gate/none/1.jpg": draw("half"), "gate/open/broken.jpg": draw("open")[:500]}
    zipped(path, files)
    versions = len(learner_of(engine).versions)
    answer = await act(hass, engine, "import_examples", file=str(path))
    assert answer["added"] == {"open": 3, "closed": 3, "background": 1}
    assert answer["classes"] == ["background"]
    assert answer["skipped"] == {"not_a_picture": 1}
    assert answer["files"] == [{"file": "gate/open/broken.jpg", "reason": "not_a_picture"}]
    learner = learner_of(engine)
    assert [one.path.read_bytes()[:3] for one in learner.examples._store.examples()] == [b"\xff\xd8\xff"] * 7
    assert len([picture for picture in embedded if picture != camera.frame]) == 7
    assert len(learner.versions) - versions == 1
    assert learner.percent_embedded == 100
    for gate in ("open", "closed"):
        camera.show(gate, 9)
        assert (await act(hass, engine, "look"))["best"] == gate
    again = await act(hass, engine, "import_examples", file=str(path))
    assert again["added"] == {}
    assert again["there_already"] == {"open": 3, "closed": 3, "background": 1}
    undone = await act(hass, engine, "undo")
    assert undone["change"] == "import_added"
    assert len(learner.examples) == 0
    await act(hass, engine, "redo")
    assert len(learner.examples) == 7


async def test_loose_pictures_need_a_class(hass: HomeAssistant, engine: MockConfigEntry) -> None:
    """As Teachable Machine gives the samples of one class."""
    zipped(exports(hass) / "samples.zip", {f"{number}.jpg": draw("open", number) for number in range(3)})
    answer = await act(hass, engine, "import_examples", file="samples.zip")
    assert (answer["added"], answer["skipped"]) == ({}, {"no_class": 3})
    answer = await act(hass, engine, "import_examples", file="samples.zip", **{"class": "Open"})
    assert answer["added"] == {"open": 3}
    with pytest.raises(ServiceValidationError) as refused:
        await act(hass, engine, "import_examples", file="samples.zip", **{"class": "unknown"})
    assert refused.value.translation_key == "invalid_label"


async def test_progress_while_the_looks_go_on(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The action answers once the pictures are filed; embedding them is another thing, which a sensor shows."""
    await teach(hass, engine, camera, "closed", "open")
    learner = learner_of(engine)
    gate = asyncio.Event()
    real = type(learner.examples).async_embed

    async def waiting(self: Any, examples: Any, *args: Any) -> None:
        await gate.wait()
        await real(self, examples, *args)

    monkeypatch.setattr(type(learner.examples), "async_embed", waiting)
    zipped(exports(hass) / "gate.zip", gates(each=6))
    answer = await hass.services.async_call(
        DOMAIN,
        "import_examples",
        {"device_id": device_id(hass, engine), "file": "gate.zip"},
        blocking=True,
        return_response=True,
    )
    assert answer and answer["added"] == {"open": 6, "closed": 6}
    await hass.async_block_till_done()
    for _ in range(50):
        if learner.percent_embedded < 100:
            break
        await asyncio.sleep(0.01)
    assert learner.percent_embedded == 14
    assert state(hass, "sensor.gate_examples_embedded") == "14"
    camera.show("open", 3)
    looked = await hass.services.async_call(
        DOMAIN, "look", {"device_id": device_id(hass, engine)}, blocking=True, return_response=True
    )
    assert looked and looked["best"] == "open"
    gate.set()
    await settled(hass)
    assert learner.percent_embedded == 100
    assert learner.learned.head and sum(learner.versions[0].counts.values()) == 14


@pytest.mark.parametrize(
    ("content", "key"),
    [(b"no zip", "unusable_archive"), (None, "unusable_archive")],
)
async def test_files_that_cannot_be_imported(
    hass: HomeAssistant, engine: MockConfigEntry, content: bytes | None, key: str
) -> None:
    path = exports(hass) / "bad.zip"
    path.parent.mkdir(parents=True, exist_ok=True)
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ServiceValidationError) as refused:
        await act(hass, engine, "import_examples", file="bad.zip")
    assert refused.value.translation_key == key


@pytest.mark.parametrize(
    ("action", "file", "key"),
    [
        ("import_examples", "/etc/passwd", "file_not_allowed"),
        ("import_examples", "../gate.zip", "file_not_allowed"),
        ("import_examples", "..", "file_name_invalid"),
        ("export_examples", "/etc/gate", "file_not_writable"),
        ("export_examples", "a/b", "file_not_writable"),
        ("export_examples", "..", "file_name_invalid"),
    ],
)
async def test_places_that_are_not_allowed(
    hass: HomeAssistant, engine: MockConfigEntry, action: str, file: str, key: str
) -> None:
    with pytest.raises(ServiceValidationError) as refused:
        await act(hass, engine, action, file=file)
    assert refused.value.translation_key == key


async def test_one_source_and_an_administrator(
    hass: HomeAssistant, engine: MockConfigEntry, hass_read_only_user: MockUser
) -> None:
    for data in ({}, {"file": "a.zip", "media_content_id": "media-source://media_source/local/a.zip"}):
        with pytest.raises(vol.Invalid):
            await act(hass, engine, "import_examples", **data)
    for action in ("import_examples", "export_examples"):
        with pytest.raises(Unauthorized):
            await hass.services.async_call(
                DOMAIN,
                action,
                {"device_id": device_id(hass, engine), "file": "gate"},
                blocking=True,
                context=Context(user_id=hass_read_only_user.id),
                return_response=True,
            )


async def test_a_full_disk(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writing leaves no half file; an import says how far it came, and what came stays and can be undone."""
    await teach(hass, engine, camera, "closed")
    zipped(exports(hass) / "gate.zip", gates(each=5))
    before = (exports(hass) / "gate.zip").read_bytes()

    def refusing(source: Path, target: Path, passes: list[int] = [4]) -> None:  # noqa: B006
        if target.suffix == ".zip" or (target.suffix == ".jpg" and not passes[0]):
            raise OSError(errno.ENOSPC, "No space left on device")
        passes[0] -= target.suffix == ".jpg"
        source.replace(target)

    monkeypatch.setattr(atomic, "step_rename", refusing)
    with pytest.raises(HomeAssistantError) as full:
        await act(hass, engine, "export_examples")
    assert full.value.translation_key == "file_not_written"
    assert [path.name for path in exports(hass).iterdir()] == ["gate.zip"]
    assert (exports(hass) / "gate.zip").read_bytes() == before
    with pytest.raises(HomeAssistantError) as stopped:
        await act(hass, engine, "import_examples", file="gate.zip")
    assert stopped.value.translation_key == "import_stopped"
    assert stopped.value.translation_placeholders and stopped.value.translation_placeholders["added"] == "4"
    monkeypatch.undo()
    await settled(hass)
    assert len(learner_of(engine).examples) == 5
    await act(hass, engine, "undo")
    assert len(learner_of(engine).examples) == 1


async def test_a_classifier_that_stops_amid_an_import(
    hass: HomeAssistant, engine: MockConfigEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The action says so; what was filed is there at the next start, and importing again completes it."""
    zipped(exports(hass) / "gate.zip", gates(each=20))
    begun = asyncio.Event()
    real = Importing.take
    loop = asyncio.get_running_loop()

    def noticed(self: Importing, pictures: Any) -> bool:
        more = real(self, pictures)
        loop.call_soon_threadsafe(begun.set)
        return more

    monkeypatch.setattr(Importing, "take", noticed)
    call = hass.async_create_task(
        hass.services.async_call(
            DOMAIN,
            "import_examples",
            {"device_id": device_id(hass, engine), "file": "gate.zip"},
            blocking=True,
            return_response=True,
        )
    )
    await begun.wait()
    assert await hass.config_entries.async_unload(engine.entry_id)
    with pytest.raises(HomeAssistantError) as interrupted:
        await call
    assert interrupted.value.translation_key == "import_interrupted"
    assert await hass.config_entries.async_setup(engine.entry_id)
    await settled(hass)
    assert 32 <= len(learner_of(engine).examples) <= 40
    await act(hass, engine, "import_examples", file="gate.zip")
    assert len(learner_of(engine).examples) == 40
