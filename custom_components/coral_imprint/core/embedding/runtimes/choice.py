"""The choice of a runtime: the first that takes the extractor and passes its self-test."""

from collections.abc import Sequence
from dataclasses import dataclass
import hashlib
import logging
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..errors import EmbeddingError, RuntimeUnavailable, SelfTestFailed
from ..network.model import Model, read_model
from . import litert
from .litert import LiteRTRuntime
from .portable import PortableRuntime
from .proofs import Proof
from .runtime import Family, Runtime, RuntimeChoice
from .selftest import check

_LOGGER = logging.getLogger(__name__)

REASONS: Final = (
    "builtin",  # there is no network to execute
    "chosen",  # the user fixed it
    "automatic",  # the best one here
    "litert_missing",  # portable, since LiteRT is not installed, though it could be
    "litert_no_wheel",  # portable, since LiteRT can't be installed here
    "litert_broken",  # portable, since LiteRT is installed, but can't be imported
    "litert_refused",  # portable, since LiteRT does not take the extractor
    "litert_failed",  # portable, since LiteRT failed its self-test
)
"""Why a runtime was chosen."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A runtime that was tried and is not used."""

    family: Family
    error: EmbeddingError


@dataclass(frozen=True, slots=True)
class Choice:
    """How a runtime came to be used."""

    reason: str
    """One of REASONS."""
    rejected: tuple[Rejected, ...] = ()
    """What was tried before, in order."""


def choose_runtime(
    data: bytes, runtime: RuntimeChoice = "auto", threads: int = 1, *, strict: bool = False, proofs: Path | None = None
) -> tuple[Runtime, Choice]:
    """Load an extractor into the first runtime that takes it and passes its self-test. Blocking.

    Args:
        data: a TFLite file.
        runtime: which one to try first. "auto" tries LiteRT where it is installed.
        threads: what a frame may use, at least 1.
        strict: a runtime that the user fixed and that can't be used is an error; otherwise the other one is tried.
        proofs: a folder for notes that LiteRT agreed with the portable runtime, which are compared once; every time without.

    Raises `ModelError`'s kinds for files that no runtime takes, RuntimeUnavailable where LiteRT can't be imported, SelfTestFailed;
    where several runtimes were tried, what the last one raised.

    """
    if threads < 1:
        raise ValueError("A runtime needs at least one thread")
    trial = _Attempt(data, read_model(data), threads, proofs)
    rejected: list[Rejected] = []
    for family in _candidates(runtime, strict=strict):
        try:
            opened = trial.open(family)
        except EmbeddingError as error:
            _LOGGER.debug("The runtime %s is not used: %s", family, error)
            rejected.append(Rejected(family, _bare(error)))
        else:
            return opened, Choice(_reason(runtime, family, rejected), tuple(rejected))
    raise rejected[-1].error


def _candidates(runtime: RuntimeChoice, *, strict: bool) -> Sequence[Family]:
    """Return what to try, in order."""
    if strict and runtime != "auto":
        return (runtime,)
    if runtime == "litert":
        return "litert", "portable"
    if not litert.available():
        return ("portable",)
    return ("portable", "litert") if runtime == "portable" else ("litert", "portable")


def _bare(error: EmbeddingError) -> EmbeddingError:
    """Return an error without what led to it: tracebacks would keep the file and the network in memory."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


def _reason(runtime: RuntimeChoice, family: Family, rejected: Sequence[Rejected]) -> str:
    if family == runtime:
        return "chosen"
    if family == "litert":
        return "automatic"
    if not litert.available():
        return "litert_missing" if litert.installable() else "litert_no_wheel"
    error = rejected[-1].error
    if isinstance(error, RuntimeUnavailable):
        return "litert_broken"
    return "litert_failed" if isinstance(error, SelfTestFailed) else "litert_refused"


class _Attempt:
    """Opens and tests the runtimes for one extractor."""

    def __init__(self, data: bytes, model: Model, threads: int, proofs: Path | None) -> None:
        """Take the file and what was read from it."""
        self._data = data
        self._model = model
        self._sha256 = hashlib.sha256(data).hexdigest()
        self._threads = threads
        self._proofs = proofs

    def open(self, family: Family) -> Runtime:
        """Return a runtime that passed; raises what is wrong with it."""
        return self._open_litert() if family == "litert" else self._open_portable()[0]

    def _open_portable(self) -> tuple[Runtime, NDArray[np.float64]]:
        """Return the portable runtime and its embeddings of the test pictures."""
        runtime = PortableRuntime(self._model, self._threads)
        try:
            return runtime, check(runtime, self._sha256)
        except SelfTestFailed:
            runtime.close()
            raise

    def _open_litert(self) -> Runtime:
        runtime = LiteRTRuntime(self._model, self._threads)
        try:
            self._check_litert(runtime)
        except SelfTestFailed:
            runtime.close()
            raise
        return runtime

    def _check_litert(self, runtime: LiteRTRuntime) -> None:
        """Test LiteRT, and compare it with the portable runtime unless that was done before."""
        proof = Proof.here(self._sha256, runtime.version)
        if self._proofs and proof.noted(self._proofs):
            check(runtime, self._sha256)
            return
        try:
            yardstick, expected = self._open_portable()
        except EmbeddingError as error:
            # It may lack an operator that LiteRT has; what is wrong with it is no fault of LiteRT's.
            _LOGGER.debug("LiteRT can't be compared with the portable runtime: %s", error)
            check(runtime, self._sha256)
            return
        yardstick.close()
        check(runtime, self._sha256, expected)
        if self._proofs:
            proof.note(self._proofs)
