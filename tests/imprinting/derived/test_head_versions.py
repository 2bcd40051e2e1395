"""Versions of the head: kept, restored, bounded, forgotten; whatever is cut off or damaged."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
import shutil

import numpy as np
import pytest

from imprinting import Head, HeadVersions, StoreFailed, UnknownVersion, UnusableHead, Version, fit
from imprinting.derived import head_versions as module
from tests.imprinting.fakes import READ_ONLY, Clock, Fault, Killed

LOAD = partial(Head.load, fingerprint="f")


def _head(seed: int) -> bytes:
    """Return a head as it is packed."""
    vectors = np.random.default_rng(seed).random((2, 3, 8)).astype(np.float32)
    return fit({"a": vectors[0], "b": vectors[1]}).save("f")


def _opened(folder: Path) -> HeadVersions:
    return HeadVersions(folder, Clock())


def _keep(kept: HeadVersions, seed: int, taught: str | None = None, examples: Sequence[str] = ("one",)) -> Version:
    return kept.keep(
        _head(seed),
        taught=taught or f"t{seed}",
        why="example_added",
        kind="imprint",
        counts={"a": 3},
        examples=examples,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of versions that is not there yet."""
    return tmp_path / "gate" / ".heads"


def test_every_head_is_kept_with_what_made_it(folder: Path) -> None:
    """Newest first, the same after a restart; nothing is made before the first one."""
    kept = _opened(folder)
    assert not kept.versions
    assert not folder.exists()
    made = [_keep(kept, seed, examples=[f"e{number}" for number in range(seed)]) for seed in range(3)]
    assert [version.number for version in made] == [1, 2, 3]
    assert kept.versions == made[::-1] == _opened(folder).versions
    assert (made[2].why, made[2].kind, made[2].counts, made[2].examples) == ("example_added", "imprint", {"a": 3}, 2)
    assert made[0].made < made[1].made
    assert made[2].size == len(_head(2))
    assert [_opened(folder).read(version.number) for version in made] == [_head(seed) for seed in range(3)]
    assert kept.current("t1") == made[1]
    assert kept.current("something else") is None
    with pytest.raises(UnknownVersion):
        kept.read(4)


def test_same_head_again_is_no_new_version(folder: Path) -> None:
    """As at every start; but another kind, other examples or another teaching is."""
    kept = _opened(folder)
    first = _keep(kept, 0)
    assert _keep(kept, 0) == _keep(_opened(folder), 0) == first
    assert _keep(kept, 0, examples=["two"]).number == 2
    assert _keep(kept, 0, taught="t", examples=["two"]).number == 3
    other = kept.keep(_head(0), taught="t", why="", kind="ridge", counts={}, examples=["two"])
    assert other.number == 4
    assert _opened(folder).versions == kept.versions


def test_restored_version_answers_until_something_is_taught(folder: Path) -> None:
    """After a restart too; unpinning or keeping a new head ends it."""
    kept = _opened(folder)
    old, new = _keep(kept, 0), _keep(kept, 1)
    assert kept.pinned("t1") is None
    head = kept.restore(old.number, LOAD, "t1")
    assert head.save("f") == _head(0)
    for opened in (kept, _opened(folder)):
        assert opened.pinned("t1") == opened.current("t1") == old
        assert opened.pinned("taught since") is None
        assert opened.current("taught since") is None
    assert kept.unpin()
    assert not kept.unpin()
    assert kept.current("t1") == _opened(folder).current("t1") == new
    kept.restore(old.number, LOAD, "t1")
    newest = _keep(kept, 2, taught="t1")
    assert kept.current("t1") == _opened(folder).current("t1") == newest


def test_foreign_and_damaged_heads_are_refused(folder: Path) -> None:
    """By what loading raises; what answers stays."""
    kept = _opened(folder)
    old, new = _keep(kept, 0), _keep(kept, 1)
    with pytest.raises(UnusableHead):
        kept.restore(old.number, partial(Head.load, fingerprint="another"), "t1")
    path = folder / f"{old.number:06}.head"
    whole = path.read_bytes()
    for damaged in (whole[:-1] + b"?", whole[:-5], whole[:30], b""):
        path.write_bytes(damaged)
        with pytest.raises(UnusableHead):
            kept.restore(old.number, LOAD, "t1")
    path.unlink()
    with pytest.raises(StoreFailed):
        kept.restore(old.number, LOAD, "t1")
    assert kept.current("t1") == _opened(folder).current("t1") == new


