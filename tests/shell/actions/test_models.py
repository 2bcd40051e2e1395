"""A classifier as one file: what is written, what the file answers, and its classes given back."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from freezegun.api import FrozenDateTimeFactory
from homeassistant.core import Context, HomeAssistant
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError, Unauthorized
import numpy as np
from PIL import Image
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, MockUser

from custom_components.coral_imprint.classifiers import model_export
from custom_components.coral_imprint.core.embedding import RuntimeUnavailable
from custom_components.coral_imprint.extractors import model_files
from tests.shell.classifiers.test_known_classes import SHARED, head_of, learner_of
from tests.shell.conftest import DOMAIN, NETWORK, FakeCamera, act, change, device_id, draw, models, network, teach

GATES = ("closed", "open", "half")
COMPILED = SHARED / "models" / "mobilenet_v1_1.0_224_quant_embedding_extractor_edgetpu.tflite"


def exports(hass: HomeAssistant) -> Path:
    """Return the folder where exports go."""
    return Path(hass.config.path(DOMAIN, "exports"))


def answer_of(model: Path, picture: Path) -> int:
    """Return the class that a file gives to a picture, run as any TFLite program does."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(model), num_threads=1)
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    with Image.open(picture) as image:
        pixels = np.asarray(image.convert("RGB").resize(source["shape"][2:0:-1], Image.Resampling.BILINEAR))
    interpreter.set_tensor(source["index"], pixels[None])
    interpreter.invoke()
    return int(interpreter.get_tensor(target["index"])[0].argmax())


@pytest.fixture
async def taught(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera, freezer: FrozenDateTimeFactory
) -> MockConfigEntry:
    """Return the engine with a network, and three classes shown on four days."""
    (models(hass) / "mine.tflite").write_bytes(network())
    await change(hass, engine, **NETWORK)
    await act(hass, engine, "add_class", **{"class": "half"})
    for day in range(4):
        freezer.tick(timedelta(days=1))
        for number, gate in enumerate(GATES):
            camera.show(gate, 300 + 10 * day + number)
            await act(hass, engine, "capture_example", **{"class": gate})
    return engine


async def test_the_file_answers_as_the_classifier(hass: HomeAssistant, taught: MockConfigEntry, tmp_path: Path) -> None:
    answer = await act(hass, taught, "export_model")
    model, labels = Path(answer["model"]), Path(answer["labels"])
    assert (model, labels) == (exports(hass) / "gate.tflite", exports(hass) / "gate_labels.txt")
    assert sorted(path.name for path in exports(hass).iterdir()) == ["gate.tflite", "gate_labels.txt"]
    assert answer["size"] == model.stat().st_size > 1000
    assert labels.read_text().split() == answer["classes"]
    assert set(answer["classes"]) == set(GATES)
    assert answer["agreement"] == {"percent": 100.0, "pictures": 12, "by": "litert"}
    right = 0
    for gate in GATES:
        picture = tmp_path / f"{gate}.jpg"
        picture.write_bytes(draw(gate, 77))
        right += answer["classes"][answer_of(model, picture)] == gate
    assert right >= 2, "a program of its own, with another way of resizing"


async def test_what_the_file_gives_up(hass: HomeAssistant, taught: MockConfigEntry) -> None:
    accuracy = (await act(hass, taught, "export_model"))["accuracy"]
    assert 40 < accuracy["file"] <= 100
    assert 40 < accuracy["classifier"] <= 100
    assert accuracy["given_up"] == pytest.approx(accuracy["classifier"] - accuracy["file"], abs=0.11)


async def test_too_few_occasions_say_nothing(hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera) -> None:
    (models(hass) / "mine.tflite").write_bytes(network())
    await change(hass, engine, **NETWORK)
    await teach(hass, engine, camera, "closed", "open", "closed", "open")
    answer = await act(hass, engine, "export_model")
    assert answer["accuracy"] == {"file": None, "classifier": None, "given_up": None}
    assert answer["agreement"]["pictures"] == 4


@pytest.mark.parametrize("kind", ["ridge", "modes", "neighbours"])
async def test_heads_of_every_shape(hass: HomeAssistant, taught: MockConfigEntry, kind: str) -> None:
    """A linear head is exported as it is; one that no layer can hold as an imprint."""
    subentry = taught.subentries["gate_id"]
    data = {**subentry.data, "decision": {**subentry.data["decision"], "head": kind}}
    hass.config_entries.async_update_subentry(taught, subentry, data=data)
    await hass.async_block_till_done(wait_background_tasks=True)
    answer = await act(hass, taught, "export_model")
    assert answer["head"] == ("ridge" if kind == "ridge" else "imprint")
    assert answer["agreement"]["percent"] == 100


