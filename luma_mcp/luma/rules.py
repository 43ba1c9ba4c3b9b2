"""What Luma would refuse, refused before it is sent, in Luma's words (docs.lumalabs.ai/docs/errors)."""

from luma_mcp.luma.errors import InvalidRequestError
from luma_mcp.luma.models import GenerationKeyframe, ImageKeyframe, ImageRequest, Request, VideoRequest

# docs.lumalabs.ai/docs/image-generation. Luma's own MCP server once said 8; the smaller number is safe.
MOST_REFERENCES = 4
SHORTEST_PROMPT, LONGEST_PROMPT = 3, 5000


def check(request: Request) -> None:
    """Raises: InvalidRequestError, with the API's own sentence and what to do about it."""
    prompt = getattr(request, "prompt", None)
    if prompt is not None:
        _check_prompt(prompt)
    if isinstance(request, VideoRequest):
        _check_video(request)
    if isinstance(request, ImageRequest):
        _check_image(request)


def _check_prompt(prompt: str) -> None:
    if len(prompt) < SHORTEST_PROMPT:
        raise InvalidRequestError(
            f"Prompt is too short, minimum length is {SHORTEST_PROMPT} characters.", "Describe what should be made."
        )
    if len(prompt) > LONGEST_PROMPT:
        raise InvalidRequestError(
            f"Prompt is too long, maximum length is {LONGEST_PROMPT} characters.",
            f"Leave out {len(prompt) - LONGEST_PROMPT} characters.",
        )


# What `loop` excludes, by the kinds of the first and the last frame.
_NO_LOOP: dict[tuple[type | None, type | None], str] = {
    (ImageKeyframe, ImageKeyframe): "Loop is not supported for keyframes",
    (None, ImageKeyframe): "Loop is not supported for end frame",
    (None, GenerationKeyframe): "Loop is not supported for extend reverse",
    (GenerationKeyframe, ImageKeyframe): "Loop is not supported for interpolate video to image",
    (ImageKeyframe, GenerationKeyframe): "Loop is not supported for interpolate image to video",
    (GenerationKeyframe, GenerationKeyframe): "Loop is not supported for interpolate between two videos",
}


def _check_video(request: VideoRequest) -> None:
    kinds = (type(request.frame0) if request.frame0 else None, type(request.frame1) if request.frame1 else None)
    if request.prompt is None and ImageKeyframe not in kinds:
        raise InvalidRequestError("Prompt is required.", "Give a prompt, or a picture to begin or end with.")
    if request.loop and kinds in _NO_LOOP:
        raise InvalidRequestError(f"{_NO_LOOP[kinds]}.", "Leave out loop, or the last frame.")


def _check_image(request: ImageRequest) -> None:
    if request.prompt is None and request.modify_image_ref is None:
        raise InvalidRequestError("Prompt is required.", "Give a prompt, or a picture to modify.")
    for name, count in (("image", len(request.image_ref)), ("character", len(request.character_images))):
        if count > MOST_REFERENCES:
            raise InvalidRequestError(f"At most {MOST_REFERENCES} {name} references are supported, not {count}.")
