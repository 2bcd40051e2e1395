"""The embedding cache: what survives, what is cut off, what is refused."""

from pathlib import Path

from hypothesis import given, settings, strategies as st
import numpy as np
from numpy.typing import NDArray
import pytest

from imprinting import EmbeddingCache, StoreFailed
from tests.imprinting.fakes import FULL, Fault

LENGTH = 6


def key(number: int) -> bytes:
    """Return a key; it may well end in zeros."""
    return number.to_bytes(16, "little")


def vector(number: int) -> NDArray[np.float32]:
    """Return a vector."""
    return np.random.default_rng(number).normal(size=LENGTH).astype(np.float32)


def opened(folder: Path, fingerprint: str = "print", length: int = LENGTH) -> EmbeddingCache:
    """Open a cache."""
    return EmbeddingCache(folder, fingerprint, length)


def filled(folder: Path, count: int) -> EmbeddingCache:
    """Open a cache and put some vectors in it."""
    cache = opened(folder)
    for number in range(count):
        cache.put(key(number), vector(number))
    return cache


def found(cache: EmbeddingCache, count: int) -> list[int]:
    """Return which of the first vectors are there, and check that they are right."""
    there = []
    for number in range(count):
        value = cache.get(key(number))
        if value is not None:
            assert (value == vector(number)).all()
            assert value.dtype == np.float32
            assert not value.flags.writeable
            there.append(number)
    return there


def test_vectors_come_back(tmp_path: Path) -> None:
    """In the same cache and in the next."""
    folder = tmp_path / "not" / "there"
    cache = filled(folder, 5)
    assert found(cache, 9) == found(opened(folder), 9) == [0, 1, 2, 3, 4]
    assert len(opened(folder)) == 5
    cache.put(key(1), vector(7))
    assert (opened(folder).get(key(1)) == vector(7)).all()  # type: ignore[union-attr]


def test_fingerprints_never_meet(tmp_path: Path) -> None:
    """Each has a file of its own."""
    filled(tmp_path, 2)
    assert found(opened(tmp_path, "another"), 2) == []
    assert found(opened(tmp_path), 2) == [0, 1]


def test_any_torn_end_is_cut_off(tmp_path: Path) -> None:
    """Whatever part of the last record is missing, the others stay and new ones can be added."""
    path = filled(tmp_path, 3).path
    whole = path.read_bytes()
    record = 16 + 4 * LENGTH + 4
    for cut in range(1, 2 * record):
        path.write_bytes(whole[:-cut])
        cache = opened(tmp_path)
        assert found(cache, 3) == [0, 1, 2][: 3 - (cut + record - 1) // record]
        assert (path.stat().st_size - len(whole)) % record == 0
        cache.put(key(2), vector(2))
        assert 2 in found(opened(tmp_path), 3)


def test_any_damaged_record_and_all_after_it_are_cut_off(tmp_path: Path) -> None:
    """A checksum tells."""
    path = filled(tmp_path, 3).path
    whole = path.read_bytes()
    record = 16 + 4 * LENGTH + 4
    for back in range(record + 1, 2 * record + 1):
        damaged = bytearray(whole)
        damaged[-back] ^= 1
        path.write_bytes(damaged)
        assert found(opened(tmp_path), 3) == [0]


def test_foreign_files_are_set_aside(tmp_path: Path) -> None:
    """A damaged header, other contents, or vectors of another length."""
    path = filled(tmp_path, 2).path
    whole = path.read_bytes()
    bad = path.with_suffix(".bad")
    damaged = bytearray(whole)
    damaged[10] ^= 1
    for content in (b"something else", bytes(damaged), whole[:20]):
        path.write_bytes(content)
        assert len(opened(tmp_path)) == 0
        assert bad.read_bytes() == content
    filled(tmp_path, 2)
    assert len(opened(tmp_path, length=LENGTH + 1)) == 0
    assert bad.read_bytes() == whole


@pytest.mark.parametrize(
    ("wrong_key", "wrong_vector"),
    [
        (b"short", vector(1)),
        (key(1), vector(1)[:-1]),
        (key(1), vector(1)[None]),
        (key(1), np.full(LENGTH, np.nan, np.float32)),
        (key(1), np.full(LENGTH, np.inf, np.float32)),
    ],
)
def test_wrong_entries_are_refused(tmp_path: Path, wrong_key: bytes, wrong_vector: NDArray[np.float32]) -> None:
    """And leave no trace."""
    cache = opened(tmp_path)
    size = cache.path.stat().st_size
    with pytest.raises(ValueError):
        cache.put(wrong_key, wrong_vector)
    assert len(cache) == 0
    assert cache.path.stat().st_size == size
    with pytest.raises(ValueError):
        opened(tmp_path, length=0)


def test_compact_rewrites_when_more_than_half_is_dead(tmp_path: Path) -> None:
    """Not before; afterwards only the live ones are there."""
    cache = filled(tmp_path, 10)
    size = cache.path.stat().st_size
    assert not cache.compact([key(number) for number in range(5)])
    assert cache.path.stat().st_size == size
    assert cache.compact([key(3), key(8), key(99)])
    assert found(cache, 10) == found(opened(tmp_path), 10) == [3, 8]
    assert cache.path.stat().st_size < size / 3
    cache.put(key(0), vector(0))
    assert found(opened(tmp_path), 10) == [0, 3, 8]


def test_drop_removes_the_file(tmp_path: Path) -> None:
    """And everything in memory; twice is fine."""
    cache = filled(tmp_path, 2)
    cache.drop()
    cache.drop()
    assert found(cache, 2) == []
    assert not cache.path.exists()
    with pytest.raises(StoreFailed):
        cache.put(key(1), vector(1))


def test_full_disk_keeps_what_was_there(tmp_path: Path) -> None:
    """A half-written record is written over by the next one."""
    cache = filled(tmp_path, 2)
    for passes in (0, 1):
        with pytest.MonkeyPatch.context() as patch:
            Fault(patch, passes, FULL)
            with pytest.raises(StoreFailed):
                cache.put(key(2), vector(2))
        assert found(cache, 3) == [0, 1, 2]
    cache.put(key(3), vector(3))
    assert found(opened(tmp_path), 4) == [0, 1, 3]


@settings(max_examples=40)
@given(st.lists(st.one_of(st.integers(0, 9), st.frozensets(st.integers(0, 9)), st.none()), max_size=20))
def test_memory_and_file_agree(
    tmp_path_factory: pytest.TempPathFactory, actions: list[int | frozenset[int] | None]
) -> None:
    """After any puts (a number), compactions (a set) and restarts (none)."""
    folder = tmp_path_factory.mktemp("cache")
    cache = opened(folder)
    there: set[int] = set()
    for action in actions:
        if action is None:
            cache = opened(folder)
        elif isinstance(action, int):
            cache.put(key(action), vector(action))
            there.add(action)
        elif cache.compact([key(number) for number in action]):
            there &= action
        assert found(cache, 10) == sorted(there)
    assert found(opened(folder), 10) == sorted(there)
