"""Markdown of the figures that `figures.py` keeps: a block per mark of the documents, each with its command and its date."""

from collections.abc import Callable, Iterable, Mapping, Sequence
import math
import re
import shlex
from typing import Any, Final

Parts = Mapping[str, Any]
"""A figure: by part, ``command``, ``measured`` (a date), ``frame`` and ``layout`` (versions), ``result`` (a bench's report)."""

_MARKED: Final = re.compile(r"(<!-- figures:([\w-]+) -->\n).*?(<!-- /figures -->)", re.DOTALL)
_WIDTH: Final = 150
_SHOTS: Final = ("1", "5", "20")

PYCORAL: Final = "pycoral"
OURS: Final = "auto"
METHODS: Final[Mapping[str, str]] = {
    OURS: "Coral Imprint",
    "logistic": "logistic regression",
    "kNN": "3 nearest neighbours",
    PYCORAL: "pycoral's algorithm",
}
"""What the chart and the README compare, by column of the heads' report."""

FIXED_CAMERA: Final = ("amos-day-night", "parking-spot", "traffic-light")
KINDS: Final = ("grocery", "sign-digits")
TITLES: Final[Mapping[str, str]] = {
    "mobilenet_v1_0.25_128": "MobileNet v1 0.25, 128 px",
    "mobilenet_v1_0.5_160": "MobileNet v1 0.5, 160 px",
    "mobilenet_v1_1.0_224": "MobileNet v1 1.0, 224 px",
    "mobilenet_v2_1.0_224": "MobileNet v2 1.0, 224 px",
    "tf2_mobilenet_v2_1.0_224": "MobileNet v2 1.0, 224 px (TensorFlow 2)",
}


def filled(text: str, blocks: Mapping[str, str]) -> str:
    """Return a document with the blocks between their marks. Raises KeyError where a mark names no block."""
    return _MARKED.sub(lambda found: f"{found[1]}{blocks[found[2]]}\n{found[3]}", text)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" if cells[0] != "---" else "|" + "---|" * len(cells) for cells in lines)


def with_interval(value: float, half: float) -> str:
    """Return a percentage with half its 95 % interval; without one that rounds to nothing."""
    # Zero is added so that what rounds to nothing has no sign.
    text = f"{round(value, 1) + 0:.1f}"
    return f"{text} ± {half:.1f}" if half >= 0.05 else text


def wrapped(command: str) -> str:
    """Return a command as a shell takes it, in lines of bearable length."""
    lines = [".dev/test/bin/python"]
    for word in map(shlex.quote, shlex.split(command)):
        if len(lines[-1]) + len(word) > _WIDTH:
            lines.append(f"  {word}")
        else:
            lines[-1] += f" {word}"
    return " \\\n".join(lines)


def commands(parts: Parts, *, each: bool = True) -> str:
    """Return the commands as a block of code; without ``each`` one for all, with NAME for what tells the parts apart."""
    lines = [one["command"] if each else one["command"].replace(key, "NAME") for key, one in parts.items()]
    return "\n".join(["```", *map(wrapped, dict.fromkeys(lines)), "```"])


def measured(parts: Parts) -> str:
    """Return when, and with which versions of the embedding, the parts were measured."""
    days = sorted({f"{one['measured']}, frame {one['frame']}, layout {one['layout']}" for one in parts.values()})
    return f"*Measured {'; '.join(days)}.*"


def section(parts: Parts, *tables: str, each: bool = True) -> str:
    """Return a block: commands, tables, date."""
    return "\n\n".join([commands(parts, each=each), *tables, measured(parts)])


def column_of(method: str, case: str, least: int) -> str:
    """Return the column of the heads' report that is what a method answers with.

    The integration keeps the imprint where a class has fewer than ``least`` examples: its occasions can't say what is better.
    """
    return "imprint" if method == OURS and int(case.partition(":")[0]) < least else method


def mean_of(folders: Mapping[str, Any], case: str, column: str) -> tuple[float, float]:
    """Return the mean accuracy over sets in percent, and half its 95 % interval: that of the episodes, for these sets."""
    cells = [one[case][column] for one in folders.values()]
    half = math.sqrt(sum(cell["ci95"] ** 2 for cell in cells)) / len(cells)
    return sum(cell["accuracy"] for cell in cells) / len(cells), half


def folders_of(parts: Parts) -> Mapping[str, Any]:
    """Return the sets of the heads' report."""
    (report,) = parts["network"]["result"].values()
    folders: Mapping[str, Any] = report["folders"]
    return folders


