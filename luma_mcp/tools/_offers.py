"""What a person may do with a completed generation, each with the call that does it and its price."""

from collections.abc import Callable
from typing import Any, cast

from luma_mcp.luma import rules
from luma_mcp.luma.errors import LumaError
from luma_mcp.luma.models import (
    AddAudioRequest,
    Generation,
    GenerationKeyframe,
    ImageKeyframe,
    ImageReference,
    ImageRequest,
    Keyframe,
    Request,
    UpscaleRequest,
    VideoRequest,
)
from luma_mcp.luma.prices import HEIGHTS, Footage, footage_of, form_of, price_of
from luma_mcp.studio.links import unsigned
from luma_mcp.tools._toolset import Offer

_Json = dict[str, Any]
# A prompt that stands for the one that the person will be asked for.
_SOME_WORDS = "..."


def offers_of(generation: Generation) -> list[Offer]:
    """What can be done with it; nothing before it is completed."""
    if generation.state != "completed":
        return []
    possible = (_animate, _vary_image) if generation.is_picture else (_extend, _upscale, _add_audio, _vary_video)
    return [offer for make in possible if (offer := _made(make, generation)) is not None]


def _made(make: Callable[[Generation], Offer | None], generation: Generation) -> Offer | None:
    """An offer, unless Luma's echo says too little, or something that is not sold any more."""
    try:
        return make(generation)
    except (LumaError, KeyError, TypeError, ValueError, AttributeError):
        return None


def _offer(generation: Generation, request: Request, footage: Footage | None = None, **said: Any) -> Offer:
    rules.check(request)
    price = price_of(request, footage)
    return Offer(generation_id=generation.id, price_usd=price.usd, price_basis=price.basis, **said)


def _extend(generation: Generation) -> Offer:
    frame = GenerationKeyframe(generation.id)
    request = VideoRequest(**form_of(generation), prompt=_SOME_WORDS, frame0=frame)
    said: _Json = {"generation_id": generation.id}
    return _offer(generation, request, action="extend", tool="extend_video", arguments=said, prompt="required")


def _upscale(generation: Generation) -> Offer | None:
    footage = footage_of(generation)
    height = min(footage.width, footage.height) if footage else 0
    resolution = "1080p" if height < HEIGHTS["1080p"] else "4k"
    if height >= HEIGHTS["4k"]:
        return None
    said = {"generation_id": generation.id, "resolution": resolution}
    request = UpscaleRequest(generation_id=generation.id, resolution=resolution)
    return _offer(generation, request, footage, action="upscale", tool="upscale_video", arguments=said)


def _add_audio(generation: Generation) -> Offer | None:
    if generation.kind == "add_audio":
        return None
    said = {"generation_id": generation.id}
    request = AddAudioRequest(generation_id=generation.id)
    footage = footage_of(generation)
    return _offer(generation, request, footage, action="add audio", tool="add_audio", arguments=said, prompt="optional")


def _animate(generation: Generation) -> Offer | None:
    url = generation.assets and generation.assets.image
    if not url:
        return None
    ratio = generation.request.get("aspect_ratio")
    said = _without_nones(start_frame=generation.id, aspect_ratio=ratio)
    request = VideoRequest(model="ray-2", aspect_ratio=ratio, frame0=ImageKeyframe(url))
    return _offer(generation, request, action="animate", tool="create_video", arguments=said, prompt="optional")


def _vary_video(generation: Generation) -> Offer | None:
    """The same request once more: dreams differ."""
    if generation.kind != "video":
        return None
    asked = generation.request
    frames = cast("_Json", asked.get("keyframes") or {})
    concepts = [str(one["key"]) for one in cast("list[_Json]", asked.get("concepts") or [])]
    form, prompt = form_of(generation), asked.get("prompt")
    loop = bool(asked.get("loop"))
    first, last = (_frame(frames.get(role)) for role in ("frame0", "frame1"))
    request = VideoRequest(**form, prompt=prompt, loop=loop, concepts=tuple(concepts), frame0=first, frame1=last)
    said = _without_nones(
        prompt=prompt,
        loop=loop or None,
        concepts=concepts or None,
        start_frame=_source(first),
        end_frame=_source(last),
        **form,
    )
    return _offer(generation, request, action="variation", tool="create_video", arguments=said)


def _vary_image(generation: Generation) -> Offer | None:
    if generation.kind != "image":
        return None
    asked = generation.request
    form = {name: asked.get(name) for name in ("model", "prompt", "aspect_ratio", "format")}
    image_refs, style_refs = (_references(asked.get(name)) for name in ("image_ref", "style_ref"))
    person = cast("_Json", cast("_Json", asked.get("character_ref") or {}).get("identity0") or {})
    people = [_lasting(url) for url in cast("list[str]", person.get("images") or [])]
    changed = _references([asked["modify_image_ref"]]) if asked.get("modify_image_ref") else []
    request = ImageRequest(
        image_ref=tuple(ImageReference(**one) for one in image_refs),
        style_ref=tuple(ImageReference(**one) for one in style_refs),
        character_images=tuple(people),
        modify_image_ref=ImageReference(**changed[0]) if changed else None,
        **cast("Any", form),
    )
    said = _without_nones(
        image_refs=[_reference(one) for one in image_refs] or None,
        style_refs=[_reference(one) for one in style_refs] or None,
        character_images=people or None,
        modify_image=_reference(changed[0]) if changed else None,
        **form,
    )
    return _offer(generation, request, action="variation", tool="create_image", arguments=said)


def _frame(said: _Json | None) -> Keyframe | None:
    if said is None:
        return None
    return GenerationKeyframe(said["id"]) if said["type"] == "generation" else ImageKeyframe(_lasting(said["url"]))


def _source(frame: Keyframe | None) -> str | None:
    if frame is None:
        return None
    return frame.id if isinstance(frame, GenerationKeyframe) else frame.url


def _references(said: list[_Json] | None) -> list[_Json]:
    return [{"url": _lasting(one["url"]), "weight": one.get("weight")} for one in said or []]


def _reference(one: _Json) -> _Json:
    return _without_nones(source=one["url"], weight=one["weight"])


def _lasting(url: str) -> str:
    """A link that can be used again. Raises: ValueError, if it is signed and so may have expired."""
    if unsigned(url) != url:
        raise ValueError("signed")
    return url


def _without_nones(**said: Any) -> _Json:
    return {name: value for name, value in said.items() if value is not None}
