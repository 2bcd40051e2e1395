"""Damaged extractors, and what comes of opening them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
import math
from pathlib import Path
import random
import struct
from typing import Final

import numpy as np

from embedding.errors import EmbeddingError
from embedding.pictures.layout import LENGTH, SIZE, describe, join
from embedding.runtimes.runtime import Family, open_runtime
from tests.embedding.graphs import DTYPES, classifier, restart_random, separable

from .mutations import BLIND, NASTY, spliced
from .schema import Place, places

_SCALES: Final = (math.nan, math.inf, -math.inf, 0.0, -0.5, 1e-45, 1e-30, 1e-6, 1.0, 1e6, 1e30, 3e38)
_LARGER: Final = (1, 2, 7, 100, 1000, 4000, 20_000)
_MOST_PIXELS: Final = 1 << 26


class WrongAnswer(Exception):
    """Something came out that is neither a named error nor an embedding."""


class Models:
    """Numbered damaged models: the same seed and number give the same bytes."""

    def __init__(self, folder: Path | None = None) -> None:
        """Take graphs built here and, if given, the TFLite files of a folder."""
        restart_random()
        self._sources = [separable(dtype, 24, 32) for dtype in DTYPES]
        for end in ("SOFTMAX", "L2_NORMALIZATION", "RESHAPE"):
            self._sources += [classifier(end, pool)[0] for pool in ("MEAN", "AVERAGE_POOL_2D")]
        self._sources.append(classifier("RESHAPE", squeeze=True)[0])
        self._sources += [path.read_bytes() for path in sorted(folder.glob("*.tflite"))] if folder else []
        self._places: dict[int, Mapping[str, Sequence[Place]]] = {}

    def sound(self) -> bytes:
        """Return a model without damage."""
        return self._sources[0]

    def case(self, seed: int, number: int) -> bytes:
        """Return a damaged model; the first numbers are the sound ones."""
        if number < len(self._sources):
            return self._sources[number]
        chance = random.Random(f"{seed} {number}")
        source = chance.randrange(len(self._sources))
        data = bytearray(self._sources[source])
        way = chance.random()
        if way < 0.03:
            return spliced(bytes(data), chance.choice(self._sources), chance)
        if way < 0.30:
            for _ in range(chance.choice([1, 1, 2, 3])):
                if data:
                    chance.choice(BLIND)(data, chance)
            return bytes(data)
        if way < 0.45:
            self._resize(data, source, chance)
        for _ in range(chance.choice([0, 0, 1]) if way < 0.45 else chance.choice([1, 1, 1, 2, 4])):
            self._aim(data, source, chance)
        return bytes(data)

    def _places_of(self, source: int) -> Mapping[str, Sequence[Place]]:
        """Return the places of a source by kind."""
        if source not in self._places:
            by_kind = defaultdict(list)
            for place in places(self._sources[source]):
                by_kind[place.kind].append(place)
            self._places[source] = by_kind
        return self._places[source]

    def _aim(self, data: bytearray, source: int, chance: random.Random) -> None:
        """Replace a number whose meaning is known by one that is plausible, or nasty, there."""
        by_kind = self._places_of(source)
        found = by_kind[chance.choice(sorted(by_kind))]
        place = chance.choice(found)
        if place.form == "<f":
            struct.pack_into("<f", data, place.position, chance.choice(_SCALES))
            return
        bits = 8 * struct.calcsize(place.form)
        (value,) = struct.unpack_from(place.form, data, place.position)
        other = chance.choice(found)
        others = struct.unpack_from(other.form, data, other.position)[0]
        value = chance.choice((chance.choice(NASTY), value + chance.choice([-4, -2, -1, 1, 2, 4]), others, others))
        if place.kind in ("opcode", "type", "option", "index") and chance.random() < 0.5:
            value = chance.randrange(-1, 160)
        struct.pack_into(place.form[0] + place.form[1].upper(), data, place.position, value % (1 << bits))

    def _resize(self, data: bytearray, source: int, chance: random.Random) -> None:
        """Replace a side, in all shapes that have it, by another: graphs that stay sound but are too large."""
        shapes = self._places_of(source)["shape"]
        old = chance.choice([struct.unpack_from("<i", data, place.position)[0] for place in shapes])
        new = chance.choice((old * chance.choice(_LARGER), chance.choice(_LARGER), chance.randrange(1, 64)))
        for place in shapes:
            if struct.unpack_from("<i", data, place.position)[0] == old:
                struct.pack_into("<I", data, place.position, new % (1 << 32))


def attempt(data: bytes, runtime: Family) -> str:
    """Open a model, embed a picture; returns the name of the error, or "right". Raises WrongAnswer."""
    try:
        opened = open_runtime(data, runtime)
        try:
            width, height = opened.input_size
            if width * height > _MOST_PIXELS:
                raise WrongAnswer(f"A picture of {width}×{height} is asked for")
            pixels = np.zeros((height, width, 3), np.uint8)
            pixels[::2, ::3] = 200
            network = opened.embed(pixels)
        finally:
            opened.close()
    except EmbeddingError as error:
        return type(error).__name__
    if network.shape != (opened.length,) or network.dtype != np.float32 or not np.isfinite(network).all():
        raise WrongAnswer(f"The network returned {network.dtype} of shape {network.shape}")
    vector = join(network, describe(np.zeros((*SIZE, 3), np.uint8)))
    if vector.shape != (opened.length + LENGTH,) or not np.isfinite(vector).all():
        raise WrongAnswer("The embedding is no vector of numbers")
    if abs(float(np.linalg.norm(vector)) - 1) > 1e-3:
        raise WrongAnswer(f"The embedding has the length {np.linalg.norm(vector)}")
    return "right"
