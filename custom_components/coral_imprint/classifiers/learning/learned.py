"""What a classifier has learned, as looks use it; and how far its examples are embedded."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ...core.imprinting import Head, Plausibility, Thresholds
from ...extractors.lens import Lens


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the examples are embedded for the lens that is to be used next."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Learned:
    """What looks are answered by; never changes."""

    lens: Lens
    """What looks go through."""
    head: Head | None = None
    """None while no example is embedded."""
    plausibility: Plausibility | None = None
    """What a look has to be near to. None while the bank isn't ready, where nothing is to be rejected, and for the built-in
    extractor, whose embeddings don't tell foreign pictures well enough."""
    thresholds: Mapping[str, Thresholds] = field(default_factory=dict)
    """By class id, for the budget of false alarms; empty without one, and until they are learned."""
    restored: int | None = None
    """The version that the user restored; None where the examples answer."""
