"""Images: opened within limits, made small to be looked at, and made ready to be sent. These functions block."""

import warnings
from collections.abc import Generator
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING, Any

from luma_mcp.domain.errors import FileError
from luma_mcp.media.deep_png import is_deep, turned_deep
from luma_mcp.media.image_metadata import PNG_SIGNATURE, PNG_TEXTS, png_chunks, without_position
from luma_mcp.media.probe import MAX_PIXELS

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_JPEG_BYTES = 150 * 1024
# Several JPEGs in a file (MPO), as telephones make them, are opened as JPEG.
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
_ORIENTATION_TAG = 0x0112
# What turns a picture upright, by its EXIF orientation: the names of Pillow's transpositions.
_TRANSPOSITIONS = {
    2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_270", 7: "TRANSVERSE",
    8: "ROTATE_90",
}  # fmt: skip
_TURNS_THE_SIDES = frozenset({5, 6, 7, 8})
# Texts of a PNG are left out when it is sent if they are larger than this, or compressed: then their size is not known.
_MAX_TEXT_BYTES = 64 * 1024


def open_image(data: bytes, *, keeps_transparency: bool = False) -> "Image":
    """The image in a file, upright, on white where it is transparent; or with its transparency.

    Raises:
        FileError: it is not an image that can be read, or has too many pixels.
    """
    with _opened(data) as image:
        turned = _upright(image, _orientation(image))
        if keeps_transparency:
            return turned.convert("RGBA")
        if "A" in turned.getbands() or "transparency" in turned.info:
            from PIL import Image  # noqa: PLC0415 - costs 20 ms, which only looking at images shall pay

            turned = Image.alpha_composite(Image.new("RGBA", turned.size, "white"), turned.convert("RGBA"))
        return turned.convert("RGB")


def sendable(data: bytes, max_bytes: int) -> bytes:
    """Return an image as Luma accepts it: a still JPEG, PNG or WebP that is upright, without the place it was taken.

    It is unchanged if it is that. Nothing of the picture is lost: a colour profile, transparency and 16 bits a channel
    stay, and a JPEG that is turned keeps its quantization, so it looks the same and is as large. A still GIF becomes a
    PNG.

    Raises:
        FileError: it is not an image that can be read, is animated, or is larger than that in the end.
    """
    with _opened(data) as image:
        if getattr(image, "is_animated", False) and image.format != "MPO":
            raise FileError("The picture is animated, and Luma takes still ones.", "Save a frame of it as PNG.")
        orientation = _orientation(image)
        if image.format == "GIF":
            sent = _saved(image, "PNG")
        elif orientation in _TRANSPOSITIONS and is_deep(data):
            sent = turned_deep(data, orientation)
        elif orientation in _TRANSPOSITIONS:
            sent = _saved_upright(image, orientation, max_bytes)
        else:
            sent = without_position(_without_texts(data) if _has_large_texts(data) else data)
    if len(sent) > max_bytes:
        size, limit = len(sent) / 1e6, max_bytes // 10**6
        raise FileError(
            f"The picture has {size:.0f} MB upright, and Luma takes at most {limit} MB.", "Make it smaller."
        )
    return sent


def is_animated(data: bytes) -> bool:
    """Return whether a picture moves. Raises: FileError, if it is not an image that can be read."""
    with _opened(data) as image:
        return bool(getattr(image, "is_animated", False)) and image.format != "MPO"


def small_jpeg(image: "Image", max_side: int) -> bytes:
    """A JPEG of at most so many pixels on a side and at most 150 KB: first the quality is lowered, then the size."""
    image = image.copy()
    while True:
        image.thumbnail((max_side, max_side))
        for quality in (82, 70, 58, 45):
            out = BytesIO()
            image.save(out, "JPEG", quality=quality, optimize=True)
            if out.tell() <= MAX_JPEG_BYTES:
                return out.getvalue()
        max_side = max_side * 3 // 4


