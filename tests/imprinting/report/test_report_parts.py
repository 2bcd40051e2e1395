"""Odd examples, near-duplicates, learning curve, wants and open set: each against worlds whose truth is known."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
import pytest

from imprinting import Scores, fit
from imprinting.heads.cross_validation import Embeddings, Groups, Rule, Trial, Validation, cross_validate
from imprinting.report.estimates import Estimate, wilson
from imprinting.report.learning_curve import DOUBT, MORE, MOST_ROWS, UNSEEN, evenly, learning_curve, wanted
from imprinting.report.open_set import accepted_bank, accepted_classes, sure_enough
from imprinting.report.outliers import Cluster, Odd, near_duplicates, odd_ones

World = dict[str, NDArray[np.float32]]


def world(numbers: Mapping[str, int], *, noise: float = 0.3, seed: int = 0, length: int = 48) -> World:
    """Return embeddings about one centre per class; not of unit length, which nothing may depend on."""
    random = np.random.default_rng(seed)
    return {
        name: (3 * (random.normal(size=length) + noise * random.normal(size=(count, length)))).astype(np.float32)
        for name, count in numbers.items()
    }


def alone(embeddings: Embeddings) -> dict[str, list[str]]:
    """Return an occasion of its own for each row."""
    return {name: [f"{name} {row}" for row in range(len(part))] for name, part in embeddings.items()}


def numbered(embeddings: Embeddings) -> dict[str, list[str]]:
    """Return ids that are numbers counted through all classes."""
    ids, count = {}, 0
    for name, part in embeddings.items():
        ids[name] = [str(count + row) for row in range(len(part))]
        count += len(part)
    return ids


def validate(embeddings: Embeddings, groups: Groups) -> Validation:
    """Return the trials there have to be."""
    found = cross_validate(embeddings, groups)
    assert found is not None
    return found


def misfiled() -> World:
    """Return a world where the last of "open" shows what "closed" is."""
    rows = world({"open": 7, "closed": 8})
    rows["open"] = np.concatenate([rows["open"], rows["closed"][-1:]])
    rows["closed"] = rows["closed"][:-1]
    return rows


def test_a_misfiled_example_is_found() -> None:
    """And nothing else, with the class it looks like."""
    rows = misfiled()
    found = odd_ones(rows, alone(rows), validate(rows, alone(rows)), numbered(rows))
    assert [(one.id, one.class_id, one.likely) for one in found] == [("7", "open", "closed")]
    assert 0.7 <= found[0].sure <= 1


def test_a_clean_world_has_nothing_odd() -> None:
    """No false accusation."""
    rows = world({"a": 8, "b": 8, "c": 8})
    assert odd_ones(rows, alone(rows), validate(rows, alone(rows)), numbered(rows)) == ()


def test_as_sure_as_asked() -> None:
    """The threshold is the head's probability, inclusive."""
    rows = misfiled()
    found = validate(rows, alone(rows))
    sure = odd_ones(rows, alone(rows), found, numbered(rows), sure=0.0)[0].sure
    assert [one.sure for one in odd_ones(rows, alone(rows), found, numbered(rows), sure=sure)] == [sure]
    assert odd_ones(rows, alone(rows), found, numbered(rows), sure=np.nextafter(sure, 1)) == ()


def test_neighbours_have_to_agree() -> None:
    """A head that is wrong about an example among its like accuses nobody."""
    rows = world({"a": 6, "b": 6})
    wrong = Trial("a", 2, "a 2", "b", 0.1, 1.62, {"a": 0.1, "b": 0.9})
    assert odd_ones(rows, alone(rows), Validation((wrong,), 11, frozenset()), numbered(rows)) == ()
    # The same verdict about one that does lie among the others.
    rows["a"][2] = rows["b"][0] * 1.1
    found = odd_ones(rows, alone(rows), Validation((wrong,), 11, frozenset()), numbered(rows))
    assert found == (Odd("2", "a", "b", 0.9),)


