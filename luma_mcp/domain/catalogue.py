"""The models that Luma sells by its two APIs: an entry for each, with what it makes, accepts, excludes and costs.

This module is the one source of the enums and the model names in tool schemas, the rules in `validation`, the prices in
`pricing`, `luma://models` and the tables of the README. The emulator keeps a table of its own, so that a mistake here
shows.

To add a model, add an entry to `VIDEO_MODELS` or `IMAGE_MODELS`. The first model of an API is its default.

Sources for Dream Machine: docs.lumalabs.ai (video-generation, image-generation, modify-video, reframe; 2025-2026) and
the official SDK `lumaai` 1.21.0. Prices: the price list of 2025 as passed on by Comfy's partner-node pricing (August
2026), where width x height x 24 x seconds x rate reproduces every printed cell; docs.lumalabs.ai/docs/modify-video
(2026); lumalabs.ai/photon (July 2026).

Sources for the Agents API: the official SDK `luma-agents` 0.5.0 (August 2026) and docs.agents.lumalabs.ai. Its prices:
that site's guide (stills May 2026, clips June 2026).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from luma_mcp.domain.apis import APIS, AspectRatio, BackendName, Duration, Resolution
from luma_mcp.domain.errors import InvalidRequestError
from luma_mcp.domain.usd import Usd

VideoModelName = str
ImageModelName = str
ImageFormat = Literal["jpg", "png"]
LayerSize = Literal["1k", "2k"]
ModifyMode = Literal[
    "adhere_1", "adhere_2", "adhere_3", "flex_1", "flex_2", "flex_3", "reimagine_1", "reimagine_2", "reimagine_3"
]
Signal = Literal["face", "pose", "depth", "normals", "trajectory"]
"""A property of a clip that a change of it may keep."""
Feature = Literal[
    "concepts", "keyframes", "keep", "hdr", "exr", "made_resolution", "reframe_first_frame",
    "style", "web_search", "layers", "style_references", "character_images", "weights", "reframe_image",
]  # fmt: skip
"""An argument or an operation that only some models have."""
Condition = Literal[
    "a duration of 10s", "hdr", "loop", "a start frame", "an end frame", "keyframes", "360p or 540p",
    "going on from a clip", "two frames",
]  # fmt: skip
"""A property of a request for a video, as a refusal names it."""
FrameType = Literal["picture", "clip"] | None
"""The type of the first or the last frame of a clip."""

Size = tuple[int, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class PixelPrices:
    """Prices of clips by the million pixels of all frames together."""

    create: Usd
    modify: Usd


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipPrices:
    """Prices of clips by their resolution.

    Args:
        create, modify: a clip of 5 and of 10 seconds, in standard range.
        reframe_per_second: a second of a reframed clip.
        extension_floor: the resolution whose price counts for extending a clip at a smaller one, which has no price.
        hdr_factor, exr_factor: the price of an HDR clip as a multiple of it, without and with EXR frames.
    """

    create: Mapping[str, tuple[Usd, Usd]]
    modify: Mapping[str, tuple[Usd, Usd]]
    reframe_per_second: Mapping[str, Usd]
    extension_floor: str
    hdr_factor: int = 2
    exr_factor: int = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class PicturePrices:
    """Prices of pictures.

    Args:
        create, edit: a picture from a prompt, and an edited picture.
        per_reference: each reference, on top; the first of an edit is in its price.
        per_layer: more than what a layer can cost; Luma charges each and publishes no price.
    """

    create: Usd
    edit: Usd
    per_reference: Usd
    per_layer: Usd


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoModel:
    """A model that makes and changes videos.

    Args:
        backend: the API that sells it.
        prices: its prices.
        resolutions, durations, ratios: the values of those arguments.
        max_modify_seconds, max_reframe_seconds: the longest clips that it changes.
        features: the features that it has and others lack.
        note: its description in the tool list.
        exclusions: the conditions that exclude each other: each with those that it excludes.
        frames_as_keyframes: the conditions under which a picture at the start or the end is sent as a keyframe.
        frames_without_loop: the refusals of a loop, by the types of the first and the last frame.
        unreframed_ratios: the ratios that it does not reframe to, by resolution.
    """

    backend: BackendName
    prices: PixelPrices | ClipPrices
    resolutions: tuple[str, ...]
    durations: tuple[str, ...]
    ratios: tuple[str, ...]
    max_modify_seconds: float
    max_reframe_seconds: float
    features: frozenset[Feature] = frozenset()
    note: str = ""
    exclusions: tuple[tuple[Condition, tuple[Condition, ...]], ...] = ()
    frames_as_keyframes: tuple[Condition, ...] = ()
    frames_without_loop: Mapping[tuple[FrameType, FrameType], str] = field(
        default_factory=dict[tuple[FrameType, FrameType], str]
    )
    unreframed_ratios: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageModel:
    """A model that makes and changes images.

    Args:
        backend: the API that sells it.
        prices: its prices; one amount is the price of a million pixels.
        ratios, formats: the values of those arguments.
        max_references, max_edit_references: the number of references of a new and of an edited picture.
        features: the features that it has and others lack.
        note: its description in the tool list.
        style_ratios: the ratios of a style that has not all.
    """

    backend: BackendName
    prices: Usd | PicturePrices
    ratios: tuple[str, ...]
    max_references: int
    max_edit_references: int
    formats: tuple[str, ...] = get_args(ImageFormat)
    features: frozenset[Feature] = frozenset()
    note: str = ""
    style_ratios: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])


_CLIP_RATIOS = ("16:9", "9:16", "1:1", "4:3", "3:4", "21:9")
_STILL_RATIOS = ("16:9", "9:16", "1:1", "3:1", "2:1", "3:2", "2:3", "1:2", "1:3")
_RAY_2_RESOLUTIONS, _RAY_2_DURATIONS = ("540p", "720p", "1080p", "4k"), ("5s", "9s")
_RAY_2_FEATURES: frozenset[Feature] = frozenset({"concepts", "reframe_first_frame"})
# docs.lumalabs.ai/docs/errors, in its own words.
_RAY_2_FRAMES_WITHOUT_LOOP: Mapping[tuple[FrameType, FrameType], str] = {
    ("picture", "picture"): "Loop is not supported for keyframes",
    (None, "picture"): "Loop is not supported for end frame",
    (None, "clip"): "Loop is not supported for extend reverse",
    ("clip", "picture"): "Loop is not supported for interpolate video to image",
    ("picture", "clip"): "Loop is not supported for interpolate image to video",
    ("clip", "clip"): "Loop is not supported for interpolate between two videos",
}
_PHOTON_FEATURES: frozenset[Feature] = frozenset({"style_references", "character_images", "weights", "reframe_image"})
_UNI_1_STYLES = {"manga": ("2:3", "9:16", "1:2", "1:3")}

VIDEO_MODELS: dict[VideoModelName, VideoModel] = {
    "ray-2": VideoModel(
        backend="dream_machine",
        prices=PixelPrices(create=Usd.of("0.0064"), modify=Usd.of("0.01582")),
        resolutions=_RAY_2_RESOLUTIONS,
        durations=_RAY_2_DURATIONS,
        ratios=(*_CLIP_RATIOS, "9:21"),
        max_modify_seconds=10,
        max_reframe_seconds=10,
        features=_RAY_2_FEATURES,
        frames_without_loop=_RAY_2_FRAMES_WITHOUT_LOOP,
    ),
    "ray-flash-2": VideoModel(
        backend="dream_machine",
        prices=PixelPrices(create=Usd.of("0.0022"), modify=Usd.of("0.00544")),
        resolutions=_RAY_2_RESOLUTIONS,
        durations=_RAY_2_DURATIONS,
        ratios=(*_CLIP_RATIOS, "9:21"),
        max_modify_seconds=15,
        max_reframe_seconds=30,
        features=_RAY_2_FEATURES,
        note="a third of ray-2's price",
        frames_without_loop=_RAY_2_FRAMES_WITHOUT_LOOP,
    ),
    "ray-3.2": VideoModel(
        backend="agents",
        prices=ClipPrices(
            create={
                "360p": (Usd.of("0.06"), Usd.of("0.18")),
                "540p": (Usd.of("0.15"), Usd.of("0.45")),
                "720p": (Usd.of("0.30"), Usd.of("0.90")),
                "1080p": (Usd.of("1.20"), Usd.of("3.60")),
            },
            modify={
                "360p": (Usd.of("0.54"), Usd.of("1.08")),
                "540p": (Usd.of("0.72"), Usd.of("1.44")),
                "720p": (Usd.of("1.08"), Usd.of("2.16")),
                "1080p": (Usd.of("2.16"), Usd.of("4.32")),
            },
            reframe_per_second={
                "360p": Usd.of("0.03"),
                "540p": Usd.of("0.06"),
                "720p": Usd.of("0.12"),
                "1080p": Usd.of("0.36"),
            },
            extension_floor="540p",
        ),
        resolutions=("360p", "540p", "720p", "1080p"),
        durations=("5s", "10s"),
        ratios=_CLIP_RATIOS,
        max_modify_seconds=18,
        max_reframe_seconds=30,
        features=frozenset({"keyframes", "keep", "hdr", "exr", "made_resolution"}),
        note="newest",
        exclusions=(
            ("a duration of 10s", ("hdr", "loop", "going on from a clip")),
            ("loop", ("hdr", "an end frame", "keyframes")),
            ("hdr", ("360p or 540p",)),
            ("keyframes", ("going on from a clip",)),
            ("going on from a clip", ("two frames", "hdr")),
        ),
        # Luma refuses its own start_frame and end_frame there, and has keyframes for it (luma-agents 0.5.0).
        frames_as_keyframes=("a duration of 10s", "hdr", "keyframes"),
        unreframed_ratios={"1080p": ("9:16", "3:4")},
    ),
}
IMAGE_MODELS: dict[ImageModelName, ImageModel] = {
    # docs.lumalabs.ai/docs/image-generation. Luma's own MCP server documents 8 references; 4 are always accepted.
    "photon-1": ImageModel(
        backend="dream_machine",
        prices=Usd.of("0.0073"),
        ratios=(*_CLIP_RATIOS, "9:21"),
        max_references=4,
        max_edit_references=4,
        features=_PHOTON_FEATURES,
    ),
    "photon-flash-1": ImageModel(
        backend="dream_machine",
        prices=Usd.of("0.0019"),
        ratios=(*_CLIP_RATIOS, "9:21"),
        max_references=4,
        max_edit_references=4,
        features=_PHOTON_FEATURES,
        note="a quarter of photon-1's price",
    ),
    "uni-1": ImageModel(
        backend="agents",
        prices=PicturePrices(
            create=Usd.of("0.0404"), edit=Usd.of("0.0434"), per_reference=Usd.of("0.003"), per_layer=Usd.of("0.103")
        ),
        ratios=_STILL_RATIOS,
        max_references=9,
        max_edit_references=8,
        features=frozenset({"style", "web_search", "layers"}),
        style_ratios=_UNI_1_STYLES,
    ),
    "uni-1-max": ImageModel(
        backend="agents",
        prices=PicturePrices(
            create=Usd.of("0.1"), edit=Usd.of("0.103"), per_reference=Usd.of("0.003"), per_layer=Usd.of("0.103")
        ),
        ratios=_STILL_RATIOS,
        max_references=9,
        max_edit_references=8,
        features=frozenset({"style", "web_search"}),
        note="2.5 times uni-1's price",
        style_ratios=_UNI_1_STYLES,
    ),
}

MAX_KEYFRAMES = 64
MAX_LAYERS, MAX_LAYERING_PROMPT = 10, 500
FRAMES_PER_SECOND = 24

# The height in pixels of a 16:9 clip, by resolution.
HEIGHTS: dict[str, int] = {"360p": 360, "540p": 540, "720p": 720, "1080p": 1080, "4k": 2160}
# Width and height in pixels of a 720p clip, by ratio. 16:9 follows from the price list and 4:3 was observed. The others
# are assumed to have 720 pixels on the short side.
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
# The length that counts for a clip whose length is unknown.
MAX_DURATION_SECONDS = 9.0

# docs.lumalabs.ai/changelog/concepts, in the API's order.
CONCEPTS = (
    "truck_left", "pan_right", "pedestal_down", "low_angle", "pedestal_up", "selfie", "pan_left", "roll_right",
    "zoom_in", "over_the_shoulder", "orbit_right", "orbit_left", "static", "tiny_planet", "high_angle", "bolt_cam",
    "dolly_zoom", "overhead", "zoom_out", "handheld", "roll_left", "pov", "aerial_drone", "push_in", "crane_down",
    "truck_right", "tilt_down", "elevator_doors", "tilt_up", "ground_level", "pull_out", "aerial", "crane_up",
    "eye_level",
)  # fmt: skip
# The list of an endpoint that left the API's description in April 2025 and may no longer respond.
CAMERA_MOTIONS = (
    "Static", "Move Left", "Move Right", "Move Up", "Move Down", "Push In", "Pull Out", "Zoom In", "Zoom Out",
    "Pan Left", "Pan Right", "Orbit Left", "Orbit Right", "Crane Up", "Crane Down",
)  # fmt: skip


def model_entry(name: str) -> VideoModel | ImageModel | None:
    """The entry of a model; None if no model has that name."""
    return VIDEO_MODELS.get(name) or IMAGE_MODELS.get(name)


def edition() -> tuple[tuple[str, int], ...]:
    """The present entries: equal as long as no model comes, goes or changes."""
    return tuple((name, id(model)) for models in (VIDEO_MODELS, IMAGE_MODELS) for name, model in models.items())


def video_models(backend: BackendName, feature: Feature | None = None) -> list[VideoModelName]:
    """The video models of an API, the default first; only those with a feature, if one is named."""
    return [
        name
        for name, model in VIDEO_MODELS.items()
        if model.backend == backend and (feature is None or feature in model.features)
    ]


def image_models(backend: BackendName, feature: Feature | None = None) -> list[ImageModelName]:
    """The image models of an API, the default first; only those with a feature, if one is named."""
    return [
        name
        for name, model in IMAGE_MODELS.items()
        if model.backend == backend and (feature is None or feature in model.features)
    ]


def models_with(feature: Feature, *, makes: type[VideoModel] | type[ImageModel]) -> list[str]:
    """The models with a feature, of those that make videos or of those that make images."""
    models: Mapping[str, VideoModel | ImageModel] = VIDEO_MODELS if makes is VideoModel else IMAGE_MODELS
    return [name for name, model in models.items() if feature in model.features]


def default_video_model(backend: BackendName) -> VideoModelName:
    """The video model of an API where none is named. Raises: InvalidRequestError, if it sells none."""
    return _first(backend, video_models(backend), "video")


def default_image_model(backend: BackendName) -> ImageModelName:
    """The image model of an API where none is named. Raises: InvalidRequestError, if it sells none."""
    return _first(backend, image_models(backend), "image")


def _first(backend: BackendName, names: Sequence[str], noun: str) -> str:
    if not names:
        raise InvalidRequestError(f"{APIS[backend].title} has no {noun} model.", "Nothing was bought.")
    return names[0]


def max_clip_seconds(backend: BackendName) -> float:
    """The length of the longest clip that an API makes: a reframed clip is as long as its source."""
    return max((VIDEO_MODELS[name].max_reframe_seconds for name in video_models(backend)), default=0.0)
