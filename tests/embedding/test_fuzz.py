"""Damaged models and pictures, a short round of what ``scripts/fuzz`` does at length; and that it finds what it looks for."""

from importlib.util import find_spec
from pathlib import Path
import struct
import sys
from typing import Any

import numpy as np
from PIL import Image
import pytest

from embedding.errors import CorruptModel, ModelTooLarge, NotAPicture
from embedding.network.model import read_model
from embedding.pictures.decoding import MAX_DECODED, MAX_MEMORY, WHOLE, Region, View, check_picture, cut
from embedding.pictures.jpeg import read_scans
from embedding.runtimes.portable import PortableRuntime
from embedding.runtimes.rewrite import cut_model
from embedding.runtimes.runtime import open_runtime
from scripts.fuzzing.children import Crew, Limits
from scripts.fuzzing.command import fuzz
from scripts.fuzzing.drawn import repeated_jpeg, repeated_png, repeated_scans, separate_scans
from scripts.fuzzing.models import Models
from scripts.fuzzing.schema import places

from .graphs import PICTURE, classifier, finished, pixels, weights
from .sample_pictures import encode, oriented, scene
from .tflite_builder import GraphBuilder, Scale

LIMITS = Limits(seconds=60, mib=256)

_WORKER = """
import argparse, json, os, time
parser = argparse.ArgumentParser()
for name in ("--first", "--step", "--end"):
    parser.add_argument(name, type=int)
options = parser.parse_args()
for number in range(options.first, options.end, options.step):
    print(json.dumps({"number": number}), flush=True)
    if number == 3:
        os.abort()
    if number == 4:
        time.sleep(60)
    if number == 5:
        raise ValueError(number)
    report = {"outcome": "right", "mib": 300 if number == 7 else 1}
    print(json.dumps(report | {"number": number, "seconds": 0.0, "left_mib": 0}), flush=True)
"""


@pytest.mark.parametrize("runtime", ["portable", "litert"])
def test_damaged_models(runtime: str) -> None:
    """Nothing but named errors and embeddings, on either runtime, within the memory allowed."""
    if runtime == "litert" and find_spec("ai_edge_litert") is None:
        pytest.skip("LiteRT is not installed")
    found = fuzz("models", 0, 600, 20, LIMITS, runtime=runtime)
    assert found["failures"] == []
    assert found["cases"] == 600
    assert found["outcomes"]["right"] > 60
    assert found["outcomes"]["CorruptModel"] > 200


def test_damaged_pictures() -> None:
    """Nothing but NotAPicture and right views, of damaged pictures, huge ones and bombs, within the memory allowed."""
    found = fuzz("pictures", 0, 500, 20, LIMITS, few=True)
    assert found["failures"] == []
    assert found["cases"] == 500
    assert found["outcomes"]["right"] > 60
    assert found["outcomes"]["NotAPicture"] > 60


def test_finds_what_it_looks_for(tmp_path: Path) -> None:
    """A crash, a hang, another exception and too much memory are found, each at its number; the rest goes on."""
    worker = tmp_path / "worker.py"
    worker.write_text(_WORKER)
    found = Crew([sys.executable, str(worker)], Limits(seconds=5, mib=256), workers=2).work(0, 12).as_dict()
    failures = {failure["number"]: failure["why"] for failure in found["failures"]}
    assert failures == {3: "crash", 4: "hang", 5: "exception", 7: "memory"}
    assert found["cases"] == 12
    assert found["outcomes"]["right"] == 9


def test_cases_can_be_had_again() -> None:
    """Seed and number make a case, whoever asks and in whatever order."""
    one, other = Models(), Models()
    cases = [one.case(5, number) for number in range(40, 60)]
    assert [other.case(5, number) for number in range(59, 39, -1)] == cases[::-1]
    assert [one.case(6, number) for number in range(40, 60)] != cases
    assert len(set(cases)) > 15


def test_places_are_the_files_own() -> None:
    """What the schema finds are the numbers that were written: shapes, scales, lengths."""
    data, _ = classifier()
    found: dict[str, list[Any]] = {}
    for place in places(data):
        found.setdefault(place.kind, []).append(struct.unpack_from(place.form, data, place.position)[0])
    assert {1, 8, 6, 3, 4} <= set(found["shape"])
    assert pytest.approx(0.01) in found["scale"]
    assert len(data) > max(found["entry"])
    assert {"offset", "length", "zero", "index", "opcode", "type", "buffer", "option", "data"} <= found.keys()


@pytest.mark.parametrize(
    ("data", "single"),
    [
        (encode(scene(64, 64)), True),
        (encode(scene(64, 64).convert("L")), True),
        (encode(scene(64, 64).convert("CMYK")), True),
        (oriented(scene(64, 64), 6), True),
        (encode(scene(64, 64), restart_marker_rows=1), True),
        (encode(scene(64, 64), progressive=True), False),
        (separate_scans(64, 64), False),
        (b"", False),
        (encode(scene(64, 64))[:300], False),
    ],
    ids=["baseline", "grey", "cmyk", "exif", "restarts", "progressive", "separate", "empty", "cut"],
)
def test_scans(data: bytes, single: bool) -> None:
    """Whether a decoder holds all of a JPEG is read from its markers."""
    assert read_scans(data).single is single


