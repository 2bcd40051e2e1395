"""Few-shot accuracy of an extractor and a head on folders of pictures, one folder per class.

Each episode draws some classes and a few examples of each, fits a head and asks it for other pictures of these classes.
A file name's part before ``__`` is its group (a day, a camera), unless it names a split (train, test…): where a class has
several groups, none gives both examples and queries. Prints one JSON object: per folder and number of examples the mean accuracy over classes and episodes in
percent, its 95 % interval and, with ``--unknowns``, how well foreign pictures are told from genuine ones.
"""

import argparse
import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
import os
from pathlib import Path
import sys
import time
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bench.command import existing_folder, print_report
from embedding import BUILTIN, CATALOGUE, WHOLE, ModelError, NotAPicture, PictureEmbedder, find_file, open_embedder
from embedding.remote import Access, open_remote_embedder
from imprinting import KINDS, Head, choose, fit

MAX_QUERIES: Final = 30
MIN_QUERIES: Final = 5
GENUINE_ACCEPTED: Final = 0.95
"""The false-alarm rate is that of the threshold which accepts this share of genuine queries."""
_TRIES: Final = 50
_SPLITS: Final = frozenset({"train", "training", "test", "val", "valid", "validation"})

RUNTIMES: Final = ("auto", "portable", "litert")
"""Those of this process; anything else is the address of a server."""
TOKEN_VARIABLE: Final = "CORAL_IMPRINT_TOKEN"

_NAMES: Final = ", ".join((BUILTIN, *CATALOGUE))

Vectors = NDArray[np.float32]
FitHead = Callable[[Mapping[str, Vectors], Mapping[str, Sequence[str]] | None], Head]


def fit_auto(embeddings: Mapping[str, Vectors], groups: Mapping[str, Sequence[str]] | None) -> Head:
    """Learn what the integration does: the kind that the examples speak for, the imprint where they can't say."""
    chosen = choose(embeddings, groups)
    return chosen.head if chosen.validations else fit(embeddings)


HEADS: Final[Mapping[str, FitHead]] = {"auto": fit_auto, **KINDS}
"""How a head is made of examples, by name; ``auto`` is what the integration uses."""


@dataclass(frozen=True, slots=True)
class PictureSet:
    """A folder's pictures as embeddings: rows of ``vectors``, with the class and group of each."""

    vectors: Vectors
    classes: NDArray[np.str_]
    groups: NDArray[np.str_]
    ms_per_picture: float


