"""Captions drawn into a transparent picture: white with a dark edge, at the bottom, in lines that fit."""

import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luma_mcp.domain.errors import FileError

if TYPE_CHECKING:
    from PIL.Image import Image

# Shares of the height of a wide picture; of the width of a narrow one.
_TEXT_HEIGHT, _EDGE, _BOTTOM = 0.055, 0.09, 0.06
_MAX_WIDTH = 0.9
_MIN_PIXELS = 8
_FONT_FOLDERS = {
    "linux": ("/usr/share/fonts", "/usr/local/share/fonts"),
    "darwin": ("/System/Library/Fonts", "/Library/Fonts"),
    "win32": ("C:/Windows/Fonts",),
}
_FONT_ENDINGS = frozenset({".ttf", ".otf", ".ttc"})
_MAX_FONTS = 1000
_SPECIAL = ("serif", "mono", "bold", "italic", "oblique", "light", "condensed", "thin")
# A character that no font has: what is drawn for it stands for every missing one.
_MISSING = "\uffff"


def drawn(text: str, size: tuple[int, int]) -> "Image":
    """Return a picture of that size with a caption. Raises: FileError, if no font of this machine has its letters."""
    from PIL import Image, ImageDraw  # noqa: PLC0415 - costs 20 ms, which only captions shall pay

    width, height = size
    pixels = max(_MIN_PIXELS, round(_TEXT_HEIGHT * min(height, width)))
    font = _font(_path_for(frozenset(text) - frozenset(" \n")), pixels)
    canvas = Image.new("RGBA", size)
    pen = ImageDraw.Draw(canvas)
    lines = "\n".join(line for part in text.split("\n") for line in _wrapped(part, font, _MAX_WIDTH * width))
    edge = max(1, round(pixels * _EDGE))
    settings: dict[str, Any] = {"font": font, "align": "center", "stroke_width": edge, "spacing": pixels * 0.25}
    left, top, right, bottom = pen.multiline_textbbox((0, 0), lines, **settings)
    at = (width - right - left) / 2, height - bottom - round(_BOTTOM * height)
    pen.multiline_text((at[0], max(at[1], -top)), lines, fill="white", stroke_fill=(0, 0, 0, 220), **settings)
    return canvas


def _wrapped(line: str, font: Any, width: float) -> Iterator[str]:
    """Yield the lines into which a line of a caption is broken, between words where there are any."""
    current = ""
    for word in line.split(" "):
        joined = f"{current} {word}" if current else word
        if current and font.getlength(joined) > width:
            yield current
            joined = word
        while font.getlength(joined) > width and len(joined) > 1:
            count = max(1, sum(font.getlength(joined[:length]) <= width for length in range(1, len(joined))))
            yield joined[:count]
            joined = joined[count:]
        current = joined
    yield current


@cache
def _font(path: Path | None, pixels: int) -> Any:
    from PIL import ImageFont  # noqa: PLC0415 - see drawn

    return ImageFont.load_default(pixels) if path is None else ImageFont.truetype(str(path), pixels)


@cache
def _path_for(letters: frozenset[str]) -> Path | None:
    """Return the first font that has all letters; None for the one that comes with Pillow. Raises: FileError."""
    missing = letters
    for path in (None, *_installed_fonts()):
        try:
            font = _font(path, 20)
        except OSError:
            continue
        nothing = _shape(font, _MISSING)
        lacking = {letter for letter in letters if _shape(font, letter) == nothing}
        if not lacking:
            return path
        missing = min(missing, lacking, key=len)
    raise FileError(
        f"No font of this machine has the letters {' '.join(sorted(missing)[:10])} of the captions.",
        "Nothing was written. Leave burn_captions out: an SRT lies beside the file anyway. Or install a font such as "
        "Noto Sans for them.",
    )


def _shape(font: Any, letter: str) -> tuple[Any, bytes]:
    mask = font.getmask(letter)
    return mask.size, bytes(mask)


@cache
def _installed_fonts() -> tuple[Path, ...]:
    """Return the fonts of the system, those without serifs and in regular weight first."""
    found: list[Path] = []
    for folder in _FONT_FOLDERS.get(sys.platform, ()):
        found += [path for path in Path(folder).rglob("*") if path.suffix.lower() in _FONT_ENDINGS][:_MAX_FONTS]
    return tuple(sorted(found, key=_preference))


def _preference(path: Path) -> tuple[bool, bool, str]:
    name = path.stem.lower()
    is_special = any(word in name for word in _SPECIAL)
    return is_special, not name.endswith(("regular", "sans", "arial")), name
