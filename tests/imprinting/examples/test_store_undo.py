"""Undo and redo as a user sees them, and what is in their way."""

from contextlib import suppress
from datetime import timedelta
from pathlib import Path
import shutil

import pytest

from imprinting import (
    ExampleStore,
    NothingToRedo,
    NothingToUndo,
    StoreFailed,
    UndoImpossible,
    UnknownClass,
    UnknownExample,
)
from tests.imprinting.fakes import READ_ONLY, Clock, Fault, Killed, jpeg, loaded, new_store, snapshot
from tests.imprinting.teaching import Action, taught_store


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a classifier's folder that is not there yet."""
    return tmp_path / "coral_imprint" / "gate"


def test_every_kind_of_change_is_taken_back_and_made_again(root: Path) -> None:
    """All the way to the beginning and back to the end, with restarts between; ids, files and keys are the same."""
    store = new_store(root)
    store.load()
    opened = store.add_class("open")
    closed = store.add_class("closed", background=True)
    first, second, third = (store.add_example(opened.id, jpeg(text)) for text in ("1", "2", "3"))
    states = [snapshot(store)]
    for change in (
        lambda: store.relabel_example(second.id, closed.id),
        lambda: store.remove_example(first.id),
        lambda: store.rename_class(opened.id, "wide open"),
        lambda: store.set_background(closed.id, False),
        lambda: store.remove_class(opened.id),
        lambda: store.add_class("open"),
        lambda: store.add_example(store.class_named("open").id, jpeg("4")),
    ):
        change()
        states.append(snapshot(store))
    files = {one.id: (one.key, one.path) for one in store.examples()}
    kinds = []
    for state in states[-2::-1]:
        store = loaded(root)
        kinds.append(store.undo().kind)
        assert snapshot(store) == snapshot(loaded(root)) == state
    assert kinds == [
        "example_added",
        "class_added",
        "class_removed",
        "background_set",
        "class_renamed",
        "example_removed",
        "example_relabelled",
    ]
    assert {one.id: one.key for one in store.examples()} == {one.id: one.key for one in (first, second, third)}
    assert list(store.classes) == [opened.id, closed.id]
    for state, kind in zip(states[1:], kinds[::-1], strict=True):
        store = loaded(root)
        assert store.next_redo is not None
        assert store.redo().kind == kind
        assert snapshot(store) == snapshot(loaded(root)) == state
    assert {one.id: (one.key, one.path) for one in store.examples()} == files
    with pytest.raises(NothingToRedo):
        store.redo()


def test_nothing_to_undo(root: Path) -> None:
    """At the beginning, and where nothing really changed."""
    store = loaded(root)
    with pytest.raises(NothingToUndo):
        store.undo()
    learned = store.add_class("open")
    example = store.add_example(learned.id, jpeg("frame"))
    store.rename_class(learned.id, "open")
    store.set_background(learned.id, False)
    assert store.relabel_example(example.id, learned.id) == example
    assert [store.undo().kind for _ in range(2)] == ["example_added", "class_added"]
    for again in (store, loaded(root)):
        with pytest.raises(NothingToUndo):
            again.undo()
        assert again.next_undo is None


def test_undo_stops_at_the_first_classes(root: Path) -> None:
    """They were there when the user began; what was done to them since is taken back."""
    store = loaded(root)
    store.begin(["open", "closed"], "nothing")
    begun = snapshot(store)
    assert begun == {"open": (False, {}), "closed": (False, {}), "nothing": (True, {})}
    for again in (store, loaded(root)):
        with pytest.raises(NothingToUndo):
            again.undo()
    store.add_class("ajar")
    store.rename_class(store.class_named("open").id, "wide open")
    store.add_example(store.class_named("closed").id, jpeg("frame"))
    store.remove_class(store.class_named("closed").id)
    store = loaded(root)
    kinds = [store.undo().kind for _ in range(4)]
    assert kinds == ["class_removed", "example_added", "class_renamed", "class_added"]
    assert snapshot(store) == snapshot(loaded(root)) == begun
    with pytest.raises(NothingToUndo):
        store.undo()


@pytest.mark.parametrize("refusal", [None, READ_ONLY])
def test_beginning_again_finishes_it(root: Path, refusal: int | None) -> None:
    """Wherever it was cut off, the classes are there once, in order, and not to be undone."""
    labels = ["open", "closed"]
    for passes in range(100):
        store = loaded(root)
        with pytest.MonkeyPatch.context() as patch:
            fault = Fault(patch, passes, refusal)
            with suppress(Killed, StoreFailed):
                store.begin(labels, "nothing")
        store = loaded(root)
        store.begin(labels, "nothing")
        for one in (store, loaded(root)):
            assert [learned.label for learned in one.classes.values()] == [*labels, "nothing"]
            assert one.next_undo is None
        shutil.rmtree(root)
        if not fault.struck:
            break
    assert passes > 10


def test_relabelled_example_stays_the_same(root: Path) -> None:
    """The file goes to the other folder, under its id; a file of that name there gets another one."""
    store = taught_store(root)
    opened, closed = store.classes.values()
    example = store.examples(opened.id)[0]
    (root / "closed" / example.path.name).write_bytes(jpeg("dropped in under the same name"))
    moved = store.relabel_example(example.id, closed.id)
    assert (moved.id, moved.key, moved.captured) == (example.id, example.key, example.captured)
    assert moved.path == root / "closed" / example.path.name
    assert store.read(moved) == jpeg("open 0")
    assert f"{example.id}-2" in snapshot(store)["closed"][1]
    assert snapshot(loaded(root)) == snapshot(store)
    with pytest.raises(UnknownExample):
        store.relabel_example("nothing", closed.id)
    with pytest.raises(UnknownClass):
        store.relabel_example(example.id, "nothing")


