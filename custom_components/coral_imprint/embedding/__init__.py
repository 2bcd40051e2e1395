"""Picture → unit vector. Knows nothing of Home Assistant."""

from .embedder import BUILTIN, Embedder, open_embedder
from .errors import (
    CorruptModel,
    EmbeddingError,
    InvalidRegion,
    ModelError,
    NotAPicture,
    RuntimeUnavailable,
    UnsupportedModel,
    UnsupportedOperator,
)
from .frame import WHOLE, Region, check_picture, to_jpeg
from .litert import available as litert_available
from .runtime import RuntimeChoice

__all__ = [
    "BUILTIN",
    "WHOLE",
    "CorruptModel",
    "Embedder",
    "EmbeddingError",
    "InvalidRegion",
    "ModelError",
    "NotAPicture",
    "Region",
    "RuntimeChoice",
    "RuntimeUnavailable",
    "UnsupportedModel",
    "UnsupportedOperator",
    "check_picture",
    "litert_available",
    "open_embedder",
    "to_jpeg",
]
