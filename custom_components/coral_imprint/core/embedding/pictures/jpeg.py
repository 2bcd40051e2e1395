"""What a JPEG's markers say about the work of decoding it (ITU-T T.81, annex B), without decoding anything.

A decoder reads a picture of one scan row by row. One of several scans, progressive or not, is held whole as coefficients, and each scan passes
over all of them, however few bytes it has.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

_SOS: Final = 0xDA
_FRAMES: Final = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
"""Markers of frame headers: SOF0 to SOF15 but for the three that mean something else."""
_PROGRESSIVE: Final = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_BARE: Final = frozenset({0x01, *range(0xD0, 0xDA)})
"""Markers without a segment: TEM, RST0 to RST7, SOI, EOI."""
_COEFFICIENT: Final = 2
"""Bytes."""


class Scans(NamedTuple):
    """How a picture is stored."""

    single: bool
    """Whether one scan holds everything."""
    scans: int
    """Scans, at most: pictures embedded in the file count too."""
    coefficients: int
    """Bytes of all coefficients, which are held at once unless a single scan holds everything."""


def read_scans(data: bytes) -> Scans:
    """Read the markers up to the first scan; what can't be read counts as several scans."""
    single, coefficients = False, 0
    for marker, start in _segments(data):
        body = data[start : start + 2 + 255 * 3 + 16]
        if marker in _FRAMES and len(body) >= 8:
            progressive, components = marker in _PROGRESSIVE, body[7]
            coefficients = _size(body)
            single = not progressive
        elif marker == _SOS:
            single = single and len(body) > 2 and body[2] == components
            return Scans(single, data.count(b"\xff\xda", start - 2), coefficients)
    return Scans(single=False, scans=data.count(b"\xff\xda"), coefficients=coefficients)


def _segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield each marker that has a segment, and where that begins (with its length)."""
    place = 2
    while (place := data.find(b"\xff", place)) >= 0 and place + 1 < len(data):
        marker = data[place + 1]
        if marker in (0x00, 0xFF):
            place += 1
            continue
        place += 2
        if marker not in _BARE:
            yield marker, place
            place += max(2, int.from_bytes(data[place : place + 2], "big"))


def _size(frame: bytes) -> int:
    """Return the bytes of a frame's coefficients, from its header."""
    height, width = int.from_bytes(frame[3:5], "big"), int.from_bytes(frame[5:7], "big")
    samplings = [divmod(byte, 16) for byte in frame[9 : 8 + 3 * frame[7] : 3]]
    across = max((max(1, one) for one, _ in samplings), default=1)
    down = max((max(1, one) for _, one in samplings), default=1)
    shares = sum(one * other for one, other in samplings)
    return _COEFFICIENT * (width + 8 * across) * (height + 8 * down) * shares // (across * down)
