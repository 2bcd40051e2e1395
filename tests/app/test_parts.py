"""The app's options, token, announcement and downloads, each by itself."""

import asyncio
import hashlib
import json
from pathlib import Path
import stat
from typing import Any

import aiohttp
import pytest

from companion.fetch import FetchError, fetch_models, fetch_packages, get, main as fetch, published
from companion.options import OptionError, Options, read_options
from companion.server import Layout, command
from companion.supervisor import Announcement, SupervisorError, announce
from companion.token import ensure_token
from embedding.devices import EdgeTPU, Survey
from embedding.published.catalogue import CATALOGUE, PublishedFile

from .fake_supervisor import TOKEN, fake_supervisor

LIBRARY = Path("/usr/local/lib/libedgetpu.so.1")
USB = EdgeTPU("usb", "usb:0", "/dev/bus/usb/001/002")
PCI = EdgeTPU("pci", "pci:0", "/dev/apex_0")
BROKEN = EdgeTPU("usb", "usb:1", "/dev/bus/usb/001/003", "no_access")


def options_file(folder: Path, **values: Any) -> Path:
    path = folder / "options.json"
    path.write_text(json.dumps(values))
    return path


def test_options_are_read(tmp_path: Path) -> None:
    path = options_file(
        tmp_path, device="usb", models="/share/mine", threads=2, queue=9, token="a" * 16, log_level="debug", new=1
    )
    assert read_options(path) == Options(
        device="usb", models=Path("/share/mine"), threads=2, queue=9, token="a" * 16, log_level="debug"
    )
    # What the user emptied is as if it were not there.
    assert read_options(options_file(tmp_path, token="", models=None)) == Options()


@pytest.mark.parametrize(
    "values",
    [
        {"device": "tpu"}, {"threads": 0}, {"threads": True}, {"threads": "2"}, {"queue": 10**6}, {"log_level": "loud"},
        {"models": "/etc"}, {"models": "mine"}, {"models": "/share/../data"}, {"models": 5},
        {"token": "short"}, {"token": "sixteen letters and spaces"}, {"token": "ä" * 20}, {"token": 10**20},
    ],
)  # fmt: skip
def test_options_that_cannot_be_used_are_named(tmp_path: Path, values: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=next(iter(values))):
        read_options(options_file(tmp_path, **values))


