"""Zips of pictures: what is written, what is read of whose, and what is refused."""

from datetime import UTC, datetime
import json
from pathlib import Path
from typing import Any
import zipfile

import pytest

from imprinting import InvalidLabel, StoreFailed, UnusableArchive, write_archive
from tests.imprinting.fakes import FULL, READ_ONLY, START, Fault, Killed, jpeg, loaded, png
from tests.imprinting.zips import NAME, make, opened, patched, read


def placed(path: Path, **options: Any) -> dict[str, str | None]:
    """Return the label of each picture's class, by name."""
    return {one.name: one.label for one in read(path, **options)[0]}


# --- who made it -------------------------------------------------------------------------------------------------


def test_class_folders(tmp_path: Path) -> None:
    """The folder that a picture lies in is its class, however deep that is."""
    files = {"open/1.jpg": jpeg("1"), "gate/closed/a.PNG": png("2"), "top.jpg": jpeg("3"), "open/labels.txt": b"open"}
    pictures, skipped = read(make(tmp_path / "a.zip", files))
    assert [(one.label, one.background, one.class_id) for one in pictures] == [
        ("open", False, None),
        ("closed", False, None),
    ]
    assert pictures[0].content == jpeg("1")
    assert pictures[0].taken == datetime(2026, 3, 4, 5, 6, 8, tzinfo=UTC)
    assert skipped == {"top.jpg": "no_class", "open/labels.txt": "not_a_picture"}


def test_frigate(tmp_path: Path) -> None:
    """What was sorted counts, what waits to be sorted doesn't; "none" is the background, whatever that is called."""
    root = "clips/gate"
    path = make(
        tmp_path / "a.zip",
        {
            f"{root}/dataset/open/open-1732104012.345678-x1y2z3.png": png("1"),
            f"{root}/dataset/none/none-1732104013.5-x1y2z3.png": png("2"),
            f"{root}/train/1732104014.25-abcdef-driveway-0.87.webp": png("3"),
            f"{root}/training_metadata.json": b"{}",
        },
    )
    pictures, skipped = read(path)
    assert [(one.label, one.background) for one in pictures] == [("open", False), (None, True)]
    assert pictures[0].taken == datetime(2024, 11, 20, 12, 0, 12, 345678, UTC)
    assert sorted(skipped.values()) == ["not_a_picture", "not_sorted"]


def test_teachable_machine(tmp_path: Path) -> None:
    """A project's pictures carry their class in their names; samples of one class need to be told theirs."""
    project = make(
        tmp_path / "a.tm",
        {"manifest.json": b'{"type": "image"}', "Open-!-0.jpg": jpeg("1"), "half open-!-12.jpg": jpeg("2")},
    )
    assert placed(project) == {"Open-!-0.jpg": "Open", "half open-!-12.jpg": "half open"}
    samples = make(tmp_path / "b.zip", {"0.jpg": jpeg("1"), "1.jpg": jpeg("2")})
    assert read(samples)[1] == {"0.jpg": "no_class", "1.jpg": "no_class"}
    assert placed(samples, label=" open ") == {"0.jpg": "open", "1.jpg": "open"}
    with pytest.raises(InvalidLabel):
        opened(samples, label="none")


def test_a_folder_named_dataset_that_holds_no_classes_is_one_like_any_other(tmp_path: Path) -> None:
    files = {"dataset/train/open/1.jpg": jpeg("1"), "dataset/val/closed/2.jpg": jpeg("2")}
    assert set(placed(make(tmp_path / "a.zip", files)).values()) == {"open", "closed"}


@pytest.mark.parametrize(
    ("folder", "label"),
    [
        ("Gärten", "Gärten"),
        ("Ga\u0308rten", "Gärten"),
        ("开门", "开门"),
        ("  open ", "open"),
        ("CON", "CON"),
        ("a:b*c?", "a:b*c?"),
        ("x" * 200, "x" * 64),
        ("open\u202e", "open\u202e"),
        ("....", None),
        ("None", None),
        ("unknown", None),
    ],
)
def test_strange_labels(tmp_path: Path, folder: str, label: str | None) -> None:
    """Labels are what the store takes; folders that no label can be made of are left out, "none" is the background."""
    pictures, skipped = read(make(tmp_path / "a.zip", {f"top/{folder}/1.jpg": jpeg("1")}))
    if skipped:
        assert label is None and set(skipped.values()) <= {"hidden"}
        return
    (picture,) = pictures
    assert picture.label == label
    assert picture.background is (label is None)


def test_names_of_programs_that_do_not_say_which_characters(tmp_path: Path) -> None:
    """UTF-8 without its flag, and slashes of the other kind."""
    path = make(tmp_path / "a.zip", {"Gärten\\1.jpg": jpeg("1")})
    patched(path, 8, "<H", 0, local=6)
    assert placed(path) == {"Gärten/1.jpg": "Gärten"}