def test_copies_of_one_visit_do_not_vouch_for_each_other() -> None:
    """Three frames of one visit, all misfiled, are each other's nearest: other visits are asked."""
    rows = world({"open": 6, "closed": 9})
    rows = {"open": np.concatenate([rows["open"], rows["closed"][-3:]]), "closed": rows["closed"][:-3]}
    groups = alone(rows)
    groups["open"][-3:] = ["visit"] * 3
    found = odd_ones(rows, groups, validate(rows, groups), numbered(rows))
    assert {one.id for one in found} == {"6", "7", "8"}


def test_the_surest_comes_first() -> None:
    """Of several."""
    rows = world({"a": 3, "b": 3})
    rows["a"][0] = rows["b"][1]
    rows["a"][1] = rows["b"][2] * 1.01
    trials = tuple(
        Trial("a", row, f"a {row}", "b", 1 - sure, 1.0, {"a": 1 - sure, "b": sure})
        for row, sure in ((0, 0.8), (1, 0.9))
    )
    found = odd_ones(rows, alone(rows), Validation(trials, 0, frozenset()), numbered(rows))
    assert [one.id for one in found] == ["1", "0"]


def copies(rows: World, name: str, row: int, count: int, noise: float = 0.01) -> None:
    """Append near-copies of a row to its class."""
    random = np.random.default_rng(9)
    original = rows[name][row]
    more = original + noise * np.linalg.norm(original) / 7 * random.normal(size=(count, len(original)))
    rows[name] = np.concatenate([rows[name], more.astype(np.float32)])


def test_near_copies_are_found_and_only_they() -> None:
    """The first stands for the others, whatever the lengths of the vectors."""
    rows = world({"a": 5, "b": 5})
    copies(rows, "a", 1, 2)
    rows["a"] *= np.linspace(0.5, 2, 7)[:, None].astype(np.float32)
    found = near_duplicates(rows, numbered(rows))
    assert found == (Cluster(("1", "5", "6"), ("a", "a", "a")),)
    assert found[0].redundant == ("5", "6")
    assert not found[0].contradictory


def test_one_picture_with_two_labels_is_a_contradiction() -> None:
    """One of each class is kept."""
    rows = world({"a": 4, "b": 4})
    copies(rows, "a", 0, 1)
    rows["b"] = np.concatenate([rows["b"], rows["a"][:1], rows["a"][:1]])
    found = near_duplicates(rows, numbered(rows))
    assert [(one.ids, one.classes) for one in found] == [(("0", "4", "9", "10"), ("a", "a", "b", "b"))]
    assert found[0].contradictory
    assert found[0].redundant == ("4", "10")