def test_scans_are_counted() -> None:
    """Scans are counted, and the coefficients are what three components of 4:2:0 come to, rounded up to blocks."""
    scans = read_scans(repeated_scans(4_000, 3_000, 30))
    assert scans.scans >= 30
    assert 2 * 4_000 * 3_000 * 1.5 <= scans.coefficients <= 2.1 * 4_000 * 3_000 * 1.5
    assert read_scans(separate_scans(12_000, 9_000)).coefficients > MAX_MEMORY


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (repeated_scans(4_000, 3_000, 200), "too many steps"),
        (separate_scans(12_000, 9_000), "too large"),
        (repeated_png(70_000, 8, 8, 2), "too large"),
        (repeated_png(6_000, 4_000, 8, 2), "too large"),
    ],
    ids=["scans", "coefficients", "longer than a JPEG can be", "pixels"],
)
def test_what_costs_too_much_is_refused_before_it_is_decoded(
    data: bytes, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The markers and the header say enough."""
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    for door in (check_picture, lambda data: cut(data, [View(WHOLE, 64, 64)])):
        with pytest.raises(NotAPicture, match=reason):
            door(data)


def test_a_small_region_of_a_huge_picture_does_not_unfold_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """However small the region, no more is decoded of a JPEG than memory allows."""
    decodes: list[tuple[int, int]] = []
    load = Image.Image.load

    def counted(self: Image.Image) -> object:
        decodes.append(self.size)
        return load(self)

    monkeypatch.setattr(Image.Image, "load", counted)
    (piece,) = cut(repeated_jpeg(6_000, 4_000), [View(Region(0.9, 0.9, 0.92, 0.92), 224, 224)])
    assert piece.shape == (224, 224, 3)
    assert max(width * height for width, height in decodes) <= MAX_DECODED


@pytest.mark.parametrize("kind", ["CONV_2D", "DEPTHWISE_CONV_2D"])
@pytest.mark.parametrize("dtype", ["uint8", "int8", "float32"])
@pytest.mark.parametrize("absent", [(), (-1,)], ids=["two inputs", "absent"])
def test_layers_without_bias(kind: str, dtype: str, absent: tuple[int, ...]) -> None:
    """LiteRT gets a bias of zeros where the file has none, and both runtimes agree."""
    if find_spec("ai_edge_litert") is None:
        pytest.skip("LiteRT is not installed")
    builder = GraphBuilder()
    picture = builder.tensor([1, 9, 11, 3], dtype, PICTURE[dtype])
    shape, axis = ((4, 3, 3, 3), 0) if kind == "CONV_2D" else ((1, 3, 3, 3), 3)
    matrix, _ = weights(builder, shape, dtype, axis if dtype == "int8" else None)
    target = builder.tensor([1, 9, 11, 4 if kind == "CONV_2D" else 3], dtype, PICTURE[dtype])
    options = {"DepthMultiplier": 1} if kind.startswith("D") else {}
    builder.operator(kind, [picture, matrix, *absent], target, StrideH=1, StrideW=1, **options)
    data = finished(builder, picture, target)
    ours, theirs = (open_runtime(data, family).embed(pixels()) for family in ("portable", "litert"))
    # A code's step is 1/64.
    np.testing.assert_allclose(ours, theirs, atol=1e-4 if dtype == "float32" else 1.01 / 64)


def _wide(side: int, taps: int) -> bytes:
    builder = GraphBuilder()
    picture = builder.tensor([1, side, side, 3], "float32")
    matrix = builder.constant(np.zeros((16, taps, taps, 3), np.float32))
    features = builder.tensor([1, side, side, 16], "float32")
    builder.operator("CONV_2D", [picture, matrix, -1], features, StrideH=1, StrideW=1)
    more = builder.constant(np.zeros((16, 1, 1, 16), np.float32))
    second = builder.tensor([1, side, side, 16], "float32")
    builder.operator("CONV_2D", [features, more, -1], second, StrideH=1, StrideW=1)
    third = builder.operator("ADD", [features, second], builder.tensor([1, side, side, 16], "float32"))
    pooled = builder.tensor([1, 1, 1, 16], "float32")
    axes = builder.constant(np.array([1, 2], np.int32))
    builder.operator("MEAN", [third, axes], pooled, KeepDims=True)
    return builder.build([picture], [pooled])


def test_graphs_beyond_all_measure_are_refused() -> None:
    """Sound graphs that take more memory or time than an extractor may reach no runtime."""
    assert PortableRuntime(read_model(_wide(64, 3))).length == 16
    for side, taps in ((1_000, 3), (900, 31)):
        model = read_model(_wide(side, taps))
        with pytest.raises(ModelTooLarge):
            PortableRuntime(model)
        with pytest.raises(ModelTooLarge):
            cut_model(model)


@pytest.mark.parametrize("scale", [Scale([1e30]), Scale([1e-30]), Scale([4_000.0]), None], ids=str)
def test_what_native_code_ends_the_process_over(scale: Scale | None) -> None:
    """Sums in absurd steps, or in none at all, are contradictions."""
    builder = GraphBuilder()
    picture = builder.tensor([1, 9, 11, 3], "int8", PICTURE["int8"])
    target = builder.tensor([1, 9, 11, 3], "int8", scale)
    builder.operator("ADD", [picture, picture], target)
    model = read_model(finished(builder, picture, target))
    with pytest.raises(CorruptModel):
        cut_model(model)
