"""A body that was sent, as the ledger has it, as a request: the inverse of `encoding`. Pure.

Three facts are not on the wire: the fraction of a frame in the time of a keyframe, the callback, and whether a link was
signed, for the ledger has links without signatures.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal, assert_never, cast, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from luma_mcp.domain.catalogue import FRAMES_PER_SECOND, Signal
from luma_mcp.domain.media_refs import name_of_generation
from luma_mcp.domain.requests import (
    FrameKeyframe,
    GenerationKeyframe,
    ImageKeyframe,
    ImageReference,
    ImageRequest,
    Keyframe,
    ModifyVideoRequest,
    Placement,
    ReframeVideoRequest,
    Request,
    TimedKeyframe,
    VideoRequest,
)

_IMAGE_FORMATS = {"jpeg": "jpg", "png": "png"}


class _Part(BaseModel):
    """Part of a body that is read in full or not at all. Unknown fields are ignored."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=(), defer_build=True)


class _Source(_Part):
    url: str | None = None
    file_id: str | None = None
    generation_id: str | None = None

    @property
    def name(self) -> str:
        """Its name in a request, as in `media_refs`. Raises: _UnreadableError."""
        if self.generation_id:
            return name_of_generation(self.generation_id)
        name = self.file_id or self.url
        if not name:
            raise _UnreadableError
        return name


class _Control(_Part):
    enabled: bool = False


class _Edit(_Part):
    strength: str | None = None
    controls: dict[str, _Control] = {}
    keyframes: list[_Source] = []
    keyframe_indexes: list[int] = []


class _Position(_Part):
    x_norm: float
    y_norm: float
    w_norm: float
    h_norm: float


class _Video(_Part):
    resolution: str | None = None
    duration: str | None = None
    loop: bool = False
    hdr: bool = False
    exr_export: bool = False
    start_frame: _Source | None = None
    end_frame: _Source | None = None
    keyframes: list[_Source] = []
    keyframe_indexes: list[int] = []
    edit: _Edit | None = None
    source_position: _Position | None = None


class _Layering(_Part):
    resolution: str


class _Body(_Part):
    type: Literal["video", "video_edit", "video_reframe", "image", "image_edit", "layering"]
    model: str = ""
    prompt: str | None = None
    aspect_ratio: str | None = None
    source: _Source | None = None
    video: _Video | None = None
    image_ref: list[_Source] = []
    output_format: str | None = None
    style: str | None = None
    web_search: bool = False
    layering: _Layering | None = None


class _UnreadableError(ValueError):
    """The body has no picture or clip where a request needs one."""


def request_of(body: Mapping[str, Any]) -> Request | None:
    """The request that was sent with a body; None if it cannot be read."""
    try:
        return _request(_Body.model_validate(body))
    except (ValidationError, _UnreadableError):
        return None


def _request(body: _Body) -> Request:
    # A row of long ago may name a model or a mode that no request can have today.
    open_names: Any = {"model": body.model, "prompt": body.prompt}
    video = body.video or _Video()
    match body.type:
        case "video":
            return VideoRequest(
                **open_names,
                aspect_ratio=body.aspect_ratio,
                resolution=video.resolution,
                duration=video.duration,
                loop=video.loop,
                start=_keyframe(video.start_frame),
                end=_keyframe(video.end_frame),
                keyframes=tuple(
                    TimedKeyframe(frame.name, index / FRAMES_PER_SECOND) for frame, index in _keyframes(video)
                ),
                hdr=video.hdr,
                exr=video.exr_export,
            )
        case "video_edit":
            edit = video.edit or _Edit()
            return ModifyVideoRequest(
                **open_names,
                media=_name_of(body.source),
                mode=cast("Any", edit.strength),
                keep=tuple(name for name in get_args(Signal) if edit.controls.get(name, _Control()).enabled),
                first_frame=video.start_frame.name if video.start_frame else None,
                keyframes=tuple(FrameKeyframe(frame.name, index) for frame, index in _keyframes(edit)),
                resolution=video.resolution,
                hdr=video.hdr,
                exr=video.exr_export,
            )
        case "video_reframe":
            position = video.source_position
            return ReframeVideoRequest(
                **open_names,
                media=_name_of(body.source),
                aspect_ratio=body.aspect_ratio or "",
                placement=position and Placement(position.x_norm, position.y_norm, position.w_norm, position.h_norm),
                resolution=video.resolution,
            )
        case "image" | "image_edit" | "layering":
            return ImageRequest(
                **open_names,
                aspect_ratio=body.aspect_ratio,
                format=cast("Any", _IMAGE_FORMATS.get(body.output_format or "")),
                image_references=tuple(ImageReference(reference.name) for reference in body.image_ref),
                modify_image=ImageReference(body.source.name) if body.source else None,
                style=cast("Any", body.style),
                web_search=body.web_search,
                layers=cast("Any", body.layering.resolution if body.layering else None),
            )
        case _ as unreachable:
            assert_never(unreachable)


def _keyframe(frame: _Source | None) -> Keyframe | None:
    if frame is None:
        return None
    return GenerationKeyframe(frame.generation_id) if frame.generation_id else ImageKeyframe(frame.name)


def _keyframes(part: _Video | _Edit) -> Iterable[tuple[_Source, int]]:
    """The keyframes, each with its frame. Raises: _UnreadableError."""
    if len(part.keyframes) != len(part.keyframe_indexes):
        raise _UnreadableError
    return zip(part.keyframes, part.keyframe_indexes, strict=True)


def _name_of(source: _Source | None) -> str:
    if source is None:
        raise _UnreadableError
    return source.name
