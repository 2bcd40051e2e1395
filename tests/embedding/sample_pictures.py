"""Pictures drawn for tests: scenes with content to find again, in every dress that cameras give them."""

from io import BytesIO
import struct
from typing import Final
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image

ORIENTATION_TAG: Final = 0x0112

# What a viewer does to the stored picture; the inverse makes the stored picture from the upright one.
_INVERSE: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def scene(width: int = 640, height: int = 480, seed: int = 0) -> Image.Image:
    """Draw soft blobs of colour: smooth enough for JPEG, different everywhere."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def encode(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    """Encode a picture; JPEG at quality 92 unless told otherwise."""
    if kind == "JPEG":
        options = {"quality": 92, **options}
    stream = BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def oriented(image: Image.Image, orientation: int, kind: str = "JPEG") -> bytes:
    """Store an upright picture the way a camera held otherwise would, saying so in its EXIF data."""
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = orientation
    stored = image.transpose(_INVERSE[orientation]) if orientation in _INVERSE else image
    return encode(stored, kind, exif=exif)


def decoded(data: bytes) -> NDArray[np.uint8]:
    """Decode by Pillow alone, at full size: (H, W, 3)."""
    return np.asarray(Image.open(BytesIO(data)).convert("RGB"))


def claiming_jpeg(width: int, height: int) -> bytes:
    """Return a small JPEG whose header claims another size."""
    data = bytearray(encode(scene(64, 64)))
    frame = data.index(b"\xff\xc0")
    struct.pack_into(">HH", data, frame + 5, height, width)
    return bytes(data)


def claiming_png(width: int, height: int) -> bytes:
    """Return a PNG whose header claims a size that its few bytes don't hold."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )
