"""Archives into the store: what is added and what was there, one undo for all, and crashes at every step."""

from itertools import count
from pathlib import Path
import shutil
import tracemalloc

import pytest

from imprinting import ExampleStore, StoreFailed, UndoImpossible, UnusableArchive, write_archive
from imprinting.examples import importing
from imprinting.examples.archive import Archive, ArchiveLimits
from imprinting.examples.import_lists import FOLDER
from tests.imprinting.fakes import FULL, READ_ONLY, START, Fault, Killed, jpeg, loaded, new_store, png, snapshot
from tests.imprinting.zips import bring, bring_opened, make, opened

FILES = {
    "open/1.jpg": jpeg("1"),
    "open/2.png": png("2"),
    "Closed/3.jpg": jpeg("3"),
    "none/4.jpg": jpeg("4"),
    "open/no.jpg": b"<html>",
}


def _template(root: Path) -> ExampleStore:
    """Return a store with two classes and two examples."""
    store = loaded(root)
    opened_class, _ = store.add_class("open"), store.add_class("closed")
    for text in ("before", "1"):
        store.add_example(opened_class.id, jpeg(text))
    return store


def _counts(store: ExampleStore) -> dict[str, int]:
    return {one.label: len(store.examples(one.id)) for one in store.classes.values()}


def _lists(store: ExampleStore) -> list[str]:
    folder = store.root / FOLDER
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def test_what_is_new_is_added_and_what_is_there_is_not(tmp_path: Path) -> None:
    store = _template(tmp_path / "gate")
    path = make(tmp_path / "a.zip", FILES)
    report = bring(store, path)
    ids = {one.label: one.id for one in store.classes.values()}
    assert dict(report.added) == {ids["open"]: 1, ids["closed"]: 1, ids["background"]: 1}
    assert dict(report.there_already) == {ids["open"]: 1}
    assert dict(report.skipped) == {"not_a_picture": 1}
    assert [(one.name, one.reason) for one in report.named] == [("open/no.jpg", "not_a_picture")]
    assert [(one.label, one.background) for one in report.made] == [("background", True)]
    assert _counts(store) == {"open": 3, "closed": 1, "background": 1}
    assert [one.id[:20] for one in store.examples(ids["closed"])] == ["20260304T050608000Z-"]
    before = snapshot(store)
    again = bring(store, path)
    assert not again.added and sum(again.there_already.values()) == 4
    assert snapshot(store) == before == snapshot(loaded(store.root))


def test_the_same_picture_twice_in_one_archive(tmp_path: Path) -> None:
    """Once per class: a picture in two classes is the user's own contradiction."""
    store = loaded(tmp_path / "gate")
    files = {f"{folder}/{number}.jpg": jpeg("1") for folder in ("open", "closed") for number in range(40)}
    report = bring(store, make(tmp_path / "a.zip", files | {"open/x.png": png("1")}))
    assert sorted(report.added.values()) == [1, 1]
    assert sorted(report.there_already.values()) == [39, 40]


def test_ours_comes_back_as_it_was(tmp_path: Path) -> None:
    """Into another classifier: the same ids, so the same moments and occasions, labels, meanings, empty classes."""
    store = _template(tmp_path / "gate")
    store.add_class("nothing/at all", background=True)
    path = tmp_path / "gate.zip"
    write_archive(path, list(store.classes.values()), store.examples(), title="Gate", now=START)
    other = loaded(tmp_path / "other")
    bring(other, path)
    assert snapshot(other) == snapshot(store)
    # In the same one, classes are known by their ids, whatever they are called now.
    store.rename_class(store.class_named("open").id, "wide open")
    report = bring(store, path)
    assert not report.added and not report.made
    assert set(_counts(store)) == {"wide open", "closed", "nothing/at all"}


def test_one_undo_takes_everything_back(tmp_path: Path) -> None:
    store = _template(tmp_path / "gate")
    store.add_class("idle", background=True)
    before = snapshot(store)
    bring(store, make(tmp_path / "a.zip", {**FILES, **{f"open/m{one}.jpg": jpeg(f"m{one}") for one in range(300)}}))
    after = snapshot(store)
    assert len(after["open"][1]) == 303
    assert store.next_undo and store.next_undo.kind == "import_added"
    for again in (store, loaded(store.root)):
        assert again.undo().subject == "import"
        assert snapshot(again) == before == snapshot(loaded(store.root))
        assert again.redo().subject == "import"
        assert snapshot(again) == after == snapshot(loaded(store.root))
    again.undo()
    assert again.undo().kind == "class_added"


def test_changes_after_it_are_undone_first(tmp_path: Path) -> None:
    store = _template(tmp_path / "gate")
    before = snapshot(store)
    bring(store, make(tmp_path / "a.zip", {"open/x.jpg": jpeg("x"), "open/y.jpg": jpeg("y")}))
    example = next(one for one in store.examples() if store.read(one) == jpeg("x"))
    store.relabel_example(example.id, store.class_named("closed").id)
    store.remove_example(example.id)
    assert [store.undo().subject for _ in range(3)] == ["example", "example", "import"]
    assert snapshot(store) == before


def test_what_was_changed_by_hand_is_left(tmp_path: Path) -> None:
    """Undo moves what is there as it came; where nothing is, it says so. Redo says what is in its way."""
    store = _template(tmp_path / "gate")
    bring(store, make(tmp_path / "a.zip", {"open/x.jpg": jpeg("x"), "open/y.jpg": jpeg("y")}))
    x, y = (next(one for one in store.examples() if store.read(one) == jpeg(text)) for text in "xy")
    x.path.unlink()
    store.undo()
    assert _counts(store) == {"open": 2, "closed": 0}
    store.redo()
    assert _counts(store) == {"open": 3, "closed": 0}
    y.path.unlink()
    with pytest.raises(UndoImpossible):
        store.undo()
    bring(store, make(tmp_path / "b.zip", {"closed/z.jpg": jpeg("z")}))
    store.undo()
    shutil.rmtree(store.root / "closed")
    with pytest.raises(UndoImpossible, match="class"):
        store.redo()


def test_redo_does_not_overwrite(tmp_path: Path) -> None:
    store = _template(tmp_path / "gate")
    bring(store, make(tmp_path / "a.zip", {"open/x.jpg": jpeg("x")}))
    name = next(one for one in store.examples() if store.read(one) == jpeg("x")).path.name
    store.undo()
    (store.root / "closed" / name).write_bytes(jpeg("other"))
    with pytest.raises(UndoImpossible, match="name"):
        store.redo()
    bring(store, make(tmp_path / "b.zip", {"open/y.jpg": jpeg("y")}))
    store.undo()
    shutil.rmtree(store.root / ".bin")
    with pytest.raises(UndoImpossible, match="bin"):
        store.redo()


def test_an_erased_example_stays_erased(tmp_path: Path) -> None:
    """Out of its class, the bin and the import's list: no undo or redo brings it back."""
    store = _template(tmp_path / "gate")
    bring(store, make(tmp_path / "a.zip", {"open/x.jpg": jpeg("x"), "open/y.jpg": jpeg("y")}))
    x, y = (next(one for one in store.examples() if store.read(one) == jpeg(text)).id for text in "xy")
    store.erase_example(x)
    store.undo()
    assert store.erase_example(y) == 1
    named = [path for path in store.root.rglob("*") if path.is_file() and {x, y} & {path.stem}]
    assert named == []
    assert all(x not in path.read_text() for path in (store.root / FOLDER).iterdir())
    with pytest.raises(UndoImpossible):
        store.redo()


def test_lists_go_with_the_changes(tmp_path: Path) -> None:
    store = _template(tmp_path / "gate")
    bring(store, make(tmp_path / "a.zip", {"open/x.jpg": jpeg("x")}))
    assert len(_lists(store)) == 1
    store.undo()
    store.add_class("later")  # what was undone can't be made again any more
    assert _lists(loaded(store.root)) == []


def test_nothing_new_is_no_change(tmp_path: Path) -> None:
    store = _template(tmp_path / "gate")
    number = store.next_undo and store.next_undo.number
    bring(store, make(tmp_path / "a.zip", {"open/1.jpg": jpeg("1")}))
    assert store.next_undo and store.next_undo.number == number
    assert _lists(store) == []


def test_too_much_stops_it_with_what_was_filed(tmp_path: Path) -> None:
    """What was put in place before the limit was met stays, counted, and one undo takes it back."""
    store = _template(tmp_path / "gate")
    before = snapshot(store)
    path = make(tmp_path / "a.zip", {f"open/x{number}.jpg": jpeg(f"x{number}") for number in range(50)})
    under_way = store.begin_import()
    with Archive(path, now=START, limits=ArchiveLimits(total=50 * 1100)) as archive:
        # What is read twice counts twice, as what the table of contents is silent about would.
        for _, _ in zip(range(10), archive.pictures(), strict=False):
            pass
        with pytest.raises(UnusableArchive):
            bring_opened(under_way, archive)
    assert 0 < sum(under_way.report.added.values()) < 50
    store.undo()
    assert snapshot(store) == before


@pytest.mark.parametrize("refusal", [None, FULL, READ_ONLY], ids=["kill", "full", "read-only"])
def test_import_against_faults_at_every_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: int | None
) -> None:
    """Whatever is cut off: nothing that was there is lost, a repeat completes it, and undo goes back to the beginning."""
    template = _template(tmp_path / "template").root
    before = snapshot(loaded(template))
    path = make(tmp_path / "a.zip", {"open/x.jpg": jpeg("x"), "ajar/y.jpg": jpeg("y"), "ajar/z.png": png("z")})
    monkeypatch.setattr(importing, "PART", 2)
    for passes in count():
        root = tmp_path / f"run {passes}"
        shutil.copytree(template, root)
        store = loaded(root)
        with monkeypatch.context() as patch:
            fault = Fault(patch, passes, refusal)
            try:
                bring(store, path)
            except (StoreFailed, Killed):
                assert fault.struck
        again = loaded(root) if refusal is None else store
        again.load()
        for label, (_, pictures) in before.items():
            assert pictures.items() <= snapshot(again)[label][1].items()
        bring(again, path)
        assert sorted(_counts(again).items()) == [("ajar", 2), ("closed", 0), ("open", 3)]
        while again.next_undo and again.next_undo.number > 4:
            again.undo()
        assert snapshot(again) == before
        if not fault.struck:
            break
    assert passes > 30


@pytest.mark.parametrize("refusal", [None, FULL], ids=["kill", "full"])
@pytest.mark.parametrize("way", ["undo", "redo"])
def test_undo_against_faults_at_every_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, refusal: int | None
) -> None:
    """An undo that was cut off half-way is finished by the next load; both ways stay open."""
    store = _template(tmp_path / "template")
    before = snapshot(store)
    path = make(tmp_path / "a.zip", {f"open/{one}.jpg": jpeg(one) for one in "xyz"})
    bring(store, path)
    after = snapshot(store)
    if way == "redo":
        store.undo()
    for passes in count():
        root = tmp_path / f"run {passes}"
        shutil.copytree(store.root, root)
        tried = loaded(root)
        with monkeypatch.context() as patch:
            fault = Fault(patch, passes, refusal)
            try:
                getattr(tried, way)()
            except (StoreFailed, Killed):
                assert fault.struck
        again = loaded(root) if refusal is None else tried
        again.load()
        assert snapshot(again) in (before, after)
        if snapshot(again) == after:
            again.undo()
            assert snapshot(again) == before
        again.redo()
        assert snapshot(again) == after == snapshot(loaded(root))
        if not fault.struck:
            break
    assert passes > 8


def test_a_load_that_cannot_finish_an_undo_leaves_it_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = _template(tmp_path / "gate")
    before = snapshot(store)
    bring(store, make(tmp_path / "a.zip", {f"open/{one}.jpg": jpeg(one) for one in "xyz"}))
    from imprinting.examples import atomic

    renames = count()
    real = atomic.step_rename

    def refusing(source: Path, target: Path) -> None:
        if ".bin" in target.parts and next(renames) > 0:
            raise OSError(FULL, "full")
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(atomic, "step_rename", refusing)
        for _ in range(2):
            with pytest.raises(StoreFailed):
                store.undo()
        store = new_store(store.root)
        store.load()
        assert _counts(store)["open"] == 4, "one of the three is in the bin"
        store.add_class("meanwhile")
    store.load()
    assert snapshot(store).keys() - before.keys() == {"meanwhile"}
    assert _counts(store)["open"] == 2


def test_a_torn_list_is_read_to_where_it_is_whole(tmp_path: Path) -> None:
    store = _template(tmp_path / "gate")
    bring(store, make(tmp_path / "a.zip", {f"open/{one}.jpg": jpeg(one) for one in "xy"}))
    (path,) = (store.root / FOLDER).iterdir()
    path.write_bytes(path.read_bytes() + b"torn 20260304T050608000Z-1a2b")
    again = loaded(store.root)
    again.undo()
    assert _counts(again) == {"open": 2, "closed": 0}


def test_memory_does_not_grow_with_the_archive(tmp_path: Path) -> None:
    """Of 200 pictures of 1 MB no more than a part is held at a time, reading and writing."""
    store = loaded(tmp_path / "gate")
    files = {f"open/{number}.jpg": jpeg(str(number)) + bytes([number]) * 2**20 for number in range(200)}
    path = make(tmp_path / "a.zip", files, method=0)
    del files
    tracemalloc.start()
    try:
        bring(store, path)
        assert len(store.examples()) == 200
        assert tracemalloc.get_traced_memory()[1] < importing.PART_BYTES + 30 * 2**20
        tracemalloc.reset_peak()
        write_archive(tmp_path / "b.zip", list(store.classes.values()), store.examples(), title="", now=START)
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()
    with opened(tmp_path / "b.zip") as archive:
        assert len(archive) == 200
