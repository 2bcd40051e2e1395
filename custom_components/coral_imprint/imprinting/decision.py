"""From scores, look after look, to one class that doesn't flap, or to unknown."""

from dataclasses import dataclass, replace

from .head import Scores


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How sure and how often looks have to be before the current class changes."""

    enter_at: float = 0.80
    """Probability (0 to 1) a class needs for a look to count towards replacing the current one."""

    stay_at: float = 0.60
    """Probability (0 to 1) that still supports the current class; at most ``enter_at``."""

    looks: int = 2
    """Consecutive looks that have to name the same class before it replaces the current one; at least 1."""

    hold: float = 30.0
    """Seconds the current class outlives the last look that supported it, while looks are uncertain."""

    def __post_init__(self) -> None:
        """Refuse rules that contradict themselves with ValueError."""
        if not 0 <= self.stay_at <= self.enter_at <= 1:
            raise ValueError("thresholds have to be 0 <= stay_at <= enter_at <= 1")
        if self.looks < 1:
            raise ValueError("looks has to be at least 1")
        if not self.hold >= 0:
            raise ValueError("hold has to be at least 0 seconds")


@dataclass(frozen=True)
class State:
    """What is remembered from one look to the next."""

    current: str | None = None
    """The decided class's id; None is unknown."""

    supported_at: float = 0.0
    """Monotonic seconds of the last look that supported ``current``."""

    pending: str | None = None
    """The class that the latest looks name instead."""

    streak: int = 0
    """How many consecutive looks have named ``pending``."""


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
    """Consecutive looks, this one included, that name a class other than ``current``."""


def candidate(state: State, scores: Scores, rules: Rules) -> str | None:
    """Return what a look by itself says: its best class where that is sure enough, else None."""
    threshold = rules.stay_at if scores.best == state.current else rules.enter_at
    return scores.best if scores.confidence >= threshold else None


def step(state: State, named: str | None, now: float, rules: Rules) -> State:
    """Return the state after a look that named a class (or None) at ``now`` (monotonic seconds). Pure.

    A run of looks naming one other class neither supports nor weakens the current one. Looks that name nothing, or
    contradict each other, are uncertain: when the hold time has passed they end the current class.
    """
    if named is not None and named == state.current:
        return State(named, now)
    streak = 0 if named is None else state.streak + 1 if named == state.pending else 1
    if named is not None and streak >= rules.looks:
        return State(named, now)
    uncertain = named is None or state.pending not in {None, named}
    expired = uncertain and now - state.supported_at >= rules.hold
    return replace(state, current=None if expired else state.current, pending=named, streak=streak)


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

    def update(self, scores: Scores, now: float) -> Verdict:
        """Take in a look's scores at ``now`` (monotonic seconds, never less than before)."""
        named = candidate(self._state, scores, self.rules)
        return self._become(step(self._state, named, now, self.rules), named)

    def tell(self, class_id: str, now: float) -> Verdict:
        """Take the user's word for what a look at ``now`` shows: it needs no probability and no second look."""
        return self._become(State(class_id, now), class_id)

    def _become(self, state: State, named: str | None) -> Verdict:
        changed = state.current != self._state.current
        self._state = state
        return Verdict(state.current, named, changed, state.streak)

    def forget(self, class_id: str) -> None:
        """Leave a class that is no more."""
        if self._state.current == class_id:
            self._state = replace(self._state, current=None)
        if self._state.pending == class_id:
            self._state = replace(self._state, pending=None, streak=0)

    def reset(self) -> Verdict:
        """Go back to unknown."""
        return self._become(State(), None)
