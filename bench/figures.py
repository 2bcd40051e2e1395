"""The documentation's figures by one command: run the benches, keep their reports, write tables and the chart from them.

    scripts/figures PICTURES MODELS [NAME…]        measure all figures, or those named, and render
    scripts/figures --render                       render what was measured before; needs neither pictures nor models
    scripts/figures --report heads/network=FILE    keep a bench's finished report instead of running it again, and render

PICTURES holds the sets, a folder each, MODELS the extractors' files. Reports are kept in docs/figures, one file a figure, each part beside
the command and the versions of the embedding it is from. Tables go between the marks ``<!-- figures:NAME -->`` and ``<!-- /figures -->`` of
the documents; what stands between them is never written by hand, and a test holds that.
"""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
import json
import os
from pathlib import Path
import shlex
import subprocess
import sys
from typing import Any, Final

from bench.figures_chart import few_shot
from bench.figures_tables import Parts, blocks, filled
from embedding.pictures.decoding import VERSION as FRAME
from embedding.pictures.layout import VERSION as LAYOUT
from imprinting.heads.selection import LEAST_OCCASIONS

ROOT: Final = Path(__file__).resolve().parents[1]
FOLDER: Final = "docs/figures"
CHART: Final = "docs/images/few-shot.svg"
DOCUMENTS: Final = ("README.md", "docs/measurements.md")

_NETWORK: Final = "MODELS/mobilenet_v1_0.5_160_quant.tflite"
_FIVE: Final = " ".join(
    f"PICTURES/{name}" for name in ("amos-day-night", "parking-spot", "traffic-light", "grocery", "sign-digits")
)
_EPISODES: Final = "--shots 1,5,20 --ways 5 --episodes 200 --seed 0"
_UNKNOWN: Final = (
    "bench/unknown.py --spread PICTURES/parking-slot-days --spread PICTURES/parking-spot --spread PICTURES/traffic-light "
    "--burst PICTURES/parking-slot-days --camera PICTURES/amos-day-night --unknowns PICTURES/unknowns "
    f"--extractor {_NETWORK} --shots 1,5,20 --draws 40"
)
_NETWORKS: Final = (
    "mobilenet_v1_0.25_128",
    "mobilenet_v1_0.5_160",
    "mobilenet_v1_1.0_224",
    "mobilenet_v2_1.0_224",
    "tf2_mobilenet_v2_1.0_224",
)

COMMANDS: Final[Mapping[str, Mapping[str, str]]] = {
    "heads": {
        "network": f"bench/heads.py {_FIVE} PICTURES/parking-slot-days --extractor {_NETWORK} "
        "--shots 1,5,20,1:5,2:20 --episodes 200 --no-speed"
    },
    "accuracy": {
        "builtin": f"bench/evaluate.py {_FIVE} --extractor builtin {_EPISODES}",
        "network": f"bench/evaluate.py {_FIVE} --extractor {_NETWORK} --runtime portable {_EPISODES}",
    },
    "slot": {
        "builtin": "bench/evaluate.py PICTURES/parking-slot-days --extractor builtin --shots 1,5,20 --episodes 50 --seed 0"
    },
    "extractors": {
        name: f"bench/evaluate.py {_FIVE} --extractor {name} --models MODELS --runtime litert "
        "--shots 5 --ways 5 --episodes 100 --seed 0"
        for name in _NETWORKS
    },
    "unknown": {"96x96": _UNKNOWN, "96x54": f"{_UNKNOWN} --size 96x54"},
    "foresight": {
        "auto": f"bench/foresight.py PICTURES/parking-slot-days --extractor {_NETWORK} --draws 40 --head auto"
    },
    "alarms": {"simulated": "bench/alarms.py"},
    "export": {
        "network": "bench/export.py PICTURES/parking-spot PICTURES/grocery PICTURES/sign-digits "
        f"--extractor {_NETWORK} --shots 1,5,20"
    },
    "known": {
        "grocery": f"bench/known.py PICTURES/grocery --extractor {_NETWORK} --labels MODELS/imagenet_labels.txt "
        "--known Fruit_Lemon=lemon Fruit_Orange=orange 'Fruit_Apple_Golden-Delicious=Granny Smith' "
        "Vegetables_Brown-Cap-Mushroom=mushroom --shots 1,5,20"
    },
    "decode": {"drawn": "bench/decode.py"},
}
"""The command of each part of each figure; PICTURES and MODELS stand for the folders."""


def command_line(command: str, pictures: Path, models: Path) -> list[str]:
    """Return the words of a command with the folders in their places."""
    words = shlex.split(command)
    return [word.replace("PICTURES", str(pictures)).replace("MODELS", str(models)) for word in words]


def run_bench(command: str, pictures: Path, models: Path) -> object:
    """Run a bench on one core and return its report. Raises CalledProcessError where it fails."""
    print(f"running {command}", file=sys.stderr)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    words = [sys.executable, *command_line(command, pictures, models)]
    done = subprocess.run(words, cwd=ROOT, env=environment, stdout=subprocess.PIPE, check=True)
    report: object = json.loads(done.stdout)
    return report


