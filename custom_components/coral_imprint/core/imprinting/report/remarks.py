"""What an evaluation says in plain words: as keys with placeholders for translations, and in English."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from .estimates import Estimate
from .learning_curve import MORE, WantedExamples
from .outliers import Cluster, Odd

CLEAR = 1.5
"""How much more in need than the average a class has to be before it is named."""

GOOD = 0.95
"""Accuracy, 0 to 1, that needs no more examples; and least share of it that the worst condition has to reach."""

ALIKE = 1 / 3
"""Share of the examples that may add nothing before it is said."""

TEXTS: Final[Mapping[str, str]] = {
    "no_second_class": "There is nothing to tell {class} from yet. Teach a second class: what the camera sees when it isn't.",
    "no_class": "No class has an example yet.",
    "no_background": (
        "There is no background class: what the camera shows is taken for one of {class}, or is unknown. If it can show "
        "something else for long, teach that as a background class; it is then told apart rather than guessed."
    ),
    "single_examples": "One example of a class can't be checked. Take a second one of {class}, on another occasion.",
    "one_occasion": (
        "All examples of {class} are from one occasion. About {accuracy} % of later looks may be right, but anything from {low} % to "
        "{high} % is possible. A few examples from another day say more than many from this one."
    ),
    "two_labels": "The same picture was filed under {class} and {likely}. One of them is wrong.",
    "check_label": "An example of {class} looks like {likely}. Was it filed under the wrong class? ({count} to check)",
    "untested": "{class} has one example only, and nothing to check it with. Take another on a different occasion.",
    "more_under": "{more} more of {class} ({condition}), on different days, would help most.",
    "more_of": "{more} more of {class}, on different days, would help most.",
    "more_of_each": "{more} more of each class, on different days, would help most.",
    "worst_condition": "It is right less often here: {condition}, {accuracy} %.",
    "foreign_accepted": "{share} % of the pictures of something else are taken for one of the classes.",
    "too_few": (
        "{accuracy} % of looks should be right, but {occasions} occasions are too few to be sure: between {low} % and {high} %."
    ),
    "alike": "{count} of {total} examples are nearly the same pictures as others and add nothing.",
    "poor": "Only {accuracy} % of looks should be right (between {low} % and {high} %).",
    "good": "{accuracy} % of looks should be right (between {low} % and {high} %).",
}
"""By key, with the placeholders in braces. Percentages are whole numbers."""


@dataclass(frozen=True, slots=True)
class Remark:
    """A sentence."""

    key: str
    """One of ``TEXTS``: what the caller translates."""

    placeholders: Mapping[str, str] = field(default_factory=dict)
    """Classes by their label, where labels were given."""

    @property
    def text(self) -> str:
        """The sentence in English."""
        return TEXTS[self.key].format_map(self.placeholders)


class Findings(Protocol):
    """What the sentences are about: an ``Evaluation``."""

    @property
    def examples(self) -> Mapping[str, int]:
        """Number by class."""

    @property
    def expected(self) -> Estimate | None:
        """Accuracy."""

    @property
    def split(self) -> tuple[str, ...]:
        """Classes of one occasion."""

    @property
    def untested(self) -> tuple[str, ...]:
        """Classes that nothing was asked for of."""

    @property
    def worst(self) -> tuple[str, Estimate] | None:
        """The condition with the least accuracy."""

    @property
    def foreign_accepted(self) -> float | None:
        """Share of foreign pictures that were taken for a class."""

    @property
    def known(self) -> bool:
        """Whether the accuracy is known well enough."""

    @property
    def wanted(self) -> Sequence[WantedExamples]:
        """What would help."""

    @property
    def odd(self) -> Sequence[Odd]:
        """Examples in doubt."""

    @property
    def has_background(self) -> bool:
        """Whether a class means "nothing to report"."""

    @property
    def clusters(self) -> Sequence[Cluster]:
        """Near-duplicates."""


def remarks(found: Findings, labels: Mapping[str, str]) -> tuple[Remark, ...]:
    """Return what there is to say, the most important first; at least one."""

    def name(class_id: str) -> str:
        return labels.get(class_id, class_id)

    if not found.examples:
        return (Remark("no_class"),)
    if len(found.examples) < 2:
        return (Remark("no_second_class", {"class": name(next(iter(found.examples)))}),)
    said = _labels_in_doubt(found, labels)
    if found.expected is None:
        return (*said, Remark("single_examples", {"class": name(next(iter(found.examples)))}))
    said += [*_certainty(found, found.expected, labels), *_weakness(found, found.expected, labels)]
    if not found.has_background:
        said.append(Remark("no_background", {"class": _listed(tuple(found.examples), labels)}))
    return tuple(said)


def percent(share: float) -> str:
    """Return a share as whole percent; only what is all or nothing is 100 or 0."""
    whole = min(max(round(share * 100), 1), 99)
    return str(round(share * 100) if share in {0, 1} else whole)


def _labels_in_doubt(found: Findings, labels: Mapping[str, str]) -> list[Remark]:
    """Wrong labels spoil everything else that is measured: they come first."""
    said = []
    contradictory = [cluster for cluster in found.clusters if cluster.contradictory]
    if contradictory:
        one, other = list(dict.fromkeys(contradictory[0].classes))[:2]
        said.append(Remark("two_labels", {"class": labels.get(one, one), "likely": labels.get(other, other)}))
    if found.odd:
        odd = found.odd[0]
        classes = {"class": labels.get(odd.class_id, odd.class_id), "likely": labels.get(odd.likely, odd.likely)}
        said.append(Remark("check_label", {**classes, "count": str(len(found.odd))}))
    return said


def _certainty(found: Findings, expected: Estimate, labels: Mapping[str, str]) -> list[Remark]:
    """Say how much the examples can tell."""
    said = []
    figures = {
        "accuracy": percent(expected.value),
        "low": percent(expected.low),
        "high": percent(expected.high),
    }
    if found.split:
        said.append(Remark("one_occasion", {"class": _listed(found.split, labels), **figures}))
    if found.untested:
        said.append(Remark("untested", {"class": _listed(found.untested, labels)}))
    if found.known:
        said.append(Remark("good" if expected.value >= GOOD else "poor", figures))
    elif not found.split:
        said.append(Remark("too_few", {"occasions": str(expected.occasions), **figures}))
    return said


def _weakness(found: Findings, expected: Estimate, labels: Mapping[str, str]) -> list[Remark]:
    """Say where it is weak, and what would help."""
    said = []
    if found.worst and found.worst[1].value < GOOD * expected.value:
        condition, accuracy = found.worst
        said.append(Remark("worst_condition", {"condition": condition, "accuracy": percent(accuracy.value)}))
    if found.foreign_accepted is not None and found.foreign_accepted > 1 - GOOD:
        said.append(Remark("foreign_accepted", {"share": percent(found.foreign_accepted)}))
    if found.wanted and not (found.known and expected.value >= GOOD):
        said.append(_more(found.wanted, labels))
    total = sum(found.examples.values())
    spare = sum(len(cluster.redundant) for cluster in found.clusters)
    if spare > ALIKE * total:
        said.append(Remark("alike", {"count": str(spare), "total": str(total)}))
    return said


def _more(needs: Sequence[WantedExamples], labels: Mapping[str, str]) -> Remark:
    """Name what is wanted most where it stands out."""
    first = needs[0]
    average = sum(one.need for one in needs) / len(needs)
    if first.need < CLEAR * average:
        return Remark("more_of_each", {"more": str(MORE)})
    placeholders = {"more": str(MORE), "class": labels.get(first.class_id, first.class_id)}
    if first.condition is None:
        return Remark("more_of", placeholders)
    return Remark("more_under", {**placeholders, "condition": first.condition})


def _listed(classes: Sequence[str], labels: Mapping[str, str]) -> str:
    return ", ".join(labels.get(one, one) for one in classes)
