"""Requests as the Dream Machine API's JSON. Pure.

Source: the API reference and the official SDK `lumaai` 1.21.0.
"""

from typing import assert_never
from urllib.parse import quote

from luma_mcp.backends.base import EncodedRequest
from luma_mcp.backends.responses import JsonObject
from luma_mcp.domain.catalogue import CANVASES
from luma_mcp.domain.generation import check_id
from luma_mcp.domain.requests import (
    AddAudioRequest,
    GenerationKeyframe,
    ImageKeyframe,
    ImageReference,
    ImageRequest,
    Keyframe,
    ModifyVideoRequest,
    Placement,
    ReframeImageRequest,
    ReframeVideoRequest,
    Request,
    UpscaleRequest,
    VideoRequest,
)


def encode(request: Request) -> EncodedRequest:
    """The request in the JSON of the API. Raises: InvalidRequestError, if an id in it is none."""
    path, fields = _path_and_fields(request)
    # Zero pixels and an empty prompt were asked for; an absent list or a loop that is off were not.
    body = {name: value for name, value in fields.items() if value or (value is not False and value in (0, ""))}
    return EncodedRequest(request, path, {"generation_type": request.kind} | body)


def _path_and_fields(request: Request) -> tuple[str, JsonObject]:
    """The path below the base URL, and every field; what was not asked for is empty."""
    match request:
        case VideoRequest():
            return "/generations/video", {
                "model": request.model,
                "prompt": request.prompt,
                "aspect_ratio": request.aspect_ratio,
                "resolution": request.resolution,
                "duration": request.duration,
                "loop": request.loop,
                "keyframes": _keyframes(frame0=request.start, frame1=request.end),
                "concepts": [{"key": key} for key in request.concepts],
            }
        case ImageRequest():
            characters = list(request.character_images)
            return "/generations/image", {
                "model": request.model,
                "prompt": request.prompt,
                "aspect_ratio": request.aspect_ratio,
                "format": request.format,
                "image_ref": [_reference(reference) for reference in request.image_references],
                "style_ref": [_reference(reference) for reference in request.style_references],
                "character_ref": {"identity0": {"images": characters}} if characters else None,
                "modify_image_ref": _reference(request.modify_image) if request.modify_image else None,
            }
        case ReframeVideoRequest() | ReframeImageRequest():
            is_image = isinstance(request, ReframeImageRequest)
            return f"/generations/{'image' if is_image else 'video'}/reframe", {
                "model": request.model,
                "media": {"url": request.media},
                "aspect_ratio": request.aspect_ratio,
                "prompt": request.prompt,
                **({"format": request.format} if is_image else {"first_frame": _media(request.first_frame)}),
            } | _pixels(request.placement, request.aspect_ratio)
        case ModifyVideoRequest():
            return "/generations/video/modify", {
                "model": request.model,
                "media": {"url": request.media},
                "mode": request.mode,
                "prompt": request.prompt,
                "first_frame": _media(request.first_frame),
            }
        case UpscaleRequest():
            return f"{generation_path(request.generation_id)}/upscale", {"resolution": request.resolution}
        case AddAudioRequest():
            fields = {"prompt": request.prompt, "negative_prompt": request.negative_prompt}
            return f"{generation_path(request.generation_id)}/audio", fields
        case _ as unreachable:
            assert_never(unreachable)


def generation_path(generation_id: str) -> str:
    """The path of a generation.

    Raises:
        InvalidRequestError: it cannot be an id; it might otherwise name another path.
    """
    check_id(generation_id)
    return f"/generations/{quote(generation_id, safe='')}"


def _keyframes(**frames: Keyframe | None) -> JsonObject:
    encoded: JsonObject = {}
    for name, frame in frames.items():
        match frame:
            case ImageKeyframe(url):
                encoded[name] = {"type": "image", "url": url}
            case GenerationKeyframe(generation_id):
                encoded[name] = {"type": "generation", "id": generation_id}
            case None:
                pass
            case _ as unreachable:
                assert_never(unreachable)
    return encoded


def _reference(reference: ImageReference) -> JsonObject:
    weight = {} if reference.weight is None else {"weight": reference.weight}
    return {"url": reference.url, **weight}


def _media(url: str | None) -> JsonObject | None:
    return {"url": url} if url else None


def _pixels(placement: Placement | None, aspect_ratio: str) -> JsonObject:
    """The eight integers of the source's position, in pixels of the target canvas (docs, reframe)."""
    if placement is None:
        return {}
    width, height = CANVASES[aspect_ratio]
    left, right = (round(x * width) for x in (placement.left, placement.left + placement.width))
    top, bottom = (round(y * height) for y in (placement.top, placement.top + placement.height))
    return {
        "grid_position_x": left,
        "grid_position_y": top,
        "x_start": left,
        "x_end": right,
        "y_start": top,
        "y_end": bottom,
        "resized_width": right - left,
        "resized_height": bottom - top,
    }
