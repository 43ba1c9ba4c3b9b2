"""The models that Luma sells by its two APIs: what each one makes, takes and costs, as data.

This module is the one source of the enums in tool schemas, the rules in `validation`, the prices in `pricing`,
`luma://models` and the tables of the README. The emulator keeps a table of its own, so that a mistake here shows.

To add a model: add its name to the `Literal` and an entry to the table below it.

Sources for Dream Machine: docs.lumalabs.ai (video-generation, image-generation, modify-video, reframe; 2025-2026) and
the official SDK `lumaai` 1.21.0. Prices: the price list of 2025 as passed on by Comfy's partner-node pricing (August
2026), where width x height x 24 x seconds x rate reproduces every printed cell; docs.lumalabs.ai/docs/modify-video
(2026); lumalabs.ai/photon (July 2026).

Sources for the Agents API: the official SDK `luma-agents` 0.5.0 (August 2026) and docs.agents.lumalabs.ai. Its prices:
that site's guide (stills May 2026, clips June 2026).
"""

from dataclasses import dataclass
from typing import Literal, get_args

BackendName = Literal["dream_machine", "agents"]
"""One of Luma's APIs."""
API_NAMES: dict[BackendName, str] = {"agents": "the Luma Agents API", "dream_machine": "Dream Machine"}
"""What people call them."""
VideoModelName = Literal["ray-2", "ray-flash-2", "ray-3.2"]
ImageModelName = Literal["photon-1", "photon-flash-1", "uni-1", "uni-1-max"]
AspectRatio = Literal["16:9", "9:16", "1:1", "4:3", "3:4", "21:9", "9:21", "3:1", "2:1", "3:2", "2:3", "1:2", "1:3"]
Resolution = Literal["360p", "540p", "720p", "1080p", "4k"]
Duration = Literal["5s", "9s", "10s"]
ImageFormat = Literal["jpg", "png"]
LayerSize = Literal["1k", "2k"]
ModifyMode = Literal[
    "adhere_1", "adhere_2", "adhere_3", "flex_1", "flex_2", "flex_3", "reimagine_1", "reimagine_2", "reimagine_3"
]

Size = tuple[int, int]


@dataclass(frozen=True, slots=True)
class VideoModel:
    """A model that makes and changes videos. Rates are US dollars per million pixels of all frames together."""

    usd_per_megapixel: float
    modify_usd_per_megapixel: float
    longest_modify_seconds: float
    """The longest clip that `modify` takes."""
    longest_reframe_seconds: float
    """The longest clip that `reframe` takes."""
    backend: BackendName = "dream_machine"
    resolutions: tuple[str, ...] = ("540p", "720p", "1080p", "4k")
    durations: tuple[str, ...] = ("5s", "9s")
    ratios: tuple[str, ...] = ("16:9", "9:16", "1:1", "4:3", "3:4", "21:9", "9:21")


@dataclass(frozen=True, slots=True)
class ImageModel:
    """A model that makes and changes images.

    Dream Machine's rate is US dollars per million pixels. An Agents model has a price for a still from words and one
    for an edited still; each reference costs the same on top, but the first of an edit.
    """

    usd_per_megapixel: float = 0
    usd: float = 0
    edit_usd: float = 0
    backend: BackendName = "dream_machine"
    formats: tuple[str, ...] = get_args(ImageFormat)
    ratios: tuple[str, ...] = ("16:9", "9:16", "1:1", "4:3", "3:4", "21:9", "9:21")
    max_references: int = 4
    max_edit_references: int = 4


_STILL_RATIOS = ("16:9", "9:16", "1:1", "3:1", "2:1", "3:2", "2:3", "1:2", "1:3")
VIDEO_MODELS: dict[VideoModelName, VideoModel] = {
    "ray-2": VideoModel(0.0064, 0.01582, longest_modify_seconds=10, longest_reframe_seconds=10),
    "ray-flash-2": VideoModel(0.0022, 0.00544, longest_modify_seconds=15, longest_reframe_seconds=30),
    "ray-3.2": VideoModel(
        0,
        0,
        longest_modify_seconds=18,
        longest_reframe_seconds=30,
        backend="agents",
        resolutions=("360p", "540p", "720p", "1080p"),
        durations=("5s", "10s"),
        ratios=("16:9", "9:16", "1:1", "4:3", "3:4", "21:9"),
    ),
}
IMAGE_MODELS: dict[ImageModelName, ImageModel] = {
    "photon-1": ImageModel(0.0073),
    "photon-flash-1": ImageModel(0.0019),
    "uni-1": ImageModel(
        usd=0.0404, edit_usd=0.0434, backend="agents", ratios=_STILL_RATIOS, max_references=9, max_edit_references=8
    ),
    "uni-1-max": ImageModel(
        usd=0.1, edit_usd=0.103, backend="agents", ratios=_STILL_RATIOS, max_references=9, max_edit_references=8
    ),
}
# The Agents API, in US dollars. A clip of 5 and of 10 seconds, by resolution, in standard range.
CLIP_USD: dict[str, tuple[float, float]] = {
    "360p": (0.06, 0.18), "540p": (0.15, 0.45), "720p": (0.30, 0.90), "1080p": (1.20, 3.60),
}  # fmt: skip
EDIT_USD: dict[str, tuple[float, float]] = {
    "360p": (0.54, 1.08), "540p": (0.72, 1.44), "720p": (1.08, 2.16), "1080p": (2.16, 4.32),
}  # fmt: skip
REFRAME_USD_PER_SECOND: dict[str, float] = {"360p": 0.03, "540p": 0.06, "720p": 0.12, "1080p": 0.36}
HDR_FACTOR, HDR_WITH_EXR_FACTOR = 2, 3
REFERENCE_USD = 0.003
LONGEST_AGENTS_PROMPT = 6000
MAX_KEYFRAMES = 64
MANGA_RATIOS = ("2:3", "9:16", "1:2", "1:3")
# Luma charges each layer and publishes no price. An estimate takes each for the dearest picture that is sold.
LAYERING_MODEL: ImageModelName = "uni-1"
MAX_LAYERS, LONGEST_LAYERING_PROMPT = 10, 500

