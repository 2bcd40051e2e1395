"""The decision: what looks may change, and how fast."""

from itertools import pairwise

from hypothesis import given, strategies as st
import pytest

from imprinting import Decision, Rules, Scores, Verdict
from imprinting.decision import State, step

RULES = Rules(enter_at=0.8, stay_at=0.6, looks=2, hold=30)


def scores(best: str | None, confidence: float = 0.95) -> Scores:
    """Return scores that name a class."""
    if best is None:
        return Scores({}, {})
    return Scores({}, {best: confidence, "rest": 1 - confidence}, best, confidence)


def play(decision: Decision, looks: list[str | None], start: float = 0, every: float = 1) -> list[str | None]:
    """Show looks at equal distances; return the current class after each."""
    return [decision.update(scores(best), start + every * number).current for number, best in enumerate(looks)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"enter_at": 1.1},
        {"stay_at": 0.9},
        {"stay_at": -0.1},
        {"looks": 0},
        {"hold": -1},
        {"enter_at": float("nan")},
        {"hold": float("nan")},
    ],
)
def test_contradicting_rules_are_refused(wrong: dict[str, float]) -> None:
    """Rules check themselves."""
    with pytest.raises(ValueError):
        Rules(**wrong)  # type: ignore[arg-type]


def test_class_enters_after_enough_looks() -> None:
    """One look is not enough, two in a row are; an unknown one between them starts anew."""
    assert play(Decision(RULES), ["a", "a"]) == [None, "a"]
    assert play(Decision(RULES), ["a", None, "a", "a"]) == [None, None, None, "a"]
    assert play(Decision(RULES), ["a", "b", "a", "b", "b"]) == [None, None, None, None, "b"]
    assert play(Decision(Rules(looks=1)), ["a", "b"]) == ["a", "b"]


def test_verdict_tells_what_changed() -> None:
    """A verdict holds the class, what the look itself said, and how long a streak is."""
    decision = Decision(RULES)
    first, second, third = (decision.update(scores("a"), now) for now in (0, 1, 2))
    assert (first.current, first.candidate, first.changed, first.streak) == (None, "a", False, 1)
    assert (second.current, second.candidate, second.changed, second.streak) == ("a", "a", True, 0)
    assert (third.current, third.changed, third.streak) == ("a", False, 0)


def test_staying_is_easier_than_entering() -> None:
    """A probability between the thresholds keeps the current class alive but does not let one in."""
    decision = Decision(RULES)
    assert [decision.update(scores("a", 0.7), now).candidate for now in range(5)] == [None] * 5
    play(decision, ["a", "a"], start=5)
    assert {decision.update(scores("a", 0.6), now).current for now in range(7, 200, 10)} == {"a"}
    assert decision.update(scores("a", 0.59), 198).candidate is None
    assert decision.update(scores("b", 0.79), 199).candidate is None
    assert decision.update(scores("b", 0.80), 200).candidate == "b"


def test_current_class_is_held_while_looks_are_uncertain() -> None:
    """Exactly the hold time after the last support the class ends, and has to enter again."""
    decision = Decision(RULES)
    play(decision, ["a", "a"])
    assert decision.update(scores(None), 30.9).current == "a"
    assert decision.update(scores(None), 31).current is None
    assert play(decision, ["a", "a"], start=32) == [None, "a"]


def test_another_class_is_not_doubted_on_its_way_in() -> None:
    """Rare looks don't make the current class unknown before the next one is confirmed."""
    decision = Decision(RULES)
    assert play(decision, ["a", "a", "b", "b"], every=60) == [None, "a", "a", "b"]


def test_contradicting_looks_count_as_uncertain() -> None:
    """Two other classes by turns end the current one, after the hold time."""
    decision = Decision(RULES)
    play(decision, ["a", "a"])
    assert set(play(decision, ["b", "c"] * 10, start=2)) == {"a"}
    assert play(decision, ["b", "c"] * 10, start=22)[-1] is None


