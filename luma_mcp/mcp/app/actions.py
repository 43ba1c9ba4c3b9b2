"""The actions for a completed generation: the player's buttons, each with its tool call and its price."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

from luma_mcp.domain import validation
from luma_mcp.domain.apis import APIS
from luma_mcp.domain.catalogue import HEIGHTS, default_video_model
from luma_mcp.domain.errors import LumaError
from luma_mcp.domain.generation import Generation
from luma_mcp.domain.pricing import Footage, extension_format, footage_of, format_of, price_of
from luma_mcp.domain.requests import (
    AddAudioRequest,
    GenerationKeyframe,
    ImageKeyframe,
    ImageReference,
    ImageRequest,
    Keyframe,
    Request,
    UpscaleRequest,
    VideoRequest,
    sources_of,
)
from luma_mcp.domain.url_signatures import unsigned
from luma_mcp.mcp.spec import Action

JsonObject = dict[str, Any]
# The placeholder for the prompt that the user will enter.
_ANY_PROMPT = "..."


def actions_of(generation: Generation) -> list[Action]:
    """The actions for a generation; none before it is completed."""
    if generation.state != "completed":
        return []
    image_actions = (_animate, _vary_image)
    # An API upscales and adds sound to its own clips only.
    makers = {"upscale_video": _upscale, "add_audio": _add_audio}
    operations = APIS[generation.backend].operations
    video_actions = (_extend, *(make for kind, make in makers.items() if kind in operations), _vary_video)
    offered = image_actions if generation.makes_image else video_actions
    return [action for make in offered if (action := _try(make, generation)) is not None]


def _try(make: Callable[[Generation], Action | None], generation: Generation) -> Action | None:
    """The action; None if the request states too little, or names a model that is no longer sold."""
    try:
        return make(generation)
    except (LumaError, KeyError):
        return None


def _action(
    generation: Generation,
    request: Request,
    action: Literal["extend", "upscale", "add audio", "animate", "variation"],
    tool: str,
    arguments: JsonObject,
    *,
    footage: Footage | None = None,
    prompt: Literal["required", "optional"] | None = None,
) -> Action:
    validation.check(request)
    price = price_of(request, footage)
    return Action(
        generation_id=generation.id,
        action=action,
        tool=tool,
        arguments=arguments,
        price_usd=price.usd,
        price_basis=price.basis,
        prompt=prompt,
    )


def _extend(generation: Generation) -> Action:
    request = VideoRequest(**extension_format(generation), prompt=_ANY_PROMPT, start=GenerationKeyframe(generation.id))
    arguments: JsonObject = {"generation_id": generation.id}
    return _action(generation, request, "extend", "extend_video", arguments, prompt="required")


def _upscale(generation: Generation) -> Action | None:
    footage = footage_of(generation)
    height = min(footage.width, footage.height) if footage else 0
    resolution = "1080p" if height < HEIGHTS["1080p"] else "4k"
    if height >= HEIGHTS["4k"]:
        return None
    request = UpscaleRequest(generation_id=generation.id, resolution=resolution)
    arguments = {"generation_id": generation.id, "resolution": resolution}
    return _action(generation, request, "upscale", "upscale_video", arguments, footage=footage)


def _add_audio(generation: Generation) -> Action | None:
    if generation.kind == "add_audio":
        return None
    request = AddAudioRequest(generation_id=generation.id)
    arguments = {"generation_id": generation.id}
    footage = footage_of(generation)
    return _action(generation, request, "add audio", "add_audio", arguments, footage=footage, prompt="optional")


def _animate(generation: Generation) -> Action | None:
    url = generation.url("image")
    if not url or generation.has_layers:
        return None
    model = default_video_model(generation.backend)
    if APIS[generation.backend].needs_prompt:
        # Its clips follow the picture's ratio.
        request = VideoRequest(model=model, prompt=_ANY_PROMPT, start=ImageKeyframe(url))
        arguments = _present(start_frame=generation.id, model=model)
        return _action(generation, request, "animate", "create_video", arguments, prompt="required")
    ratio = getattr(generation.request, "aspect_ratio", None)
    request = VideoRequest(model=model, aspect_ratio=ratio, start=ImageKeyframe(url))
    arguments = _present(start_frame=generation.id, aspect_ratio=ratio, model=model)
    return _action(generation, request, "animate", "create_video", arguments, prompt="optional")


def _vary_video(generation: Generation) -> Action | None:
    """The same request once more, for each result of a model differs."""
    earlier = generation.request
    if not isinstance(earlier, VideoRequest) or not _is_repeatable(generation, earlier):
        return None
    form = format_of(generation)
    request = replace(earlier, **form)
    arguments = _present(
        prompt=request.prompt,
        loop=request.loop or None,
        hdr=request.hdr or None,
        exr=request.exr or None,
        concepts=list(request.concepts) or None,
        start_frame=_source(request.start),
        end_frame=_source(request.end),
        **form,
    )
    return _action(generation, request, "variation", "create_video", arguments)


def _vary_image(generation: Generation) -> Action | None:
    request = generation.request
    if not isinstance(request, ImageRequest) or not _is_repeatable(generation, request):
        return None
    arguments = _present(
        image_refs=_arguments(request.image_references),
        style_refs=_arguments(request.style_references),
        character_images=list(request.character_images) or None,
        modify_image=_argument(request.modify_image) if request.modify_image else None,
        model=request.model,
        prompt=request.prompt,
        aspect_ratio=request.aspect_ratio,
        format=request.format,
        style=request.style,
        web_search=request.web_search or None,
    )
    return _action(generation, request, "variation", "create_image", arguments)


def _is_repeatable(generation: Generation, request: Request) -> bool:
    """Whether every picture and clip of a request can be named again: no link that is signed and so may have expired.

    Where the API echoes nothing, the ledger has links without their signatures, so no source can be trusted.
    """
    sources = sources_of(request)
    if not APIS[generation.backend].echoes_requests:
        return not sources
    return all(unsigned(source) == source for source in sources)


def _source(frame: Keyframe | None) -> str | None:
    if frame is None:
        return None
    return frame.id if isinstance(frame, GenerationKeyframe) else frame.url


def _arguments(references: Sequence[ImageReference]) -> list[JsonObject] | None:
    return [_argument(reference) for reference in references] or None


def _argument(reference: ImageReference) -> JsonObject:
    return _present(source=reference.url, weight=reference.weight)


def _present(**arguments: Any) -> JsonObject:
    return {name: value for name, value in arguments.items() if value is not None}
