"""The maximum price of a request, in US dollars, computed from the catalogue.

Luma's API returns no price. Every price here is the most that can be charged: an unknown value counts as the largest
that is sold, and amounts are rounded up to the cent. Where Luma publishes no price, it is marked `assumed`; caps count
an assumed price like any other.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self, TypedDict, TypeVar, assert_never

from luma_mcp.domain.apis import APIS, BackendName
from luma_mcp.domain.catalogue import (
    CANVASES,
    DEFAULT_DURATION,
    DEFAULT_RATIO,
    DEFAULT_RESOLUTION,
    FRAMES_PER_SECOND,
    HEIGHTS,
    IMAGE_MODELS,
    MAX_DURATION_SECONDS,
    MAX_LAYERS,
    SIZES_AT_720P,
    VIDEO_MODELS,
    ClipPrices,
    PixelPrices,
    VideoModelName,
    default_video_model,
    max_clip_seconds,
    video_models,
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
from luma_mcp.domain.usd import Usd

Basis = Literal["published", "assumed"]

# Two ratios that differ by less are the same: sides are rounded to even numbers.
_SAME_RATIO = 0.02
# A clip that is made to be five seconds long may have a frame more.
_SAME_SECONDS = 0.1
_MAX_SIZE_AT_720P = max(SIZES_AT_720P.values(), key=math.prod)
_MAX_CANVAS = max(CANVASES.values(), key=math.prod)


@dataclass(frozen=True, slots=True)
class Price:
    """An amount in US dollars, and whether Luma publishes it or it is an upper estimate."""

    amount: Usd
    basis: Basis

    @classmethod
    def of(cls, dollars: float, basis: Basis) -> Self:
        """The price for a number of dollars, as JSON and the ledger have it."""
        return cls(Usd.of(dollars), basis)

    @property
    def usd(self) -> float:
        """The amount as a number of dollars, for JSON."""
        return self.amount.dollars

    def __str__(self) -> str:
        return str(self.amount)


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


class VideoFormat(TypedDict):
    """The model, ratio, resolution and duration of a clip."""

    model: VideoModelName
    aspect_ratio: str | None
    resolution: str | None
    duration: str | None


def footage(aspect_ratio: str, resolution: str, duration: str) -> Footage:
    """The footage of a clip of that format. An unknown value counts as the largest that is sold."""
    size = _scaled(SIZES_AT_720P.get(aspect_ratio, _MAX_SIZE_AT_720P), resolution)
    seconds = duration.removesuffix("s")
    return Footage(*size, float(seconds) if seconds.isdecimal() else MAX_DURATION_SECONDS)


def footage_of(generation: Generation) -> Footage | None:
    """The footage of an earlier clip, by its request; None if that does not contain its length.

    A ratio or a resolution that it does not contain counts as the largest.
    """
    ratio, resolution, duration = (_word(generation, field) for field in ("aspect_ratio", "resolution", "duration"))
    return footage(ratio or "", resolution or "", duration) if duration else None


def footage_made_from(generation: Generation, source: Footage) -> Footage:
    """The footage of a clip that was made from another: as long as that, and as large as its own request states."""
    resolution, ratio = _word(generation, "resolution"), _word(generation, "aspect_ratio")
    if resolution is None and ratio is None:
        return source
    wanted = DEFAULT_RESOLUTION if resolution is None else resolution
    size = _size(source, wanted) if ratio is None else _scaled(SIZES_AT_720P.get(ratio, _MAX_SIZE_AT_720P), wanted)
    return Footage(*size, source.seconds, source.frames)


def format_of(clip: Generation) -> VideoFormat:
    """The format of an earlier clip, for a new clip of the same format."""
    return VideoFormat(
        # The default replaces a model that is no longer sold.
        model=_sold(clip.model, clip.backend)
        or _sold(_word(clip, "model"), clip.backend)
        or default_video_model(clip.backend),
        aspect_ratio=_word(clip, "aspect_ratio"),
        resolution=_word(clip, "resolution"),
        duration=_word(clip, "duration"),
    )


def extension_format(clip: Generation) -> VideoFormat:
    """The format of a clip that continues an earlier one; some APIs continue every clip for the same time."""
    video_format = format_of(clip)
    video_format["duration"] = APIS[clip.backend].extension_duration or video_format["duration"]
    return video_format


def _sold(name: str | None, backend: BackendName) -> VideoModelName | None:
    return next((model for model in video_models(backend) if model == name), None)


def _word(generation: Generation, field: str) -> str | None:
    """A field of the request of an earlier generation; None where it has none or cannot be read."""
    return getattr(generation.request, field, None)


def price_of(request: Request, source: Footage | None = None) -> Price:
    """The maximum price of a request.

    Args:
        request: the request.
        source: the footage of the clip that it works on, where that is known.
    """
    api = APIS[backend_of(request)]
    if request.kind not in api.operations:
        raise InvalidRequestError(f"{api.title} has no {request.kind}.")
    match request:
        case VideoRequest() | ModifyVideoRequest() | ReframeVideoRequest():
            prices = VIDEO_MODELS[request.model].prices
            if isinstance(prices, ClipPrices):
                return _clip_price(request, prices, source)
            return _pixel_price(request, prices, source)
        case ImageRequest() | ReframeImageRequest():
            return _picture_price(request)
        case UpscaleRequest():
            seconds = source.seconds if source else max_clip_seconds(backend_of(request))
            output = Footage(*_size(source, request.resolution or api.upscale_resolutions[-1]), seconds)
            return Price(api.upscale_per_megapixel.times(output.megapixels, digits=2), "assumed")
        case AddAudioRequest():
            seconds = source.seconds if source else max_clip_seconds(backend_of(request))
            return Price(api.audio_per_second.times(seconds, digits=2), "assumed")
        case _ as unreachable:
            assert_never(unreachable)


_ClipRequest = VideoRequest | ModifyVideoRequest | ReframeVideoRequest


def _pixel_price(request: _ClipRequest, prices: PixelPrices, source: Footage | None) -> Price:
    """The price of a clip that is sold by its pixels."""
    model, basis, rate = VIDEO_MODELS[request.model], _published_for(source), prices.create
    match request:
        case VideoRequest():
            basis = "published"
            output = footage(
                request.aspect_ratio or DEFAULT_RATIO,
                request.resolution or DEFAULT_RESOLUTION,
                request.duration or DEFAULT_DURATION,
            )
        case ReframeVideoRequest():
            size = footage(request.aspect_ratio, DEFAULT_RESOLUTION, DEFAULT_DURATION)
            output = Footage(size.width, size.height, source.seconds if source else model.max_reframe_seconds)
        case ModifyVideoRequest():
            rate = prices.modify
            output = source or Footage(*_size(None, "4k"), model.max_modify_seconds)
        case _ as unreachable:
            assert_never(unreachable)
    return Price(rate.times(output.megapixels, digits=2), basis)


def _clip_price(request: _ClipRequest, prices: ClipPrices, source: Footage | None) -> Price:
    """The price of a clip that is sold by its resolution, at 5 and 10 s. Other lengths are assumed upwards."""
    model = VIDEO_MODELS[request.model]
    match request:
        case VideoRequest():
            resolution = request.resolution or DEFAULT_RESOLUTION
            extends = any(isinstance(frame, GenerationKeyframe) for frame in (request.start, request.end))
            floor = prices.extension_floor
            # Luma quotes no price for extending a small clip; that of a larger one is above it.
            is_quoted = not extends or _height(resolution) >= _height(floor)
            five, ten = _of_resolution(prices.create, resolution if is_quoted else floor)
            usd = (ten if request.duration == "10s" else five).times(_range_factor(request, prices), digits=2)
            return Price(usd, "published" if is_quoted else "assumed")
        case ModifyVideoRequest():
            seconds = source.seconds if source else model.max_modify_seconds
            five, ten = _of_resolution(prices.modify, request.resolution)
            is_sold = any(abs(seconds - length) < _SAME_SECONDS for length in (5, 10))
            usd = five if seconds < 5 + _SAME_SECONDS else ten.times(math.ceil((seconds - _SAME_SECONDS) / 10))
            usd = usd.times(_range_factor(request, prices))
            return Price(usd, "published" if source and is_sold else "assumed")
        case ReframeVideoRequest():
            seconds = source.seconds if source else model.max_reframe_seconds
            rate = _of_resolution(prices.reframe_per_second, request.resolution)
            # A second that has started may be charged whole.
            return Price(rate.times(math.ceil(seconds - _SAME_SECONDS), digits=2), _published_for(source))
        case _ as unreachable:
            assert_never(unreachable)


def _range_factor(request: VideoRequest | ModifyVideoRequest, prices: ClipPrices) -> int:
    """The price of a clip in the dynamic range that is asked for, as a multiple of that in standard range."""
    if request.exr:
        return prices.exr_factor
    return prices.hdr_factor if request.hdr else 1


def _picture_price(request: ImageRequest | ReframeImageRequest) -> Price:
    """The price of a picture: by its pixels, or by its operation."""
    prices = IMAGE_MODELS[request.model].prices
    if isinstance(prices, Usd):
        return _canvas_price(prices, request.aspect_ratio or DEFAULT_RATIO)
    if isinstance(request, ImageRequest) and request.layers:
        return Price(prices.per_layer.times(MAX_LAYERS), "assumed")
    is_edit = isinstance(request, ReframeImageRequest) or request.modify_image is not None
    references = () if isinstance(request, ReframeImageRequest) else request.image_references
    return Price((prices.edit if is_edit else prices.create) + prices.per_reference.times(len(references)), "published")


_Prices = TypeVar("_Prices", Usd, tuple[Usd, Usd])


def _of_resolution(prices: Mapping[str, _Prices], resolution: str | None) -> _Prices:
    """The price for a resolution. An unknown one counts as the dearest."""
    return prices.get(resolution or DEFAULT_RESOLUTION, max(prices.values()))


def _published_for(source: Footage | None) -> Basis:
    return "published" if source else "assumed"


def price_of_generation(generation: Generation) -> Price | None:
    """The price of an earlier generation, by its request; None if that does not determine it.

    A failed generation costs nothing, for Luma refunds it.
    """
    if generation.state == "failed":
        return Price(Usd(0), "published")
    if generation.price_usd is not None:
        return Price.of(generation.price_usd, "published")
    model, ratio = str(_word(generation, "model")), _word(generation, "aspect_ratio")
    image, video = IMAGE_MODELS.get(model), VIDEO_MODELS.get(model)
    if generation.makes_image and image and isinstance(image.prices, Usd):
        return _canvas_price(image.prices, str(ratio))
    output = footage_of(generation) if ratio and _word(generation, "resolution") else None
    if generation.kind == "video" and output and video and isinstance(video.prices, PixelPrices):
        return Price(video.prices.create.times(output.megapixels, digits=2), "published")
    return None


def _size(source: Footage | None, resolution: str) -> tuple[int, int]:
    """The largest size that a clip of that resolution can have: in the source's ratio, if that is one that is sold."""
    size = _MAX_SIZE_AT_720P
    if source:
        ratio = source.width / source.height
        similar = [(width, height) for width, height in SIZES_AT_720P.values() if _is_similar(width / height, ratio)]
        size = max(similar, key=math.prod, default=size)
    return _scaled(size, resolution)


def _is_similar(ratio: float, other: float) -> bool:
    return abs(ratio / other - 1) < _SAME_RATIO


def _scaled(size_at_720p: tuple[int, int], resolution: str) -> tuple[int, int]:
    """A size in another resolution. An unknown one counts as the largest that is sold."""
    width, height = size_at_720p
    scale = _height(resolution) / HEIGHTS["720p"]
    return round(width * scale), round(height * scale)


def _height(resolution: str) -> int:
    return HEIGHTS.get(resolution, max(HEIGHTS.values()))


def _canvas_price(usd_per_megapixel: Usd, aspect_ratio: str) -> Price:
    canvas = CANVASES.get(aspect_ratio, _MAX_CANVAS)
    return Price(usd_per_megapixel.times(math.prod(canvas) / 1e6, digits=4), "published")
