"""Forecasts and their intervals, against published figures, integration by hand and simulation."""

from collections.abc import Sequence
import math

from hypothesis import given, strategies as st
import numpy as np
import pytest

from imprinting.heads.cross_validation import Trial, Validation
from imprinting.report.estimates import Estimate, mean_of, more_taught, predict_classes, share_of, student, wilson


def trial(right: float, *, name: str = "a", occasion: str = "1", row: int = 0) -> Trial:
    """Return a trial of one of two classes with this probability of the right one."""
    other = "b" if name == "a" else "a"
    return Trial(name, row, occasion, name if right > 0.5 else other, right, 0.0, {name: right, other: 1 - right})


def validation(
    right: Sequence[float], occasions: Sequence[str] | None = None, split: frozenset[str] = frozenset()
) -> Validation:
    """Return trials of class "a", each of its own occasion unless told otherwise."""
    own = occasions or [str(row) for row in range(len(right))]
    return Validation(
        tuple(trial(one, occasion=group, row=row) for row, (one, group) in enumerate(zip(right, own, strict=True))),
        0,
        split,
    )


@pytest.mark.parametrize(
    ("share", "number", "low", "high"),
    [
        # Newcombe, Statistics in Medicine 17 (1998), 857-872, table I, method 3.
        (81 / 263, 263, 0.2553, 0.3662),
        (15 / 148, 148, 0.0624, 0.1605),
        (0 / 20, 20, 0.0, 0.1611),
        (1 / 29, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_is_as_published(share: float, number: float, low: float, high: float) -> None:
    """To the four places printed there."""
    assert wilson(share, number) == pytest.approx((low, high), abs=6e-5)
    assert wilson(1 - share, number) == pytest.approx((1 - high, 1 - low), abs=6e-5)


@pytest.mark.parametrize(("share", "number"), [(1.1, 5), (-0.1, 5), (math.nan, 5), (0.5, 0)])
def test_wilson_refuses_what_is_no_share(share: float, number: float) -> None:
    """Nothing follows from no trial."""
    with pytest.raises(ValueError, match="share"):
        wilson(share, number)


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 7, 8, 30, 31, 299, 300, 1000])
@pytest.mark.parametrize("value", [-40.0, -2.5, -0.3, 0.0, 0.7, 1.96, 12.0])
def test_student_is_its_density_integrated(freedom: int, value: float) -> None:
    """By Simpson's rule from 0 on, the density as in textbooks; the normal distribution is near enough from 300 on."""
    grid = np.linspace(0, value, 20001)
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(freedom * math.pi)
    density = scale * (1 + grid**2 / freedom) ** (-(freedom + 1) / 2)
    weights = np.ones(20001)
    weights[1:-1:2], weights[2:-1:2] = 4, 2
    expected = 0.5 + float(weights @ density) * (value / 20000) / 3
    assert student(value, freedom) == pytest.approx(expected, abs=1e-7 if freedom < 300 else 1e-3)


def test_student_needs_a_degree_of_freedom() -> None:
    """One trial has no deviation."""
    with pytest.raises(ValueError, match="freedom"):
        student(1.0, 0)


@given(accuracy=st.floats(0, 1), part=st.floats(0, 1))
def test_more_examples_divide_the_odds_of_a_mistake(accuracy: float, part: float) -> None:
    """And never turn certainty either way into something else."""
    more = more_taught(accuracy, part)
    assert accuracy - 1e-12 <= more <= 1
    if accuracy > 1e-6:
        assert (1 - more) / more == pytest.approx(part * (1 - accuracy) / accuracy, abs=1e-9)
    assert more_taught(0.0, part) == 0
    assert more_taught(1.0, part) == 1


def test_never_all_or_nothing_from_few() -> None:
    """Five right ones of five: almost all, and possibly little more than half."""
    estimate = predict_classes(validation([0.97, 0.99, 0.95, 0.98, 0.96]))["a"]
    assert 0.97 < estimate.value < 1
    assert (estimate.low, estimate.high) == pytest.approx((0.5655, 1.0), abs=3e-3)
    assert estimate.measured == 1
    assert (estimate.trials, estimate.occasions) == (5, 5)


def test_how_clear_the_trials_were_counts() -> None:
    """All right, but one set barely."""
    clear = predict_classes(validation([0.95, 0.97, 0.96, 0.98]))["a"].value
    barely = predict_classes(validation([0.55, 0.97, 0.6, 0.99]))["a"].value
    assert barely < clear - 0.02


def test_a_forecast_by_hand() -> None:
    """Log odds 1, 2, 3 and -1 of four occasions: mean 1.25, squares 8.75, three degrees of freedom."""
    right = [1 / (1 + math.exp(-margin)) for margin in (1.0, 2.0, 3.0, -1.0)]
    smooth = student(1.25 / math.sqrt(8.75 / 3 * 1.25), 3)
    before = (4 * 0.75 + 5 * smooth) / 9
    estimate = predict_classes(validation(right))["a"]
    assert estimate.value == pytest.approx(before / (before + 0.75 * (1 - before)))
    assert estimate.measured == 0.75
    # The upper end is that of the greater of what is expected and what was counted, the lower of the lesser.
    assert estimate.value > 0.75
    assert estimate.low == pytest.approx(wilson(0.75, 4)[0])
    high = wilson(estimate.value, 4)[1]
    assert estimate.high == pytest.approx(high / (high + (1 - high) / 2))


def test_a_forecast_from_one_occasion_by_hand() -> None:
    """Margins 4 and 6 of a burst: two thirds of them on other days, and a quarter of spread more."""
    right = [1 / (1 + math.exp(-margin)) for margin in (4.0, 6.0)]
    smooth = student(10 / 3 / (math.sqrt(2 + 1.25**2) * math.sqrt(1.5)), 1)
    before = (smooth + 1) / 2
    estimate = predict_classes(validation(right, ["1", "1"], frozenset({"a"})))["a"]
    assert estimate.value == pytest.approx(before / (before + (1 - before) / 2))
    assert estimate.occasions == 1
    assert estimate.low == pytest.approx(wilson(estimate.value, 1)[0])
    assert estimate.low < 0.25 and estimate.high > 0.99


def test_one_burst_is_believed_less_than_days() -> None:
    """The same trials, once of five days and once of one: expected less, and known much less."""
    right = [0.97, 0.99, 0.95, 0.98, 0.96]
    days = predict_classes(validation(right))["a"]
    burst = predict_classes(validation(right, ["1"] * 5, frozenset({"a"})))["a"]
    assert burst.value < days.value
    assert burst.low < days.low - 0.25


def test_frames_of_an_occasion_count_as_one() -> None:
    """Twenty trials of two visits are two for the interval."""
    apart = predict_classes(validation([0.9] * 20))["a"]
    together = predict_classes(validation([0.9] * 20, ["1", "2"] * 10))["a"]
    assert together.low == pytest.approx(wilson(min(together.value, 1), 2)[0])
    assert apart.low > together.low + 0.4


def test_certain_and_saturated_trials_are_no_error() -> None:
    """Probabilities of exactly 0 and 1, all margins equal, and a trial alone."""
    for right in ([1.0, 1.0], [0.0, 1.0], [1.0], [0.0]):
        estimate = predict_classes(validation(right))["a"]
        assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1


def test_the_mean_over_classes_by_hand() -> None:
    """Downwards the distances add up as squares, upwards plainly."""
    one = Estimate(0.9, 0.6, 0.96, 0.8, 10, 4)
    two = Estimate(0.7, 0.5, 0.9, 0.75, 20, 6)
    both = mean_of([one, two])
    assert both.value == pytest.approx(0.8)
    assert both.low == pytest.approx((0.8 + 0.7 - math.sqrt(0.2**2 + 0.2**2)) / 2)
    assert both.high == pytest.approx(0.93)
    assert both.measured == pytest.approx(0.775)
    assert (both.trials, both.occasions) == (30, 10)


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 3)), min_size=1, max_size=12), st.booleans())
def test_an_estimate_is_always_in_its_interval(found: list[tuple[float, int]], split: bool) -> None:
    """Whatever the trials were."""
    occasions = ["0" if split else str(group) for _, group in found]
    own = validation([right for right, _ in found], occasions, frozenset({"a"} if split else ()))
    for estimate in (predict_classes(own)["a"], mean_of(predict_classes(own).values()), share_of(own.trials)):
        assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
        assert estimate.low <= estimate.measured <= estimate.high + 1e-12


