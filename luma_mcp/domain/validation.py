"""Luma's rules for requests, checked before anything is sent.

Dream Machine's rules are in its own words (docs.lumalabs.ai/docs/errors). Those of the Agents API follow from its SDK
and its guides. A field that exists at the other API only is refused with the way out, never imitated.
"""

from collections.abc import Mapping

from luma_mcp.domain.catalogue import (
    FRAMES_PER_SECOND,
    IMAGE_MODELS,
    LAYERING_MODEL,
    LONGEST_AGENTS_PROMPT,
    LONGEST_LAYERING_PROMPT,
    LONGEST_PROMPT,
    MANGA_RATIOS,
    MAX_KEYFRAMES,
    MAX_REFERENCES,
    SHORTEST_PROMPT,
    VIDEO_MODELS,
    ImageModel,
    VideoModel,
)
from luma_mcp.domain.errors import InvalidRequestError
from luma_mcp.domain.requests import (
    GenerationKeyframe,
    ImageKeyframe,
    ImageRequest,
    ModifyVideoRequest,
    ReframeVideoRequest,
    Request,
    VideoRequest,
    backend_of,
)
from luma_mcp.domain.text import has_words, is_placeholder, shown

# What `loop` excludes at Dream Machine, by the types of the first and the last frame.
_NO_LOOP: dict[tuple[type | None, type | None], str] = {
    (ImageKeyframe, ImageKeyframe): "Loop is not supported for keyframes",
    (None, ImageKeyframe): "Loop is not supported for end frame",
    (None, GenerationKeyframe): "Loop is not supported for extend reverse",
    (GenerationKeyframe, ImageKeyframe): "Loop is not supported for interpolate video to image",
    (ImageKeyframe, GenerationKeyframe): "Loop is not supported for interpolate image to video",
    (GenerationKeyframe, GenerationKeyframe): "Loop is not supported for interpolate between two videos",
}
_CHOOSE_AGENTS = "Take model ray-3.2 or uni-1, if this server offers it, or leave it out."
_CHOOSE_DREAM_MACHINE = "Take model ray-2 or photon-1, if this server offers it, or leave it out."


def check(request: Request) -> None:
    """Raises: InvalidRequestError, with a sentence and what to do about it."""
    _check_prompt_says_something(request)
    model = _model_of(request)
    if model is not None:
        _check_choice(request, "aspect_ratio", model.ratios)
    if isinstance(model, VideoModel):
        _check_choice(request, "resolution", model.resolutions)
        _check_choice(request, "duration", model.durations)
    if backend_of(request) == "agents":
        _check_agents(request)
        return
    _check_prompt_length(request, SHORTEST_PROMPT, LONGEST_PROMPT)
    _refuse(request, ("keyframes", "hdr", "exr", "style", "web_search", "layers"), _CHOOSE_AGENTS)
    if isinstance(request, ModifyVideoRequest | ReframeVideoRequest):
        _refuse(request, ("resolution",), _CHOOSE_AGENTS)
    if isinstance(request, ModifyVideoRequest) and request.mode is None:
        raise InvalidRequestError("Mode is required.", "adhere_1 keeps most, reimagine_3 least.")
    if isinstance(request, VideoRequest):
        _check_video(request)
    if isinstance(request, ImageRequest):
        _check_image(request)


def _model_of(request: Request) -> VideoModel | ImageModel | None:
    models: Mapping[str, VideoModel | ImageModel] = {**VIDEO_MODELS, **IMAGE_MODELS}
    return models.get(getattr(request, "model", ""))


def _check_choice(request: Request, field: str, choices: tuple[str, ...]) -> None:
    value = getattr(request, field, None)
    if value is not None and value not in choices:
        model = getattr(request, "model", "")
        raise InvalidRequestError(f"{model} has no {field} {value}.", f"It has {', '.join(choices)}.")


def _check_prompt_says_something(request: Request) -> None:
    prompt: str | None = getattr(request, "prompt", None)
    if prompt is None:
        return
    if not has_words(prompt):
        raise InvalidRequestError("The prompt is blank.", "Describe what should be made, or leave it out.")
    if is_placeholder(prompt):
        raise InvalidRequestError(
            f"The prompt is {shown(prompt, 60)}, which a template should have replaced.", "Put the prompt itself there."
        )


def _check_prompt_length(request: Request, shortest: int, longest: int) -> None:
    prompt: str | None = getattr(request, "prompt", None)
    if prompt is not None and len(prompt) < shortest:
        raise InvalidRequestError(
            f"Prompt is too short, minimum length is {shortest} characters.", "Describe what should be made."
        )
    if prompt is not None and len(prompt) > longest:
        raise InvalidRequestError(
            f"Prompt is too long, maximum length is {longest} characters.",
            f"Leave out {len(prompt) - longest} characters.",
        )


def _refuse(request: Request, fields: tuple[str, ...], hint: str) -> None:
    """Raises: InvalidRequestError, if a field is given that the model's API does not have."""
    for field in fields:
        if getattr(request, field, None):
            raise InvalidRequestError(f"{getattr(request, 'model', request.kind)} has no {field}.", hint)


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


