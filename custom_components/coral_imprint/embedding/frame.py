"""A camera's bytes, checked, and cut into the small pictures that extractors look at.

The only module that knows Pillow. Bytes come from cameras and uploads: nothing in them is trusted. One decode, at the
smallest scale that is sharp enough, serves every view of a frame.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
import math
import struct
from typing import Any, Final, NamedTuple, Self
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError

from .errors import InvalidRegion, NotAPicture
from .jpeg import read_scans

VERSION: Final = 2
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

MIN_SIDE: Final = 0.02
"""Smallest width and height of a region, as a fraction of the frame's."""

MAX_STRETCH: Final = 1.36
"""How far a region's shape may be from its view's and still be stretched to it: 4:3, with leeway for odd sizes.

Beyond, it keeps its shape and is padded.
"""

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
_TINY: Final = 1e-9

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


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle of a frame, in fractions of its width and height (0..1) from the top left corner.

    Fractions are rounded to 1/10000, so that regions with equal keys are equal.

    Raises:
        InvalidRegion: not numbers, outside the frame, inside out, or under ``MIN_SIDE`` in a direction.

    """

    left: float
    top: float
    right: float
    bottom: float

    def __post_init__(self) -> None:
        """Validate and round."""
        for name in self.__slots__:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
                raise InvalidRegion(f"{name} is no number: {value!r}")
            if not -_TINY <= value <= 1 + _TINY:
                raise InvalidRegion(f"{name} is outside the frame (0..1): {value}")
            object.__setattr__(self, name, abs(round(float(value), 4)))
        if self.width < -_TINY or self.height < -_TINY:
            raise InvalidRegion(f"The region is inside out: {self.key}")
        if min(self.width, self.height) < MIN_SIDE - _TINY:
            raise InvalidRegion(f"The region is smaller than {MIN_SIDE:.0%} of the frame: {self.key}")

    @property
    def width(self) -> float:
        """Width as a fraction of the frame's."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """Height as a fraction of the frame's."""
        return self.bottom - self.top

    @property
    def key(self) -> str:
        """Canonical text, for fingerprints."""
        return f"{self.left:.4f},{self.top:.4f},{self.right:.4f},{self.bottom:.4f}"

    def as_dict(self) -> dict[str, float]:
        """Return the four fractions by name, for JSON."""
        return {"left": self.left, "top": self.top, "right": self.right, "bottom": self.bottom}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read what ``as_dict`` returned; other keys are ignored.

        Raises:
            InvalidRegion: a fraction is missing, or see the class.

        """
        try:
            return cls(data["left"], data["top"], data["right"], data["bottom"])
        except KeyError as error:
            raise InvalidRegion(f"The region lacks {error}") from error


WHOLE: Final = Region(0.0, 0.0, 1.0, 1.0)
"""The whole frame."""


@dataclass(frozen=True, slots=True)
class View:
    """What an extractor wants from a frame: a region, at a size in pixels."""

    region: Region
    width: int
    height: int


class PictureInfo(NamedTuple):
    """What a picture is, as it is meant to be shown (EXIF orientation applied)."""

    width: int
    height: int
    format: str


class _Turn(NamedTuple):
    """How a stored picture becomes upright: flipped in either direction, then rows and columns swapped."""

    flip_x: bool = False
    flip_y: bool = False
    swap: bool = False

    def size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Turn a width and height; its own inverse."""
        return (size[1], size[0]) if self.swap else size

    def stored(self, region: Region) -> tuple[float, float, float, float]:
        """Where a region of the upright picture lies in the stored one (left, top, right, bottom)."""
        left, top, right, bottom = region.left, region.top, region.right, region.bottom
        if self.swap:
            left, top, right, bottom = top, left, bottom, right
        if self.flip_x:
            left, right = 1 - right, 1 - left
        if self.flip_y:
            top, bottom = 1 - bottom, 1 - top
        return left, top, right, bottom

    def upright(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Turn stored pixels (H, W, 3); the result is a view of them."""
        turned = pixels[:: -1 if self.flip_y else 1, :: -1 if self.flip_x else 1]
        return turned.swapaxes(0, 1) if self.swap else turned


