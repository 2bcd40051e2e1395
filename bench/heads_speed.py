"""How long heads take to learn and to answer, and how long it takes from pictures to an answering head."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
import io
from pathlib import Path
import time

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench import peers
from embedding import BUILTIN, Embedder, NotAPicture, open_embedder
from embedding.runtimes.runtime import Family, Runtime
from imprinting import KINDS, Imprinter, choose, fit_kind

CLASSES, EXAMPLES, LENGTH = 10, 200, 1024
PICTURES = 20
"""Of each of CLASSES classes, from files to an answering head."""

PYCORAL = "pycoral's loop"

FRAME = (1920, 1080)
"""What a camera gives; the pictures at hand are smaller copies, and smooth where they are made larger."""

NOISE = 4.0
"""Standard deviation of a sensor's noise, in code values, that is added to them: a JPEG then is some 250 kB, as a camera's is."""

QUALITY = 80


def measure(folders: Sequence[Path], extractor: str, family: Family) -> dict[str, float]:
    """Return milliseconds by what was done, the least of some rounds: what the work takes where nothing disturbs it."""
    embeddings = drawn()
    report: dict[str, float] = {}
    imprinter = Imprinter()
    for name, rows in embeddings.items():
        imprinter.extend(name, [f"{row:03}" for row in range(len(rows))], rows)
    keys = iter(range(1000))

    def one_more() -> None:
        imprinter.add("class 0", f"new {next(keys):03}", embeddings["class 1"][0])
        imprinter.head().score(embeddings["class 0"][0])

    size = f"{CLASSES * EXAMPLES} × {LENGTH}"
    report[f"add one example to {size} and answer"] = least(one_more, 15)
    for kind in KINDS:
        head = fit_kind(kind, embeddings)
        report[f"learn {kind}, {size}"] = least(partial(fit_kind, kind, embeddings), 3)
        report[f"score by {kind}"] = least(partial(head.score, embeddings["class 0"][0]), 200)
    report[f"choose, {size}"] = least(lambda: choose(embeddings), 1)
    if extractor != BUILTIN:
        report |= from_pictures(folders, extractor, family)
    return report


def least(action: Callable[[], object], rounds: int) -> float:
    """Return the shortest duration of an action in milliseconds."""
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        action()
        taken.append(time.perf_counter() - start)
    return round(min(taken) * 1000, 3)


def drawn() -> dict[str, NDArray[np.float32]]:
    """Return drawn unit embeddings by class."""
    random = np.random.default_rng(0)
    rows = random.normal(size=(CLASSES, 1, LENGTH)) + random.normal(size=(CLASSES, EXAMPLES, LENGTH))
    rows /= np.linalg.norm(rows, axis=-1, keepdims=True)
    return {f"class {index}": part for index, part in enumerate(rows.astype(np.float32))}


def from_pictures(folders: Sequence[Path], extractor: str, family: Family) -> dict[str, float]:
    """Time pictures to an answering head, ours and pycoral's loop in turn, on files as they are and as camera frames.

    ``network alone`` is what both spend in the network, on pictures that are pixels already: neither can be faster than it on one
    thread. Ours is timed on one thread, and with the second one that many pictures at once get.
    """
    paths = [path for folder in folders for path in sorted(folder.glob("*/*.jpg"))]
    chosen = [paths[index] for index in np.linspace(0, len(paths) - 1, CLASSES * PICTURES).astype(int)]
    files = [path.read_bytes() for path in chosen]
    report: dict[str, float] = {}
    for name, jpegs in (("pictures as they are", files), ("1080p frames", [_as_frame(jpeg) for jpeg in files])):
        classes = [jpegs[start : start + PICTURES] for start in range(0, len(jpegs), PICTURES)]
        taken = asyncio.run(_compared(classes, extractor, family))
        what = f"{CLASSES} × {PICTURES} {name} to a head"
        report |= {f"{what}, {way}": ms for way, ms in taken.items()}
        for way in ("one thread", "two threads", "one thread, processor time"):
            theirs = way.replace("one thread", PYCORAL).replace("two threads", PYCORAL)
            report[f"{what}, {way} / {PYCORAL}"] = round(taken[way] / taken[theirs], 3)
    return report


async def _compared(
    classes: Sequence[Sequence[bytes]], extractor: str, family: Family, rounds: int = 3
) -> dict[str, float]:
    """Return the least milliseconds of each way from the same pictures to weights, taken in turns; of the processors' time too."""
    runtime = peers.open_network(extractor, family)
    taken: dict[str, list[float]] = {}
    async with open_embedder(extractor, family, strict=True) as embedder:
        ways: dict[str, Callable[[], Awaitable[None]]] = {
            "one thread": partial(_one_by_one, embedder, classes),
            "two threads": partial(_at_once, embedder, classes),
            PYCORAL: partial(_as_pycoral, runtime, classes),
            "network alone": partial(_network_alone, runtime, sum(map(len, classes))),
        }
        for _ in range(rounds):
            for name, way in ways.items():
                start, busy = time.perf_counter(), time.process_time()
                await way()
                taken.setdefault(name, []).append(time.perf_counter() - start)
                taken.setdefault(f"{name}, processor time", []).append(time.process_time() - busy)
    runtime.close()
    return {name: round(min(times) * 1000, 1) for name, times in taken.items()}


async def _one_by_one(embedder: Embedder, classes: Sequence[Sequence[bytes]]) -> None:
    imprinter = Imprinter()
    for number, jpegs in enumerate(classes):
        for key, jpeg in enumerate(jpegs):
            imprinter.add(str(number), str(key), await embedder.embed(jpeg))
    imprinter.head()


async def _at_once(embedder: Embedder, classes: Sequence[Sequence[bytes]]) -> None:
    imprinter = Imprinter()
    for index, vector in enumerate(await embedder.embed_many([jpeg for jpegs in classes for jpeg in jpegs])):
        if isinstance(vector, NotAPicture):
            raise vector
        imprinter.add(str(index // PICTURES), str(index), vector)
    imprinter.head()


async def _as_pycoral(runtime: Runtime, classes: Sequence[Sequence[bytes]]) -> None:
    peers.mean_of_units([np.stack([peers.network_alone(runtime, jpeg) for jpeg in jpegs]) for jpegs in classes])


async def _network_alone(runtime: Runtime, count: int) -> None:
    pixels = np.zeros((*runtime.input_size[::-1], 3), np.uint8)
    for _ in range(count):
        runtime.embed(pixels)


def _as_frame(jpeg: bytes) -> bytes:
    """Return a picture as a camera's frame."""
    with Image.open(io.BytesIO(jpeg)) as picture:
        pixels = np.asarray(picture.convert("RGB").resize(FRAME, Image.Resampling.BICUBIC)).astype(np.float32)
    noise = np.random.default_rng(len(jpeg)).normal(0, NOISE, pixels.shape[:2])[..., None]
    output = io.BytesIO()
    Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8)).save(output, "JPEG", quality=QUALITY)
    return output.getvalue()