def test_small_steps_do_not_chain() -> None:
    """A camera that turns slowly: each frame is like the last, but not all are alike."""
    angles = np.linspace(0, 1.2, 40)
    turning = np.stack([np.cos(angles), np.sin(angles), np.zeros(40)], axis=1).astype(np.float32)
    other = np.tile(np.array([[0, 0, 1]], np.float32), (2, 1))
    found = near_duplicates({"a": turning, "b": other}, {"a": [str(i) for i in range(40)], "b": ["x", "y"]}, alike=0.01)
    of_a = [one for one in found if one.classes[0] == "a"]
    # The median distance between classes is 1: within 1 - cos(angle) <= 0.01 of the first of each cluster.
    reach = int(np.arccos(0.99) / (1.2 / 39))
    assert len(of_a[0].ids) == reach + 1
    assert len(of_a) == -(-40 // (reach + 1))
    members = [one for cluster in of_a for one in cluster.ids]
    assert len(members) == len(set(members))


def test_between_two_clusters_the_first_takes_it() -> None:
    """Near enough to both, an example is named once, and the other one stands alone."""
    angles = np.array([0.0, 0.2, 0.1])
    rows = np.stack([np.cos(angles), np.sin(angles), np.zeros(3)], axis=1).astype(np.float32)
    other = np.array([[0, 0, 1]], np.float32)
    found = near_duplicates({"a": rows, "b": other}, {"a": ["0", "1", "2"], "b": ["x"]}, alike=0.01)
    assert [one.ids for one in found] == [("0", "2")]


def test_without_a_second_class_only_the_same_picture_counts() -> None:
    """There is no distance to compare with; and nothing at all is no error."""
    rows = world({"a": 4})
    copies(rows, "a", 0, 1, noise=0.1)
    assert near_duplicates(rows, numbered(rows)) == ()
    rows["a"] = np.concatenate([rows["a"], rows["a"][:1]])
    assert [one.ids for one in near_duplicates(rows, numbered(rows))] == [("0", "5")]
    assert near_duplicates({}, {}) == ()


def test_of_very_many_the_latest_are_compared() -> None:
    """In equal parts of the classes."""
    rows = world({"a": 10, "b": 10})
    rows["a"][1], rows["a"][9] = rows["a"][0], rows["a"][8]
    assert [one.ids for one in near_duplicates(rows, numbered(rows), most=8)] == [("8", "9")]
    assert len(near_duplicates(rows, numbered(rows), most=20)) == 2


@pytest.mark.parametrize(("count", "most"), [(0, 5), (1, 5), (5, 5), (6, 5), (1000, 40), (41, 40), (3, 1)])
def test_evenly_spaced(count: int, most: int) -> None:
    """From the first to the last, without repeating one."""
    rows = evenly(count, most)
    assert len(rows) == min(count, most)
    assert len(set(rows.tolist())) == len(rows)
    if count > 1 and most > 1:
        assert rows[0] == 0 and rows[-1] == count - 1
        assert np.diff(rows).max() - np.diff(rows).min() <= 1


def test_the_curve_rises_where_more_is_better() -> None:
    """Noise is averaged away: 1, 2, 4 and 8 occasions of ten."""
    rows = world({"a": 10, "b": 10, "c": 10}, noise=2.5, seed=4)
    points = learning_curve(rows, alone(rows), repeats=20)
    assert [point.occasions for point in points] == [1, 2, 4, 8]
    assert [point.examples for point in points] == [1, 2, 4, 8]
    assert [point.trials for point in points] == [20 * 3 * (10 - size) for size in (1, 2, 4, 8)]
    assert points[0].accuracy < points[1].accuracy < points[2].accuracy
    assert points == learning_curve(rows, alone(rows), repeats=20)


def test_the_curve_never_asks_for_a_taught_occasion() -> None:
    """Not even where another class was taught it."""
    groups = {"a": ["1", "1", "2", "3"], "b": ["2", "3", "3", "4"]}
    rows = {
        name: np.array([[1, index + 10 * ("ab".index(name))] for index in range(4)], dtype=np.float32) for name in "ab"
    }
    occasion = {float(rows[name][row][1]): groups[name][row] for name in "ab" for row in range(4)}
    made: list[set[str]] = []

    class Head:
        def __init__(self, taught: Embeddings, told: Groups | None) -> None:
            assert told is not None
            self.seen = {occasion[float(row[1])] for part in taught.values() for row in part}
            assert self.seen == {group for own in told.values() for group in own}
            assert all(len(told[name]) == len(part) > 0 for name, part in taught.items())
            made.append(self.seen)

        def score(self, vector: NDArray[np.float32], /) -> Scores:
            assert occasion[float(vector[1])] not in self.seen
            return Scores({"a": 1.0, "b": 0.0}, {"a": 1.0, "b": 0.0}, "a", 1.0)

    points = learning_curve(rows, groups, Head, repeats=12)
    assert len({frozenset(seen) for seen in made}) > 2
    assert [point.occasions for point in points] == [1, 2]
    # The head always says "a": right about one class, wrong about the other.
    assert all(point.accuracy in {0.0, 0.5, 1.0} for point in points)


def test_the_curve_needs_two_classes_and_two_occasions() -> None:
    """Else there is nothing to ask for."""
    rows = world({"a": 4, "b": 4})
    assert learning_curve({"a": rows["a"]}, {"a": list("1234")}) == ()
    assert learning_curve(rows, {"a": ["1"] * 4, "b": ["2"] * 4}) == ()
    assert learning_curve({}, {}) == ()


def test_the_curve_looks_at_a_part_of_very_many() -> None:
    """So that it takes no longer with a thousand examples."""
    rows = world({"a": 300, "b": 3})
    points = learning_curve(rows, alone(rows), repeats=1)
    assert points[-1].occasions == 32
    assert points[-1].trials == MOST_ROWS - 32 + 1


def estimate(value: float) -> Estimate:
    """Return an estimate of which only the value counts."""
    return Estimate(value, 0, 1, value, 5, 5)


def trials(hits: Sequence[bool], name: str) -> list[Trial]:
    """Return trials of a class."""
    return [Trial(name, row, str(row), name if hit else "?", 0.5, 0.5) for row, hit in enumerate(hits)]


def test_what_is_few_and_what_is_wrong_is_wanted() -> None:
    """First the class of two examples, then the one that goes wrong, by the formula of the docstring."""
    rows = world({"few": 2, "poor": 8, "fine": 8})
    found = Validation(
        (*trials([True] * 2, "few"), *trials([True] * 4 + [False] * 4, "poor"), *trials([True] * 8, "fine")),
        0,
        frozenset(),
    )
    expected = {"few": estimate(0.95), "poor": estimate(0.5), "fine": estimate(1.0)}
    result = wanted(rows, alone(rows), found, expected)
    assert [one.class_id for one in result] == ["few", "poor", "fine"]
    poor = result[1]
    assert (poor.condition, poor.occasions) == (None, 8)
    assert poor.mistakes == pytest.approx(0.5)
    assert poor.need == pytest.approx((0.5 + DOUBT) / 8 * MORE / (8 + MORE))
    assert poor.gain == pytest.approx((1 / (1 + 8 / 13) - 0.5) / 3)
    assert result[2].gain == 0


def test_occasions_count_and_not_frames() -> None:
    """Twenty frames of one visit are one."""
    rows = world({"burst": 20, "days": 5})
    groups = {"burst": ["1"] * 20, "days": list("12345")}
    expected = {"burst": estimate(0.9), "days": estimate(0.9)}
    found = Validation((*trials([True] * 20, "burst"), *trials([True] * 5, "days")), 0, frozenset({"burst"}))
    result = wanted(rows, groups, found, expected)
    assert [(one.class_id, one.occasions) for one in result] == [("burst", 1), ("days", 5)]


def test_a_condition_that_was_never_taught_is_wanted_most() -> None:
    """Open by day only, closed by day and night: open at night; but not what is known of a minority."""
    rows = world({"open": 4, "closed": 8, "ajar": 8})
    conditions = {
        "open": ["day"] * 4,
        "closed": ["day"] * 4 + ["night"] * 4,
        "ajar": ["day"] * 4 + ["night"] * 3 + ["snow"],
    }
    expected = dict.fromkeys(rows, estimate(0.9))
    found = Validation(
        tuple(one for name, part in rows.items() for one in trials([True] * len(part), name)), 0, frozenset()
    )
    result = wanted(rows, alone(rows), found, expected, conditions)
    assert (result[0].class_id, result[0].condition, result[0].occasions) == ("open", "night", 0)
    assert result[0].mistakes == UNSEEN
    assert result[0].need == pytest.approx(2 * (UNSEEN + DOUBT))
    cells = {(one.class_id, one.condition) for one in result}
    assert ("ajar", "snow") in cells and ("open", "snow") not in cells
    assert len(result) == 7


def test_mistakes_are_those_under_the_condition() -> None:
    """Four right by day, two wrong at night."""
    rows = world({"a": 6, "b": 6})
    conditions = dict.fromkeys(rows, ["day"] * 4 + ["night"] * 2)
    found = Validation((*trials([True] * 4 + [False] * 2, "a"), *trials([True] * 6, "b")), 0, frozenset())
    expected = {"a": estimate(0.7), "b": estimate(1.0)}
    by_cell = {
        (one.class_id, one.condition): one.mistakes for one in wanted(rows, alone(rows), found, expected, conditions)
    }
    assert by_cell["a", "day"] == pytest.approx(2 * 0.3 / 6)
    assert by_cell["a", "night"] == pytest.approx((2 + 2 * 0.3) / 4)
    assert by_cell["b", "night"] == 0


def test_without_trials_all_is_unknown() -> None:
    """One example each: nothing was asked for."""
    rows = world({"a": 1, "b": 1})
    assert {one.mistakes for one in wanted(rows, alone(rows), None, {})} == {UNSEEN}


def anything(embeddings: Embeddings, groups: Groups | None) -> Rule:
    """Accept every look."""
    return lambda vector, scores: True


def test_each_class_is_left_out_in_turn() -> None:
    """The rule and the head never know the class that is asked for."""
    rows = world({"a": 3, "b": 4, "c": 5})
    judged = []

    def judge(taught: Embeddings, told: Groups | None) -> Rule:
        assert told is not None and told.keys() == taught.keys()
        (missing,) = rows.keys() - taught.keys()
        known = {row.tobytes() for row in rows[missing]}
        judged.append(missing)
        # Accepts the looks at "b" only.
        return lambda vector, scores: vector.tobytes() in known and scores.best != missing and missing == "b"

    found = accepted_classes(rows, alone(rows), fit=fit, judge=judge)
    assert judged == ["a", "b", "c"]
    assert found is not None
    assert found.share == pytest.approx(1 / 3)
    assert found.asked == 12
    assert (found.low, found.high) == pytest.approx(wilson(1 / 3, 12))


def test_background_is_no_false_accept() -> None:
    """Near misses that are taken for background are right enough."""
    rows = world({"a": 3, "b": 3, "c": 3})
    everything = accepted_classes(rows, alone(rows), fit=fit, judge=anything)
    nothing = accepted_classes(rows, alone(rows), fit=fit, judge=anything, ignored=frozenset("abc"))
    assert everything is not None and nothing is not None
    assert (everything.share, nothing.share) == (1, 0)


def test_two_classes_say_nothing_about_a_third() -> None:
    """A head of one class has no rival to be unsure of."""
    rows = world({"a": 3, "b": 3})
    assert accepted_classes(rows, alone(rows), fit=fit, judge=anything) is None


def test_the_bank_is_asked_of_the_whole_head() -> None:
    """Pictures of a class are taken for it, what is between the classes is not."""
    rows = world({"a": 6, "b": 6})
    middle = (rows["a"] / np.linalg.norm(rows["a"]) + rows["b"] / np.linalg.norm(rows["b"])).astype(np.float32)
    bank = np.concatenate([rows["a"][:2], middle])
    found = accepted_bank(rows, alone(rows), bank, fit=fit, judge=sure_enough())
    assert found is not None
    assert found.share == pytest.approx(2 / 8)
    assert (found.low, found.high) == pytest.approx(wilson(2 / 8, 8))
    for none in (None, bank[:0]):
        assert accepted_bank(rows, alone(rows), none, fit=fit, judge=sure_enough()) is None
    assert accepted_bank({}, {}, bank, fit=fit, judge=sure_enough()) is None


def test_sure_enough_is_a_threshold() -> None:
    """Inclusive; and a head without probabilities is never sure."""
    accepts = sure_enough(0.8)({}, None)
    vector = np.zeros(2, np.float32)
    assert accepts(vector, Scores({}, {}, "a", 0.8))
    assert not accepts(vector, Scores({}, {}, "a", 0.79))
    assert not sure_enough(0.0)({}, None)(vector, Scores({"a": 1.0}, {}))
