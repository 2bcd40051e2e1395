"""Which runtime is used, why, and what becomes of those that are not."""

import asyncio
from collections.abc import Sequence
import gc
from pathlib import Path
import platform
from typing import Any
import weakref

import numpy as np
from numpy.typing import NDArray
import pytest

from embedding.embedder import BUILTIN, Embedder, open_embedder
from embedding.errors import (
    CorruptModel,
    EmbeddingError,
    NotAPicture,
    RuntimeUnavailable,
    SelfTestFailed,
    UnsupportedModel,
    UnsupportedOperator,
)
from embedding.pictures.decoding import WHOLE, Region
from embedding.preparation import Seen, Wanted
from embedding.runtimes import choice as choices, litert, selftest
from embedding.runtimes.choice import REASONS, Choice, choose_runtime
from embedding.runtimes.litert import LiteRTRuntime
from embedding.runtimes.portable import PortableRuntime
from embedding.runtimes.runtime import RuntimeChoice
from tests.embedding.graphs import restart_random, separable
from tests.embedding.sample_pictures import encode, scene


@pytest.fixture
def data() -> bytes:
    """Return a small network's file."""
    restart_random()
    return separable("int8", 24, 20)


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the families of the runtimes closed so far."""
    families: list[str] = []
    for kind in (LiteRTRuntime, PortableRuntime):

        def close(self: Any, close: Any = kind.close) -> None:
            families.append(self.family)
            close(self)

        monkeypatch.setattr(kind, "close", close)
    return families


def refuse(error: EmbeddingError) -> Any:
    """Return a constructor that raises."""

    def construct(*_: Any) -> None:
        raise error from ValueError("the cause")

    return construct


def swap_channels(monkeypatch: pytest.MonkeyPatch, kind: type[LiteRTRuntime | PortableRuntime]) -> None:
    """Make a runtime one that sees blue for red."""
    embed = kind.embed

    def swapped(self: Any, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        return embed(self, np.ascontiguousarray(pixels[..., ::-1]))

    monkeypatch.setattr(kind, "embed", swapped)


@pytest.mark.parametrize(
    ("runtime", "family", "reason"),
    [("auto", "litert", "automatic"), ("litert", "litert", "chosen"), ("portable", "portable", "chosen")],
)
@pytest.mark.parametrize("strict", [True, False])
def test_what_works_is_used(
    data: bytes, runtime: RuntimeChoice, family: str, reason: str, strict: bool, closed: list[str]
) -> None:
    """Automatic is LiteRT where it is; a fixed one is that one. The yardstick is closed."""
    opened, choice = choose_runtime(data, runtime, strict=strict)
    assert (opened.family, choice) == (family, Choice(reason))
    assert closed == (["portable"] if family == "litert" else [])


@pytest.mark.parametrize(("installable", "reason"), [(True, "litert_missing"), (False, "litert_no_wheel")])
def test_not_installed(data: bytes, installable: bool, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without LiteRT the portable runtime serves, and the reason says whether LiteRT could be had."""
    monkeypatch.setattr(litert, "available", lambda: False)
    monkeypatch.setattr(litert, "installable", lambda: installable)
    monkeypatch.setattr(choices, "LiteRTRuntime", refuse(RuntimeUnavailable("no module")))
    opened, choice = choose_runtime(data)
    assert (opened.family, choice) == ("portable", Choice(reason))
    opened, choice = choose_runtime(data, "portable")
    assert (opened.family, choice) == ("portable", Choice("chosen"))
    opened, choice = choose_runtime(data, "litert")
    assert (opened.family, choice.reason) == ("portable", reason)
    assert [(rejected.family, type(rejected.error)) for rejected in choice.rejected] == [("litert", RuntimeUnavailable)]
    with pytest.raises(RuntimeUnavailable):
        choose_runtime(data, "litert", strict=True)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeUnavailable("wrong libc"), "litert_broken"),
        (UnsupportedModel("refused"), "litert_refused"),
        (UnsupportedOperator("none of that"), "litert_refused"),
    ],
)
@pytest.mark.parametrize("runtime", ["auto", "litert"])
def test_litert_can_not(
    data: bytes, runtime: RuntimeChoice, error: EmbeddingError, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Broken and refusing are told apart; what was tried is kept, without what it would keep in memory."""
    monkeypatch.setattr(choices, "LiteRTRuntime", refuse(error))
    opened, choice = choose_runtime(data, runtime)
    assert (opened.family, choice.reason) == ("portable", reason)
    (rejected,) = choice.rejected
    assert (rejected.family, rejected.error) == ("litert", error)
    assert rejected.error.__traceback__ is None
    assert rejected.error.__cause__ is None
    assert rejected.error.__context__ is None


@pytest.mark.parametrize("runtime", ["auto", "litert"])
def test_litert_fails_its_test(
    data: bytes, runtime: RuntimeChoice, monkeypatch: pytest.MonkeyPatch, closed: list[str], tmp_path: Path
) -> None:
    """A LiteRT that computes something else is closed and not used, at every start."""
    swap_channels(monkeypatch, LiteRTRuntime)
    for _ in range(2):
        opened, choice = choose_runtime(data, runtime, proofs=tmp_path)
        assert (opened.family, choice.reason) == ("portable", "litert_failed")
        assert isinstance(choice.rejected[0].error, SelfTestFailed)
        assert closed == ["portable", "litert"]
        closed.clear()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(SelfTestFailed, match="litert failed its self-test"):
        choose_runtime(data, "litert", strict=True)


def test_rejected_runtimes_are_freed(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is remembered of a rejected runtime does not keep it, nor the file, in memory."""
    made: list[weakref.ref[LiteRTRuntime]] = []

    def construct(*arguments: Any) -> LiteRTRuntime:
        runtime = LiteRTRuntime(*arguments)
        made.append(weakref.ref(runtime))
        return runtime

    swap_channels(monkeypatch, LiteRTRuntime)
    monkeypatch.setattr(choices, "LiteRTRuntime", construct)
    _, choice = choose_runtime(data)
    gc.collect()
    assert choice.reason == "litert_failed"
    assert [runtime() for runtime in made] == [None]


def test_portable_fails_its_test(data: bytes, monkeypatch: pytest.MonkeyPatch, closed: list[str]) -> None:
    """A portable runtime that fails is neither used nor a yardstick; LiteRT takes its place unless the user forbids it."""
    broken = np.zeros(16, np.float32)
    monkeypatch.setattr(PortableRuntime, "embed", lambda self, pixels: broken)
    opened, choice = choose_runtime(data, "portable")
    assert (opened.family, choice.reason) == ("litert", "automatic")
    assert [rejected.family for rejected in choice.rejected] == ["portable"]
    assert choose_runtime(data)[1] == Choice("automatic")
    assert set(closed) == {"portable"}
    with pytest.raises(SelfTestFailed):
        choose_runtime(data, "portable", strict=True)


def test_nothing_works(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no runtime is left, the last one's error is raised."""
    monkeypatch.setattr(choices, "LiteRTRuntime", refuse(UnsupportedModel("refused")))
    monkeypatch.setattr(choices, "PortableRuntime", refuse(UnsupportedOperator("lacking")))
    for runtime, last in (("auto", "lacking"), ("litert", "lacking"), ("portable", "refused")):
        with pytest.raises(EmbeddingError, match=last):
            choose_runtime(data, runtime)  # type: ignore[arg-type]


def test_litert_alone_takes_the_model(data: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where the portable runtime lacks an operator, LiteRT is not compared, nor said to agree."""
    monkeypatch.setattr(choices, "PortableRuntime", refuse(UnsupportedOperator("lacking")))
    assert choose_runtime(data, proofs=tmp_path)[1] == Choice("automatic")
    assert list(tmp_path.iterdir()) == []


def test_damaged_files_and_bad_settings(data: bytes) -> None:
    """Files and settings that no runtime could use are errors of their own."""
    with pytest.raises(CorruptModel):
        choose_runtime(data[:300])
    with pytest.raises(ValueError, match="thread"):
        choose_runtime(data, "auto", 0)


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Return, for each test of LiteRT so far, whether it was compared with the portable runtime."""
    tests: list[bool] = []

    def watched(runtime: Any, sha256: str, against: Any = None) -> Any:
        if runtime.family == "litert":
            tests.append(against is not None)
        return selftest.check(runtime, sha256, against)

    monkeypatch.setattr(choices, "check", watched)
    return tests


def test_compared_once(data: bytes, compared: list[bool], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With a folder for proofs, LiteRT is compared once per extractor, version and machine; tested every time."""
    folder = tmp_path / "not yet there"
    for _ in range(3):
        assert choose_runtime(data, proofs=folder)[1].reason == "automatic"
    assert compared == [True, False, False]
    choose_runtime(data)
    choose_runtime(separable("uint8", 24, 20), proofs=folder)
    monkeypatch.setattr(platform, "node", lambda: "another")
    choose_runtime(data, proofs=folder)
    monkeypatch.setattr(litert, "_version_of", lambda package: f"{package} 9.9")
    choose_runtime(data, proofs=folder)
    assert compared[3:] == [True] * 4
    assert len(list(folder.iterdir())) == 4


def test_unreadable_proofs(data: bytes, compared: list[bool], tmp_path: Path) -> None:
    """A damaged note is none and is written again; a folder that can't be written to is no obstacle."""
    choose_runtime(data, proofs=tmp_path)
    (note,) = tmp_path.iterdir()
    text = note.read_bytes()
    for damaged in (b"", text[:20], b"\xff\xfe", text + b" "):
        note.write_bytes(damaged)
        choose_runtime(data, proofs=tmp_path)
        assert note.read_bytes() == text
    file = tmp_path / "a file"
    file.touch()
    for _ in range(2):
        assert choose_runtime(data, proofs=file)[1].reason == "automatic"
    assert compared == [True] * 7
    note.unlink()
    note.mkdir()
    choose_runtime(data, proofs=tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([note, file])


async def test_embedder_tells(data: bytes, tmp_path: Path) -> None:
    """The embedder says what it runs on, why, what a frame costs and how many there were."""
    path = tmp_path / "small.tflite"
    path.write_bytes(data)
    picture = encode(scene())
    async with open_embedder(path, "portable", proofs=tmp_path) as embedder:
        assert (embedder.runtime, embedder.choice) == ("portable", Choice("chosen"))
        assert embedder.fingerprint().startswith(f"{embedder.extractor}/portable/")
        assert (embedder.ms, embedder.frames) == (None, 0)
        await embedder.embed_regions(picture, (WHOLE, Region(0, 0, 0.5, 0.5)))
        with pytest.raises(NotAPicture):
            await embedder.embed(b"<html>")
        assert embedder.frames == 1
        assert embedder.ms is not None and embedder.ms > 0
    async with open_embedder() as embedder:
        assert (embedder.extractor, embedder.runtime) == (BUILTIN, BUILTIN)
        assert embedder.choice == Choice("builtin")


async def test_embedder_time_is_that_of_the_last_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time per frame is a median, and forgets."""
    times = iter([*[0.0, 1.0] * 40, *[0.0, 0.004] * 20])
    monkeypatch.setattr("embedding.embedder.time.perf_counter", lambda: next(times))
    picture = encode(scene())
    async with open_embedder() as embedder:
        for _ in range(40):
            await embedder.embed(picture)
        assert embedder.ms == pytest.approx(1000)
        for _ in range(20):
            await embedder.embed(picture)
        assert embedder.ms == pytest.approx(4)
        assert embedder.frames == 60


async def test_many_pictures_at_once(data: bytes, tmp_path: Path) -> None:
    """Many at once give what each gives alone, in order; what is no picture stands in its place as the error."""
    path = tmp_path / "small.tflite"
    path.write_bytes(data)
    region = Region(0, 0, 0.5, 0.5)
    pictures = [encode(scene(80 + 8 * number, 60, number)) for number in range(12)]
    pictures[5] = b"<html>"
    async with open_embedder(path, "portable", proofs=tmp_path) as embedder:
        found = await embedder.embed_many(pictures, region)
        assert embedder.frames == 11
        for picture, vector in zip(pictures, found, strict=True):
            if isinstance(vector, NotAPicture):
                assert picture == pictures[5]
                assert "HTML" in vector.details["reason"]
            else:
                np.testing.assert_array_equal(vector, await embedder.embed(picture, region))
        assert await embedder.embed_many([]) == []
    with pytest.raises(RuntimeUnavailable):
        await embedder.embed_many(pictures[:1])


async def test_a_look_does_not_wait_for_many_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture that comes while many are embedded has its turn before them."""
    order: list[bytes] = []
    embed_views = Embedder._embed_views

    def noted(self: Embedder, picture: bytes, wanted: Sequence[Wanted]) -> list[Seen]:
        order.append(picture)
        return embed_views(self, picture, wanted)

    monkeypatch.setattr(Embedder, "_embed_views", noted)
    many, look = [encode(scene(seed=number)) for number in range(40)], encode(scene(seed=99))
    async with open_embedder() as embedder:
        batch = asyncio.create_task(embedder.embed_many(many))
        while len(order) < 4:
            await asyncio.sleep(0)
        await embedder.embed(look)
        await batch
    assert order.index(look) < 20
    assert len(order) == 41


async def test_embedder_is_strict_where_asked(
    data: bytes, closed: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A form that asks for one runtime gets that or an error; the engine gets one that works."""
    path = tmp_path / "small.tflite"
    path.write_bytes(data)
    swap_channels(monkeypatch, LiteRTRuntime)
    with pytest.raises(SelfTestFailed):
        async with open_embedder(path, "litert", strict=True):
            pytest.fail("opened")
    async with open_embedder(path, "litert") as embedder:
        assert (embedder.runtime, embedder.choice.reason) == ("portable", "litert_failed")
        closed.clear()
    assert closed == ["portable"]
    assert embedder.choice.reason in REASONS


def test_disk_full(data: bytes, compared: list[bool], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A note that can't be finished leaves nothing behind, and nothing fails."""

    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    for _ in range(2):
        assert choose_runtime(data, proofs=tmp_path)[1].reason == "automatic"
    assert compared == [True, True]
    assert list(tmp_path.iterdir()) == []
