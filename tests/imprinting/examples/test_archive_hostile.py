"""Zips that are damaged, or made to do harm: left out or refused, within bounds."""

from pathlib import Path
import tracemalloc
import zipfile

import pytest

from imprinting import ArchiveLimits, UnusableArchive
from tests.imprinting.fakes import jpeg
from tests.imprinting.zips import link, make, opened, patched, read


@pytest.mark.parametrize(
    "name",
    [
        "../open/1.jpg",
        "open/../../1.jpg",
        "/etc/open/1.jpg",
        "C:/open/1.jpg",
        "c:\\open\\1.jpg",
        "..\\open\\1.jpg",
        "\\\\server\\open\\1.jpg",
        "open\n/1.jpg",
    ],
)
def test_paths_that_lead_elsewhere(tmp_path: Path, name: str) -> None:
    pictures, skipped = read(make(tmp_path / "a.zip", {name: jpeg("1"), "open/2.jpg": jpeg("2")}))
    assert [one.name for one in pictures] == ["open/2.jpg"]
    assert list(skipped.values()) == ["unsafe_name"]


def test_what_is_no_picture_to_begin_with(tmp_path: Path) -> None:
    inner = make(tmp_path / "inner.zip", {"open/1.jpg": jpeg("1")}).read_bytes()
    files = {
        "__MACOSX/open/._1.jpg": b"x",
        "open/.hidden.jpg": jpeg("1"),
        "open/inner.zip": inner,
        "open/samples.bin": b"0" * 100,
        "open/": b"",
    }
    assert read(make(tmp_path / "a.zip", files)) == (
        [],
        {
            "__MACOSX/open/._1.jpg": "hidden",
            "open/.hidden.jpg": "hidden",
            "open/inner.zip": "archive",
            "open/samples.bin": "not_a_picture",
        },
    )
    assert read(link(tmp_path / "b.zip", "open/1.jpg", "/etc/passwd")) == ([], {"open/1.jpg": "link"})


def test_encrypted_and_other_methods(tmp_path: Path) -> None:
    path = make(tmp_path / "a.zip", {"open/1.jpg": jpeg("1")})
    assert read(patched(path, 8, "<H", 1, local=6)) == ([], {"open/1.jpg": "encrypted"})
    for method in (zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2):
        path = make(tmp_path / "b.zip", {"open/1.jpg": jpeg("1")}, method=method)
        assert read(path) == ([], {"open/1.jpg": "compression"})


def test_damage_costs_the_damaged_file_only(tmp_path: Path) -> None:
    """A wrong checksum, a wrong length; and a file that ends early, which has no table of contents, is no zip."""
    files = {"open/1.jpg": jpeg("1"), "open/2.jpg": jpeg("2")}
    path = make(tmp_path / "a.zip", files, method=zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    data[data.find(jpeg("1")) + 200] ^= 1
    path.write_bytes(data)
    pictures, skipped = read(path)
    assert ([one.name for one in pictures], skipped) == (["open/2.jpg"], {"open/1.jpg": "damaged"})
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(UnusableArchive):
        opened(path)


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x05\x06" + bytes(18), b"PK\x05\x06" + b"\xff" * 18])
def test_what_is_no_zip(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(content)
    if content == b"PK\x05\x06" + bytes(18):
        assert read(path) == ([], {})  # an empty one
        return
    with pytest.raises(UnusableArchive):
        opened(path)


def test_neither_folders_nor_pipes(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.zip"):
        with pytest.raises(UnusableArchive, match="no such file"):
            opened(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_zip64(tmp_path: Path, method: int) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", method) as archive, archive.open("open/1.jpg", "w", force_zip64=True) as file:
        file.write(jpeg("1"))
    assert [one.content for one in read(path)[0]] == [jpeg("1")]


def test_names_twice(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("open/1.jpg", jpeg("1"))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("open/1.jpg", jpeg("2"))
    assert [one.content for one in read(path)[0]] == [jpeg("1"), jpeg("2")]


def test_too_many_files_and_classes(tmp_path: Path) -> None:
    path = make(tmp_path / "a.zip", {f"c{number}/1.jpg": jpeg("1") for number in range(101)})
    with pytest.raises(UnusableArchive, match="101 classes"):
        opened(path)
    with pytest.raises(UnusableArchive, match="101 files"):
        opened(path, limits=ArchiveLimits(entries=100))
    with pytest.raises(UnusableArchive, match="table of contents"):
        opened(path, limits=ArchiveLimits(directory=4096))


def test_a_hundred_thousand_entries(tmp_path: Path) -> None:
    """Refused by the size of the table of contents, or once that is read; within the memory that the limit allows for."""
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(100_000):
            archive.writestr(f"a/{number}.jpg", b"")
    tracemalloc.start()
    try:
        with pytest.raises(UnusableArchive, match=r"files|table of contents"):
            opened(path)
        assert tracemalloc.get_traced_memory()[1] < 120 * 2**20
    finally:
        tracemalloc.stop()


def test_bombs(tmp_path: Path) -> None:
    """A picture that grows a thousandfold is left once it has grown a hundredfold; nothing else is held meanwhile."""
    path = make(tmp_path / "a.zip", {"open/1.jpg": bytes(64 * 2**20), "open/2.jpg": jpeg("2")})
    tracemalloc.start()
    try:
        pictures, skipped = read(path)
        assert tracemalloc.get_traced_memory()[1] < 40 * 2**20
    finally:
        tracemalloc.stop()
    assert ([one.name for one in pictures], skipped) == (["open/2.jpg"], {"open/1.jpg": "bomb"})
    # Nor does it help to lie about the size, in the zip or in the picture's.
    assert read(patched(path, 24, "<I", 1000, local=22))[1]["open/1.jpg"] in {"bomb", "damaged"}
    with pytest.raises(UnusableArchive, match="at most"):
        opened(patched(path, 24, "<I", 2**32 - 2, local=22), limits=ArchiveLimits(total=2**32))


def test_counted_while_read(tmp_path: Path) -> None:
    path = make(tmp_path / "a.zip", {f"open/{number}.jpg": jpeg("x" * 3000) for number in range(9)})
    assert set(read(path, limits=ArchiveLimits(picture=1000))[1].values()) == {"too_large"}
    assert set(read(path, limits=ArchiveLimits(ratio=2, free=100))[1].values()) == {"bomb"}
    with opened(path, limits=ArchiveLimits(total=12 * 4100)) as archive:
        assert len(list(archive.pictures())) == 9
        with pytest.raises(UnusableArchive, match="more than"):
            list(archive.pictures())


def test_a_long_name_is_shown_shortened(tmp_path: Path) -> None:
    (name,) = read(make(tmp_path / "a.zip", {f"{'x' * 5000}\u202e.txt": b"1"}))[1]
    assert len(name) == 200
    assert name.endswith("x?.txt")
