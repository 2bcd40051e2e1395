"""The self-test: drawn pictures go through a runtime, and what comes out is compared with what is known of them.

For published extractors, cosines of the pictures' embeddings with each other and with a few drawn directions are stored: few
numbers, yet they move when an operator anywhere in the network is wrong. A second runtime's embeddings are compared one by one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
import itertools
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import EmbeddingError, SelfTestFailed
from ..pictures import test_pictures
from .runtime import Runtime

PORTABLE_TOLERANCE = 1e-4
"""What the portable runtime's similarities may differ by. Its sums are whole numbers that float32 holds exactly, so that it returns
the same numbers on every machine; this leaves room for the references' five decimals."""

ROOM = 3.0
"""Times the difference that was measured between sound runtimes that round in other ways, for runtimes but the portable one."""

LEAST_COSINE = 0.96
"""Between two runtimes' embeddings of a test picture. TFLite's reference kernels and the portable runtime, which round in different
places, have 0.9895 at least on the published extractors."""

MOST_DISAGREEMENT = 0.045
"""Between two runtimes: the mean squared distance of their embeddings of the same picture, as a share of the embeddings' variance
over the pictures. Unlike cosines, it sees through networks whose embeddings all lie in about one direction. The same sound
runtimes have 0.015 at most."""


@dataclass(frozen=True, slots=True)
class Reference:
    """What is known of a published extractor."""

    similarities: NDArray[np.float64]
    """As `similarities` returns them, by the portable runtime; five decimals."""
    spread: float
    """Greatest difference from them that was measured with sound runtimes that round in other ways."""


@cache
def references() -> Mapping[str, Reference]:
    """Return what is known, by the SHA-256 of the extractor's file."""
    stored = json.loads(Path(__file__).with_name("references.json").read_text(encoding="utf-8"))
    if stored["pictures"] != test_pictures.VERSION:
        return {}
    return {
        sha256: Reference(np.array(entry["similarities"]), entry["spread"])
        for sha256, entry in stored["extractors"].items()
    }


def similarities(runtime: Runtime) -> NDArray[np.float32]:
    """Return the cosines of the test pictures' embeddings: of each pair, then of each with each drawn direction.

    Shape (pairs + pictures · directions,), −1 to 1. Raises SelfTestFailed where the embeddings are no usable ones.
    """
    return _similarities(_embed_pictures(runtime)).astype(np.float32)


def check(runtime: Runtime, model_sha256: str, against: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """Put a runtime to the test.

    Args:
        runtime: the one in question, loaded with the extractor.
        model_sha256: of the extractor's file, in hexadecimal digits.
        against: what `check` returned for another runtime with the same extractor.

    Returns:
        The test pictures' embeddings, shape (pictures, length), each of length 1.

    Raises SelfTestFailed where they are unusable, differ from the references for this extractor (if there are any) by more than
    the tolerance, or are not those that another runtime computed.

    """
    units = _embed_pictures(runtime)
    reference = references().get(model_sha256)
    if reference is not None:
        _compare_with_reference(runtime.family, units, reference)
    if against is not None:
        _compare_with_other(runtime.family, units, against)
    return units


def _embed_pictures(runtime: Runtime) -> NDArray[np.float64]:
    """Return the test pictures' unit embeddings; raises SelfTestFailed where there are no usable ones."""
    embeddings = []
    for name, pixels in zip(test_pictures.NAMES, test_pictures.pictures(runtime.input_size), strict=True):
        try:
            embedding = runtime.embed(pixels)
        except EmbeddingError as error:
            raise _failure(runtime.family, f"the test picture “{name}” could not be embedded: {error}") from error
        if embedding.shape != (runtime.length,):
            raise _failure(
                runtime.family, f"an embedding has the shape {embedding.shape}, not {runtime.length} numbers"
            )
        if not np.isfinite(embedding).all() or not embedding.any():
            raise _failure(runtime.family, f"the embedding of the test picture “{name}” holds no usable numbers")
        embeddings.append(embedding.astype(np.float64))
    if not np.ptp(embeddings, axis=0).any():
        raise _failure(runtime.family, "all test pictures have the same embedding")
    return np.array([embedding / np.linalg.norm(embedding) for embedding in embeddings])


def _similarities(units: NDArray[np.float64]) -> NDArray[np.float64]:
    pairs = (units @ units.T)[np.triu_indices(len(units), 1)]
    towards = units @ test_pictures.directions(units.shape[1]).T
    return np.concatenate((pairs, towards.reshape(-1)))


def _names() -> list[str]:
    """Name each similarity."""
    pairs = [
        f"the test pictures “{one}” and “{other}”" for one, other in itertools.combinations(test_pictures.NAMES, 2)
    ]
    towards = itertools.product(test_pictures.NAMES, range(1, test_pictures.DIRECTIONS + 1))
    return pairs + [f"the test picture “{name}” and direction {number}" for name, number in towards]


def _compare_with_reference(family: str, units: NDArray[np.float64], reference: Reference) -> None:
    found = _similarities(units)
    allowed = PORTABLE_TOLERANCE if family == "portable" else max(PORTABLE_TOLERANCE, ROOM * reference.spread)
    off = np.abs(found - reference.similarities)
    worst = int(off.argmax())
    if off[worst] > allowed:
        raise _failure(
            family,
            f"{_names()[worst]} have a similarity of {found[worst]:.4f} instead of {reference.similarities[worst]:.4f} "
            f"({allowed:.4f} more or less is allowed; {int((off > allowed).sum())} of {off.size} similarities are wrong)",
        )


def _compare_with_other(family: str, units: NDArray[np.float64], against: NDArray[np.float64]) -> None:
    if units.shape != against.shape:
        raise _failure(family, f"embeddings have {units.shape[1]} numbers, another runtime's {against.shape[1]}")
    cosines = (units * against).sum(axis=1)
    worst = int(cosines.argmin())
    if cosines[worst] < LEAST_COSINE:
        raise _failure(
            family,
            f"the embedding of the test picture “{test_pictures.NAMES[worst]}” has a similarity of {cosines[worst]:.4f} with "
            f"the one that another runtime computed ({LEAST_COSINE} is the least allowed)",
        )
    disagreement = ((units - against) ** 2).sum() / ((against - against.mean(axis=0)) ** 2).sum()
    if disagreement > MOST_DISAGREEMENT:
        raise _failure(
            family,
            f"the embeddings are {disagreement:.1%} off those that another runtime computed ({MOST_DISAGREEMENT:.1%} is "
            "the most allowed)",
        )


def _failure(family: str, reason: str) -> SelfTestFailed:
    return SelfTestFailed(f"The runtime {family} failed its self-test: {reason}", runtime=family, difference=reason)
