"""A network's own classes by name: which list of labels counts, and which class a name means."""

from io import BytesIO
from pathlib import Path
import zipfile

import numpy as np
import pytest

from embedding.errors import EmbeddingError, UnknownNetworkClass, UnsupportedModel, WrongLabels
from embedding.export.classes import NetworkClasses, network_classes
from embedding.export.columns import class_columns, proxy
from embedding.export.exporting import export_model
from tests.embedding.graphs import classifier, restart_random, separable

SHARED = Path(__file__).resolve().parents[4] / "shared" / "models"
MODEL = SHARED / "mobilenet_v1_0.25_128_quant.tflite"
LABELS = [
    "background",
    "tench, Tinca tinca",
    "crane",
    "gate",
    "crane",
    "tabby, tabby cat",
    "7",
    "car, auto",
    "gate, door",
    "dog",
]


def network() -> bytes:
    """Return a classifier of ten classes."""
    restart_random()
    return separable("uint8", 16, 16)


def classes() -> NetworkClasses:
    """Return it with its labels."""
    return network_classes(network(), ["\n".join(LABELS)])


def packed(**files: bytes) -> bytes:
    """Return the classifier with files packed behind it, as metadata writers do; double underscores in names are dots."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "."), content)
    return network() + buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("tabby, tabby cat", 5),
        ("Tabby Cat", 5),
        (" tinca tinca ", 1),
        ("gate", 3),
        ("door", 8),
        ("7", 6),
        ("9", 9),
    ],
)
def test_names(name: str, number: int) -> None:
    """A whole label goes before a name in one, and that before a number."""
    assert classes().number(name) == number


@pytest.mark.parametrize(
    ("name", "reason"), [("zebra", "no class"), ("crane", "2 .*4"), ("", "no class"), ("10", "no class")]
)
def test_names_of_none_or_several(name: str, reason: str) -> None:
    with pytest.raises(UnknownNetworkClass, match=reason) as caught:
        classes().number(name)
    assert caught.value.details["name"] == name


def test_search() -> None:
    found = classes()
    assert found.search() == list(enumerate(LABELS))
    assert found.search("cat TABBY") == [(5, "tabby, tabby cat")]
    assert found.search("zebra") == []


def test_directions() -> None:
    found, columns = classes(), class_columns(network())
    np.testing.assert_array_equal(found.direction([5]), proxy(columns, 5))
    np.testing.assert_array_equal(found.direction(found.numbers(["dog", "door"])), proxy(columns, [9, 8]))
    assert not found.imprinted


def test_directions_of_exported_files_are_the_weights() -> None:
    weights = np.random.default_rng(1).normal(size=(3, 16)).astype(np.float32)
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    found = network_classes(export_model(network(), weights, 20.0), ["a\nb\nc"])
    assert found.imprinted
    for number, weight in enumerate(weights):
        assert found.direction([number]) @ weight > 0.9999


def test_the_first_list_that_fits_counts() -> None:
    lists = ["one\ntwo", "\n".join(f"first {number}" for number in range(10)), "\n".join(LABELS)]
    assert network_classes(network(), lists).labels[0] == "first 0"


def test_labels_in_the_metadata() -> None:
    data = packed(README=b"x", descriptor__txt=b"no labels", labelmap__txt="\n".join(LABELS).encode())
    assert network_classes(data).labels == tuple(LABELS)
    mine = "\n".join(f"mine {number}" for number in range(10))
    assert network_classes(data, [mine]).labels[0] == "mine 0", "what the user put beside it goes before"


@pytest.mark.parametrize("lists", [[], ["one\ntwo"], ["\n".join(["a"] * 9 + [""])]], ids=["none", "too few", "empty"])
def test_without_a_list_that_fits(lists: list[str]) -> None:
    with pytest.raises(WrongLabels):
        network_classes(network(), lists)


def test_metadata_is_not_believed() -> None:
    """Damaged, enormous or misnamed archives are as good as none; nothing but a named error comes of them."""
    labels = "\n".join(LABELS).encode()
    with pytest.raises(WrongLabels):
        network_classes(packed(labels__txt=b"\0" * (1 << 22)))
    with pytest.raises(WrongLabels):
        network_classes(packed(**{f"f{number}__txt": b"x" for number in range(40)}, zz__txt=labels))
    sound = packed(labels__txt=labels)
    refused = 0
    for seed in range(200):
        random = np.random.default_rng(seed)
        copy = bytearray(sound)
        for place in random.integers(len(network()), len(sound), 1 + seed % 3):
            copy[place] ^= 1 << int(random.integers(8))
        try:
            assert len(network_classes(bytes(copy)).labels) == 10
        except EmbeddingError:
            refused += 1
    assert 0 < refused < 200


def test_what_has_no_classes() -> None:
    with pytest.raises(UnsupportedModel):
        network_classes(classifier(end="L2_NORMALIZATION")[0], ["\n".join(LABELS)])


@pytest.mark.skipif(not MODEL.is_file(), reason="needs ../shared/models")
def test_the_published_list_fits_the_published_network() -> None:
    found = network_classes(MODEL.read_bytes(), [(SHARED / "imagenet_labels.txt").read_text()])
    assert (found.number("goldfish"), found.number("hotdog"), len(found.labels)) == (2, 935, 1001)
