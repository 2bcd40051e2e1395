"""Nothing is left of an example that was erased: not in any file, not in any head; and all else is as it was."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
import hashlib
import os
from pathlib import Path
import shutil

import numpy as np
import pytest

from imprinting import (
    KINDS,
    EmbeddingCache,
    EmbeddingFingerprints,
    ExampleStore,
    Head,
    HeadVersions,
    StoreFailed,
    UnknownExample,
)
from imprinting.derived.erasing import erase_example
from imprinting.examples.loading import ADOPTED
from tests.imprinting.fakes import FULL, Clock, Fault, Killed, jpeg, loaded, png, snapshot
from tests.imprinting.teaching import LENGTH, embedding, head_of, taught_store

FOLDER, HEADS = ".embeddings", ".heads"


@dataclass
class Classifier:
    """All that a classifier keeps, as its owner has it open."""

    store: ExampleStore
    fingerprints: EmbeddingFingerprints
    cache: EmbeddingCache
    versions: HeadVersions

    def teach(self) -> bytes:
        """Embed what is not embedded, keep the head and return it."""
        head = head_of(self.store, self.cache)
        ids = [one.id for one in self.store.examples()]
        self.versions.keep(head, taught=self.store.taught, why="", kind="imprint", counts={}, examples=ids)
        return head

    def erase(self, example_id: str) -> int:
        """Erase an example."""
        return erase_example(
            example_id, store=self.store, fingerprints=self.fingerprints, opened=[self.cache], versions=self.versions
        )


def opened(root: Path) -> Classifier:
    """Begin a session."""
    fingerprints, clock = EmbeddingFingerprints(root / FOLDER, Clock()), Clock()
    return Classifier(loaded(root), fingerprints, fingerprints.open("f", LENGTH), HeadVersions(root / HEADS, clock))


def taught(root: Path) -> Classifier:
    """Return a classifier with a head for its last example, its last two and so on; embeddings under four fingerprints."""
    store = taught_store(root)
    classifier = opened(root)
    for name, length in (("second", LENGTH), ("third", LENGTH), ("longer", LENGTH + 1)):
        cache = classifier.fingerprints.open(name, length)
        for example in store.examples():
            cache.put(example.key, np.resize(embedding(store.read(example)), length))
    for example in store.examples():
        store.remove_example(example.id)
    for _ in range(4):
        store.undo()
        classifier.store.load()
        classifier.teach()
    return opened(root)


def traces_of(classifier: Classifier, example_id: str, name: str = "") -> dict[str, bytes]:
    """Return what stands for an example in files: its content, its vector, its keys, its marks."""
    example = next(one for one in classifier.store.examples() if one.id == example_id)
    picture = classifier.store.read(example)
    return {
        "picture": picture[3:],
        "vector": embedding(picture).tobytes(),
        "key": example.key,
        "mark": hashlib.blake2b(example_id.encode(), digest_size=8).digest(),
        "id": (name or example_id).encode(),
    }


def found_under(root: Path, traces: dict[str, bytes]) -> set[str]:
    """Return which of the traces are in a file, or in a file's name."""
    everything = b"\0".join(
        path.relative_to(root).as_posix().encode() + b"\0" + (path.read_bytes() if path.is_file() else b"")
        for path in sorted(root.rglob("*"))
    )
    return {name for name, trace in traces.items() if trace in everything}


def jpegs_under(root: Path, but_for: str = "") -> dict[str, bytes]:
    """Return all pictures, in the bin too, by the example's id."""
    return {path.stem: path.read_bytes() for path in root.rglob("*.jpg") if path.stem != but_for}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a classifier's folder that is not there yet."""
    return tmp_path / "coral_imprint" / "gate"


def _leave(classifier: Classifier, example_id: str) -> None:
    """Leave the example where it is."""


def _remove(classifier: Classifier, example_id: str) -> None:
    classifier.store.remove_example(example_id)


def _remove_with_class(classifier: Classifier, example_id: str) -> None:
    classifier.store.remove_class(classifier.store.class_named("open").id)


def _relabel(classifier: Classifier, example_id: str) -> None:
    classifier.store.relabel_example(example_id, classifier.store.class_named("closed").id)
    classifier.teach()


def _set_aside(classifier: Classifier, example_id: str) -> None:
    classifier.store.set_aside(example_id)