# --- our own -----------------------------------------------------------------------------------------------------


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    """Labels that are no folder's names, background classes, moments of capture and empty classes come along."""
    store = loaded(tmp_path / "gate")
    opened_class, closed = store.add_class("a/b: open?"), store.add_class("closed", background=True)
    empty = store.add_class("empty")
    examples = [store.add_example(opened_class.id, jpeg(str(number))) for number in range(3)]
    store.add_example(closed.id, jpeg("closed"))
    path = tmp_path / "out" / "gate.zip"
    written = write_archive(path, list(store.classes.values()), store.examples(), title="Gate", now=START)
    assert written.counts == {opened_class.id: 3, closed.id: 1, empty.id: 0}
    assert (written.missing, written.size) == (0, path.stat().st_size)
    assert [one.name for one in path.parent.iterdir()] == ["gate.zip"]
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert {one.compress_type for one in archive.infolist()} == {zipfile.ZIP_STORED}
        manifest = json.loads(archive.read(NAME))
    assert (manifest["classifier"], manifest["version"]) == ("Gate", 1)
    pictures, skipped = read(path)
    assert skipped == {}
    assert [(one.label, one.background, one.class_id) for one in pictures] == [
        *[("a/b: open?", False, opened_class.id)] * 3,
        ("closed", True, closed.id),
    ]
    assert [one.taken for one in pictures[:3]] == [example.captured for example in examples]
    with opened(path) as again:
        assert [(one.label, len(one.examples)) for one in again.classes] == [
            ("a/b: open?", 3),
            ("closed", 1),
            ("empty", 0),
        ]


def test_chosen_classes_and_pictures_that_are_gone(tmp_path: Path) -> None:
    store = loaded(tmp_path / "gate")
    one, other = store.add_class("open"), store.add_class("closed")
    gone = store.add_example(one.id, jpeg("1"))
    store.add_example(one.id, jpeg("2"))
    store.add_example(other.id, jpeg("3"))
    gone.path.unlink()
    path = tmp_path / "gate.zip"
    written = write_archive(path, [one], store.examples(), title="Gate", now=START)
    assert (written.counts, written.missing) == ({one.id: 1}, 1)
    assert len(read(path)[0]) == 1


def test_pictures_that_were_added_to_our_own_by_hand(tmp_path: Path) -> None:
    """A manifest speaks for its folders, and leaves the others alone."""
    store = loaded(tmp_path / "gate")
    learned = store.add_class("a/b")
    store.add_example(learned.id, jpeg("1"))
    path = tmp_path / "gate.zip"
    write_archive(path, [learned], store.examples(), title="Gate", now=START)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(f"{learned.folder}/mine.jpg", jpeg("2"))
        archive.writestr("else/other.jpg", jpeg("3"))
    assert [(one.label, one.class_id) for one in read(path)[0]] == [
        ("a/b", learned.id),
        ("a/b", learned.id),
        ("else", None),
    ]


@pytest.mark.parametrize(
    "manifest",
    [
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"format": "coral-imprint examples", "version": 1}',
        b'{"format": "other"}',
        json.dumps(
            {
                "format": "coral-imprint examples",
                "version": 1,
                "classes": [{"id": "1", "label": "none", "background": False, "folder": "open", "examples": []}],
            }
        ).encode(),
        json.dumps(
            {
                "format": "coral-imprint examples",
                "version": 1,
                "classes": [
                    {"id": str(number), "label": "open", "background": False, "folder": "open", "examples": []}
                    for number in range(2)
                ],
            }
        ).encode(),
    ],
    ids=["cut", "no text", "nested", "no classes", "another", "reserved label", "label twice"],
)
def test_a_damaged_manifest_leaves_the_folders(tmp_path: Path, manifest: bytes) -> None:
    path = make(tmp_path / "a.zip", {NAME: manifest, "open/1.jpg": jpeg("1")})
    pictures, skipped = read(path)
    assert [one.label for one in pictures] == ["open"]
    assert skipped == {NAME: "damaged"}


def test_a_newer_manifest_is_refused(tmp_path: Path) -> None:
    manifest = b'{"format": "coral-imprint examples", "version": 2, "classes": []}'
    with pytest.raises(UnusableArchive, match="newer"):
        opened(make(tmp_path / "a.zip", {NAME: manifest, "open/1.jpg": jpeg("1")}))


@pytest.mark.parametrize("passes", range(12))
@pytest.mark.parametrize("refusal", [None, FULL, READ_ONLY], ids=["kill", "full", "read-only"])
def test_writing_is_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, passes: int, refusal: int | None
) -> None:
    store = loaded(tmp_path / "gate")
    learned = store.add_class("open")
    store.add_example(learned.id, jpeg("1"))
    path = tmp_path / "out" / "gate.zip"
    write_archive(path, [learned], [], title="before", now=START)
    before = path.read_bytes()
    with monkeypatch.context() as patch:
        fault = Fault(patch, passes, refusal)
        try:
            write_archive(path, [learned], store.examples(), title="after", now=START)
        except (StoreFailed, Killed):
            assert fault.struck
        else:
            assert not fault.struck
    if path.read_bytes() != before:
        assert len(read(path)[0]) == 1
    if refusal is None and fault.struck:
        return  # a kill leaves a temporary file, which the next attempt overwrites
    write_archive(path, [learned], store.examples(), title="after", now=START)
    assert [one.name for one in path.parent.iterdir()] == ["gate.zip"]
