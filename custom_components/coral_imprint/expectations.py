"""What the examples say about the looks to come: thresholds, false alarms, misses, accuracy. Blocking; nothing is kept."""

from collections.abc import Callable, Mapping

from .imprinting import (
    KINDS,
    Budget,
    Evaluation,
    Example,
    Head,
    LearnedClass,
    Thresholds,
    evaluate,
    hold_out,
    outcomes,
    thresholds,
)
from .models import ClassifierSettings
from .rows import Rows


def learn_thresholds(
    head: Head, rows: Rows, settings: ClassifierSettings, background: frozenset[str]
) -> dict[str, Thresholds]:
    """Return each class's thresholds for the budget of false alarms that the user chose; none without one."""
    if not settings.false_alarms or len(head.classes) < 2 or not rows.covers(head.classes):
        return {}
    held_out = hold_out(rows.vectors, rows.occasions, KINDS[head.kind])
    budget = Budget(settings.false_alarms, settings.interval)
    return thresholds(head.classes, held_out, head.scale, settings.rules, budget=budget, background=background)


def expect(
    head: Head | None, rows: Rows, settings: ClassifierSettings, background: frozenset[str]
) -> dict[str, Thresholds]:
    """Return what may be expected of each class's thresholds as the user set them."""
    if head is None:
        return {}
    held_out = None
    if len(rows.vectors) > 1 and head.classes == tuple(rows.vectors):
        held_out = hold_out(rows.vectors, rows.occasions, KINDS[head.kind])
    return outcomes(
        head.classes, held_out, head.scale, settings.rules, interval=settings.interval, background=background
    )


def evaluate_head(
    head: Head | None,
    rows: Rows,
    expected: Mapping[str, Thresholds],
    classes: Mapping[str, LearnedClass],
    conditions: Callable[[Example], str],
) -> Evaluation:
    """Evaluate the kind of head in use on its examples; ``conditions`` says under which each was taken."""
    background = frozenset(one.id for one in classes.values() if one.background)
    alarms = [one.alarms for class_id, one in expected.items() if class_id not in background]
    known = [one for one in alarms if one is not None]
    return evaluate(
        rows.vectors,
        rows.occasions,
        fit=KINDS[head.kind if head else "imprint"],
        ids=rows.ids,
        conditions=rows.each(conditions),
        labels={one.id: one.label for one in classes.values()},
        background=background,
        alarms=sum(known) if known and len(known) == len(alarms) else None,
    )
