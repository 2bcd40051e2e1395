"""The self-test notices a portable runtime with one wrong operator, whichever it is and wherever in the network.

Every operator of a network is made wrong in turn, in each way that `mutants` knows. With CORAL_IMPRINT_MUTANTS=all every mutant of
every extractor at hand is tried (minutes); otherwise evenly chosen ones. ``pytest -s`` shows what was caught.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
import hashlib
import itertools
import json
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
import pytest

from embedding.errors import EmbeddingError, SelfTestFailed
from embedding.network.model import Model, read_model
from embedding.pictures import test_pictures
from embedding.runtimes import selftest
from embedding.runtimes.litert import LiteRTRuntime
from embedding.runtimes.portable import PortableRuntime
from embedding.runtimes.portable.program import _KERNELS
from embedding.runtimes.runtime import Runtime
from tests.embedding.graphs import bias, restart_random, separable, spread, weights
from tests.embedding.mutants import MUTATIONS, mutant, mutations_of
from tests.embedding.tflite_builder import GraphBuilder, Scale

FOLDER = Path(__file__).resolve().parents[4] / "shared" / "models"
MODELS = sorted(path for path in FOLDER.glob("*.tflite") if not path.stem.endswith("_edgetpu"))
needs_models = pytest.mark.skipif(not MODELS, reason="needs the models in ../shared/models")

ALL = os.environ.get("CORAL_IMPRINT_MUTANTS") == "all"
TRIED = {"mobilenet_v1_0.25_128_quant": 3, "mobilenet_v1_0.5_160_quant": 17}
"""Of these extractors every n-th mutant is tried, of others every 61st."""

HARMLESS = {
    "rounding: half up": "differs at exact halves alone, where sound runtimes differ too",
    "rounding: half away from zero": "the same",
    "mean: wrong count": "changes the embedding's length, which does not count",
}
"""Mutations that are no mistakes, where they get past the self-test."""


@dataclass(frozen=True)
class Survivor:
    """A mutant that passed the self-test."""

    place: int
    kind: str
    mutation: str
    seen: bool
    """Whether its embeddings of other pictures show that something is wrong."""


def other_pictures(size: tuple[int, int]) -> list[NDArray[np.uint8]]:
    """Return pictures that the self-test does not have: soft blobs, and noise in the dark and in the light."""
    width, height = size
    random = np.random.default_rng(5)
    coarse = random.integers(0, 256, (6, 6, 3), np.uint8)
    blobs = coarse[np.arange(height)[:, None] * 6 // height, np.arange(width) * 6 // width]
    dark, light = (random.integers(low, low + 60, (height, width, 3), np.uint8) for low in (0, 195))
    return [blobs, np.roll(blobs, 3, (0, 1)), dark, light]


def units(runtime: Runtime, pictures: list[NDArray[np.uint8]]) -> NDArray[np.float64]:
    """Return unit embeddings; zeros where there are none."""
    embeddings = []
    for pixels in pictures:
        try:
            embeddings.append(runtime.embed(pixels).astype(np.float64))
        except EmbeddingError:
            embeddings.append(np.zeros(runtime.length))
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    scaled: NDArray[np.float64] = np.array(embeddings) / np.maximum(lengths, 1e-9)
    return scaled


def survivors(model: Model, sha256: str, every: int = 1) -> tuple[int, list[Survivor]]:
    """Test every n-th mutant of a network; return how many there were and which passed."""
    pictures = other_pictures(model.input_size)
    expected = units(PortableRuntime(model), pictures)
    passed, count = [], 0
    for place, kind, mutation in itertools.islice(mutations_of(model), 0, None, every):
        count += 1
        runtime = mutant(model, place, mutation)
        try:
            selftest.check(runtime, sha256)
        except SelfTestFailed:
            continue
        seen = bool((units(runtime, pictures) * expected).sum(axis=1).min() < 1 - 1e-7)
        passed.append(Survivor(place, kind, mutation.name, seen))
    return count, passed


def report(name: str, count: int, passed: list[Survivor]) -> tuple[int, list[Survivor]]:
    """Print what was caught; return how many mutants were mistakes at all, and those among them that were missed."""
    tolerated = [survivor for survivor in passed if survivor.mutation in HARMLESS]
    missed = [survivor for survivor in passed if survivor.seen and survivor not in tolerated]
    summary = {
        "mutants": count,
        "caught": count - len(passed),
        "harmless": len(tolerated),
        "without effect on any picture": len(passed) - len(tolerated) - len(missed),
        "missed": [f"{survivor.place} {survivor.kind} {survivor.mutation}" for survivor in missed],
    }
    print(f"\n{name}: {json.dumps(summary)}")  # noqa: T201 - the result of a long run
    return count - len(passed) + len(missed), missed


@needs_models
@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_extractors(path: Path) -> None:
    """Of what is wrong in one operator of a real extractor, next to nothing gets past its references."""
    data = path.read_bytes()
    every = 1 if ALL else TRIED.get(path.stem, 61)
    count, passed = survivors(read_model(data), hashlib.sha256(data).hexdigest(), every)
    mistakes, missed = report(path.stem, count, passed)
    assert mistakes > 10
    assert len(missed) <= 0.01 * mistakes


@needs_models
def test_extractors_have_the_kinds_of_operators_that_are_tried() -> None:
    """The mutations reach every operator of the extractors."""
    for path in MODELS:
        model = read_model(path.read_bytes())
        assert {place for place, _, _ in mutations_of(model)} == set(range(len(model.operators)))


def everything(dtype: str, end: str) -> bytes:
    """Return a network with the operators that the published extractors lack; with DEQUANTIZE, from a float picture."""
    builder = GraphBuilder()
    held = Scale([1 / 32], 120 if dtype == "uint8" else -8) if dtype != "float32" else None
    seen = Scale([1 / 64], 128) if dtype == "uint8" else spread(dtype, 2.0)
    picture = builder.tensor([1, 26, 22, 3], dtype, seen)
    begin = picture
    if end == "DEQUANTIZE":
        begin = builder.tensor([1, 26, 22, 3], "float32")
        builder.operator("QUANTIZE", [begin], picture)

    def layer(kind: str, source: int, shape: tuple[int, ...], target: list[int], **options: int) -> int:
        matrix, scale = weights(builder, shape, dtype, None)
        outputs = shape[3] if kind.startswith("D") else shape[0]
        options = ({} if kind.startswith("F") else {"StrideH": 1, "StrideW": 1}) | options
        offsets = bias(builder, outputs, dtype, scale)
        return builder.operator(kind, [source, matrix, offsets], builder.tensor(target, dtype, held), **options)

    margins = builder.constant(np.array([[0, 0], [1, 2], [2, 0], [0, 0]], np.int32))
    padded = builder.tensor([1, 29, 24, 3], dtype, seen)
    builder.operator("PAD", [picture, margins], padded)
    one = layer("CONV_2D", padded, (6, 3, 3, 3), [1, 15, 12, 6], StrideH=2, StrideW=2, FusedActivationFunction=1)
    two = layer("DEPTHWISE_CONV_2D", padded, (1, 3, 3, 6), [1, 15, 12, 6], StrideH=2, StrideW=2, DepthMultiplier=2)
    both = builder.operator("CONCATENATION", [one, two], builder.tensor([1, 15, 12, 12], dtype, held), Axis=3)
    pool = {"FilterHeight": 3, "FilterWidth": 3, "StrideH": 2, "StrideW": 2}
    both = builder.operator("RELU6", [both], builder.tensor([1, 15, 12, 12], dtype, held))
    pooled = builder.operator("AVERAGE_POOL_2D", [both], builder.tensor([1, 8, 6, 12], dtype, held), **pool)
    half = None if held is None else Scale([held.scale[0] / 2], held.zero)
    small = layer("CONV_2D", pooled, (4, 1, 1, 12), [1, 8, 6, 4])
    if half is not None:
        small = builder.operator("QUANTIZE", [small], builder.tensor([1, 8, 6, 4], dtype, half))
    flat = builder.tensor([1, 192], dtype, half)
    builder.operator("RESHAPE", [small, builder.constant(np.array([1, 192], np.int32))], flat)
    last = layer("FULLY_CONNECTED", flat, (24, 192), [1, 24])
    result = builder.tensor([1, 24], "float32" if end == "DEQUANTIZE" else dtype, unit_scale(dtype, end))
    builder.operator(end, [last], result, **({"Beta": 0.2} if end == "SOFTMAX" else {}))
    return builder.build([begin], [result])


def unit_scale(dtype: str, end: str) -> Scale | None:
    """Return the quantisation that TFLite asks of unit vectors."""
    return None if dtype == "float32" or end == "DEQUANTIZE" else Scale([1 / 128], 128 if dtype == "uint8" else 0)


def small_networks() -> Iterator[tuple[str, bytes]]:
    """Yield networks that need no files."""
    for dtype in ("uint8", "int8", "float32"):
        restart_random()
        yield f"separable-{dtype}", separable(dtype, 30, 26)
        restart_random()
        yield f"everything-{dtype}", everything(dtype, "L2_NORMALIZATION")
    for dtype, end in (("float32", "SOFTMAX"), ("int8", "DEQUANTIZE")):
        restart_random()
        yield f"everything-{dtype}-{end}", everything(dtype, end)


@pytest.mark.parametrize(
    ("name", "data"), list(small_networks()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_small_networks(name: str, data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same without any files, for operators that the published extractors lack too."""
    model = read_model(data)
    sound = PortableRuntime(model)
    reference = selftest.Reference(selftest.similarities(sound).astype(np.float64), 0.0)
    monkeypatch.setattr(selftest, "references", lambda: {"small": reference})
    selftest.check(sound, "small")
    mistakes, missed = report(name, *survivors(model, "small"))
    assert mistakes > 20
    assert len(missed) <= 0.01 * mistakes


