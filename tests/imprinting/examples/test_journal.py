"""The journal on its own: what it keeps, how long, and what it makes of a damaged file."""

from datetime import datetime, timedelta
import json
from pathlib import Path

import pytest

from imprinting import StoreFailed
from imprinting.examples.journal import LONGEST, Change, Journal, Step, Value
from tests.imprinting.fakes import READ_ONLY, START, Fault


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where a journal is kept."""
    return tmp_path / ".journal.json"


def _note(journal: Journal, after: str, at: datetime = START, own_id: str = "20261120-1") -> Step:
    """Note an example's way from one class to another, taken."""
    change = Change(number=journal.next_number(), at=at, subject="example", id=own_id, before="before", after=after)
    step = Step("do", change)
    journal.begin(step)
    journal.finish(step)
    return step


def _take(journal: Journal, way: str) -> str | None:
    """Undo or redo what is next; return where the example is then."""
    change = journal.ahead("undo" if way == "undo" else "redo")
    if change is None:
        return None
    step = Step("undo" if way == "undo" else "redo", change)
    journal.begin(step)
    journal.finish(step)
    return str(step.target)


def _reread(path: Path, happened: bool = True) -> Journal:
    journal = Journal(path)
    journal.read()
    journal.settle(lambda step: happened, START)
    return journal


def test_changes_are_undone_backwards_and_made_again_forwards(path: Path) -> None:
    """To either end, and no further; something new takes the place of what was undone."""
    journal = Journal(path)
    steps = [_note(journal, name) for name in ("a", "b", "c")]
    assert [step.change.number for step in steps] == [1, 2, 3]
    for step in reversed(steps):
        assert journal.ahead("undo") == step.change
        assert _take(journal, "undo") == "before"
    assert journal.ahead("undo") is None
    assert [_take(journal, "redo") for _ in range(4)] == ["a", "b", "c", None]
    _take(journal, "undo")
    new = _note(journal, "d")
    assert new.change.number == 4
    assert journal.ahead("redo") is None
    assert journal.ahead("undo") == new.change


@pytest.mark.parametrize("way", ["do", "undo", "redo"])
@pytest.mark.parametrize("happened", [True, False])
def test_last_step_is_read_off_the_tree(path: Path, way: str, happened: bool) -> None:
    """A step that was begun counts after a restart where it happened, and only there."""
    journal = Journal(path)
    first, second = _note(journal, "a"), _note(journal, "b")
    if way == "redo":
        _take(journal, "undo")
    if way != "do":
        _take(journal, way)
    again = _reread(path, happened)
    assert not again.pending
    in_force = (way != "undo") == happened
    assert again.ahead("undo") == (second if in_force else first).change
    assert again.ahead("redo") == (None if in_force or way == "do" else second.change)


