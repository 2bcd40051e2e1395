"""Which examples to look at again: cheap enough to be worked out whenever something was taught."""

from collections.abc import Mapping, Sequence

from ..heads import fit as imprint
from ..heads.cross_validation import Embeddings, Fit, Groups, cross_validate
from .outliers import Odd, odd_ones

MOST = 1000
"""Examples that are judged, at most; of more, the latest of each class in equal parts. The slowest kinds of head take some two
seconds for so many."""


def to_review(
    embeddings: Embeddings,
    groups: Groups,
    ids: Mapping[str, Sequence[str]],
    *,
    fit: Fit = imprint,
    most: int = MOST,
) -> tuple[Odd, ...]:
    """Return the examples that the others speak against, the surest first.

    ``embeddings`` by class id, shape (n, d), n >= 1, in the order of capture; ``groups`` and ``ids`` are the occasion and the
    name of each row. Of less than two classes nothing can be said. Raises ValueError on groups that don't match, and what ``fit``
    raises.
    """
    part = max(1, most // max(1, len(embeddings)))
    rows = {name: own[-part:] for name, own in embeddings.items()}
    occasions = {name: own[-part:] for name, own in groups.items()}
    validation = cross_validate(rows, occasions, fit)
    if validation is None:
        return ()
    return odd_ones(rows, occasions, validation, {name: own[-part:] for name, own in ids.items()})
