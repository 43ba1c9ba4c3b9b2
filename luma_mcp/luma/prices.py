"""What a request costs in US dollars, as data.

The API answers no price, so it is computed here. Where nothing is published the price is an upper estimate and marked
`assumed`; caps count it like any other.

Sources: clips, docs.lumalabs.ai price list of 2025 as passed on by Comfy's partner-node pricing (Aug 2026): width x
height x 24 x seconds x rate reproduces every printed cell. Modify, docs.lumalabs.ai/docs/modify-video (2026). Pictures,
lumalabs.ai/photon (July 2026): $0.015 and $0.004 for two megapixels. Reframe costs what the model costs.
"""

from dataclasses import dataclass
from typing import Any, Literal, TypedDict, assert_never

from luma_mcp.luma.models import (
    AddAudioRequest,
    Generation,
    ImageModel,
    ImageRequest,
    ModifyVideoRequest,
    ReframeImageRequest,
    ReframeVideoRequest,
    Request,
    UpscaleRequest,
    VideoModel,
    VideoRequest,
)

FRAMES_PER_SECOND = 24
# Dollars per million pixels.
VIDEO_RATES: dict[VideoModel, float] = {"ray-2": 0.0064, "ray-flash-2": 0.0022}
MODIFY_RATES = {"ray-2": 0.01582, "ray-flash-2": 0.00544}
IMAGE_RATES: dict[ImageModel, float] = {"photon-1": 0.0073, "photon-flash-1": 0.0019}

HEIGHTS = {"540p": 540, "720p": 720, "1080p": 1080, "4k": 2160}
# Widths and heights at 720p. 16:9 follows from the price list; the others keep 720 on the short side, but 4:3 (seen).
SIZES_AT_720P = {
    "16:9": (1280, 720),
    "9:16": (720, 1280),
    "4:3": (1152, 864),
    "3:4": (864, 1152),
    "1:1": (960, 960),
    "21:9": (1680, 720),
    "9:21": (720, 1680),
}
# Pixels of a still by ratio: the canvases that docs.lumalabs.ai documents for reframing.
CANVASES = {
    "1:1": (1536, 1536),
    "4:3": (1792, 1344),
    "3:4": (1344, 1792),
    "16:9": (2048, 1152),
    "9:16": (1152, 2048),
    "21:9": (2432, 1024),
    "9:21": (1024, 2432),
}
# The longest sources that are taken, in seconds: what a source of unknown length is priced at.
LONGEST_TO_MODIFY = {"ray-2": 10, "ray-flash-2": 15}
LONGEST_TO_REFRAME = {"ray-2": 10, "ray-flash-2": 30}
# Nothing is published for sound; this is meant to be more than it can be.
AUDIO_USD = 0.50

DEFAULT_RATIO, DEFAULT_RESOLUTION, DEFAULT_DURATION = "16:9", "720p", "5s"

Basis = Literal["published", "assumed"]


@dataclass(frozen=True, slots=True)
class Price:
    """An amount, and whether Luma publishes it or it is our upper estimate."""

    usd: float
    basis: Basis

    def __str__(self) -> str:
        return f"${self.usd:.3f}" if self.usd < 0.1 else f"${self.usd:.2f}"


@dataclass(frozen=True, slots=True)
class Footage:
    """What a clip measures, as far as its request tells."""

    width: int
    height: int
    seconds: float

    @property
    def megapixels(self) -> float:
        """Of all its frames together."""
        return self.width * self.height * FRAMES_PER_SECOND * self.seconds / 1e6


def footage(aspect_ratio: str, resolution: str, duration: str) -> Footage:
    """What a clip of that form measures; a word that is not known counts as the largest."""
    width, height = SIZES_AT_720P.get(aspect_ratio, SIZES_AT_720P[DEFAULT_RATIO])
    scale = HEIGHTS.get(resolution, max(HEIGHTS.values())) / 720
    seconds = duration.removesuffix("s")
    return Footage(round(width * scale), round(height * scale), float(seconds) if seconds.isdecimal() else 9)


