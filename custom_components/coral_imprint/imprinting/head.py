"""Heads: what is learned from the examples, by whichever kind, and what it says about a look."""

from .heads.base import Head, Scores
from .heads.cosine import fit_cosine
from .heads.imprint import Imprint
from .heads.imprinter import Imprinter, fit
from .heads.lda import fit_lda
from .heads.linear import Linear
from .heads.modes import fit_modes
from .heads.neighbours import Neighbours, fit_neighbours
from .heads.ridge import fit_ridge

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
