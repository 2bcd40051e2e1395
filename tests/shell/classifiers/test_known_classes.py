"""Classes that a network knows already: listed, added without an example, refined by examples, kept over changes."""

from pathlib import Path
from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
import numpy as np
from numpy.typing import NDArray
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.coral_imprint.classifiers.learning.known_classes import imprint
from custom_components.coral_imprint.classifiers.learning.learner import Learner
from custom_components.coral_imprint.core.embedding import CATALOGUE, DEFAULT
from custom_components.coral_imprint.core.imprinting import Imprint
from custom_components.coral_imprint.extractors import choices
from tests.shell.conftest import NETWORK, PUBLISHED, FakeCamera, act, change, models, network, settled, state, teach
from tests.shell.file_server import FileServer

LABELS = [
    "background",
    "tench, Tinca tinca",
    "crane",
    "gate",
    "crane",
    "tabby, tabby cat",
    "7",
    "car, auto",
    "door",
    "dog",
]
SHARED = Path(__file__).resolve().parents[4] / "shared"


def learner_of(entry: MockConfigEntry) -> Learner:
    """Return the classifier's learner."""
    learner: Learner = entry.runtime_data.classifiers["gate_id"].learner
    return learner


def head_of(entry: MockConfigEntry) -> Imprint:
    """Return the head that answers."""
    head = learner_of(entry).learned.head
    assert isinstance(head, Imprint)
    return head


def answers_by(entry: MockConfigEntry) -> tuple[str, int, bool, bool]:
    """Return the head's kind and number of classes, and whether the foreign is rejected and thresholds were learned."""
    learned = learner_of(entry).learned
    assert learned.head
    return learned.head.kind, len(learned.head.classes), learned.plausibility is not None, bool(learned.thresholds)


@pytest.fixture
async def networked(hass: HomeAssistant, engine: MockConfigEntry) -> MockConfigEntry:
    """Return the engine with a classifier network and its labels beside it."""
    (models(hass) / "mine.tflite").write_bytes(network())
    (models(hass) / "mine_labels.txt").write_text("\n".join(LABELS))
    await change(hass, engine, **NETWORK)
    assert learner_of(engine).learned.lens.extractor == "mine.tflite"
    return engine


async def test_the_list_can_be_searched(hass: HomeAssistant, networked: MockConfigEntry) -> None:
    everything = await act(hass, networked, "known_classes")
    assert everything["count"] == len(LABELS)
    assert [one["name"] for one in everything["classes"]] == LABELS
    found = await act(hass, networked, "known_classes", search="CAT tab")
    assert found == {"count": len(LABELS), "classes": [{"number": 5, "name": "tabby, tabby cat"}]}
    assert (await act(hass, networked, "known_classes", search="zebra"))["classes"] == []


async def test_classes_without_examples_answer(
    hass: HomeAssistant, networked: MockConfigEntry, camera: FakeCamera
) -> None:
    for label, known in (("beast", "tabby cat"), ("car", ["auto", "8"])):
        answer = await act(hass, networked, "add_class", **{"class": label, "known": known})
        assert answer["class"] == label
    learner = learner_of(networked)
    head = head_of(networked)
    assert [learner.classes[class_id].label for class_id in head.classes] == ["beast", "car"]
    assert learner.counts == dict.fromkeys(learner.classes, 0)
    assert [learner.examples.known[class_id].names for class_id in head.classes] == [
        ("tabby, tabby cat",),
        ("car, auto", "door"),
    ]
    answer = await act(hass, networked, "look")
    assert set(answer["scores"]) == {"beast", "car"}
    assert sum(answer["scores"].values()) == pytest.approx(1)
    assert state(hass, "binary_sensor.gate_beast") is not None


async def test_examples_stand_beside_a_known_class_and_refine_it(
    hass: HomeAssistant, networked: MockConfigEntry, camera: FakeCamera
) -> None:
    await teach(hass, networked, camera, "closed", "open")
    learner = learner_of(networked)
    without = head_of(networked)
    added = await act(hass, networked, "add_class", **{"class": "half", "known": "gate"})
    head = head_of(networked)
    assert head.classes == (*without.classes, added["id"])
    np.testing.assert_array_equal(head.prototypes[:2], without.prototypes)
    assert head.kind == "imprint"
    column = head.prototypes[2]
    camera.show("half", 7)
    await act(hass, networked, "capture_example", **{"class": "half"})
    await settled(hass)
    (vector,) = [
        row for one, row in await learner.async_embeddings(learner.learned.lens) if one.class_id == added["id"]
    ]
    refined = head_of(networked).prototypes[head_of(networked).classes.index(added["id"])]
    assert column @ vector < refined @ vector < 1 - 1e-4, "between what was known and what was shown"