def test_forget_and_reset() -> None:
    """A removed class is no longer current nor on its way in."""
    decision = Decision(RULES)
    play(decision, ["a", "a", "b"])
    decision.forget("b")
    assert play(decision, ["b"], start=3) == ["a"]
    decision.forget("a")
    assert decision.current is None
    play(decision, ["a", "a"], start=4)
    decision.reset()
    assert decision.current is None
    assert play(decision, ["a"], start=6) == [None]


LOOKS = st.lists(st.tuples(st.sampled_from(["a", "b", "c", None]), st.floats(0, 1), st.floats(0, 20)), max_size=60)
ANY_RULES = st.builds(
    lambda low, high, looks, hold: Rules(enter_at=max(low, high), stay_at=min(low, high), looks=looks, hold=hold),
    st.floats(0, 1),
    st.floats(0, 1),
    st.integers(1, 5),
    st.floats(0, 60),
)


@given(LOOKS, ANY_RULES)
def test_laws(looks: list[tuple[str | None, float, float]], rules: Rules) -> None:
    """Whatever is shown: classes come in only after enough looks in a row, and uncertainty ends them in time."""
    decision = Decision(rules)
    now, supported, named, history = 0.0, 0.0, [], [decision.current]
    for best, confidence, pause in looks:
        now += pause
        before = decision.current
        verdict = decision.update(scores(best, confidence), now)
        named.append(verdict.candidate)
        history.append(verdict.current)
        assert verdict.changed == (verdict.current != before)
        assert verdict.candidate in {best, None}
        assert 0 <= verdict.streak < rules.looks
        if verdict.changed and verdict.current is not None:
            assert named[-rules.looks :] == [verdict.current] * rules.looks
            assert confidence >= rules.enter_at
        if verdict.current is not None and verdict.candidate == verdict.current:
            supported = now
        if verdict.candidate is None and now - supported >= rules.hold:
            assert verdict.current is None
        if before is not None and verdict.current is None:
            assert now - supported >= rules.hold
    entries = sum(1 for before, after in pairwise(history) if after is not None and after != before)
    assert entries * rules.looks <= len(looks)


@given(LOOKS, ANY_RULES, st.sampled_from("abc"))
def test_never_stuck(looks: list[tuple[str | None, float, float]], rules: Rules, last: str) -> None:
    """After any past, a class enters within as many sure looks as the rules ask for, and nothing keeps it out."""
    decision = Decision(rules)
    now = 0.0
    for best, confidence, pause in looks:
        now += pause
        decision.update(scores(best, confidence), now)
    for _ in range(rules.looks):
        decision.update(scores(last, 1.0), now)
    assert decision.current == last
    assert decision.update(scores(None), now + rules.hold + 0.001).current is None


def test_step_is_pure() -> None:
    """The same look in the same state gives the same state, and leaves the old one alone."""
    state = State("a", 5.0, "b", 1)
    assert step(state, "b", 6, RULES) == step(state, "b", 6, RULES) == State("b", 6)
    assert state == State("a", 5.0, "b", 1)


def test_the_user_is_believed_at_once() -> None:
    decision = Decision(Rules(looks=3, hold=10))
    verdict = decision.tell("open", 5.0)
    assert (verdict.current, verdict.candidate, verdict.changed, verdict.streak) == ("open", "open", True, 0)
    assert not decision.tell("open", 6.0).changed
    # What was told is kept like what was seen: for the hold time after the last look that supported it.
    unsure = Scores({"open": 0.9, "closed": 0.9}, {"open": 0.5, "closed": 0.5}, "open", 0.5)
    assert decision.update(unsure, 15.9).current == "open"
    assert decision.update(unsure, 16.0).current is None


def test_a_reset_says_what_it_changed() -> None:
    decision = Decision(Rules())
    assert not decision.reset().changed
    decision.tell("open", 0.0)
    assert decision.reset() == Verdict(None, None, True, 0)
