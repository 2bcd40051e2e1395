"""The evaluation as a whole, its sentences, and whether it told the truth about a real camera."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
import json
from pathlib import Path
import string

import numpy as np
from numpy.typing import NDArray
import pytest

from bench import evaluate as episodes, foresight
from embedding import BUILTIN, open_embedder
from imprinting import Scores
from imprinting.heads.cross_validation import Embeddings, Groups, Rule, Trial, cross_validate
from imprinting.report import report
from imprinting.report.estimates import Estimate, mean_of, predict_classes
from imprinting.report.learning_curve import WantedExamples
from imprinting.report.open_set import Accepted
from imprinting.report.outliers import Cluster, Odd
from imprinting.report.remarks import TEXTS, Remark, percent, remarks
from imprinting.report.report import Evaluation, calibration_error, evaluate

World = dict[str, NDArray[np.float32]]


def world(numbers: Mapping[str, int], *, noise: float = 0.3, seed: int = 0, length: int = 48) -> World:
    """Return embeddings about one centre per class."""
    random = np.random.default_rng(seed)
    return {
        name: (random.normal(size=length) + noise * random.normal(size=(count, length))).astype(np.float32)
        for name, count in numbers.items()
    }


def alone(embeddings: Embeddings) -> dict[str, list[str]]:
    """Return an occasion of its own for each row."""
    return {name: [f"{name} {row}" for row in range(len(part))] for name, part in embeddings.items()}


def said(found: Evaluation) -> list[Remark]:
    """Return what is said but for the word about the background class, which stands in the end where there is none."""
    asked = found.expected is not None and len(found.examples) > 1
    rest = [one for one in found.remarks if one.key != "no_background"]
    assert [one.key for one in found.remarks[len(rest) :]] == ["no_background"] * (asked and not found.has_background)
    return rest


def keys(found: Evaluation) -> list[str]:
    """Return what is said, by key."""
    return [one.key for one in said(found)]


def test_all_of_it_fits_together() -> None:
    """What each part finds is in the report, for the same trials; and it is JSON."""
    rows = world({"a": 6, "b": 8, "c": 5}, noise=2.2, seed=3)
    conditions = {name: ["day", "night"] * 10 for name in rows}
    conditions = {name: own[: len(rows[name])] for name, own in conditions.items()}
    foreign = world({"x": 30}, noise=3, seed=8)["x"]
    found = evaluate(rows, alone(rows), conditions=conditions, foreign=foreign, alarms=lambda one: len(one.trials) / 2)
    validation = cross_validate(rows, alone(rows))
    assert validation is not None
    assert found.examples == found.occasions == {"a": 6, "b": 8, "c": 5}
    assert found.by_class == predict_classes(validation)
    assert found.expected == mean_of(found.by_class.values())
    assert found.measured == found.top[1] == validation.accuracy < 1
    assert found.top[1] < found.top[2] <= 1 and found.top.keys() == {1, 2}
    assert found.confusion == validation.confusion
    assert found.alarms_per_month == 19 / 2
    assert found.conditions.keys() == {"day", "night"}
    assert sum(one.trials for one in found.conditions.values()) == 19
    assert found.worst is not None
    assert found.worst[1].value == min(one.value for one in found.conditions.values())
    assert {(one.class_id, one.condition) for one in found.wanted} == {(n, c) for n in "abc" for c in ("day", "night")}
    assert found.foreign is not None and found.foreign.asked == 30
    assert found.other_classes is not None and found.other_classes.asked == 19
    assert [point.occasions for point in found.curve] == [1, 2, 4]
    plain = found.as_dict()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain["known"] is False
    assert isinstance(plain["worst"], dict) and plain["worst"].keys() >= {"condition", "value", "low", "high"}
    assert found.advice.text in json.dumps(plain["remarks"])
    assert (
        evaluate(rows, alone(rows), conditions=conditions, foreign=foreign, alarms=lambda one: len(one.trials) / 2)
        == found
    )


def test_top_k_by_hand() -> None:
    """The right class is second of three for one of four; an undecided head counts as wrong once."""
    order = iter([(0.6, 0.3, 0.1), (0.3, 0.6, 0.1), (0.2, 0.7, 0.1), (0.1, 0.3, 0.6), (0.1, 0.5, 0.4), (0.4, 0.3, 0.3)])
    rows = {name: np.eye(3, dtype=np.float32)[:2] + 0.1 for name in "abc"}

    class Head:
        def __init__(self, taught: Embeddings, told: Groups | None) -> None:
            self.classes = tuple(taught)

        def score(self, vector: NDArray[np.float32], /) -> Scores:
            values = dict(zip("abc", next(order), strict=True))
            best = max(values, key=values.__getitem__)
            return Scores(values, values, best, values[best])

    validation = cross_validate(rows, {name: ["1", "2"] for name in rows}, Head)
    assert validation is not None
    top = report._top(validation.trials)
    ranks = {
        name: [
            1 + sum(value > one.probability for value in one.probabilities.values())
            for one in validation.trials
            if one.class_id == name
        ]
        for name in rows
    }
    assert top == {
        most: pytest.approx(np.mean([np.mean([rank <= most for rank in own]) for own in ranks.values()]))
        for most in (1, 2)
    }
    assert 0 < top[1] < top[2] < 1


def test_a_tie_decided_wrongly_is_not_first() -> None:
    """Both as probable, the other decided."""
    tie = Trial("b", 0, "1", "a", 0.5, 0.5, {"a": 0.5, "b": 0.5})
    assert report._rank(tie) == 2
    assert report._rank(replace(tie, decided="b")) == 1


def probable(confidence: float, right: bool) -> Trial:
    """Return a trial of this confidence."""
    chance = confidence if right else 1 - confidence
    values = {"a": chance, "b": 1 - chance}
    return Trial("a", 0, "1", "a" if right else "b", chance, 0.0, values)


def test_the_calibration_error_by_hand() -> None:
    """Twenty trials are two bins: 0.6 sure and half right, 0.9 sure and always right."""
    trials = [probable(0.9, True)] * 10 + [probable(0.6, index % 2 == 0) for index in range(10)]
    assert calibration_error(trials) == pytest.approx((0.1 + 0.1) / 2)
    # Nineteen are one: too sure here and not sure enough there cancel out.
    assert calibration_error(trials[1:]) == pytest.approx(abs(9 * 0.9 + 10 * 0.6 - 9 - 5) / 19)
    assert calibration_error([]) is None


def test_the_rule_decides_what_is_answered() -> None:
    """One that knows only "a" answers half, and what it answers is right."""
    rows = world({"a": 5, "b": 5})

    def judge(taught: Embeddings, told: Groups | None) -> Rule:
        assert min(map(len, taught.values())) == 4
        return lambda vector, scores: scores.best == "a"

    found = evaluate(rows, alone(rows), judge=judge)
    assert (found.answered, found.answered_right) == (0.5, 1.0)
    nothing = evaluate(rows, alone(rows), judge=lambda taught, told: lambda vector, scores: False)
    assert (nothing.answered, nothing.answered_right) == (0.0, None)


def test_one_burst_never_reads_as_certain() -> None:
    """All trials right, all of one visit: the interval says how little that is."""
    rows = world({"open": 5, "closed": 5}, noise=0.05)
    found = evaluate(rows, {name: [name] * 5 for name in rows})
    assert found.measured == 1
    assert found.expected is not None
    assert found.expected.value < 1 and found.expected.low < 0.5
    assert found.split == ("closed", "open") and not found.known
    assert found.advice.key == "one_occasion"
    assert not {"good", "too_few"} & set(keys(found))
    assert "closed, open" in found.advice.text and "99 %" in found.advice.text


def test_many_days_are_known() -> None:
    """Twenty occasions each, all right: said so, and no more asked for."""
    rows = world({"open": 20, "closed": 20})
    found = evaluate(rows, alone(rows))
    assert found.known and keys(found) == ["good"]
    assert found.advice.placeholders["high"] == "100"
    assert int(found.advice.placeholders["low"]) >= 85


def test_a_few_days_are_not_known() -> None:
    """Five occasions each, all right: too few to be sure."""
    rows = world({"open": 5, "closed": 5})
    found = evaluate(rows, alone(rows))
    assert not found.known
    assert keys(found) == ["too_few", "more_of_each"]
    assert found.advice.placeholders["occasions"] == "10"


def test_known_to_be_poor() -> None:
    """Noise, and enough of it to be sure."""
    rows = world({"open": 60, "closed": 60}, noise=4)
    found = evaluate(rows, alone(rows))
    assert found.known
    assert "poor" in keys(found) and "good" not in keys(found)


def test_nothing_can_be_said_before_there_is_something() -> None:
    """No class, one class, one example each."""
    assert keys(evaluate({}, {})) == ["no_class"]
    one = evaluate(world({"a": 4}), {"a": list("1234")}, labels={"a": "Open"})
    assert keys(one) == ["no_second_class"] and "Open" in one.advice.text
    assert one.expected is None and one.measured is None and one.curve == ()
    each = world({"a": 1, "b": 1})
    found = evaluate(each, alone(each), alarms=lambda validation: 1.0)
    assert keys(found) == ["single_examples"]
    assert (found.expected, found.calibration_error, found.answered, found.alarms_per_month) == (None, None, None, None)
    assert found.untested == ("a", "b") and not found.known
    assert evaluate(each, alone(each), alarms=0.5).alarms_per_month == 0.5
    json.dumps(found.as_dict(), allow_nan=False)


def test_a_single_example_is_said_to_be_untested() -> None:
    """What the others give is no figure for it."""
    rows = world({"a": 20, "b": 20, "c": 1})
    found = evaluate(rows, alone(rows), labels={"c": "Ajar"})
    assert found.untested == ("c",) and not found.known
    assert found.advice.key == "untested" and "Ajar" in found.advice.text


def test_a_wrong_label_is_said_first() -> None:
    """With the ids and labels of the caller."""
    rows = world({"a": 7, "b": 8})
    rows["a"] = np.concatenate([rows["a"], rows["b"][-1:]])
    rows["b"] = rows["b"][:-1]
    ids = {name: [f"{name}{row}.jpg" for row in range(len(part))] for name, part in rows.items()}
    found = evaluate(rows, alone(rows), ids=ids, labels={"a": "Open", "b": "Closed"})
    assert [one.id for one in found.odd] == ["a7.jpg"]
    assert found.advice.key == "check_label"
    assert found.advice.placeholders == {"class": "Open", "likely": "Closed", "count": "1"}


def test_copies_are_counted() -> None:
    """Named after their row where no ids are given."""
    rows = world({"a": 2, "b": 2})
    rows["a"] = np.repeat(rows["a"], 4, axis=0)
    groups = {"a": [str(row // 4) for row in range(8)], "b": ["x", "y"]}
    found = evaluate(rows, groups)
    assert found.redundant == ("a:1", "a:2", "a:3", "a:5", "a:6", "a:7")
    assert keys(found)[-1] == "alike"
    assert said(found)[-1].placeholders == {"count": "6", "total": "10"}


def test_contradictions_are_refused() -> None:
    """Names and conditions for other rows or classes."""
    rows = world({"a": 2, "b": 2})
    for wrong in ({"a": ["1", "2"]}, {"a": ["1", "2"], "b": ["1"]}):
        with pytest.raises(ValueError, match="ids"):
            evaluate(rows, alone(rows), ids=wrong)
        with pytest.raises(ValueError, match="conditions"):
            evaluate(rows, alone(rows), conditions=wrong)


def estimate(value: float, low: float = 0.9, high: float = 1.0) -> Estimate:
    """Return an estimate."""
    return Estimate(value, low, high, value, 40, 40)


def want(name: str, need: float, condition: str | None = None) -> WantedExamples:
    """Return a want."""
    return WantedExamples(name, condition, 3, 0.1, 0.01, need)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ["good"]),
        ({"expected": estimate(0.949)}, ["poor", "more_of_each"]),
        ({"expected": estimate(0.95)}, ["good"]),
        ({"expected": estimate(0.98, 0.82)}, ["too_few", "more_of_each"]),
        ({"expected": estimate(0.98, 0.84)}, ["good"]),
        ({"split": ("a",)}, ["one_occasion", "more_of_each"]),
        ({"conditions": {"day": estimate(1), "night": estimate(0.92)}}, ["good", "worst_condition"]),
        ({"conditions": {"night": estimate(0.94), "day": estimate(1)}}, ["good"]),
        ({"conditions": {"night": estimate(0.5)}}, ["good"]),
        ({"foreign": Accepted(0.06, 0, 1, 50)}, ["good", "foreign_accepted"]),
        ({"foreign": Accepted(0.05, 0, 1, 50)}, ["good"]),
        ({"odd": (Odd("1", "a", "b", 0.8),)}, ["check_label", "good"]),
        ({"clusters": (Cluster(("1", "2"), ("a", "b")),)}, ["two_labels", "good"]),
        ({"clusters": (Cluster(("1", "2"), ("a", "a")),)}, ["good"]),
        ({"clusters": (Cluster(tuple(map(str, range(15))), ("a",) * 15),)}, ["good", "alike"]),
        ({"clusters": (Cluster(tuple(map(str, range(14))), ("a",) * 14),)}, ["good"]),
    ],
)
def test_when_what_is_said(changes: dict[str, object], expected: list[str]) -> None:
    """Each sentence just where it belongs."""
    assert keys(changed_by(changes)) == expected


def changed_by(changes: Mapping[str, object]) -> Evaluation:
    """Return what was found good, but for the changes, and what is said of it."""
    rows = world({"a": 20, "b": 20})
    good = replace(evaluate(rows, alone(rows)), expected=estimate(0.98), wanted=(want("a", 0.1), want("b", 0.1)))
    changed = Evaluation(**{**vars(good), **changes})
    return replace(changed, remarks=remarks(changed, {"a": "Open"}))


def test_what_stands_out_is_named() -> None:
    """One and a half times the mean need, with its condition where there is one."""
    poor = estimate(0.9)
    for wanted, key, text in (
        ((want("a", 0.31), want("b", 0.1)), "more_of", "5 more of Open, on different days, would help most."),
        ((want("b", 0.29), want("a", 0.1)), "more_of_each", "5 more of each class"),
        ((want("a", 0.31, "night"), want("b", 0.1, "day")), "more_under", "5 more of Open (night), on different days"),
    ):
        last = said(changed_by({"expected": poor, "wanted": wanted}))[-1]
        assert last.key == key and last.text.startswith(text)


def test_every_sentence_can_be_said() -> None:
    """Its placeholders are plain names, so that any translation can fill them."""
    for text in TEXTS.values():
        fields = {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}
        assert all(name.isidentifier() for name in fields)
    told = changed_by(
        {
            "conditions": {"day": estimate(1), "night": estimate(0.5)},
            "foreign": Accepted(0.5, 0, 1, 9),
            "expected": estimate(0.9),
        }
    )
    assert all("{" not in one.text for one in told.remarks) and len(told.remarks) == 5


@pytest.mark.parametrize(
    ("share", "text"), [(0, "0"), (1, "100"), (0.999, "99"), (0.001, "1"), (0.985, "98"), (0.5, "50"), (1.0, "100")]
)
def test_percent_is_all_only_where_it_is_all(share: float, text: str) -> None:
    """99.9 is not 100."""
    assert percent(share) == text


DIARY = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "parking-slot-days"


@pytest.mark.skipif(not DIARY.is_dir(), reason=f"no pictures at {DIARY}")
@pytest.mark.parametrize("kind", ["spread", "day"])
def test_the_truth_about_a_parking_slot(kind: str, diary: foresight.Pictures) -> None:
    """Five examples a class from the first days: what was predicted is within two points of what happened, on average."""
    draws = foresight.diary_draws(diary, kind, 5, 12, np.random.default_rng(1))
    found = foresight.compare(diary, draws)
    assert found["draws"] == 12
    assert abs(found["predicted"] - found["happened"]) <= 2
    assert found["covered"] >= 90
    assert found["happened"] > 98


@pytest.fixture(scope="module")
def diary() -> foresight.Pictures:
    """Embed every third picture of the slot, once."""

    async def embed() -> foresight.Pictures:
        files = episodes.files_of(DIARY)[::3]
        async with open_embedder(BUILTIN, "portable", 1) as embedder:
            found = await episodes.embed_folder(embedder, files, embedder.length)
        times = [one for one in (foresight.moment(path) for _, _, path in files) if one]
        return foresight.Pictures(found.vectors, found.classes, found.groups, times)

    return asyncio.run(embed())
