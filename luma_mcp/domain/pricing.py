"""What a request costs at most, in US dollars, computed from the catalogue.

Luma's API answers no price. Every price here is the most that can be charged: what is not known counts as the largest
that is sold, and amounts are rounded up to the cent. Where Luma publishes no price, it is marked `assumed`; caps count
an assumed price like any other.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, assert_never

from luma_mcp.domain.catalogue import (
    AUDIO_USD_PER_SECOND,
    CANVASES,
    CLIP_USD,
    DEFAULT_DURATION,
    DEFAULT_RATIO,
    DEFAULT_RESOLUTION,
    DEFAULT_VIDEO_MODELS,
    EDIT_USD,
    FRAMES_PER_SECOND,
    HDR_FACTOR,
    HDR_WITH_EXR_FACTOR,
    HEIGHTS,
    IMAGE_MODELS,
    LONGEST_CLIP_SECONDS,
    LONGEST_DURATION_SECONDS,
    MAX_LAYERS,
    REFERENCE_USD,
    REFRAME_USD_PER_SECOND,
    SIZES_AT_720P,
    VIDEO_MODELS,
    BackendName,
    ImageModelName,
    VideoModelName,
)
from luma_mcp.domain.errors import InvalidRequestError
from luma_mcp.domain.generation import Generation
from luma_mcp.domain.requests import (
    AddAudioRequest,
    GenerationKeyframe,
    ImageRequest,
    ModifyVideoRequest,
    ReframeImageRequest,
    ReframeVideoRequest,
    Request,
    UpscaleRequest,
    VideoRequest,
    backend_of,
)

Basis = Literal["published", "assumed"]

# How far two ratios may be from each other and be the same: sides are rounded to even numbers.
_SAME_RATIO = 0.02
# A clip that is made to be five seconds long may have a frame more.
_SAME_SECONDS = 0.1
_LARGEST_AT_720P = max(SIZES_AT_720P.values(), key=math.prod)
_LARGEST_CANVAS = max(CANVASES.values(), key=math.prod)


@dataclass(frozen=True, slots=True)
class Price:
    """An amount in US dollars, and whether Luma publishes it or it is an upper estimate."""

    usd: float
    basis: Basis

    def __str__(self) -> str:
        return f"${self.usd:.3f}" if self.usd < 0.1 else f"${self.usd:.2f}"


@dataclass(frozen=True, slots=True)
class Footage:
    """The size in pixels and the length of a clip.

    Args:
        width, height: in pixels.
        seconds: its length.
        frames: how many frames were counted, if they were; a clip of 60 frames a second has more than 24 of them.
    """

    width: int
    height: int
    seconds: float
    frames: int = 0

    @property
    def megapixels(self) -> float:
        """Millions of pixels in all frames together, at 24 frames a second or as many as were counted."""
        return self.width * self.height * max(FRAMES_PER_SECOND * self.seconds, self.frames) / 1e6


class VideoForm(TypedDict):
    """What a clip is made with, apart from what it shows."""

    model: VideoModelName
    aspect_ratio: Any
    resolution: Any
    duration: Any


def footage(aspect_ratio: str, resolution: str, duration: str) -> Footage:
    """The footage of a clip of that form. An unknown word counts as the largest form that is sold."""
    size = _scaled(SIZES_AT_720P.get(aspect_ratio, _LARGEST_AT_720P), resolution)
    seconds = duration.removesuffix("s")
    return Footage(*size, float(seconds) if seconds.isdecimal() else LONGEST_DURATION_SECONDS)


def footage_of(generation: Generation) -> Footage | None:
    """The footage of an earlier clip, by its request; None if that does not tell its length.

    A ratio or a resolution that it does not tell counts as the largest.
    """
    form = [generation.request.get(field) for field in ("aspect_ratio", "resolution", "duration")]
    ratio, resolution, duration = (word if isinstance(word, str) else "" for word in form)
    return footage(ratio, resolution, duration) if duration else None


def footage_made_from(generation: Generation, source: Footage) -> Footage:
    """The footage of a clip that was made of another: as long, and as large as its own request says."""
    request = generation.request
    resolution, ratio = request.get("resolution"), request.get("aspect_ratio")
    if not isinstance(resolution, str) and not isinstance(ratio, str):
        return source
    wanted = resolution if isinstance(resolution, str) else DEFAULT_RESOLUTION
    if isinstance(ratio, str):
        size = _scaled(SIZES_AT_720P.get(ratio, _LARGEST_AT_720P), wanted)
    else:
        size = _size(source, wanted)
    return Footage(*size, source.seconds, source.frames)


def form_of(clip: Generation) -> VideoForm:
    """The form of an earlier clip, for a new clip that shall be like it."""
    return VideoForm(
        # A model that is no longer sold gives way to the default.
        model=_sold(clip.model, clip.backend)
        or _sold(clip.request.get("model"), clip.backend)
        or DEFAULT_VIDEO_MODELS[clip.backend],
        aspect_ratio=clip.request.get("aspect_ratio"),
        resolution=clip.request.get("resolution"),
        duration=clip.request.get("duration"),
    )


def extension_form(clip: Generation) -> VideoForm:
    """The form of a clip that continues an earlier one. The Agents API makes five seconds, whatever the clip has."""
    form = form_of(clip)
    if clip.backend == "agents":
        form["duration"] = DEFAULT_DURATION
    return form


def _sold(name: object, backend: BackendName) -> VideoModelName | None:
    return name if name in VIDEO_MODELS and VIDEO_MODELS[name].backend == backend else None


def price_of(request: Request, source: Footage | None = None) -> Price:
    """What a request costs.

    Args:
        request: what would be sent.
        source: the footage of the clip that it works on, where that is known.
    """
    if backend_of(request) == "agents":
        return _agents_price(request, source)
    match request:
        case VideoRequest():
            made = footage(
                request.aspect_ratio or DEFAULT_RATIO,
                request.resolution or DEFAULT_RESOLUTION,
                request.duration or DEFAULT_DURATION,
            )
            return _price(made.megapixels * VIDEO_MODELS[request.model].usd_per_megapixel, "published")
        case ImageRequest() | ReframeImageRequest():
            return _image_price(request.model, request.aspect_ratio or DEFAULT_RATIO)
        case ReframeVideoRequest():
            model = VIDEO_MODELS[request.model]
            size = footage(request.aspect_ratio, DEFAULT_RESOLUTION, DEFAULT_DURATION)
            seconds = source.seconds if source else model.longest_reframe_seconds
            made = Footage(size.width, size.height, seconds)
            return _price(made.megapixels * model.usd_per_megapixel, "published" if source else "assumed")
        case ModifyVideoRequest():
            model = VIDEO_MODELS[request.model]
            made = source or Footage(*_size(None, "4k"), model.longest_modify_seconds)
            return _price(made.megapixels * model.modify_usd_per_megapixel, "published" if source else "assumed")
        case UpscaleRequest():
            seconds = source.seconds if source else LONGEST_CLIP_SECONDS
            made = Footage(*_size(source, request.resolution or "4k"), seconds)
            return _price(made.megapixels * VIDEO_MODELS["ray-2"].usd_per_megapixel, "assumed")
        case AddAudioRequest():
            seconds = source.seconds if source else LONGEST_CLIP_SECONDS
            return _price(AUDIO_USD_PER_SECOND * seconds, "assumed")
        case _ as unreachable:
            assert_never(unreachable)


def _agents_price(request: Request, source: Footage | None) -> Price:
    """What a request of the Agents API costs. Luma sells clips of 5 and 10 s; other lengths are assumed upwards."""
    match request:
        case VideoRequest():
            extends = any(isinstance(frame, GenerationKeyframe) for frame in (request.start, request.end))
            # Luma quotes no price for extending a clip at 360p; that of 540p is above it.
            is_quoted = not (extends and request.resolution == "360p")
            usd = _clip_usd(CLIP_USD, request.resolution if is_quoted else "540p")[request.duration == "10s"]
            factor = HDR_WITH_EXR_FACTOR if request.exr else HDR_FACTOR if request.hdr else 1
            return _price(usd * factor, "published" if is_quoted else "assumed")
        case ModifyVideoRequest():
            longest = VIDEO_MODELS[request.model].longest_modify_seconds
            seconds = source.seconds if source else longest
            five, ten = _clip_usd(EDIT_USD, request.resolution)
            is_sold = any(abs(seconds - length) < _SAME_SECONDS for length in (5, 10))
            usd = five if seconds < 5 + _SAME_SECONDS else ten * math.ceil((seconds - _SAME_SECONDS) / 10)
            return _price(usd, "published" if source and is_sold else "assumed")
        case ReframeVideoRequest():
            seconds = source.seconds if source else VIDEO_MODELS[request.model].longest_reframe_seconds
            rate = REFRAME_USD_PER_SECOND.get(
                request.resolution or DEFAULT_RESOLUTION, max(REFRAME_USD_PER_SECOND.values())
            )
            # A second that has begun may be charged whole.
            return _price(rate * math.ceil(seconds - _SAME_SECONDS), "published" if source else "assumed")
        case ImageRequest(layers=str()):
            return _price(MAX_LAYERS * max(model.edit_usd for model in IMAGE_MODELS.values()), "assumed")
        case ImageRequest():
            model = IMAGE_MODELS[request.model]
            usd = model.edit_usd if request.modify_image else model.usd
            return Price(_up(usd + REFERENCE_USD * len(request.image_references), 4), "published")
        case _:
            raise InvalidRequestError(f"The Agents API has no {request.kind}.")


def _clip_usd(prices: Mapping[str, tuple[float, float]], resolution: str | None) -> tuple[float, float]:
    """The prices of 5 and of 10 s. An unknown resolution counts as the dearest."""
    return prices.get(resolution or DEFAULT_RESOLUTION, max(prices.values()))


def price_of_generation(generation: Generation) -> Price | None:
    """What an earlier generation cost, by the request that Luma echoes; None if the echo does not tell it.

    A failed generation costs nothing, for Luma refunds it.
    """
    request = generation.request
    if generation.state == "failed":
        return Price(0, "published")
    if generation.price_usd is not None:
        return Price(generation.price_usd, "published")
    model = request.get("model")
    if generation.makes_image and model in IMAGE_MODELS and IMAGE_MODELS[model].backend == "dream_machine":
        return _image_price(model, str(request.get("aspect_ratio")))
    made = footage_of(generation) if all(word in request for word in ("aspect_ratio", "resolution")) else None
    if generation.kind == "video" and made and model in VIDEO_MODELS and VIDEO_MODELS[model].backend == "dream_machine":
        return _price(made.megapixels * VIDEO_MODELS[model].usd_per_megapixel, "published")
    return None


def _size(source: Footage | None, resolution: str) -> tuple[int, int]:
    """The largest size that a clip of that resolution can have: in the source's ratio, if that is one that is sold."""
    size = _LARGEST_AT_720P
    if source:
        ratio = source.width / source.height
        alike = [(width, height) for width, height in SIZES_AT_720P.values() if _is_alike(width / height, ratio)]
        size = max(alike, key=math.prod, default=size)
    return _scaled(size, resolution)


def _is_alike(ratio: float, other: float) -> bool:
    return abs(ratio / other - 1) < _SAME_RATIO


def _scaled(size_at_720p: tuple[int, int], resolution: str) -> tuple[int, int]:
    """A size in another resolution. An unknown one counts as the largest that is sold."""
    width, height = size_at_720p
    scale = HEIGHTS.get(resolution, max(HEIGHTS.values())) / HEIGHTS["720p"]
    return round(width * scale), round(height * scale)


def _price(usd: float, basis: Basis) -> Price:
    return Price(_up(usd, 2), basis)


def _image_price(model: ImageModelName, aspect_ratio: str) -> Price:
    canvas = CANVASES.get(aspect_ratio, _LARGEST_CANVAS)
    return Price(_up(math.prod(canvas) / 1e6 * IMAGE_MODELS[model].usd_per_megapixel, 4), "published")


def _up(usd: float, digits: int) -> float:
    """Rounded up; what is a hair above a cent is that cent."""
    scale = 10**digits
    return math.ceil(usd * scale - 1e-9) / scale
