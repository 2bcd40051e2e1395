"""Picture → unit vector. Knows nothing of Home Assistant."""

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
    UnknownNetworkClass,
    UnsupportedModel,
    UnsupportedOperator,
    WrongContent,
    WrongLabels,
)
from .export.classes import NetworkClasses, network_classes
from .export.columns import LARGEST_LABELS, known_weight, refined_weight
from .export.exporting import export_model, labels_text
from .export.network_part import foreign_emphasis, joined_weight, network_length, network_part, same_extractor
from .export.trial import exported_answers, layer_answers
from .interface import PictureEmbedder
from .pictures.background import Background, BackgroundPlace, Sighting, edges, learn as learn_background
from .pictures.clutter import VERSION as CLUTTER_VERSION, encoded as drawn_clutter
from .pictures.condition import Condition, measure_picture
from .pictures.decoding import WHOLE, Region, check_picture, to_jpeg
from .pictures.thumbnail import change as thumbnail_change, thumbnail
from .preparation import FrameTimes, Seen, Wanted
from .published.catalogue import CATALOGUE, DEFAULT, LARGEST_MODEL, Extractor, PublishedFile, find as find_file
from .published.download import Partial
from .runtimes.choice import Choice, Rejected
from .runtimes.litert import (
    REQUIREMENT as LITERT_REQUIREMENT,
    available as litert_available,
    installable as litert_installable,
)
from .runtimes.runtime import RuntimeChoice

__all__ = [
    "BUILTIN",
    "CATALOGUE",
    "CLUTTER_VERSION",
    "DEFAULT",
    "LARGEST_LABELS",
    "LARGEST_MODEL",
    "LITERT_REQUIREMENT",
    "WHOLE",
    "Background",
    "BackgroundPlace",
    "Choice",
    "Condition",
    "CorruptModel",
    "DownloadError",
    "DownloadNotStored",
    "Embedder",
    "EmbeddingError",
    "Extractor",
    "FrameTimes",
    "InvalidRegion",
    "ModelError",
    "NetworkClasses",
    "NotAPicture",
    "Partial",
    "PictureEmbedder",
    "PublishedFile",
    "Region",
    "Rejected",
    "RuntimeChoice",
    "RuntimeUnavailable",
    "Seen",
    "SelfTestFailed",
    "Sighting",
    "UnknownNetworkClass",
    "UnsupportedModel",
    "UnsupportedOperator",
    "Wanted",
    "WrongContent",
    "WrongLabels",
    "check_picture",
    "drawn_clutter",
    "edges",
    "export_model",
    "exported_answers",
    "find_file",
    "foreign_emphasis",
    "joined_weight",
    "known_weight",
    "labels_text",
    "layer_answers",
    "learn_background",
    "litert_available",
    "litert_installable",
    "measure_picture",
    "network_classes",
    "network_length",
    "network_part",
    "open_embedder",
    "refined_weight",
    "same_extractor",
    "thumbnail",
    "thumbnail_change",
    "to_jpeg",
]
