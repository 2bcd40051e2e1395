"""The network's part of embeddings, and which files hold the same network."""

from pathlib import Path

import numpy as np
import pytest

from embedding.errors import EmbeddingError
from embedding.export import network_part as parts
from embedding.export.exporting import export_model
from embedding.export.network_part import joined_weight, network_length, network_part, same_extractor
from embedding.pictures import layout
from tests.embedding.graphs import classifier, restart_random, separable

SHARED = Path(__file__).resolve().parents[4] / "shared" / "models"
MODELS = sorted(path for path in SHARED.glob("*.tflite") if "edgetpu" not in path.name)
RANDOM = np.random.default_rng(4)
LENGTH = 24


def test_the_networks_part_is_the_networks_embedding() -> None:
    network, described = (
        RANDOM.normal(size=LENGTH).astype(np.float32),
        RANDOM.normal(size=layout.LENGTH).astype(np.float32),
    )
    joined = layout.join(network, described)
    assert network_length(len(joined)) == LENGTH
    expected = network / np.linalg.norm(network)
    np.testing.assert_allclose(network_part(joined), expected, atol=1e-6)
    np.testing.assert_allclose(network_part(np.stack([joined, joined])), [expected, expected], atol=1e-6)
    assert network_part(joined).dtype == np.float32


@pytest.mark.parametrize("vector", [np.ones(layout.LENGTH, np.float32), np.zeros(layout.LENGTH + 3, np.float32)])
def test_without_a_networks_part(vector: np.ndarray) -> None:
    with pytest.raises(ValueError, match="part"):
        network_part(vector)


def test_a_joined_weight_says_nothing_about_the_layout() -> None:
    rows = RANDOM.normal(size=(3, LENGTH + 10)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    direction = np.eye(LENGTH, dtype=np.float32)[0]
    weight = joined_weight(direction, rows, LENGTH + 10)
    assert np.linalg.norm(weight) == pytest.approx(1, abs=1e-6)
    along = rows[:, LENGTH:].mean(axis=0)
    assert weight[LENGTH:] @ along == pytest.approx(np.linalg.norm(weight[LENGTH:]) * np.linalg.norm(along), rel=1e-5)
    np.testing.assert_array_equal(weight[1:LENGTH], 0)
    np.testing.assert_array_equal(joined_weight(direction, rows[:0], LENGTH + 10)[:LENGTH], direction)
    np.testing.assert_array_equal(joined_weight(direction, rows[:, :LENGTH], LENGTH), direction)


def network(dtype: str = "uint8", channels: int = 16) -> bytes:
    """Return a small classifier, always the same one."""
    restart_random()
    return separable(dtype, 16, 16, channels)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "float32"])
def test_an_exported_file_holds_the_same_extractor(dtype: str) -> None:
    weights = RANDOM.normal(size=(3, 16)).astype(np.float32)
    exported = export_model(network(dtype), weights, 20.0)
    assert same_extractor(exported, network(dtype))
    assert same_extractor(export_model(exported, weights[:2], 5.0), exported), "whatever is behind it"
    assert not same_extractor(exported, network("float32" if dtype == "uint8" else "uint8"))
    assert not same_extractor(exported, network(dtype, 12))


def test_one_weight_makes_another_extractor() -> None:
    """Every change of the constants that embeddings depend on is noticed, those of the classes' layer don't matter."""
    sound = network()
    random = np.random.default_rng(3)
    other = same = 0
    for place in random.choice(len(sound), 250, replace=False):
        changed = bytearray(sound)
        changed[place] ^= 4
        try:
            if same_extractor(bytes(changed), sound):
                same += 1
            else:
                other += 1
        except EmbeddingError:
            continue
    assert other > 50 and same > 5


def test_other_graphs_are_other_extractors() -> None:
    assert not same_extractor(classifier(pool="MEAN")[0], classifier(pool="AVERAGE_POOL_2D")[0])
    assert same_extractor(classifier(end="SOFTMAX")[0], classifier(end="RESHAPE", squeeze=False)[0])


@pytest.mark.skipif(not MODELS, reason="needs the models in ../shared/models")
def test_published_extractors() -> None:
    files = {path.name: path.read_bytes() for path in MODELS}
    for name, data in files.items():
        for other, against in files.items():
            assert same_extractor(data, against) == (name == other)


def test_emphasis_lengthens_the_layout_and_leaves_one_part_alone() -> None:
    factors = parts.foreign_emphasis(layout.LENGTH + 5)
    assert factors.tolist() == [1.0] * 5 + [parts.FOREIGN_EMPHASIS] * layout.LENGTH
    assert (parts.foreign_emphasis(layout.LENGTH) == 1).all(), "the built-in extractor has one part only"
