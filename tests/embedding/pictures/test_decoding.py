"""Bytes → checked picture → views, on drawn pictures in every dress, whole and broken."""

from collections.abc import Callable
import math
import random

from hypothesis import given, settings, strategies as st
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile
import pytest

from embedding.errors import NotAPicture
from embedding.pictures.decoding import WHOLE, Region, View, check_picture, cut, to_jpeg
from tests.embedding.sample_pictures import claiming_jpeg, claiming_png, decoded, encode, oriented, scene

DOORS: list[Callable[[bytes], object]] = [check_picture, lambda data: cut(data, [View(WHOLE, 64, 64)])]
"""Both ways in which a picture is decoded to its end."""

CORNER = Region(0.5, 0.25, 1.0, 0.75)


def difference(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Mean absolute difference, in steps of 0..255."""
    assert one.shape == other.shape
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


def reference(upright: Image.Image, region: Region, width: int, height: int) -> NDArray[np.uint8]:
    """Cut by the long way: crop at full size, then resize."""
    wide, high = upright.size
    box = (region.left * wide, region.top * high, region.right * wide, region.bottom * high)
    return np.asarray(upright.resize((width, height), Image.Resampling.BILINEAR, box=box))


def count_decodes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Return a list that gets the size at which each picture is decoded from now on."""
    decodes: list[tuple[int, int]] = []
    load = ImageFile.ImageFile.load

    def counted(self: ImageFile.ImageFile) -> object:
        if self.tile:
            decodes.append(self.size)
        return load(self)

    monkeypatch.setattr(ImageFile.ImageFile, "load", counted)
    return decodes


class TestNotAPicture:
    """Cameras lie."""

    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            (b"", "empty"),
            (b"\n <!DOCTYPE html><html><body>Sign in</body></html>", "HTML"),
            (b"<html><body>" + encode(scene(64, 64)) + b"</body></html>", "HTML"),
            (b'{"error": "no such stream"}', "JSON"),
            (b"<?xml version='1.0'?><svg/>", "XML"),
            (b"401 Unauthorized", "text"),
            (b"--frame\r\nContent-Type: image/jpeg\r\n\r\n" + encode(scene(64, 64)), "stream"),
            (b"\xff\xd8\xff", "broken or truncated"),
            (bytes(range(1, 200)) * 9, "no picture of a known format"),
            (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "text"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    @pytest.mark.parametrize("door", [*DOORS, to_jpeg])
    def test_says_what_it_is(self, door: Callable[[bytes], object], data: bytes, reason: str) -> None:
        """What comes instead of a picture is named."""
        with pytest.raises(NotAPicture, match=reason) as caught:
            door(data)
        assert caught.value.key == "not_a_picture"
        assert reason in caught.value.details["reason"]

    @pytest.mark.parametrize(
        "data",
        [encode(scene()), encode(scene(), progressive=True), encode(scene(), "PNG"), encode(scene(96, 64), "WEBP")],
        ids=["baseline", "progressive", "png", "webp"],
    )
    @pytest.mark.parametrize("door", DOORS)
    def test_truncated_anywhere(self, door: Callable[[bytes], object], data: bytes) -> None:
        """A picture cut short at any point is refused, but for a PNG that lacks only its end mark and checksums."""
        spared = 24 if data.startswith(b"\x89PNG") else 0
        for kept in {
            *range(1, len(data) - spared, len(data) // 37),
            *range(len(data) - spared - 9, len(data) - spared),
        }:
            with pytest.raises(NotAPicture):
                door(data[:kept])

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP"])
    @pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
    def test_broken_anyhow(self, kind: str) -> None:
        """Flipped bytes give a picture of the right size or the one named error; nothing else comes out."""
        chance = random.Random(f"broken {kind}")
        whole = encode(scene(96, 64), kind)
        refused = 0
        for _ in range(150):
            data = bytearray(whole)
            for _ in range(chance.randint(1, 6)):
                data[chance.randrange(min(len(data), chance.choice([64, 700, 10**6])))] = chance.randrange(256)
            for door in (*DOORS, to_jpeg):
                try:
                    door(bytes(data))
                except NotAPicture:
                    refused += 1
        assert refused > 0

    @pytest.mark.parametrize("door", [*DOORS, to_jpeg])
    @pytest.mark.parametrize("kind", ["JPEG", "PNG"])
    def test_too_small(self, door: Callable[[bytes], object], kind: str) -> None:
        """One pixel is no frame."""
        with pytest.raises(NotAPicture, match="too small"):
            door(encode(scene(1, 1), kind))

    @pytest.mark.parametrize("data", [claiming_jpeg(12_200, 10_000), claiming_png(12_000, 9_000)], ids=["jpeg", "png"])
    @pytest.mark.parametrize("door", [*DOORS, to_jpeg])
    @pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
    def test_too_large_by_its_header(
        self, door: Callable[[bytes], object], data: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A size beyond the limit is refused before a pixel is decoded."""
        monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
        with pytest.raises(NotAPicture, match="too large"):
            door(data)

    @pytest.mark.parametrize("data", [claiming_jpeg(60_000, 60_000), claiming_png(60_000, 60_000)], ids=["jpeg", "png"])
    @pytest.mark.parametrize("door", [*DOORS, to_jpeg])
    def test_bomb(self, door: Callable[[bytes], object], data: bytes) -> None:
        """What Pillow itself takes for a bomb is refused by the same name."""
        with pytest.raises(NotAPicture):
            door(data)

    @pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
    def test_large_claim_within_the_limit_is_decoded_small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A JPEG may claim 12,000 × 9,000 pixels: it costs the memory of an eighth of each side."""
        decodes = count_decodes(monkeypatch)
        assert check_picture(claiming_jpeg(12_000, 9_000))[:2] == (12_000, 9_000)
        assert decodes == [(1_500, 1_125)]
        with pytest.raises(NotAPicture, match="truncated"):
            check_picture(claiming_jpeg(12_000, 9_000)[:-2])

    def test_leaves_pillow_alone(self) -> None:
        """No global setting of Pillow's changes."""
        assert not ImageFile.LOAD_TRUNCATED_IMAGES
        assert Image.MAX_IMAGE_PIXELS == 89_478_485


class TestCheck:
    """A sound picture is described."""

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP"])
    def test_size_and_format(self, kind: str) -> None:
        """Size and format of every kind."""
        assert check_picture(encode(scene(96, 64), kind)) == (96, 64, kind)

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_size_is_as_shown(self, orientation: int) -> None:
        """A picture on its side is described upright."""
        assert check_picture(oriented(scene(96, 64), orientation))[:2] == (96, 64)

    @pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
    def test_nonsense_in_exif(self) -> None:
        """EXIF data that can't be read, or hold no orientation, leave a picture upright."""
        for exif in (
            b"Exif\0\0",
            b"Exif\0\0II*\0\xff\xff\xff\x7f",
            b"Exif\0\0MM\0*" + b"\xff" * 40,
            b"Exif\0\0nonsense",
        ):
            assert check_picture(encode(scene(96, 64), exif=exif))[:2] == (96, 64)
        assert check_picture(oriented(scene(96, 64), 9))[:2] == (96, 64)


class TestToJpeg:
    """Frames are kept as JPEG."""

    @pytest.mark.parametrize("progressive", [False, True])
    def test_jpeg_is_kept(self, progressive: bool) -> None:
        """The very bytes of the camera."""
        data = encode(scene(), progressive=progressive)
        assert to_jpeg(data) is data

    @pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP", "GIF"])
    def test_others_are_converted(self, kind: str) -> None:
        """Same picture, as JPEG."""
        jpeg = to_jpeg(encode(scene(), kind))
        assert jpeg.startswith(b"\xff\xd8\xff")
        assert difference(decoded(jpeg), np.asarray(scene())) < 8

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_upright(self, orientation: int) -> None:
        """A PNG on its side is stored upright, and says so no more."""
        jpeg = to_jpeg(oriented(scene(96, 64), orientation, "PNG"))
        assert difference(decoded(jpeg), np.asarray(scene(96, 64))) < 4
        assert check_picture(jpeg)[:2] == (96, 64)

    @pytest.mark.parametrize("kind", ["PNG", "WEBP"])
    def test_transparent_is_black(self, kind: str) -> None:
        """Transparent pixels are black whatever colour they hide."""
        layered = Image.new("RGBA", (32, 32), (250, 10, 10, 0))
        assert decoded(to_jpeg(encode(layered, kind))).max() < 8


class TestCut:
    """Views are cut right from every kind of picture."""

    @pytest.mark.parametrize(
        "data",
        [
            encode(scene(1920, 1440)),
            encode(scene(1920, 1440), progressive=True),
            encode(scene(1920, 1440), subsampling=0),
            encode(scene(1920, 1440).convert("CMYK")),
            encode(scene(1920, 1440), "PNG"),
            encode(scene(1921, 1439)),
            encode(scene(100, 75)),
        ],
        ids=["baseline", "progressive", "4:4:4", "cmyk", "png", "odd", "smaller than the view"],
    )
    @pytest.mark.parametrize("region", [WHOLE, CORNER, Region(0.1, 0.3, 0.4, 0.6)], ids=lambda region: region.key)
    def test_equals_the_long_way(self, data: bytes, region: Region) -> None:
        """A reduced decode shows what a full one does."""
        (pixels,) = cut(data, [View(region, 160, 160)])
        assert pixels.dtype == np.uint8
        assert pixels.flags.c_contiguous
        assert difference(pixels, reference(Image.fromarray(decoded(data)), region, 160, 160)) < 2

    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("kind", ["JPEG", "PNG"])
    def test_same_content_however_the_camera_was_held(self, orientation: int, kind: str) -> None:
        """A region means the upright picture."""
        upright = scene(1280, 960)
        data = oriented(upright, orientation, kind)
        for region in (WHOLE, CORNER, Region(0.0, 0.1, 0.3, 0.5)):
            (pixels,) = cut(data, [View(region, 96, 96)])
            assert difference(pixels, reference(upright, region, 96, 96)) < 3

    @pytest.mark.parametrize("mode", ["L", "P", "1", "LA", "RGBA", "I;16"])
    def test_modes(self, mode: str) -> None:
        """Grey, palette, two colours, transparency and sixteen bits come out as eight-bit RGB."""
        grey = scene(256, 192).convert("L")
        image = grey.convert(mode) if mode != "I;16" else Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
        (pixels,) = cut(encode(image, "PNG"), [View(WHOLE, 64, 48)])
        expected = reference(grey.convert("1" if mode == "1" else "L").convert("RGB"), WHOLE, 64, 48)
        assert difference(pixels, expected) < (9 if mode == "1" else 3)  # dots are coarse

    def test_grey_jpeg(self) -> None:
        """Cameras at night send grey."""
        grey = scene().convert("L")
        (pixels,) = cut(encode(grey), [View(WHOLE, 64, 64)])
        assert (pixels[..., 0] == pixels[..., 1]).all()
        assert difference(pixels, reference(grey.convert("RGB"), WHOLE, 64, 64)) < 2

    def test_palette_with_transparency_is_black_there(self) -> None:
        """A transparent palette entry is black."""
        image = Image.new("P", (64, 64), 1)
        image.putpalette([0, 0, 0, 255, 200, 100])
        (pixels,) = cut(encode(image, "PNG", transparency=1), [View(WHOLE, 16, 16)])
        assert pixels.max() == 0

    @pytest.mark.parametrize(
        ("size", "shown"),
        [
            ((640, 480), (64, 64)),
            ((640, 360), (64, 64)),
            ((960, 480), (64, 59)),
            ((480, 960), (59, 64)),
            ((1280, 320), (64, 30)),
        ],
    )
    def test_pads_what_is_far_from_square(self, size: tuple[int, int], shown: tuple[int, int]) -> None:
        """A region is stretched as far as a frame of 16:9 needs; what it lacks beyond are bands of its mean colour."""
        upright = scene(*size)
        (pixels,) = cut(encode(upright), [View(WHOLE, 64, 64)])
        width, height = shown
        x, y = (64 - width) // 2, (64 - height) // 2
        inside = pixels[y : y + height, x : x + width]
        assert difference(inside, reference(upright, WHOLE, width, height)) < 5
        outside = np.ones((64, 64), bool)
        outside[y : y + height, x : x + width] = False
        assert np.abs(pixels[outside] - inside.mean(axis=(0, 1))).max(initial=0) < 1.5

    def test_stretches_as_far_as_a_view_allows(self) -> None:
        """Without a limit nothing is padded, with none allowed a region keeps its shape."""
        upright = scene(960, 240)
        stretched, kept = cut(encode(upright), [View(WHOLE, 64, 64, math.inf), View(WHOLE, 64, 64, 1)])
        assert difference(stretched, reference(upright, WHOLE, 64, 64)) < 5
        assert difference(kept[24:40], reference(upright, WHOLE, 64, 16)) < 5
        assert (kept[:24] == kept[0, 0]).all()

    @pytest.mark.parametrize(("width", "height"), [(128, 64), (150, 100), (64, 201), (40, 90), (63, 64), (20, 30)])
    def test_averages_blocks_then_takes_the_nearest(self, width: int, height: int) -> None:
        """Whole blocks are averaged; of what is left pixels are taken as they are, not mixed; too few are interpolated."""
        noise = np.random.default_rng(5).integers(0, 256, (height, width, 3), dtype=np.uint8)
        (pixels,) = cut(encode(Image.fromarray(noise), "PNG"), [View(WHOLE, 64, 64, math.inf)])
        image = Image.fromarray(noise)
        image = image.reduce((width // 64 or 1, height // 64 or 1))
        for axis, size in enumerate([(64, image.height), (64, 64)]):
            near = image.size[axis] >= 64
            image = image.resize(size, Image.Resampling.NEAREST if near else Image.Resampling.BILINEAR)
        assert np.abs(pixels.astype(int) - np.asarray(image)).max() <= 2

    def test_one_decode_serves_all_views(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Eight views, one decode, and it is not finer than the sharpest view needs."""
        decodes = count_decodes(monkeypatch)
        data = encode(scene(1920, 1440))
        views = [View(region, side, side) for region in (WHOLE, CORNER) for side in (32, 64, 128, 224)]
        assert [pixels.shape for pixels in cut(data, views)] == [(v.height, v.width, 3) for v in views]
        assert decodes == [(960, 720)]
        decodes.clear()
        cut(data, [View(WHOLE, 160, 160)])
        assert decodes == [(240, 180)]
        decodes.clear()
        cut(encode(scene(), "PNG"), views)
        assert len(decodes) == 1

    def test_a_view_hardly_depends_on_its_company(self) -> None:
        """The finer decode that another view asks for changes a view by a trifle."""
        data = encode(scene(1920, 1440))
        view = View(WHOLE, 160, 160)
        alone, beside = cut(data, [view])[0], cut(data, [view, View(Region(0, 0, 0.1, 0.1), 224, 224)])[0]
        assert difference(alone, beside) < 1

    def test_a_sharp_view_hardly_depends_on_its_company(self) -> None:
        """The same pixels are averaged, whatever scale the picture was decoded at."""
        texture = np.random.default_rng(2).integers(0, 256, (270, 480, 3), dtype=np.uint8)
        data = encode(Image.fromarray(texture).resize((1920, 1080), Image.Resampling.BICUBIC))
        for region in (WHOLE, Region(0.1, 0.2, 0.7, 0.9)):
            view = View(region, 100, 90)
            alone, beside = cut(data, [view])[0], cut(data, [view, View(Region(0, 0, 0.1, 0.1), 224, 224)])[0]
            assert difference(alone, beside) < 3

    def test_no_views(self) -> None:
        """Nothing asked for, nothing cut; the picture is checked all the same."""
        assert cut(encode(scene()), []) == []
        with pytest.raises(NotAPicture):
            cut(b"", [])

    @settings(max_examples=40)
    @given(
        st.tuples(st.integers(8, 200), st.integers(8, 200)),
        st.tuples(st.floats(0, 0.9), st.floats(0, 0.9), st.floats(0.05, 1), st.floats(0.05, 1)),
        st.tuples(st.integers(1, 80), st.integers(1, 80)),
        st.integers(1, 8),
    )
    def test_any_region_of_any_picture(
        self,
        size: tuple[int, int],
        place: tuple[float, float, float, float],
        wanted: tuple[int, int],
        orientation: int,
    ) -> None:
        """Whatever the sizes, a view has its shape and only colours of the picture."""
        left, top, width, height = place
        region = Region(left, top, min(1.0, left + width), min(1.0, top + height))
        data = oriented(Image.new("RGB", size, (200, 100, 50)), orientation)
        (pixels,) = cut(data, [View(region, *wanted)])
        assert pixels.shape == (wanted[1], wanted[0], 3)
        assert np.abs(pixels.astype(int) - (200, 100, 50)).max() <= 4


@pytest.mark.parametrize("kind", ["TIFF", "PPM", "ICO"])
def test_only_named_formats_are_opened(kind: str) -> None:
    """Formats that no camera sends don't reach their decoders, though Pillow knows them."""
    with pytest.raises(NotAPicture):
        check_picture(encode(scene(64, 64), kind))
