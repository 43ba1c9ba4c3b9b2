"""The actions for a completed generation: the player's buttons, each with its tool call and its price."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, cast

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
    """The action; None if Luma's echo is incomplete, or names a model that is no longer sold."""
    try:
        return make(generation)
    except (LumaError, KeyError, TypeError, ValueError, AttributeError):
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
    ratio = generation.request.get("aspect_ratio")
    request = VideoRequest(model=model, aspect_ratio=ratio, start=ImageKeyframe(url))
    arguments = _present(start_frame=generation.id, aspect_ratio=ratio, model=model)
    return _action(generation, request, "animate", "create_video", arguments, prompt="optional")


def _vary_video(generation: Generation) -> Action | None:
    """The same request again, for each output of a model differs."""
    echo = generation.request
    if generation.kind != "video" or echo.get("made_from_media"):
        return None
    keyframes = cast("JsonObject", echo.get("keyframes") or {})
    concepts = [str(concept["key"]) for concept in cast("list[JsonObject]", echo.get("concepts") or [])]
    options, prompt, loop = format_of(generation), echo.get("prompt"), bool(echo.get("loop"))
    start, end = (_keyframe(keyframes.get(name)) for name in ("frame0", "frame1"))
    hdr, exr = bool(echo.get("hdr")), bool(echo.get("exr_export"))
    request = VideoRequest(
        **options, prompt=prompt, loop=loop, concepts=tuple(concepts), start=start, end=end, hdr=hdr, exr=exr
    )
    arguments = _present(
        prompt=prompt,
        loop=loop or None,
        hdr=hdr or None,
        exr=exr or None,
        concepts=concepts or None,
        start_frame=_source(start),
        end_frame=_source(end),
        **options,
    )
    return _action(generation, request, "variation", "create_video", arguments)


def _vary_image(generation: Generation) -> Action | None:
    echo = generation.request
    if generation.kind != "image" or echo.get("made_from_media"):
        return None
    options = {name: echo.get(name) for name in ("model", "prompt", "aspect_ratio", "format", "style")}
    images, styles = (_references(echo.get(name)) for name in ("image_ref", "style_ref"))
    identity = cast("JsonObject", cast("JsonObject", echo.get("character_ref") or {}).get("identity0") or {})
    characters = [_permanent(url) for url in cast("list[str]", identity.get("images") or [])]
    modify = _references([echo["modify_image_ref"]]) if echo.get("modify_image_ref") else []
    request = ImageRequest(
        image_references=tuple(images),
        style_references=tuple(styles),
        character_images=tuple(characters),
        modify_image=modify[0] if modify else None,
        **cast("Any", options),
    )
    arguments = _present(
        image_refs=[_argument(reference) for reference in images] or None,
        style_refs=[_argument(reference) for reference in styles] or None,
        character_images=characters or None,
        modify_image=_argument(modify[0]) if modify else None,
        **options,
    )
    return _action(generation, request, "variation", "create_image", arguments)


def _keyframe(echo: JsonObject | None) -> Keyframe | None:
    if echo is None:
        return None
    if echo["type"] == "generation":
        return GenerationKeyframe(echo["id"])
    return ImageKeyframe(_permanent(echo["url"]))


def _source(frame: Keyframe | None) -> str | None:
    if frame is None:
        return None
    return frame.id if isinstance(frame, GenerationKeyframe) else frame.url


def _references(echo: list[Mapping[str, Any]] | None) -> list[ImageReference]:
    return [ImageReference(_permanent(reference["url"]), reference.get("weight")) for reference in echo or []]


def _argument(reference: ImageReference) -> JsonObject:
    return _present(source=reference.url, weight=reference.weight)


def _permanent(url: str) -> str:
    """A link that can be used again. Raises: ValueError, if it is signed and so may have expired."""
    if unsigned(url) != url:
        raise ValueError("signed")
    return url


def _present(**arguments: Any) -> JsonObject:
    return {name: value for name, value in arguments.items() if value is not None}
