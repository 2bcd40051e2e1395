"""What heads are compared with, written out plainly from the published descriptions."""

from collections.abc import Sequence
import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from embedding.runtimes.runtime import Family, Runtime, open_runtime

Vectors = NDArray[np.float32]
Floats = NDArray[np.float64]

PENALTY = 1e-4
"""Of logistic regression: half of it times the squared weights is added to the mean loss. The best of 0.01, 0.001 and 0.0001
on the pictures at hand, so that the peer is as strong as it gets."""

_STEPS = 300
_VOTES = 4


def open_network(extractor: str, runtime: Family) -> Runtime:
    """Open an extractor's file for ``network_alone``."""
    return open_runtime(Path(extractor).read_bytes(), runtime)


def network_alone(runtime: Runtime, jpeg: bytes) -> Vectors:
    """Embed a picture as pycoral's imprinting example does: all of it, nearest-neighbour resize, the network, length 1."""
    with Image.open(io.BytesIO(jpeg)) as picture:
        pixels = np.asarray(picture.convert("RGB").resize(runtime.input_size, Image.Resampling.NEAREST))
    vector = runtime.embed(pixels)
    unit: Vectors = vector / max(float(np.linalg.norm(vector)), 1e-12)
    return unit


def mean_of_units(examples: Sequence[Vectors]) -> Floats:
    """Return weights, shape (C, d), as pycoral's ImprintingEngine learns them: normalised means of unit embeddings."""
    means = np.stack([rows.astype(np.float64).mean(axis=0) for rows in examples])
    weights: Floats = means / np.linalg.norm(means, axis=1, keepdims=True)
    return weights


def imprinted(examples: Sequence[Vectors], queries: Vectors) -> NDArray[np.intp]:
    """Answer by pycoral's weights: the class of each query."""
    answers: NDArray[np.intp] = (queries @ mean_of_units(examples).T).argmax(axis=1)
    return answers


def neighbours(examples: Sequence[Vectors], queries: Vectors) -> NDArray[np.intp]:
    """Answer by the 3 nearest examples (cosine): most votes, then the nearest."""
    column = np.repeat(np.arange(len(examples)), [len(rows) for rows in examples])
    similar = queries @ np.concatenate(examples).T
    nearest = column[np.argsort(-similar, axis=1, kind="stable")[:, :3]]
    return np.array([_most(votes) for votes in nearest.tolist()])


def voted(answers: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return what the last 4 of one class's answers say together, beginning at the fourth; of ties, what came first."""
    return np.array([_most(answers[end - _VOTES : end].tolist()) for end in range(_VOTES, len(answers) + 1)])


def logistic(examples: Sequence[Vectors], queries: Vectors) -> NDArray[np.intp]:
    """Answer by multinomial logistic regression: accelerated gradient descent (Nesterov, 1983) on centred embeddings."""
    rows = np.concatenate(examples).astype(np.float64)
    truth = np.repeat(np.arange(len(examples)), [len(part) for part in examples])
    centre = rows.mean(axis=0)
    # Fewer examples than directions: weights are sums of examples, found in coordinates of what these span.
    axes = np.linalg.qr((rows - centre).T)[0]
    flat = np.column_stack([(rows - centre) @ axes, np.full(len(rows), 0.5)])
    penalty = np.full((flat.shape[1], 1), PENALTY)
    penalty[-1] = 0
    targets = np.eye(len(examples))[truth]
    step = 1 / (0.5 * np.linalg.norm(flat, 2) ** 2 / len(rows) + PENALTY)
    weights = ahead = np.zeros((flat.shape[1], len(examples)))
    pace = 1.0
    for _ in range(_STEPS):
        logits = flat @ ahead
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        wrong = odds / odds.sum(axis=1, keepdims=True) - targets
        after = ahead - step * (flat.T @ wrong / len(rows) + penalty * ahead)
        quicker = (1 + np.sqrt(1 + 4 * pace**2)) / 2
        ahead = after + (pace - 1) / quicker * (after - weights)
        weights, pace = after, quicker
    asked = np.column_stack([(queries - centre) @ axes, np.full(len(queries), 0.5)])
    answers: NDArray[np.intp] = (asked @ weights).argmax(axis=1)
    return answers


def _most(votes: Sequence[int]) -> int:
    return max(votes, key=votes.count)
