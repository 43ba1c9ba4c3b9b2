"""The offer of the Agents API: models, ratios, sizes and prices.

Sources: Luma's SDK `luma-agents` 0.5.0 and its guides of May to October 2026. The pixel sizes are inferred: Luma
publishes the long side of stills and the names of resolutions, nothing else.
"""

from typing import Literal

GenerationType = Literal["image", "image_edit", "video", "video_edit", "video_reframe", "layering"]
Resolution = Literal["360p", "540p", "720p", "1080p"]
Strength = Literal[
    "adhere_1", "adhere_2", "adhere_3", "flex_1", "flex_2", "flex_3", "reimagine_1", "reimagine_2", "reimagine_3"
]
Size = tuple[int, int]

FRAMES_PER_SECOND = 24
STILL_TYPES = ("image", "image_edit", "layering")
TYPES_OF_MODEL: dict[str, tuple[str, ...]] = {
    "uni-1": ("image", "image_edit", "layering"),
    "uni-1-max": ("image", "image_edit"),
    "ray-3.2": ("video", "video_edit", "video_reframe"),
}
STILL_RATIOS = ("1:1", "1:2", "1:3", "16:9", "2:1", "2:3", "3:1", "3:2", "9:16")
CLIP_RATIOS = ("1:1", "16:9", "21:9", "3:4", "4:3", "9:16")
MANGA_RATIOS = ("2:3", "9:16", "1:2", "1:3")

# The short side of a 16:9 clip, and the sizes of the other ratios at 720p.
HEIGHTS: dict[str, int] = {"360p": 360, "540p": 540, "720p": 720, "1080p": 1080}
SIZES_AT_720P: dict[str, Size] = {
    "16:9": (1280, 720),
    "9:16": (720, 1280),
    "4:3": (1152, 864),
    "3:4": (864, 1152),
    "1:1": (960, 960),
    "21:9": (1680, 720),
}
STILL_LONG_SIDE = 2048
LAYER_LONG_SIDES = {"1k": 1024, "2k": 2048}

MAX_PROMPT, MAX_LAYERING_PROMPT = 6000, 500
MAX_STILL_BYTES, MAX_CLIP_BYTES, MAX_FILE_BYTES = 52_428_800, 200 * 1024**2, 5 * 1024**3
MAX_STILL_SIDE = 8000
MAX_EDIT_SECONDS, MAX_REFRAME_SECONDS = 18.0, 30.0
MAX_KEYFRAMES = 64
MAX_REFERENCES = {"image": 9, "image_edit": 8}
LINK_SECONDS = 3600

# US cents. Per clip of 5 and 10 seconds, by resolution.
SDR_CENTS = {"360p": (6, 18), "540p": (15, 45), "720p": (30, 90), "1080p": (120, 360)}
EDIT_CENTS = {"360p": (54, 108), "540p": (72, 144), "720p": (108, 216), "1080p": (216, 432)}
REFRAME_CENTS_PER_SECOND = {"360p": 3, "540p": 6, "720p": 12, "1080p": 36}
HDR_FACTOR, EXR_FACTOR = 2, 3
# A still from words, a first reference or an edit on top of that, and each further reference.
STILL_CENTS = {"uni-1": 4.04, "uni-1-max": 10.0}
REFERENCE_CENTS = 0.30
EDIT_STILL_CENTS = {"uni-1": 4.34, "uni-1-max": 10.30}
# No price is published for layering. This one is invented.
LAYER_CENTS = {"1k": 2.0, "2k": 4.0}


def clip_size(ratio: str | None, resolution: str) -> Size:
    """Width and height in pixels of a clip; both are even."""
    width, height = SIZES_AT_720P[ratio or "16:9"]
    scale = HEIGHTS[resolution] / 720
    return round(width * scale / 2) * 2, round(height * scale / 2) * 2


def still_size(ratio: str | None) -> Size:
    """Width and height in pixels of a still."""
    across, down = (int(part) for part in (ratio or "1:1").split(":"))
    long = max(across, down)
    return round(STILL_LONG_SIDE * across / long), round(STILL_LONG_SIDE * down / long)
