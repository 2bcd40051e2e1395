"""What the examples say about the looks to come: thresholds, false alarms, misses, accuracy. Blocking; nothing is kept."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from ...core.imprinting import (
    KINDS,
    Bank,
    Budget,
    Embeddings,
    Evaluation,
    Example,
    Groups,
    Head,
    Judge,
    LearnedClass,
    Odd,
    Rule,
    Rules,
    Scores,
    Thresholds,
    TrainingSet,
    evaluate,
    fit_plausibility,
    hold_out,
    outcomes,
    thresholds,
    to_review,
)
from ...settings import ClassifierSettings


def learn_thresholds(
    head: Head, rows: TrainingSet, settings: ClassifierSettings, background: frozenset[str]
) -> dict[str, Thresholds]:
    """Return each class's thresholds for the budget of false alarms that the user chose; none without one."""
    if not settings.false_alarms or len(head.classes) < 2 or not rows.covers(head.classes):
        return {}
    held_out = hold_out(rows.vectors, rows.occasions, KINDS[head.kind])
    budget = Budget(settings.false_alarms, settings.pace)
    return thresholds(head.classes, held_out, head.scale, settings.rules, budget=budget, background=background)


def review(head: Head | None, rows: TrainingSet) -> tuple[Odd, ...]:
    """Return the examples that the others speak against, by heads of the kind in use."""
    return () if head is None else to_review(rows.vectors, rows.occasions, rows.ids, fit=KINDS[head.kind])


def expect(
    head: Head | None, rows: TrainingSet, settings: ClassifierSettings, background: frozenset[str]
) -> dict[str, Thresholds]:
    """Return what may be expected of each class's thresholds as the user set them."""
    if head is None:
        return {}
    held_out = None
    if len(rows.vectors) > 1 and head.classes == tuple(rows.vectors):
        held_out = hold_out(rows.vectors, rows.occasions, KINDS[head.kind])
    return outcomes(head.classes, held_out, head.scale, settings.rules, interval=settings.pace, background=background)


def as_decided(rules: Rules, bank: Bank | None) -> Judge:
    """Return the rule by which a look counts towards a class that isn't the current one: sure enough, and plausible."""

    def judge(embeddings: Embeddings, groups: Groups | None) -> Rule:
        plausibility = fit_plausibility(embeddings, bank, groups) if bank else None

        def counts(vector: NDArray[np.float32], scores: Scores) -> bool:
            if scores.best is None or scores.confidence < rules.limits(scores.best).enter_at:
                return False
            return plausibility is None or plausibility.margins(vector)[scores.best] >= 0

        return counts

    return judge


def evaluate_head(
    head: Head | None,
    rows: TrainingSet,
    classes: Mapping[str, LearnedClass],
    *,
    judge: Judge,
    expected: Mapping[str, Thresholds],
    conditions: Callable[[Example], str],
    foreign: NDArray[np.float32] | None,
) -> Evaluation:
    """Evaluate the kind of head in use on its examples.

    ``judge``: `as_decided`; ``conditions`` says under which an example was taken; ``foreign``: embeddings, shape (n, d), of
    pictures of nothing that are in no bank.
    """
    background = frozenset(one.id for one in classes.values() if one.background)
    alarms = [one.alarms for class_id, one in expected.items() if class_id not in background]
    known = [one for one in alarms if one is not None]
    return evaluate(
        rows.vectors,
        rows.occasions,
        fit=KINDS[head.kind if head else "imprint"],
        judge=judge,
        ids=rows.ids,
        conditions=rows.each(conditions),
        labels={one.id: one.label for one in classes.values()},
        background=background,
        foreign=foreign,
        alarms=sum(known) if known and len(known) == len(alarms) else None,
    )
