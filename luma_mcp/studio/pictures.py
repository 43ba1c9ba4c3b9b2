"""Pictures: opened with care, made small, and laid out as a sheet. Blocks; call it in a thread."""

import math
import warnings
from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING

from luma_mcp.luma.errors import FileError
from luma_mcp.studio.frames import MOST_PIXELS

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_BYTES = 150 * 1024
SHEET_SIDE = 1280
# No frame of a sheet is larger, whatever its shape.
CELL_SIDE = 800
_GAP = 4
# The wanted shape of a sheet: between that of a screen and that of a page.
_SHEET_RATIO = 1.4


def open_picture(data: bytes) -> "Image":
    """The picture in some bytes, upright, on white where it is transparent.

    Raises:
        FileError: it is not a picture that can be read, or has too many pixels.
    """
    from PIL import Image, ImageOps  # noqa: PLC0415 - costs 20 ms, which only looking shall pay

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            picture = Image.open(BytesIO(data), formats=("JPEG", "PNG", "WEBP", "GIF"))
            if picture.width * picture.height > MOST_PIXELS:
                raise FileError(f"The picture has more than {MOST_PIXELS // 10**6} million pixels.", "Make it smaller.")
            picture = ImageOps.exif_transpose(picture)
            if "A" in picture.getbands() or "transparency" in picture.info:
                picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture.convert("RGBA"))
            return picture.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise FileError("The file is not a picture that can be read.") from error


def small_jpeg(picture: "Image", side: int) -> bytes:
    """A JPEG no longer on either side and no larger than 150 KB: first the quality gives way, then the size."""
    picture = picture.copy()
    while True:
        picture.thumbnail((side, side))
        for quality in (82, 70, 58, 45):
            out = BytesIO()
            picture.save(out, "JPEG", quality=quality, optimize=True)
            if out.tell() <= MOST_BYTES:
                return out.getvalue()
        side = side * 3 // 4


def sheet_of(frames: Sequence[tuple[float, "Image"]]) -> "Image":
    """The frames in rows, in the order of reading, each with its time."""
    from PIL import Image, ImageDraw, ImageFont  # noqa: PLC0415 - see open_picture

    width, height = frames[0][1].size
    columns = _columns(len(frames), width / height)
    rows = math.ceil(len(frames) / columns)
    scale = min((SHEET_SIDE - _GAP) / columns / width, (SHEET_SIDE - _GAP) / rows / height, 1.0)
    cell = (max(int(width * scale) - _GAP, 1), max(int(height * scale) - _GAP, 1))
    sheet = Image.new("RGB", (columns * (cell[0] + _GAP) + _GAP, rows * (cell[1] + _GAP) + _GAP), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=max(12, cell[1] // 12))
    for number, (moment, frame) in enumerate(frames):
        left = _GAP + number % columns * (cell[0] + _GAP)
        top = _GAP + number // columns * (cell[1] + _GAP)
        sheet.paste(frame.resize(cell, Image.Resampling.BOX), (left, top))
        words = f" {moment:.2f} s "
        _, _, right, foot = draw.textbbox((left, top), words, font=font)
        draw.rectangle((left, top, right, foot + 2), fill="black")
        draw.text((left, top), words, font=font, fill="white")
    return sheet


def _columns(count: int, ratio: float) -> int:
    """How many columns make the sheet nearest to the wanted shape, and leave the fewest places empty."""

    def strangeness(columns: int) -> float:
        rows = math.ceil(count / columns)
        return abs(math.log(columns * ratio / rows / _SHEET_RATIO)) + 0.3 * (columns * rows - count)

    return min(range(1, count + 1), key=strangeness)
