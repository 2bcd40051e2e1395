"""Occasions, cross-validation by them, and the choice among extractors, against plain re-statements."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
import itertools

from hypothesis import given, settings, strategies as st
import numpy as np
from numpy.typing import NDArray
import pytest

from imprinting import Scores, fit
from imprinting.heads.cross_validation import Embeddings, Fit, Groups, Trial, Validation, cross_validate, occasions
from imprinting.report.extractor_choice import ENOUGH, Advice, Candidate, advise

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def after(*hours: float) -> list[datetime]:
    """Return moments so many hours after noon."""
    return [NOON + timedelta(hours=hour) for hour in hours]


class Recording:
    """A head that remembers what it was taught and asked; it finds every class as probable as the others."""

    def __init__(self, embeddings: Embeddings, groups: Groups | None) -> None:
        """Take the numbers of the rows, and their groups."""
        assert groups is not None
        self.taught = {name: {int(row[1]) for row in part} for name, part in embeddings.items()}
        self.told = {name: list(own) for name, own in groups.items()}
        self.asked: list[int] = []

    def score(self, vector: NDArray[np.float32], /) -> Scores:
        """Write down the number of the row."""
        self.asked.append(int(vector[1]))
        even = dict.fromkeys(self.taught, 1 / len(self.taught))
        return Scores(even, even, next(iter(even)), 1 / len(even))


def recorder() -> tuple[list[Recording], Fit]:
    """Return the heads that a fit will have made, and the fit."""
    heads: list[Recording] = []

    def make(embeddings: Embeddings, groups: Groups | None) -> Recording:
        heads.append(Recording(embeddings, groups))
        return heads[-1]

    return heads, make


def numbered(groups: Mapping[str, Sequence[str]]) -> dict[str, NDArray[np.float32]]:
    """Return embeddings whose second value is a number of their own, counted through all classes."""
    count = itertools.count()
    return {name: np.array([[1, next(count)] for _ in own], dtype=np.float32) for name, own in groups.items()}


def clouds(seed: int, groups: Mapping[str, Sequence[str]], noise: float) -> dict[str, NDArray[np.float32]]:
    """Return embeddings about one centre per class, drawn anew for each row."""
    random = np.random.default_rng(seed)
    centres = {name: random.normal(size=32) for name in groups}
    return {
        name: (centres[name] + noise * random.normal(size=(len(own), 32))).astype(np.float32)
        for name, own in groups.items()
    }


def test_a_long_pause_begins_an_occasion() -> None:
    """In the order given, whatever that is; a pause of just the gap does not yet."""
    times = after(30, 0, 1.9, 3.9, 5.91, 30.5)
    first, second, third = (moment.isoformat() for moment in after(0, 5.91, 30))
    assert occasions(times) == [third, first, first, first, second, third]
    assert occasions(times, gap=timedelta(hours=48), longest=timedelta(hours=48)) == [first] * 6
    assert occasions([]) == []


def test_an_occasion_without_a_pause_ends_after_a_while() -> None:
    """A camera that files examples every hour has several occasions, not one of weeks."""
    found = occasions(after(*range(36)))
    assert len(set(found)) == 3
    assert found[:13] == [NOON.isoformat()] * 13


def test_moments_of_different_time_zones_are_one_timeline() -> None:
    """Ten in Berlin's summer is eight in UTC."""
    berlin = datetime.fromisoformat("2026-06-01T10:00:00+02:00")
    found = occasions([berlin, datetime(2026, 6, 1, 9, 59, tzinfo=UTC)])
    assert len(set(found)) == 1


group_lists = st.dictionaries(
    st.sampled_from("abcde"),
    st.lists(st.sampled_from([f"day {index}" for index in range(15)]), min_size=1, max_size=25),
    min_size=2,
)


@settings(max_examples=150)
@given(groups=group_lists, most=st.integers(2, 12), seed=st.integers(0, 3))
def test_what_is_asked_was_never_taught(groups: dict[str, list[str]], most: int, seed: int) -> None:
    """No occasion of a class on both sides unless it is split; every class taught; each example asked at most once."""
    heads, make = recorder()
    found = cross_validate(numbered(groups), groups, make, most_folds=most, seed=seed)
    every = {name: {int(row[1]) for row in part} for name, part in numbered(groups).items()}
    occasion = {
        int(row[1]): own for name, part in numbered(groups).items() for row, own in zip(part, groups[name], strict=True)
    }
    assert len(heads) <= most
    for head in heads:
        assert all(head.taught[name] for name in groups)
        for name, rows in every.items():
            asked, left = rows & set(head.asked), head.taught[name]
            assert not asked & left
            assert asked | left == rows
            assert head.told[name] == [occasion[row] for row in sorted(left)]
            if found and name not in found.split:
                assert not {occasion[row] for row in asked} & {occasion[row] for row in left}
    asked_rows = [row for head in heads for row in head.asked]
    assert len(asked_rows) == len(set(asked_rows))
    testable = any(len(own) > 1 for own in groups.values())
    assert (found is not None) == bool(asked_rows)
    if found:
        assert len(found.trials) == len(asked_rows)
        assert found.untested == sum(map(len, groups.values())) - len(asked_rows)
        assert found.split == {name for name, own in groups.items() if len(own) > 1 and len(set(own)) == 1}
        assert [(t.class_id, t.row) for t in found.trials] == sorted(
            ((t.class_id, t.row) for t in found.trials), key=lambda one: (list(groups).index(one[0]), one[1])
        )
        assert all(groups[trial.class_id][trial.row] == trial.occasion for trial in found.trials)
    else:
        assert not testable or most == 2


