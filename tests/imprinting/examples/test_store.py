"""The example store as a user and the shell see it."""

from datetime import timedelta
import json
import os
from pathlib import Path

from hypothesis import given, settings, strategies as st
import pytest

from imprinting import (
    ClassExists,
    ExampleStore,
    InvalidLabel,
    Report,
    StoreFailed,
    UnknownClass,
    UnknownExample,
    UnreadablePicture,
    bin_whole,
    purge,
)
from tests.imprinting.fakes import START, Clock, NotAPicture, jpeg, loaded, new_store, png, snapshot, to_jpeg


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a classifier's folder that is not there yet."""
    return tmp_path / "coral_imprint" / "gate"


def test_frames_are_kept_whole_in_a_plain_tree(root: Path) -> None:
    """A file per frame in a folder per class, to the byte; the same after a restart."""
    store = loaded(root)
    learned = store.add_class("Gate open")
    example = store.add_example(learned.id, jpeg("frame"))
    assert example.path == root / "Gate open" / f"{example.id}.jpg"
    assert example.path.read_bytes() == jpeg("frame") == store.read(example)
    assert example.id.startswith("20261120T1830")
    assert example.captured == START.replace(second=example.captured.second, microsecond=345000)
    assert example.size == len(jpeg("frame"))
    again = new_store(root)
    assert again.load() == Report()
    assert again.examples() == store.examples() == [example]
    assert again.classes == store.classes
    assert json.loads((root / "Gate open" / ".class.json").read_text()) == {
        "version": 1,
        "id": learned.id,
        "label": "Gate open",
        "background": False,
        "created": learned.created.isoformat(),
    }


def test_classes_keep_their_order_and_are_found_by_label_or_id(root: Path) -> None:
    """In creation order even if the clock stands still or goes back; whatever the case."""
    clock = Clock()
    store = new_store(root, clock)
    store.load()
    labels = ["zebra", "Äpfel", "midway", "another"]
    for label in labels:
        store.add_class(label)
        clock.now -= timedelta(hours=1)
    assert [learned.label for learned in store.classes.values()] == labels
    assert [learned.label for learned in loaded(root).classes.values()] == labels
    learned = store.class_named("äPFEL ")
    assert store.class_named(learned.id) is learned
    with pytest.raises(UnknownClass) as caught:
        store.class_named("nothing")
    assert caught.value.details["name"] == "nothing"


def test_labels_are_checked(root: Path) -> None:
    """Reserved, empty and double ones are refused, and nothing is made."""
    store = loaded(root)
    store.add_class("Straße")
    other = store.add_class("other")
    for label in ("", "Unknown", "x" * 65):
        with pytest.raises(InvalidLabel):
            store.add_class(label)
    with pytest.raises(ClassExists):
        store.add_class("STRASSE")
    with pytest.raises(ClassExists):
        store.rename_class(other.id, "strasse")
    with pytest.raises(UnknownClass):
        store.rename_class("nothing", "something")
    assert len(store.classes) == len(loaded(root).classes) == 2


def test_labels_that_make_one_folder_name_get_two(root: Path) -> None:
    """What a file system can't tell apart is numbered."""
    store = loaded(root)
    folders = [store.add_class(label).folder for label in ("a/b", "ab", "a:b")]
    assert folders == ["ab", "ab (2)", "ab (3)"]
    assert [learned.folder for learned in loaded(root).classes.values()] == folders
    store.remove_class(store.class_named("a/b").id)
    assert store.rename_class(store.class_named("ab").id, "a|b").folder == "ab (2)"
    assert loaded(root).class_named("a|b").folder == "ab (2)"


def test_renamed_class_keeps_id_and_examples(root: Path) -> None:
    """Only label, folder and paths are others."""
    store = loaded(root)
    learned = store.add_class("open", background=True)
    example = store.add_example(learned.id, jpeg("frame"))
    renamed = store.rename_class(learned.id, "wide open")
    assert (renamed.id, renamed.background, renamed.created) == (learned.id, True, learned.created)
    assert renamed.folder == "wide open"
    assert not (root / "open").exists()
    (moved,) = store.examples(learned.id)
    assert (moved.id, moved.key) == (example.id, example.key)
    assert store.read(moved) == jpeg("frame")
    assert store.rename_class(learned.id, "Wide Open").folder == "Wide Open"
    assert store.rename_class(learned.id, "Wide Open").label == "Wide Open"
    assert snapshot(loaded(root)) == snapshot(store)
    assert not store.set_background(learned.id, False).background
    assert not loaded(root).class_named("wide open").background


