"""From an embedding to what the classifier says."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import Any

from homeassistant.util import dt as dt_util
import numpy as np
from numpy.typing import NDArray

from ...core.imprinting import Decision, Rules, Scores, Verdict, with_thresholds
from ..learning.learned import Learned
from .health import Problem


@dataclass(frozen=True, slots=True)
class Reading:
    """What a look found."""

    picture: bytes
    taken: datetime
    """When the frame was fetched, UTC."""
    scores: Scores | None
    """None while no class has been taught."""
    verdict: Verdict
    camera_problem: Problem | None = None
    """What is wrong with the camera; None where nothing is."""

    def as_dict(self, labels: Mapping[str, str]) -> dict[str, Any]:
        """Return it as people are told of it; ``labels`` are those of the classes that there are, by id."""
        scores = self.scores
        taught = [class_id for class_id in labels if scores and class_id in scores.cosine]
        return {
            "class": labels.get(self.verdict.current or ""),
            "finding": self.verdict.finding.value,
            "best": labels.get(scores.best or "") if scores else None,
            "confidence": scores.confidence if scores else 0.0,
            "scores": {labels[key]: scores.probability.get(key, 0.0) for key in taught} if scores else {},
            "evidence": {labels[key]: scores.cosine[key] for key in taught} if scores else {},
            "taken": self.taken.isoformat(),
            "camera_problem": self.camera_problem.value if self.camera_problem else None,
        }


class Scorer:
    """Scores and decides, look after look."""

    def __init__(self, rules: Rules) -> None:
        """Know nothing yet."""
        self._decision = Decision(rules)
        self._failing_since: float | None = None
        self._ruled_by: tuple[Learned, Rules] | None = None
        """What the decision's rules were made of."""

    def failed(self, hold: float) -> Verdict | None:
        """Take in that a look failed: after an outage of more than ``hold`` seconds, what was known isn't worth keeping.

        Returns the verdict that there is none then, else None.
        """
        now = monotonic()
        if self._failing_since is None:
            self._failing_since = now
        return self._decision.reset() if now - self._failing_since > hold else None

    def forget(self, class_id: str) -> None:
        """Take in that a class was removed."""
        self._decision.forget(class_id)

    def reading(
        self, picture: bytes, vector: NDArray[np.float32], learned: Learned, rules: Rules, taught: str | None = None
    ) -> Reading:
        """Score and decide.

        ``vector``, (length,), is the picture's through the lens of ``learned``; ``taught`` the class that the user has just said
        it shows.
        """
        self._failing_since = None
        scores = learned.head.score(vector) if learned.head else None
        margins = learned.plausibility.margins(vector) if learned.plausibility else None
        if self._ruled_by is None or self._ruled_by[0] is not learned or self._ruled_by[1] is not rules:
            self._decision.rules = with_thresholds(rules, learned.thresholds) if learned.thresholds else rules
            self._ruled_by = (learned, rules)
        return Reading(picture, dt_util.utcnow(), scores, self._decide(scores, margins, taught))

    def _decide(self, scores: Scores | None, margins: Mapping[str, float] | None, taught: str | None) -> Verdict:
        if scores is None or (scores.best is None and margins is None):
            # Nothing taught, or nothing to tell it from.
            return self._decision.reset()
        if taught is not None:
            return self._decision.tell(taught, monotonic())
        return self._decision.update(scores, monotonic(), margins)