def summary(parts: Parts, least: int) -> str:
    """Return the mean over all sets of what the README compares."""
    folders = folders_of(parts)
    rows = []
    for method, title in METHODS.items():
        cells = [with_interval(*mean_of(folders, case, column_of(method, case, least))) for case in _SHOTS]
        rows.append([f"**{title}**", *(f"**{cell}**" for cell in cells)] if method == OURS else [title, *cells])
    return table(["", *(f"{case} example{'s' * (case != '1')} a class" for case in _SHOTS)], rows)


def heads(parts: Parts) -> str:
    """Return every head and peer on every set."""
    folders = folders_of(parts)
    columns = list(next(iter(next(iter(folders.values())).values())))
    rows = []
    for name, cases in folders.items():
        for case, row in cases.items():
            cells = [f"{row[column]['accuracy']:.1f}" for column in columns[:-1]]
            ahead = with_interval(row[OURS]["ahead"], row[OURS]["ahead_ci95"])
            rows.append([name, case, *cells, with_interval(row[OURS]["accuracy"], row[OURS]["ci95"]), ahead])
    for case in next(iter(folders.values())):
        means = [f"{mean_of(folders, case, column)[0]:.1f}" for column in columns[:-1]]
        rows.append(["**mean**", case, *means, with_interval(*mean_of(folders, case, OURS)), ""])
    return section(parts, table(["set", "examples", *columns, f"{OURS} less {PYCORAL}"], rows))


def _by_shots(report: Mapping[str, Any]) -> str:
    return " / ".join(
        with_interval(report[case]["accuracy"], report[case]["ci95"]) for case in _SHOTS if case in report
    )


def accuracy(parts: Parts) -> str:
    """Return accuracies by set, of the built-in extractor and of the network."""
    results = [part["result"] for part in parts.values()]
    rows = [[name, *(_by_shots(one[name]) for one in results)] for name in results[0]]
    return section(parts, table(["set", *(f"{_EXTRACTORS[key]}: 1 / 5 / 20 examples" for key in parts)], rows))


_EXTRACTORS: Final = {"builtin": "built-in", "network": "MobileNet v1 0.5/160"}


def group_means(report: Mapping[str, Any]) -> tuple[float, float]:
    """Return the mean accuracy in percent with five examples: for a fixed camera, of kinds of things."""
    fixed, kinds = ([report[name]["5"]["accuracy"] for name in group] for group in (FIXED_CAMERA, KINDS))
    return sum(fixed) / len(fixed), sum(kinds) / len(kinds)


def grades(report: Mapping[str, Any]) -> tuple[str, str]:
    """Return what an extractor is called in the catalogue, by the rule of docs/measurements.md."""
    fixed, kinds = group_means(report)
    return "better" if fixed >= 90 else "good", "best" if kinds >= 88 else "good" if kinds >= 85 else "fair"


def extractors(parts: Parts) -> str:
    """Return what the networks' grades rest on."""
    rows = []
    for key, part in parts.items():
        means, names = group_means(part["result"]), grades(part["result"])
        rows.append([TITLES[key], *(f"{mean:.1f}, {name}" for mean, name in zip(means, names, strict=True))])
    return section(parts, table(["extractor", "fixed camera", "kinds of things"], rows), each=False)


_RULES: Final = {
    "accepted": "**the integration's**",
    "largest_of_clutter": "cosine above that of any drawn picture",
    "leave_one_out": "cosine above the 5 % quantile of the examples' own",
    "fixed_0.7": "cosine above 0.7",
}
_LEARNED: Final = {name: f"calibration error, {name}" for name in ("imprint", "ridge", "lda")}


def _shares(report: Mapping[str, Any], names: Iterable[str], rule: str, of: str) -> str:
    """Return a rule's shares by number of examples, the mean over sets."""
    chosen = list(names)
    by_shots = []
    for case in _SHOTS:
        values = [report[f"{name} {case}"][rule][of] for name in chosen if f"{name} {case}" in report]
        by_shots.append(f"{sum(values) / len(values):.1f}" if values else "–")
    return " / ".join(by_shots)


