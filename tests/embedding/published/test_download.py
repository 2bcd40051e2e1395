"""A file that arrives in pieces: whatever happens to it, its name stands for the whole of it or does not exist."""

from collections.abc import Callable
from dataclasses import replace
import errno
import hashlib
import os
from pathlib import Path
import subprocess
import sys
from typing import Any

import pytest

from embedding.errors import DownloadNotStored, WrongContent
from embedding.published.catalogue import LARGEST_MODEL, PublishedFile
from embedding.published.download import Partial

CORE = Path(__file__).parents[3] / "custom_components" / "coral_imprint" / "core"
CONTENT = b"TFL3 a network of 29 bytes.\r\n"


def published(content: bytes = CONTENT, *, known: bool = True) -> PublishedFile:
    """Return what identifies a content; without size and SHA-256 where they are not ``known``."""
    return PublishedFile(
        name="net.tflite",
        url="http://localhost/net.tflite",
        size=len(content) if known else None,
        sha256=hashlib.sha256(content).hexdigest() if known else None,
        blob=hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest(),
    )


FILE = published()


class Killed(BaseException):
    """The process ends here."""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("known", [True, False])
def test_interrupted_at_any_byte(tmp_path: Path, known: bool) -> None:
    """A new Partial, as after a restart, goes on where the last one stopped."""
    file = published(known=known)
    for cut in range(len(CONTENT) + 1):
        folder = tmp_path / str(cut) / "cache"
        part = Partial(file, folder)
        assert part.size == 0
        part.append(CONTENT[:cut])
        assert "net.tflite" not in names(folder)
        part = Partial(file, folder)
        assert part.size == cut
        part.append(CONTENT[cut:])
        assert part.finish() == folder / "net.tflite"
        assert (folder / "net.tflite").read_bytes() == CONTENT
        assert names(folder) == ["net.tflite"]
        assert Partial(file, folder).size == part.size == 0


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT[:-1] + b"?", b""])
@pytest.mark.parametrize("known", [True, False])
def test_wrong_content_is_forgotten(tmp_path: Path, content: bytes, known: bool) -> None:
    part = Partial(published(known=known), tmp_path)
    part.append(content)
    with pytest.raises(WrongContent, match=r"net\.tflite is not the published file") as caught:
        part.finish()
    assert caught.value.details["file"] == "net.tflite"
    assert part.size == 0
    assert "net.tflite" not in names(tmp_path)
    part.append(CONTENT)
    assert part.finish().read_bytes() == CONTENT


def test_nothing_at_all(tmp_path: Path) -> None:
    with pytest.raises(WrongContent, match="nothing"):
        Partial(FILE, tmp_path).finish()
    assert names(tmp_path) == []


def test_does_not_grow_beyond_the_file(tmp_path: Path) -> None:
    part = Partial(FILE, tmp_path)
    part.append(CONTENT)
    with pytest.raises(WrongContent, match="more than 29 bytes"):
        part.append(b"!")
    assert (part.size, names(tmp_path)) == (0, [])


def test_does_not_grow_for_ever(tmp_path: Path) -> None:
    """A file of unknown size has a limit too."""
    part = Partial(published(known=False), tmp_path)
    (tmp_path / "net.tflite.part").touch()
    os.truncate(tmp_path / "net.tflite.part", LARGEST_MODEL)
    part = Partial(published(known=False), tmp_path)
    assert part.size == LARGEST_MODEL
    with pytest.raises(WrongContent):
        part.append(b"!")
    assert names(tmp_path) == []


def test_larger_leftover_is_forgotten(tmp_path: Path) -> None:
    (tmp_path / "net.tflite.part").write_bytes(CONTENT + b"of another version")
    assert Partial(FILE, tmp_path).size == 0
    assert names(tmp_path) == []


def test_restart(tmp_path: Path) -> None:
    part = Partial(FILE, tmp_path)
    part.restart()
    part.append(b"something else")
    part.restart()
    assert (part.size, names(tmp_path)) == (0, [])
    part.append(CONTENT)
    assert part.finish().read_bytes() == CONTENT


def test_replaces_what_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "net.tflite").write_bytes(b"damaged")
    part = Partial(FILE, tmp_path)
    part.append(CONTENT)
    assert (tmp_path / "net.tflite").read_bytes() == b"damaged"
    assert part.finish().read_bytes() == CONTENT


def test_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "net.tflite.part").symlink_to(tmp_path / "precious")
    part = Partial(published(known=False), tmp_path / "cache")
    with pytest.raises(DownloadNotStored):
        part.append(b"vandal")
    assert (tmp_path / "precious").read_bytes() == b"precious"
    part.restart()
    part.append(CONTENT)
    assert part.finish().read_bytes() == CONTENT


