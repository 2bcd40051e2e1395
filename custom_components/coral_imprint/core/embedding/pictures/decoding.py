"""A camera's bytes, checked, and cut into the small pictures that extractors look at.

The only module that knows Pillow. Bytes come from cameras and uploads: nothing in them is trusted. One decode, at the
smallest scale that is sharp enough, serves every view of a frame.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
import math
import struct
from typing import Final, NamedTuple
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError

from ..errors import NotAPicture
from .geometry import MIN_SIDE, TURNS, WHOLE, Box, ContentPlace, Region, Size, Turn, View
from .jpeg import read_scans

__all__ = [
    "MAX_DECODED",
    "MAX_MEMORY",
    "MAX_PIXELS",
    "MIN_SIDE",
    "VERSION",
    "WHOLE",
    "PictureInfo",
    "Region",
    "View",
    "check_picture",
    "cut",
    "to_jpeg",
]

VERSION: Final = 3
"""Goes up whenever the same bytes would give other pixels: part of a fingerprint."""

MAX_PIXELS: Final = 120_000_000
"""Largest picture (width × height) taken at all. Only a JPEG of a single scan may be so large: it is decoded at a fraction."""

MAX_DECODED: Final = 12_500_000
"""Pixels that are decoded of a JPEG, at most: of a larger one, not even the smallest region is seen at full scale."""

MAX_MEMORY: Final = 150_000_000
"""Bytes that a picture may take that has to be held whole in memory: about 18 million pixels of PNG or BMP, 12 of GIF, 7.5 of WebP,
50 of a progressive JPEG as cameras make them."""

MAX_PASSES: Final = 600_000_000
"""Pixels that all scans of a JPEG may pass over, if it has several: a progressive one usually has ten."""

MIN_PIXELS: Final = 8
"""Smallest width and height of a picture, in pixels."""

JPEG_QUALITY: Final = 95
"""Of frames that don't come as JPEG: the picture is the truth, so hardly any loss."""

# Decoded, unpacked, and once more without transparency; WebP's decoder and GIF's animations hold copies of their own.
_BYTES_PER_PIXEL: Final = {"PNG": 8, "BMP": 8, "GIF": 12, "WEBP": 20}
_STRIP: Final = 1 << 20
"""Pixels that are converted at a time."""

_FORMATS: Final = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
_LONGEST: Final = 65_500  # of a JPEG's sides
_JPEG: Final = frozenset({"JPEG", "MPO"})  # MPO: several JPEGs in one file, of which the first counts
_ORIENTATION_TAG: Final = 0x0112

# What Pillow raises on bytes that are broken in one of the many possible ways.
_BROKEN: Final = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    ArithmeticError,
    MemoryError,
    AssertionError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


class PictureInfo(NamedTuple):
    """What a picture is, as it is meant to be shown (EXIF orientation applied)."""

    width: int
    height: int
    format: str


def check_picture(data: bytes) -> PictureInfo:
    """Decode a picture as cheaply as possible, to the end, and say what it is.

    Raises:
        NotAPicture: empty, no picture, of an unknown format, truncated, broken, too large or too small.

    """
    with _opened(data) as image:
        size, kind = image.size, "JPEG" if image.format in _JPEG else str(image.format)
        turn = _turn(image)
        # Grey at an eighth: every byte is read, hardly any pixel made.
        image.draft("L", (1, 1))
        image.load()
    return PictureInfo(*turn.size(size), kind)


def to_jpeg(data: bytes) -> bytes:
    """Return a picture as JPEG: a JPEG as it is, anything else converted.

    A JPEG is passed on by its header alone (``check_picture`` reads it to the end). Others are turned upright, and what
    is transparent becomes black.

    Raises:
        NotAPicture: as ``check_picture``.

    """
    with _opened(data) as image:
        if image.format in _JPEG:
            return data
        turn = _turn(image)
        image.load()
        frame = _rgb(image)
    del image  # while it is turned, a large frame is in memory twice already
    for turned, method in (
        (turn.flip_x, Image.Transpose.FLIP_LEFT_RIGHT),
        (turn.flip_y, Image.Transpose.FLIP_TOP_BOTTOM),
        (turn.swap, Image.Transpose.TRANSPOSE),
    ):
        if turned:
            frame = frame.transpose(method)
    jpeg = BytesIO()
    frame.save(jpeg, "JPEG", quality=JPEG_QUALITY)
    return jpeg.getvalue()