async def test_what_examples_must_say_is_left_open_until_there_are_some(
    hass: HomeAssistant, networked: MockConfigEntry, camera: FakeCamera
) -> None:
    """Other kinds of heads, thresholds for a budget and the rejection of the foreign wait for every class's examples."""
    subentry = networked.subentries["gate_id"]
    decision = {**subentry.data["decision"], "head": "ridge", "reject_foreign": True, "false_alarms": 1}
    hass.config_entries.async_update_subentry(networked, subentry, data={**subentry.data, "decision": decision})
    await teach(hass, networked, camera, "closed", "open", "closed", "open")
    assert answers_by(networked) == ("ridge", 2, True, True)
    await act(hass, networked, "add_class", **{"class": "half", "known": "gate"})
    assert answers_by(networked) == ("imprint", 3, False, False)
    assert set((await act(hass, networked, "look"))["scores"]) == {"closed", "open", "half"}
    assert (await act(hass, networked, "evaluate"))["head"] == "imprint"
    await teach(hass, networked, camera, "half")
    assert answers_by(networked) == ("ridge", 3, True, True)


async def test_what_is_known_survives_a_restart_and_undo(
    hass: HomeAssistant, networked: MockConfigEntry, camera: FakeCamera
) -> None:
    await teach(hass, networked, camera, "closed", "open")
    added = await act(hass, networked, "add_class", **{"class": "half", "known": "gate"})
    before = head_of(networked)
    assert await hass.config_entries.async_unload(networked.entry_id)
    assert await hass.config_entries.async_setup(networked.entry_id)
    await settled(hass)
    np.testing.assert_array_equal(head_of(networked).prototypes, before.prototypes)
    await act(hass, networked, "undo")
    assert added["id"] not in head_of(networked).classes
    await act(hass, networked, "redo")
    np.testing.assert_array_equal(head_of(networked).prototypes, before.prototypes)


async def test_another_extractor_is_asked_for_the_same_name(
    hass: HomeAssistant, networked: MockConfigEntry, camera: FakeCamera
) -> None:
    """A class is looked up by its name; where the list of another extractor lacks it, it has to be shown."""
    await teach(hass, networked, camera, "closed", "open")
    added = await act(hass, networked, "add_class", **{"class": "half", "known": "gate"})
    (models(hass) / "other.tflite").write_bytes(network(24))
    (models(hass) / "other.txt").write_text("\n".join(reversed(LABELS)))
    await change(hass, networked, extractor="other.tflite")
    assert head_of(networked).classes[-1] == added["id"]
    assert len(learner_of(networked).examples.known[added["id"]].directions) == 2
    (models(hass) / "third.tflite").write_bytes(network(12))
    (models(hass) / "third.txt").write_text("\n".join(f"thing {number}" for number in range(10)))
    await change(hass, networked, extractor="third.tflite")
    assert added["id"] not in head_of(networked).classes
    await change(hass, networked, extractor="mine.tflite")
    assert head_of(networked).classes[-1] == added["id"]


async def test_damaged_knowledge_is_set_aside(
    hass: HomeAssistant, networked: MockConfigEntry, camera: FakeCamera, caplog: pytest.LogCaptureFixture
) -> None:
    await teach(hass, networked, camera, "closed", "open")
    await act(hass, networked, "add_class", **{"class": "half", "known": "gate"})
    root = learner_of(networked).examples.root
    (root / ".known.json").write_text("{")
    assert await hass.config_entries.async_unload(networked.entry_id)
    assert await hass.config_entries.async_setup(networked.entry_id)
    await settled(hass)
    assert len(head_of(networked).classes) == 2
    assert "was set aside" in caplog.text
    assert not (root / ".known.json").exists() and (root / ".known.damaged.json").read_text() == "{"


@pytest.mark.parametrize(
    ("name", "part"),
    [("zebra", "no class is called"), ("crane", "any of the numbers 2 (crane), 4"), ("99", "no class")],
)
async def test_names_that_are_not_known(hass: HomeAssistant, networked: MockConfigEntry, name: str, part: str) -> None:
    with pytest.raises(ServiceValidationError) as caught:
        await act(hass, networked, "add_class", **{"class": "half", "known": name})
    assert caught.value.translation_key == "unknown_network_class"
    assert part in (caught.value.translation_placeholders or {})["reason"]
    assert "half" not in {learned.label for learned in learner_of(networked).classes.values()}, "nothing was added"


async def test_a_number_stands_for_what_has_no_name_of_its_own(hass: HomeAssistant, networked: MockConfigEntry) -> None:
    await act(hass, networked, "add_class", **{"class": "bird", "known": "2"})
    await act(hass, networked, "add_class", **{"class": "seven", "known": "7"})
    learner = learner_of(networked)
    assert [learner.examples.known[class_id].names for class_id in head_of(networked).classes] == [("crane",), ("7",)]


@pytest.mark.parametrize(
    ("spoil", "key"),
    [
        (lambda folder: (folder / "mine_labels.txt").unlink(), "no_labels"),
        (lambda folder: (folder / "mine_labels.txt").write_text("one\ntwo"), "no_labels"),
        (lambda folder: (folder / "mine.tflite").unlink(), "extractor_gone"),
        (lambda folder: (folder / "mine.tflite").write_bytes(network(8)), "extractor_gone"),
    ],
    ids=["no labels", "too few labels", "file gone", "file changed"],
)
async def test_what_stands_in_the_way(hass: HomeAssistant, networked: MockConfigEntry, spoil: Any, key: str) -> None:
    spoil(models(hass))
    with pytest.raises(HomeAssistantError) as caught:
        await act(hass, networked, "known_classes")
    assert caught.value.translation_key == key