def _check_agents(request: Request) -> None:
    if isinstance(request, ImageRequest) and request.layers:
        _check_layers(request)
        return
    if not getattr(request, "prompt", None):
        raise InvalidRequestError("Prompt is required.", "Describe what should be made.")
    _check_prompt_length(request, 1, LONGEST_AGENTS_PROMPT)
    _refuse(request, ("concepts", "style_references", "character_images"), _CHOOSE_DREAM_MACHINE)
    match request:
        case VideoRequest():
            _check_agents_video(request)
        case ImageRequest():
            _check_agents_image(request)
        case ReframeVideoRequest():
            _refuse(request, ("first_frame",), _CHOOSE_DREAM_MACHINE)
            if request.resolution == "1080p" and request.aspect_ratio in ("9:16", "3:4"):
                raise InvalidRequestError(
                    f"ray-3.2 does not reframe to {request.aspect_ratio} at 1080p yet.", "Take 720p."
                )
        case ModifyVideoRequest():
            pass
        case _:
            raise InvalidRequestError(f"The Agents API has no {request.kind}.", "It is Dream Machine's.")


def _check_agents_video(request: VideoRequest) -> None:
    given = {
        "a duration of 10s": request.duration == "10s",
        "hdr": request.hdr,
        "loop": request.loop,
        "a start frame": request.start is not None,
        "an end frame": request.end is not None,
        "keyframes": bool(request.keyframes),
        "360p or 540p": request.resolution in ("360p", "540p"),
        "going on from a clip": any(isinstance(end, GenerationKeyframe) for end in (request.start, request.end)),
        "two frames": request.start is not None and request.end is not None,
    }
    for what, excluded in _EXCLUSIONS:
        if given[what]:
            for other in excluded:
                if given[other]:
                    raise InvalidRequestError(
                        f"ray-3.2 cannot do {what} together with {other}.", "Leave one of them out."
                    )
    if request.exr and not request.hdr:
        raise InvalidRequestError("Only HDR clips have EXR frames.", "Give hdr too, or leave out exr.")
    _check_keyframes(request)


# What ray-3.2 cannot do together.
_EXCLUSIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("a duration of 10s", ("hdr", "loop", "a start frame", "an end frame")),
    ("loop", ("hdr", "an end frame", "keyframes")),
    ("hdr", ("360p or 540p",)),
    ("keyframes", ("a start frame", "an end frame")),
    ("going on from a clip", ("two frames", "hdr")),
)


def _check_keyframes(request: VideoRequest) -> None:
    if not request.keyframes:
        return
    if len(request.keyframes) > MAX_KEYFRAMES:
        raise InvalidRequestError(f"At most {MAX_KEYFRAMES} keyframes are supported, not {len(request.keyframes)}.")
    longest = 10 if request.duration == "10s" else 5
    moments = [frame.seconds for frame in request.keyframes]
    if not all(0 <= moment <= longest for moment in moments):
        raise InvalidRequestError(f"A keyframe's seconds must be between 0 and {longest}, the length of the clip.")
    if len({round(moment * FRAMES_PER_SECOND) for moment in moments}) < len(moments):
        raise InvalidRequestError("Two keyframes are for the same frame.", "A second has 24 frames; move one of them.")


def _check_layers(request: ImageRequest) -> None:
    """What is taken apart into layers is a picture; nothing else is chosen but their size."""
    if request.model != LAYERING_MODEL:
        raise InvalidRequestError(f"{request.model} makes no layers.", f"Take {LAYERING_MODEL}.")
    if request.modify_image is None or request.modify_image.weight is not None:
        raise InvalidRequestError(
            "Layers are made of a picture.", "Name it in modify_image, without a weight; the prompt says what to part."
        )
    _check_prompt_length(request, 1, LONGEST_LAYERING_PROMPT)
    others = ("aspect_ratio", "format", "image_references", "style", "web_search")
    given = [field for field in (*others, "style_references", "character_images") if getattr(request, field)]
    if given:
        raise InvalidRequestError(f"Layers cannot be made with {given[0]}.", "Leave it out.")


def _check_agents_image(request: ImageRequest) -> None:
    model = IMAGE_MODELS[request.model]
    most = model.max_edit_references if request.modify_image else model.max_references
    if len(request.image_references) > most:
        raise InvalidRequestError(
            f"At most {most} image references are supported, not {len(request.image_references)}."
        )
    references = [*request.image_references, *([request.modify_image] if request.modify_image else [])]
    if any(reference.weight is not None for reference in references):
        raise InvalidRequestError(
            f"{request.model} has no weights.", "Say in the prompt what to take from which picture."
        )
    if request.modify_image is not None and request.aspect_ratio is not None:
        raise InvalidRequestError("An edited picture keeps its ratio.", "Leave out aspect_ratio.")
    if request.style == "manga" and request.aspect_ratio not in (None, *MANGA_RATIOS):
        raise InvalidRequestError(
            f"The style manga has no aspect_ratio {request.aspect_ratio}.", f"It has {', '.join(MANGA_RATIOS)}."
        )
