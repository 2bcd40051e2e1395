"""From scores, look after look, to one class that doesn't flap, or to unknown.

A look is judged by itself first (`judge`): it names a class, or it can't tell two known classes apart (unsure), or it shows nothing
that was taught (foreign). What that changes is a pure function of a small state (`step`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from ..heads import Scores


class Finding(StrEnum):
    """What a look by itself found."""

    NAMED = "named"
    """A class, probable and plausible enough."""

    UNSURE = "unsure"
    """Something known, but not which: more examples of the classes that it lies between would help."""

    FOREIGN = "foreign"
    """Nothing that was taught: another view, another thing, a fault of the camera."""


@dataclass(frozen=True, slots=True)
class Limits:
    """A class's own thresholds."""

    enter_at: float
    """Probability (0 to 1) the class needs for a look to count towards entering."""

    stay_at: float
    """Probability (0 to 1) that still supports the class once it has entered; at most ``enter_at``."""

    def __post_init__(self) -> None:
        """Refuse thresholds that contradict each other with ValueError."""
        if not 0 <= self.stay_at <= self.enter_at <= 1:
            raise ValueError("thresholds have to be 0 <= stay_at <= enter_at <= 1")


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How sure and how often looks have to be before the current class changes."""

    enter_at: float = 0.80
    """Probability (0 to 1) a class needs for a look to count towards replacing the current one."""

    stay_at: float = 0.60
    """Probability (0 to 1) that still supports the current class; at most ``enter_at``."""

    looks: int = 2
    """How many of the last ``window`` looks, the latest among them, have to name a class before it replaces the current one; at least 1."""

    window: int = 0
    """Number of looks that ``looks`` are counted in, at least as many; 0: as many, so that they have to be consecutive."""

    hold: float = 30.0
    """Seconds the current class outlives the last look that supported it, while looks are unsure."""

    hold_foreign: float | None = None
    """The same, where the looks since show something foreign; None: ``hold``."""

    at_least: float = 0.0
    """Seconds for which a class that entered stays the current one, whatever the looks say."""

    per_class: Mapping[str, Limits] = field(default_factory=dict)
    """Thresholds of single classes, by id, that take the place of ``enter_at`` and ``stay_at``."""

    def __post_init__(self) -> None:
        """Refuse rules that contradict themselves with ValueError."""
        Limits(self.enter_at, self.stay_at)
        if self.looks < 1:
            raise ValueError("looks has to be at least 1")
        if self.window and self.window < self.looks:
            raise ValueError("window has to be at least looks")
        if not self.hold >= 0 or not (self.hold_foreign is None or self.hold_foreign >= 0):
            raise ValueError("hold has to be at least 0 seconds")
        if not 0 <= self.at_least < float("inf"):
            raise ValueError("at_least has to be at least 0 seconds, and finite")

    @property
    def counted(self) -> int:
        """Number of looks that ``looks`` are counted in."""
        return self.window or self.looks

    def limits(self, class_id: str) -> Limits:
        """Return the thresholds of a class."""
        return self.per_class.get(class_id) or Limits(self.enter_at, self.stay_at)


@dataclass(frozen=True)
class State:
    """What is remembered from one look to the next."""

    current: str | None = None
    """The decided class's id; None is unknown."""

    supported_at: float = 0.0
    """Monotonic seconds of the last look that supported ``current``."""

    entered_at: float = 0.0
    """Monotonic seconds of the look by which ``current`` entered."""

    others: tuple[str | None, ...] = ()
    """What the looks since then named instead, the latest last: one less than are counted, at most."""

    @property
    def pending(self) -> str | None:
        """The class that the latest look named instead of the current one."""
        return self.others[-1] if self.others else None

    def streak(self, rules: Rules) -> int:
        """Return how many of the looks that ``pending`` needs it has: ``rules.looks`` less those that are missing."""
        if self.pending is None:
            return 0
        missing = 1
        while self.others[-(rules.counted - missing) :].count(self.pending) + missing < rules.looks:
            missing += 1
        return rules.looks - missing


