"""Sound pictures in every dress, and bombs: small files that stand for a great many pixels.

Drawing the large ones takes memory, hence in a process of its own: ``python -m scripts.fuzzing.drawn FOLDER [few]``. They are made of a
piece that is repeated, not drawn whole.
"""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
import struct
import sys
import zlib

import numpy as np
from PIL import Image

from tests.embedding.sample_pictures import claiming_jpeg, claiming_png, encode, oriented, scene


def small() -> Iterator[tuple[str, bytes]]:
    """Yield pictures that damage is done to, by name."""
    picture = scene(160, 120)
    grey = picture.convert("L")
    for quality in (30, 92):
        yield f"baseline-{quality}.jpg", encode(picture, quality=quality)
    yield "444.jpg", encode(picture, subsampling=0)
    yield "422.jpg", encode(picture, subsampling=1)
    yield "progressive.jpg", encode(picture, progressive=True)
    yield "progressive-grey.jpg", encode(grey, progressive=True)
    yield "grey.jpg", encode(grey)
    yield "cmyk.jpg", encode(picture.convert("CMYK"))
    yield "cmyk-progressive.jpg", encode(picture.convert("CMYK"), progressive=True)
    yield "rgb.jpg", encode(picture, keep_rgb=True)
    yield "restarts.jpg", encode(picture, restart_marker_rows=1)
    yield "restarts-blocks.jpg", encode(picture, restart_marker_blocks=3)
    yield "optimised.jpg", encode(picture, optimize=True, comment=b"drawn", icc_profile=bytes(600))
    for orientation in range(1, 9):
        yield f"turned-{orientation}.jpg", oriented(picture, orientation)
    yield "mpo.jpg", encode(picture, "MPO", save_all=True, append_images=[scene(160, 120, 1)])
    yield "1x1.jpg", encode(scene(1, 1))
    yield "8x8.jpg", encode(scene(8, 8))
    yield "9x300.jpg", encode(scene(9, 300))
    for mode in ("L", "LA", "P", "1", "RGB", "RGBA"):
        yield f"{mode}.png", encode(picture.convert(mode), "PNG")
    yield "16-bit.png", encode(Image.fromarray(np.asarray(grey).astype(np.uint16) * 257), "PNG")
    yield "turned.png", oriented(picture, 6, "PNG")
    yield "1x1.png", encode(scene(1, 1), "PNG")
    frames = [scene(160, 120, seed).convert("P") for seed in (1, 2)]
    yield "animated.gif", encode(picture.convert("P"), "GIF", save_all=True, append_images=frames)
    yield "still.gif", encode(picture.convert("P"), "GIF")
    yield "lossy.webp", encode(picture, "WEBP")
    yield "lossless.webp", encode(picture.convert("RGBA"), "WEBP", lossless=True)
    yield "24.bmp", encode(picture, "BMP")
    yield "8.bmp", encode(picture.convert("P"), "BMP")
    for kind in ("TIFF", "ICO", "PPM"):
        yield f"other.{kind.lower()}", encode(scene(64, 64), kind)


