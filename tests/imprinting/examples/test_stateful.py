"""Any sequence of changes, undo, redo, restarts and crashes, beside a plain model: a list of the states that were."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
import shutil
import tempfile

from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
import numpy as np
import pytest

from imprinting import (
    EmbeddingFingerprints,
    ExampleStore,
    Head,
    HeadVersions,
    NothingToRedo,
    NothingToUndo,
    UnknownExample,
    fit,
)
from imprinting.derived.erasing import erase_example
from imprinting.examples import atomic
from tests.imprinting.fakes import Clock, Fault, Killed, jpeg, new_store
from tests.imprinting.teaching import LENGTH, embedding, head_of

LABELS = ["open", "Closed", "a/b", "ab", "a:b", "Straße"]
FINGERPRINT = "f"

Classes = dict[str, tuple[str, bool]]
Examples = dict[str, tuple[str, bytes]]
State = tuple[Classes, Examples]
"""Label and background by class id; class id and picture by example id."""


def _state_of(store: ExampleStore) -> State:
    return (
        {learned.id: (learned.label, learned.background) for learned in store.classes.values()},
        {one.id: (one.class_id, store.read(one)) for one in store.examples()},
    )


def _without(state: State, example_id: str) -> State:
    return state[0], {key: value for key, value in state[1].items() if key != example_id}


def _head(examples: Mapping[str, tuple[str, bytes]]) -> bytes:
    """Return the head of examples that nothing was ever removed from: all of them embedded and fitted anew."""
    by_class: dict[str, list[object]] = {}
    for example_id in sorted(examples):
        class_id, picture = examples[example_id]
        by_class.setdefault(class_id, []).append(embedding(picture))
    return fit({class_id: np.array(rows, np.float32) for class_id, rows in by_class.items()}).save(FINGERPRINT)


class Teaching(RuleBasedStateMachine):
    """The store, the cache and the versions against the model."""

    def __init__(self) -> None:
        """Begin with nothing."""
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        # Whether the disk waits makes no difference to what is on it here.
        self.patch.setattr(atomic, "step_sync", lambda descriptor: None)
        self.folder = Path(tempfile.mkdtemp())
        self.clock = Clock()
        self.states: list[State] = [({}, {})]
        self.now = 0
        self.heads: dict[int, bytes] = {}
        self.answer: bytes | None = None
        self.open()

    def teardown(self) -> None:
        """Leave nothing."""
        self.patch.undo()
        shutil.rmtree(self.folder)

    def open(self) -> None:
        """Begin a session."""
        self.store = new_store(self.folder / "gate", self.clock)
        self.store.load()
        self.fingerprints = EmbeddingFingerprints(self.folder / "gate" / ".embeddings", self.clock)
        self.cache = self.fingerprints.open(FINGERPRINT, LENGTH)
        self.versions = HeadVersions(self.folder / "gate" / ".heads", self.clock)

    @property
    def state(self) -> State:
        """The model's present."""
        return self.states[self.now]

    def change(self, action: Callable[[], object], wanted: Callable[[State], State]) -> None:
        """Change the store and the model; ``wanted`` may look at the store for ids that it made up."""
        action()
        self.noted(wanted(self.state))

    def noted(self, state: State) -> None:
        """Let the model be in another state; the same again is no change."""
        if state != self.state:
            self.states[self.now + 1 :] = [state]
            self.now += 1
        self.teach()

    def teach(self) -> None:
        """Imprint as the integration does after each change, and keep the head."""
        if not self.state[1]:
            self.versions.unpin()
            self.answer = None
            return
        head = head_of(self.store, self.cache)
        if self.versions.pinned(self.store.taught) is None:
            version = self.versions.keep(
                head, taught=self.store.taught, why="", kind="imprint", counts={}, examples=self.state[1]
            )
            self.heads[version.number] = head
            self.answer = head

    def class_id(self, number: int) -> str:
        """Return one of the classes."""
        return list(self.state[0])[number % len(self.state[0])]

    def example_id(self, number: int) -> str:
        """Return one of the examples."""
        return sorted(self.state[1])[number % len(self.state[1])]

    # What can be done, as (what the store does, what the model is then)

    def actions(self, name: str, first: int, second: int) -> tuple[Callable[[], object], Callable[[], State]] | None:
        """Return a change of the store and the state that it leads to; None where it is refused or has no object."""
        classes, examples = self.state
        label = LABELS[second % len(LABELS)]
        used = {known.casefold() for known, _ in classes.values()}
        if name == "add_class":
            return None if label.casefold() in used else self._add_class(label, bool(first % 2))
        if not classes:
            return None
        class_id = self.class_id(first)
        if name == "add_example":
            return self._add_example(class_id, jpeg(f"picture {second}"))
        if name == "rename_class":
            own, background = classes[class_id]
            if label.casefold() in used - {own.casefold()}:
                return None
            renamed = (label, background)
            return partial(self.store.rename_class, class_id, label), lambda: (
                {**classes, class_id: renamed},
                examples,
            )
        if name == "set_background":
            meaning = (classes[class_id][0], bool(second % 2))
            return partial(self.store.set_background, class_id, meaning[1]), lambda: (
                {**classes, class_id: meaning},
                examples,
            )
        if name == "remove_class":
            left = {key: value for key, value in examples.items() if value[0] != class_id}
            kept = {key: value for key, value in classes.items() if key != class_id}
            return partial(self.store.remove_class, class_id), lambda: (kept, left)
        if not examples:
            return None
        example_id = self.example_id(second)
        if name == "relabel":
            moved = {**examples, example_id: (class_id, examples[example_id][1])}
            return partial(self.store.relabel_example, example_id, class_id), lambda: (classes, moved)
        return partial(self.store.remove_example, example_id), lambda: _without(self.state, example_id)

    def _add_class(self, label: str, background: bool) -> tuple[Callable[[], object], Callable[[], State]]:
        classes, examples = self.state

        def after() -> State:
            (new,) = set(self.store.classes) - set(classes)
            return {**classes, new: (label, background)}, examples

        return partial(self.store.add_class, label, background), after

    def _add_example(self, class_id: str, picture: bytes) -> tuple[Callable[[], object], Callable[[], State]]:
        classes, examples = self.state

        def after() -> State:
            (new,) = {one.id for one in self.store.examples()} - set(examples)
            return classes, {**examples, new: (class_id, picture)}

        return partial(self.store.add_example, class_id, picture), after

    NAMES = st.sampled_from(
        [
            "add_class",
            "add_example",
            "add_example",
            "rename_class",
            "set_background",
            "relabel",
            "remove",
            "remove_class",
        ]
    )
    NUMBERS = st.integers(0, 11)

    # Rules

    @initialize()
    def first_classes(self) -> None:
        """Begin as a user does."""
        for number in range(2):
            self.do("add_class", number, number)

    @rule(name=NAMES, first=NUMBERS, second=NUMBERS)
    def do(self, name: str, first: int, second: int) -> None:
        """Make a change."""
        if found := self.actions(name, first, second):
            action, after = found
            self.change(action, lambda state: after())

    @rule(way=st.sampled_from(["undo", "undo", "redo"]), times=st.integers(1, 4))
    def step(self, way: str, times: int) -> None:
        """Go back or forth in what was."""
        for _ in range(times):
            target = self.now + (-1 if way == "undo" else 1)
            if not 0 <= target < len(self.states):
                with pytest.raises(NothingToUndo if way == "undo" else NothingToRedo):
                    getattr(self.store, way)()
                return
            getattr(self.store, way)()
            self.now = target
            self.teach()

    @rule(later=st.integers(0, 60))
    def restart(self, later: int) -> None:
        """Begin another session."""
        self.clock.now += timedelta(minutes=later)
        self.open()

    @rule(name=NAMES, first=NUMBERS, second=NUMBERS, passes=st.integers(0, 16))
    def crash(self, name: str, first: int, second: int, passes: int) -> None:
        """Be killed in the middle of a change, or right after it."""
        if not (found := self.actions(name, first, second)):
            return
        action, after = found
        self._killed(action, passes)
        if _state_of(self.store) != self.state:
            self.noted(after())

    @rule(way=st.sampled_from(["undo", "redo"]), passes=st.integers(0, 16))
    def crash_in_step(self, way: str, passes: int) -> None:
        """Be killed in the middle of undo or redo."""
        target = self.now + (-1 if way == "undo" else 1)
        if 0 <= target < len(self.states):
            self._killed(getattr(self.store, way), passes)
            if _state_of(self.store) != self.state:
                self.now = target
            self.teach()

    def _killed(self, action: Callable[[], object], passes: int) -> None:
        with pytest.MonkeyPatch.context() as patch:
            Fault(patch, passes)
            with suppress(Killed):
                action()
        self.open()

    @precondition(lambda self: self.states[self.now][1])
    @rule(number=NUMBERS)
    def erase(self, number: int) -> None:
        """Remove an example as if it had never been, from all that was as well."""
        example_id = self.example_id(number)
        self._erase(example_id)
        self._erased(example_id)

    @precondition(lambda self: self.states[self.now][1])
    @rule(number=NUMBERS, passes=st.integers(0, 40))
    def crash_in_erase(self, number: int, passes: int) -> None:
        """Be killed in the middle of that, and do it again."""
        example_id = self.example_id(number)
        self._killed(lambda: self._erase(example_id), passes)
        with suppress(UnknownExample):
            self._erase(example_id)
        self._erased(example_id)

    def _erase(self, example_id: str) -> None:
        erase_example(
            example_id, store=self.store, fingerprints=self.fingerprints, opened=[self.cache], versions=self.versions
        )

    def _erased(self, example_id: str) -> None:
        self.heads = {version.number: self.heads[version.number] for version in self.versions.versions}
        past = [_without(state, example_id) for state in self.states]
        self.now -= sum(past[index] == past[index + 1] for index in range(self.now))
        self.states = [state for index, state in enumerate(past) if not index or state != past[index - 1]]
        self.teach()

    @precondition(lambda self: self.answer is not None and self.heads)
    @rule(number=NUMBERS)
    def restore(self, number: int) -> None:
        """Let an earlier head answer; it does until something is taught."""
        chosen = list(self.heads)[number % len(self.heads)]
        head = self.versions.restore(chosen, partial(Head.load, fingerprint=FINGERPRINT), self.store.taught)
        assert head.save(FINGERPRINT) == self.heads[chosen]
        self.answer = self.heads[chosen]

    # What always holds

    @invariant()
    def state_is_the_models(self) -> None:
        """Classes, labels, examples, in memory and for a fresh session; and what undo and redo would do."""
        assert _state_of(self.store) == self.state
        assert list(self.store.classes) == sorted(self.state[0], key=lambda key: self.store.classes[key].created)
        assert (self.store.next_undo is None) == (self.now == 0)
        assert (self.store.next_redo is None) == (self.now == len(self.states) - 1)

    @invariant()
    def head_is_the_models(self) -> None:
        """Bit-equal to one that never knew what was removed; and the version that answers is the right one."""
        if not self.state[1]:
            return
        assert head_of(self.store, self.cache) == _head(self.state[1])
        current = self.versions.current(self.store.taught)
        assert current is not None
        assert self.versions.read(current.number) == self.answer


Teaching.TestCase.settings = settings(max_examples=25, stateful_step_count=30)
TestTeaching = Teaching.TestCase


def test_what_filing_took_the_place_of_stays_gone_when_erasing_is_cut_off() -> None:
    """Filing is cut off before it is noted, erasing after the picture is gone: what was undone before can't be made again."""
    house = Teaching()
    try:
        for number, label in enumerate(LABELS[:2]):
            action, after = house._add_class(label, bool(number))
            house.noted((action(), after())[1])
        house.open()
        house.crash_in_step(way="undo", passes=7)
        house.crash_in_step(way="undo", passes=10)
        house.crash(first=0, name="add_example", passes=10, second=0)
        assert house.store.next_redo is None
        house.crash_in_erase(number=0, passes=12)
        house.state_is_the_models()
    finally:
        house.teardown()