def test_shares_are_means_over_classes() -> None:
    """Nine right of "a" don't hide one wrong of "b"."""
    trials = [trial(0.9, occasion=str(row)) for row in range(9)] + [trial(0.2, name="b", occasion="x")]
    estimate = share_of(trials)
    assert estimate.value == pytest.approx(0.5)
    assert (estimate.trials, estimate.occasions) == (10, 10)


def test_intervals_hold_what_happens() -> None:
    """Looks whose margins are normal about a class's mean: at least 93 of 100 intervals hold the true accuracy."""
    random = np.random.default_rng(11)
    held, distance = 0, []
    for _ in range(400):
        mean = random.uniform(0.2, 2.5)
        truth = 0.5 * math.erfc(-mean / math.sqrt(2))
        found = predict_classes(validation((1 / (1 + np.exp(-random.normal(mean, 1, size=12)))).tolist()))["a"]
        held += found.low <= truth <= found.high
        distance.append(found.value - truth)
    assert held >= 0.93 * 400
    assert abs(np.mean(distance)) < 0.03


def test_known_is_not_much_below() -> None:
    """Fifteen points."""
    assert Estimate(0.9, 0.76, 1.0, 0.9, 20, 20).known
    assert not Estimate(0.9, 0.74, 0.91, 0.9, 20, 20).known


def test_two_occasions_taught_half_each() -> None:
    """The head of both makes half of the mistakes, in odds; with twenty, the folds left out a tenth."""
    right = [0.9, 0.8, 0.4, 0.95] * 5
    values = {
        number: predict_classes(validation(right, [str(row % number) for row in range(20)]))["a"].value
        for number in (2, 4, 10, 20)
    }
    odds = {number: (1 - value) / value for number, value in values.items()}
    assert odds[4] == pytest.approx(1.5 * odds[2])
    assert odds[10] == pytest.approx(1.8 * odds[2]) == odds[20]