def test_removed_things_are_in_the_bin_for_a_week(root: Path) -> None:
    """Examples and whole classes, with their folders' names."""
    clock = Clock()
    store = new_store(root, clock)
    store.load()
    learned = store.add_class("open")
    first, second = (store.add_example(learned.id, jpeg(text)) for text in ("first", "second"))
    store.remove_example(first.id)
    assert [one.id for one in store.examples()] == [second.id]
    store.remove_class(learned.id)
    assert not store.classes
    assert not store.examples()
    in_bin = {path.name: path.relative_to(root / ".bin").parts[1:] for path in (root / ".bin").rglob("*.jpg")}
    assert in_bin == {one.path.name: ("open", one.path.name) for one in (first, second)}
    assert loaded(root).load() == Report()
    assert store.purge(clock.now + timedelta(days=6, hours=23)) == 0
    assert len(list((root / ".bin").rglob("*.jpg"))) == 2
    assert store.purge(clock.now + timedelta(days=7, seconds=1)) == 2
    assert not list((root / ".bin").rglob("*.jpg"))
    for gone in (first.id, "nothing"):
        with pytest.raises(UnknownExample):
            store.remove_example(gone)
    with pytest.raises(UnknownClass):
        store.add_example(learned.id, jpeg("frame"))


def test_same_moment_and_name_get_two_places(root: Path) -> None:
    """A clock that stands still confuses neither ids nor the bin."""
    store = ExampleStore(root, to_jpeg, NotAPicture, lambda: START)
    store.load()
    first, second = store.add_class("a"), store.add_class("b")
    ids = [store.add_example(learned.id, jpeg("same")).id for learned in (first, first, second)]
    assert ids[1:] == [f"{ids[0]}-2", f"{ids[0]}-3"]
    for _ in range(2):
        example = store.add_example(first.id, jpeg("more"))
        store.remove_example(example.id)
    assert len(list((root / ".bin").rglob("*.jpg"))) == 2
    assert {one.captured for one in loaded(root).examples()} == {START.replace(microsecond=345000)}


def test_unreadable_pictures_are_refused_before_anything_is_written(root: Path) -> None:
    """Whatever the decoder can't take, and what is too large."""
    store = loaded(root)
    learned = store.add_class("open")
    for picture in (b"", b"<html>", bytes(65 * 1024 * 1024)):
        with pytest.raises(UnreadablePicture):
            store.add_example(learned.id, picture)
    assert not store.examples()
    assert [path.name for path in (root / "open").iterdir()] == [".class.json"]


