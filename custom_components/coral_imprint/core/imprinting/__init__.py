"""Vectors to classes: examples on disk, imprinted weights, decisions. Knows nothing of Home Assistant."""

from .decision.decision import Decision, Finding, Limits, Rules, Verdict
from .decision.plausibility import Bank, Plausibility, fit_plausibility, make_bank
from .decision.thresholds import Budget, Doubt, Thresholds, outcomes, thresholds, with_thresholds
from .decision.uncertainty import Uncertainty
from .derived.embeddings import EmbeddingCache
from .derived.erasing import erase_example
from .derived.fingerprints import EmbeddingFingerprints, InUse
from .derived.head_versions import HeadVersions, Version
from .derived.known_classes import Known, extended, load as load_known, save as save_known
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
from .examples.archive import LARGEST_PICTURE_FILE, Archive, ArchiveLimits, Skipped, Written, write_archive
from .examples.bin import bin_whole, purge
from .examples.importing import Importing, ImportReport
from .examples.index import ExampleIndex
from .examples.journal import Change
from .examples.names import check_labels
from .examples.records import Example, LearnedClass, Report
from .examples.store import ExampleStore
from .heads import Head, Imprint, Imprinter, Scores, fit
from .heads.calibration import hold_out
from .heads.cross_validation import Embeddings, Groups, Judge, Rule, Trial, Validation, cross_validate, occasions
from .heads.layer import Layer, as_layer, expected_accuracy
from .heads.selection import KINDS, Chosen, choose, fit_kind
from .report.estimates import Estimate
from .report.extractor_choice import Advice, Candidate, advise
from .report.outliers import Cluster, Odd
from .report.remarks import Remark
from .report.report import Evaluation, evaluate
from .report.review import to_review
from .training_set import TrainingSet, by_class

__all__ = [
    "KINDS",
    "LARGEST_PICTURE_FILE",
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
    "EmbeddingFingerprints",
    "Embeddings",
    "Estimate",
    "Evaluation",
    "Example",
    "ExampleIndex",
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
    "TrainingSet",
    "Trial",
    "Uncertainty",
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
    "bin_whole",
    "by_class",
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
    "with_thresholds",
    "write_archive",
]
