"""Versions of one classifier's head on disk: a disk or file that refuses only costs the version. Blocking."""

import logging

from ...core.imprinting import Head, HeadVersions, StoreFailed, TrainingSet, UnusableHead, Version
from .learned import Learned

_LOGGER = logging.getLogger(__name__)


def load_head(versions: HeadVersions, version: Version | None, fingerprint: str, name: str) -> Head | None:
    """Return the head of a version; None where there is none, or it doesn't fit any more. ``name`` is the classifier's."""
    if version is None:
        return None
    try:
        return Head.load(versions.read(version.number), fingerprint)
    except (UnusableHead, StoreFailed) as err:
        _LOGGER.warning("%s: a version of the head can't be used: %s", name, err)
        return None


def keep_head(versions: HeadVersions, learned: Learned, *, rows: TrainingSet, taught: str, why: str, name: str) -> None:
    """Keep a head as the version that answers from now on; ``rows`` is what it was learned from."""
    head = learned.head
    assert head
    try:
        versions.keep(
            head.save(learned.lens.fingerprint),
            taught=taught,
            why=why,
            kind=head.kind,
            counts={class_id: len(own) for class_id, own in rows.vectors.items()},
            examples=[example_id for own in rows.ids.values() for example_id in own],
        )
    except StoreFailed as err:
        _LOGGER.warning("%s: the version could not be kept: %s", name, err)
