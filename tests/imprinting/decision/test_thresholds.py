"""Thresholds for a budget of false alarms."""

from dataclasses import replace
import math
from statistics import NormalDist

from hypothesis import given, settings, strategies as st
import numpy as np
from numpy.typing import NDArray
import pytest

from imprinting.decision.decision import Limits, Rules
from imprinting.decision.thresholds import (
    FEWEST,
    MONTH,
    SAFE,
    Budget,
    Doubt,
    Thresholds,
    log_odds,
    spread,
    thresholds,
    tolerance_factor,
    with_thresholds,
)
from imprinting.heads.calibration import HeldOut, probabilities

CLASSES = ("open", "closed")
RULES = Rules(enter_at=0.5, stay_at=0.5)


def looks(apart: float, occasions: int = 12, each: int = 4, seed: int = 0, deviation: float = 0.7) -> HeldOut:
    """Draw looks at two classes whose log-odds lie ``apart`` from 0."""
    chance = np.random.default_rng(seed)
    level = np.repeat(deviation * chance.standard_normal(2 * occasions), each)
    truth = np.repeat(np.arange(2 * occasions) % 2, each)
    odds = np.where(truth == 0, apart, -apart) + level + deviation * chance.standard_normal(len(truth))
    names = np.repeat(np.arange(2 * occasions), each).astype(str)
    return HeldOut(np.stack([odds / 2, -odds / 2], axis=1), truth, names, np.full(len(truth), 1 / each))


def one(found: dict[str, Thresholds], name: str = "open") -> Thresholds:
    return found[name]


def test_a_budget_that_can_be_kept_is_promised() -> None:
    found = thresholds(CLASSES, looks(4), 1.0, RULES, background=frozenset({"closed"}))
    for name in CLASSES:
        own = found[name]
        assert own.trusted
        assert own.doubt is None
        assert own.background
        assert own.alarms is not None
        assert 0 < own.alarms <= 1
        assert own.misses is not None
        assert own.misses < 0.1
        assert 0.5 <= own.stay <= own.enter < 1


def test_a_smaller_budget_costs_more_misses() -> None:
    held_out = looks(3)
    found = [one(thresholds(CLASSES, held_out, 1.0, RULES, budget=Budget(alarms))) for alarms in (30.0, 1.0, 0.1)]
    assert found[0].enter < found[1].enter < found[2].enter
    assert (found[0].misses or 0) < (found[1].misses or 0) < (found[2].misses or 0)
    assert (found[0].alarms or 0) > (found[1].alarms or 0) > (found[2].alarms or 0)


def test_rarer_looks_and_more_of_them_lower_the_threshold() -> None:
    held_out = looks(3)
    usual = one(thresholds(CLASSES, held_out, 1.0, RULES))
    assert one(thresholds(CLASSES, held_out, 1.0, RULES, budget=Budget(interval=60))).enter < usual.enter
    assert one(thresholds(CLASSES, held_out, 1.0, replace(RULES, looks=5))).enter < usual.enter


def test_foreign_events_are_paid_first() -> None:
    held_out = looks(4)
    some = one(thresholds(CLASSES, held_out, 1.0, RULES, budget=Budget(1, foreign_events=50, foreign_accepted=0.01)))
    none = one(thresholds(CLASSES, held_out, 1.0, RULES))
    assert some.trusted
    assert some.enter > none.enter
    assert some.alarms is not None
    assert 0.5 < some.alarms <= 1
    many = one(thresholds(CLASSES, held_out, 1.0, RULES, budget=Budget(1, foreign_events=200)))
    assert not many.trusted
    assert many.doubt is Doubt.OUT_OF_REACH
    assert many.alarms is not None
    assert many.alarms > 1


def test_the_limit_keeps_the_budget_in_95_of_100_samples() -> None:
    """Against the distribution that the examples are drawn from: deviations 0.7 between and 0.7 within occasions."""
    kept, runs, true = 0, 300, NormalDist(3, math.hypot(0.7, 0.7))
    for seed in range(runs):
        own = one(thresholds(CLASSES, looks(3, occasions=8, each=3, seed=seed), 1.0, RULES))
        above = true.cdf(-math.log(own.enter / (1 - own.enter)))
        kept += above * MONTH / 10 / RULES.looks <= 1.5
    assert kept >= 0.95 * runs - 2 * math.sqrt(runs * 0.95 * 0.05)
    # And no wider than need be: with many occasions it comes near to what the distribution itself asks for.
    own = one(thresholds(CLASSES, looks(3, occasions=400), 1.0, RULES))
    needed = -true.inv_cdf(RULES.looks / (MONTH / 10))
    assert needed < math.log(own.enter / (1 - own.enter)) < needed + 1


