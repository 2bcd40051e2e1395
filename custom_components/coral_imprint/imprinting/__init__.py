"""Vectors to classes: examples on disk, imprinted weights, decisions. Knows nothing of Home Assistant."""

from .advice import Advice, Candidate, advise
from .archive import Archive, Limits as ArchiveLimits, Skipped, Written, write_archive
from .bin import bin_whole, purge
from .budget import Budget, Doubt, Thresholds, as_rules, outcomes, thresholds
from .cache import EmbeddingCache
from .calibration import hold_out
from .choosing import KINDS, Chosen, choose, fit_kind
from .decision import Decision, Finding, Limits, Rules, Verdict
from .erasing import erase_example
from .errors import (
    ClassExists,
    ImprintingError,
    InvalidLabel,
    NothingToRedo,
    NothingToUndo,
    StoreFailed,
    UndoImpossible,
    UnknownClass,
    UnknownExample,
    UnknownVersion,
    UnreadablePicture,
    UnusableArchive,
    UnusableHead,
)
from .evaluation import Embeddings, Groups, Judge, Rule, Trial, Validation, cross_validate, occasions
from .head import Head, Imprint, Imprinter, Scores, fit
from .importing import Importing, ImportReport
from .journal import Change
from .known import Known, extended, load as load_known, save as save_known
from .layer import Layer, as_layer, expected_accuracy
from .names import check_labels
from .outliers import Cluster, Odd
from .plausibility import Bank, Plausibility, fit_plausibility, make_bank
from .prediction import Estimate
from .records import Example, LearnedClass, Report
from .report import Evaluation, evaluate
from .review import to_review
from .shelf import EmbeddingShelf, InUse
from .store import ExampleStore
from .versions import HeadVersions, Version
from .wording import Remark

__all__ = [
    "KINDS",
    "Advice",
    "Archive",
    "ArchiveLimits",
    "Bank",
    "Budget",
    "Candidate",
    "Change",
    "Chosen",
    "ClassExists",
    "Cluster",
    "Decision",
    "Doubt",
    "EmbeddingCache",
    "EmbeddingShelf",
    "Embeddings",
    "Estimate",
    "Evaluation",
    "Example",
    "ExampleStore",
    "Finding",
    "Groups",
    "Head",
    "HeadVersions",
    "ImportReport",
    "Importing",
    "Imprint",
    "Imprinter",
    "ImprintingError",
    "InUse",
    "InvalidLabel",
    "Judge",
    "Known",
    "Layer",
    "LearnedClass",
    "Limits",
    "NothingToRedo",
    "NothingToUndo",
    "Odd",
    "Plausibility",
    "Remark",
    "Report",
    "Rule",
    "Rules",
    "Scores",
    "Skipped",
    "StoreFailed",
    "Thresholds",
    "Trial",
    "UndoImpossible",
    "UnknownClass",
    "UnknownExample",
    "UnknownVersion",
    "UnreadablePicture",
    "UnusableArchive",
    "UnusableHead",
    "Validation",
    "Verdict",
    "Version",
    "Written",
    "advise",
    "as_layer",
    "as_rules",
    "bin_whole",
    "check_labels",
    "choose",
    "cross_validate",
    "erase_example",
    "evaluate",
    "expected_accuracy",
    "extended",
    "fit",
    "fit_kind",
    "fit_plausibility",
    "hold_out",
    "load_known",
    "make_bank",
    "occasions",
    "outcomes",
    "purge",
    "save_known",
    "thresholds",
    "to_review",
    "write_archive",
]
