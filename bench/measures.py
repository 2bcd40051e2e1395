"""What several measurements, and the tests of what they measure, ask of heads and files."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from embedding.errors import WrongLabels
from embedding.export.columns import class_columns, proxy


def calibration_error(
    probability: NDArray[np.float64],
    truth: NDArray[np.intp],
    weights: NDArray[np.float64] | None = None,
    bins: int = 10,
) -> float:
    """Return the expected calibration error, 0 to 1, over equal bins of the best class's probability.

    Guo et al., On Calibration of Modern Neural Networks (arXiv 1706.04599), section 2.

    ``probability``: shape (n, C), n >= 1; ``truth``: the right columns, (n,); ``weights``: (n,), all 1 where not given.
    """
    share = np.ones(len(truth)) if weights is None else weights
    sure = probability.max(axis=1)
    right = probability.argmax(axis=1) == truth
    number = np.minimum((sure * bins).astype(np.intp), bins - 1)
    gaps = np.bincount(number, share * (right - sure), minlength=bins)
    return float(np.abs(gaps).sum() / share.sum())


def imported_classes(data: bytes, labels: Sequence[str]) -> Mapping[str, NDArray[np.float32]]:
    """Return the classes of a file: by label, the unit weight (d,) float32 in the network's part of the embedding.

    Of a file that was exported, these are the imprinted weights; of any other classifier, its classes' proxies. Raises what
    `class_columns` raises, and WrongLabels where the labels are not as many as the classes, or not all different.
    """
    columns = class_columns(data)
    if len(labels) != len(columns.vectors) or len(set(labels)) != len(labels):
        raise WrongLabels(
            f"There are {len(set(labels))} different labels for {len(columns.vectors)} classes",
            expected=str(len(columns.vectors)),
        )
    return {label: proxy(columns, number) for number, label in enumerate(labels)}
