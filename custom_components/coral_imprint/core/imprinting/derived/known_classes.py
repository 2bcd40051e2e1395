"""Classes that are known without any example: from a network's own classes, or from an exported file.

What stands for such a class is a direction: a unit vector in the network's part of the embedding. It is kept beside the examples, and
is put among the imprinted weights (Qi, Brown and Lowe, arXiv 1712.07136, section 3.1) each time these are learned.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
import json
import math
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..errors import UnusableHead
from ..examples import atomic
from ..heads.base import frozen
from ..heads.imprint import Imprint
from ..heads.scale import scale_of_prototypes

FILE: Final = ".known.json"
DAMAGED: Final = ".known.damaged.json"

_VERSION: Final = 1
_LARGEST: Final = 1 << 26
"""Bytes that the file may have."""

MOST_GONE: Final = 200
"""Classes that aren't there any more and are remembered all the same, for undo, which goes back as far."""

COLUMN_SCALE: Final = 30.0
"""Factor on the logits of a head with classes that are known by their columns alone. Their pictures have no say in the scale: of
10 to 100, this is near the best likelihood for most mixtures of 1 to 3 such classes with 0 to 3 of 1 or 5 examples, on photographs of
fruit and vegetables and of cats, dogs and hot dogs, v1 0.25 and 0.5 with layout; worst where no class has examples (0.46 against 0.36)."""


@dataclass(frozen=True, eq=False)
class Known:
    """What is known of one class without examples."""

    names: tuple[str, ...]
    """Its name in the list that it comes from; several that are taken together, such as all breeds for "dog"."""

    imported: bool
    """Whether it is an imprinted weight from an exported file; else it is a column of a network's last layer."""

    directions: Mapping[str, NDArray[np.float32]]
    """By the extractor's identity: a unit vector, shape (d,), float32, in the network's part of its embeddings."""


def load(folder: Path) -> tuple[dict[str, Known], bool]:
    """Return what is known by class id, and whether the file was damaged and set aside. Raises StoreFailed."""
    path = folder / FILE
    if not any(found == path for found, _ in atomic.files(folder)):
        return {}, False
    try:
        return _unpacked(atomic.read(path, _LARGEST)), False
    except UnusableHead:
        atomic.move(path, folder / DAMAGED)
        return {}, True


def save(folder: Path, known: Mapping[str, Known], classes: Sequence[str]) -> None:
    """Keep what is known by class id, in the order in which it became known; on disk when it returns.

    Of classes that are not among ``classes``, the last MOST_GONE are kept. Raises StoreFailed.
    """
    gone = [class_id for class_id in known if class_id not in classes]
    dropped = set(gone[: max(0, len(gone) - MOST_GONE)])
    kept = {class_id: _packed(one) for class_id, one in known.items() if class_id not in dropped}
    atomic.write(folder / FILE, json.dumps({"version": _VERSION, "classes": kept}).encode())


def extended(head: Imprint, weights: Mapping[str, NDArray[np.float32]], columns: frozenset[str]) -> Imprint:
    """Return an imprint with weights of known classes: in place of its own, and behind them those of classes without examples.

    Args:
        head: imprinted from the classes that have examples; of the kind imprint. Of no class at all where there is none.
        weights: by class id, shape (d,) float32, of any length but 0: w in the score w·x of a unit embedding x.
        columns: those of ``weights`` that are columns of a network, and not imprinted weights.

    Raises ValueError for weights that have no direction or don't fit the head.

    """
    if not weights:
        return head
    own: dict[str, NDArray[np.float32]] = dict(zip(head.classes, head.prototypes * head.gains[:, None], strict=True))
    merged = own | dict(weights)
    classes = tuple(merged)
    rows = np.stack(list(merged.values())).astype(np.float64)
    lengths = np.linalg.norm(rows, axis=1)
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        raise ValueError("a known class without a direction")
    prototypes = rows / lengths[:, None]
    scale = head.scale
    if columns & (merged.keys() - own.keys()):
        scale = COLUMN_SCALE
    elif len(own) < 2 <= len(classes):
        scale = scale_of_prototypes(prototypes)
    starts = np.arange(len(classes), dtype=np.int32)
    starts.flags.writeable = False
    return Imprint("imprint", classes, scale, frozen(prototypes), frozen(lengths), starts)


def _packed(known: Known) -> dict[str, Any]:
    return {
        "names": known.names,
        "imported": known.imported,
        "directions": {
            extractor: base64.b64encode(direction.astype("<f4").tobytes()).decode()
            for extractor, direction in known.directions.items()
        },
    }


def _unpacked(data: bytes) -> dict[str, Known]:
    """Return what ``save`` wrote. Raises UnusableHead where the bytes are something else."""
    try:
        content: Any = json.loads(data)
        if content["version"] != _VERSION:
            raise UnusableHead(f"version {content['version']} of the format is unknown")
        return {
            str(class_id): Known(
                tuple(str(name) for name in one["names"]),
                bool(one["imported"]),
                {str(extractor): _direction(text) for extractor, text in one["directions"].items()},
            )
            for class_id, one in content["classes"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, binascii.Error) as err:
        raise UnusableHead("what is known can't be read") from err


def _direction(text: str) -> NDArray[np.float32]:
    """Return a unit vector. Raises ValueError where it is none."""
    direction = np.frombuffer(base64.b64decode(text, validate=True), "<f4").astype(np.float32)
    length = float(np.linalg.norm(direction.astype(np.float64)))
    if not math.isclose(length, 1, abs_tol=1e-3):
        raise ValueError("a direction of another length than 1")
    direction.flags.writeable = False
    return direction
