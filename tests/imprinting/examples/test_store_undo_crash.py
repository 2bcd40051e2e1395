"""Undo and redo of every kind of change against kills at every step on the disk."""

from collections.abc import Callable
from pathlib import Path
import shutil

import pytest

from imprinting import ExampleStore, StoreFailed
from tests.imprinting.fakes import READ_ONLY, Fault, Killed, jpeg, loaded, pictures_under, snapshot


def _open(store: ExampleStore) -> str:
    return store.class_named("open").id


CHANGES: dict[str, Callable[[ExampleStore], object]] = {
    "add_example": lambda store: store.add_example(_open(store), jpeg("new")),
    "relabel_example": lambda store: store.relabel_example(
        store.examples(_open(store))[0].id, store.class_named("closed").id
    ),
    "remove_example": lambda store: store.remove_example(store.examples(_open(store))[0].id),
    "add_class": lambda store: store.add_class("ajar"),
    "rename_class": lambda store: store.rename_class(_open(store), "wide open"),
    "set_background": lambda store: store.set_background(_open(store), True),
    "remove_class": lambda store: store.remove_class(_open(store)),
}


def _template(root: Path) -> ExampleStore:
    """Return a store with two classes and three examples."""
    store = loaded(root)
    opened, closed = store.add_class("open"), store.add_class("closed", background=True)
    for number in range(2):
        store.add_example(opened.id, jpeg(f"open {number}"))
    store.add_example(closed.id, jpeg("closed"))
    return store


def _step(store: ExampleStore, way: str) -> None:
    store.undo() if way == "undo" else store.redo()


def _killed(store: ExampleStore, way: str, passes: int) -> Fault:
    with pytest.MonkeyPatch.context() as patch:
        fault = Fault(patch, passes)
        try:
            _step(store, way)
        except Killed:
            assert fault.struck
    return fault


@pytest.mark.parametrize("way", ["undo", "redo"])
@pytest.mark.parametrize("name", CHANGES)
def test_kill_at_every_step_leaves_old_or_new_and_a_journal_that_knows(tmp_path: Path, name: str, way: str) -> None:
    """After a kill anywhere the next load finds the old or the new state, and which one: both ways lead on from it."""
    template, root = tmp_path / "template", tmp_path / "run"
    store = _template(template)
    without = snapshot(store)
    CHANGES[name](store)
    states = {"undo": without, "redo": snapshot(store)}
    if way == "redo":
        store.undo()
    old, new = snapshot(store), states[way]
    pictures = pictures_under(template)
    back = "redo" if way == "undo" else "undo"
    found = []
    for passes in range(60):
        shutil.copytree(template, root)
        fault = _killed(loaded(root), way, passes)
        after = loaded(root)
        found.append(snapshot(after))
        assert found[-1] in (old, new)
        if found[-1] == old:
            _step(after, way)
        assert snapshot(after) == snapshot(loaded(root)) == new
        for direction in (back, way):
            _step(after, direction)
            after = loaded(root)
            assert snapshot(after) == states[direction]
        assert pictures_under(root) == pictures
        shutil.rmtree(root)
        if not fault.struck:
            break
    assert found[0] == old
    assert found[-1] == new
    assert found == sorted(found, key=lambda state: state == new), "once the new state was there, it stays"


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("name", sorted(CHANGES.keys() - {"add_example", "add_class"}))
def test_refused_change_that_was_made_in_the_end_is_undone_once(tmp_path: Path, name: str, restarted: bool) -> None:
    """Whatever came through of the first attempt: one undo leads back, the next one takes the change before."""
    template, root = tmp_path / "template", tmp_path / "run"
    store = _template(template)
    old, before = snapshot(store), store.next_undo
    CHANGES[name](store)
    new = snapshot(store)
    store.undo()
    assert before is not None
    for passes in range(60):
        shutil.copytree(template, root)
        store = loaded(root)
        with pytest.MonkeyPatch.context() as patch:
            fault = Fault(patch, passes, READ_ONLY, once=True)
            try:
                CHANGES[name](store)
            except StoreFailed:
                assert fault.struck
        # What came through is seen by the next load; until then memory has the old state, and the attempt is repeated.
        refused = store.next_undo == before
        if refused and (name in {"rename_class", "set_background"} or snapshot(loaded(root)) == old):
            CHANGES[name](store)
        store = loaded(root) if restarted else store
        store.load()
        assert snapshot(store) == new
        store.undo()
        assert snapshot(store) == snapshot(loaded(root)) == old
        assert store.next_undo == before
        shutil.rmtree(root)
        if not fault.struck:
            break
    assert passes > 5
