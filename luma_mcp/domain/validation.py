"""Luma's rules for requests, checked before anything is sent.

Each rule is a field of the model or of its API: `catalogue` and `apis` have the facts, this module the sentences. A
field that other models have is refused with the names of those, never imitated.
"""

from collections.abc import Sequence

from luma_mcp.domain.apis import APIS, Api
from luma_mcp.domain.catalogue import (
    FRAMES_PER_SECOND,
    MAX_KEYFRAMES,
    MAX_LAYERING_PROMPT,
    Condition,
    Feature,
    ImageModel,
    VideoModel,
    model_entry,
    models_with,
)
from luma_mcp.domain.errors import InvalidRequestError
from luma_mcp.domain.frames import conditions_of, duration_seconds, frame_types, with_keyframes
from luma_mcp.domain.requests import (
    ImageKeyframe,
    ImageRequest,
    ModifyVideoRequest,
    ReframeVideoRequest,
    Request,
    VideoRequest,
    backend_of,
)
from luma_mcp.domain.text import has_visible_text, is_placeholder, quoted

# The features that a request uses by a field of the same name.
_FIELDS: tuple[Feature, ...] = (
    "concepts", "keyframes", "keep", "hdr", "exr", "style", "web_search", "layers", "style_references",
    "character_images",
)  # fmt: skip
_5S = "Give duration 5s"
_NO_LOOP = "Leave out loop: a clip with the same picture as start_frame and as end_frame ends as it begins."
_FRAME_OF_CLIP = "A frame of the clip is a picture: name it as ID#last, or ID#first, in create_video."
# The way that remains where two conditions exclude each other.
_WAYS: dict[tuple[Condition, Condition], str] = {
    ("a duration of 10s", "hdr"): f"{_5S}, the length of HDR clips, or leave out hdr.",
    ("a duration of 10s", "loop"): f"{_5S}. {_NO_LOOP}",
    ("a duration of 10s", "going on from a clip"): f"{_5S}, and continue the new clip again. {_FRAME_OF_CLIP}",
    ("loop", "hdr"): _NO_LOOP,
    ("loop", "an end frame"): _NO_LOOP,
    ("loop", "keyframes"): _NO_LOOP,
    ("hdr", "360p or 540p"): "Give a larger resolution, or leave out hdr.",
    ("keyframes", "going on from a clip"): _FRAME_OF_CLIP,
    ("going on from a clip", "two frames"): _FRAME_OF_CLIP,
    ("going on from a clip", "hdr"): _FRAME_OF_CLIP,
}


def check(request: Request) -> None:
    """Raises: InvalidRequestError, with a message and a hint."""
    api, model = APIS[backend_of(request)], model_entry(getattr(request, "model", ""))
    request = with_keyframes(request)
    _check_prompt_says_something(request)
    if model is not None:
        _check_choice(request, "aspect_ratio", model.ratios)
    if isinstance(model, VideoModel):
        _check_choice(request, "resolution", model.resolutions)
        _check_choice(request, "duration", model.durations)
    if request.kind not in api.operations:
        names = " or ".join(other.name for other in APIS.values() if request.kind in other.operations)
        raise InvalidRequestError(f"{api.title} has no {request.kind}.", f"It is {names}'s.")
    if isinstance(request, ImageRequest) and isinstance(model, ImageModel) and request.layers:
        _check_layers(request, model)
        return
    _check_prompt(request, api)
    if model is not None:
        _check_features(request, model)
    if isinstance(request, ModifyVideoRequest) and request.mode is None and api.needs_mode:
        raise InvalidRequestError("Mode is required.", "adhere_1 keeps most, reimagine_3 least.")
    if isinstance(request, VideoRequest) and isinstance(model, VideoModel):
        _check_video(request, model)
    if isinstance(request, ModifyVideoRequest):
        _check_modification(request)
    if isinstance(request, ReframeVideoRequest) and isinstance(model, VideoModel):
        _check_reframed_ratio(request, model)
    if isinstance(request, ImageRequest) and isinstance(model, ImageModel):
        _check_image(request, model, api)


def _check_choice(request: Request, field: str, choices: tuple[str, ...]) -> None:
    value = getattr(request, field, None)
    if value is not None and value not in choices:
        model = getattr(request, "model", "")
        raise InvalidRequestError(f"{model} has no {field} {value}.", f"It has {', '.join(choices)}.")


def _check_prompt_says_something(request: Request) -> None:
    prompt: str | None = getattr(request, "prompt", None)
    if prompt is None:
        return
    if not has_visible_text(prompt):
        raise InvalidRequestError("The prompt is blank.", "Describe what should be made, or leave it out.")
    if is_placeholder(prompt):
        raise InvalidRequestError(
            f"The prompt is {quoted(prompt, 60)}, which a template should have replaced.",
            "Put the prompt itself there.",
        )


def _check_prompt_length(request: Request, min_length: int, max_length: int) -> None:
    prompt: str | None = getattr(request, "prompt", None)
    if prompt is not None and len(prompt) < min_length:
        raise InvalidRequestError(
            f"Prompt is too short, minimum length is {min_length} characters.", "Describe what should be made."
        )
    if prompt is not None and len(prompt) > max_length:
        raise InvalidRequestError(
            f"Prompt is too long, maximum length is {max_length} characters.",
            f"Leave out {len(prompt) - max_length} characters.",
        )


