"""The requests to Luma: a frozen dataclass for each operation.

Every request has a `kind`, which is the operation's name, and a `callback_url`, to which Luma posts each change of
state. None leaves a choice to Luma. A picture or a clip is named as in `media_refs`; a clip to extend by its id.

Some fields exist at one API only; `validation` refuses them for the other.

A request of an earlier generation is read by its API's `decoding`. It may name a model that is sold no more, or none
(an empty text), and it does not name the clip that was upscaled or got a sound.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, assert_never, get_args

from luma_mcp.domain.apis import BackendName, apis_with
from luma_mcp.domain.catalogue import (
    ImageFormat,
    ImageModelName,
    LayerSize,
    ModifyMode,
    Signal,
    VideoModelName,
    model_entry,
)

Kind = Literal["video", "image", "modify_video", "reframe_video", "reframe_image", "upscale_video", "add_audio"]
"""The name of an operation; the `kind` of its request."""


@dataclass(frozen=True, slots=True)
class ImageKeyframe:
    """An image that a clip starts or ends with."""

    url: str


@dataclass(frozen=True, slots=True)
class GenerationKeyframe:
    """An earlier clip that a clip continues, or leads up to."""

    id: str


Keyframe = ImageKeyframe | GenerationKeyframe


@dataclass(frozen=True, slots=True)
class TimedKeyframe:
    """An image that a clip shows at a moment. Seconds."""

    url: str
    seconds: float


@dataclass(frozen=True, slots=True)
class FrameKeyframe:
    """An image that replaces a frame of a clip that is changed. The first frame has the number 0."""

    url: str
    frame: int


@dataclass(frozen=True, slots=True)
class ImageReference:
    """An image to imitate. The weight is 0 to 1."""

    url: str
    weight: float | None = None


@dataclass(frozen=True, slots=True)
class Placement:
    """Position and size of a source in the new canvas, as fractions: 0.5 is the middle, 1 the right or lower end."""

    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True, kw_only=True)
class VideoRequest:
    """A new video: from a prompt, from images, or from earlier clips."""

    kind: ClassVar[Kind] = "video"

    model: VideoModelName
    prompt: str | None = None
    aspect_ratio: str | None = None
    resolution: str | None = None
    duration: str | None = None
    loop: bool = False
    start: Keyframe | None = None
    end: Keyframe | None = None
    concepts: tuple[str, ...] = ()
    keyframes: tuple[TimedKeyframe, ...] = ()
    hdr: bool = False
    exr: bool = False
    callback_url: str | None = None


@dataclass(frozen=True, kw_only=True)
class ImageRequest:
    """A new image: from a prompt, from references, by changing an image, or by taking an image apart into layers."""

    kind: ClassVar[Kind] = "image"

    model: ImageModelName
    prompt: str | None = None
    aspect_ratio: str | None = None
    format: ImageFormat | None = None
    image_references: tuple[ImageReference, ...] = ()
    style_references: tuple[ImageReference, ...] = ()
    character_images: tuple[str, ...] = ()
    modify_image: ImageReference | None = None
    style: Literal["manga"] | None = None
    web_search: bool = False
    layers: LayerSize | None = None
    callback_url: str | None = None


@dataclass(frozen=True, kw_only=True)
class ReframeVideoRequest:
    """A clip in another ratio. Without a placement Luma centres the source."""

    kind: ClassVar[Kind] = "reframe_video"

    model: VideoModelName
    media: str
    aspect_ratio: str
    prompt: str | None = None
    first_frame: str | None = None
    placement: Placement | None = None
    resolution: str | None = None
    callback_url: str | None = None


@dataclass(frozen=True, kw_only=True)
class ReframeImageRequest:
    """An image in another ratio. Without a placement Luma centres the source."""

    kind: ClassVar[Kind] = "reframe_image"

    model: ImageModelName
    media: str
    aspect_ratio: str
    prompt: str | None = None
    format: ImageFormat | None = None
    placement: Placement | None = None
    callback_url: str | None = None


@dataclass(frozen=True, kw_only=True)
class ModifyVideoRequest:
    """A clip that is repainted and keeps its motion. Without a mode and `keep` Luma chooses how much it keeps."""

    kind: ClassVar[Kind] = "modify_video"

    model: VideoModelName
    media: str
    mode: ModifyMode | None = None
    keep: tuple[Signal, ...] = ()
    prompt: str | None = None
    first_frame: str | None = None
    keyframes: tuple[FrameKeyframe, ...] = ()
    resolution: str | None = None
    hdr: bool = False
    exr: bool = False
    callback_url: str | None = None


@dataclass(frozen=True, kw_only=True)
class UpscaleRequest:
    """A larger copy of a clip that Luma made."""

    kind: ClassVar[Kind] = "upscale_video"

    generation_id: str
    resolution: str | None = None
    callback_url: str | None = None


@dataclass(frozen=True, kw_only=True)
class AddAudioRequest:
    """A copy with sound of a clip that Luma made."""

    kind: ClassVar[Kind] = "add_audio"

    generation_id: str
    prompt: str | None = None
    negative_prompt: str | None = None
    callback_url: str | None = None


Request = (
    VideoRequest
    | ImageRequest
    | ReframeVideoRequest
    | ReframeImageRequest
    | ModifyVideoRequest
    | UpscaleRequest
    | AddAudioRequest
)
KINDS: tuple[Kind, ...] = get_args(Kind)


def generations_named_in(request: Request | None) -> tuple[str, ...]:
    """The earlier clips that a request continues or leads up to."""
    frames = (request.start, request.end) if isinstance(request, VideoRequest) else ()
    return tuple(frame.id for frame in frames if isinstance(frame, GenerationKeyframe))


def sources_of(request: Request) -> tuple[str, ...]:
    """Every picture and clip that a request names: links, names of `media_refs`, and ids of clips to continue."""
    match request:
        case VideoRequest():
            frames = [_name_of(frame) for frame in (request.start, request.end) if frame]
            return (*frames, *(frame.url for frame in request.keyframes))
        case ImageRequest():
            modified = (request.modify_image,) if request.modify_image else ()
            references = (*request.image_references, *request.style_references, *modified)
            return (*(reference.url for reference in references), *request.character_images)
        case ModifyVideoRequest():
            first = (request.first_frame,) if request.first_frame else ()
            return (request.media, *first, *(frame.url for frame in request.keyframes))
        case ReframeVideoRequest():
            return (request.media, *((request.first_frame,) if request.first_frame else ()))
        case ReframeImageRequest():
            return (request.media,)
        case UpscaleRequest() | AddAudioRequest():
            return (request.generation_id,)
        case _ as unreachable:
            assert_never(unreachable)


def _name_of(frame: Keyframe) -> str:
    return frame.id if isinstance(frame, GenerationKeyframe) else frame.url


def backend_of(request: Request) -> BackendName:
    """The API that a request is for: the one that sells its model, else the one that has the operation."""
    model = model_entry(getattr(request, "model", ""))
    if model is not None:
        return model.backend
    return apis_with(request.kind)[-1]
