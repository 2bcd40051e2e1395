"""Damaged pictures, and what comes of looking at them."""

from collections.abc import Callable, Sequence
from pathlib import Path
import random
import struct
from typing import Final
import warnings
import zlib

import numpy as np

from embedding.errors import NotAPicture
from embedding.pictures.decoding import MAX_PIXELS, WHOLE, Region, View, check_picture, cut, to_jpeg
from embedding.pictures.layout import LENGTH, SIZE, describe, join

from .models import WrongAnswer
from .mutations import BLIND, NASTY, spliced

_CORNER: Final = Region(0.9, 0.9, 0.92, 0.92)
_VIEWS: Final = (View(WHOLE, *SIZE), View(WHOLE, 160, 160), View(_CORNER, 224, 224))
_SIDES: Final = (0, 1, 7, 8, 9, 16, 100, 1000, 3000, 5000, 9000, 12_000, 30_000, 65_535)


class Pictures:
    """Numbered damaged pictures: the same seed and number give the same bytes."""

    def __init__(self, drawn: Path) -> None:
        """Take a folder that `drawn` has filled."""
        self._small = [path.read_bytes() for path in sorted(drawn.glob("small-*"))]
        self._large = sorted(drawn.glob("large-*"))
        jpegs = [data for data in self._small if data.startswith(b"\xff\xd8")]
        # Half of the damage is done to what cameras send.
        self._sources = jpegs * max(1, (len(self._small) - len(jpegs)) // len(jpegs) + 1) + self._small

    def sound(self) -> bytes:
        """Return a picture without damage."""
        return self._small[0]

    def case(self, seed: int, number: int) -> bytes:
        """Return a damaged picture; the first numbers are the sound ones and the bombs."""
        if number < len(self._small):
            return self._small[number]
        number -= len(self._small)
        if number < len(self._large):
            return self._large[number].read_bytes()
        chance = random.Random(f"{seed} {number}")
        source = chance.choice(self._sources)
        if chance.random() < 0.04:
            return spliced(source, chance.choice(self._sources), chance)
        data = bytearray(source)
        aimed = _AIMED.get(source[:2])
        for _ in range(chance.choice([1, 1, 2, 4])):
            if len(data) < 4:
                break
            if aimed and chance.random() < 0.6:
                aimed(data, chance)
            else:
                chance.choice(BLIND)(data, chance)
        return bytes(data)


def _segments(data: bytearray) -> list[tuple[int, int]]:
    """Return each of a JPEG's segments: where its length stands, and how long it claims to be."""
    found, place = [], 2
    while place + 4 <= len(data) and data[place] == 0xFF and data[place + 1] != 0xD9:
        length = int.from_bytes(data[place + 2 : place + 4], "big")
        found.append((place + 2, length))
        if data[place + 1] == 0xDA:
            break
        place += 2 + max(2, length)
    return found


def _damage_jpeg(data: bytearray, chance: random.Random) -> None:
    """Change a marker, a length, a size, or something else in a header; insert, remove or repeat a segment."""
    segments = _segments(data)
    if not segments:
        return
    start, length = chance.choice(segments)
    way = chance.randrange(7)
    if way == 0:
        data[start - 1] = chance.randrange(0xC0, 0x100)
    elif way == 1:
        struct.pack_into(">H", data, start, chance.choice([0, 1, 2, 3, length - 1, length + 1, 65_535]) % 65_536)
    elif way == 2:
        for place, _ in segments:
            if data[place - 1] in (0xC0, 0xC1, 0xC2) and place + 7 <= len(data):
                struct.pack_into(">HH", data, place + 3, chance.choice(_SIDES), chance.choice(_SIDES))
    elif way == 3:
        place = start + chance.randrange(min(24, max(3, length)))
        if place < len(data):
            data[place] = chance.choice([0, 1, 2, 3, 4, 0x11, 0x41, 0x44, 0x22, 0x3F, 0xFF])
    elif way == 4:
        del data[start - 2 : start + length]
    elif way == 5:
        other = chance.choice(segments)[0] - 2
        data[other:other] = data[start - 2 : start + length] * chance.choice([1, 2, 50])
    else:
        data[start - 2 : start - 2] = b"\xff\xdd\0\4" + bytes((chance.randrange(256), chance.randrange(256)))


def _damage_png(data: bytearray, chance: random.Random) -> None:
    """Change a chunk's contents, name or length, and make its checksum right again."""
    chunks, place = [], 8
    while place + 12 <= len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        if place + 12 + length > len(data):
            break
        chunks.append((place, length))
        place += 12 + length
    if not chunks:
        return
    start, length = chunks[0] if chance.random() < 0.3 else chance.choice(chunks)
    body = start + 8
    if data[start + 4 : body] == b"IHDR" and chance.random() < 0.5:
        struct.pack_into(">II", data, body, chance.choice(_SIDES), chance.choice(_SIDES))
    elif chance.random() < 0.15:
        data[start + 4 : body] = chance.choice(
            [b"IDAT", b"IEND", b"tRNS", b"PLTE", b"acTL", b"fdAT", b"iCCP", b"zTXt", b"eXIf"]
        )
    elif chance.random() < 0.15:
        struct.pack_into(">I", data, start, chance.choice(NASTY))
    elif length:
        for _ in range(chance.randint(1, 4)):
            data[body + chance.randrange(min(length, chance.choice([13, 64, length])))] = chance.randrange(256)
    struct.pack_into(">I", data, body + length, zlib.crc32(data[start + 4 : body + length]))


def _damage_other(data: bytearray, chance: random.Random) -> None:
    """Change a size, a length or a flag near the beginning."""
    place = chance.randrange(min(64, len(data) - 3))
    struct.pack_into("<H", data, place, chance.choice((*_SIDES, chance.randrange(65_536))))


_AIMED: Final[dict[bytes, Callable[[bytearray, random.Random], None]]] = {
    b"\xff\xd8": _damage_jpeg,
    b"\x89P": _damage_png,
    b"GI": _damage_other,
    b"RI": _damage_other,
    b"BM": _damage_other,
}


def attempt(data: bytes) -> str:
    """Check, cut, convert and embed a picture; returns what it was refused for, or "right". Raises WrongAnswer."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of much that it then reads
        refused = [_checked(data), _cut(data), _converted(data)]
    return "right" if not any(refused) else "NotAPicture" if all(refused) else "NotAPicture in part"


def _checked(data: bytes) -> bool:
    try:
        info = check_picture(data)
    except NotAPicture:
        return True
    if min(info.width, info.height) < 1 or info.format not in ("JPEG", "PNG", "GIF", "WEBP", "BMP"):
        raise WrongAnswer(f"check_picture: {info}")
    return False


def _cut(data: bytes) -> bool:
    try:
        pieces: Sequence[np.ndarray] = cut(data, _VIEWS)
    except NotAPicture:
        return True
    for view, piece in zip(_VIEWS, pieces, strict=True):
        if piece.shape != (view.height, view.width, 3) or piece.dtype != np.uint8:
            raise WrongAnswer(f"cut: {piece.dtype} of shape {piece.shape}")
    vector = join(None, describe(pieces[0]))
    if vector.shape != (LENGTH,) or not np.isfinite(vector).all() or abs(float(np.linalg.norm(vector)) - 1) > 1e-3:
        raise WrongAnswer("the embedding is no unit vector")
    return False


def _converted(data: bytes) -> bool:
    try:
        jpeg = to_jpeg(data)
    except NotAPicture:
        return True
    if jpeg is not data:
        info = check_picture(jpeg)
        if info.format != "JPEG" or info.width * info.height > MAX_PIXELS:
            raise WrongAnswer(f"to_jpeg: {info}")
    return False
