"""Images: opened within limits, and made small. These functions block."""

import warnings
from io import BytesIO
from typing import TYPE_CHECKING

from luma_mcp.domain.errors import FileError
from luma_mcp.media.probe import MAX_PIXELS

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_JPEG_BYTES = 150 * 1024


def open_image(data: bytes) -> "Image":
    """The image in a file, upright, on white where it is transparent.

    Raises:
        FileError: it is not an image that can be read, or has too many pixels.
    """
    from PIL import Image, ImageOps  # noqa: PLC0415 - costs 20 ms, which only looking at images shall pay

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(BytesIO(data), formats=("JPEG", "PNG", "WEBP", "GIF"))
            if image.width * image.height > MAX_PIXELS:
                raise FileError(f"The picture has more than {MAX_PIXELS // 10**6} million pixels.", "Make it smaller.")
            image = ImageOps.exif_transpose(image)
            if "A" in image.getbands() or "transparency" in image.info:
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
            return image.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise FileError("The file is not a picture that can be read.") from error


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
