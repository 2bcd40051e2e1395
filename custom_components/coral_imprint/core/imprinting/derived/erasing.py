"""Erasing an example for good: its picture, and what was made from it."""

from collections.abc import Collection

from ..examples.store import ExampleStore
from .embeddings import EmbeddingCache
from .fingerprints import EmbeddingFingerprints
from .head_versions import HeadVersions


def erase_example(
    example_id: str,
    *,
    store: ExampleStore,
    fingerprints: EmbeddingFingerprints,
    opened: Collection[EmbeddingCache],
    versions: HeadVersions,
) -> int:
    """Leave nothing of an example in a classifier's folder; return how many files of pictures that were.

    Its picture goes out of its class, the bin and what was set aside, what it was converted from included; so do its
    embedding, under every fingerprint, the versions of the head that it went into, and every change that would bring it
    back. A head that is fitted afterwards is the one of a classifier that never had it. Can't be undone. ``opened`` are
    all of the caches that are open.

    For the owner of all four, as only the owner knows that nothing is being embedded meanwhile. The picture and its
    changes go last: after a crash or a refusal the example is either still known, and doing it again finishes it, or
    nothing is left of it. Raises UnknownExample where there is nothing, StoreFailed.
    """
    store.traces(example_id)
    # By what is left, not by the example's own key: files that were touched since had another one.
    left = {example.key for example in store.examples() if example.id != example_id}
    fingerprints.forget(all_but=left, opened=opened)
    versions.forget([example_id])
    return store.erase_example(example_id)
