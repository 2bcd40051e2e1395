"""Which file a server's model was made from."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from embedding import CATALOGUE
from embedding.errors import ModelError
from embedding.remote.files import is_model, likely
from embedding.remote.identity import Probe
from embedding.runtimes import selftest
from embedding.runtimes.choice import choose_runtime
from tests.embedding.graphs import restart_random, separable

MODELS = Path(__file__).parents[4] / "shared" / "models"
PUBLISHED = [one for one in CATALOGUE.values() if (MODELS / one.file.name).is_file()]


def probe_of(data: bytes) -> tuple[Probe, tuple[int, int]]:
    """Return what a server answers that executes a file."""
    runtime, _ = choose_runtime(data, "portable", 1)
    units = selftest.check(runtime, hashlib.sha256(data).hexdigest()).astype(np.float32)
    size = runtime.input_size
    runtime.close()
    return Probe(units), size


def network(channels: int) -> bytes:
    restart_random()
    return separable("uint8", 32, 32, channels)


@pytest.mark.skipif(len(PUBLISHED) < 2, reason="needs the models in ../shared/models")
def test_published_extractors_are_known_by_their_embeddings() -> None:
    for one in PUBLISHED:
        probe, size = probe_of((MODELS / one.file.name).read_bytes())
        assert likely(CATALOGUE.values(), probe, size, None) == [one]
        noisy = Probe.of(probe.units + np.random.default_rng(0).normal(0, 0.03, probe.units.shape).astype(np.float32))
        assert likely(CATALOGUE.values(), noisy, size, None) == []


def test_what_the_server_says_comes_first() -> None:
    probe, size = probe_of(network(16))
    assert likely(CATALOGUE.values(), probe, size, None) == []
    compiled = [one for one in CATALOGUE.values() if one.edgetpu and one.edgetpu.sha256]
    assert compiled
    for one in compiled:
        assert one.edgetpu
        for sha256 in (one.file.sha256, one.edgetpu.sha256):
            assert likely(CATALOGUE.values(), probe, size, sha256) == [one]


def test_a_file_is_the_model_or_is_not() -> None:
    probe, size = probe_of(network(16))
    assert is_model(network(16), probe, size)
    assert not is_model(network(24), probe, size), "another length"
    turned = Probe.of(probe.units[::-1].copy())
    assert not is_model(network(16), turned, size), "other embeddings"
    assert not is_model(network(16), probe, (48, 32)), "another size of pictures"
    with pytest.raises(ModelError):
        is_model(b"no model", probe, size)
