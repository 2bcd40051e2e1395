"""The self-test: what it draws, what passes it, what it says where something fails."""

import hashlib
import itertools
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
import pytest

from embedding.errors import EmbeddingError, SelfTestFailed
from embedding.network.model import read_model
from embedding.pictures import test_pictures
from embedding.runtimes import selftest
from embedding.runtimes.litert import LiteRTRuntime
from embedding.runtimes.portable import PortableRuntime
from embedding.runtimes.runtime import Family, Runtime, open_runtime
from tests.embedding.graphs import restart_random, separable

FOLDER = Path(__file__).resolve().parents[4] / "shared" / "models"
MODELS = sorted(path for path in FOLDER.glob("*.tflite") if not path.stem.endswith("_edgetpu"))
needs_models = pytest.mark.skipif(not MODELS, reason="needs the models in ../shared/models")


class Made:
    """A runtime whose embeddings the test makes up."""

    family = "made"

    def __init__(self, embeddings: Any, length: int = 8) -> None:
        """Take an embedding for each test picture; an exception is raised instead."""
        self.input_size = (16, 12)
        self.length = length
        self._embeddings = iter(embeddings)

    def embed(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the next one."""
        assert pixels.shape == (12, 16, 3) and pixels.dtype == np.uint8
        embedding = next(self._embeddings)
        if isinstance(embedding, EmbeddingError):
            raise embedding
        return np.asarray(embedding, np.float32)

    def close(self) -> None:
        """Do nothing."""


DIGEST = "4dc8e3d566911c6ac4185035221f6699a2836de387cbcd7c47b069f949c051ee"
COUNT = len(test_pictures.NAMES)
SOUND = np.random.default_rng(3).normal(1, 0.5, (COUNT, 8)).astype(np.float32)


def test_pictures_are_those_that_the_references_were_made_with() -> None:
    """Every pixel is fixed: another one would make every stored reference wrong."""
    digest = hashlib.sha256()
    for size in ((224, 224), (128, 128), (33, 70)):
        for picture in test_pictures.pictures(size):
            assert picture.shape == (size[1], size[0], 3) and picture.dtype == np.uint8
            digest.update(picture.tobytes())
    digest.update((test_pictures.directions(1280) > 0).tobytes())
    assert (test_pictures.VERSION, digest.hexdigest()) == (1, DIGEST)


def test_pictures_differ() -> None:
    """No two pictures look alike, and they cover dark and bright, flat and rough."""
    drawn = [picture.astype(float) for picture in test_pictures.pictures((96, 96))]
    for one, other in itertools.combinations(drawn, 2):
        assert np.abs(one - other).mean() > 15
    means = [picture.mean() for picture in drawn]
    assert min(means) < 20 and max(means) > 110


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (7, 3), (300, 20)])
def test_any_size_can_be_drawn(size: tuple[int, int]) -> None:
    """Networks take pictures of any size and shape."""
    for picture in test_pictures.pictures(size):
        assert picture.shape == (size[1], size[0], 3)


def test_directions_are_unit_vectors_across_each_other() -> None:
    """They are of length 1, hardly alike, and blind to no exchange of neighbours."""
    drawn = test_pictures.directions(1024)
    np.testing.assert_allclose(drawn @ drawn.T, np.eye(test_pictures.DIRECTIONS), atol=0.12)
    assert (np.diff(drawn, axis=1) != 0).mean() > 0.4


def test_similarities() -> None:
    """They are the cosines of all pairs, then those with the directions, whatever the embeddings' length."""
    found = selftest.similarities(Made(SOUND * 7))
    assert found.shape == (COUNT * (COUNT - 1) // 2 + COUNT * test_pictures.DIRECTIONS,)
    assert found.dtype == np.float32
    units = SOUND / np.linalg.norm(SOUND, axis=1, keepdims=True)
    assert found[0] == pytest.approx(units[0] @ units[1], abs=1e-6)
    assert found[-1] == pytest.approx(units[-1] @ test_pictures.directions(8)[-1], abs=1e-6)


def test_sound_embeddings_pass() -> None:
    """Where nothing is known of an extractor, any embeddings that differ pass, and are returned at length 1."""
    units = selftest.check(Made(SOUND), "unknown")
    np.testing.assert_allclose(np.linalg.norm(units, axis=1), 1)
    np.testing.assert_allclose(selftest.check(Made(SOUND * 3), "unknown", units), units, atol=1e-6)


@pytest.mark.parametrize(
    ("embeddings", "message"),
    [
        ([*SOUND[:4], SOUND[4] * np.nan], "“checkers” holds no usable numbers"),
        ([*SOUND[:8], SOUND[8] * 0], "“night” holds no usable numbers"),
        ([SOUND[0] + np.inf], "“ramps” holds no usable numbers"),
        ([SOUND[0, :7]], r"has the shape \(7,\), not 8 numbers"),
        ([SOUND[:1]], r"has the shape \(1, 8\)"),
        ([SOUND[0]] * COUNT, "all test pictures have the same embedding"),
        (
            [SOUND[0], EmbeddingError("Node number 3 failed")],
            "“fine noise” could not be embedded: Node number 3 failed",
        ),
    ],
    ids=["nan", "zero", "infinite", "short", "nested", "constant", "failing"],
)
def test_unusable_embeddings_fail(embeddings: Any, message: str) -> None:
    """The error says which picture it was, what was wrong and in which runtime."""
    with pytest.raises(SelfTestFailed, match=message) as caught:
        selftest.check(Made(embeddings), "unknown")
    assert caught.value.details["runtime"] == "made"
    assert caught.value.details["reason"] == str(caught.value)


def test_another_runtime_disagrees() -> None:
    """One picture that comes out otherwise is enough, and is named with its similarity."""
    expected = selftest.check(Made(SOUND), "unknown")
    changed = SOUND.copy()
    changed[5] += (0, 3, 0, -3, 0, 0, 0, 0)
    with pytest.raises(SelfTestFailed, match=r"“discs” has a similarity of 0\.\d{4} with the one that another runtime"):
        selftest.check(Made(changed), "unknown", expected)
    with pytest.raises(SelfTestFailed, match=r"the embeddings are \d+\.\d% off those that another runtime computed"):
        selftest.check(Made(SOUND[::-1] * 0.1 + 3), "unknown", selftest.check(Made(SOUND * 0.1 + 3), "unknown"))
    with pytest.raises(SelfTestFailed, match="have 8 numbers, another runtime's 4"):
        selftest.check(Made(SOUND), "unknown", expected[:, :4])


@pytest.mark.parametrize(("family", "allowed"), [("portable", selftest.PORTABLE_TOLERANCE), ("litert", 0.03)])
def test_references(family: str, allowed: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Similarities may be off by the tolerance of their runtime, and by no more; what is off is said."""
    known = selftest.similarities(Made(SOUND)).astype(np.float64)
    monkeypatch.setattr(Made, "family", family)
    for position, name in ((0, "“ramps” and “fine noise”"), (-1, "“night” and direction 4")):
        for share, passes in ((0.9, True), (1.1, False)):
            stored = known.copy()
            stored[position] += share * allowed
            reference = selftest.Reference(stored, 0.01)
            monkeypatch.setattr(selftest, "references", lambda reference=reference: {"known": reference})
            if passes:
                selftest.check(Made(SOUND), "known")
            else:
                with pytest.raises(SelfTestFailed, match=f"{name} have.*1 of {known.size} similarities are wrong"):
                    selftest.check(Made(SOUND), "known")
            selftest.check(Made(SOUND[::-1]), "unknown")


def test_references_of_other_pictures_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """References belong to the test pictures that they were made with."""
    selftest.references.cache_clear()
    assert selftest.references()
    monkeypatch.setattr(test_pictures, "VERSION", test_pictures.VERSION + 1)
    selftest.references.cache_clear()
    assert selftest.references() == {}
    selftest.references.cache_clear()


def opened(path: Path, family: Family) -> tuple[Runtime, str]:
    data = path.read_bytes()
    return open_runtime(data, family), hashlib.sha256(data).hexdigest()


@needs_models
@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_sound_runtimes_pass_with_room(path: Path) -> None:
    """Real extractors have references; both runtimes meet them with three times the room they need."""
    portable, sha256 = opened(path, "portable")
    litert, _ = opened(path, "litert")
    reference = selftest.references()[sha256]
    off = np.abs(selftest.similarities(portable) - reference.similarities).max()
    assert off <= selftest.PORTABLE_TOLERANCE / 3
    off = np.abs(selftest.similarities(litert) - reference.similarities).max()
    assert off <= reference.spread + 1e-5
    expected = selftest.check(portable, sha256)
    found = selftest.check(litert, sha256, expected)
    assert 1 - (found * expected).sum(axis=1).min() <= (1 - selftest.LEAST_COSINE) / 3
    variance = ((expected - expected.mean(axis=0)) ** 2).sum()
    assert ((found - expected) ** 2).sum() / variance <= selftest.MOST_DISAGREEMENT / 3


@needs_models
@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
@pytest.mark.parametrize("family", ["portable", "litert"])
def test_another_extractor_is_no_match(path: Path, family: Family) -> None:
    """What one extractor computes never passes for another."""
    runtime, sha256 = opened(path, family)
    for other in set(selftest.references()) - {sha256}:
        with pytest.raises(SelfTestFailed):
            selftest.check(runtime, other)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "float32"])
def test_both_runtimes_agree_on_a_small_network(dtype: str) -> None:
    """Files of the user's own have no references; the runtimes are compared with each other."""
    restart_random()
    data = separable(dtype, 48, 40)
    model = read_model(data)
    expected = selftest.check(PortableRuntime(model), "unknown")
    selftest.check(LiteRTRuntime(model), "unknown", expected)
