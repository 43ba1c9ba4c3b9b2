"""Luma's echo of a request as a request: the inverse of `encoding`. Pure.

A plain field that cannot be read counts as absent. A picture or a clip that cannot be read makes the request
unreadable, for without it another request would remain. Three facts are not on the wire: the clip that was upscaled or
got a sound, because only the path names it; fractions of a pixel in a placement; and the callback, which is the
server's.
"""

from typing import Any, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from luma_mcp.backends.responses import JsonObject, LenientResponse
from luma_mcp.domain.catalogue import CANVASES
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


class _Plain(LenientResponse):
    model: str | None = None
    prompt: str | None = None
    negative_prompt: str | None = None
    aspect_ratio: str | None = None
    resolution: str | None = None
    duration: str | None = None
    format: str | None = None
    mode: str | None = None
    loop: bool | None = None


class _Strict(BaseModel):
    """Part of an echo that is read in full or not at all. Unknown fields are ignored."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=(), defer_build=True)


class _Link(_Strict):
    url: str


class _Reference(_Link):
    weight: float | None = None


class _Frame(_Strict):
    type: str
    url: str | None = None
    id: str | None = None


class _Keyframes(_Strict):
    frame0: _Frame | None = None
    frame1: _Frame | None = None


class _Concept(_Strict):
    key: str


class _Identity(_Strict):
    images: list[str] | None = None


class _Sources(_Strict):
    keyframes: _Keyframes | None = None
    concepts: list[_Concept] | None = None
    image_ref: list[_Reference] | None = None
    style_ref: list[_Reference] | None = None
    character_ref: dict[str, _Identity | None] | None = None
    modify_image_ref: _Reference | None = None
    media: _Link | None = None
    first_frame: _Link | None = None
    x_start: float | None = None
    x_end: float | None = None
    y_start: float | None = None
    y_end: float | None = None


def request_of(kind: str, echo: JsonObject) -> Request | None:
    """The request that an echo shows; None if there is none, or it cannot be read.

    Args:
        kind: the operation.
        echo: the echo, in snake_case.
    """
    if not echo:
        return None
    try:
        return _request(kind, _Plain.model_validate(echo), _Sources.model_validate(echo))
    except (ValidationError, _UnreadableError):
        return None


class _UnreadableError(ValueError):
    """The echo names a picture, a clip or a position in a way that no request has."""


def _request(kind: str, plain: _Plain, sources: _Sources) -> Request | None:
    # Luma may name a model or a mode that no request can have today.
    open_names: Any = {"model": plain.model or ""}
    match kind:
        case "video":
            frames = sources.keyframes or _Keyframes()
            return VideoRequest(
                **open_names,
                prompt=plain.prompt,
                aspect_ratio=plain.aspect_ratio,
                resolution=plain.resolution,
                duration=plain.duration,
                loop=plain.loop or False,
                start=_keyframe(frames.frame0),
                end=_keyframe(frames.frame1),
                concepts=tuple(concept.key for concept in sources.concepts or ()),
            )
        case "image":
            modified = sources.modify_image_ref
            return ImageRequest(
                **open_names,
                prompt=plain.prompt,
                aspect_ratio=plain.aspect_ratio,
                format=cast("Any", plain.format),
                image_references=_references(sources.image_ref),
                style_references=_references(sources.style_ref),
                character_images=_characters(sources.character_ref or {}),
                modify_image=_reference(modified) if modified else None,
            )
        case "reframe_video":
            return ReframeVideoRequest(
                **open_names,
                media=_media(sources),
                aspect_ratio=plain.aspect_ratio or "",
                prompt=plain.prompt,
                first_frame=sources.first_frame.url if sources.first_frame else None,
                placement=_placement(sources, plain.aspect_ratio),
                resolution=plain.resolution,
            )
        case "reframe_image":
            return ReframeImageRequest(
                **open_names,
                media=_media(sources),
                aspect_ratio=plain.aspect_ratio or "",
                prompt=plain.prompt,
                format=cast("Any", plain.format),
                placement=_placement(sources, plain.aspect_ratio),
            )
        case "modify_video":
            return ModifyVideoRequest(
                **open_names,
                media=_media(sources),
                mode=cast("Any", plain.mode),
                prompt=plain.prompt,
                first_frame=sources.first_frame.url if sources.first_frame else None,
                resolution=plain.resolution,
            )
        case "upscale_video":
            return UpscaleRequest(generation_id="", resolution=plain.resolution)
        case "add_audio":
            return AddAudioRequest(generation_id="", prompt=plain.prompt, negative_prompt=plain.negative_prompt)
        case _:
            return None


def _keyframe(frame: _Frame | None) -> Keyframe | None:
    match frame:
        case None:
            return None
        case _Frame(type="generation", id=str() as generation_id):
            return GenerationKeyframe(generation_id)
        case _Frame(type="image", url=str() as url):
            return ImageKeyframe(url)
        case _:
            raise _UnreadableError


def _reference(reference: _Reference) -> ImageReference:
    return ImageReference(reference.url, reference.weight)


def _references(references: list[_Reference] | None) -> tuple[ImageReference, ...]:
    return tuple(_reference(reference) for reference in references or ())


def _characters(identities: dict[str, _Identity | None]) -> tuple[str, ...]:
    """The pictures of the one character that a request can have."""
    named = {name: identity.images or [] for name, identity in identities.items() if identity}
    if named.keys() - {"identity0"}:
        raise _UnreadableError
    return tuple(named.get("identity0", ()))


def _media(sources: _Sources) -> str:
    if sources.media is None:
        raise _UnreadableError
    return sources.media.url


def _placement(sources: _Sources, aspect_ratio: str | None) -> Placement | None:
    """The position in fractions of the canvas; on the wire it is in pixels."""
    edges = (sources.x_start, sources.x_end, sources.y_start, sources.y_end)
    if edges == (None, None, None, None):
        return None
    left, right, top, bottom = edges
    if left is None or right is None or top is None or bottom is None or aspect_ratio not in CANVASES:
        raise _UnreadableError
    width, height = CANVASES[aspect_ratio]
    return Placement(left / width, top / height, (right - left) / width, (bottom - top) / height)