def unknown(parts: Parts) -> str:
    """Return how much of what was taught and of what was not is accepted: by set, by rule; and the calibration."""
    first = parts["96x96"]["result"]
    names = list(dict.fromkeys(name.rpartition(" ")[0] for name in first))
    sets, rules = [], []
    for name in names:
        row = [", ".join(name.split(" "))]
        for part in parts.values():
            row += [_shares(part["result"], [name], "accepted", of) for of in ("genuine", "unknown")]
        sets.append(row)
    for rule, title in _RULES.items():
        rules.append([title, *(_shares(first, names, rule, of) for of in ("genuine", "unknown"))])
    titles = [f"{key.replace('x', '×')}: {of} accepted" for key in parts for of in ("taught", "unknown")]
    calibration = []
    for kind, key in _LEARNED.items():
        errors = [[first[f"{name} {case}"][key] for name in names if f"{name} {case}" in first] for case in _SHOTS]
        calibration.append([kind, *(f"{sum(values) / len(values):.1f}" for values in errors)])
    return section(
        parts,
        table(["set, taught as", *titles], sets),
        table(["rule, mean over sets", "taught accepted", "unknown accepted"], rules),
        table(["calibration error", *(f"{case} example{'s' * (case != '1')}" for case in _SHOTS)], calibration),
    )


def foresight(parts: Parts) -> str:
    """Return predictions beside what happened."""
    names = ("predicted", "happened", "least_happened", "distance", "covered", "interval")
    (result,) = parts["auto"]["result"].values()
    rows = [[kind, *(f"{row[name]:.1f}" for name in names), str(row["draws"])] for kind, row in result.items()]
    header = ["examples", "predicted", "happened", "worst", "distance", "interval held it", "interval's width", "draws"]
    return section(parts, table(header, rows))


def alarms(parts: Parts) -> str:
    """Return how a budget of false alarms was kept."""
    result = parts["simulated"]["result"]
    rows = [
        [
            "lives in which the alarms were at most 1.5 times those accepted",
            f"{result['kept_percent']} % of {result['runs']}",
        ],
        ["lives for which nothing was promised", str(result["not_promised"])],
        ["false alarms a month: accepted", str(result["asked_a_month"])],
        ["… expected by `evaluate`, mean", f"{result['alarms_expected']:.2f}"],
        ["… that came: mean, worst life", f"{result['alarms_a_month']:.2f}, {result['alarms_worst']:.2f}"],
        [
            "looks at the event not sure enough: expected, came",
            _pair(result, "looks_missed_expected_percent", "looks_missed_percent"),
        ],
        ["events never reported", f"{result['events_missed_percent']:.1f} %"],
    ]
    return section(parts, table(["", ""], rows))


def _pair(result: Mapping[str, float], *names: str) -> str:
    return ", ".join(f"{result[name]:.1f} %" for name in names)


def export(parts: Parts) -> str:
    """Return what an exported file answers beside the head it is made from."""
    rows = []
    for name, cases in parts["network"]["result"].items():
        for case, files in cases.items():
            for kind, one in files.items():
                same = f"{one['same_class']:.1f} ({one['same_class_worst_episode']:.1f})"
                accuracies = [one["accuracy_file"], one["accuracy_head_on_network"], one["accuracy_head_on_joined"]]
                rows.append(
                    [name, case, kind, same, f"{one['probability_off_at_most']:.3f}", *(f"{a:.1f}" for a in accuracies)]
                )
    header = [
        "set",
        "examples",
        "layer",
        "same class (worst)",
        "probability off by",
        "file",
        "head, network",
        "head, joined",
    ]
    return section(parts, table(header, rows))


def known(parts: Parts) -> str:
    """Return how a class does that was never shown."""
    rows = []
    for case, one in parts["grocery"]["result"].items():
        cells = [f"{one[way]['all']:.1f} ({one[way]['known']:.1f})" for way in ("column", "examples", "both")]
        rows.append([case, *cells, with_interval(one["both_less_the_better"], one["ci95"])])
    header = [
        "examples of each other class",
        "by name alone",
        "by as many examples",
        "by both",
        "both less the better of the two",
    ]
    return section(parts, table(header, rows))


def decode(parts: Parts) -> str:
    """Return milliseconds beside Pillow's."""
    rows = []
    for name, one in parts["drawn"]["result"].items():
        region, _, size = name.partition(" ")
        if size:
            times = [f"{one[way]['median_ms']:.1f}" for way in ("cut", "pillow")]
            rows.append([region, f"{size}×{size}", *times, f"{one['ratio']:.2f}"])
    return section(parts, table(["region", "input", "ours", "Pillow", "ratio"], rows))


def blocks(least: int) -> Mapping[str, tuple[str, Callable[[Parts], str]]]:
    """Return, by mark, the figure and what makes its block; ``least`` as of `column_of`."""
    makers = (heads, accuracy, extractors, unknown, foresight, alarms, export, known, decode)
    return {
        "summary": ("heads", lambda parts: summary(parts, least)),
        "slot": ("slot", accuracy),
        **{maker.__name__: (maker.__name__, maker) for maker in makers},
    }
