"""The pictures that a clip shows at given frames, in the one form in which an API accepts them. Pure.

The Agents API has two forms for the first and the last picture of a clip: two fields, and keyframes. It refuses the
fields where the clip has 10 seconds, HDR or keyframes (luma-agents 0.5.0). A caller need not know that.
"""

from dataclasses import replace
from typing import TypeVar

from luma_mcp.domain.catalogue import DEFAULT_DURATION, Condition, FrameType, VideoModel, model_entry
from luma_mcp.domain.requests import (
    FrameKeyframe,
    GenerationKeyframe,
    ImageKeyframe,
    Keyframe,
    ModifyVideoRequest,
    Request,
    TimedKeyframe,
    VideoRequest,
)

_Any = TypeVar("_Any", bound=Request)


def frame_types(request: VideoRequest) -> tuple[FrameType, FrameType]:
    """The types of the first and the last frame."""
    return _type_of(request.start), _type_of(request.end)


def conditions_of(request: VideoRequest) -> dict[Condition, bool]:
    """Whether a request meets each of the conditions that exclude others."""
    return {
        "a duration of 10s": request.duration == "10s",
        "hdr": request.hdr,
        "loop": request.loop,
        "a start frame": request.start is not None,
        "an end frame": request.end is not None,
        "keyframes": bool(request.keyframes),
        "360p or 540p": request.resolution in ("360p", "540p"),
        "going on from a clip": "clip" in frame_types(request),
        "two frames": request.start is not None and request.end is not None,
    }


def duration_seconds(request: VideoRequest) -> int:
    """The length of the clip that is asked for."""
    return int((request.duration or DEFAULT_DURATION).removesuffix("s"))


def with_keyframes(request: _Any) -> _Any:
    """The same request, with its first and its last picture among its keyframes where its model needs that.

    Keyframes are in the order in which the clip shows them, so that the same request is the same purchase. A clip to
    continue cannot be a keyframe, so a request with one keeps its frames.
    """
    if isinstance(request, VideoRequest):
        return _with_timed_keyframes(request)
    if isinstance(request, ModifyVideoRequest) and request.keyframes:
        first = (FrameKeyframe(request.first_frame, 0),) if request.first_frame else ()
        ordered = sorted((*first, *request.keyframes), key=lambda keyframe: keyframe.frame)
        return replace(request, first_frame=None, keyframes=tuple(ordered))
    return request


def _with_timed_keyframes(request: VideoRequest) -> VideoRequest:
    model, met = model_entry(request.model), conditions_of(request)
    needed = model.frames_as_keyframes if isinstance(model, VideoModel) else ()
    if met["going on from a clip"] or not any(met[condition] for condition in needed):
        return request
    first = [TimedKeyframe(frame.url, 0) for frame in (request.start,) if isinstance(frame, ImageKeyframe)]
    end = duration_seconds(request)
    last = [TimedKeyframe(frame.url, end) for frame in (request.end,) if isinstance(frame, ImageKeyframe)]
    ordered = sorted((*first, *request.keyframes, *last), key=lambda keyframe: keyframe.seconds)
    return replace(request, start=None, end=None, keyframes=tuple(ordered))


def _type_of(frame: Keyframe | None) -> FrameType:
    if frame is None:
        return None
    return "clip" if isinstance(frame, GenerationKeyframe) else "picture"