@dataclass(frozen=True)
class Verdict:
    """What one look changed."""

    current: str | None
    """The decided class's id after the look; None is unknown."""

    candidate: str | None
    """What the look by itself says; None is unknown."""

    changed: bool
    """Whether ``current`` is another one than before the look."""

    streak: int
    """How many looks that count, this one included, name one class other than ``current``."""

    finding: Finding = Finding.UNSURE
    """Why ``candidate`` is what it is."""


def judge(
    state: State, scores: Scores, rules: Rules, margins: Mapping[str, float] | None = None
) -> tuple[str | None, Finding]:
    """Return what a look by itself says: its best class where that is plausible and sure enough, else None, and why.

    ``margins`` holds for each class by how much the look is nearer to it than foreign pictures come, negative where it
    isn't; None takes everything for plausible. Where there is only one class, and so no probability, it decides alone.
    """
    best = scores.best
    if best is None and margins is not None and len(margins) == 1:
        (best,) = margins
        return (best, Finding.NAMED) if margins[best] >= 0 else (None, Finding.FOREIGN)
    if margins and max(margins.values()) < 0:
        return None, Finding.FOREIGN
    if best is None or (margins is not None and margins.get(best, 0.0) < 0):
        return None, Finding.UNSURE
    limits = rules.limits(best)
    sure = scores.confidence >= (limits.stay_at if best == state.current else limits.enter_at)
    return (best, Finding.NAMED) if sure else (None, Finding.UNSURE)


def candidate(state: State, scores: Scores, rules: Rules) -> str | None:
    """Return what a look by itself says: its best class where that is sure enough, else None."""
    return judge(state, scores, rules)[0]


def step(state: State, named: str | None, now: float, rules: Rules, *, foreign: bool = False) -> State:
    """Return the state after a look that named a class (or None) at ``now`` (monotonic seconds). Pure.

    A run of looks naming one other class neither supports nor weakens the current one. Looks that name nothing, or
    contradict each other, are uncertain: when the hold time has passed they end the current class.
    """
    if named is not None and named == state.current:
        return State(named, now, state.entered_at)
    kept = state.current is not None and now - state.entered_at < rules.at_least
    looks = (*state.others, named)[-rules.counted :]
    if named is not None and not kept and looks.count(named) >= rules.looks:
        return State(named, now, now)
    hold = rules.hold_foreign if foreign and rules.hold_foreign is not None else rules.hold
    uncertain = named is None or state.pending not in {None, named}
    expired = uncertain and not kept and now - state.supported_at >= hold
    left = looks[len(looks) - min(len(looks), rules.counted - 1) :]
    return replace(state, current=None if expired else state.current, others=left)


class Decision:
    """Holds the state between looks. For one owner: not thread-safe."""

    def __init__(self, rules: Rules) -> None:
        """Start at unknown."""
        self.rules = rules
        self._state = State()

    @property
    def current(self) -> str | None:
        """The decided class's id; None is unknown."""
        return self._state.current

    def update(self, scores: Scores, now: float, margins: Mapping[str, float] | None = None) -> Verdict:
        """Take in a look's scores at ``now`` (monotonic seconds, never less than before) and, if known, its `margins`."""
        named, finding = judge(self._state, scores, self.rules, margins)
        foreign = finding is Finding.FOREIGN
        return self._become(step(self._state, named, now, self.rules, foreign=foreign), named, finding)

    def tell(self, class_id: str, now: float) -> Verdict:
        """Take the user's word for what a look at ``now`` shows: it needs no probability and no second look."""
        entered = self._state.entered_at if class_id == self._state.current else now
        return self._become(State(class_id, now, entered), class_id, Finding.NAMED)

    def _become(self, state: State, named: str | None, finding: Finding) -> Verdict:
        changed = state.current != self._state.current
        self._state = state
        return Verdict(state.current, named, changed, state.streak(self.rules), finding)

    def forget(self, class_id: str) -> None:
        """Leave a class that is no more."""
        state = self._state
        others = tuple(None if name == class_id else name for name in state.others)
        self._state = replace(state, current=None if state.current == class_id else state.current, others=others)

    def reset(self) -> Verdict:
        """Go back to unknown."""
        return self._become(State(), None, Finding.UNSURE)