def _take_back_the_removal(classifier: Classifier, example_id: str) -> None:
    classifier.store.remove_example(example_id)
    classifier.store.undo()
    classifier.store.add_class("another")


def _touch(classifier: Classifier, example_id: str) -> None:
    """Give the file another time, as a restored backup does: the embeddings made before are under another key."""
    (path,) = classifier.store.root.rglob(f"{example_id}.jpg")
    os.utime(path, (1, 1))


def _move_by_hand(classifier: Classifier, example_id: str) -> None:
    (classifier.store.root / "open").rename(classifier.store.root / "by hand")


WAYS: dict[str, Callable[[Classifier, str], None]] = {
    "in its class": _leave,
    "in the bin": _remove,
    "in the bin with its class": _remove_with_class,
    "in another class": _relabel,
    "set aside": _set_aside,
    "back from the bin": _take_back_the_removal,
    "touched": _touch,
    "its folder renamed by hand": _move_by_hand,
}


@pytest.mark.parametrize("way", WAYS)
def test_no_file_has_anything_of_it(root: Path, way: str) -> None:
    """Wherever it is: neither its bytes, its name, its mark nor its vector; and all others are as they were."""
    classifier = taught(root)
    example_id = classifier.store.examples()[0].id
    traces = traces_of(classifier, example_id)
    WAYS[way](classifier, example_id)
    assert found_under(root, traces) == set(traces)
    others = jpegs_under(root, but_for=example_id)
    assert classifier.erase(example_id) == 1
    assert not found_under(root, traces)
    assert jpegs_under(root) == others
    with pytest.raises(UnknownExample):
        classifier.erase(example_id)
    while classifier.store.next_undo is not None:
        classifier.store.undo()
    assert not found_under(root, traces), "no undo brings it back"


def test_what_others_have_is_kept(root: Path) -> None:
    """Embeddings under every fingerprint, versions that did not know it, changes that can be undone."""
    classifier = taught(root)
    first, *others = classifier.store.examples()
    without = classifier.versions.versions[1:]
    contents = [classifier.versions.read(version.number) for version in without]
    newest = classifier.store.examples()[-1]
    classifier.store.remove_example(newest.id)
    assert [version.examples for version in classifier.versions.versions] == [4, 3, 2, 1]
    classifier.erase(first.id)
    for name, length in (("f", LENGTH), ("second", LENGTH), ("third", LENGTH), ("longer", LENGTH + 1)):
        cache = EmbeddingCache(root / FOLDER, name, length)
        kept = [cache.get(one.key) for one in others if one != newest]
        assert len(cache) == len(kept) == 2
        assert all(vector is not None for vector in kept)
    assert [version.number for version in opened(root).versions.versions] == [one.number for one in without]
    assert [classifier.versions.read(version.number) for version in without] == contents
    assert classifier.store.undo().id == newest.id
    assert set(snapshot(classifier.store)["closed"][1]) == {newest.id}


@pytest.mark.parametrize("kind", KINDS)
def test_head_is_that_of_a_classifier_that_never_had_it(root: Path, kind: str) -> None:
    """Bit-equal, from the embeddings that were kept and from new ones; and not the head from before."""
    classifier = taught(root)
    example = classifier.store.examples()[1]
    before = head_of(classifier.store, classifier.cache, kind)
    never = root.with_name("never")
    for learned in classifier.store.classes.values():
        shutil.copytree(root / learned.folder, never / learned.folder, copy_function=shutil.copy2)
    (never / "open" / example.path.name).unlink()
    wanted = head_of(loaded(never), EmbeddingCache(never / FOLDER, "f", LENGTH), kind)
    classifier.erase(example.id)
    assert head_of(classifier.store, classifier.cache, kind) == wanted != before
    assert head_of(loaded(root), EmbeddingCache(root / FOLDER, "new", LENGTH), kind) == wanted


def test_restored_head_that_knew_it_answers_no_more(root: Path) -> None:
    """It is removed like the others."""
    classifier = taught(root)
    example = classifier.store.examples()[0]
    knowing = classifier.versions.versions[0]
    classifier.versions.restore(knowing.number, partial(Head.load, fingerprint="f"), classifier.store.taught)
    classifier.erase(example.id)
    assert classifier.versions.pinned(classifier.store.taught) is None
    assert knowing not in opened(root).versions.versions