def test_disk_that_refuses_leaves_the_journal_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The step must not be taken, and is not remembered."""
    journal = Journal(path)
    first = _note(journal, "a")
    with monkeypatch.context() as patch:
        Fault(patch, 0, READ_ONLY)
        with pytest.raises(StoreFailed):
            _note(journal, "b")
        with pytest.raises(StoreFailed):
            journal.forget(first.change.id)
    assert not journal.pending
    assert journal.ahead("undo") == _reread(path).ahead("undo") == first.change


def test_length_is_bounded(path: Path) -> None:
    """The oldest changes go."""
    journal = Journal(path)
    for number in range(LONGEST + 7):
        _note(journal, str(number))
    undone = 0
    while _take(journal, "undo") is not None:
        undone += 1
    assert undone == LONGEST
    first = journal.ahead("redo")
    assert first is not None
    assert first.after == "7"


@pytest.mark.parametrize(("undone", "left_undo", "left_redo"), [(0, "c", None), (1, None, "c"), (2, None, None)])
def test_what_the_bin_holds_no_more_is_forgotten(
    path: Path, undone: int, left_undo: str | None, left_redo: str | None
) -> None:
    """After a week; what was undone before a change that is forgotten goes with it."""
    journal = Journal(path)
    for name, days in (("a", 0), ("b", 0), ("c", 5)):
        _note(journal, name, START + timedelta(days=days))
    for _ in range(undone):
        _take(journal, "undo")
    journal.settle(lambda step: False, START + timedelta(days=7, seconds=1))
    found = [None if change is None else change.after for change in (journal.ahead("undo"), journal.ahead("redo"))]
    assert found == [left_undo, left_redo]


def test_changes_are_dropped_and_forgotten(path: Path) -> None:
    """From the middle too; their order stays."""
    journal = Journal(path)
    steps = [_note(journal, name) for name in ("a", "b", "c")]
    _take(journal, "undo")
    journal.drop(steps[0].change)
    assert journal.ahead("undo") == steps[1].change == _reread(path).ahead("undo")
    assert journal.ahead("redo") == steps[2].change == _reread(path).ahead("redo")
    assert journal.forget("20261120-1")
    assert not journal.forget("20261120-1")
    assert (journal.ahead("undo"), journal.ahead("redo")) == (None, None)
    assert b"20261120-1" not in path.read_bytes()


def test_what_can_not_be_redone_is_forgotten_on_disk_too(path: Path) -> None:
    """The file is written before a change is made: it still has what the change put an end to."""
    journal = Journal(path)
    _note(journal, "a")
    undone = _note(journal, "b", own_id="20261120-2").change
    _take(journal, "undo")
    _note(journal, "c")
    assert not journal.mentions(undone.id)
    assert undone.id.encode() in path.read_bytes()
    assert not journal.forget(undone.id)
    assert undone.id.encode() not in path.read_bytes()
    assert journal.ahead("undo") == _reread(path).ahead("undo")


@pytest.mark.parametrize(
    ("subject", "before", "after", "kind"),
    [
        ("example", None, "a", "example_added"),
        ("example", "a", None, "example_removed"),
        ("example", "a", "b", "example_relabelled"),
        ("class", None, ("open", False), "class_added"),
        ("class", ("open", False), None, "class_removed"),
        ("class", ("open", False), ("wide", False), "class_renamed"),
        ("class", ("open", False), ("open", True), "background_set"),
    ],
)
def test_kinds_survive_the_file(path: Path, subject: str, before: Value, after: Value, kind: str) -> None:
    """Every kind of change is read as it was noted."""
    journal = Journal(path)
    change = Change(
        number=1,
        at=START,
        subject="class" if subject == "class" else "example",
        id="0123",
        before=before,
        after=after,
        place="20261120T183012345Z/öpen",
    )
    journal.begin(Step("do", change))
    assert _reread(path).ahead("undo") == change
    assert change.kind == kind


GOOD = {
    "number": 1,
    "at": START.isoformat(),
    "subject": "example",
    "id": "one",
    "before": "a",
    "after": None,
    "place": "moment/folder/one.jpg",
}


@pytest.mark.parametrize(
    "bad",
    [
        {"place": "/etc/passwd"},
        {"place": "../../../secrets"},
        {"place": "a/b/c/d"},
        {"id": "../one"},
        {"id": ""},
        {"at": "2026-11-20T18:30:12"},
        {"at": "yesterday"},
        {"before": None},
        {"subject": "class", "before": "a"},
        {"number": "x"},
    ],
)
def test_file_that_makes_no_sense_counts_as_none(path: Path, bad: dict[str, object]) -> None:
    """Above all nothing outside the classifier's folder can be named by it."""

    def write(change: dict[str, object], **others: object) -> None:
        path.write_text(json.dumps({"version": 1, "done": 1, "changes": [change], "pending": []} | others))

    write(GOOD)
    assert _reread(path).ahead("undo") is not None
    write(GOOD | bad)
    assert _reread(path).ahead("undo") is None
    for others in ({"done": 2}, {"version": 2}, {"pending": [{"way": "sideways", "change": GOOD}]}, {"changes": 3}):
        write(GOOD, **others)
        assert _reread(path).ahead("undo") is None
    for content in (b"", b"{", b"[" * 100_000, b"\xff\xfe"):
        path.write_bytes(content)
        journal = _reread(path)
        assert journal.ahead("undo") is None
    assert _note(journal, "a").change == _reread(path).ahead("undo")