def cut(data: bytes, views: Sequence[View]) -> list[NDArray[np.uint8]]:
    """Cut views out of a picture, all from one decode.

    A JPEG is decoded at the smallest of libjpeg's scales (1/8, 1/4, 1/2, 1) that leaves every region as many pixels as
    its view wants. Regions are stretched to the view's shape by up to its ``max_stretch``; what they lack beyond is padded with
    their mean colour. See ``_shrunk`` for how pixels become fewer.

    Returns:
        One C-contiguous array per view, in order: (height, width, 3) uint8, RGB, upright.

    Raises:
        NotAPicture: as ``check_picture``.

    """
    with _opened(data) as image:
        turn, stored = _turn(image), image.size
        places = [ContentPlace.of(view, stored, turn) for view in views]
        wide, high = zip(*(place.needed for place in places), strict=True) if places else ((1,), (1,))
        reduced = image.draft("RGB", _affordable((max(wide), max(high)), stored))
        # A JPEG's scaled size is rounded up; its pixels cover this much of it.
        extent = reduced[1][2:] if reduced else stored
        image.load()
        frame = _rgb(image)
        return [
            _cut_one(frame, extent, place, place.blocks(stored, round(stored[0] / extent[0])), turn) for place in places
        ]


def _cut_one(
    frame: Image.Image, extent: tuple[float, float], place: ContentPlace, blocks: Size, turn: Turn
) -> NDArray[np.uint8]:
    """Cut one view out of a decoded frame, of which its content takes these blocks."""
    view = place.view
    piece = _shrunk(frame, place.box(extent), place.size, blocks)
    pixels = np.empty((view.height, view.width, 3), np.uint8)
    width, height = turn.size(place.size)
    if (width, height) != (view.width, view.height):
        pixels[:] = np.asarray(piece.resize((1, 1), Image.Resampling.BOX))
    x, y = (view.width - width) // 2, (view.height - height) // 2
    pixels[y : y + height, x : x + width] = turn.upright(np.asarray(piece))
    return pixels


