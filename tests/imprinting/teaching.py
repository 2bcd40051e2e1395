"""A classifier that has been taught, with stand-ins for embeddings, for the tests of taking back."""

from collections.abc import Callable
import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imprinting import EmbeddingCache, ExampleStore, fit_kind
from tests.imprinting.fakes import Clock, jpeg, new_store

LENGTH = 12

Action = Callable[[ExampleStore], object]


def embedding(picture: bytes) -> NDArray[np.float32]:
    """Return a stand-in for a picture's embedding: a unit vector that its content decides."""
    seed = int.from_bytes(hashlib.sha256(picture).digest()[:8], "big")
    vector = np.random.default_rng(seed).random(LENGTH)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def head_of(store: ExampleStore, cache: EmbeddingCache, kind: str = "imprint") -> bytes:
    """Return the head of a store's examples, embeddings from the cache where it has them, as it is packed."""
    by_class: dict[str, list[NDArray[np.float32]]] = {}
    for example in store.examples():
        vector = cache.get(example.key)
        if vector is None:
            vector = embedding(store.read(example))
            cache.put(example.key, vector)
        by_class.setdefault(example.class_id, []).append(vector)
    return fit_kind(kind, {class_id: np.stack(vectors) for class_id, vectors in by_class.items()}).save("f")


def taught_store(root: Path, clock: Clock | None = None) -> ExampleStore:
    """Return a store with two classes, one of three examples, one of one."""
    store = new_store(root, clock)
    store.load()
    opened, closed = store.add_class("open"), store.add_class("closed")
    for number in range(3):
        store.add_example(opened.id, jpeg(f"open {number}"))
    store.add_example(closed.id, jpeg("closed"))
    return store
