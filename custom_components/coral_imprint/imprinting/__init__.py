"""Vectors to classes: examples on disk, imprinted weights, decisions. Knows nothing of Home Assistant."""

from .advice import Advice, Candidate, advise
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
from .evaluation import Trial, Validation, cross_validate, occasions
from .head import Head, Scores, fit
from .names import check_labels
from .records import Example, LearnedClass, Report
from .shelf import EmbeddingShelf, InUse
from .store import ExampleStore

__all__ = [
    "Advice",
    "Candidate",
    "ClassExists",
    "Decision",
    "EmbeddingCache",
    "EmbeddingShelf",
    "Example",
    "ExampleStore",
    "Head",
    "ImprintingError",
    "InUse",
    "InvalidLabel",
    "LearnedClass",
    "Report",
    "Rules",
    "Scores",
    "StoreFailed",
    "Trial",
    "UnknownClass",
    "UnknownExample",
    "UnreadablePicture",
    "UnusableHead",
    "Validation",
    "Verdict",
    "advise",
    "bin_whole",
    "check_labels",
    "cross_validate",
    "fit",
    "occasions",
    "purge",
]