def repeated_jpeg(width: int, height: int) -> bytes:
    """Return a sound baseline JPEG of any height: one row of blocks, again and again between restart markers."""
    one = encode(scene(width, 16), restart_marker_rows=1, subsampling=2)
    frame, scan = one.index(b"\xff\xc0"), one.index(b"\xff\xda")
    start = scan + 2 + int.from_bytes(one[scan + 2 : scan + 4], "big")
    row = one[start:-2]
    head = bytearray(one[:start])
    struct.pack_into(">H", head, frame + 5, height)
    count = -(-height // 16)
    rows = b"".join(row + bytes((0xFF, 0xD0 + number % 8)) for number in range(count - 1))
    return bytes(head) + rows + row + b"\xff\xd9"


def repeated_scans(width: int, height: int, times: int) -> bytes:
    """Return a progressive JPEG whose header claims a size, with its last scan many times over."""
    data = bytearray(encode(scene(64, 64), progressive=True))
    frame = data.index(b"\xff\xc2")
    struct.pack_into(">HH", data, frame + 5, height, width)
    last = data.rindex(b"\xff\xda")
    return bytes(data[:-2]) + bytes(data[last:-2]) * times + b"\xff\xd9"


def separate_scans(width: int, height: int) -> bytes:
    """Return a baseline JPEG that claims a size and has its components in scans of their own."""
    data = bytearray(encode(scene(64, 64), subsampling=0))
    struct.pack_into(">HH", data, data.index(b"\xff\xc0") + 5, height, width)
    scan = data.index(b"\xff\xda")
    body = bytes(data[scan + 14 : -2])
    scans = [
        b"\xff\xda\0\x08\1" + bytes((number + 1, 0x11 if number else 0)) + b"\0\x3f\0" + body for number in range(3)
    ]
    return bytes(data[:scan]) + b"".join(scans) + b"\xff\xd9"


def repeated_png(width: int, height: int, bits: int, colour: int, transparent: bytes = b"") -> bytes:
    """Return a sound PNG of one colour: a bomb of some kilobytes. ``bits`` and ``colour`` as in its header."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    row = bytes(1 + -(-width * channels * bits // 8))
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    parts = [chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))]
    if colour == 3:
        parts.append(chunk(b"PLTE", bytes(768)))
    if transparent:
        parts.append(chunk(b"tRNS", transparent))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def _encoded(mode: str, width: int, height: int, kind: str, **options: object) -> bytes:
    stream = BytesIO()
    Image.new(mode, (width, height), 100 if len(mode) == 1 else (90,) * len(mode)).save(stream, kind, **options)
    return stream.getvalue()


def bombs() -> Iterator[tuple[str, bytes]]:
    """Yield the large pictures that tell most, by name."""
    yield "12000x9000.jpg", repeated_jpeg(12_000, 9_000)
    yield "12000x9000-separate.jpg", separate_scans(12_000, 9_000)
    yield "6000x4000-separate.jpg", separate_scans(6_000, 4_000)
    yield "4000x3000-scans.jpg", repeated_scans(4_000, 3_000, 3_000)
    yield "claims-60000.jpg", claiming_jpeg(60_000, 60_000)
    yield "claims-60000.png", claiming_png(60_000, 60_000)
    yield "4800x3900-16-0.png", repeated_png(4_800, 3_900, 16, 0)
    yield "4800x3900-8-6.png", repeated_png(4_800, 3_900, 8, 6)
    yield "400000x40.png", repeated_png(400_000, 40, 8, 6)


def large() -> Iterator[tuple[str, bytes]]:
    """Yield the other large pictures, by name."""
    yield "12000x9000-cut.jpg", repeated_jpeg(12_000, 9_000)[:-5000]
    yield "4000x3125.jpg", repeated_jpeg(4_000, 3_125)
    yield "12000x9000-progressive-claim.jpg", repeated_scans(12_000, 9_000, 1)
    yield "4000x3000-some-scans.jpg", repeated_scans(4_000, 3_000, 30)
    yield "claims-12000.jpg", claiming_jpeg(12_000, 9_000)
    yield "6100x4000-progressive.jpg", _encoded("RGB", 6_100, 4_000, "JPEG", progressive=True, subsampling=0)
    yield "8000x6000-progressive.jpg", _encoded("RGB", 8_000, 6_000, "JPEG", progressive=True)
    yield "4200x3500-cmyk-progressive.jpg", _encoded("CMYK", 4_200, 3_500, "JPEG", progressive=True)
    yield "4000x3100-cmyk.jpg", _encoded("CMYK", 4_000, 3_100, "JPEG")
    for bits, colour in ((1, 0), (8, 0), (8, 2), (16, 2), (8, 3), (8, 4), (16, 4), (16, 6)):
        yield f"4800x3900-{bits}-{colour}.png", repeated_png(4_800, 3_900, bits, colour)
    yield "4800x3900-transparent.png", repeated_png(4_800, 3_900, 8, 3, bytes(256))
    yield "4800x3900-16-transparent.png", repeated_png(4_800, 3_900, 16, 0, bytes(2))
    yield "12000x9000.png", repeated_png(12_000, 9_000, 8, 2)
    yield "40000x1.png", repeated_png(40_000, 1, 8, 2)
    yield "8x2000000.png", repeated_png(8, 2_000_000, 8, 6)
    yield "4000x3000.gif", _encoded("P", 4_000, 3_000, "GIF")
    yield "8000x5000.gif", _encoded("P", 8_000, 5_000, "GIF")
    yield "3100x2400.webp", _encoded("RGBA", 3_100, 2_400, "WEBP", lossless=True)
    yield "6000x5000.webp", _encoded("RGB", 6_000, 5_000, "WEBP")
    yield "4800x3900.bmp", _encoded("P", 4_800, 3_900, "BMP")
    yield "6000x5000.tiff", _encoded("L", 6_000, 5_000, "TIFF", compression="tiff_deflate")


def draw(folder: Path, few: bool) -> None:
    """Write all pictures, or but few of the large ones, into a folder: ``small-NAME`` and ``large-NAME``."""
    for kind, pictures in (("small", small()), ("large", bombs()), ("large", () if few else large())):
        for name, data in pictures:
            (folder / f"{kind}-{name}").write_bytes(data)


if __name__ == "__main__":
    draw(Path(sys.argv[1]), few=sys.argv[2:] == ["few"])