def test_what_it_was_made_of_goes_too(root: Path) -> None:
    """The user's own file in another format, which is in the bin, and what notes its name; other files of that name stay."""
    classifier = taught(root)
    folder = root / "open"
    (folder / "mine.png").write_bytes(png("mine"))
    classifier.store.load()
    (folder / "mine.webp").write_bytes(png("other"))
    (folder / "mine-2 of it.jpg").write_bytes(jpeg("third"))
    classifier.store.load()
    classifier.teach()
    traces = {**traces_of(classifier, "mine", '"mine.jpg"'), "original": png("mine")}
    assert found_under(root, traces) == set(traces)
    assert classifier.erase("mine") == 2
    assert not found_under(root, traces)
    assert {"mine-2", "mine-2 of it"} < set(snapshot(loaded(root))["open"][1])
    assert found_under(root, {"other": png("other")})
    assert classifier.erase("mine-2") == 2
    assert not found_under(root, {"other": jpeg("other"), "original": png("other")})


def test_notes_that_are_damaged_go(root: Path) -> None:
    """They may name it: of pictures that were looked into, half-written and set-aside embeddings and heads."""
    classifier = taught(root)
    (root / "open" / "mine.jpg").write_bytes(jpeg("mine"))
    classifier.store.load()
    traces = traces_of(classifier, "mine")
    (root / "closed" / ADOPTED).write_bytes(b'{"mine.jpg": [')
    vector = traces["key"] + traces["vector"]
    contents = [path.read_bytes() for path in sorted((root / FOLDER).glob("*.emb"))]
    for name, content in (
        (".tmp-a.emb", contents[0] + vector),
        ("b.emb", contents[1] + vector),
        ("c.emb", bytes([contents[2][0] ^ 1]) + contents[2][1:] + vector),
        ("d.bad", vector),
    ):
        (root / FOLDER / name).write_bytes(content)
    classifier.cache.path.write_bytes(classifier.cache.path.read_bytes() + vector)
    for name in (".tmp-000009.head", "000009.bad"):
        (root / HEADS / name).write_bytes(traces["mark"])
    assert classifier.erase("mine") == 1
    assert not found_under(root, {name: trace for name, trace in traces.items() if name != "id"})
    assert not found_under(root, {"name": b"mine.jpg"})


@pytest.mark.parametrize("refusal", [None, FULL])
@pytest.mark.parametrize("way", ["in its class", "in the bin", "in another class"])
def test_doing_it_again_finishes_it(root: Path, way: str, refusal: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed or refused at any step on the disk: after the next try nothing is left, and never anything else is lost."""
    template = taught(root.with_name("template"))
    example_id = template.store.examples()[0].id
    traces = traces_of(template, example_id)
    WAYS[way](template, example_id)
    others = {one.id: template.store.read(one) for one in template.store.examples() if one.id != example_id}
    again = 0
    for passes in range(200):
        shutil.copytree(template.store.root, root)
        classifier = opened(root)
        with monkeypatch.context() as patch:
            fault = Fault(patch, passes, refusal)
            try:
                classifier.erase(example_id)
            except (Killed, StoreFailed):
                assert fault.struck
        classifier = classifier if refusal is not None else opened(root)
        try:
            classifier.erase(example_id)
            again += 1
        except UnknownExample:
            assert not found_under(root, traces)
        assert not found_under(root, traces)
        assert {one.id: classifier.store.read(one) for one in loaded(root).examples()} == others
        shutil.rmtree(root)
        if not fault.struck:
            break
    assert passes > 20
    assert again > 15


def test_nothing_happens_for_an_example_that_is_not_known(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A named error, and no file is touched."""
    classifier = taught(root)
    outside = root.parent / "private.jpg"
    for path in (outside, root / "open" / ".jpg"):
        path.write_bytes(jpeg("private"))
    example = classifier.store.examples()[0]
    with monkeypatch.context() as patch:
        fault = Fault(patch, 0, FULL)
        for unknown in ("nothing", "../../private", str(outside.with_suffix("")), f"../open/{example.id}", ""):
            with pytest.raises(UnknownExample):
                classifier.erase(unknown)
    assert fault.steps == 0
    assert outside.exists()