def test_few_occasions_are_left_out_one_by_one() -> None:
    """Each once, for all classes together; nothing remains untested."""
    groups = {"open": ["mon", "mon", "tue"], "closed": ["mon", "tue", "wed", "wed"]}
    heads, make = recorder()
    found = cross_validate(numbered(groups), groups, make)
    assert found is not None and found.untested == 0 and not found.split
    asked = [set(head.asked) for head in heads]
    assert sorted(map(sorted, asked)) == [[0, 1, 3], [2, 4], [5, 6]]


def test_many_occasions_are_dealt_so_that_folds_resemble_each_other() -> None:
    """Ten folds, each with its share of each class."""
    groups = {name: [f"{name} {index}" for index in range(40)] for name in ("a", "b", "c")}
    heads, make = recorder()
    found = cross_validate(numbered(groups), groups, make)
    assert found is not None and found.untested == 0
    assert len(heads) == 10
    for head in heads:
        assert [len(rows) for rows in head.taught.values()] == [36, 36, 36]


@pytest.mark.parametrize("seed", range(5))
def test_folds_are_balanced_where_occasions_are_not(seed: int) -> None:
    """One large occasion on one side, the small ones on the other."""
    groups = {"a": ["large"] * 10 + [str(index) for index in range(10)], "b": ["x", "y"]}
    heads, make = recorder()
    cross_validate(numbered(groups), groups, make, most_folds=2, seed=seed)
    assert sorted(len(head.taught["a"]) for head in heads) == [10, 10]


def test_no_fold_takes_all_of_a_class_where_another_will_do() -> None:
    """Balance would put both occasions of "a" together; then it could not be asked for."""
    groups = {"a": ["1", "2"], "b": ["large"] * 7 + ["2", "x", "y", "z"], "c": ["1", "w"]}
    found = cross_validate(numbered(groups), groups, recorder()[1], most_folds=2)
    assert found is not None and found.untested == 0


def test_a_class_of_one_occasion_is_halved_in_order() -> None:
    """The first half answers for the second and the other way round; the result says so."""
    groups = {"a": ["one"] * 5, "b": ["one", "two"], "lonely": ["one"]}
    heads, make = recorder()
    found = cross_validate(numbered(groups), groups, make)
    assert found is not None
    assert found.split == {"a"}
    assert found.untested == 1
    asked = [set(head.asked) for head in heads]
    assert sorted(map(sorted, asked)) == [[0, 1], [2, 3, 4], [5], [6]]


@pytest.mark.parametrize("groups", [{}, {"a": ["x", "y"]}, {"a": ["x"], "b": ["y"], "c": ["x"]}])
def test_nothing_to_ask(groups: dict[str, list[str]]) -> None:
    """One class, or one example each, say nothing."""
    assert cross_validate(numbered(groups), groups) is None


def test_contradictions_are_refused() -> None:
    """Groups for other rows or classes, and less than two folds."""
    rows = np.eye(3, dtype=np.float32)
    for groups in ({"a": ["x"] * 3}, {"a": ["x"] * 3, "b": ["x"] * 2}):
        with pytest.raises(ValueError, match="occasion"):
            cross_validate({"a": rows, "b": rows}, groups)
    with pytest.raises(ValueError, match="folds"):
        cross_validate({"a": rows}, {"a": ["x"] * 3}, most_folds=1)


