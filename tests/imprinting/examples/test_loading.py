"""What loading makes of what the user's own hands did to the tree."""

from datetime import UTC, datetime, timedelta
import json
from pathlib import Path

import pytest

from imprinting import ExampleStore, Report
from tests.imprinting.fakes import NotAPicture, jpeg, loaded, new_store, png, snapshot, to_jpeg


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a classifier's folder that is not there yet."""
    return tmp_path / "coral_imprint" / "gate"


def test_dropped_pictures_are_adopted(root: Path) -> None:
    """Any name and suffix; JPEG stays, others are converted and kept in the bin; ids are unique."""
    store = loaded(root)
    store.add_class("open")
    store.add_class("closed")
    drops = {
        "open/holiday.jpg": jpeg("holiday"),
        "open/Upper.JPG": jpeg("upper"),
        "open/ spaces .jpeg": jpeg("spaces"),
        "open/picture.png": png("picture"),
        "open/wrong.jpg": png("wrong"),
        "open/Ünïcode.WebP": png("unicode"),
        "closed/holiday.jpg": jpeg("another holiday"),
        "closed/HOLIDAY.png": png("a third"),
    }
    for name, content in drops.items():
        (root / name).write_bytes(content)
    assert store.load() == Report(adopted=8)
    assert snapshot(store) == {
        "open": (
            False,
            {
                "holiday": jpeg("holiday"),
                "Upper": jpeg("upper"),
                "spaces": jpeg("spaces"),
                "picture": jpeg("picture"),
                "wrong-2": jpeg("wrong"),
                "Ünïcode": jpeg("unicode"),
            },
        ),
        "closed": (False, {"HOLIDAY-2": jpeg("a third"), "holiday-3": jpeg("another holiday")}),
    }
    in_bin = {path.name for path in (root / ".bin").rglob("*.*") if path.is_file()}
    assert in_bin == {"picture.png", "wrong.jpg", "Ünïcode.WebP", "HOLIDAY.png"}
    assert store.load() == Report()
    assert (root / "open" / "holiday.jpg").read_bytes() == jpeg("holiday")
    assert all(abs(one.captured - datetime.now(UTC)) < timedelta(days=1) for one in store.examples())


def test_established_pictures_are_not_looked_into_again(root: Path) -> None:
    """Loading reads no picture that it knows; one that changed is read again."""
    read = []

    def counting(picture: bytes) -> bytes:
        read.append(picture)
        return to_jpeg(picture)

    store = ExampleStore(root, counting, NotAPicture)
    store.load()
    learned = store.add_class("open")
    store.add_example(learned.id, jpeg("frame"))
    (root / "open" / "mine.jpg").write_bytes(jpeg("mine"))
    store.load()
    assert len(read) == 2
    key = next(one.key for one in store.examples() if one.id == "mine")
    store.load()
    assert len(read) == 2
    (root / "open" / "mine.jpg").write_bytes(jpeg("mine, changed"))
    store.load()
    assert read[2:] == [jpeg("mine, changed")]
    assert next(one.key for one in store.examples() if one.id == "mine") != key


def test_unreadable_files_are_set_aside(root: Path) -> None:
    """Never fatal, never lost, never found again; what isn't a picture's name is left alone."""
    store = loaded(root)
    store.add_class("open")
    (root / "open" / "broken.jpg").write_bytes(b"<html>")
    (root / "open" / "empty.png").touch()
    (root / "open" / "20261120T183012345Z-ba7816.jpg").touch()
    for name in ("notes.txt", ".hidden.jpg", "_draft.jpg", "Thumbs.db"):
        (root / "open" / name).write_bytes(b"?")
    assert store.load() == Report(unreadable=3)
    (root / "open" / "broken.jpg").write_bytes(b"again")
    assert store.load() == Report(unreadable=1)
    assert not store.examples()
    aside = {path.name: path.read_bytes() for path in (root / ".unreadable" / "open").iterdir()}
    assert aside["broken.jpg"] == b"<html>"
    assert aside["broken-2.jpg"] == b"again"
    assert len(aside) == 4
    assert (root / "open" / "notes.txt").exists()
    example = store.add_example(store.class_named("open").id, jpeg("turns out bad"))
    store.set_aside(example.id)
    assert not store.examples()
    assert (root / ".unreadable" / "open" / example.path.name).read_bytes() == jpeg("turns out bad")


def test_dropped_folders_become_classes(root: Path) -> None:
    """Where they hold pictures; names that no label can have, or that are taken, get a number."""
    for name in ("open", "OPEN", "unknown", "x" * 70, "empty", ".hidden", "_apart"):
        (root / name).mkdir(parents=True)
        if name != "empty":
            (root / name / "one.jpg").write_bytes(jpeg(name))
    store = new_store(root)
    report = store.load()
    assert report.adopted == 4
    assert sorted(learned.label for learned in store.classes.values()) == ["OPEN", "open 2", "unknown 2", "x" * 64]
    assert len({one.id for one in store.examples()}) == 4
    assert snapshot(loaded(root)) == snapshot(store)
    assert new_store(root).load() == Report()
    assert {path.name for path in root.iterdir()} >= {"empty", ".hidden", "_apart"}
    assert store.add_class("empty").folder == "empty"


def test_handiwork_on_folders_is_put_right(root: Path) -> None:
    """A renamed folder, a copied one, a damaged marker: no picture lost, ids and labels unique."""
    store = loaded(root)
    learned = store.add_class("open")
    example = store.add_example(learned.id, jpeg("frame"))
    (root / "open").rename(root / "renamed by hand")
    store.load()
    assert store.class_named("open").id == learned.id
    assert store.read(store.examples()[0]) == jpeg("frame")
    copy = root / "copy"
    copy.mkdir()
    for path in (root / "open").iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    store.load()
    assert {one.label for one in store.classes.values()} == {"open", "copy"}
    assert store.class_named("open").id == learned.id
    assert [one.id for one in store.examples(learned.id)] == [example.id]
    assert [one.id for one in store.examples(store.class_named("copy").id)] == [f"{example.id}-2"]
    (root / "copy" / ".class.json").write_text("{")
    store.load()
    assert {one.label for one in store.classes.values()} == {"open", "copy"}
    assert len(store.examples()) == 2
    marker = json.loads((root / "open" / ".class.json").read_text())
    (root / "copy" / ".class.json").write_text(json.dumps(marker | {"id": "0" * 32}))
    store.load()
    assert {one.label for one in store.classes.values()} == {"open", "open 2"}
    assert new_store(root).load() == Report()


@pytest.mark.parametrize(
    "change",
    [{"id": "short"}, {"id": 7}, {"label": "unknown"}, {"background": 1}, {"created": "yesterday"}, {"created": None}],
)
def test_markers_that_make_no_sense_are_replaced(root: Path, change: dict[str, object]) -> None:
    """The folder's name is the label then."""
    store = loaded(root)
    store.add_class("open")
    path = root / "open" / ".class.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert store.load() == Report(repaired=1)
    assert [one.label for one in store.classes.values()] == ["open"]
    assert store.load() == Report()