async def test_without_litert_the_layer_in_the_file_is_compared(
    hass: HomeAssistant, taught: MockConfigEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: Any) -> Any:
        raise RuntimeUnavailable("not installed")

    monkeypatch.setattr(model_export, "exported_answers", missing)
    answer = await act(hass, taught, "export_model")
    assert answer["agreement"] == {"percent": 100.0, "pictures": 12, "by": "layer"}


async def test_a_wrong_file_is_noticed(
    hass: HomeAssistant, taught: MockConfigEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The agreement is that of the file that was written."""
    honest = vars(model_export)["export_model"]
    monkeypatch.setattr(
        model_export, "export_model", lambda extractor, weights, *rest: honest(extractor, weights[::-1].copy(), *rest)
    )
    assert (await act(hass, taught, "export_model"))["agreement"]["percent"] < 60


async def test_a_known_class_is_exported_with_the_others(hass: HomeAssistant, taught: MockConfigEntry) -> None:
    (models(hass) / "mine.txt").write_text("\n".join(f"thing {number}" for number in range(10)))
    await act(hass, taught, "add_class", **{"class": "thing", "known": "thing 3"})
    answer = await act(hass, taught, "export_model", file="known")
    assert len(answer["classes"]) == 4 and answer["classes"][-1] == "thing"
    assert answer["agreement"]["percent"] == 100


async def test_the_classes_are_given_back(hass: HomeAssistant, taught: MockConfigEntry, camera: FakeCamera) -> None:
    """Exported, forgotten, imported: the classes are told apart again, without an example."""
    await act(hass, taught, "export_model", file="gates.tflite")
    for gate in GATES:
        await act(hass, taught, "remove_class", **{"class": gate})
    assert learner_of(taught).learned.head is None
    answer = await act(hass, taught, "import_model", file="gates.tflite")
    assert set(answer["added"]) == set(GATES) and answer["there_already"] == []
    assert learner_of(taught).counts == dict.fromkeys(learner_of(taught).classes, 0)
    right = 0
    for seed in range(3):
        for gate in GATES:
            camera.show(gate, 300 + 10 * seed + GATES.index(gate))
            right += (await act(hass, taught, "look"))["best"] == gate
    assert right >= 6, "three by chance"


async def test_classes_that_are_there_are_left_alone(hass: HomeAssistant, taught: MockConfigEntry) -> None:
    await act(hass, taught, "export_model", file="gates")
    await act(hass, taught, "remove_class", **{"class": "half"})
    before = head_of(taught)
    answer = await act(hass, taught, "import_model", file=str(exports(hass) / "gates.tflite"))
    assert (answer["added"], set(answer["there_already"])) == (["half"], {"closed", "open"})
    head = head_of(taught)
    assert head.classes[:2] == before.classes
    np.testing.assert_array_equal(head.prototypes[:2], before.prototypes)


async def test_a_file_of_another_extractor_is_refused(hass: HomeAssistant, taught: MockConfigEntry) -> None:
    await act(hass, taught, "export_model", file="gates")
    (models(hass) / "other.tflite").write_bytes(network(24))
    await change(hass, taught, extractor="other.tflite")
    with pytest.raises(ServiceValidationError) as caught:
        await act(hass, taught, "import_model", file="gates.tflite")
    assert caught.value.translation_key == "other_extractor"


def spoil(name: str, content: bytes | None) -> Any:
    """Return what puts other content into a file of the exports, or removes it."""

    def change_file(folder: Path) -> None:
        if content is None:
            (folder / name).unlink()
        else:
            (folder / name).write_bytes(content)

    return change_file


@pytest.mark.parametrize(
    ("change_file", "key"),
    [
        (spoil("gates.tflite", None), "file_not_read"),
        (spoil("gates.tflite", b"nothing"), "import_unusable"),
        (spoil("gates_labels.txt", None), "import_without_labels"),
        (spoil("gates_labels.txt", b"one\n"), "import_without_labels"),
        (spoil("gates_labels.txt", b"one\none\ntwo\n"), "class_exists"),
        (spoil("gates_labels.txt", b"one\nunknown\ntwo\n"), "invalid_label"),
        (spoil("gates_labels.txt", b"one\ntwo\n" + b"x" * 100), "invalid_label"),
    ],
    ids=["gone", "garbage", "no labels", "too few", "twice", "reserved", "too long"],
)
async def test_files_that_can_not_be_imported(
    hass: HomeAssistant, taught: MockConfigEntry, change_file: Any, key: str
) -> None:
    await act(hass, taught, "export_model", file="gates")
    change_file(exports(hass))
    before = dict(learner_of(taught).classes)
    with pytest.raises(HomeAssistantError) as caught:
        await act(hass, taught, "import_model", file="gates.tflite")
    assert caught.value.translation_key == key
    assert learner_of(taught).classes == before


async def test_the_classifier_network_itself_has_too_many_classes(
    hass: HomeAssistant, taught: MockConfigEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("custom_components.coral_imprint.classifiers.learning.network_classes.MOST_IMPORTED", 9)
    (models(hass) / "mine.txt").write_text("\n".join(f"thing {number}" for number in range(10)))
    with pytest.raises(ServiceValidationError) as caught:
        await act(hass, taught, "import_model", file="mine.tflite")
    assert caught.value.translation_key == "too_many_classes"


async def test_other_folders_need_permission(hass: HomeAssistant, taught: MockConfigEntry, tmp_path: Path) -> None:
    allowed = tmp_path / "allowed"
    allowed.mkdir()
    answer = await act(hass, taught, "export_model", file=str(allowed / "gates"))
    assert Path(answer["model"]).parent == allowed
    await act(hass, taught, "import_model", file=answer["model"])
    for action, file, key in (
        ("export_model", str(tmp_path / "elsewhere" / "gates"), "file_not_writable"),
        ("export_model", "../gates", "file_not_writable"),
        ("export_model", "..", "file_name_invalid"),
        ("import_model", str(tmp_path / "gates.tflite"), "file_not_allowed"),
        ("import_model", "../models/mine.tflite", "file_not_allowed"),
    ):
        with pytest.raises(ServiceValidationError) as caught:
            await act(hass, taught, action, file=file)
        assert caught.value.translation_key == key, (action, file)
    assert not (tmp_path / "elsewhere").exists()


async def test_a_disk_that_refuses(
    hass: HomeAssistant, taught: MockConfigEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(model_files, "write_utf8_file_atomic", full)
    with pytest.raises(HomeAssistantError) as caught:
        await act(hass, taught, "export_model")
    assert caught.value.translation_key == "file_not_written"
    assert list(exports(hass).iterdir()) == []


async def test_what_can_not_be_exported(hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera) -> None:
    with pytest.raises(ServiceValidationError) as caught:
        await act(hass, engine, "export_model")
    assert caught.value.translation_key == "extractor_is_no_file"
    (models(hass) / "mine.tflite").write_bytes(network())
    await change(hass, engine, **NETWORK)
    await teach(hass, engine, camera, "closed")
    with pytest.raises(ServiceValidationError) as caught:
        await act(hass, engine, "export_model")
    assert caught.value.translation_key == "export_too_few_classes"


async def test_only_administrators_may(
    hass: HomeAssistant, taught: MockConfigEntry, hass_read_only_user: MockUser
) -> None:
    for action, data in (("export_model", {}), ("import_model", {"file": "gate.tflite"}), ("known_classes", {})):
        with pytest.raises(Unauthorized):
            await hass.services.async_call(
                DOMAIN,
                action,
                {"device_id": device_id(hass, taught), **data},
                blocking=True,
                return_response=True,
                context=Context(user_id=hass_read_only_user.id),
            )
    assert not exports(hass).exists()


@pytest.mark.skipif(not COMPILED.is_file(), reason="needs the models in ../shared/models")
async def test_the_edge_tpus_file_comes_along(hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera) -> None:
    """Where the same network is there compiled, that is exported too, its compiled part untouched."""
    plain = COMPILED.with_name(COMPILED.name.replace("_edgetpu", ""))
    for source in (plain, COMPILED):
        (models(hass) / source.name).write_bytes(source.read_bytes())
    await change(hass, engine, extractor="mobilenet_v1_1.0_224")
    await teach(hass, engine, camera, "closed", "open")
    answer = await act(hass, engine, "export_model")
    written = Path(answer["edgetpu"]).read_bytes()
    assert Path(answer["edgetpu"]).name == "gate_edgetpu.tflite"
    assert COMPILED.read_bytes() in written
    assert len(written) > len(COMPILED.read_bytes())