def without_times(value: object) -> object:
    """Return a report without the milliseconds that no table shows, and that are others in every run."""
    if isinstance(value, dict):
        return {name: without_times(one) for name, one in value.items() if name != "ms_per_picture"}
    return value


def part(command: str, result: object, moment: datetime) -> dict[str, object]:
    """Return a bench's report beside what it was measured with, and when."""
    return {
        "command": command,
        "measured": moment.date().isoformat(),
        "frame": FRAME,
        "layout": LAYOUT,
        "result": without_times(result),
    }


def written(value: object, indent: str = "") -> str:
    """Return JSON text with each object that holds no other on a line of its own: short, and its changes easy to see."""
    if not isinstance(value, dict) or not any(isinstance(one, dict) for one in value.values()):
        return json.dumps(value, ensure_ascii=False)
    deeper = indent + " "
    rows = [f"{deeper}{json.dumps(name)}: {written(one, deeper)}" for name, one in value.items()]
    return "{\n" + ",\n".join(rows) + f"\n{indent}}}"


def load(root: Path) -> dict[str, Parts]:
    """Read the reports that are kept. Those of figures never measured are left out."""
    paths = {name: root / FOLDER / f"{name}.json" for name in COMMANDS}
    return {name: json.loads(path.read_text("utf-8")) for name, path in paths.items() if path.is_file()}


def keep(root: Path, name: str, parts: Mapping[str, object]) -> None:
    """Write parts of a figure; those measured before stay, in the order of the commands."""
    known: dict[str, Any] = {**load(root).get(name, {}), **parts}
    path = root / FOLDER / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(written({key: known[key] for key in COMMANDS[name] if key in known}) + "\n", "utf-8")


def rendered(root: Path) -> dict[Path, str]:
    """Return the documents and the chart as they should be. Raises KeyError where a mark names no figure that was measured."""
    reports = load(root)
    makers = blocks(LEAST_OCCASIONS)
    made = {name: make(reports[figure]) for name, (figure, make) in makers.items() if figure in reports}
    found = {root / name: filled((root / name).read_text("utf-8"), made) for name in DOCUMENTS}
    if "heads" in reports:
        found[root / CHART] = few_shot(reports["heads"], LEAST_OCCASIONS)
    return found


def render(root: Path) -> None:
    """Write the documents and the chart where they are not what they should be."""
    for path, text in rendered(root).items():
        if not path.is_file() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")
            print(f"wrote {path.relative_to(root)}", file=sys.stderr)


def finished(text: str) -> tuple[str, str, Path]:
    """Read ``FIGURE/PART=FILE``."""
    target, _, file = text.partition("=")
    name, _, key = target.partition("/")
    if not file or key not in COMMANDS.get(name, {}):
        raise argparse.ArgumentTypeError(f"{text} is no FIGURE/PART=FILE; parts are {', '.join(part_names())}")
    return name, key, Path(file)


def part_names() -> Iterable[str]:
    """Return what ``--report`` may name."""
    return (f"{name}/{key}" for name, parts in COMMANDS.items() for key in parts)


def measure(pictures: Path, models: Path, names: Sequence[str]) -> None:
    """Run the benches of figures, keeping each report as soon as it is there."""
    for name in names:
        for key, command in COMMANDS[name].items():
            result = run_bench(command, pictures, models)
            keep(ROOT, name, {key: part(command, result, datetime.now(UTC))})


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/figures", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pictures", nargs="?", type=Path, metavar="PICTURES", help="holds the sets")
    parser.add_argument("models", nargs="?", type=Path, metavar="MODELS", help="holds the extractors")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(COMMANDS)}; all without")
    parser.add_argument("--render", action="store_true", help="measure nothing")
    parser.add_argument(
        "--report", action="append", type=finished, default=[], metavar="FIGURE/PART=FILE", help="finished before"
    )
    parser.add_argument("--from", dest="origin", type=Path, default=Path.cwd(), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if unknown := sorted(set(options.names) - COMMANDS.keys()):
        parser.error(f"no such figure: {', '.join(unknown)}")
    if options.render == bool(options.pictures) and not options.report:
        parser.error("either PICTURES and MODELS, or --render")
    if options.pictures:
        for name in ("pictures", "models"):
            folder = options.origin / (getattr(options, name) or "")
            if not getattr(options, name) or not folder.is_dir():
                parser.error(f"{name.upper()} has to be a folder")
            setattr(options, name, folder.resolve())
    return options


def main() -> int:
    """Measure what is asked for, and render; 1 where a bench fails."""
    options = parse()
    for name, key, file in options.report:
        path = options.origin / file
        moment = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        keep(ROOT, name, {key: part(COMMANDS[name][key], json.loads(path.read_text("utf-8")), moment)})
    if options.pictures:
        try:
            measure(options.pictures, options.models, options.names or list(COMMANDS))
        except subprocess.CalledProcessError as error:
            print(f"error: {Path(error.cmd[1]).name} failed", file=sys.stderr)
            return 1
    render(ROOT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
