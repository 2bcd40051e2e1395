"""Vectors to classes: examples on disk, imprinted weights, decisions. Knows nothing of Home Assistant."""

from .bin import bin_whole, purge
from .cache import EmbeddingCache
from .decision import Decision, Rules, Verdict
from .errors import (
    ClassExists,
    ImprintingError,
    InvalidLabel,
    StoreFailed,
    UnknownClass,
    UnknownExample,
    UnreadablePicture,
    UnusableHead,
)
from .head import Head, Scores, fit
from .names import check_labels
from .records import Example, LearnedClass, Report
from .store import ExampleStore

__all__ = [
    "ClassExists",
    "Decision",
    "EmbeddingCache",
    "Example",
    "ExampleStore",
    "Head",
    "ImprintingError",
    "InvalidLabel",
    "LearnedClass",
    "Report",
    "Rules",
    "Scores",
    "StoreFailed",
    "UnknownClass",
    "UnknownExample",
    "UnreadablePicture",
    "UnusableHead",
    "Verdict",
    "bin_whole",
    "check_labels",
    "fit",
    "purge",
]
