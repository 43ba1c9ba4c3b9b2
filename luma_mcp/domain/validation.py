"""Luma's rules for requests, checked before anything is sent, in Luma's own words (docs.lumalabs.ai/docs/errors)."""

from luma_mcp.domain.catalogue import LONGEST_PROMPT, MAX_REFERENCES, SHORTEST_PROMPT
from luma_mcp.domain.errors import InvalidRequestError
from luma_mcp.domain.requests import GenerationKeyframe, ImageKeyframe, ImageRequest, Request, VideoRequest

# What `loop` excludes, by the types of the first and the last frame.
_NO_LOOP: dict[tuple[type | None, type | None], str] = {
    (ImageKeyframe, ImageKeyframe): "Loop is not supported for keyframes",
    (None, ImageKeyframe): "Loop is not supported for end frame",
    (None, GenerationKeyframe): "Loop is not supported for extend reverse",
    (GenerationKeyframe, ImageKeyframe): "Loop is not supported for interpolate video to image",
    (ImageKeyframe, GenerationKeyframe): "Loop is not supported for interpolate image to video",
    (GenerationKeyframe, GenerationKeyframe): "Loop is not supported for interpolate between two videos",
}


def check(request: Request) -> None:
    """Raises: InvalidRequestError, with the API's sentence and what to do about it."""
    prompt = getattr(request, "prompt", None)
    if prompt is not None and len(prompt) < SHORTEST_PROMPT:
        raise InvalidRequestError(
            f"Prompt is too short, minimum length is {SHORTEST_PROMPT} characters.", "Describe what should be made."
        )
    if prompt is not None and len(prompt) > LONGEST_PROMPT:
        raise InvalidRequestError(
            f"Prompt is too long, maximum length is {LONGEST_PROMPT} characters.",
            f"Leave out {len(prompt) - LONGEST_PROMPT} characters.",
        )
    if isinstance(request, VideoRequest):
        _check_video(request)
    if isinstance(request, ImageRequest):
        _check_image(request)


def _check_video(request: VideoRequest) -> None:
    types = (type(request.start) if request.start else None, type(request.end) if request.end else None)
    if request.prompt is None and ImageKeyframe not in types:
        raise InvalidRequestError("Prompt is required.", "Give a prompt, or a picture to begin or end with.")
    if request.loop and types in _NO_LOOP:
        raise InvalidRequestError(f"{_NO_LOOP[types]}.", "Leave out loop, or the last frame.")


def _check_image(request: ImageRequest) -> None:
    if request.prompt is None and request.modify_image is None:
        raise InvalidRequestError("Prompt is required.", "Give a prompt, or a picture to modify.")
    counts = (("image", len(request.image_references)), ("character", len(request.character_images)))
    for name, count in counts:
        if count > MAX_REFERENCES:
            raise InvalidRequestError(f"At most {MAX_REFERENCES} {name} references are supported, not {count}.")