def _check_prompt(request: Request, api: Api) -> None:
    """Check the length of a prompt, and that it is present where nothing else describes the result."""
    has_picture = (
        (isinstance(request, VideoRequest) and ImageKeyframe in (type(request.start), type(request.end)))
        or (isinstance(request, ImageRequest) and request.modify_image is not None)
        or not isinstance(request, VideoRequest | ImageRequest)
    )
    if not getattr(request, "prompt", None):
        if api.needs_prompt:
            raise InvalidRequestError("Prompt is required.", "Describe what should be made.")
        if not has_picture:
            source = "a picture to modify" if isinstance(request, ImageRequest) else "a picture to start or end with"
            raise InvalidRequestError("Prompt is required.", f"Give a prompt, or {source}.")
    _check_prompt_length(request, api.min_prompt, api.max_prompt)


def _check_features(request: Request, model: VideoModel | ImageModel) -> None:
    """Raises: InvalidRequestError, if the request uses a feature that the model does not have."""
    used: dict[Feature, str] = {feature: feature for feature in _FIELDS if getattr(request, feature, None)}
    if isinstance(request, ModifyVideoRequest | ReframeVideoRequest) and request.resolution:
        used["made_resolution"] = "resolution"
    if isinstance(request, ReframeVideoRequest) and request.first_frame:
        used["reframe_first_frame"] = "first_frame"
    if isinstance(request, ImageRequest):
        references = (*request.image_references, *((request.modify_image,) if request.modify_image else ()))
        if any(reference.weight is not None for reference in references):
            used["weights"] = "weights"
    for feature, name in used.items():
        if feature not in model.features:
            raise InvalidRequestError(f"{getattr(request, 'model', '')} has no {name}.", _hint_for(feature, model))


def _hint_for(feature: Feature, model: VideoModel | ImageModel) -> str:
    """The hint of a refused feature: the models that have it and make the same."""
    if feature == "weights":
        return "Say in the prompt what to use of which picture."
    models = models_with(feature, makes=type(model))
    if not models:
        return "Leave it out."
    return f"Choose {' or '.join(models)}, if this server offers it, or leave it out."


def _check_video(request: VideoRequest, model: VideoModel) -> None:
    frames = frame_types(request)
    if request.loop and frames in model.frames_without_loop:
        raise InvalidRequestError(f"{model.frames_without_loop[frames]}.", "Leave out loop, or the last frame.")
    met = conditions_of(request)
    for condition, excluded in model.exclusions:
        for other in excluded:
            if met[condition] and met[other]:
                way = _WAYS.get((condition, other), "Leave one of them out.")
                raise InvalidRequestError(f"{request.model} cannot do {condition} together with {other}.", way)
    _check_exr(request)
    duration = duration_seconds(request)
    if not all(0 <= frame.seconds <= duration for frame in request.keyframes):
        raise InvalidRequestError(f"A keyframe's seconds must be between 0 and {duration}, the length of the clip.")
    _check_keyframes([round(frame.seconds * FRAMES_PER_SECOND) for frame in request.keyframes])


def _check_modification(request: ModifyVideoRequest) -> None:
    _check_exr(request)
    _check_keyframes([frame.frame for frame in request.keyframes])


def _check_exr(request: VideoRequest | ModifyVideoRequest) -> None:
    if request.exr and not request.hdr:
        raise InvalidRequestError("Only HDR clips have EXR frames.", "Give hdr too, or leave out exr.")


def _check_reframed_ratio(request: ReframeVideoRequest, model: VideoModel) -> None:
    if request.aspect_ratio in model.unreframed_ratios.get(request.resolution or "", ()):
        raise InvalidRequestError(
            f"{request.model} does not reframe to {request.aspect_ratio} at {request.resolution} yet.",
            "Choose another resolution.",
        )


def _check_keyframes(frames: Sequence[int]) -> None:
    """Check the frames of keyframes: how many they are, and that each is another one."""
    if len(frames) > MAX_KEYFRAMES:
        raise InvalidRequestError(
            f"At most {MAX_KEYFRAMES} keyframes are supported, not {len(frames)}.",
            "The first and the last picture of the clip may count as one each.",
        )
    if len(set(frames)) < len(frames):
        raise InvalidRequestError(
            "Two keyframes are for the same frame.",
            f"A second has {FRAMES_PER_SECOND} frames, and the picture that a clip starts with is frame 0; move one.",
        )


def _check_layers(request: ImageRequest, model: ImageModel) -> None:
    """Check a request for layers: it has a picture and a size, and no other choices."""
    if "layers" not in model.features:
        raise InvalidRequestError(f"{request.model} has no layers.", _hint_for("layers", model))
    if request.modify_image is None or request.modify_image.weight is not None:
        raise InvalidRequestError(
            "Layers are made of a picture.", "Name it in modify_image, without a weight; the prompt says what to part."
        )
    _check_prompt_length(request, 1, MAX_LAYERING_PROMPT)
    other_fields = ("aspect_ratio", "format", "image_references", "style", "web_search")
    used = [field for field in (*other_fields, "style_references", "character_images") if getattr(request, field)]
    if used:
        raise InvalidRequestError(f"Layers cannot be made with {used[0]}.", "Leave it out.")


def _check_image(request: ImageRequest, model: ImageModel, api: Api) -> None:
    max_references = model.max_edit_references if request.modify_image else model.max_references
    counts = (
        ("image", len(request.image_references), max_references),
        ("character", len(request.character_images), max_references),
    )
    for name, count, limit in counts:
        if count > limit:
            raise InvalidRequestError(f"At most {limit} {name} references are supported, not {count}.")
    if api.edits_keep_ratio and request.modify_image is not None and request.aspect_ratio is not None:
        raise InvalidRequestError("An edited picture keeps its ratio.", "Leave out aspect_ratio.")
    ratios = model.style_ratios.get(request.style or "", model.ratios)
    if request.aspect_ratio is not None and request.aspect_ratio not in ratios:
        raise InvalidRequestError(
            f"The style {request.style} has no aspect_ratio {request.aspect_ratio}.", f"It has {', '.join(ratios)}."
        )