def footage_of(generation: Generation) -> Footage | None:
    """What an earlier clip measures, from the request that Luma echoes; None if that does not say."""
    asked = generation.request
    form = [asked.get(field) for field in ("aspect_ratio", "resolution", "duration")]
    if not all(isinstance(word, str) for word in form):
        return None
    return footage(*(str(word) for word in form))


class VideoForm(TypedDict):
    """What a clip is made with, apart from what it shows."""

    model: VideoModel
    aspect_ratio: Any
    resolution: Any
    duration: Any


def form_of(clip: Generation) -> VideoForm:
    """The form of an earlier clip, for one that shall be like it."""
    asked = clip.request
    return VideoForm(
        model=_sold_model_of(clip),
        aspect_ratio=asked.get("aspect_ratio"),
        resolution=asked.get("resolution"),
        duration=asked.get("duration"),
    )


def _sold_model_of(clip: Generation) -> VideoModel:
    """The model that a clip was made with; one that is not sold any more gives way to ray-2."""
    said = (clip.model, clip.request.get("model"))
    for model in VIDEO_RATES:
        if model in said:
            return model
    return "ray-2"


def price_of(request: Request, source: Footage | None = None) -> Price:
    """What a request costs.

    Args:
        request: what would be sent.
        source: the clip that it works on, where that is known.
    """
    match request:
        case VideoRequest():
            asked = footage(
                request.aspect_ratio or DEFAULT_RATIO,
                request.resolution or DEFAULT_RESOLUTION,
                request.duration or DEFAULT_DURATION,
            )
            return _rounded(asked.megapixels * VIDEO_RATES[request.model], "published")
        case ImageRequest() | ReframeImageRequest():
            return _of_picture(request.model, request.aspect_ratio or DEFAULT_RATIO)
        case ReframeVideoRequest():
            size = footage(request.aspect_ratio, DEFAULT_RESOLUTION, DEFAULT_DURATION)
            seconds = source.seconds if source else LONGEST_TO_REFRAME[request.model]
            made = Footage(size.width, size.height, seconds)
            return _rounded(made.megapixels * VIDEO_RATES[request.model], "published" if source else "assumed")
        case ModifyVideoRequest():
            taken = source or Footage(1920, 1080, LONGEST_TO_MODIFY[request.model])
            return _rounded(taken.megapixels * MODIFY_RATES[request.model], "published" if source else "assumed")
        case UpscaleRequest():
            seconds = source.seconds if source else 9
            made = Footage(*_upscaled(source, request.resolution), seconds)
            return _rounded(made.megapixels * VIDEO_RATES["ray-2"], "assumed")
        case AddAudioRequest():
            return Price(AUDIO_USD, "assumed")
        case _ as unreachable:
            assert_never(unreachable)


def price_of_echo(generation: Generation) -> Price | None:
    """What an earlier generation costs by the request that Luma echoes; None where that does not say enough.

    A failed one was refunded.
    """
    asked = generation.request
    if generation.state == "failed":
        return Price(0, "published")
    if generation.kind in ("image", "reframe_image") and asked.get("model") in IMAGE_RATES:
        return _of_picture(asked["model"], str(asked.get("aspect_ratio")))
    made = footage_of(generation)
    if generation.kind == "video" and made is not None and asked.get("model") in VIDEO_RATES:
        return _rounded(made.megapixels * VIDEO_RATES[asked["model"]], "published")
    return None


def _upscaled(source: Footage | None, resolution: str | None) -> tuple[int, int]:
    """The size after upscaling, taking as dear what is not said: the price of dreaming that size anew."""
    height = HEIGHTS.get(resolution or "4k", HEIGHTS["4k"])
    ratio = max(source.width / source.height, source.height / source.width) if source else 16 / 9
    return round(height * ratio), height


def _rounded(usd: float, basis: Basis) -> Price:
    return Price(round(usd, 2), basis)


def _of_picture(model: ImageModel, aspect_ratio: str) -> Price:
    width, height = CANVASES.get(aspect_ratio, CANVASES[DEFAULT_RATIO])
    return Price(round(width * height / 1e6 * IMAGE_RATES[model], 4), "published")