def test_figures_are_those_of_heads_fitted_by_hand() -> None:
    """Accuracy, probability, loss and confusion, one occasion at a time."""
    groups = {"a": ["1", "2", "2"], "b": ["2", "3"], "c": ["1", "3", "3", "3"]}
    rows = clouds(3, groups, 4)
    found = cross_validate(rows, groups)
    assert found is not None
    expected = []
    for name, own in groups.items():
        for row, out in enumerate(own):
            keep = {other: [g != out for g in groups[other]] for other in groups}
            head = fit(
                {other: rows[other][np.array(keep[other])] for other in groups},
                {other: [g for g in groups[other] if g != out] for other in groups},
            )
            scores = head.score(rows[name][row])
            truth = {other: float(other == name) for other in groups}
            loss = sum((scores.probability[other] - truth[other]) ** 2 for other in groups)
            expected.append((name, row, out, scores.best, scores.probability[name], loss))
    got = [(t.class_id, t.row, t.occasion, t.decided, t.probability, t.loss) for t in found.trials]
    assert [one[:4] for one in got] == [one[:4] for one in expected]
    np.testing.assert_allclose([one[4:] for one in got], [one[4:] for one in expected], atol=1e-6)
    shares = {n: [one[3] == n for one in expected if one[0] == n] for n in groups}
    assert found.by_class == pytest.approx({name: np.mean(share) for name, share in shares.items()})
    assert 0 < found.accuracy < 1
    assert found.accuracy == pytest.approx(np.mean(list(found.by_class.values())))
    assert found.loss == pytest.approx(np.mean([np.mean([e[5] for e in expected if e[0] == n]) for n in groups]))
    assert found.probability == pytest.approx(
        np.mean([np.mean([float(e[4]) for e in expected if e[0] == n]) for n in groups])
    )
    assert sum(sum(row.values()) for row in found.confusion.values()) == 9
    for name, row_counts in found.confusion.items():
        assert row_counts.get(name, 0) == sum(shares[name])


def test_near_copies_do_not_flatter() -> None:
    """Labels without meaning, ten near-copies per visit: a random split would find them easy to tell apart."""
    random = np.random.default_rng(5)
    visits = random.normal(size=(12, 64))
    rows = {
        name: np.concatenate([visits[v] + 0.01 * random.normal(size=(10, 64)) for v in own]).astype(np.float32)
        for name, own in (("a", range(6)), ("b", range(6, 12)))
    }
    together = {name: [f"{name} {index // 10}" for index in range(60)] for name in rows}
    apart = {name: [f"{name} {index}" for index in range(60)] for name in rows}
    grouped, leaking = cross_validate(rows, together), cross_validate(rows, apart)
    assert grouped is not None and leaking is not None
    assert leaking.accuracy > 0.95
    assert grouped.accuracy < 0.7


