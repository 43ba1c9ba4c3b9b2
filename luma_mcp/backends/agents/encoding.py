"""Requests as the Agents API's JSON. Pure.

Source: the official SDK `luma-agents` 0.5.0.
"""

from typing import get_args

from luma_mcp.backends.base import EncodedRequest
from luma_mcp.backends.responses import JsonObject
from luma_mcp.domain.catalogue import FRAMES_PER_SECOND, Signal
from luma_mcp.domain.errors import InvalidRequestError
from luma_mcp.domain.frames import with_keyframes
from luma_mcp.domain.media_refs import generation_in, is_file
from luma_mcp.domain.requests import (
    GenerationKeyframe,
    ImageReference,
    ImageRequest,
    Keyframe,
    ModifyVideoRequest,
    Placement,
    ReframeVideoRequest,
    Request,
    VideoRequest,
)

PATH = "/generations"
_IMAGE_FORMATS = {"jpg": "jpeg", "png": "png"}


def encode(request: Request) -> EncodedRequest:
    """The request in the JSON of the API. Raises: InvalidRequestError, if it has no such operation."""
    request = with_keyframes(request)
    return EncodedRequest(request, PATH, _present(_fields(request)))


def _fields(request: Request) -> JsonObject:
    """Every field; what was not asked for is empty."""
    match request:
        case VideoRequest():
            return {
                "type": "video",
                "model": request.model,
                "prompt": request.prompt,
                "aspect_ratio": request.aspect_ratio,
                "video": {
                    "resolution": request.resolution,
                    "duration": request.duration,
                    "loop": request.loop,
                    "hdr": request.hdr,
                    "exr_export": request.exr,
                    "start_frame": _frame(request.start),
                    "end_frame": _frame(request.end),
                    "keyframes": [_picture(frame.url) for frame in request.keyframes],
                    "keyframe_indexes": [round(frame.seconds * FRAMES_PER_SECOND) for frame in request.keyframes],
                },
            }
        case ModifyVideoRequest():
            # Without a mode and signals, Luma chooses how much of each signal remains.
            edit = {
                "auto_controls": not request.mode and not request.keep,
                "strength": request.mode,
                "controls": {signal: {"enabled": True} for signal in get_args(Signal) if signal in request.keep},
                "keyframes": [_picture(frame.url) for frame in request.keyframes],
                "keyframe_indexes": [frame.frame for frame in request.keyframes],
            }
            frame = _picture(request.first_frame) if request.first_frame else None
            return {
                "type": "video_edit",
                "model": request.model,
                "prompt": request.prompt,
                "source": _clip(request.media),
                "video": {
                    "resolution": request.resolution,
                    "hdr": request.hdr,
                    "exr_export": request.exr,
                    "start_frame": frame,
                    "edit": _present(edit),
                },
            }
        case ReframeVideoRequest():
            return {
                "type": "video_reframe",
                "model": request.model,
                "prompt": request.prompt,
                "aspect_ratio": request.aspect_ratio,
                "source": _clip(request.media),
                "video": {"resolution": request.resolution, "source_position": _position(request.placement)},
            }
        case ImageRequest(layers=str() as resolution, modify_image=ImageReference(url=picture)):
            return {
                "type": "layering",
                "model": request.model,
                "prompt": request.prompt,
                "source": _source(picture),
                "layering": {"resolution": resolution},
            }
        case ImageRequest():
            source = request.modify_image
            return {
                "type": "image_edit" if source else "image",
                "model": request.model,
                "prompt": request.prompt,
                "aspect_ratio": request.aspect_ratio,
                "source": _source(source.url) if source else None,
                "image_ref": [_picture(reference.url) for reference in request.image_references],
                "output_format": _IMAGE_FORMATS.get(request.format or ""),
                "style": request.style,
                "web_search": request.web_search,
            }
        case _:
            raise InvalidRequestError(f"The Agents API has no {request.kind}.", "It is Dream Machine's.")


def _present(fields: JsonObject) -> JsonObject:
    """The fields that were asked for."""
    inner = {name: _present(value) if name == "video" else value for name, value in fields.items()}
    return {name: value for name, value in inner.items() if value not in (None, False, [], {}, "")}


def _frame(frame: Keyframe | None) -> JsonObject | None:
    if isinstance(frame, GenerationKeyframe):
        return {"generation_id": frame.id}
    return _picture(frame.url) if frame else None


def _picture(name: str) -> JsonObject:
    """A picture. A local file is named by its content until it is uploaded, an earlier still until it has a link.

    The API accepts the id of a still here too, but its result is documented nowhere.
    """
    return {"file_id": name} if is_file(name) else {"url": name}


def _source(name: str) -> JsonObject:
    """The picture or clip to work on. The API knows its own generations by their ids."""
    generation_id = generation_in(name)
    return {"generation_id": generation_id} if generation_id else _picture(name)


def _clip(name: str) -> JsonObject:
    reference = _source(name)
    return reference | {"media_type": "video/mp4"} if "url" in reference else reference


def _position(placement: Placement | None) -> JsonObject | None:
    if placement is None:
        return None
    return {
        "x_norm": placement.left,
        "y_norm": placement.top,
        "w_norm": placement.width,
        "h_norm": placement.height,
    }
