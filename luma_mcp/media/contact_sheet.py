"""Frames of a clip, or layers of a picture, arranged as one image. These functions block."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

SHEET_SIDE = 1280
# No frame of a sheet is larger, whatever the sheet's shape.
CELL_SIDE = 800
_GAP = 4
# The wanted ratio of a sheet: between that of a screen and that of a page.
_SHEET_RATIO = 1.4


def contact_sheet(frames: Sequence[tuple[str, "Image"]]) -> "Image":
    """The frames in rows, from left to right, each with its label, such as its time."""
    from PIL import Image, ImageDraw, ImageFont  # noqa: PLC0415 - see images.open_image

    width, height = frames[0][1].size
    columns = _column_count(len(frames), width / height)
    rows = math.ceil(len(frames) / columns)
    scale = min((SHEET_SIDE - _GAP) / columns / width, (SHEET_SIDE - _GAP) / rows / height, 1.0)
    cell = (max(int(width * scale) - _GAP, 1), max(int(height * scale) - _GAP, 1))
    sheet = Image.new("RGB", (columns * (cell[0] + _GAP) + _GAP, rows * (cell[1] + _GAP) + _GAP), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=max(12, cell[1] // 12))
    for number, (label, frame) in enumerate(frames):
        left = _GAP + number % columns * (cell[0] + _GAP)
        top = _GAP + number // columns * (cell[1] + _GAP)
        sheet.paste(frame.resize(cell, Image.Resampling.BOX), (left, top))
        _, _, right, bottom = draw.textbbox((left, top), f" {label} ", font=font)
        draw.rectangle((left, top, right, bottom + 2), fill="black")
        draw.text((left, top), f" {label} ", font=font, fill="white")
    return sheet


def _column_count(count: int, ratio: float) -> int:
    """The number of columns whose sheet is nearest to the wanted ratio and has the fewest empty cells."""

    def cost(columns: int) -> float:
        rows = math.ceil(count / columns)
        return abs(math.log(columns * ratio / rows / _SHEET_RATIO)) + 0.3 * (columns * rows - count)

    return min(range(1, count + 1), key=cost)
