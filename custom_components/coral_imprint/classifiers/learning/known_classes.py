"""What a classifier knows of its classes without examples, and how that joins what the examples say."""

from collections.abc import Callable, Collection, Mapping, Sequence
import logging
from pathlib import Path
from typing import Final

from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
import numpy as np
from numpy.typing import NDArray

from ...core.embedding import (
    BUILTIN,
    ModelError,
    NetworkClasses,
    UnknownNetworkClass,
    joined_weight,
    known_weight,
    refined_weight,
)
from ...core.imprinting import Imprint, Known, StoreFailed, TrainingSet, extended, fit, load_known, save_known
from ...extractors.labels import async_network_classes
from ...extractors.lens import Lens

_LOGGER = logging.getLogger(__name__)

type Vector = NDArray[np.float32]

EXAMPLE_COUNTS: Final = 2
"""An example counts as much as this many things that were known before. On fruit and vegetables, two to five classes, v1 0.25 and 0.5,
the mean accuracy with 1 to 5 examples is the same with 1 (0.0 to 2.6 points over examples alone), but a class is then named for its own
only example in 94 of 100 cases; with 2 in 99.
"""


class KnownClasses:
    """The known classes of one classifier, kept in its folder. Changed in the executor, by whoever holds the learner's lock."""

    def __init__(self, hass: HomeAssistant, root: Path, name: Callable[[], str]) -> None:
        """Take the classifier's folder, and what tells its present name; async_load reads."""
        self._name = name
        self._hass = hass
        self._root = root
        self._known: dict[str, Known] = {}

    def __getitem__(self, class_id: str) -> Known:
        """Return what is known of a class. Raises KeyError."""
        return self._known[class_id]

    def __contains__(self, class_id: object) -> bool:
        """Whether a class is known."""
        return class_id in self._known

    async def async_load(self) -> None:
        """Read what was kept. Raises StoreFailed."""
        self._known, damaged = await self._hass.async_add_executor_job(load_known, self._root)
        if damaged:
            _LOGGER.warning("%s: what was known without examples can't be read, and was set aside", self._name())

    def add(self, class_id: str, known: Known, classes: Collection[str]) -> None:
        """Keep what is known of a class; ``classes`` are those that there are. Blocking. Raises StoreFailed."""
        self._keep({**self._known, class_id: known}, classes)

    def _keep(self, known: dict[str, Known], classes: Collection[str]) -> None:
        save_known(self._root, known, tuple(classes))
        self._known = known

    async def async_prepare(self, lens: Lens, classes: Collection[str]) -> None:
        """Look the names of known classes up in the list of another extractor; what it doesn't know has to be shown to it."""
        extractor = lens.embedder.extractor
        unresolved = [
            class_id
            for class_id, known in self._known.items()
            if class_id in classes and not known.imported and extractor not in known.directions
        ]
        if not unresolved or extractor == BUILTIN:
            return
        try:
            network = await async_network_classes(self._hass, lens, fetch=False)
        except HomeAssistantError as err:
            _LOGGER.debug("%s: known classes are not known to the extractor: %s", self._name(), err)
            return
        await self._hass.async_add_executor_job(self._resolve, unresolved, extractor, network, classes)

    def _resolve(
        self, unresolved: Sequence[str], extractor: str, network: NetworkClasses, classes: Collection[str]
    ) -> None:
        found = dict(self._known)
        for class_id in unresolved:
            known = found[class_id]
            try:
                direction = network.direction(network.numbers(known.names))
            except (UnknownNetworkClass, ModelError) as err:
                _LOGGER.info("%s: a known class is not known to the extractor: %s", self._name(), err)
                continue
            found[class_id] = Known(known.names, known.imported, {**known.directions, extractor: direction})
        self._known = found
        try:
            self._keep(found, classes)
        except StoreFailed as err:
            # Looked up again at the next start.
            _LOGGER.warning("%s: what is known could not be kept: %s", self._name(), err)

    def imprint(
        self, rows: TrainingSet, lens: Lens, classes: Collection[str], length: int | None = None
    ) -> Imprint | None:
        """Imprint from examples and from what is known; None where there is neither. Blocking.

        ``length`` is that of the rows, where they aren't the lens's embeddings but the network's part of them.
        """
        extractor = lens.embedder.extractor
        here = {
            class_id: known
            for class_id, known in self._known.items()
            if class_id in classes and extractor in known.directions
        }
        if not rows.vectors and not here:
            return None
        return imprint(
            rows.vectors,
            rows.occasions,
            columns={key: known.directions[extractor] for key, known in here.items() if not known.imported},
            imported={key: known.directions[extractor] for key, known in here.items() if known.imported},
            length=length or lens.length,
        )


def imprint(
    vectors: Mapping[str, Vector],
    occasions: Mapping[str, Sequence[str]],
    *,
    columns: Mapping[str, Vector],
    imported: Mapping[str, Vector],
    length: int,
) -> Imprint:
    """Imprint classes from their examples, as ``fit`` does, and from what is known of them.

    Args:
        vectors: embeddings by class id, shape (n, d).
        occasions: of each row of each class.
        columns: directions of known classes, shape (n,), n <= d: columns of the network's last layer.
        imported: likewise: imprinted weights in the network's part of the embedding.
        length: d.

    Known classes come behind those with examples. Beside examples, what is known of a class counts as half a one.

    """
    head = fit(vectors, occasions)
    if not columns and not imported:
        return head
    shown = dict(zip(head.classes, head.prototypes, strict=True))
    weights: dict[str, Vector] = {}
    examples = np.stack(list(shown.values())) if shown else np.zeros((0, length), np.float32)
    for class_id, direction in imported.items():
        weights[class_id] = joined_weight(direction, examples, length)
    rivals = {**weights, **shown}
    for class_id, direction in columns.items():
        others = [row for key, row in rivals.items() if key != class_id]
        beside = np.stack(others) if others else np.zeros((0, length), np.float32)
        weights[class_id] = known_weight(direction, beside)
    for class_id in weights.keys() & shown.keys():
        if class_id in columns and len(rivals) == 1:
            # There is nothing that the column could be put beside: its score would be of another size than the examples'.
            del weights[class_id]
        else:
            count = EXAMPLE_COUNTS * len(vectors[class_id])
            weights[class_id] = refined_weight(weights[class_id], shown[class_id], count)
    return extended(head, weights, frozenset(columns))
