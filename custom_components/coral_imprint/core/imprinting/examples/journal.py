"""The journal: the changes of labels, noted so that they can be undone and done again, in order.

A change is noted before it is made, and whether one that was cut off has happened is read off the tree of examples. So
the journal and the tree agree whatever is interrupted, with one write for a change.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
import json
from pathlib import Path, PurePosixPath
from typing import Any, Final, Literal

from ..errors import StoreFailed
from . import atomic
from .bin import BIN_KEPT

LONGEST: Final = 200
"""Changes that are kept; older ones, and those older than what the bin holds (``BIN_KEPT``), can't be undone."""

_VERSION: Final = 1

Subject = Literal["class", "example", "import"]
Way = Literal["do", "undo", "redo"]
Value = str | tuple[str, bool] | None
"""What an example has (the id of its class), a class (label, background) or an import (IMPORTED); None where it is not there."""
IMPORTED: Final = "imported"
"""Which examples an import brought stands in a list of its own (``import_lists``)."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """One change: what a class, an example or all examples of an import were turned from and into."""

    number: int
    """Unique in the journal, rising."""

    at: datetime
    subject: Subject
    id: str
    """The class's, example's or import's."""

    before: Value
    after: Value

    place: str = ""
    """Where it lies in the bin, ``<moment>/<folder>[/<file>]``, while it is not there."""

    @property
    def kind(self) -> str:
        """One of ``example_added``, ``_removed``, ``_relabelled``, ``class_added``, ``_removed``, ``_renamed``.

        Or ``background_set``, or ``import_added``.
        """
        if self.before is None:
            return f"{self.subject}_added"
        if self.after is None:
            return f"{self.subject}_removed"
        if self.subject == "example":
            return "example_relabelled"
        return "class_renamed" if self.before[0] != self.after[0] else "background_set"

    def as_dict(self, labels: Mapping[str, str]) -> dict[str, str]:
        """Return what people are told of it: what kind, of what, when it was made; ``labels`` by class id."""
        return {"change": self.kind, "of": labels.get(self.id, self.id), "made": self.at.isoformat()}


@dataclass(frozen=True)
class Step:
    """A change on its way: made, undone or made again."""

    way: Way
    change: Change

    @property
    def origin(self) -> Value:
        """What is there before the step."""
        return self.change.after if self.way == "undo" else self.change.before

    @property
    def target(self) -> Value:
        """What is there after the step."""
        return self.change.before if self.way == "undo" else self.change.after