def _move_out_of_bin(store: ExampleStore) -> None:
    shutil.rmtree(store.root / ".bin")


def _drop_into_new_class(store: ExampleStore) -> None:
    (store.root / "new" / "mine.jpg").write_bytes(jpeg("mine"))


def _add_folder(store: ExampleStore, name: str) -> None:
    (store.root / name).mkdir()
    (store.root / name / "x.jpg").write_bytes(jpeg("x"))


def _first(store: ExampleStore) -> str:
    return store.examples(store.class_named("open").id)[0].id


IMPOSSIBLE: dict[str, tuple[Action, Action]] = {
    "removed example is gone from the bin": (lambda store: store.remove_example(_first(store)), _move_out_of_bin),
    "removed class is gone from the bin": (
        lambda store: store.remove_class(store.class_named("open").id),
        _move_out_of_bin,
    ),
    "removed class's label is taken": (
        lambda store: store.remove_class(store.class_named("open").id),
        lambda store: _add_folder(store, "Open"),
    ),
    "earlier label is taken": (
        lambda store: store.rename_class(store.class_named("open").id, "wide"),
        lambda store: _add_folder(store, "OPEN"),
    ),
    "new class holds pictures of the user's": (lambda store: store.add_class("new"), _drop_into_new_class),
    "added example is gone": (
        lambda store: store.add_example(store.class_named("open").id, jpeg("new")),
        lambda store: store.examples(store.class_named("open").id)[-1].path.unlink(),
    ),
    "relabelled example's class is gone": (
        lambda store: store.relabel_example(_first(store), store.class_named("closed").id),
        lambda store: shutil.rmtree(store.root / "open"),
    ),
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_what_can_not_be_undone_any_more_is_given_up(root: Path, name: str) -> None:
    """By a named error, with nothing touched; the change before it comes next."""
    change, by_hand = IMPOSSIBLE[name]
    store = taught_store(root)
    before = store.next_undo
    change(store)
    by_hand(store)
    store.load()
    found = snapshot(store)
    with pytest.raises(UndoImpossible) as caught:
        store.undo()
    assert caught.value.details["reason"]
    assert snapshot(store) == snapshot(loaded(root)) == found
    assert store.next_undo == loaded(root).next_undo == before
    undone = store.undo()
    assert before is not None
    assert undone.number == before.number


def test_handiwork_that_is_not_in_the_way_does_not_matter(root: Path) -> None:
    """Renamed folders, pictures dropped in, a stray folder of the old name: undo finds the class and the example."""
    store = taught_store(root)
    opened = store.class_named("open")
    removed = store.examples(opened.id)[0]
    store.remove_example(removed.id)
    store.rename_class(opened.id, "wide")
    (root / "wide").rename(root / "by hand")
    (root / "by hand" / "mine.jpg").write_bytes(jpeg("mine"))
    (root / "open").mkdir()
    (root / "open" / "notes.txt").write_text("mine")
    for _ in range(2):
        store.undo()
    assert store.class_named("open").id == opened.id
    assert {removed.id, "mine"} < set(snapshot(store)["open"][1])
    store.remove_class(opened.id)
    (root / "open (2)").mkdir()
    store.undo()
    assert snapshot(loaded(root)) == snapshot(store)
    assert store.classes[opened.id].folder != "open"
    assert (root / "open" / "notes.txt").exists()


def test_a_week_later_nothing_is_undone(root: Path) -> None:
    """The bin may be empty by then."""
    clock = Clock()
    store = taught_store(root, clock)
    store.remove_example(_first(store))
    clock.now += timedelta(days=7, minutes=1)
    with pytest.raises(NothingToUndo):
        store.undo()


def test_trying_again_after_a_refusal_takes_back_no_more(root: Path) -> None:
    """Wherever the disk refused, undoing and redoing until it succeeds moves by one change."""
    template = taught_store(root.with_name("template"))
    template.rename_class(template.class_named("open").id, "wide")
    template.remove_class(template.class_named("wide").id)
    new = snapshot(template)
    template.undo()
    old, steps = snapshot(template), 0
    for way, wanted in (("redo", new), ("undo", old)):
        for passes in range(60):
            shutil.copytree(template.root, root)
            store = loaded(root)
            if way == "undo":
                store.redo()
            with pytest.MonkeyPatch.context() as patch:
                fault = Fault(patch, passes, READ_ONLY, once=True)
                try:
                    getattr(store, way)()
                except StoreFailed:
                    getattr(store, way)()
                steps += fault.steps
            assert snapshot(store) == snapshot(loaded(root)) == wanted, passes
            shutil.rmtree(root)
            if not fault.struck:
                break
    assert steps > 50


def test_what_is_taught_has_a_digest(root: Path) -> None:
    """Another one with each change but of a label; the same again after undo; the same in another session."""
    store = taught_store(root)
    opened, closed = store.classes.values()
    seen = [store.taught]
    for change in (
        lambda: store.relabel_example(_first(store), closed.id),
        lambda: store.remove_example(_first(store)),
        lambda: store.set_background(closed.id, True),
        lambda: store.add_class("ajar"),
        lambda: store.add_example(opened.id, jpeg("new")),
    ):
        change()
        seen.append(store.taught)
    assert len(set(seen)) == len(seen) == 6
    store.rename_class(opened.id, "wide")
    assert store.taught == seen[-1] == loaded(root).taught
    for wanted in (seen[-1], *seen[-2::-1]):
        store.undo()
        assert store.taught == wanted
