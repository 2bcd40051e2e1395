"""The decision: what looks may change, and how fast."""

from dataclasses import replace
from itertools import product

from hypothesis import given, strategies as st
import pytest

from imprinting import Decision, Rules, Scores, Verdict
from imprinting.decision.decision import Finding, Limits, State, candidate, judge, step

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
        {"looks": 3, "window": 2},
        {"hold_foreign": -1},
        {"hold_foreign": float("nan")},
        {"at_least": -1},
        {"at_least": float("inf")},
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


LOOKS = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c", None]), st.floats(0, 1), st.floats(0, 20), st.booleans()), max_size=60
)
ANY_RULES = st.builds(
    lambda low, high, looks, more, hold, foreign, kept: Rules(
        enter_at=max(low, high),
        stay_at=min(low, high),
        looks=looks,
        window=looks + more if more else 0,
        hold=hold,
        hold_foreign=foreign,
        at_least=kept,
    ),
    st.floats(0, 1),
    st.floats(0, 1),
    st.integers(1, 5),
    st.integers(0, 3),
    st.floats(0, 60),
    st.none() | st.floats(0, 60),
    st.just(0.0) | st.floats(0, 60),
)


def margins(plausible: bool) -> dict[str, float]:
    return dict.fromkeys("abc", 0.1 if plausible else -0.1)


@given(LOOKS, ANY_RULES)
def test_laws(looks: list[tuple[str | None, float, float, bool]], rules: Rules) -> None:
    """Whatever is shown: classes come in only after enough looks, are kept as long as asked, and uncertainty ends them in time."""
    decision = Decision(rules)
    now, supported, entered, since = 0.0, 0.0, 0.0, 0
    named: list[str | None] = []
    entries = 0
    for best, confidence, pause, plausible in looks:
        now += pause
        before = decision.current
        verdict = decision.update(scores(best, confidence), now, margins(plausible))
        named.append(verdict.candidate)
        assert verdict.changed == (verdict.current != before)
        assert verdict.candidate in {best, None}
        assert (verdict.candidate is not None) == (verdict.finding is Finding.NAMED)
        assert plausible or verdict.finding is Finding.FOREIGN
        assert 0 <= verdict.streak < rules.looks or rules.at_least
        if verdict.changed and before is not None:
            assert now - entered >= rules.at_least
        if verdict.changed and verdict.current is not None:
            # Looks that let one class in don't count for the next.
            counted = named[max(since, len(named) - rules.counted) :]
            assert counted.count(verdict.current) >= rules.looks
            assert named[-1] == verdict.current
            assert confidence >= rules.enter_at
            entries, entered, since = entries + 1, now, len(named)
        if verdict.current is not None and verdict.candidate == verdict.current:
            supported = now
        foreign = verdict.finding is Finding.FOREIGN and rules.hold_foreign is not None
        hold = rules.hold_foreign if foreign and rules.hold_foreign is not None else rules.hold
        if verdict.candidate is None and now - supported >= hold and now - entered >= rules.at_least:
            assert verdict.current is None
        if before is not None and verdict.current is None:
            assert now - supported >= hold
    assert entries * rules.looks <= len(looks)


@given(LOOKS, ANY_RULES, st.sampled_from("abc"))
def test_never_stuck(looks: list[tuple[str | None, float, float, bool]], rules: Rules, last: str) -> None:
    """After any past, a class enters within as many sure looks as the rules ask for once the other was kept long enough."""
    decision = Decision(rules)
    now = 0.0
    for best, confidence, pause, plausible in looks:
        now += pause
        decision.update(scores(best, confidence), now, margins(plausible))
    now += rules.at_least + 0.001
    for _ in range(rules.looks):
        decision.update(scores(last, 1.0), now, margins(True))
    assert decision.current == last
    end = now + max(rules.hold, rules.at_least) + 0.001
    assert decision.update(scores(None), end, None).current is None


@given(LOOKS, ANY_RULES)
def test_states_stay_small(looks: list[tuple[str | None, float, float, bool]], rules: Rules) -> None:
    """However long the stream, a state holds no more looks than may still count."""
    state, now = State(), 0.0
    for best, _, pause, _ in looks:
        now += pause
        state = step(state, best, now, rules)
        assert len(state.others) <= max(0, rules.counted - 1)
        assert state.current is None or state.current not in state.others[-1:]


CURRENT = (None, "a")
OTHERS: tuple[tuple[str | None, ...], ...] = ((), (None,), ("a",), ("b",), ("c",))
NAMED = (None, "a", "b", "c")


@pytest.mark.parametrize(("current", "others", "named", "held"), list(product(CURRENT, OTHERS, NAMED, (True, False))))
def test_every_transition_of_two_consecutive_looks(
    current: str | None, others: tuple[str | None, ...], named: str | None, held: bool
) -> None:
    """All states and looks for 2 of 2, against the rules in words."""
    now = 10.0 if held else 40.0
    after = step(State(current, 0.0, 0.0, others), named, now, RULES)
    before = others[-1] if others else None
    if named is not None and named == current:
        assert after == State(current, now, 0.0)
    elif named is not None and named == before:
        assert after == State(named, now, now)
    else:
        contradiction = named is not None and before is not None
        ends = (named is None or contradiction) and not held
        assert after == State(None if ends else current, 0.0, 0.0, (named,))


