"""What is filed, in memory: nothing is lost where two threads change it at once, and counting is done once."""

from collections.abc import ItemsView
from pathlib import Path
import threading
from typing import Any

from imprinting import Example, ExampleStore
from tests.imprinting.fakes import Clock, jpeg, new_store


class Interrupted(dict[str, Example]):
    """Examples that another thread changes while they are read."""

    other: threading.Thread

    def items(self) -> ItemsView[str, Example]:  # type: ignore[override]
        """Let the other thread go on until it is done, or waits."""
        self.other.start()
        self.other.join(0.3)
        return super().items()


def taught(root: Path) -> tuple[ExampleStore, Example, Example]:
    store = new_store(root, Clock())
    store.load()
    learned = store.add_class("open")
    return store, store.add_example(learned.id, jpeg("one")), store.add_example(learned.id, jpeg("two"))


def test_an_example_that_is_filed_while_another_one_is_set_aside_is_not_lost(tmp_path: Path) -> None:
    store, first, second = taught(tmp_path / "gate")
    index = store.index
    index.forget_example(second.id)
    interrupted: Any = Interrupted(index.examples)
    interrupted.other = threading.Thread(target=index.keep_example, args=(second.path, second.class_id))
    index.examples = interrupted
    index.forget_example(first.id)
    interrupted.other.join()
    assert index.examples.keys() == {second.id}


def test_examples_are_counted_once_after_each_change(tmp_path: Path) -> None:
    store, first, _ = taught(tmp_path / "gate")
    counts = store.index.counts
    assert dict(counts) == {first.class_id: 2}
    assert store.index.counts is counts, "nothing has changed since"
    store.remove_example(first.id)
    assert dict(store.index.counts) == {first.class_id: 1}
    store.add_class("closed")
    assert sorted(store.index.counts.values()) == [0, 1], "classes without examples are there too"
