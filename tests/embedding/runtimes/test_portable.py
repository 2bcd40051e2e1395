"""The portable runtime as a whole: bands, memory, threads, misuse."""

import itertools
import threading
import tracemalloc
from typing import Any

import numpy as np
from numpy.typing import NDArray
import pytest

from embedding.errors import EmbeddingError, InvalidPixels
from embedding.network.model import read_model
from embedding.runtimes.litert import LiteRTRuntime
from embedding.runtimes.portable import PortableRuntime, blas
from embedding.runtimes.portable.arena import Arena
from tests.embedding.graphs import DTYPES, PICTURE, RANDOM, pixels, restart_random, separable


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Draw the same weights in every test."""
    restart_random()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("height", "width"), [(8, 8), (61, 47), (160, 200)])
def test_whole_network_in_bands(dtype: str, height: int, width: int) -> None:
    """A classifier stops at its pool; maps of one band and of many give what LiteRT gives."""
    data = separable(dtype, height, width)
    model = read_model(data)
    assert model.length == 16
    ours, theirs = PortableRuntime(model), LiteRTRuntime(model)
    for number in range(2):
        picture = pixels(number, height, width)
        one, other = ours.embed(picture), theirs.embed(picture)
        scale = PICTURE[dtype]
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1.001 * scale.scale[0] if scale else 1e-4)


def test_arena_keeps_apart_what_lives_together() -> None:
    """Buffers that are alive at one step never overlap; others use the same memory."""
    lives = [tuple(sorted(RANDOM.integers(0, 12, 2).tolist())) for _ in range(60)]
    sizes = [int(size) for size in RANDOM.integers(1, 400, 60)]
    arena = Arena()
    numbers = [arena.reserve(size, *life) for size, life in zip(sizes, lives, strict=True)]
    assert arena.place() < sum(sizes)
    arena.allocate()
    arrays = [arena.array(number, (size,)) for number, size in zip(numbers, sizes, strict=True)]
    for one, other in itertools.combinations(numbers, 2):
        together = lives[one][0] <= lives[other][1] and lives[other][0] <= lives[one][1]
        assert not (together and np.shares_memory(arrays[one], arrays[other]))
    assert all(array.ctypes.data % 64 == 0 for array in arrays)
    assert arena.size < sum(sizes)


def test_frames_do_not_see_each_other() -> None:
    """Buffers are shared and used again; a frame's result depends on that frame alone."""
    model = read_model(separable("int8", 61, 47))
    runtime = PortableRuntime(model)
    first = [runtime.embed(pixels(number, 61, 47)) for number in range(4)]
    fresh = [PortableRuntime(model).embed(pixels(number, 61, 47)) for number in range(4)]
    np.testing.assert_array_equal(first, fresh)
    again = [runtime.embed(pixels(number, 61, 47)) for number in range(4)]
    np.testing.assert_array_equal(first, again)


def test_threads_take_turns() -> None:
    """Calls from several threads return what calls one by one do."""
    runtime = PortableRuntime(read_model(separable("uint8", 61, 47)))
    expected = [runtime.embed(pixels(number, 61, 47)) for number in range(4)]
    results: dict[int, list[NDArray[np.float32]]] = {}

    def work(number: int) -> None:
        results[number] = [runtime.embed(pixels(number, 61, 47)) for _ in range(10)]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(4):
        np.testing.assert_array_equal(results[number], [expected[number]] * 10)


@pytest.mark.parametrize("dtype", DTYPES)
def test_frames_allocate_their_result_alone(dtype: str) -> None:
    """No step returns a new array, and the memory used at once grows by no more than the result and NumPy's small change."""
    height, width = 160, 200
    runtime = PortableRuntime(read_model(separable(dtype, height, width)))
    picture = pixels(0, height, width)
    runtime.embed(picture)
    with np.errstate(all="ignore"):
        for function, arguments in runtime._calls:
            result = function(*arguments)
            assert result is None or any(result is argument for argument in arguments), function
    tracemalloc.start()
    try:
        runtime.embed(picture)
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        embedding = runtime.embed(picture)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # The smallest map has 8000 places of 16 channels: a copy of one of its rows alone would be 6 kB.
    assert peak - before < embedding.nbytes + 6_000


def test_result_belongs_to_the_caller() -> None:
    """A later frame leaves an earlier result alone."""
    runtime = PortableRuntime(read_model(separable("int8", 61, 47)))
    first = runtime.embed(pixels(0, 61, 47))
    copy = first.copy()
    runtime.embed(pixels(1, 61, 47))
    np.testing.assert_array_equal(first, copy)


@pytest.mark.parametrize(
    "wrong",
    [pixels(0, 60, 47), pixels(0, 61, 47)[..., :1], pixels(0, 61, 47).astype(np.float32), pixels(0, 61, 47)[0]],
    ids=["size", "grey", "float", "row"],
)
def test_wrong_pixels_are_named(wrong: NDArray[Any]) -> None:
    """Pixels of another shape or type name the shape that is wanted."""
    runtime = PortableRuntime(read_model(separable("int8", 61, 47)))
    with pytest.raises(InvalidPixels, match=r"\(61, 47, 3\)") as caught:
        runtime.embed(wrong)
    assert caught.value.details["wanted"] == "(61, 47, 3)"


def test_closed() -> None:
    """A closed runtime says so."""
    runtime = PortableRuntime(read_model(separable("int8", 61, 47)))
    runtime.close()
    with pytest.raises(EmbeddingError, match="closed"):
        runtime.embed(pixels(0, 61, 47))


def test_threads_are_held_during_a_frame_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """BLAS gets the threads asked for, and afterwards what it had, also where frames overlap."""
    threadpoolctl = pytest.importorskip("threadpoolctl")

    def numbers() -> set[int]:
        return {pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"}

    runtime = PortableRuntime(read_model(separable("int8", 61, 47)), threads=1)
    seen = []
    run = runtime._run

    def watched(picture: NDArray[np.uint8]) -> None:
        seen.append(numbers())
        run(picture)

    monkeypatch.setattr(runtime, "_run", watched)
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        before = numbers()
        with blas.limited(1):
            runtime.embed(pixels(0, 61, 47))
            assert numbers() == {1}
        assert numbers() == before
        runtime.embed(pixels(0, 61, 47))
        assert numbers() == before
    assert seen == [{1}, {1}]