class Journal:
    """The changes of one classifier, and how many of them are in force. For one owner: not thread-safe."""

    def __init__(self, path: Path) -> None:
        """Take the journal's file, which needs not exist, without touching it."""
        self._path = path
        self._read = False
        self._changes: list[Change] = []
        self._done = 0
        """How many of the changes, from the first on, are in force; the others have been undone."""
        self._pending: list[Step] = []
        """Steps that were begun and not finished, in this session or, as read, in the one before."""

    @property
    def pending(self) -> tuple[Step, ...]:
        """The steps that were begun and of which it is not known whether they happened."""
        return tuple(self._pending)

    def read(self) -> None:
        """Read the file, once. One that can't be read counts as none: what can be undone is forgotten, nothing else."""
        if self._read:
            return
        self._read = True
        try:
            content: Any = json.loads(atomic.read(self._path))
            changes = [_change_of(one) for one in content["changes"]]
            pending = [Step(_way_of(one["way"]), _change_of(one["change"])) for one in content["pending"]]
            done = int(content["done"])
            if content["version"] != _VERSION or not 0 <= done <= len(changes):
                return
        except (StoreFailed, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            return
        self._changes, self._done, self._pending = changes, done, pending

    def settle(
        self, happened: Callable[[Step], bool], now: datetime, halfway: Callable[[Step], bool] = lambda _: False
    ) -> None:
        """Take the unfinished steps that happened for finished and forget the others, and what is too old.

        Those that are ``halfway`` stay unfinished.
        """
        taken = [step for step in self._pending if happened(step)]
        later = [*self._changes, *(step.change for step in taken)]
        for step in taken:
            # Of an attempt that was repeated, what is there is the work of the last one.
            if step.way != "do" or not any(_supersedes(change, step.change) for change in later):
                self._take(step)
        self._pending = [step for step in self._pending if step not in taken and halfway(step)]
        self._prune(now)

    def ahead(self, way: Way) -> Change | None:
        """Return the change that is undone or made again next; None where there is none."""
        index = self._done - 1 if way == "undo" else self._done
        return self._changes[index] if 0 <= index < len(self._changes) else None

    def is_taken(self, step: Step) -> bool:
        """Whether undoing or redoing a change is the last that happened to it."""
        index = self._index(step.change)
        return index is not None and index == (self._done if step.way == "undo" else self._done - 1)

    def next_number(self) -> int:
        """Return the number of a new change."""
        self.read()
        return max((change.number for change in self._known()), default=0) + 1

    def begin(self, step: Step) -> None:
        """Note durably that a step is about to be taken. Raises StoreFailed, and then it must not be taken."""
        self.read()
        self._prune(step.change.at)
        self._save(self._changes, self._done, [*self._pending, step])
        self._pending.append(step)

    def finish(self, step: Step) -> None:
        """Take in that a step was taken, where ``settle`` has not done so. It is noted for good with the next one."""
        if step in self._pending:
            self._pending.remove(step)
            self._take(step)

    def drop(self, change: Change) -> None:
        """Forget a change that can't be undone or made again any more. Raises StoreFailed."""
        self._leave([one for one in self._changes if one.number != change.number], self._pending)

    def forget(self, own_id: str) -> bool:
        """Forget every change of a class or an example; return whether there was one. Raises StoreFailed."""
        self.read()
        changes = [change for change in self._changes if change.id != own_id]
        pending = [step for step in self._pending if step.change.id != own_id]
        found = (changes, pending) != (self._changes, self._pending)
        # The file may still have what was dropped since it was written: that could not be made again any more.
        if found or (self._path.exists() and json.dumps(own_id).encode() in atomic.read(self._path)):
            self._leave(changes, pending)
        return found

    def commit(self) -> None:
        """Put on disk what was settled since the file was written. Raises StoreFailed.

        Before pictures are removed that unfinished steps are judged by: without them, what such a step took the place of would come back.
        """
        if self._path.exists():
            self._save(self._changes, self._done, self._pending)

    def mentions(self, own_id: str) -> bool:
        """Whether there is a change of a class or an example."""
        return any(change.id == own_id for change in self._known())

    def _leave(self, changes: list[Change], pending: list[Step]) -> None:
        """Keep only these of the changes and the steps, on disk first."""
        left = {change.number for change in changes}
        done = sum(change.number in left for change in self._changes[: self._done])
        self._save(changes, done, pending)
        self._changes, self._done, self._pending = changes, done, pending

    def _take(self, step: Step) -> None:
        if step.way == "do":
            # What was undone before can't be made again after something else.
            self._changes = [*self._changes[: self._done], step.change][-LONGEST:]
            self._done = len(self._changes)
            return
        index = self._index(step.change)
        if index is not None and index == (self._done - 1 if step.way == "undo" else self._done):
            self._changes[index] = step.change
            self._done += -1 if step.way == "undo" else 1

    def _known(self) -> list[Change]:
        return [*self._changes, *(step.change for step in self._pending)]

    def _index(self, change: Change) -> int | None:
        return next((index for index, one in enumerate(self._changes) if one.number == change.number), None)

    def _prune(self, now: datetime) -> None:
        """Forget the changes whose traces the bin does not hold any more, and all before them."""
        old = [index for index, change in enumerate(self._changes) if now - change.at > BIN_KEPT]
        if old:
            first = old[-1] + 1
            # An undone change that is too old takes those with it that were undone before it.
            self._changes = self._changes[first:] if first <= self._done else []
            self._done = max(self._done - first, 0) if self._changes else 0

    def _save(self, changes: list[Change], done: int, pending: list[Step]) -> None:
        content = {
            "version": _VERSION,
            "done": done,
            "changes": [_plain(change) for change in changes],
            "pending": [{"way": step.way, "change": _plain(step.change)} for step in pending],
        }
        atomic.write(self._path, json.dumps(content, separators=(",", ":")).encode())


def _supersedes(change: Change, other: Change) -> bool:
    return change.id == other.id and change.number > other.number


def _plain(change: Change) -> Mapping[str, Any]:
    return {
        "number": change.number,
        "at": change.at.isoformat(),
        "subject": change.subject,
        "id": change.id,
        "before": change.before,
        "after": change.after,
        "place": change.place,
    }


def _change_of(content: Any) -> Change:
    """Return the change that was noted. Raises ValueError, KeyError, TypeError where it makes no sense."""
    subjects: Mapping[Any, Subject] = {"class": "class", "example": "example", "import": "import"}
    subject = subjects[content["subject"]]
    change = Change(
        number=int(content["number"]),
        at=datetime.fromisoformat(content["at"]),
        subject=subject,
        id=str(content["id"]),
        before=_value_of(subject, content["before"]),
        after=_value_of(subject, content["after"]),
        place=str(content["place"]),
    )
    place = PurePosixPath(change.place)
    # Both become parts of paths.
    if change.at.tzinfo is None or place.is_absolute() or ".." in place.parts or len(place.parts) > 3:
        raise ValueError("no change")
    if not change.id or PurePosixPath(change.id).name != change.id or (change.before is None and change.after is None):
        raise ValueError("no change")
    return change


def _value_of(subject: Subject, content: Any) -> Value:
    if content is None:
        return None
    if subject != "class":
        return str(content)
    label, background = content
    return str(label), bool(background)


def _way_of(content: Any) -> Way:
    ways: Mapping[Any, Way] = {"do": "do", "undo": "undo", "redo": "redo"}
    return ways[content]


def moved(step: Step, place: str) -> Step:
    """Return the step with another place in the bin."""
    return replace(step, change=replace(step.change, place=place))