def _shrunk(frame: Image.Image, box: Box, size: Size, blocks: Size) -> Image.Image:
    """Resize a box of a frame: whole blocks of pixels are averaged, of what is left (less than two for one) the nearest is taken.

    Networks were trained on pictures resized without smoothing and answer better to sharp ones, but pixels that are left out
    altogether are noise. In a direction with fewer pixels than asked for, what lies between them is interpolated.
    """
    if blocks != (1, 1):
        # From a multiple of the blocks' part that libjpeg averages when it decodes at a fraction, or nearly so.
        left, top = (int(start) // block * block for start, block in zip(box[:2], blocks, strict=True))
        right, bottom = (min(math.ceil(end), most) for end, most in zip(box[2:], frame.size, strict=True))
        frame = frame.reduce(blocks, (left, top, right, bottom))
        across, down = blocks
        box = (box[0] - left) / across, (box[1] - top) / down, (box[2] - left) / across, (box[3] - top) / down
    x, y = (
        Image.Resampling.NEAREST if length >= wanted else Image.Resampling.BILINEAR
        for length, wanted in zip((box[2] - box[0], box[3] - box[1]), size, strict=True)
    )
    if x == y:
        return frame.resize(size, x, box)
    rows = math.floor(box[1]), math.ceil(box[3])
    lines = frame.resize((size[0], rows[1] - rows[0]), x, (box[0], rows[0], box[2], rows[1]))
    return lines.resize(size, y, (0, box[1] - rows[0], size[0], box[3] - rows[0]))


def _affordable(needed: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """Limit the size asked of a JPEG so that at the scale chosen for it (1, 1/2, 1/4 or 1/8) it has at most ``MAX_DECODED`` pixels."""
    for scale in (1, 2, 4):
        if size[0] * size[1] <= MAX_DECODED * scale**2:
            return min(needed[0], size[0] // scale), min(needed[1], size[1] // scale)
    return 1, 1


@contextmanager
def _opened(data: bytes) -> Iterator[ImageFile.ImageFile]:
    """Open a picture whose header is plausible; whatever Pillow raises on it inside the block is ``NotAPicture``."""
    try:
        with Image.open(BytesIO(data), formats=_FORMATS) as image:
            _check_size(image, data)
            yield image
    except UnidentifiedImageError as error:
        raise NotAPicture(_suspicion(data)) from error
    except _BROKEN as error:
        raise NotAPicture(f"The picture is broken or truncated: {error}") from error


def _check_size(image: ImageFile.ImageFile, data: bytes) -> None:
    """Refuse by the headers alone what is too large to decode or too small to show anything."""
    width, height = image.size
    if min(width, height) < MIN_PIXELS:
        raise NotAPicture(f"The picture is too small: {width}×{height} pixels")
    if image.format in _JPEG:
        scans = read_scans(data)
        whole = 0 if scans.single else scans.coefficients
        passes = 0 if scans.single else scans.scans * width * height
    else:
        whole, passes = width * height * _BYTES_PER_PIXEL[str(image.format)], 0
    if max(width, height) > _LONGEST or width * height > MAX_PIXELS or whole > MAX_MEMORY:
        raise NotAPicture(f"The picture is too large: {width}×{height} pixels")
    if passes > MAX_PASSES:
        raise NotAPicture(f"The picture is built up in too many steps: {scans.scans} scans of {width}×{height} pixels")


def _suspicion(data: bytes) -> str:
    """Say what bytes that aren't a picture seem to be."""
    start = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not data:
        return "The camera's answer is empty"
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "This is a web page (HTML), not a picture"
    if start.startswith(b"--") and b"content-type" in start:
        return "This is a stream (multipart), not a single picture"
    if start.startswith((b"<svg", b"<?xml", b"<")):
        return "This is a document (XML), not a picture"
    if start.startswith((b"{", b"[")):
        return "This is data (JSON), not a picture"
    if start and all(32 <= byte < 127 or byte in b"\t\r\n" for byte in start):
        return "This is text, not a picture"
    if start.startswith((b"\xff\xd8", b"\x89png", b"riff", b"gif8", b"bm")):
        return "The picture is broken or truncated: its header can't be read"
    return "This is no picture of a known format (JPEG, PNG, WebP, GIF, BMP)"


def _turn(image: ImageFile.ImageFile) -> Turn:
    """Read which way up a picture is; upright where its EXIF data say nothing, or nonsense."""
    if image.format not in _JPEG:
        image.load()  # a PNG may say so behind its pixels
    try:
        orientation = image.getexif().get(_ORIENTATION_TAG)
    except _BROKEN:
        return Turn()
    return TURNS.get(orientation, Turn()) if isinstance(orientation, int) else Turn()


def _rgb(image: Image.Image) -> Image.Image:
    """Convert a decoded picture of any mode to RGB, what is transparent to black; strip by strip where that takes copies."""
    if not (image.mode.startswith("I") or image.has_transparency_data):
        return image if image.mode == "RGB" else image.convert("RGB")
    width, height = image.size
    flat = Image.new("RGB", image.size)
    rows = max(1, _STRIP // width)
    for top in range(0, height, rows):
        flat.paste(_opaque(image.crop((0, top, width, min(height, top + rows)))), (0, top))
    return flat


def _opaque(image: Image.Image) -> Image.Image:
    """Convert grey of 16 bits, or what has transparency, to RGB."""
    if image.mode.startswith("I"):  # of which the upper eight bits count
        grey = np.clip(np.asarray(image).astype(np.int32), 0, 0xFFFF) >> 8
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    layered = image.convert("RGBA")
    flat = Image.new("RGB", image.size)
    flat.paste(layered, mask=layered.getchannel("A"))
    return flat