async def test_the_builtin_extractor_knows_nothing(hass: HomeAssistant, engine: MockConfigEntry) -> None:
    with pytest.raises(ServiceValidationError) as caught:
        await act(hass, engine, "add_class", **{"class": "half", "known": "gate"})
    assert caught.value.translation_key == "extractor_is_no_file"


async def test_the_list_of_a_published_extractor_is_downloaded_when_asked_for(
    hass: HomeAssistant, engine: MockConfigEntry, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await change(hass, engine, extractor=PUBLISHED)
    lists = FileServer("\n".join(LABELS).encode())
    await lists.start()
    try:
        published = vars(choices)["CATALOGUE"][PUBLISHED]
        object.__setattr__(published, "labels", lists.published(name="names.txt"))
        found = await act(hass, engine, "known_classes", search="tabby")
        assert found["classes"] == [{"number": 5, "name": "tabby, tabby cat"}]
        asked = len(lists.requests)
        assert asked == 1
        await act(hass, engine, "known_classes")
        assert len(lists.requests) == asked, "kept"
    finally:
        await lists.stop()


def unit(*values: float) -> NDArray[np.float32]:
    """Return values as a vector of length 1."""
    vector = np.array(values, np.float32)
    return vector / np.float32(np.linalg.norm(vector))


def test_knowing_nothing_changes_nothing() -> None:
    vectors = {"a": unit(1, 0, 0.2, 0)[None], "b": unit(0, 1, 0.2, 0)[None]}
    occasions = {"a": ["1"], "b": ["2"]}
    plain = imprint(vectors, occasions, columns={}, imported={}, length=4)
    np.testing.assert_array_equal(plain.prototypes, np.concatenate(list(vectors.values())))
    assert plain.classes == ("a", "b")


def test_a_column_competes_fairly() -> None:
    """What is in the middle of the shown classes goes to none by the known class's layout; what leans its way goes to it."""
    vectors = {"a": unit(1, 0.3, 0, 0.5)[None], "b": unit(0.3, 1, 0, 0.5)[None]}
    head = imprint(vectors, {"a": ["1"], "b": ["2"]}, columns={"c": unit(0, 0, 1)}, imported={}, length=4)
    assert head.classes == ("a", "b", "c")
    for name, own in vectors.items():
        assert head.score(own[0]).best == name
    assert head.score(unit(0.65, 0.65, 0.3, 0.5)).best == "c"
    assert head.score(unit(0.7, 0.6, 0, 0.5)).best == "a"


def test_an_imported_weight_is_as_good_as_a_shown_class() -> None:
    """The layout speaks neither for nor against a class whose weight was imported."""
    vectors = {"a": unit(1, 0, 0.6)[None]}
    head = imprint(vectors, {"a": ["1"]}, columns={}, imported={"b": unit(0, 1)}, length=3)
    assert head.classes == ("a", "b")
    assert head.score(unit(1, 0.1, 0.6)).best == "a"
    assert head.score(unit(0.1, 1, 0.6)).best == "b"
    assert head.score(unit(0, 1, 0)).best == "b"
    scores = head.score(unit(0, 1, 0.6))
    assert scores.confidence > 0.95


SAMPLES = SHARED / "data" / "coral-demo"
MODEL = SHARED / "models" / CATALOGUE[DEFAULT].file.name


@pytest.mark.skipif(not (SAMPLES.is_dir() and MODEL.is_file()), reason="needs ../shared/data and ../shared/models")
async def test_a_real_network_tells_a_cat_from_a_dog_without_an_example(
    hass: HomeAssistant, engine: MockConfigEntry, camera: FakeCamera
) -> None:
    for name in (MODEL.name, "imagenet_labels.txt"):
        (models(hass) / name).write_bytes((SHARED / "models" / name).read_bytes())
    await change(hass, engine, extractor=DEFAULT)
    await act(hass, engine, "add_class", **{"class": "cat", "known": ["tabby", "Egyptian cat", "tiger cat"]})
    await act(
        hass, engine, "add_class", **{"class": "dog", "known": ["golden retriever", "Labrador retriever", "beagle"]}
    )
    await act(hass, engine, "add_class", **{"class": "hotdog", "known": "hotdog"})
    asked = right = 0
    for picture in sorted(SAMPLES.glob("*/*.jpg")):
        camera.frame = picture.read_bytes()
        answer = await act(hass, engine, "look")
        asked, right = asked + 1, right + (answer["best"] == picture.parent.name)
    assert asked >= 7
    assert right == asked
    answer = await act(hass, engine, "capture_example", **{"class": "hotdog"})
    assert len(answer["examples"]) == 1
    assert (await act(hass, engine, "look"))["best"] == "hotdog"