def test_no_threshold_is_lower_than_the_rules() -> None:
    """Classes far apart would allow any: but looks in between are still unsure."""
    own = one(thresholds(CLASSES, looks(12), 1.0, Rules(enter_at=0.8, stay_at=0.6)))
    assert own.enter == pytest.approx(0.8)
    assert own.stay == pytest.approx(0.6)
    certain = one(thresholds(CLASSES, looks(12), 1.0, Rules(enter_at=1.0, stay_at=1.0)))
    assert 0.999 < certain.stay <= certain.enter < 1


def test_classes_too_close_are_out_of_reach() -> None:
    own = one(thresholds(CLASSES, looks(1, deviation=4), 1.0, RULES))
    assert not own.trusted
    assert own.doubt is Doubt.OUT_OF_REACH
    assert own.enter < 1
    assert own.misses is not None
    assert own.misses > 0.9


def test_few_occasions_are_not_trusted() -> None:
    for held_out in (None, looks(9, occasions=FEWEST - 1)):
        own = one(thresholds(CLASSES, held_out, 1.0, RULES))
        assert not own.trusted
        assert own.doubt is Doubt.FEW_OCCASIONS
        assert own.limits == SAFE
        assert own.alarms is None
        assert not own.background
    assert one(thresholds(CLASSES, looks(9, occasions=FEWEST), 1.0, RULES)).doubt is not Doubt.FEW_OCCASIONS
    # One class has been seen on enough occasions, the other hasn't: alarms of the first are what others make.
    held_out = looks(9)
    few = held_out.truth == 0
    few[np.flatnonzero(~few)[:4]] = True
    part = HeldOut(held_out.logits[few], held_out.truth[few], held_out.occasions[few], held_out.weights[few])
    found = thresholds(CLASSES, part, 1.0, RULES)
    assert found["open"].doubt is Doubt.FEW_OCCASIONS
    assert found["closed"].doubt is not Doubt.FEW_OCCASIONS


def test_one_class_is_left_to_plausibility() -> None:
    own = one(thresholds(("open",), None, 1.0, RULES))
    assert (own.enter, own.stay, own.trusted, own.doubt, own.background) == (0, 0, False, Doubt.ONE_CLASS, False)
    assert thresholds((), None, 1.0, RULES) == {}


def test_examples_that_are_all_the_same_still_give_a_threshold() -> None:
    truth = np.repeat([0, 1], 6)
    odds = np.where(truth == 0, 4.0, -4.0)
    held_out = HeldOut(np.stack([odds, 0 * odds], axis=1), truth, np.arange(12).astype(str), np.ones(12))
    own = one(thresholds(CLASSES, held_out, 1.0, RULES))
    assert own.enter == pytest.approx(0.5)
    assert own.misses == 0
    assert own.alarms == 0


def test_rules_take_the_thresholds_unless_the_user_set_them() -> None:
    found = thresholds(CLASSES, looks(9), 1.0, RULES)
    mine = Limits(0.7, 0.5)
    rules = with_thresholds(replace(RULES, per_class={"closed": mine}), found)
    assert rules.limits("open") == found["open"].limits
    assert rules.limits("closed") == mine
    assert rules.limits("other") == Limits(RULES.enter_at, RULES.stay_at)


@pytest.mark.parametrize("wrong", [{"alarms": 0}, {"interval": 0}, {"foreign_events": -1}, {"foreign_accepted": 1.1}])
def test_impossible_budgets_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="budget"):
        Budget(**wrong)


@pytest.mark.parametrize(("count", "exact"), [(10, 3.981), (30, 3.064), (100, 2.684)])
def test_tolerance_factors_are_those_of_the_tables(count: int, exact: float) -> None:
    """99 % below with confidence 95 %, exact by the non-central t distribution; the approximation is within 3 %."""
    assert tolerance_factor(0.01, count) == pytest.approx(exact, rel=0.03)
    assert tolerance_factor(0.01, 2) == math.inf
    assert tolerance_factor(0.01, 1e9) == pytest.approx(NormalDist().inv_cdf(0.99), rel=1e-3)


def test_spread_counts_occasions_not_looks() -> None:
    names = np.repeat(np.arange(6).astype(str), 10)
    level = np.repeat(np.arange(6.0), 10)
    mean, deviation, count = spread(level, names)
    assert (mean, count) == (2.5, 6)
    assert deviation == pytest.approx(np.std(np.arange(6), ddof=1))
    chance = np.random.default_rng(0)
    noise = chance.standard_normal(60)
    _, deviation, count = spread(noise, names)
    assert deviation == pytest.approx(1, abs=0.3)
    assert count > 40


@settings(max_examples=60)
@given(st.integers(2, 5), st.integers(0, 1000), st.floats(0.1, 50))
def test_log_odds_are_those_of_the_probabilities(classes: int, seed: int, scale: float) -> None:
    logits: NDArray[np.float64] = np.random.default_rng(seed).standard_normal((9, classes))
    for column in range(classes):
        share = probabilities(logits, scale)[:, column]
        odds = log_odds(logits * scale, column)
        assert np.isfinite(odds).all()
        assert 1 / (1 + np.exp(-odds)) == pytest.approx(share, abs=1e-9)
