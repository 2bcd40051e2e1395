"""What the documents show is what was measured: the tables, the chart and the grades come from the reports that are kept."""

from datetime import UTC, datetime
import json
from pathlib import Path
import re
import shutil
import subprocess
from typing import Any
import xml.etree.ElementTree as ET

import pytest

from bench.figures import (
    CHART,
    COMMANDS,
    DOCUMENTS,
    FOLDER,
    ROOT,
    command_line,
    keep,
    load,
    parse,
    part,
    render,
    rendered,
    run_bench,
    written,
)
from bench.figures_chart import SHOTS, Panel, apart, few_shot
from bench.figures_tables import (
    METHODS,
    TITLES,
    Parts,
    blocks,
    column_of,
    filled,
    grades,
    mean_of,
    with_interval,
    wrapped,
)
from embedding import CATALOGUE
from embedding.pictures.decoding import VERSION as FRAME
from embedding.pictures.layout import VERSION as LAYOUT
from imprinting.heads.selection import LEAST_OCCASIONS

REPORTS = load(ROOT)


def cell(accuracy: float, ci95: float = 1.0) -> dict[str, float]:
    return {"accuracy": accuracy, "ci95": ci95}


def strings(value: Any) -> list[str]:
    """Return every text in JSON, names included."""
    if isinstance(value, dict):
        return [*value, *(text for one in value.values() for text in strings(one))]
    return [value] if isinstance(value, str) else []


def heads_report(**accuracies: float) -> Parts:
    """Return a report of two sets, in which the columns reach the given accuracies whatever the number of examples."""
    row = {name: cell(value) for name, value in {**dict.fromkeys(METHODS, 70.0), "imprint": 60.0, **accuracies}.items()}
    sets = {name: {str(case): row for case in SHOTS} for name in ("first", "second")}
    return {"network": {"result": {"net": {"folders": sets}}}}


@pytest.mark.parametrize("name", [*DOCUMENTS, CHART])
def test_documents_are_what_rendering_gives(name: str) -> None:
    """Whoever changes a table by hand, or a report without rendering, is told to run ``scripts/figures --render``."""
    assert rendered(ROOT)[ROOT / name] == (ROOT / name).read_text("utf-8"), "run scripts/figures --render"


def test_every_block_is_shown() -> None:
    marks = [re.findall(r"<!-- figures:([\w-]+) -->", (ROOT / name).read_text("utf-8")) for name in DOCUMENTS]
    assert marks[0] == ["summary"]
    assert sorted(marks[1]) == sorted(blocks(LEAST_OCCASIONS))


@pytest.mark.parametrize("name", COMMANDS)
def test_reports_are_of_the_commands(name: str) -> None:
    """A command that is changed has to be run."""
    assert {key: part["command"] for key, part in REPORTS[name].items()} == COMMANDS[name]
    assert all(part["result"] for part in REPORTS[name].values())


def test_reports_tell_nothing_of_a_machine() -> None:
    texts = strings(REPORTS)
    assert len(texts) > 500
    assert not [text for text in texts if text.startswith(("/", "~")) or re.search(r"[\s=]/", text)]


def test_rendering_puts_right_what_was_changed_by_hand(tmp_path: Path) -> None:
    for name in (*DOCUMENTS, CHART):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / FOLDER, tmp_path / FOLDER)
    readme = tmp_path / "README.md"
    whole = readme.read_text("utf-8")
    readme.write_text(whole.replace("| pycoral's algorithm |", "| pycoral's algorithm | 99.9 |"), "utf-8")
    assert readme.read_text("utf-8") != whole
    (tmp_path / CHART).unlink()
    render(tmp_path)
    for name in (*DOCUMENTS, CHART):
        assert (tmp_path / name).read_text("utf-8") == (ROOT / name).read_text("utf-8")


