"""Pictures: scenes drawn from the words of a prompt, the strip that marks them, and what is done with references."""

import colorsys
import hashlib
import math
import random
import warnings
from collections.abc import Sequence
from io import BytesIO

from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageOps

Size = tuple[int, int]
Colour = tuple[int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

# A picture from outside may be a decompression bomb; beyond this it is refused.
MAX_PIXELS = 50_000_000


class UnreadableMediaError(Exception):
    """The fetched bytes are no picture or clip that can be read."""


def open_picture(data: bytes) -> Image.Image:
    """The picture in some bytes, upright, in RGB.

    Raises:
        UnreadableMediaError: it is not a picture, or far too large.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            picture = Image.open(BytesIO(data))
            if picture.width * picture.height > MAX_PIXELS:
                raise UnreadableMediaError("too many pixels")
            return ImageOps.exif_transpose(picture).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnreadableMediaError("not a readable picture") from error


def strip_height(height: int) -> int:
    """The height of the EMULATED strip at the bottom of a frame; even, so that the height above it is even too."""
    return max(16, height // 22 // 2 * 2)


def without_strip(frame: Image.Image) -> Image.Image:
    """The picture above the strip of an emulated frame."""
    return frame.crop((0, 0, frame.width, frame.height - strip_height(frame.height)))


def strip(size: Size, caption: str) -> Image.Image:
    """The strip for a frame of that size: EMULATED, then what was asked for."""
    width, height = size[0], strip_height(size[1])
    band = Image.new("RGB", (width, height), (14, 16, 24))
    draw = ImageDraw.Draw(band)
    font = ImageFont.load_default(size=height * 0.62)
    draw.text((height * 0.4, height * 0.1), "EMULATED", font=font, fill=(255, 190, 60))
    left = height * 0.9 + draw.textlength("EMULATED", font=font)
    draw.text((left, height * 0.1), _fitting(draw, caption, font, width - left), font=font, fill=(176, 184, 200))
    return band


def _fitting(draw: ImageDraw.ImageDraw, text: str, font: Font, room: float) -> str:
    text = " ".join(text.split())
    if draw.textlength(text, font=font) <= room:
        return text
    while text and draw.textlength(text + "…", font=font) > room:
        text = text[:-1]
    return text + "…"


class Marker:
    """Puts the strip at the foot of pictures; made once for a clip, used for each of its frames."""

    def __init__(self, size: Size, caption: str) -> None:
        self.size = size
        self.picture_size = (size[0], size[1] - strip_height(size[1]))
        self._strip = strip(size, caption)

    def mark(self, picture: Image.Image, moment: float | None = None) -> Image.Image:
        """The picture filling the frame above the strip; a line shows how far the clip has come (0 to 1)."""
        frame = Image.new("RGB", self.size)
        frame.paste(covering(picture, self.picture_size), (0, 0))
        frame.paste(self._strip, (0, self.picture_size[1]))
        if moment is not None:
            line = (0, self.picture_size[1], round(self.size[0] * moment), self.picture_size[1] + 1)
            ImageDraw.Draw(frame).rectangle(line, fill=(255, 190, 60))
        return frame


def covering(picture: Image.Image, size: Size) -> Image.Image:
    """The picture scaled and cropped so that it fills the size."""
    return picture if picture.size == size else ImageOps.fit(picture, size, Image.Resampling.BILINEAR)


def scene(prompt: str, size: Size, take: str = "") -> Image.Image:
    """A landscape whose colours follow from the words of the prompt, and its hills, trees and sun from the take, too.

    Two takes of the same words are two pictures, as those of a real model are. `take` is the id of the generation.
    """
    hue = _chance_of(prompt).random()
    chance = _chance_of(f"{prompt}\n{take}")
    hue += chance.uniform(-0.05, 0.05)
    width, height = size
    picture = _gradient(size, _colour(hue, 0.55, 0.35), _colour(hue + 0.09, 0.45, 0.95))
    _sun(picture, chance, hue)
    draw = ImageDraw.Draw(picture)
    for layer in range(4):
        depth = (layer + 1) / 4
        crest = [
            (x, height * (0.48 + 0.13 * layer) + _swell(x / width, layer, chance_at) * height * 0.09)
            for chance_at in [chance.random() * 7]
            for x in range(0, width + 8, 8)
        ]
        shade = _colour(hue + 0.5 + 0.04 * layer, 0.35 + 0.3 * depth, 0.62 - 0.44 * depth)
        draw.polygon([*crest, (width, height), (0, height)], fill=shade)
        if layer >= 1:
            _trees(draw, chance, crest, height * 0.02 * (layer + 1), shade)
    return picture


def _chance_of(prompt: str) -> random.Random:
    """The same chance for the same words."""
    return random.Random(hashlib.sha256(prompt.encode()).digest())  # noqa: S311 - a picture, not a secret


def _gradient(size: Size, top: Colour, foot: Colour) -> Image.Image:
    ramp = Image.linear_gradient("L").resize(size)
    return Image.composite(Image.new("RGB", size, foot), Image.new("RGB", size, top), ramp)


def _sun(picture: Image.Image, chance: random.Random, hue: float) -> None:
    width, height = picture.size
    x, y = width * chance.uniform(0.25, 0.75), height * chance.uniform(0.18, 0.4)
    radius = height * chance.uniform(0.06, 0.11)
    small = (max(width // 8, 1), max(height // 8, 1))
    glow = Image.new("L", small, 0)
    reach = radius * 3 / 8
    ImageDraw.Draw(glow).ellipse((x / 8 - reach, y / 8 - reach, x / 8 + reach, y / 8 + reach), fill=150)
    glow = glow.filter(ImageFilter.GaussianBlur(reach / 2)).resize(picture.size)
    light = _colour(hue + 0.12, 0.25, 1)
    picture.paste(Image.new("RGB", picture.size, light), (0, 0), glow)
    ImageDraw.Draw(picture).ellipse((x - radius, y - radius, x + radius, y + radius), fill=light)


def _swell(x: float, layer: int, phase: float) -> float:
    return math.sin(x * (5 + 3 * layer) + phase) + 0.5 * math.sin(x * (13 + 5 * layer) + 2 * phase)


def _trees(
    draw: ImageDraw.ImageDraw, chance: random.Random, crest: Sequence[tuple[float, float]], tall: float, shade: Colour
) -> None:
    for x, y in chance.sample(crest, min(len(crest), 26)):
        grown = tall * chance.uniform(0.7, 1.8)
        draw.polygon([(x - grown / 3, y + 4), (x, y - grown), (x + grown / 3, y + 4)], fill=shade)


def _colour(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, min(saturation, 1), min(value, 1))
    return round(red * 255), round(green * 255), round(blue * 255)


def tint(prompt: str) -> Colour:
    """The colour that a prompt's scene leans to."""
    chance = _chance_of(prompt)
    return _colour(chance.random(), 0.6, 0.8)


def blended(base: Image.Image, other: Image.Image, weight: float) -> Image.Image:
    """Blend a reference over a picture, by its weight."""
    return Image.blend(base, covering(other, base.size), min(max(weight, 0.0), 1.0))


def restyled(picture: Image.Image, mode: str, colour: Colour) -> Image.Image:
    """A picture modified: adhere keeps it nearly, flex flattens its colours, reimagine repaints it."""
    family, _, strength = mode.partition("_")
    step = int(strength)
    painted = ImageOps.colorize(ImageOps.grayscale(picture), (12, 10, 24), (255, 246, 228), mid=colour)
    if family == "adhere":
        return Image.blend(picture, painted, 0.1 + 0.08 * step)
    if family == "flex":
        return Image.blend(ImageOps.posterize(picture, 6 - step), painted, 0.3 + 0.08 * step)
    return ImageOps.posterize(painted, 5 - step)


def placed(picture: Image.Image, size: Size, box: tuple[int, int, int, int] | None) -> Image.Image:
    """A picture reframed: set whole into a new size, what is around it filled with its own blur.

    The box says where it sits (left, top, right, bottom); None fits it in, centred.
    """
    blurred = covering(picture.resize((max(picture.width // 8, 1), max(picture.height // 8, 1))), (64, 64))
    canvas = blurred.filter(ImageFilter.GaussianBlur(4)).resize(size, Image.Resampling.BICUBIC)
    if box is None:
        inner = ImageOps.contain(picture, size, Image.Resampling.BILINEAR)
        canvas.paste(inner, ((size[0] - inner.width) // 2, (size[1] - inner.height) // 2))
    else:
        inner = picture.resize((max(box[2] - box[0], 1), max(box[3] - box[1], 1)), Image.Resampling.BILINEAR)
        canvas.paste(inner, (box[0], box[1]))
    return canvas


def encoded(picture: Image.Image, kind: str) -> bytes:
    """The bytes of a JPEG (`jpg`) or a PNG (`png`)."""
    out = BytesIO()
    if kind == "png":
        picture.save(out, "PNG", compress_level=3)
    else:
        picture.save(out, "JPEG", quality=88)
    return out.getvalue()
