"""Plays real pictures, a folder per class, through the simulated camera: some are taught, the rest are shown and judged."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
import random
from typing import Any

import numpy as np

from embedding import CATALOGUE, find_file, open_embedder
from imprinting import fit

ROOT = Path(__file__).resolve().parents[2]

SUFFIXES = {".jpg", ".jpeg"}
PUBLISHED = frozenset(CATALOGUE)
"""Names of the published extractors."""


@dataclass(frozen=True)
class Split:
    """Pictures by class: taught, and shown."""

    taught: Mapping[str, Sequence[Path]]
    shown: Sequence[tuple[str, Path]]


@dataclass
class Score:
    """How often the answer was right."""

    confusion: dict[str, Counter[str]] = field(default_factory=dict)

    def add(self, truth: str, answer: str) -> None:
        """Count one answer."""
        self.confusion.setdefault(truth, Counter())[answer] += 1

    @property
    def accuracy(self) -> float:
        """Mean accuracy of the classes, percent."""
        rates = [answers[truth] / answers.total() for truth, answers in self.confusion.items()]
        return 100 * sum(rates) / len(rates) if rates else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return accuracy and confusion as JSON can hold them."""
        return {
            "accuracy": round(self.accuracy, 2),
            "shown": sum(answers.total() for answers in self.confusion.values()),
            "confusion": {truth: dict(answers) for truth, answers in sorted(self.confusion.items())},
        }


def _group(path: Path) -> str:
    """Return what a picture belongs to (a day, a camera): the part of its name before ``__``."""
    group, mark, _ = path.name.partition("__")
    return group if mark else str(path)


def read_split(folder: Path, shots: int, seed: int) -> Split:
    """Choose ``shots`` pictures of each class to teach; the rest, but for their groups' other pictures, are shown.

    Raises ValueError where the folder does not hold at least two classes of more than ``shots`` pictures.
    """
    rng = random.Random(seed)
    classes = {
        path.name: sorted(picture for picture in path.iterdir() if picture.suffix.lower() in SUFFIXES)
        for path in sorted(folder.iterdir())
        if path.is_dir()
    }
    classes = {name: pictures for name, pictures in classes.items() if len(pictures) > shots}
    if len(classes) < 2:
        raise ValueError(f"{folder} must hold two folders or more with more than {shots} JPEG pictures each")
    taught = {name: rng.sample(pictures, shots) for name, pictures in classes.items()}
    chosen = {picture for pictures in taught.values() for picture in pictures}
    used = {_group(picture) for picture in chosen}
    rest = [(name, picture) for name, pictures in classes.items() for picture in pictures if picture not in chosen]
    apart = [(name, picture) for name, picture in rest if _group(picture) not in used]
    # Where the names' beginnings are no groups (one for all, or too few to leave each class something), ignore them.
    shown = apart if {name for name, _ in apart} == classes.keys() else rest
    rng.shuffle(shown)
    return Split(taught, shown)


def extractor_file(extractor: str, *folders: Path) -> Path | None:
    """Return an extractor's file, a published one's from one of the folders; None for the built-in one and where there is none."""
    if extractor in PUBLISHED:
        return find_file(CATALOGUE[extractor].file, folders)
    return Path(extractor) if Path(extractor).is_file() else None


def offered_as(file: Path) -> str:
    """Return what the engine's form calls a file in the folder of models: a published one is no file of the user's own."""
    return next((key for key, entry in CATALOGUE.items() if find_file(entry.file, [file.parent]) == file), file.name)


async def judge_with_cores(split: Split, extractor: str | Path, runtime: Any) -> Score:
    """Return how the cores alone do on the same split: what Home Assistant adds must not change it."""
    score = Score()
    async with open_embedder(extractor, runtime) as embedder:
        taught = {
            name: np.stack([await embedder.embed(picture.read_bytes()) for picture in pictures])
            for name, pictures in split.taught.items()
        }
        # All are taught in one visit, which can't say that another head is better.
        head = fit(taught)
        for name, picture in split.shown:
            score.add(name, head.score(await embedder.embed(picture.read_bytes())).best or "unknown")
    return score