# EXIF 2.32, 4.6.4 A, tag Orientation.
_TURNS: Final = {
    2: _Turn(flip_x=True),
    3: _Turn(flip_x=True, flip_y=True),
    4: _Turn(flip_y=True),
    5: _Turn(swap=True),
    6: _Turn(flip_y=True, swap=True),
    7: _Turn(flip_x=True, flip_y=True, swap=True),
    8: _Turn(flip_x=True, swap=True),
}


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
    its view wants. Regions are stretched to the view's shape by up to ``MAX_STRETCH``; beyond, they keep
    theirs and are padded with their mean colour.

    Returns:
        One C-contiguous array per view, in order: (height, width, 3) uint8, RGB, upright.

    Raises:
        NotAPicture: as ``check_picture``.

    """
    with _opened(data) as image:
        turn = _turn(image)
        contents = [_content(view, turn.size(image.size)) for view in views]
        reduced = image.draft("RGB", _affordable(_needed(views, contents, turn), image.size))
        # A JPEG's scaled size is rounded up; its pixels cover this much of it.
        extent = reduced[1][2:] if reduced else image.size
        image.load()
        frame = _rgb(image)
        return [_cut_one(frame, extent, view, content, turn) for view, content in zip(views, contents, strict=True)]


def _cut_one(
    frame: Image.Image, extent: tuple[float, float], view: View, content: tuple[int, int], turn: _Turn
) -> NDArray[np.uint8]:
    """Cut one view out of a decoded frame; ``content`` is its size in the view, without padding."""
    left, top, right, bottom = turn.stored(view.region)
    box = (left * extent[0], top * extent[1], right * extent[0], bottom * extent[1])
    piece = frame.resize(turn.size(content), Image.Resampling.BILINEAR, box, reducing_gap=2.0)
    pixels = np.empty((view.height, view.width, 3), np.uint8)
    width, height = content
    if (width, height) != (view.width, view.height):
        pixels[:] = np.asarray(piece.resize((1, 1), Image.Resampling.BOX))
    x, y = (view.width - width) // 2, (view.height - height) // 2
    pixels[y : y + height, x : x + width] = turn.upright(np.asarray(piece))
    return pixels


def _content(view: View, frame: tuple[int, int]) -> tuple[int, int]:
    """Size (width, height) that a region takes in its view: all of it, or its own shape where that is too different."""
    aspect = view.region.width * frame[0] / (view.region.height * frame[1])
    excess = aspect * view.height / view.width
    if excess > MAX_STRETCH:
        return view.width, max(1, round(view.height / excess))
    if excess < 1 / MAX_STRETCH:
        return max(1, round(view.width * excess)), view.height
    return view.width, view.height


def _needed(views: Sequence[View], contents: Sequence[tuple[int, int]], turn: _Turn) -> tuple[int, int]:
    """Size that the stored frame needs so that no region has fewer pixels than its view takes."""
    wide = [math.ceil(content[0] / view.region.width) for view, content in zip(views, contents, strict=True)]
    high = [math.ceil(content[1] / view.region.height) for view, content in zip(views, contents, strict=True)]
    return turn.size((max(wide, default=1), max(high, default=1)))


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


def _turn(image: ImageFile.ImageFile) -> _Turn:
    """Read which way up a picture is; upright where its EXIF data say nothing, or nonsense."""
    if image.format not in _JPEG:
        image.load()  # a PNG may say so behind its pixels
    try:
        orientation = image.getexif().get(_ORIENTATION_TAG)
    except _BROKEN:
        return _Turn()
    return _TURNS.get(orientation, _Turn()) if isinstance(orientation, int) else _Turn()


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