def test_files_that_are_no_versions_are_set_aside(folder: Path) -> None:
    """Damaged ones under another suffix; what is not ours is left alone."""
    kept = _opened(folder)
    whole = [_keep(kept, seed) for seed in range(4)]
    contents = [(folder / f"{version.number:06}.head").read_bytes() for version in whole]
    (folder / "000001.head").write_bytes(contents[0][:40])
    (folder / "000002.head").write_bytes(contents[0])
    (folder / "000003.head").write_bytes(contents[2].replace(b'"number": 3', b'"number": x'))
    (folder / "notes.txt").write_text("mine")
    (folder / "pinned.json").write_text('{"number": 3')
    (folder / ".tmp-000009.head").write_bytes(b"half")
    assert _opened(folder).versions == [whole[3]]
    assert {path.name for path in folder.iterdir()} == {
        "000001.bad",
        "000002.bad",
        "000003.bad",
        "000004.head",
        "notes.txt",
        "pinned.json",
    }


def test_number_and_size_are_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest go, but not the newest, nor one that is pinned when it is pinned."""
    kept = _opened(folder)
    monkeypatch.setattr(module, "KEPT_VERSIONS", 3)
    for seed in range(6):
        _keep(kept, seed)
    assert [version.number for version in kept.versions] == [6, 5, 4]
    assert _opened(folder).versions == kept.versions
    monkeypatch.setattr(
        module, "KEPT_BYTES", max(version.size for version in kept.versions) * 2 + 8
    )  # sizes differ by digits
    assert [_keep(kept, 7).number, *(version.number for version in kept.versions)] == [7, 7, 6]
    monkeypatch.setattr(module, "KEPT_BYTES", 0)
    _keep(kept, 8)
    assert [version.number for version in _opened(folder).versions] == [8]


def test_versions_that_an_example_went_into_are_forgotten(folder: Path) -> None:
    """With their files; what was made without it stays. A pinned one that goes answers no more."""
    kept = _opened(folder)
    _keep(kept, 0, examples=["one"])
    with_two = [_keep(kept, 1, examples=["one", "two"]), _keep(kept, 2, examples=["two", "three"])]
    last = _keep(kept, 3, examples=["one", "three"])
    kept.restore(with_two[0].number, LOAD, "t3")
    (folder / "000009.bad").write_bytes(b"damaged")
    assert kept.forget(["two", "never heard of"]) == 2
    assert [version.number for version in kept.versions] == [4, 1]
    assert {path.name for path in folder.iterdir()} == {"000001.head", "000004.head"}
    assert kept.current("t3") == _opened(folder).current("t3") == last
    assert kept.forget(["two"]) == 0
    damaged = folder / "000001.head"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    assert kept.forget(["nobody"]) == 1, "what can't be told is not kept"
    assert HeadVersions(folder.parent / "none", Clock()).forget(["two"]) == 0


Operation = Callable[[HeadVersions], object]
OPERATIONS: dict[str, Operation] = {
    "keep": lambda kept: _keep(kept, 9),
    "restore": lambda kept: kept.restore(2, LOAD, "t1"),
    "unpin": lambda kept: kept.unpin(),
    "forget": lambda kept: kept.forget(["rare"]),
}


def _state(kept: HeadVersions) -> tuple[list[int], list[bytes], list[int | None]]:
    """Return the numbers, the heads, and which one answers for each teaching."""
    answering = [kept.current(f"t{seed}") for seed in (0, 1, 9)]
    return (
        [version.number for version in kept.versions],
        [kept.read(version.number) for version in kept.versions],
        [None if version is None else version.number for version in answering],
    )


@pytest.mark.parametrize("refusal", [None, READ_ONLY])
@pytest.mark.parametrize("name", OPERATIONS)
def test_kill_or_refusal_at_every_step_leaves_old_or_new(folder: Path, name: str, refusal: int | None) -> None:
    """What answers, and what is kept, is what was before or what is after; trying again works."""
    template = folder.with_name("template")
    kept = _opened(template)
    _keep(kept, 0)
    _keep(kept, 1, examples=["rare"])
    _keep(kept, 1, examples=["one"])
    kept.restore(1, LOAD, "t1")
    done = folder.with_name("done")
    shutil.copytree(template, done)
    OPERATIONS[name](_opened(done))
    old, new = _state(kept), _state(_opened(done))
    assert old != new
    for passes in range(100):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(template, folder)
        opened = _opened(folder)
        with pytest.MonkeyPatch.context() as patch:
            fault = Fault(patch, passes, refusal)
            try:
                OPERATIONS[name](opened)
            except (Killed, StoreFailed):
                assert fault.struck
        assert _state(_opened(folder)) in (old, new)
        opened = opened if refusal is not None else _opened(folder)
        if _state(_opened(folder)) == old:
            OPERATIONS[name](opened)
        assert _state(_opened(folder)) == new
        if not fault.struck:
            break
    assert passes > 2
