"""Picture → unit vector. Knows nothing of Home Assistant."""

from .catalogue import CATALOGUE, DEFAULT, Extractor, PublishedFile, find as find_file
from .choice import Choice, Rejected
from .clutter import VERSION as CLUTTER_VERSION, encoded as drawn_clutter
from .download import Partial
from .embedder import BUILTIN, Embedder, open_embedder
from .errors import (
    CorruptModel,
    DownloadError,
    DownloadNotStored,
    EmbeddingError,
    InvalidRegion,
    ModelError,
    NotAPicture,
    RuntimeUnavailable,
    SelfTestFailed,
    UnsupportedModel,
    UnsupportedOperator,
    WrongContent,
)
from .frame import WHOLE, Region, check_picture, to_jpeg
from .litert import REQUIREMENT as LITERT_REQUIREMENT, available as litert_available, installable as litert_installable
from .runtime import RuntimeChoice

__all__ = [
    "BUILTIN",
    "CATALOGUE",
    "CLUTTER_VERSION",
    "DEFAULT",
    "LITERT_REQUIREMENT",
    "WHOLE",
    "Choice",
    "CorruptModel",
    "DownloadError",
    "DownloadNotStored",
    "Embedder",
    "EmbeddingError",
    "Extractor",
    "InvalidRegion",
    "ModelError",
    "NotAPicture",
    "Partial",
    "PublishedFile",
    "Region",
    "Rejected",
    "RuntimeChoice",
    "RuntimeUnavailable",
    "SelfTestFailed",
    "UnsupportedModel",
    "UnsupportedOperator",
    "WrongContent",
    "check_picture",
    "drawn_clutter",
    "find_file",
    "litert_available",
    "litert_installable",
    "open_embedder",
    "to_jpeg",
]