@dataclass(frozen=True, slots=True)
class Episode:
    """Rows of examples and of queries, by class."""

    examples: Mapping[str, NDArray[np.intp]]
    queries: Mapping[str, NDArray[np.intp]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Accuracy of an episode (mean over classes, 0..1) and the largest cosine to any class, of queries and unknowns."""

    accuracy: float
    genuine: NDArray[np.float64]
    foreign: NDArray[np.float64]


def warn(text: str) -> None:
    """Say what was left out, beside the JSON."""
    print(f"warning: {text}", file=sys.stderr)


def files_of(folder: Path) -> list[tuple[str, str, Path]]:
    """List class, group and path of every file one level below a class's folder, sorted."""
    found = []
    for path in sorted(folder.glob("*/*")):
        if path.is_file() and not path.name.startswith(".") and not path.parent.name.startswith("."):
            group, mark, _ = path.name.partition("__")
            found.append((path.parent.name, group if mark and group not in _SPLITS else "", path))
    return found


async def embed_folder(embedder: PictureEmbedder, files: Iterable[tuple[str, str, Path]], length: int) -> PictureSet:
    """Embed every picture once; what is no picture is left out with a warning."""
    vectors: list[Vectors] = []
    classes: list[str] = []
    groups: list[str] = []
    spent = 0.0
    for name, group, path in files:
        data = path.read_bytes()
        start = time.perf_counter()
        try:
            vector = await embedder.embed(data, WHOLE)
        except NotAPicture as error:
            warn(f"{path} left out: {error}")
            continue
        spent += time.perf_counter() - start
        vectors.append(vector)
        classes.append(name)
        groups.append(group)
    stacked = np.stack(vectors) if vectors else np.zeros((0, length), np.float32)
    return PictureSet(stacked, np.array(classes, str), telling(groups), spent * 1000 / max(1, len(vectors)))


def telling(groups: Sequence[str]) -> NDArray[np.str_]:
    """Return the groups, and none where all pictures are of the same: one that all share tells nothing apart."""
    return np.array(groups if len(set(groups)) > 1 else [""] * len(groups), str)


def draw_episode(pictures: PictureSet, shots: int, ways: int, chance: np.random.Generator) -> Episode | None:
    """Draw one episode; None where the set is too small for it.

    Groups are drawn until half of them, or more where a class still lacks examples, give examples; the others give queries.
    """
    counts = {str(name): int(np.sum(pictures.classes == name)) for name in np.unique(pictures.classes)}
    eligible = [name for name, count in counts.items() if count >= shots + MIN_QUERIES]
    if len(eligible) < 2:
        return None
    for _ in range(_TRIES):
        chosen = [eligible[index] for index in chance.permutation(len(eligible))[:ways]]
        teaching = _teaching_groups(pictures, chosen, shots, chance)
        episode = _fill(pictures, chosen, shots, teaching, chance)
        if episode:
            return episode
    return None


def _teaching_groups(
    pictures: PictureSet, chosen: Sequence[str], shots: int, chance: np.random.Generator
) -> NDArray[np.bool_]:
    """Mark the rows of the groups that may give examples."""
    taking = np.isin(pictures.classes, chosen)
    names = chance.permutation(np.unique(pictures.groups[taking]))
    marked = np.isin(pictures.groups, names[: len(names) // 2])
    for name in names[len(names) // 2 :]:
        lacking = [one for one in chosen if np.sum(marked & (pictures.classes == one)) < shots]
        rows = pictures.groups == name
        if any(np.any(rows & (pictures.classes == one)) for one in lacking):
            marked |= rows
    return marked


def _fill(
    pictures: PictureSet,
    chosen: Sequence[str],
    shots: int,
    teaching: NDArray[np.bool_],
    chance: np.random.Generator,
) -> Episode | None:
    """Draw the rows of each class; None where one has too few."""
    examples, queries = {}, {}
    for name in chosen:
        rows = chance.permutation(np.flatnonzero(pictures.classes == name))
        if len(np.unique(pictures.groups[rows])) > 1:
            first, others = rows[teaching[rows]], rows[~teaching[rows]]
        else:
            first, others = rows, rows[shots:]
        examples[name] = first[:shots]
        queries[name] = others[:MAX_QUERIES]
        if len(examples[name]) < shots or len(others) < MIN_QUERIES:
            return None
    return Episode(examples, queries)


def play(pictures: PictureSet, episode: Episode, unknowns: Vectors, fit_head: FitHead) -> Outcome:
    """Teach a head the examples and ask it for the queries."""
    examples = {name: pictures.vectors[rows] for name, rows in episode.examples.items()}
    # Where nothing tells which pictures belong together, each is an occasion of its own.
    groups = {name: [str(pictures.groups[row]) or str(row) for row in rows] for name, rows in episode.examples.items()}
    head = fit_head(examples, groups)
    right: list[float] = []
    genuine: list[float] = []
    for name, rows in episode.queries.items():
        scores = [head.score(pictures.vectors[row]) for row in rows]
        right.append(float(np.mean([score.best == name for score in scores])))
        genuine += [max(score.cosine.values()) for score in scores]
    return Outcome(float(np.mean(right)), np.array(genuine), np.array(_nearness(head, unknowns)))


def _nearness(head: Head, vectors: Vectors) -> list[float]:
    """Largest cosine of each vector to any class."""
    return [max(head.score(vector).cosine.values()) for vector in vectors]


def separation(genuine: NDArray[np.float64], foreign: NDArray[np.float64]) -> float:
    """Area under the ROC curve: the chance that a genuine score is above a foreign one, ties counting half."""
    ordered = np.sort(foreign)
    below = np.searchsorted(ordered, genuine, "left") + np.searchsorted(ordered, genuine, "right")
    return float(np.mean(below) / 2 / len(ordered))


def summary(outcomes: Sequence[Outcome]) -> dict[str, float | int]:
    """Sum up episodes: percent, with the half width of the 95 % interval of the mean."""
    accuracies = np.array([outcome.accuracy for outcome in outcomes]) * 100
    deviation = accuracies.std(ddof=1) if len(accuracies) > 1 else 0.0
    result: dict[str, float | int] = {
        "accuracy": round(float(accuracies.mean()), 2),
        "ci95": round(float(1.96 * deviation / np.sqrt(len(accuracies))), 2),
        "episodes": len(outcomes),
    }
    if all(len(outcome.foreign) for outcome in outcomes):
        alarms = [np.mean(one.foreign >= np.quantile(one.genuine, 1 - GENUINE_ACCEPTED)) for one in outcomes]
        result["auroc"] = round(float(np.mean([separation(one.genuine, one.foreign) for one in outcomes])), 4)
        result["false_alarms"] = round(float(np.mean(alarms)) * 100, 2)
    return result


def evaluate(pictures: PictureSet, unknowns: Vectors, options: argparse.Namespace, name: str) -> dict[str, object]:
    """Run all episodes of one folder; the same seed draws the same episodes whatever the extractor."""
    report: dict[str, object] = {}
    for shots in options.shots:
        chance = np.random.default_rng([options.seed, shots])
        outcomes: list[Outcome] = []
        for _ in range(options.episodes):
            episode = draw_episode(pictures, shots, options.ways, chance)
            if episode is None:
                warn(f"{name}: too few pictures or groups for {shots} examples a class: {len(outcomes)} episodes")
                break
            outcomes.append(play(pictures, episode, unknowns, HEADS[options.head]))
        if outcomes:
            report[str(shots)] = summary(outcomes)
    report["ms_per_picture"] = round(pictures.ms_per_picture, 3)
    report["pictures"] = len(pictures.vectors)
    return report


def extractor_of(name: str, folders: Sequence[Path]) -> str | Path:
    """Return what `open_embedder` takes: BUILTIN, the file of a catalogue's entry in one of the folders, or a path.

    Raises ModelError where the folders lack the entry's file.
    """
    if name == BUILTIN or name not in CATALOGUE:
        return BUILTIN if name == BUILTIN else Path(name)
    file = CATALOGUE[name].file
    path = find_file(file, folders)
    if path is None:
        raise ModelError(f"{file.name} is not in {', '.join(map(str, folders)) or 'any folder: name one by --models'}")
    return path


@asynccontextmanager
async def opened(options: argparse.Namespace) -> AsyncIterator[PictureEmbedder]:
    """Open the extractor: in this process, or the model of that name on an inference server. Raises EmbeddingError."""
    if options.runtime not in RUNTIMES:
        # Nothing else here needs it.
        from aiohttp import ClientSession  # noqa: PLC0415

        access = Access(token=os.environ.get(TOKEN_VARIABLE))
        async with (
            ClientSession() as session,
            open_remote_embedder([options.runtime], options.extractor, session, access) as away,
        ):
            yield away
        return
    extractor = extractor_of(options.extractor, options.models)
    async with open_embedder(extractor, options.runtime, options.threads) as here:
        yield here


async def run(options: argparse.Namespace) -> dict[str, object]:
    """Embed and evaluate every folder."""
    report: dict[str, object] = {}
    async with opened(options) as embedder:
        foreign = np.zeros((0, embedder.length), np.float32)
        if options.unknowns:
            # A flat folder or a tree of them: whatever the classes are called, all is foreign.
            paths = sorted(path for path in options.unknowns.rglob("*") if path.is_file())
            found = await embed_folder(embedder, [("", "", path) for path in paths], embedder.length)
            foreign = found.vectors
        for folder in options.folders:
            pictures = await embed_folder(embedder, files_of(folder), embedder.length)
            report[folder.resolve().name] = evaluate(pictures, foreign, options, folder.name)
    return report


def runtime_of(text: str) -> str:
    """Read a runtime's name, or a server's address. Raises ValueError."""
    if text not in RUNTIMES and "://" not in text:
        raise ValueError("neither a runtime nor the address of a server")
    return text


def numbers(text: str) -> list[int]:
    """Read whole numbers above 0, separated by commas."""
    values = [int(part) for part in text.split(",")]
    if min(values) < 1:
        raise ValueError("numbers of examples begin at 1")
    return values


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "folders", nargs="+", type=existing_folder, metavar="FOLDER", help="a tree: folder/class/picture"
    )
    parser.add_argument("--extractor", default=BUILTIN, metavar="NAME|FILE", help=f"{_NAMES}, or a TFLite file")
    parser.add_argument(
        "--models", type=Path, action="append", default=[], metavar="FOLDER", help="holds the named ones"
    )
    parser.add_argument(
        "--runtime",
        default="auto",
        type=runtime_of,
        metavar="|".join((*RUNTIMES, "URL")),
        help=f"an inference server's address: the extractor is a model's name there; {TOKEN_VARIABLE} may hold a token",
    )
    parser.add_argument("--threads", type=int, default=1, help="of the network")
    parser.add_argument("--head", default="auto", choices=tuple(HEADS), help="auto: what the integration uses")
    parser.add_argument("--shots", type=numbers, default=[1, 5, 20], help="examples a class, e.g. 1,5,20")
    parser.add_argument("--ways", type=int, default=5, help="classes in an episode, at most")
    parser.add_argument("--episodes", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--unknowns", type=existing_folder, metavar="FOLDER", help="pictures of something else")
    parser.add_argument("--json", action="store_true", help="nothing but one line of JSON")
    options = parser.parse_args()
    if options.ways < 2 or options.episodes < 1:
        parser.error("an episode needs two classes, and there has to be one")
    return options


def main() -> int:
    """Evaluate and print; 1 where the extractor can't be used."""
    options = parse()
    return print_report(lambda: asyncio.run(run(options)), indent=None if options.json else 2)


if __name__ == "__main__":
    sys.exit(main())
