"""Heads: what is learned from the examples, by whichever kind, and what it says about a look. One kind per file."""

from .base import Head, Scores
from .cosine import fit_cosine
from .imprint import Imprint
from .imprinter import Imprinter, fit
from .lda import fit_lda
from .linear import Linear
from .modes import fit_modes
from .neighbours import Neighbours, fit_neighbours
from .ridge import fit_ridge

__all__ = [
    "Head",
    "Imprint",
    "Imprinter",
    "Linear",
    "Neighbours",
    "Scores",
    "fit",
    "fit_cosine",
    "fit_lda",
    "fit_modes",
    "fit_neighbours",
    "fit_ridge",
]
