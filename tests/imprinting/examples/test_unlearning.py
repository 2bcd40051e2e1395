"""Nothing is left of what was removed: not in the head, and, where it is erased, not on disk."""

from pathlib import Path
import shutil

import pytest

from imprinting import KINDS, EmbeddingCache, ExampleStore, StoreFailed, UnknownExample
from tests.imprinting.fakes import READ_ONLY, Fault, jpeg, loaded, snapshot
from tests.imprinting.teaching import LENGTH, embedding, head_of, taught_store


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a classifier's folder that is not there yet."""
    return tmp_path / "coral_imprint" / "gate"


def _copy_without(store: ExampleStore, name: str, but_for: str) -> ExampleStore:
    """Return a store in another folder that never had an example, nor a bin or a journal."""
    other = store.root.with_name(name)
    other.mkdir()
    for learned in store.classes.values():
        shutil.copytree(store.root / learned.folder, other / learned.folder, copy_function=shutil.copy2)
    for path in other.rglob(f"{but_for}.jpg"):
        path.unlink()
    return loaded(other)


@pytest.mark.parametrize("kind", KINDS)
def test_removed_example_leaves_no_trace_in_the_head(root: Path, kind: str) -> None:
    """Whichever it is, whenever it is removed: bit-equal to the head of a store that never had it."""
    store = taught_store(root)
    cache = EmbeddingCache(root / ".embeddings", "f", LENGTH)
    opened, closed = store.classes.values()
    whole = head_of(store, cache, kind)
    for number, example in enumerate(store.examples()[:3]):
        store.remove_example(example.id)
        without = head_of(store, cache, kind)
        never = _copy_without(store, f"never {number}", example.id)
        assert without == head_of(never, EmbeddingCache(never.root / ".embeddings", "f", LENGTH), kind)
        assert without != whole
        store.undo()
        assert head_of(store, cache, kind) == whole
    example = store.examples()[0]
    store.relabel_example(example.id, closed.id)
    store.add_example(opened.id, jpeg("more"))
    store.relabel_example(example.id, opened.id)
    store.remove_example(store.examples()[-1].id)
    assert head_of(store, cache, kind) == whole, "the way the examples went does not matter, only where they are"
    again = loaded(root)
    assert head_of(again, EmbeddingCache(root / ".embeddings", "f", LENGTH), kind) == whole


def test_erasing_reaches_into_the_bin(root: Path) -> None:
    """What was removed before, alone or with its class, and no other change is lost."""
    store = taught_store(root)
    opened = store.class_named("open")
    first, second, third = (one.id for one in store.examples(opened.id))
    store.remove_example(first)
    store.remove_class(opened.id)
    assert store.erase_example(first) == 1
    assert store.erase_example(second) == 1
    with pytest.raises(UnknownExample):
        store.erase_example(second)
    with pytest.raises(UnknownExample):
        store.erase_example("nothing")
    assert store.undo().kind == "class_removed"
    assert set(snapshot(loaded(root))["open"][1]) == {third}
    kinds = []
    while store.next_undo is not None:
        kinds.append(store.undo().kind)
    assert kinds == ["example_added", "example_added", "class_added", "class_added"]


def test_refused_forgetting_forgets_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache is as it was, on disk and in memory."""
    cache = EmbeddingCache(root, "f", LENGTH)
    keys = [bytes([number]) * 16 for number in range(3)]
    for key in keys:
        cache.put(key, embedding(key))
    with monkeypatch.context() as patch:
        Fault(patch, 0, READ_ONLY)
        with pytest.raises(StoreFailed):
            cache.forget(all_but=keys[1:])
    assert len(cache) == len(EmbeddingCache(root, "f", LENGTH)) == 3
    assert cache.forget(all_but=[*keys[2:], b"x" * 16]) == 2
    assert len(cache) == len(EmbeddingCache(root, "f", LENGTH)) == 1