def test_marks() -> None:
    text = "a\n<!-- figures:one -->\nold\n<!-- /figures -->\nb\n<!-- figures:two -->\n<!-- /figures -->\n"
    new = filled(text, {"one": "1", "two": "2"})
    assert new == "a\n<!-- figures:one -->\n1\n<!-- /figures -->\nb\n<!-- figures:two -->\n2\n<!-- /figures -->\n"
    assert filled(new, {"one": "1", "two": "2"}) == new
    with pytest.raises(KeyError):
        filled(text, {"one": "1"})


def test_grades_are_those_of_the_measured_accuracies() -> None:
    table = (ROOT / "docs" / "extractors.md").read_text("utf-8")
    parts = REPORTS["extractors"]
    assert parts.keys() == {key for key, entry in CATALOGUE.items() if entry.length} == TITLES.keys()
    for key, own in parts.items():
        entry = CATALOGUE[key]
        assert TITLES[key] == entry.title
        assert (entry.fixed_camera, entry.kinds) == grades(own["result"]), key
        (row,) = re.findall(rf"^\| \**{re.escape(entry.title)}\** \|.* \| (\w+) \| (\w+) \|$", table, re.MULTILINE)
        assert row == (entry.fixed_camera, entry.kinds)


@pytest.mark.parametrize(
    ("fixed", "kinds", "expected"),
    [
        (90, 88, ("better", "best")),
        (89.9, 85.9, ("good", "good")),
        (100, 85, ("better", "good")),
        (0, 82.9, ("good", "fair")),
    ],
)
def test_rule_of_the_grades(fixed: float, kinds: float, expected: tuple[str, str]) -> None:
    report = {name: {"5": cell(fixed)} for name in ("amos-day-night", "parking-spot", "traffic-light")}
    report |= {"grocery": {"5": cell(kinds - 10)}, "sign-digits": {"5": cell(kinds + 10)}}
    assert grades(report) == expected


def test_what_the_integration_answers_with() -> None:
    assert [column_of("auto", case, 3) for case in ("1", "2:20", "3", "20")] == ["imprint", "imprint", "auto", "auto"]
    assert column_of("kNN", "1", 3) == "kNN"


def test_numbers_with_their_intervals() -> None:
    assert [with_interval(*pair) for pair in ((91.26, 0.44), (100, 0.04), (-0.02, 0.23), (-1.18, 0.75))] == [
        "91.3 ± 0.4",
        "100.0",
        "0.0 ± 0.2",
        "-1.2 ± 0.8",
    ]


def test_mean_of_sets() -> None:
    mean, half = mean_of({"a": {"5": {"x": cell(90, 3)}}, "b": {"5": {"x": cell(80, 4)}}}, "5", "x")
    assert (mean, half) == (85, 2.5)


def test_long_commands_are_cut_between_words() -> None:
    command = f"bench/known.py {' '.join(f'folder-{number}' for number in range(30))} 'CLASS=two words'"
    lines = wrapped(command).split(" \\\n")
    assert len(lines) > 2 and max(map(len, lines)) < 170
    assert lines[-1].endswith("'CLASS=two words'")
    assert " ".join(line.strip() for line in lines) == f".dev/test/bin/python {command}"


def test_folders_take_their_places(tmp_path: Path) -> None:
    words = command_line("bench/x.py PICTURES/a --extractor MODELS/b 'C=two words'", tmp_path / "my sets", tmp_path)
    assert words == ["bench/x.py", f"{tmp_path}/my sets/a", "--extractor", f"{tmp_path}/b", "C=two words"]


def test_a_bench_is_run(tmp_path: Path) -> None:
    report = run_bench("bench/layout.py", tmp_path, tmp_path)
    assert isinstance(report, dict) and report["length"] > 1000
    with pytest.raises(subprocess.CalledProcessError):
        run_bench("bench/evaluate.py PICTURES/absent", tmp_path, tmp_path)