def test_every_mutation_befalls_every_kind_of_operator() -> None:
    """No mutation is dead, and no operator of the portable runtime is left out, but those that work as another one does."""
    tried = [found for _, data in small_networks() for found in mutations_of(read_model(data))]
    assert {mutation.name for _, _, mutation in tried} == {mutation.name for mutation in MUTATIONS}
    assert set(_KERNELS) - {kind for _, kind, _ in tried} <= {"RELU", "RELU_N1_TO_1", "SQUEEZE"}


PICTURE_MISTAKES: Mapping[str, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    "mirrored": lambda pixels: pixels[:, ::-1],
    "upside down": lambda pixels: pixels[::-1],
    "blue for red": lambda pixels: pixels[..., ::-1],
    "one channel for all": lambda pixels: np.repeat(pixels[..., :1], 3, axis=2),
    "half as bright": lambda pixels: pixels // 2,
    "signed for unsigned": lambda pixels: pixels ^ np.uint8(128),
    "negative": lambda pixels: 255 - pixels,
    "a column off": lambda pixels: np.roll(pixels, 1, 1),
    "all black": np.zeros_like,
    "half of the steps": lambda pixels: pixels // np.uint8(2) * np.uint8(2),
}
SMALL_MISTAKES = {"a column off", "half of the steps"}
"""Those that change an embedding no more than other roundings do."""


