"""The words Luma's API uses, as its documentation gives them (docs.lumalabs.ai, 2025-2026)."""

from typing import Literal

AspectRatio = Literal["1:1", "16:9", "9:16", "4:3", "3:4", "21:9", "9:21"]
VideoModel = Literal["ray-2", "ray-flash-2"]
ImageModel = Literal["photon-1", "photon-flash-1"]
ModifyMode = Literal[
    "adhere_1", "adhere_2", "adhere_3", "flex_1", "flex_2", "flex_3", "reimagine_1", "reimagine_2", "reimagine_3"
]

# Heights of a 16:9 clip. The price list fits these sizes exactly.
HEIGHTS = {"540p": 540, "720p": 720, "1080p": 1080, "4k": 2160}
DURATIONS = {"5s": 5, "9s": 9}
FRAMES_PER_SECOND = 24

# Size at 720p of each ratio; other resolutions scale it. 4:3 was seen in the wild, the rest keep 720 on the short side.
VIDEO_SIZES_AT_720P = {
    "16:9": (1280, 720),
    "9:16": (720, 1280),
    "4:3": (1152, 864),
    "3:4": (864, 1152),
    "1:1": (960, 960),
    "21:9": (1680, 720),
    "9:21": (720, 1680),
}
# The canvases that reframing documents; image generation is taken to use the same.
IMAGE_SIZES = {
    "1:1": (1536, 1536),
    "4:3": (1792, 1344),
    "3:4": (1344, 1792),
    "16:9": (2048, 1152),
    "9:16": (1152, 2048),
    "21:9": (2432, 1024),
    "9:21": (1024, 2432),
}

CONCEPTS = (
    "truck_left", "pan_right", "pedestal_down", "low_angle", "pedestal_up", "selfie", "pan_left", "roll_right",
    "zoom_in", "over_the_shoulder", "orbit_right", "orbit_left", "static", "tiny_planet", "high_angle", "bolt_cam",
    "dolly_zoom", "overhead", "zoom_out", "handheld", "roll_left", "pov", "aerial_drone", "push_in", "crane_down",
    "truck_right", "tilt_down", "elevator_doors", "tilt_up", "ground_level", "pull_out", "aerial", "crane_up",
    "eye_level",
)  # fmt: skip
CAMERA_MOTIONS = (
    "Static", "Move Left", "Move Right", "Move Up", "Move Down", "Push In", "Pull Out", "Zoom In", "Zoom Out",
    "Pan Left", "Pan Right", "Orbit Left", "Orbit Right", "Crane Up", "Crane Down",
)  # fmt: skip


def video_size(aspect_ratio: str, resolution: str) -> tuple[int, int]:
    """Width and height in pixels of a clip; both even, as H.264 wants them."""
    width, height = VIDEO_SIZES_AT_720P[aspect_ratio]
    scale = HEIGHTS[resolution] / 720
    return round(width * scale / 2) * 2, round(height * scale / 2) * 2
