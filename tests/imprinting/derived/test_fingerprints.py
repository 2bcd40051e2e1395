"""Which embeddings are in use, and how long the others are kept."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from imprinting import EmbeddingCache, EmbeddingFingerprints
from imprinting.derived.fingerprints import CACHE_KEPT, RECORD

KEY = bytes(16)


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        """Begin somewhere."""
        self.now = datetime(2026, 11, 20, tzinfo=UTC)

    def __call__(self) -> datetime:
        """Return the moment that was set."""
        return self.now


def use(fingerprints: EmbeddingFingerprints, fingerprint: str) -> EmbeddingCache:
    """Begin a cache with one vector and use it."""
    cache = fingerprints.open(fingerprint, 3)
    if cache.get(KEY) is None:
        cache.put(KEY, np.ones(3, np.float32))
    fingerprints.use(cache, fingerprint, {"made of": fingerprint})
    return cache


def test_what_is_in_use_is_known_after_a_restart(tmp_path: Path) -> None:
    """And how it was made."""
    folder, clock = tmp_path / "none" / "yet", Clock()
    fingerprints = EmbeddingFingerprints(folder, clock)
    assert fingerprints.in_use is None
    assert fingerprints.purge() == 0
    use(fingerprints, "a")
    use(fingerprints, "b")
    found = EmbeddingFingerprints(folder, clock).in_use
    assert found
    assert (found.fingerprint, found.note) == ("b", {"made of": "b"})


def test_going_back_is_instant_for_a_week(tmp_path: Path) -> None:
    """The cache that was left is kept that long, and the one in use for ever."""
    clock = Clock()
    fingerprints = EmbeddingFingerprints(tmp_path, clock)
    use(fingerprints, "a")
    clock.now += timedelta(days=30)
    use(fingerprints, "b")
    clock.now += CACHE_KEPT
    assert EmbeddingFingerprints(tmp_path, clock).purge() == 0
    assert EmbeddingFingerprints(tmp_path, clock).open("a", 3).get(KEY) is not None
    clock.now += timedelta(seconds=1)
    fingerprints = EmbeddingFingerprints(tmp_path, clock)
    assert fingerprints.purge() == 1
    assert fingerprints.open("a", 3).get(KEY) is None
    assert fingerprints.open("b", 3).get(KEY) is not None


def test_one_who_goes_back_may_come_again(tmp_path: Path) -> None:
    """A cache in use again is no longer counted as left; the other one is, from then on."""
    clock = Clock()
    fingerprints = EmbeddingFingerprints(tmp_path, clock)
    use(fingerprints, "a")
    use(fingerprints, "b")
    clock.now += timedelta(days=6)
    use(fingerprints, "a")
    clock.now += timedelta(days=6)
    assert fingerprints.purge() == 0
    clock.now += timedelta(days=2)
    assert fingerprints.purge() == 1
    assert fingerprints.open("a", 3).get(KEY) is not None


def test_a_cache_that_was_never_used_is_kept_a_week_from_when_it_is_found(tmp_path: Path) -> None:
    """As one that was being filled when Home Assistant stopped."""
    clock = Clock()
    fingerprints = EmbeddingFingerprints(tmp_path, clock)
    use(fingerprints, "a")
    fingerprints.open("half", 3).put(KEY, np.ones(3, np.float32))
    clock.now += timedelta(days=100)
    assert EmbeddingFingerprints(tmp_path, clock).purge() == 0
    clock.now += CACHE_KEPT + timedelta(seconds=1)
    assert EmbeddingFingerprints(tmp_path, clock).purge() == 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"left": 3}',
        b'{"left": {"a": "2026-01-01"}, "cache": "a"}',
        b"\xff",
        b"[" * 100_000,
    ],
    ids=lambda content: content[:12],
)
def test_a_damaged_record_counts_as_none(tmp_path: Path, content: bytes) -> None:
    """It is written anew by the next use."""
    clock = Clock()
    use(EmbeddingFingerprints(tmp_path, clock), "a")
    (tmp_path / RECORD).write_bytes(content)
    fingerprints = EmbeddingFingerprints(tmp_path, clock)
    assert fingerprints.in_use is None
    assert fingerprints.purge() == 0
    use(fingerprints, "a")
    found = EmbeddingFingerprints(tmp_path, clock).in_use
    assert found
    assert found.fingerprint == "a"
