"""Damage that knows nothing of a file's format."""

from collections.abc import Callable, Sequence
import random
import struct
from typing import Final

NASTY: Final = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0xFFFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
"""Numbers that lengths, counts and offsets are seldom tested with."""


def flip_bits(data: bytearray, chance: random.Random) -> None:
    """Flip a few bits, anywhere."""
    for _ in range(chance.randint(1, 8)):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def set_bytes(data: bytearray, chance: random.Random) -> None:
    """Overwrite a few bytes; as often as not near the beginning, where headers are."""
    reach = min(len(data), chance.choice([64, 700, len(data)]))
    for _ in range(chance.randint(1, 6)):
        data[chance.randrange(reach)] = chance.randrange(256)


def truncate(data: bytearray, chance: random.Random) -> None:
    """Cut the end off."""
    del data[chance.randrange(len(data)) :]


def cut_out(data: bytearray, chance: random.Random) -> None:
    """Remove a piece."""
    start = chance.randrange(len(data))
    del data[start : start + chance.randint(1, max(1, len(data) // 4))]


def repeat(data: bytearray, chance: random.Random) -> None:
    """Copy a piece to another place, which moves what follows."""
    start, place = chance.randrange(len(data)), chance.randrange(len(data))
    data[place:place] = data[start : start + chance.randint(1, max(1, len(data) // 4))]


def overwrite(data: bytearray, chance: random.Random) -> None:
    """Copy a piece over another, which moves nothing."""
    length = chance.randint(1, max(1, len(data) // 8))
    start, place = (chance.randrange(max(1, len(data) - length)) for _ in range(2))
    data[place : place + length] = data[start : start + length]


def set_number(data: bytearray, chance: random.Random) -> None:
    """Replace a number of two or four bytes, in either byte order, by a nasty one or one near it."""
    form = chance.choice(["<H", ">H", "<I", ">I"])
    size = struct.calcsize(form)
    if len(data) < size:
        return
    place = chance.randrange(len(data) - size + 1)
    if chance.random() < 0.3:
        value = struct.unpack_from(form, data, place)[0] + chance.choice([-4, -1, 1, 4])
    else:
        value = chance.choice((*NASTY, len(data), len(data) - 4))
    struct.pack_into(form, data, place, value % (1 << 8 * size))


BLIND: Final[Sequence[Callable[[bytearray, random.Random], None]]] = (
    flip_bits,
    set_bytes,
    truncate,
    cut_out,
    repeat,
    overwrite,
    set_number,
)


def spliced(first: bytes, second: bytes, chance: random.Random) -> bytes:
    """Return the beginning of one file and the end of another."""
    return first[: chance.randrange(len(first) + 1)] + second[chance.randrange(len(second) + 1) :]
