"""Pictures that are made ready to be sent: upright, with nothing lost, or refused with the cause."""

import struct
import zlib
from io import BytesIO
from typing import Any

import pytest
from PIL import Image, ImageChops, ImageCms, ImageOps, ImageStat

from luma_mcp.domain.errors import FileError
from luma_mcp.media import images
from luma_mcp.media.images import sendable

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
LARGEST = 10**7


def scenery(mode: str = "RGB", size: tuple[int, int] = (96, 64)) -> Image.Image:
    """A picture that is another one however it is turned."""
    ramp = Image.linear_gradient("L").resize(size)
    noise = Image.effect_noise(size, 40)
    picture = Image.merge("RGB", (ramp, noise, ramp.transpose(Image.Transpose.FLIP_LEFT_RIGHT).rotate(10)))
    picture.putpixel((1, 1), (255, 0, 0))
    if mode == "RGBA":
        picture.putalpha(ramp)
    return picture.convert(mode)


def encoded(picture: Image.Image, kind: str, orientation: int = 1, **options: Any) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    out = BytesIO()
    picture.save(out, kind, exif=exif.tobytes(), **options)
    return out.getvalue()


def opened(data: bytes) -> Image.Image:
    return Image.open(BytesIO(data))


def difference(one: Image.Image, other: Image.Image) -> float:
    """The mean difference of two pictures, 0 to 255."""
    return max(ImageStat.Stat(ImageChops.difference(one.convert("RGBA"), other.convert("RGBA"))).mean)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_an_upright_picture_is_sent_as_it_is(kind: str) -> None:
    data = encoded(scenery(), kind)

    assert sendable(data, LARGEST) == data


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize(("kind", "mode"), [("PNG", "RGB"), ("PNG", "RGBA"), ("WEBP", "RGBA")])
def test_turning_loses_nothing(kind: str, mode: str, orientation: int) -> None:
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    data = encoded(scenery(mode), kind, orientation, icc_profile=PROFILE, **options)
    sent = opened(sendable(data, LARGEST))

    assert difference(sent, ImageOps.exif_transpose(opened(data))) == 0
    assert (sent.format, sent.mode, sent.info["icc_profile"]) == (kind, mode, PROFILE)
    assert sent.getexif().get(0x0112, 1) == 1


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_a_jpeg_that_is_turned_looks_the_same_and_is_as_large(subsampling: str, orientation: int) -> None:
    data = encoded(
        scenery(size=(480, 320)), "JPEG", orientation, quality=75, subsampling=subsampling, icc_profile=PROFILE
    )
    sent = sendable(data, LARGEST)

    # This sampling cannot be turned, and noise is the worst that can be put into another one.
    is_resampled = subsampling == "4:2:2" and orientation >= 5
    assert difference(opened(sent), ImageOps.exif_transpose(opened(data))) < (4.5 if is_resampled else 1.5)
    assert len(sent) < 1.35 * len(data)
    assert opened(sent).info["icc_profile"] == PROFILE


def test_a_grey_and_a_cmyk_jpeg_stay_so() -> None:
    for mode in ("L", "CMYK"):
        data = encoded(scenery().convert(mode), "JPEG", 6)

        assert opened(sendable(data, LARGEST)).mode == mode


@pytest.mark.medium
def test_the_size_is_that_of_what_is_sent() -> None:
    data = encoded(scenery("RGBA", (640, 480)), "WEBP", 6, quality=40)
    lossless = len(sendable(data, LARGEST))

    assert len(sendable(data, lossless - 1)) < lossless, "a lossless copy that is too large gives way to a smaller one"
    with pytest.raises(FileError, match="The picture has 0 MB upright"):
        sendable(encoded(scenery(size=(640, 480)), "PNG", 6), 1000)


def text_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


@pytest.mark.parametrize(
    "chunk",
    [
        text_chunk(b"zTXt", b"Comment\x00\x00" + zlib.compress(b"x" * 80_000_000)),
        text_chunk(b"iTXt", b"XML\x00\x01\x00\x00\x00" + zlib.compress(b"x" * 80_000_000)),
        text_chunk(b"tEXt", b"Comment\x00" + b"x" * 5_000_000),
    ],
    ids=["zTXt", "iTXt", "tEXt"],
)
def test_large_texts_of_a_png_are_left_out(chunk: bytes) -> None:
    data = encoded(scenery(), "PNG")
    sent = sendable(data[:33] + chunk + data[33:], LARGEST)

    assert opened(sent).tobytes() == opened(data).tobytes()
    assert chunk not in sent


def test_a_small_text_stays() -> None:
    data = encoded(scenery(), "PNG")
    data = data[:33] + text_chunk(b"tEXt", b"Author\x00me") + data[33:]

    assert sendable(data, LARGEST) == data


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_an_animated_picture_is_refused_with_what_to_do(kind: str) -> None:
    out = BytesIO()
    frames = [scenery().convert("P") if kind == "GIF" else scenery() for _ in range(3)]
    frames[1].putpixel((5, 5), 0 if kind == "GIF" else (0, 0, 0))
    frames[0].save(out, kind, save_all=True, append_images=frames[1:], duration=100)

    with pytest.raises(FileError, match="is animated") as caught:
        sendable(out.getvalue(), LARGEST)
    assert caught.value.hint == "Save a frame of it as PNG."


