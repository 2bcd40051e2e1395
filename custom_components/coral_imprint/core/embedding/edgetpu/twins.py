"""Whether a device and its twin on the CPU compute the same: both embed the pictures of the self-test, and the cosines decide.

The two execute the same weights, but round in different places. What that may cost where their embeddings meet was measured by
turning the network's part of real pictures' embeddings at random (`SHARED_MEAN`).
"""

import asyncio
from dataclasses import dataclass
import hashlib
import json
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..errors import SelfTestFailed
from ..notes import read_note, write_note
from ..pictures import test_pictures
from .fallback import Embeds

SHARED_MEAN: Final = 0.99
"""Mean cosine from which embeddings may meet. At 0.99, a picture's similarity with its own class falls by 0.006, a sixth of how far
such similarities are apart (standard deviation), and five-shot accuracy by 0.4 points at most; at 0.96, by 0.024 and by up to 1.2
points, which is more than the thresholds were set for (three sets of pictures, MobileNet v1 1.0 and 0.5)."""

SHARED_LEAST: Final = 0.98
"""No single test picture may be below it: a fall of 0.012, a third of the spread. TFLite's own kernels have 0.9895 among each other."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """How alike two embedders are."""

    cosines: tuple[float, ...]
    """Of the embeddings of each test picture, in the order of `test_pictures.NAMES`, −1 to 1."""

    @property
    def least(self) -> float:
        """The smallest cosine."""
        return min(self.cosines)

    @property
    def mean(self) -> float:
        """The cosines' mean."""
        return sum(self.cosines) / len(self.cosines)

    @property
    def may_share(self) -> bool:
        """Whether embeddings of the two may have the same fingerprint; otherwise they must never meet."""
        return self.mean >= SHARED_MEAN and self.least >= SHARED_LEAST

    def as_dict(self) -> dict[str, Any]:
        """Return what diagnostics show."""
        return {
            "pictures": test_pictures.VERSION,
            "cosines": {name: round(cosine, 5) for name, cosine in zip(test_pictures.NAMES, self.cosines, strict=True)},
            "least": round(self.least, 5),
            "mean": round(self.mean, 5),
            "may_share": self.may_share,
            "limits": {"least": SHARED_LEAST, "mean": SHARED_MEAN},
        }


@dataclass(frozen=True, slots=True)
class Pair:
    """All that a likeness depends on."""

    compiled_sha256: str
    twin_sha256: str
    runtime: str
    """The twin's family."""

    def _path(self, folder: Path) -> Path:
        text = "/".join((self.compiled_sha256, self.twin_sha256, self.runtime, str(test_pictures.VERSION)))
        return folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.likeness.json"

    def noted(self, folder: Path) -> Likeness | None:
        """Return what was noted; None where nothing was, or nothing that can be read. Blocking."""
        try:
            cosines = json.loads(read_note(self._path(folder)) or b"null")
        except ValueError:
            return None
        if not isinstance(cosines, list) or len(cosines) != len(test_pictures.NAMES):
            return None
        if not all(isinstance(cosine, float) and -1 <= cosine <= 1 for cosine in cosines):
            return None
        return Likeness(tuple(cosines))

    def note(self, folder: Path, likeness: Likeness) -> None:
        """Note a likeness. Where that fails, the two are compared again. Blocking."""
        write_note(self._path(folder), json.dumps(likeness.cosines).encode())


async def compare(one: Embeds, other: Embeds, size: tuple[int, int]) -> Likeness:
    """Embed the test pictures with both, which take pictures of ``size`` (width, height).

    Raises what they raise, and SelfTestFailed where an embedding is no usable one or the two have different lengths.
    """
    pictures = await asyncio.get_running_loop().run_in_executor(None, test_pictures.pictures, size)
    cosines = []
    for name, pixels in zip(test_pictures.NAMES, pictures, strict=True):
        cosines.append(_cosine(name, await one.embed(pixels), await other.embed(pixels)))
    return Likeness(tuple(cosines))


def _cosine(name: str, one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    if one.shape != other.shape:
        raise _failure(f"embeddings have {one.size} and {other.size} numbers")
    pair = np.stack((one, other)).astype(np.float64)
    norms = np.linalg.norm(pair, axis=1)
    if not (np.isfinite(norms).all() and norms.all()):
        raise _failure(f"an embedding of the test picture “{name}” holds no usable numbers")
    return float(np.clip(pair[0] @ pair[1] / norms.prod(), -1.0, 1.0))


def _failure(reason: str) -> SelfTestFailed:
    return SelfTestFailed(f"The Edge TPU and the CPU can't be compared: {reason}", runtime="edgetpu", difference=reason)