class Mistaken:
    """A runtime that gets its pictures wrong."""

    def __init__(self, runtime: Runtime, mistake: str) -> None:
        """Take the runtime and the name of the mistake."""
        self._runtime = runtime
        self._mistake = PICTURE_MISTAKES[mistake]
        self.family, self.input_size, self.length = runtime.family, runtime.input_size, runtime.length

    def embed(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed a wrong picture."""
        return self._runtime.embed(np.ascontiguousarray(self._mistake(pixels)))

    def close(self) -> None:
        """Close the runtime."""
        self._runtime.close()


@needs_models
@pytest.mark.parametrize("mistake", PICTURE_MISTAKES)
@pytest.mark.parametrize("path", MODELS[:2] + MODELS[-1:], ids=lambda path: path.stem)
def test_pictures_handed_over_wrongly(path: Path, mistake: str) -> None:
    """What happens to pixels on their way into the network shows, in LiteRT where it is more than roundings."""
    data = path.read_bytes()
    sha256, model = hashlib.sha256(data).hexdigest(), read_model(data)
    with pytest.raises(SelfTestFailed):
        selftest.check(Mistaken(PortableRuntime(model), mistake), sha256)
    if mistake not in SMALL_MISTAKES:
        with pytest.raises(SelfTestFailed):
            selftest.check(Mistaken(LiteRTRuntime(model), mistake), sha256)


@needs_models
@pytest.mark.parametrize("path", MODELS[-1:], ids=lambda path: path.stem)
def test_litert_with_raw_output(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Codes taken for numbers fail where their zero point is not 0 (elsewhere they mean the same direction)."""
    data = path.read_bytes()
    model = read_model(data)
    quantisation = model.tensors[model.output].quantisation
    assert quantisation is not None and quantisation.zero_point[0] == -128
    monkeypatch.setattr("embedding.runtimes.litert.dequantised", lambda values, tensor: values.astype(np.float32))
    with pytest.raises(SelfTestFailed):
        selftest.check(LiteRTRuntime(model), hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize("dtype", ["uint8", "int8", "float32"])
@pytest.mark.parametrize("mistake", ["signed for unsigned", "blue for red"])
def test_another_runtime_notices(dtype: str, mistake: str) -> None:
    """Without references, two runtimes that see different pictures don't agree."""
    restart_random()
    data = separable(dtype, 30, 26)
    model = read_model(data)
    expected = selftest.check(PortableRuntime(model), "unknown")
    assert expected.shape == (len(test_pictures.NAMES), 16)
    with pytest.raises(SelfTestFailed, match="another runtime"):
        selftest.check(Mistaken(LiteRTRuntime(model), mistake), "unknown", expected)