def test_a_still_gif_becomes_a_png() -> None:
    out = BytesIO()
    scenery().save(out, "GIF")
    sent = opened(sendable(out.getvalue(), LARGEST))

    assert sent.format == "PNG"
    assert difference(sent.convert("RGB"), opened(out.getvalue()).convert("RGB")) == 0


def test_several_pictures_in_a_jpeg_are_its_first() -> None:
    out = BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    scenery().save(out, "MPO", save_all=True, append_images=[scenery()], exif=exif.tobytes())

    sent = opened(sendable(out.getvalue(), LARGEST))
    assert (sent.format, sent.size) == ("JPEG", (64, 96))


@pytest.mark.parametrize(
    "exif", [b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\xff\xff", b"Exif\x00\x00II*\x00garbage", b"nothing"]
)
def test_a_damaged_exif_is_no_orientation(exif: bytes) -> None:
    out = BytesIO()
    scenery().save(out, "JPEG", exif=exif)

    assert sendable(out.getvalue(), LARGEST) == out.getvalue()
    assert images.open_image(out.getvalue()).size == (96, 64)


def test_whatever_breaks_pillow_s_exif_is_no_orientation(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_image: Image.Image) -> Image.Exif:
        raise struct.error("unpack requires a buffer of 4 bytes")

    data = encoded(scenery(), "JPEG", 6)
    monkeypatch.setattr(Image.Image, "getexif", broken)

    assert sendable(data, LARGEST) == data


def with_position(kind: str, **options: Any) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 1
    exif.get_ifd(0x8825)[1] = "N"
    exif.get_ifd(0x8825)[2] = (52.0, 31.0, 12.0)
    out = BytesIO()
    scenery().save(out, kind, exif=exif.tobytes(), icc_profile=PROFILE, **options)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "MPO"])
def test_the_place_where_a_photo_was_taken_is_not_sent(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    if kind == "MPO":
        options = {"save_all": True, "append_images": [scenery()]}
    data = with_position(kind, **options)
    assert opened(data).getexif().get_ifd(0x8825)
    sent = sendable(data, LARGEST)

    assert not opened(sent).getexif().get_ifd(0x8825)
    assert not any(mark in sent for mark in (b"Exif", b"eXIf", b"EXIF"))
    assert opened(sent).tobytes() == opened(data).tobytes(), "the picture is not encoded again"
    assert opened(sent).info["icc_profile"] == PROFILE
    assert len(sent) < len(data)
    assert sendable(sent, LARGEST) == sent


def test_the_place_in_the_picture_behind_the_first_is_not_sent() -> None:
    plain, second = encoded(scenery(), "JPEG"), with_position("JPEG")
    sent = sendable(plain + second, LARGEST)

    assert b"Exif" not in sent
    assert opened(sent).tobytes() == opened(plain).tobytes()


def test_the_place_in_xmp_and_in_a_text_of_a_png_is_not_sent() -> None:
    xmp = b"http://ns.adobe.com/xap/1.0/\0<x exif:GPSLatitude='52,31N'/>"
    jpeg = encoded(scenery(), "JPEG")
    jpeg = jpeg[:2] + b"\xff\xe1" + (len(xmp) + 2).to_bytes(2, "big") + xmp + jpeg[2:]
    png = encoded(scenery(), "PNG")
    png = png[:33] + text_chunk(b"tEXt", b"Raw profile type exif\x00\n3132") + png[33:]

    assert b"GPS" not in sendable(jpeg, LARGEST)
    assert b"Raw profile" not in sendable(png, LARGEST)


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_png_of_16_bits_keeps_them_when_it_is_turned(orientation: int, channels: int) -> None:
    width, height = 5, 3
    numbers = [(997 * n) % 65_536 for n in range(width * height * channels)]
    data = deep_png(numbers, width, height, channels, orientation)
    sent = sendable(data, LARGEST)

    sides, found = deep_pixels(sent, channels)
    pixels = [tuple(numbers[at : at + channels]) for at in range(0, len(numbers), channels)]
    index = Image.new("I", (width, height))
    index.putdata(range(width * height))
    upright = index.transpose(Image.Transpose[images._TRANSPOSITIONS[orientation]])
    assert sides == upright.size
    assert found == [pixels[place] for place in upright.get_flattened_data()]
    assert b"gAMA" in sent
    assert b"eXIf" not in sent


def deep_png(numbers: list[int], width: int, height: int, channels: int, orientation: int) -> bytes:
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    row = width * channels
    rows = b"".join(b"\0" + struct.pack(f">{row}H", *numbers[at : at + row]) for at in range(0, len(numbers), row))
    exif = Image.Exif()
    exif[0x0112] = orientation
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)),
        (b"gAMA", struct.pack(">I", 45_455)),
        (b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(text_chunk(kind, content) for kind, content in chunks)


def deep_pixels(data: bytes, channels: int) -> tuple[tuple[int, int], list[tuple[int, ...]]]:
    import av

    with av.open(BytesIO(data), format="png_pipe") as container:
        frame = next(container.decode(video=0))
    assert "16be" in frame.format.name or frame.format.name in ("rgb48be", "rgba64be")
    plane, size = frame.planes[0], frame.width * channels
    raw = bytes(plane)
    rows = [struct.unpack_from(f">{size}H", raw, row * plane.line_size) for row in range(frame.height)]
    found = [row[at : at + channels] for row in rows for at in range(0, size, channels)]
    return (frame.width, frame.height), found