DEFAULT_VIDEO_MODELS: dict[BackendName, VideoModelName] = {"dream_machine": "ray-2", "agents": "ray-3.2"}
DEFAULT_IMAGE_MODELS: dict[BackendName, ImageModelName] = {"dream_machine": "photon-1", "agents": "uni-1"}

FRAMES_PER_SECOND = 24
# Luma publishes no price for sound. This estimate is meant to be above any price that it can have.
AUDIO_USD_PER_SECOND = 0.10

# The height in pixels of a 16:9 clip, by resolution.
HEIGHTS: dict[str, int] = {"360p": 360, "540p": 540, "720p": 720, "1080p": 1080, "4k": 2160}
# Width and height in pixels of a 720p clip, by ratio. 16:9 follows from the price list and 4:3 was observed. The others
# are taken to have 720 pixels on the short side.
SIZES_AT_720P: dict[str, Size] = {
    "16:9": (1280, 720),
    "9:16": (720, 1280),
    "4:3": (1152, 864),
    "3:4": (864, 1152),
    "1:1": (960, 960),
    "21:9": (1680, 720),
    "9:21": (720, 1680),
}
# Width and height in pixels of an image, by ratio. docs.lumalabs.ai/docs/reframe documents them as target canvases.
CANVASES: dict[str, Size] = {
    "1:1": (1536, 1536),
    "4:3": (1792, 1344),
    "3:4": (1344, 1792),
    "16:9": (2048, 1152),
    "9:16": (1152, 2048),
    "21:9": (2432, 1024),
    "9:21": (1024, 2432),
}

DEFAULT_RATIO: AspectRatio = "16:9"
DEFAULT_RESOLUTION: Resolution = "720p"
DEFAULT_DURATION: Duration = "5s"
LONGEST_DURATION_SECONDS = 9.0
# No clip that Luma makes is longer: a reframed clip is as long as its source.
LONGEST_CLIP_SECONDS = max(model.longest_reframe_seconds for model in VIDEO_MODELS.values())

SHORTEST_PROMPT, LONGEST_PROMPT = 3, 5000
# docs.lumalabs.ai/docs/image-generation. Luma's own MCP server documents 8; the smaller number is always accepted.
MAX_REFERENCES = 4
# docs.lumalabs.ai/docs/modify-video and /reframe. Luma documents no limit for Dream Machine's keyframes and references,
# so the limit for images is applied to them too.
MAX_IMAGE_BYTES, MAX_CLIP_BYTES = 10 * 1000**2, 100 * 1000**2
MAX_AGENTS_IMAGE_BYTES, MAX_AGENTS_CLIP_BYTES = 50 * 1024**2, 200 * 1024**2

# docs.lumalabs.ai/changelog/concepts, in the API's order.
CONCEPTS = (
    "truck_left", "pan_right", "pedestal_down", "low_angle", "pedestal_up", "selfie", "pan_left", "roll_right",
    "zoom_in", "over_the_shoulder", "orbit_right", "orbit_left", "static", "tiny_planet", "high_angle", "bolt_cam",
    "dolly_zoom", "overhead", "zoom_out", "handheld", "roll_left", "pov", "aerial_drone", "push_in", "crane_down",
    "truck_right", "tilt_down", "elevator_doors", "tilt_up", "ground_level", "pull_out", "aerial", "crane_up",
    "eye_level",
)  # fmt: skip
# The list of an endpoint that left the API's description in April 2025 and may no longer answer.
CAMERA_MOTIONS = (
    "Static", "Move Left", "Move Right", "Move Up", "Move Down", "Push In", "Pull Out", "Zoom In", "Zoom Out",
    "Pan Left", "Pan Right", "Orbit Left", "Orbit Right", "Crane Up", "Crane Down",
)  # fmt: skip