@contextmanager
def _opened(data: bytes) -> Generator["Image"]:
    """The image in a file as it is. Raises: FileError."""
    from PIL import Image  # noqa: PLC0415 - costs 20 ms, which only looking at images shall pay

    try:
        with warnings.catch_warnings():
            # Of damaged metadata Pillow warns; they are not sent.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            # Pillow refuses a PNG with much text, which has nothing to do with the picture.
            with Image.open(BytesIO(_without_texts(data)), formats=_FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise FileError(
                        f"The picture has more than {MAX_PIXELS // 10**6} million pixels.", "Make it smaller."
                    )
                image.load()
                yield image
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise FileError("The file is not a picture that can be read.", "It may be damaged; save it anew.") from error


def _orientation(image: "Image") -> int:
    """The EXIF orientation; 1, which is upright, if the EXIF cannot be read."""
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # noqa: BLE001 - whatever a damaged EXIF breaks in Pillow, the picture is there
        return 1


def _upright(image: "Image", orientation: int) -> "Image":
    from PIL.Image import Transpose  # noqa: PLC0415 - see _opened

    name = _TRANSPOSITIONS.get(orientation)
    return image.transpose(Transpose[name]) if name else image


def _saved_upright(image: "Image", orientation: int, max_bytes: int) -> bytes:
    turned, kind = _upright(image, orientation), image.format or "PNG"
    if kind in ("JPEG", "MPO"):
        return _saved(turned, "JPEG", icc_profile=image.info.get("icc_profile"), **_quantization(image, orientation))
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    sent = _saved(turned, kind, icc_profile=image.info.get("icc_profile"), **options)
    if kind == "WEBP" and len(sent) > max_bytes:
        return _saved(turned, kind, icc_profile=image.info.get("icc_profile"), quality=95)
    return sent


def _quantization(image: "Image", orientation: int) -> dict[str, Any]:
    """The encoder settings of a JPEG, for the same picture turned: its tables, also turned, and its chroma sampling."""
    from PIL.JpegImagePlugin import get_sampling  # noqa: PLC0415 - see _opened

    tables: dict[int, list[int]] = getattr(image, "quantization", {})
    sampling, turns = get_sampling(image), orientation in _TURNS_THE_SIDES
    if turns:
        tables = {number: _flipped(table) for number, table in tables.items()}
    # 4:2:2 that is turned is a sampling that Pillow does not write; nothing is lost without one.
    written = sampling if sampling == 2 or (sampling == 1 and not turns) else 0
    return {"qtables": tables, "subsampling": written} if tables else {"quality": 95}


def _flipped(table: list[int]) -> list[int]:
    """A table of 8 by 8 whose rows become its columns."""
    return [table[column * 8 + row] for row in range(8) for column in range(8)]


def _saved(image: "Image", kind: str, **options: Any) -> bytes:
    out = BytesIO()
    # The EXIF is left out: it holds the orientation that is no longer true, and where the picture was taken.
    image.save(out, kind, exif=b"", **options)
    return out.getvalue()


def _has_large_texts(data: bytes) -> bool:
    """Return whether a PNG has texts that are large or compressed."""
    if not data.startswith(PNG_SIGNATURE):
        return False
    texts = [(kind, start, end) for kind, start, end in png_chunks(data) if kind in PNG_TEXTS]
    return any(kind != b"tEXt" for kind, _, _ in texts) or sum(end - start for _, start, end in texts) > _MAX_TEXT_BYTES


def _without_texts(data: bytes) -> bytes:
    """A PNG without its texts; another file as it is."""
    if not data.startswith(PNG_SIGNATURE):
        return data
    texts = [(start, end) for kind, start, end in png_chunks(data) if kind in PNG_TEXTS]
    if not texts:
        return data
    starts = [0, *(end for _, end in texts)]
    ends = [*(start for start, _ in texts), len(data)]
    return b"".join(data[start:end] for start, end in zip(starts, ends, strict=True))