def test_symbolic_links_are_not_followed(root: Path, tmp_path: Path) -> None:
    """Neither to pictures nor to folders; but the classifier's own folder may be one."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "secret.jpg").write_bytes(jpeg("secret"))
    (tmp_path / "real").mkdir()
    root.parent.mkdir()
    root.symlink_to(tmp_path / "real", target_is_directory=True)
    store = loaded(root)
    learned = store.add_class("open")
    (root / "open" / "link.jpg").symlink_to(elsewhere / "secret.jpg")
    (root / "linked").symlink_to(elsewhere, target_is_directory=True)
    assert store.load() == Report()
    assert not store.examples()
    assert store.add_class("linked").folder == "linked (2)"
    store.add_example(learned.id, jpeg("frame"))
    store.remove_class(learned.id)
    assert (elsewhere / "secret.jpg").exists()


def test_files_gone_by_hand(root: Path) -> None:
    """Reading fails by name; removing what is gone already is no error."""
    store = loaded(root)
    learned = store.add_class("open")
    first, second = (store.add_example(learned.id, jpeg(text)) for text in ("first", "second"))
    first.path.unlink()
    with pytest.raises(StoreFailed) as caught:
        store.read(first)
    assert str(root) not in caught.value.details["reason"]
    store.remove_example(first.id)
    second.path.unlink()
    store.set_aside(second.id)
    (root / "open" / ".class.json").unlink()
    (root / "open").rmdir()
    store.remove_class(learned.id)
    assert not store.classes


def test_memory_is_replaced_not_changed(root: Path) -> None:
    """What a reader holds stays as it was."""
    store = loaded(root)
    learned = store.add_class("open")
    classes, examples = store.classes, store.examples()
    store.add_class("closed")
    store.add_example(learned.id, jpeg("frame"))
    store.rename_class(learned.id, "wide")
    assert [one.label for one in classes.values()] == ["open"]
    assert examples == []
    with pytest.raises(TypeError):
        classes["x"] = learned  # type: ignore[index]


def test_keys_tell_contents_apart(root: Path) -> None:
    """16 bytes each; another size or time of change is another key."""
    store = loaded(root)
    learned = store.add_class("open")
    keys = {store.add_example(learned.id, jpeg(str(number))).key for number in range(20)}
    assert len(keys) == 20
    assert {len(key) for key in keys} == {16}
    before = store.examples()[0]
    os.utime(before.path, ns=(before.mtime_ns, before.mtime_ns + 1))
    after = next(one for one in loaded(root).examples() if one.id == before.id)
    assert after.key != before.key


def test_whole_classifier_to_the_bin(root: Path) -> None:
    """And out of it for good after a week."""
    store = loaded(root)
    store.add_example(store.add_class("open").id, jpeg("frame"))
    bin_root = root.parent / ".bin"
    place = bin_whole(root, bin_root, START)
    assert place is not None
    assert not root.exists()
    assert snapshot(loaded(place))["open"][1]
    assert bin_whole(root, bin_root, START) is None
    assert purge(bin_root, START + timedelta(days=6)) == 0
    assert purge(bin_root, START + timedelta(days=8)) == 1
    assert not place.exists()


def test_purge_leaves_what_it_does_not_know(root: Path) -> None:
    """Only folders named after a moment go."""
    store = loaded(root)
    assert store.purge(START) == 0
    (root / ".bin" / "mine").mkdir(parents=True)
    assert store.purge(START + timedelta(days=1000)) == 0
    assert (root / ".bin" / "mine").exists()


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["class", "rename", "background", "drop class", "example", "drop", "aside", "adopt", "load"]),
        st.integers(0, 5),
    ),
    max_size=25,
)


@settings(max_examples=40)
@given(ACTIONS)
def test_memory_and_disk_agree(tmp_path_factory: pytest.TempPathFactory, actions: list[tuple[str, int]]) -> None:
    """After any sequence of actions a fresh load sees what memory says."""
    store = loaded(tmp_path_factory.mktemp("store") / "root")
    for action, number in actions:
        _act(store, action, number)
    fresh = new_store(store.root)
    fresh.load()
    store.load()
    assert fresh.classes == store.classes
    assert fresh.examples() == store.examples()
    assert snapshot(fresh) == snapshot(store)


def _act(store: ExampleStore, action: str, number: int) -> None:
    labels = ["a", "A/", "b", "B:", "ab", "c."]
    ids = list(store.classes)
    chosen = ids[number % len(ids)] if ids else None
    examples = store.examples()
    example = examples[number % len(examples)].id if examples else None
    try:
        if action == "class":
            store.add_class(labels[number])
        elif action == "load":
            before = snapshot(store)
            if store.load().adopted == 0:
                assert snapshot(store) == before
        elif chosen is None:
            return
        elif action == "rename":
            store.rename_class(chosen, labels[-number])
        elif action == "background":
            store.set_background(chosen, number % 2 == 0)
        elif action == "drop class":
            store.remove_class(chosen)
        elif action == "example":
            store.add_example(chosen, jpeg(str(number)))
        elif action == "adopt":
            (store.root / store.classes[chosen].folder / f"dropped {number}.png").write_bytes(png(str(number)))
        elif example is not None:
            (store.remove_example if action == "drop" else store.set_aside)(example)
    except ClassExists:
        return


def test_examples_are_counted_by_class(root: Path) -> None:
    """Classes without any too; those that were removed no more."""
    store = new_store(root)
    store.load()
    gate, door, empty = (store.add_class(label) for label in ("gate", "door", "empty"))
    for number in range(3):
        store.add_example(gate.id, jpeg(f"gate {number}"))
    store.add_example(door.id, jpeg("door"))
    assert store.index.counts == {gate.id: 3, door.id: 1, empty.id: 0}
    store.remove_class(gate.id)
    assert store.index.counts == {door.id: 1, empty.id: 0}