def validation(losses: Sequence[float], occasion: Sequence[str] | None = None) -> Validation:
    """Return trials of two classes by turns, each of its own occasion unless told otherwise."""
    own = occasion or [str(index) for index in range(len(losses))]
    trials = [Trial("ab"[i % 2], i // 2, own[i], "ab"[i % 2], 0.5, loss) for i, loss in enumerate(losses)]
    return Validation(tuple(sorted(trials, key=lambda trial: (trial.class_id, trial.row))), 0, frozenset())


def candidates(*losses: Sequence[float], occasion: Sequence[str] | None = None) -> list[Candidate]:
    """Return candidates "0", "1", … with costs 0, 1, … and these losses."""
    return [Candidate(str(cost), cost, validation(one, occasion)) for cost, one in enumerate(losses)]


def test_p_values_are_shares_of_signs() -> None:
    """Eight occasions: 256 ways to set the signs, counted here one by one."""
    worse = [0.5, 0.2, 0.4, -0.1, 0.3, 0.05, -0.3, 0.1]
    advice = advise(candidates([1 + one for one in worse], [1.0] * 8), margin=0)
    at_least = sum(
        sum(sign * one for sign, one in zip(signs, worse, strict=True)) >= sum(worse) - 1e-9
        for signs in itertools.product((1, -1), repeat=8)
    )
    assert advice.worse == {"0": at_least / 256, "1": 1.0}
    assert advice.occasions == 8
    assert advice.best == "1"


def test_many_occasions_are_judged_by_drawn_signs_as_by_all() -> None:
    """The share over 4096 draws is within four standard errors of the one over all 65,536 signs, and stays the same."""
    random = np.random.default_rng(8)
    worse = random.normal(0.25, 1, size=16)
    first = advise(candidates((2 + worse).tolist(), [2.0] * 16), margin=0)
    again = advise(candidates((2 + worse).tolist(), [2.0] * 16), margin=0)
    exact = np.mean(np.array(list(itertools.product((1, -1), repeat=16))) @ worse >= worse.sum() - 1e-9)
    assert worse.sum() > 0
    assert abs(first.worse["0"] - exact) < 4 * np.sqrt(exact * (1 - exact) / 4096)
    assert first == again


def test_examples_of_one_occasion_count_once() -> None:
    """Twenty wins in two visits prove what two wins prove."""
    losses = [1.0] * 20, [0.1] * 20
    apart = advise(candidates(*losses), level=0.05)
    together = advise(candidates(*losses, occasion=["mon"] * 10 + ["tue"] * 10), level=0.05)
    assert apart.worse["0"] < 0.001 and apart.recommended == "1"
    assert together.worse["0"] == 0.25
    assert together.occasions == 2 and not together.enough
    assert together.cheapest == "0"


CLEAR, LITTLE = [0.9, 0.8, 1.0, 0.7, 0.9, 0.8, 1.0, 0.9], [0.31, 0.1, 0.3, 0.12, 0.3, 0.1, 0.29, 0.1]
SAME = [0.3, 0.1, 0.3, 0.1, 0.3, 0.1, 0.3, 0.1]
SLIGHTLY_WORSE = [0.5, 0.0, 0.5, 0.0, 0.1, 0.2, 0.3, 0.2]


@pytest.mark.parametrize(
    ("losses", "default", "recommended"),
    [
        ([CLEAR, SAME, SAME], "1", "1"),  # cheaper is worse, dearer no better
        ([CLEAR, SAME, SAME], "2", "1"),  # as good for less
        ([CLEAR, CLEAR, SAME], "1", "2"),  # the default is worse
        ([CLEAR, LITTLE, SAME], "2", "1"),  # worse by nothing that matters
        ([SLIGHTLY_WORSE, CLEAR, SAME], "1", "0"),  # off the default: the cheapest that is not significantly worse
        ([SLIGHTLY_WORSE, SAME, SAME], "1", "1"),  # on it: not for what seems a little worse
        ([SLIGHTLY_WORSE, SAME, SAME], None, "0"),
        ([CLEAR, SAME, SAME], "not at hand", "1"),
        ([CLEAR[:4], CLEAR[:4], SAME[:4]], "1", "1"),  # too few occasions to overrule the default
        ([SAME[:4], SAME[:4], CLEAR[:4]], "1", "1"),  # neither for less
        ([CLEAR[:2], CLEAR[:2], SAME[:2]], None, "2"),
    ],
)
def test_recommended(losses: list[list[float]], default: str | None, recommended: str) -> None:
    """What is recommended where cost rises from left to right."""
    advice = advise(candidates(*losses), default)
    assert advice.recommended == recommended
    assert advice.enough == (len(losses[0]) >= ENOUGH)


def test_no_difference_is_never_significant() -> None:
    """Not between equals, and not one within the margin however many occasions show it."""
    many = [0.1] * 40
    assert advise(candidates(many, many), margin=0).worse == {"0": 1.0, "1": 1.0}
    for margin, significant in ((0.0, True), (0.008, True), (0.012, False)):
        advice = advise(candidates([0.11] * 40, many), "1", margin=margin)
        assert advice.recommended == ("1" if significant else "0")
        assert advice.worse["0"] == (1 / 4096 if significant else 1.0)


@pytest.mark.parametrize("seed", range(20))
def test_only_the_observed_signs_reach_the_largest_sum(seed: int) -> None:
    """However the sums are rounded; and a p-value of just the level is significant."""
    worse = np.random.default_rng(seed).uniform(0.1, 0.9, size=8).tolist()
    both = candidates([1 + one for one in worse], [1.0] * 8)
    assert advise(both, margin=0).worse["0"] == 1 / 256
    assert advise(both, margin=0, level=1 / 256).cheapest == "1"


def test_the_order_of_candidates_does_not_matter() -> None:
    """Keys and costs decide, never places."""
    given = candidates(CLEAR, SLIGHTLY_WORSE, LITTLE, SAME, SAME)
    for order in itertools.permutations(given):
        advice = advise(order, "3")
        assert (advice.best, advice.cheapest, advice.recommended) == ("3", "1", "2")


def test_one_candidate_is_the_best() -> None:
    """Nothing to compare it with is no error."""
    assert advise(candidates(SAME), "0") == Advice("0", "0", "0", {"0": 1.0}, 8, True)


def test_incomparable_candidates_are_refused() -> None:
    """None, twice the same, a cost that is none, other examples."""
    one, two = candidates(SAME, CLEAR)
    for wrong in (
        [],
        [one, one],
        [one, replace(two, cost=float("nan"))],
        [one, replace(two, validation=validation(CLEAR[:6]))],
        [one, replace(two, validation=validation(CLEAR, ["x"] * 8))],
    ):
        with pytest.raises(ValueError, match=r"candidate|compare"):
            advise(wrong)


def test_a_blind_extractor_loses_to_a_seeing_one() -> None:
    """From embeddings to advice: noise is cheaper, and not recommended."""
    groups = {name: [f"{name} {index}" for index in range(8)] for name in ("open", "closed", "ajar")}
    found = {
        "noise": cross_validate(clouds(1, groups, 50), groups),
        "eye": cross_validate(clouds(2, groups, 1), groups),
    }
    offered = [Candidate(key, cost, one) for cost, (key, one) in enumerate(found.items()) if one]
    assert len(offered) == 2
    advice = advise(offered, "noise")
    assert (advice.best, advice.recommended) == ("eye", "eye")
    assert advice.worse["noise"] < 0.01