def test_parts_are_kept_in_the_order_of_the_commands(tmp_path: Path) -> None:
    first, second = COMMANDS["unknown"]
    keep(tmp_path, "unknown", {second: {"result": 2}})
    keep(tmp_path, "unknown", {first: {"result": 1}})
    keep(tmp_path, "unknown", {second: {"result": 3}})
    assert [(key, part["result"]) for key, part in load(tmp_path)["unknown"].items()] == [(first, 1), (second, 3)]


def test_a_part() -> None:
    moment = datetime(2026, 11, 21, 23, 59, tzinfo=UTC)
    result = {"set": {"5": {"accuracy": 91.5}, "ms_per_picture": 0.4}, "draws": 3}
    assert part("bench/x.py", result, moment) == {
        "command": "bench/x.py",
        "measured": "2026-11-21",
        "frame": FRAME,
        "layout": LAYOUT,
        "result": {"set": {"5": {"accuracy": 91.5}}, "draws": 3},
    }


def test_written_json() -> None:
    value = {"a": {"b": {"c": 1.5, "d": [1, 2]}, "e": {}}, "f": "×"}
    text = written(value)
    assert json.loads(text) == value
    assert text.splitlines()[2:4] == ['  "b": {"c": 1.5, "d": [1, 2]},', '  "e": {}']


def test_chart_shows_every_point() -> None:
    chart = ET.fromstring(few_shot(REPORTS["heads"], LEAST_OCCASIONS))
    space = "{http://www.w3.org/2000/svg}"
    texts = [node.text or "" for node in chart.iter(f"{space}text")]
    (report,) = REPORTS["heads"]["network"]["result"].values()
    assert len(report["folders"]) == 6 and texts.count("mean of 6 sets") == 1
    assert all(texts.count(name) == 1 for name in report["folders"])
    assert all(sum(text.startswith(f"{title} ") for text in texts) == 1 for title in METHODS.values())
    panels = 1 + len(report["folders"])
    assert len(list(chart.iter(f"{space}circle"))) == panels * len(METHODS) * len(SHOTS)
    assert len(list(chart.iter(f"{space}polyline"))) == panels * len(METHODS)
    width, height = int(chart.get("width", "0")), int(chart.get("height", "0"))
    for node in chart.iter(f"{space}circle"):
        assert 0 < float(node.get("cx", "-1")) < width and 0 < float(node.get("cy", "-1")) < height


def test_chart_follows_the_report() -> None:
    texts = few_shot(heads_report(kNN=91.5), LEAST_OCCASIONS)
    assert "3 nearest neighbours 91.5<" in texts and "mean of 2 sets" in texts
    assert texts != few_shot(heads_report(kNN=91.5, pycoral=90.0), LEAST_OCCASIONS)


def test_panel() -> None:
    panel = Panel("x", 0, 10, 132, 110, lowest=50)
    assert (panel.y(50), panel.y(75), panel.y(100)) == (110, 60, 10)
    assert (panel.x(1), panel.x(20)) == (16, 116)
    assert 16 < panel.x(5) < 116


def test_labels_keep_apart() -> None:
    placed = apart({"low": 100, "middle": 97, "high": 20}, 15, 98)
    assert placed == {"low": 98, "middle": 83, "high": 20}


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--render", "."],
        ["."],
        [".", "absent"],
        [".", ".", "nothing"],
        ["--report", "heads/none=x"],
        ["--report", "x"],
    ],
)
def test_wrong_arguments(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(arguments)
    assert "error" in capsys.readouterr().err


def test_arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sets").mkdir()
    monkeypatch.chdir(tmp_path)
    options = parse(["sets", ".", "heads", "--report", "slot/builtin=x.json"])
    assert (options.pictures, options.models, options.names) == (tmp_path / "sets", tmp_path, ["heads"])
    assert options.report == [("slot", "builtin", Path("x.json"))]
    assert parse(["--render"]).pictures is None
