"""Known classes: what is kept of them, and how their weights join an imprint."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
import pytest

from imprinting.derived.known_classes import COLUMN_SCALE, DAMAGED, FILE, MOST_GONE, Known, extended, load, save
from imprinting.errors import StoreFailed
from imprinting.examples import atomic
from imprinting.heads import Head, Imprint, fit

RANDOM = np.random.default_rng(6)
NONE: frozenset[str] = frozenset()


def unit(length: int = 8) -> NDArray[np.float32]:
    """Return a random direction."""
    vector = RANDOM.normal(size=length)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def known(*extractors: str, imported: bool = False) -> Known:
    """Return what is known of a class to some extractors."""
    return Known(("tabby, cat", "lynx"), imported, {extractor: unit() for extractor in extractors})


def head(*classes: str) -> Imprint:
    """Return an imprint of two examples a class."""
    return fit({name: np.stack([unit(), unit()]) for name in classes})


def test_what_is_kept_comes_back(tmp_path: Path) -> None:
    kept = {"a": known("first", "second"), "b": known(imported=True), "c": known("first")}
    save(tmp_path, kept, ["a", "b", "c"])
    found, damaged = load(tmp_path)
    assert not damaged and list(found) == ["a", "b", "c"]
    for class_id, one in kept.items():
        assert (found[class_id].names, found[class_id].imported) == (one.names, one.imported)
        assert found[class_id].directions.keys() == one.directions.keys()
        for extractor, direction in one.directions.items():
            np.testing.assert_array_equal(found[class_id].directions[extractor], direction)
            assert found[class_id].directions[extractor].dtype == np.float32


def test_nothing_kept(tmp_path: Path) -> None:
    assert load(tmp_path) == ({}, False)


def test_classes_that_are_gone_are_remembered_as_far_as_undo_goes(tmp_path: Path) -> None:
    many = {f"class {number}": known() for number in range(MOST_GONE + 5)}
    save(tmp_path, many, ["class 0", "class 3"])
    found, _ = load(tmp_path)
    assert found.keys() == many.keys() - {"class 1", "class 2", "class 4"}


def changed(content: Any, *path: Any, to: Any) -> Any:
    """Return a copy of JSON with one value replaced."""
    copy = json.loads(json.dumps(content))
    place = copy
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = to
    return copy


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("version",), 2),
        (("classes",), []),
        (("classes", "a", "names"), 7),
        (("classes", "a", "directions"), None),
        (("classes", "a", "directions", "first"), "no base64"),
        (("classes", "a", "directions", "first"), "AAAAAA=="),
        (("classes", "a", "directions", "first"), "AADAfwAAwH8="),
        (("classes", "a", "directions", "first"), "AAA="),
    ],
    ids=["version", "list", "names", "directions", "text", "zero", "not a number", "half a number"],
)
def test_damage_is_set_aside(tmp_path: Path, path: tuple[str, ...], value: Any) -> None:
    save(tmp_path, {"a": known("first")}, ["a"])
    spoilt = json.dumps(changed(json.loads((tmp_path / FILE).read_bytes()), *path, to=value))
    (tmp_path / FILE).write_text(spoilt)
    assert load(tmp_path) == ({}, True)
    assert (tmp_path / DAMAGED).read_text() == spoilt
    assert load(tmp_path) == ({}, False)


@pytest.mark.parametrize("content", [b"", b"\xff", b"[]", b"{" * 100_000, b"null"])
def test_what_was_never_ours_is_set_aside(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    assert load(tmp_path) == ({}, True)


def test_a_disk_that_refuses_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path, {"a": known("first")}, ["a"])
    before = (tmp_path / FILE).read_bytes()

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic, "step_write", full)
    with pytest.raises(StoreFailed):
        save(tmp_path, {"b": known("first")}, ["b"])
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    assert (tmp_path / FILE).read_bytes() == before


def test_weights_join_an_imprint() -> None:
    old = head("a", "b")
    weights = {"c": 2.5 * unit(), "b": 0.5 * unit()}
    new = extended(old, weights, frozenset({"c"}))
    assert (new.classes, new.kind, new.scale) == (("a", "b", "c"), "imprint", COLUMN_SCALE)
    np.testing.assert_allclose(new.prototypes[0] * new.gains[0], old.prototypes[0] * old.gains[0], atol=1e-6)
    for name, row in (("b", 1), ("c", 2)):
        np.testing.assert_allclose(new.prototypes[row] * new.gains[row], weights[name], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(new.prototypes, axis=1), 1, atol=1e-6)
    vector = unit()
    np.testing.assert_allclose(new.logits(vector)[2], weights["c"] @ vector, atol=1e-6)
    assert set(new.score(vector).probability) == {"a", "b", "c"}


def test_an_extended_head_is_kept_like_any_other() -> None:
    made = extended(head("a"), {"c": 2.5 * unit()}, frozenset({"c"}))
    read = Head.load(made.save("fingerprint"), "fingerprint")
    vector = unit()
    assert read.score(vector) == made.score(vector)


def test_the_scale() -> None:
    """Learned from examples where they are; what was imported is as far apart as imprinted weights are."""
    two = head("a", "b")
    assert extended(two, {"b": unit()}, frozenset({"b"})).scale == two.scale, "b has examples"
    assert extended(two, {"c": unit()}, NONE).scale == two.scale
    imported = extended(head("a"), {"c": unit()}, NONE)
    scores = imported.score(imported.prototypes[1])
    assert scores.best == "c" and scores.confidence > 0.9
    assert extended(fit({}), {"c": unit()}, NONE).classes == ("c",)


def test_no_weights_no_change() -> None:
    old = head("a", "b")
    assert extended(old, {}, NONE) is old


@pytest.mark.parametrize("weight", [np.zeros(8, np.float32), np.full(8, np.nan, np.float32)])
def test_weights_without_a_direction(weight: NDArray[np.float32]) -> None:
    with pytest.raises(ValueError, match="direction"):
        extended(head("a"), {"c": weight}, NONE)