@pytest.mark.parametrize("looks", list(product((None, "a", "b"), repeat=5)))
def test_every_sequence_of_two_of_three(looks: tuple[str | None, ...]) -> None:
    """From unknown, the first class that two of three looks name, the last of them included, enters, at that look."""
    decision = Decision(Rules(looks=2, window=3, hold=1e9))
    expected, first = None, None
    for number, name in enumerate(looks):
        if name is not None and looks[max(0, number - 2) : number + 1].count(name) >= 2:
            expected, first = name, number
            break
    history = [decision.update(scores(name), float(number)).current for number, name in enumerate(looks)]
    if first is None:
        assert history == [None] * 5
    else:
        assert history[: first + 1] == [None] * first + [expected]


def test_one_look_that_cant_tell_doesnt_set_back_n_of_m() -> None:
    rules = Rules(looks=2, window=3)
    assert play(Decision(rules), ["a", None, "a"]) == [None, None, "a"]
    assert play(Decision(rules), ["a", None, None, "a"]) == [None] * 4
    # A look that supports the current class does set others back.
    assert play(Decision(rules), ["a", "a", "b", "a", "b", "a", "b", "b"])[2:] == ["a"] * 5 + ["b"]


def test_streak_says_how_many_looks_are_missing() -> None:
    """Three of three: b c b needs two more, for c has to leave the window; three of four: only one more."""
    for window, expected in ((0, [1, 1, 1, 2]), (4, [1, 1, 2, 0])):
        decision = Decision(Rules(looks=3, window=window))
        assert [decision.update(scores(name), 0.0).streak for name in ("b", "c", "b", "b")] == expected


def test_a_class_is_kept_as_long_as_asked() -> None:
    decision = Decision(Rules(looks=2, hold=5, at_least=20))
    assert play(decision, ["a", "a"]) == [None, "a"]
    assert play(decision, ["b"] * 10, start=2) == ["a"] * 10
    assert decision.update(scores(None), 20.9).current == "a"
    assert play(decision, ["b", "b"], start=21) == ["a", "b"]
    decision.tell("a", 30)
    assert decision.update(scores(None), 49.9).current == "a"
    assert decision.update(scores(None), 50).current is None


def test_foreign_and_unsure_are_different_answers() -> None:
    state, sure, unsure = State(), scores("a"), scores("a", 0.5)
    assert judge(state, sure, RULES, {"a": 0.1, "rest": -0.2}) == ("a", Finding.NAMED)
    assert judge(state, sure, RULES, {"a": 0.0, "rest": -0.2}) == ("a", Finding.NAMED)
    assert judge(state, unsure, RULES, {"a": 0.1, "rest": 0.2}) == (None, Finding.UNSURE)
    assert judge(state, sure, RULES, {"a": -0.1, "rest": -0.2}) == (None, Finding.FOREIGN)
    assert judge(state, unsure, RULES, {"a": -0.1, "rest": -0.2}) == (None, Finding.FOREIGN)
    # The probable class isn't the plausible one: something known, but not which.
    assert judge(state, sure, RULES, {"a": -0.1, "rest": 0.2}) == (None, Finding.UNSURE)
    # Without a bank nothing is foreign.
    assert judge(state, sure, RULES) == ("a", Finding.NAMED)
    assert candidate(state, sure, RULES) == "a"
    assert candidate(state, unsure, RULES) is None


def test_plausibility_alone_decides_about_a_single_class() -> None:
    nothing = Scores({"a": 0.9}, {})
    assert judge(State(), nothing, RULES, {"a": 0.0}) == ("a", Finding.NAMED)
    assert judge(State(), nothing, RULES, {"a": -0.01}) == (None, Finding.FOREIGN)
    assert judge(State(), nothing, RULES) == (None, Finding.UNSURE)
    assert judge(State(), Scores({}, {}), RULES, {}) == (None, Finding.UNSURE)
    decision = Decision(RULES)
    assert [decision.update(nothing, now, {"a": 0.2}).current for now in (0.0, 1.0)] == [None, "a"]


def test_foreign_looks_have_a_hold_time_of_their_own() -> None:
    decision = Decision(replace(RULES, hold_foreign=5.0))
    play(decision, ["a", "a"])
    assert decision.update(scores("a"), 5.9, margins(False)).current == "a"
    assert decision.update(scores(None), 6.5, margins(True)).current == "a"
    verdict = decision.update(scores("a"), 7.0, margins(False))
    assert (verdict.current, verdict.finding, verdict.changed) == (None, Finding.FOREIGN, True)


def test_a_class_may_have_thresholds_of_its_own() -> None:
    rules = replace(RULES, per_class={"a": Limits(0.99, 0.9)})
    decision = Decision(rules)
    assert decision.update(scores("a", 0.98), 0).candidate is None
    assert decision.update(scores("b", 0.80), 1).candidate == "b"
    decision.tell("a", 2)
    assert decision.update(scores("a", 0.9), 3).candidate == "a"
    assert decision.update(scores("a", 0.89), 4).candidate is None
    with pytest.raises(ValueError, match="thresholds"):
        Limits(0.5, 0.6)


def test_step_is_pure() -> None:
    """The same look in the same state gives the same state, and leaves the old one alone."""
    state = State("a", 5.0, 1.0, ("b",))
    assert step(state, "b", 6, RULES) == step(state, "b", 6, RULES) == State("b", 6, 6)
    assert state == State("a", 5.0, 1.0, ("b",))


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
    assert decision.reset() == Verdict(None, None, True, 0, Finding.UNSURE)