@pytest.mark.parametrize("content", [None, b"", b"[]", b"\xff"])
def test_options_that_are_none(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "options.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(OptionError):
        read_options(path)


@pytest.mark.parametrize(
    ("device", "expected"),
    [("auto", ("usb:0", "pci:0", "cpu")), ("usb", ("usb:0", "cpu")), ("pci", ("pci:0", "cpu")), ("cpu", ("cpu",))],
)
def test_devices_are_those_of_the_kind_that_can_be_used(device: str, expected: tuple[str, ...]) -> None:
    options = Options(device=device)
    assert options.devices(Survey(LIBRARY, (USB, BROKEN, PCI))) == expected
    assert options.devices(Survey(None, (USB, PCI))) == ("cpu",)


def test_command_names_the_folders_that_are_there_the_users_first(tmp_path: Path) -> None:
    mine, brought = tmp_path / "mine", tmp_path / "brought"
    mine.mkdir()
    brought.mkdir()
    layout = Layout(token=tmp_path / "token", own_models=brought, data_models=tmp_path / "absent", port=1234)
    words = command(layout, Options(models=mine, threads=3), ("usb:0", "cpu"))
    assert [words[at + 1] for at, word in enumerate(words) if word == "--models"] == [str(mine), str(brought)]
    assert [words[at + 1] for at, word in enumerate(words) if word == "--device"] == ["usb:0", "cpu"]
    assert words[words.index("--token-file") + 1] == str(tmp_path / "token")
    assert words[words.index("--threads") + 1] == "3" and words[words.index("--port") + 1] == "1234"


def test_token_is_made_once_and_is_nobody_elses(tmp_path: Path) -> None:
    path = tmp_path / "token"
    first = ensure_token(path, None)
    assert len(first) >= 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert ensure_token(path, None) == first
    assert ensure_token(tmp_path / "other", None) != first
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["other", "token"]


def test_users_token_takes_the_place_of_the_made_one(tmp_path: Path) -> None:
    path = tmp_path / "token"
    ensure_token(path, None)
    assert ensure_token(path, "the-user's-own-token") == "the-user's-own-token"
    assert path.read_text() == "the-user's-own-token\n"
    # A leftover of a crash is in nobody's way.
    (tmp_path / "token.new").write_text("half")
    assert ensure_token(path, "another-token-of-theirs") == "another-token-of-theirs"


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 20, b"two words of some length"])
def test_token_file_that_holds_none_is_written_anew(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "token"
    path.write_bytes(content)
    token = ensure_token(path, None)
    assert path.read_text() == f"{token}\n" and token.encode() not in content


WHAT = Announcement("abc-coral-imprint", 8000, "t" * 20, ["a", "b_edgetpu"])


async def test_announcement_is_what_the_supervisor_takes() -> None:
    async with fake_supervisor() as fake, aiohttp.ClientSession() as session:
        assert await announce(session, WHAT, TOKEN, fake.url) == f"{1:032x}"
        assert fake.messages == [
            {
                "service": "coral_imprint",
                "config": {"host": "abc-coral-imprint", "port": 8000, "token": "t" * 20, "models": ["a", "b_edgetpu"]},
            }
        ]


async def test_refusals_say_why() -> None:
    async with fake_supervisor() as fake, aiohttp.ClientSession() as session:
        with pytest.raises(SupervisorError, match=r"401.*who are you"):
            await announce(session, WHAT, "wrong", fake.url)
    async with fake_supervisor("other") as fake, aiohttp.ClientSession() as session:
        with pytest.raises(SupervisorError, match="must list services"):
            await announce(session, WHAT, TOKEN, fake.url)
    async with aiohttp.ClientSession() as session:
        with pytest.raises(SupervisorError, match="does not answer"):
            await announce(session, WHAT, TOKEN, fake.url)


def file_of(content: bytes) -> PublishedFile:
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    return PublishedFile(
        name="net.tflite",
        url="https://models/net",
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        blob=blob,
    )


def test_models_of_the_image_are_the_catalogues(tmp_path: Path) -> None:
    assert {file.name for file in published()} >= {entry.file.name for entry in CATALOGUE.values()}
    assert any(file.name.endswith("_edgetpu.tflite") for file in published())
    fetch_models([file_of(b"network")], tmp_path, {"https://models/net": b"network"}.__getitem__)
    assert (tmp_path / "net.tflite").read_bytes() == b"network"
    with pytest.raises(FetchError, match="not the published file"):
        fetch_models([file_of(b"network")], tmp_path, lambda url: b"netw0rk")
    assert not (tmp_path / "net.tflite").exists()


def rows(sha256: str | None) -> list[dict[str, Any]]:
    return [{"name": "library 1", "files": {"amd64": {"url": "https://x/library_1.deb", "sha256": sha256}}}]


def test_packages_are_verified(tmp_path: Path) -> None:
    right = hashlib.sha256(b"library").hexdigest()
    fetch_packages(rows(right), "amd64", tmp_path, allow_unpinned=False, get=lambda url: b"library")
    assert (tmp_path / "library_1.deb").read_bytes() == b"library"
    with pytest.raises(FetchError, match="instead of"):
        fetch_packages(rows(right), "amd64", tmp_path, allow_unpinned=True, get=lambda url: b"other")


def test_packages_of_unknown_sha256_need_leave(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=hashlib.sha256(b"library").hexdigest()):
        fetch_packages(rows(None), "amd64", tmp_path, allow_unpinned=False, get=lambda url: b"library")
    assert not list(tmp_path.iterdir())
    fetch_packages(rows(None), "amd64", tmp_path, allow_unpinned=True, get=lambda url: b"library")
    assert (tmp_path / "library_1.deb").is_file()


async def test_what_is_not_there_is_not_fetched() -> None:
    async with fake_supervisor() as fake:
        with pytest.raises(FetchError, match="404"):
            await asyncio.to_thread(get, f"{fake.url}/absent")
    with pytest.raises(FetchError):
        await asyncio.to_thread(get, f"{fake.url}/gone")


@pytest.mark.parametrize("pinned", [True, False])
def test_the_build_goes_on_only_with_what_is_pinned(tmp_path: Path, pinned: bool) -> None:
    package = tmp_path / "library_1.deb"
    package.write_bytes(b"library")
    row = rows(hashlib.sha256(b"library").hexdigest() if pinned else None)
    row[0]["files"]["amd64"]["url"] = package.as_uri()
    (tmp_path / "packages.json").write_text(json.dumps({"packages": row}))
    folder = tmp_path / "fetched" / "here"
    arguments = ["packages", str(tmp_path / "packages.json"), "amd64", str(folder)]
    assert fetch(arguments) == (0 if pinned else 1)
    assert (folder / package.name).is_file() == pinned
    assert fetch([*arguments, "--allow-unpinned"]) == 0
    assert (folder / package.name).read_bytes() == b"library"
