"""Finding a purchase again in Luma's own list, when its answer was lost. Pure.

Luma echoes each request in its generation, with defaults filled in and nulls. Two requests are the same if everything
that was said agrees, and everything that was left out is absent or at its default.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, cast

from pydantic_core import to_json

from luma_mcp.backends.base import EncodedRequest
from luma_mcp.domain.generation import Generation
from luma_mcp.domain.signed_urls import unsigned, without_signatures

# Luma's clock and ours need not agree.
CLOCK_SKEW_SECONDS = 120.0
# A clock in the wrong time zone, or on the wrong day.
WRONG_CLOCK_SECONDS = 26 * 3600.0

# What Luma fills in by itself. Anything else that it adds on its own is no difference.
_DEFAULTS: dict[str, tuple[Any, ...]] = {
    "prompt": ("",),
    "aspect_ratio": ("16:9",),
    "resolution": ("540p", "720p", "1080p"),
    "duration": ("5s",),
    "loop": (False,),
    "format": ("jpg",),
}
_DECIDED = (
    "prompt", "aspect_ratio", "resolution", "duration", "loop", "keyframes", "concepts", "format", "image_ref",
    "style_ref", "character_ref", "modify_image_ref", "media", "mode", "first_frame", "negative_prompt",
    "grid_position_x", "grid_position_y", "x_start", "x_end", "y_start", "y_end", "resized_width", "resized_height",
)  # fmt: skip


def unsigned_body(encoded: EncodedRequest) -> dict[str, Any]:
    """What a request asks for. How links are signed is no part of that."""
    return without_signatures(encoded.body)


def fingerprint(encoded: EncodedRequest) -> str:
    """The same for the same request, in every process."""
    return _digest(encoded.path + to_json(unsigned_body(encoded)).decode())


def signature(encoded: EncodedRequest) -> str:
    """The same for requests that Luma's list cannot tell apart: it does not name the clip that was upscaled."""
    return _digest(to_json(unsigned_body(encoded)).decode())


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def candidates(said: dict[str, Any], sent_at: float, generations: Iterable[Generation]) -> list[Generation]:
    """The generations that may have come of a request that was sent at that time, oldest first."""
    alike = [one for one in generations if is_since(one, sent_at) and echoes(said, one)]
    return sorted(alike, key=lambda one: one.created_at.timestamp() if one.created_at else 0.0)


def doubtful(said: dict[str, Any], sent_at: float, generations: Iterable[Generation]) -> list[Generation]:
    """Those that are the request but were made before it was sent, by a day at the most: a clock may be wrong."""
    return [
        one
        for one in generations
        if one.created_at is not None
        and not is_since(one, sent_at)
        and sent_at - one.created_at.timestamp() < WRONG_CLOCK_SECONDS
        and echoes(said, one)
    ]


def generations_named_in(request: Mapping[str, Any]) -> list[str]:
    """The earlier clips that a request goes on from or leads up to."""
    frames = request.get("keyframes")
    named = cast("dict[str, Any]", frames).values() if isinstance(frames, dict) else ()
    ids = [cast("dict[str, Any]", one).get("id") for one in named if isinstance(one, dict)]
    return [one for one in ids if isinstance(one, str)]


def is_since(generation: Generation, sent_at: float) -> bool:
    """Whether it can have been made by something sent then. One without a time can."""
    created = generation.created_at
    return created is None or created.timestamp() >= sent_at - CLOCK_SKEW_SECONDS


def echoes(said: dict[str, Any], generation: Generation) -> bool:
    """Whether a generation's echoed request is the request that was said."""
    asked = generation.request
    if (asked.get("generation_type") or asked.get("type")) != said["generation_type"]:
        return False
    if "model" in said and asked.get("model") not in (None, said["model"]):
        return False
    return all(_agree(said.get(name), asked.get(name), _DEFAULTS.get(name, ())) for name in _DECIDED)


def _agree(said: Any, echoed: Any, defaults: tuple[Any, ...]) -> bool:
    said, echoed = _bare(said), _bare(echoed)
    return echoed in (None, *defaults) if said is None else said == echoed


def _bare(value: Any) -> Any:
    """Without signatures and the nulls that an echo is filled up with; nothing at all is None."""
    if isinstance(value, dict):
        kept = {name: _bare(one) for name, one in cast("dict[str, Any]", value).items()}
        return {name: one for name, one in kept.items() if one is not None} or None
    if isinstance(value, list):
        return [_bare(one) for one in cast("list[Any]", value)] or None
    return unsigned(value) if isinstance(value, str) else value
