"""Damaged and hostile zips, a short round of what ``scripts/fuzz archives`` does at length."""

from pathlib import Path

import pytest

from embedding import NotAPicture
from imprinting.examples import atomic
from scripts.fuzzing import archives
from scripts.fuzzing.children import Limits
from scripts.fuzzing.command import fuzz
from scripts.fuzzing.models import WrongAnswer


def test_damaged_archives() -> None:
    """Nothing but named errors and whole pictures in their places, within the memory allowed."""
    found = fuzz("archives", 0, 600, 20, Limits(seconds=60, mib=64))
    assert found["failures"] == []
    assert found["cases"] == 600
    assert found["outcomes"]["right"] > 180
    assert found["outcomes"]["UnusableArchive"] > 60


def test_cases_can_be_had_again() -> None:
    """Seed and number make a case, whoever asks and in whatever order."""
    one, other = archives.Archives(), archives.Archives()
    cases = [one.case(5, number) for number in range(40, 60)]
    assert [other.case(5, number) for number in range(59, 39, -1)] == cases[::-1]
    assert len(set(cases)) > 15


def test_wrong_answers_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture put beside the folder, and one that is filed without being looked at."""
    sound = [archives.Archives().case(0, number) for number in range(10)]
    sound = [data for data in sound if len(data) % archives._STORED_EVERY == 0 and archives.attempt(data) == "right"]
    assert sound
    with monkeypatch.context() as patch:
        patch.setattr(archives, "_whole_jpeg", lambda data: data[:100])
        with pytest.raises(NotAPicture):
            archives.attempt(sound[0])
    real = atomic.write

    def elsewhere(path: Path, data: bytes) -> None:
        real(path, data)
        if path.suffix == ".jpg":
            real(path.parents[2] / "escaped.jpg", data)

    monkeypatch.setattr(atomic, "write", elsewhere)
    with pytest.raises(WrongAnswer, match="escaped"):
        archives.attempt(sound[0])
