"""Luma's words as types.

What we say is a frozen dataclass for each operation; what we hear is read by pydantic, and liberally: unknown states,
fields and kinds survive, missing ones become None. The field names are the API's own.
Source: the API reference and the official SDK `lumaai` 1.21.0.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidatorFunctionWrapHandler, field_validator

VideoModel = Literal["ray-2", "ray-flash-2"]
ImageModel = Literal["photon-1", "photon-flash-1"]
AspectRatio = Literal["16:9", "9:16", "1:1", "4:3", "3:4", "21:9", "9:21"]
Resolution = Literal["540p", "720p", "1080p", "4k"]
Duration = Literal["5s", "9s"]
ImageFormat = Literal["jpg", "png"]
ModifyMode = Literal[
    "adhere_1", "adhere_2", "adhere_3", "flex_1", "flex_2", "flex_3", "reimagine_1", "reimagine_2", "reimagine_3"
]

FINAL_STATES = frozenset({"completed", "failed"})


@dataclass(frozen=True)
class ImageKeyframe:
    """A picture that a clip begins or ends with."""

    url: str


@dataclass(frozen=True)
class GenerationKeyframe:
    """An earlier clip that a clip goes on from, or leads up to."""

    id: str


Keyframe = ImageKeyframe | GenerationKeyframe


@dataclass(frozen=True)
class ImageReference:
    """A picture to go by. Weight 0 to 1: how much; None leaves it to Luma."""

    url: str
    weight: float | None = None


@dataclass(frozen=True, kw_only=True)
class VideoRequest:
    """POST /generations/video: from words, from pictures, or from earlier clips."""

    model: VideoModel
    prompt: str | None = None
    aspect_ratio: AspectRatio | None = None
    resolution: str | None = None
    duration: str | None = None
    loop: bool = False
    frame0: Keyframe | None = None
    frame1: Keyframe | None = None
    concepts: tuple[str, ...] = ()
    callback_url: str | None = None


@dataclass(frozen=True, kw_only=True)
class ImageRequest:
    """POST /generations/image."""

    model: ImageModel
    prompt: str | None = None
    aspect_ratio: AspectRatio | None = None
    format: ImageFormat | None = None
    image_ref: tuple[ImageReference, ...] = ()
    style_ref: tuple[ImageReference, ...] = ()
    character_images: tuple[str, ...] = ()
    modify_image_ref: ImageReference | None = None
    callback_url: str | None = None


@dataclass(frozen=True)
class Placement:
    """Where a source sits when it is reframed, in pixels of the target canvas. None leaves it to Luma."""

    grid_position_x: int | None = None
    grid_position_y: int | None = None
    x_start: int | None = None
    x_end: int | None = None
    y_start: int | None = None
    y_end: int | None = None
    resized_width: int | None = None
    resized_height: int | None = None


@dataclass(frozen=True, kw_only=True)
class ReframeVideoRequest:
    """POST /generations/video/reframe. The source is at most 10 s (ray-2) or 30 s (ray-flash-2), 100 MB."""

    model: VideoModel
    media: str
    aspect_ratio: AspectRatio
    prompt: str | None = None
    first_frame: str | None = None
    placement: Placement = Placement()
    callback_url: str | None = None


@dataclass(frozen=True, kw_only=True)
class ReframeImageRequest:
    """POST /generations/image/reframe. The source is at most 10 MB."""

    model: ImageModel
    media: str
    aspect_ratio: AspectRatio
    prompt: str | None = None
    format: ImageFormat | None = None
    placement: Placement = Placement()
    callback_url: str | None = None


@dataclass(frozen=True, kw_only=True)
class ModifyVideoRequest:
    """POST /generations/video/modify. The source is at most 10 s (ray-2) or 15 s (ray-flash-2), 100 MB."""

    model: VideoModel
    media: str
    mode: ModifyMode
    prompt: str | None = None
    first_frame: str | None = None
    callback_url: str | None = None


@dataclass(frozen=True, kw_only=True)
class UpscaleRequest:
    """POST /generations/{id}/upscale: a new generation, larger than the one it is made from."""

    generation_id: str
    resolution: str | None = None
    callback_url: str | None = None


@dataclass(frozen=True, kw_only=True)
class AddAudioRequest:
    """POST /generations/{id}/audio: a new generation, the same clip with sound."""

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


class _Heard(BaseModel):
    """Something Luma said. A field that cannot be read is as good as absent."""

    model_config = ConfigDict(extra="ignore", frozen=True, protected_namespaces=(), defer_build=True)

    @field_validator("*", mode="wrap")
    @classmethod
    def _unreadable_is_absent(cls, value: Any, read: ValidatorFunctionWrapHandler) -> Any:
        try:
            return read(value)
        except ValidationError:
            return read(None)


class Assets(_Heard):
    """Links to what was made. For a clip `image` is its thumbnail; `progress_video` comes while it dreams."""

    video: str | None = None
    image: str | None = None
    progress_video: str | None = None


class Generation(_Heard):
    """One piece of work given to Luma. Only the id is certain."""

    id: str
    generation_type: str | None = None
    state: str = "unknown"
    failure_reason: str | None = None
    created_at: datetime | None = None
    assets: Assets | None = None
    model: str | None = None
    request: dict[str, Any] = Field(default_factory=dict)

    @field_validator("state", mode="before")
    @classmethod
    def _no_state_is_unknown(cls, value: Any) -> Any:
        return value if isinstance(value, str) and value else "unknown"

    @field_validator("request", mode="before")
    @classmethod
    def _no_request_is_empty(cls, value: Any) -> Any:
        return cast("object", value) if isinstance(value, dict) else {}

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen to it. A state nobody knows is not final."""
        return self.state in FINAL_STATES

    @property
    def kind(self) -> str:
        """What was asked for: `video`, `image`, `upscale_video`, `add_audio` and so on."""
        asked = self.request.get("generation_type") or self.request.get("type")
        return asked if isinstance(asked, str) else self.generation_type or "video"

    @property
    def is_picture(self) -> bool:
        """Whether it makes a still."""
        return self.kind in ("image", "reframe_image") or self.generation_type == "image"


@dataclass(frozen=True)
class Page:
    """Part of the list of generations, newest first."""

    generations: tuple[Generation, ...]
    has_more: bool