STEPS = ("open", "pwrite", "fsync", "replace", "unlink")


def cut_in(monkeypatch: pytest.MonkeyPatch, at: int, fail: Callable[[str], BaseException]) -> list[str]:
    """Let the step number ``at`` on the disk fail, a write after half of it; return the steps taken, as they come."""
    taken: list[str] = []

    def wrapped(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **kwargs: Any) -> Any:
            taken.append(name)
            if len(taken) - 1 != at:
                return real(*args, **kwargs)
            if name == "pwrite":
                descriptor, data, offset = args
                real(descriptor, data[: len(data) // 2], offset)
            raise fail(name)

        return step

    for name in STEPS:
        owner: Any = os if name in ("open", "pwrite", "fsync") else Path
        monkeypatch.setattr(owner, name, wrapped(name, getattr(owner, name)))
    return taken


def arrive(file: PublishedFile, folder: Path) -> Path:
    """Do what a download does: go on from what is there."""
    part = Partial(file, folder)
    while part.size < len(CONTENT):
        part.append(CONTENT[part.size : part.size + 10])
    return part.finish()


def number_of_steps(folder: Path) -> int:
    with pytest.MonkeyPatch.context() as patch:
        taken = cut_in(patch, -1, Killed)
        arrive(FILE, folder)
    assert set(taken) == {"open", "pwrite", "fsync", "replace"}
    return len(taken)


@pytest.mark.parametrize("known", [True, False])
def test_killed_at_any_step(tmp_path: Path, known: bool) -> None:
    """What is under the name is whole, and the next attempt gets there."""
    file = published(known=known)
    for at in range(number_of_steps(tmp_path)):
        folder = tmp_path / str(at)
        with pytest.MonkeyPatch.context() as patch:
            cut_in(patch, at, Killed)
            with pytest.raises(Killed):
                arrive(file, folder)
        if (folder / "net.tflite").exists():
            assert (folder / "net.tflite").read_bytes() == CONTENT
        assert arrive(file, folder).read_bytes() == CONTENT
        assert names(folder) == ["net.tflite"]


def test_full_at_any_step(tmp_path: Path) -> None:
    """The same object gets there as soon as there is room."""
    for at in range(number_of_steps(tmp_path)):
        folder = tmp_path / str(at)
        part = Partial(FILE, folder)

        def go_on(part: Partial = part) -> None:
            while part.size < len(CONTENT):
                part.append(CONTENT[part.size : part.size + 10])
            part.finish()

        with pytest.MonkeyPatch.context() as patch:
            cut_in(patch, at, lambda _: OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(tmp_path)))
            with pytest.raises(DownloadNotStored, match="No space left on device") as caught:
                go_on()
        assert str(tmp_path) not in str(caught.value)
        if (folder / "net.tflite").exists():
            assert (folder / "net.tflite").read_bytes() == CONTENT
        go_on()
        assert names(folder) == ["net.tflite"]


def test_what_the_disk_did_not_take_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a failed fsync the pages may be gone, though reading still shows them."""

    def fail(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    part = Partial(FILE, tmp_path)
    part.append(CONTENT)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(DownloadNotStored, match="Input/output error"):
            part.finish()
    assert (part.size, names(tmp_path)) == (0, [])


def test_real_limit_of_the_system(tmp_path: Path) -> None:
    """A kernel that takes only a part of the bytes: those are kept, and the rest fits once the limit is lifted."""
    program = f"""
import resource, sys
from pathlib import Path
from embedding.published.catalogue import PublishedFile
from embedding.published.download import Partial
from embedding.errors import DownloadNotStored
content, folder = {CONTENT!r} * 1000, Path(sys.argv[1])
part = Partial(PublishedFile(**{vars(published(CONTENT * 1000))!r}), folder)
resource.setrlimit(resource.RLIMIT_FSIZE, (10000, resource.RLIM_INFINITY))
try:
    part.append(content)
except DownloadNotStored as err:
    print(err)
print(part.size, [path.name for path in folder.iterdir()])
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
part.append(content[part.size:])
print(part.finish().read_bytes() == content)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        env={"PYTHONPATH": str(CORE)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.splitlines() == ["net.tflite: File too large", "10000 ['net.tflite.part']", "True"]


@pytest.mark.parametrize("blocked", ["folder", "part", "target"])
def test_something_in_the_way(tmp_path: Path, blocked: str) -> None:
    folder = tmp_path / "cache"
    if blocked == "folder":
        folder.write_text("a file")
    else:
        (folder / ("net.tflite.part" if blocked == "part" else "net.tflite")).mkdir(parents=True)
    with pytest.raises(DownloadNotStored) as caught:
        arrive(replace(FILE, size=None), folder)
    assert str(tmp_path) not in caught.value.details["reason"]
