"""Durable file operations: the order of their steps, which no kill of a process can show."""

from collections.abc import Callable
import os
from pathlib import Path

import pytest

from imprinting import StoreFailed
from imprinting.examples import atomic
from tests.imprinting.fakes import PRIMITIVES


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the steps taken, each with the name of the file or folder it is about."""
    taken: list[str] = []
    opened: dict[int, str] = {}

    def recorded(name: str) -> Callable[..., object]:
        real = getattr(atomic, name)

        def step(*arguments: object) -> object:
            result = real(*arguments)
            subject = arguments[0]
            if name == "step_open":
                assert isinstance(subject, Path)
                opened[result] = subject.name
            else:
                about = opened[subject] if isinstance(subject, int) else getattr(subject, "name", "?")
                taken.append(f"{name.removeprefix('step_')} {about}")
            return result

        return step

    for name in PRIMITIVES:
        monkeypatch.setattr(atomic, name, recorded(name))
    return taken


def test_write_syncs_the_file_before_and_the_folder_after_the_rename(tmp_path: Path, steps: list[str]) -> None:
    """Otherwise a power cut could leave an empty file under the final name, or none."""
    folder = tmp_path / "folder"
    folder.mkdir()
    atomic.write(folder / "a", b"content")
    assert steps == ["write .tmp-a", "sync .tmp-a", "rename .tmp-a", "sync folder"]
    assert (folder / "a").read_bytes() == b"content"


def test_move_syncs_both_folders_the_new_place_first(tmp_path: Path, steps: list[str]) -> None:
    """Otherwise a power cut could leave the file in neither."""
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    (tmp_path / "here" / "a").write_bytes(b"content")
    atomic.move(tmp_path / "here" / "a", tmp_path / "there" / "b")
    assert steps == ["rename a", "sync there", "sync here"]
    steps.clear()
    atomic.move(tmp_path / "there" / "b", tmp_path / "there" / "c")
    assert steps == ["rename b", "sync there"]


def test_new_folders_are_synced_from_above(tmp_path: Path, steps: list[str]) -> None:
    """Each in the one that holds it; nothing happens where they are there."""
    atomic.make_folder(tmp_path / "a" / "b")
    assert steps == ["mkdir a", f"sync {tmp_path.name}", "mkdir b", "sync a"]
    steps.clear()
    atomic.make_folder(tmp_path / "a" / "b")
    assert steps == []


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk may take less than it is given."""
    monkeypatch.setattr(atomic, "step_write", lambda fd, data, offset: os.pwrite(fd, data[:3], offset))
    content = bytes(range(100))
    atomic.write(tmp_path / "a", content)
    assert (tmp_path / "a").read_bytes() == content


def test_leftovers_are_swept(tmp_path: Path) -> None:
    """And nothing else."""
    for name in (".tmp-a", ".tmp-b.jpg", "a", ".hidden"):
        (tmp_path / name).write_bytes(b"")
    assert atomic.sweep(tmp_path) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == [".hidden", "a"]


def test_errors_name_the_file_but_not_its_folder(tmp_path: Path) -> None:
    """They may end up in a log or on a screen."""
    missing = tmp_path / "missing" / "file.jpg"
    for action in (
        lambda: atomic.write(missing, b""),
        lambda: atomic.read(missing),
        lambda: atomic.move(missing, tmp_path / "a"),
        lambda: atomic.status(missing),
        lambda: atomic.files(missing),
        lambda: atomic.sweep(missing),
        lambda: atomic.remove_tree(missing),
    ):
        with pytest.raises(StoreFailed) as caught:
            action()
        assert caught.value.details["reason"] == "file.jpg: No such file or directory"


def test_symbolic_links_are_neither_read_nor_written(tmp_path: Path) -> None:
    """Not even under the temporary name."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    (tmp_path / "link").symlink_to(secret)
    (tmp_path / ".tmp-a").symlink_to(secret)
    with pytest.raises(StoreFailed):
        atomic.read(tmp_path / "link")
    with pytest.raises(StoreFailed):
        atomic.write(tmp_path / "a", b"other")
    assert secret.read_bytes() == b"secret"
