"""What is said to Luma and what its answers mean. Pure: bytes and values in, values and errors out.

Luma's server answers errors as `{"detail": ...}`: a sentence, sometimes with a literal "400: " before it, or for a
schema violation (422) a list of what is wrong. Proxies on the way answer HTML, or nothing.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict
from email.utils import parsedate_to_datetime
from typing import Any, assert_never, cast
from urllib.parse import quote

from pydantic_core import from_json, to_json

from luma_mcp.luma.characters import whole_characters
from luma_mcp.luma.errors import (
    AuthenticationError,
    InsufficientCreditsError,
    InvalidRequestError,
    LumaError,
    NotFoundError,
    RateLimitError,
    ServerError,
    UnexpectedResponseError,
)
from luma_mcp.luma.models import (
    AddAudioRequest,
    Generation,
    GenerationKeyframe,
    ImageKeyframe,
    ImageReference,
    ImageRequest,
    Keyframe,
    ModifyVideoRequest,
    Page,
    ReframeImageRequest,
    ReframeVideoRequest,
    Request,
    UpscaleRequest,
    VideoRequest,
)

Json = dict[str, Any]

# Luma's ids are UUIDs. Any short word that is safe in a path is let through, lest a change of form lose a paid job.
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_LONGEST_QUOTE = 500
# Control characters, zero-width and direction marks, halves of characters, and the invisible "tag" letters that can
# hide instructions.
_UNSEEN = re.compile(
    "[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff\U000e0000-\U000e007f]+"
)


def endpoint(request: Request) -> str:
    """The path that a request is POSTed to, below the base URL."""
    match request:
        case VideoRequest():
            return "/generations/video"
        case ImageRequest():
            return "/generations/image"
        case ReframeVideoRequest():
            return "/generations/video/reframe"
        case ReframeImageRequest():
            return "/generations/image/reframe"
        case ModifyVideoRequest():
            return "/generations/video/modify"
        case UpscaleRequest():
            return f"{one_generation(request.generation_id)}/upscale"
        case AddAudioRequest():
            return f"{one_generation(request.generation_id)}/audio"
        case _ as unreachable:
            assert_never(unreachable)


def one_generation(generation_id: str) -> str:
    """The path of one generation.

    Raises:
        InvalidRequestError: what is given cannot be an id; it might otherwise name another path.
    """
    if not _ID.fullmatch(generation_id):
        raise InvalidRequestError(
            f"{quoted(generation_id, 60)!r} is not a generation id.",
            "An id looks like 15b7abb1-3741-4b7e-9615-1f9a16c7442d; list_generations shows yours.",
        )
    return f"/generations/{quote(generation_id, safe='')}"


def body(request: Request) -> dict[str, Any]:
    """The JSON of a request: only what was said, nothing filled in."""
    match request:
        case VideoRequest():
            frames = _said(frame0=_keyframe(request.frame0), frame1=_keyframe(request.frame1))
            said = _said(
                generation_type="video",
                model=request.model,
                prompt=request.prompt,
                aspect_ratio=request.aspect_ratio,
                resolution=request.resolution,
                duration=request.duration,
                loop=request.loop or None,
                keyframes=frames or None,
                concepts=[{"key": key} for key in request.concepts] or None,
            )
        case ImageRequest():
            character = {"identity0": {"images": list(request.character_images)}} if request.character_images else None
            said = _said(
                generation_type="image",
                model=request.model,
                prompt=request.prompt,
                aspect_ratio=request.aspect_ratio,
                format=request.format,
                image_ref=[_reference(one) for one in request.image_ref] or None,
                style_ref=[_reference(one) for one in request.style_ref] or None,
                character_ref=character,
                modify_image_ref=_reference(request.modify_image_ref) if request.modify_image_ref else None,
            )
        case ReframeVideoRequest() | ReframeImageRequest():
            still = isinstance(request, ReframeImageRequest)
            said = _said(
                generation_type="reframe_image" if still else "reframe_video",
                model=request.model,
                media={"url": request.media},
                aspect_ratio=request.aspect_ratio,
                prompt=request.prompt,
                format=request.format if still else None,
                first_frame={"url": request.first_frame} if not still and request.first_frame else None,
                **asdict(request.placement),
            )
        case ModifyVideoRequest():
            said = _said(
                generation_type="modify_video",
                model=request.model,
                media={"url": request.media},
                mode=request.mode,
                prompt=request.prompt,
                first_frame={"url": request.first_frame} if request.first_frame else None,
            )
        case UpscaleRequest():
            said = _said(generation_type="upscale_video", resolution=request.resolution)
        case AddAudioRequest():
            said = _said(generation_type="add_audio", prompt=request.prompt, negative_prompt=request.negative_prompt)
        case _ as unreachable:
            assert_never(unreachable)
    return said | _said(callback_url=request.callback_url)


def as_json(said: Mapping[str, Any]) -> str:
    """Those fields as compact JSON, for showing."""
    return to_json(said).decode()


def _said(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _keyframe(frame: Keyframe | None) -> dict[str, str] | None:
    match frame:
        case ImageKeyframe(url):
            return {"type": "image", "url": url}
        case GenerationKeyframe(generation_id):
            return {"type": "generation", "id": generation_id}
        case None:
            return None
        case _ as unreachable:
            assert_never(unreachable)


def _reference(reference: ImageReference) -> dict[str, Any]:
    return _said(url=reference.url, weight=reference.weight)


def read_generation(data: bytes) -> Generation:
    """Raises: UnexpectedResponseError."""
    return _generation(_object(data))


def read_page(data: bytes) -> Page:
    """Raises: UnexpectedResponseError. An entry without an id is left out."""
    said = _object(data)
    entries = said.get("generations")
    if not isinstance(entries, list):
        raise UnexpectedResponseError("Luma answered a list without generations in it.")
    read = tuple(Generation.model_validate(entry) for entry in cast("list[Any]", entries) if _has_id(entry))
    return Page(generations=read, has_more=said.get("has_more") is True)


def read_credit_usd(data: bytes) -> float:
    """The balance in dollars; on the wire it is in cents. Raises: UnexpectedResponseError."""
    cents = _object(data).get("credit_balance")
    if isinstance(cents, bool) or not isinstance(cents, int | float):
        raise UnexpectedResponseError("Luma answered a credit balance that is not a number.")
    return cents / 100


def read_words(data: bytes) -> tuple[str, ...]:
    """A plain list of words, as concepts and camera motions come. Raises: UnexpectedResponseError."""
    said = _json(data)
    words = cast("list[Any]", said) if isinstance(said, list) else [None]
    if not all(isinstance(word, str) for word in words):
        raise UnexpectedResponseError("Luma answered something other than a list of words.")
    return tuple(quoted(str(word), 60) for word in words)


def _has_id(said: Any) -> bool:
    generation_id = cast("Json", said).get("id") if isinstance(said, dict) else None
    return isinstance(generation_id, str) and _ID.fullmatch(generation_id) is not None


def _generation(said: dict[str, Any]) -> Generation:
    if not _has_id(said):
        raise UnexpectedResponseError("Luma answered a generation without an id.")
    return Generation.model_validate(said)


def _object(data: bytes) -> dict[str, Any]:
    said = _json(data)
    if not isinstance(said, dict):
        raise UnexpectedResponseError("Luma answered JSON, but not an object.")
    return cast("Json", said)


def _json(data: bytes) -> Any:
    try:
        return _parsed(data)
    except (ValueError, RecursionError) as error:
        what = "nothing" if not data.strip() else f"{len(data)} bytes that are not JSON"
        hint = "A proxy or a login page may stand in between; check LUMA_BASE_URL and the network."
        raise UnexpectedResponseError(f"Luma answered {what}.", hint) from error


def _parsed(data: bytes) -> Any:
    """Raises: ValueError, RecursionError."""
    try:
        return from_json(data, allow_inf_nan=False)
    except ValueError:
        # One prompt with half an emoji in it shall not hide the whole list, in which a paid generation may stand.
        return from_json(whole_characters(data), allow_inf_nan=False)


def error_of(status: int, data: bytes, headers: Mapping[str, str], now: float) -> LumaError:
    """What an answer that is not a success means. `now` is Unix time, for a Retry-After that is a date."""
    detail = detail_of(data)
    said = f" Luma says: {detail!r}." if detail else ""
    match status:
        case 400 if "insufficient credit" in detail.lower():
            return InsufficientCreditsError(
                "The Luma account has insufficient credits for this.",
                "Nothing was bought. Only the account's owner can add API credits, at https://platform.lumalabs.ai.",
            )
        case 408 | 409 | 425:
            return UnexpectedResponseError(f"Luma answered with status {status}.{said}")
        case 401 | 403:
            return AuthenticationError(f"Luma refused the token ({status}).{said}")
        case 404:
            return NotFoundError(f"Luma knows nothing there (404).{said}", "list_generations shows the ids that exist.")
        case 429:
            wait = retry_after(headers, now)
            when = f"in {wait:.0f} s" if wait is not None else "in a minute"
            return RateLimitError(
                f"Luma's rate limit is reached (429).{said}", f"Nothing was bought. Call again {when}.", wait
            )
        case _ if 400 <= status < 500:
            return InvalidRequestError(
                f"Luma refused the request ({status}).{said}", "Nothing was bought. Change the arguments."
            )
        case _ if status >= 500:
            return ServerError(f"Luma failed to answer ({status}).{said}", "See https://status.lumalabs.ai.")
        case _:
            return UnexpectedResponseError(f"Luma answered with status {status}, which means nothing here.{said}")


def detail_of(data: bytes) -> str:
    """Luma's own words in an error, cleaned and capped; empty when there are none."""
    try:
        said = _parsed(data)
    except (ValueError, RecursionError):
        return ""
    detail: Any = cast("Json", said).get("detail") if isinstance(said, dict) else None
    if isinstance(detail, list):
        detail = "; ".join(_violation(one) for one in cast("list[Any]", detail)[:5])
    return quoted(re.sub(r"^\d{3}: ", "", detail)) if isinstance(detail, str) else ""


def _violation(one: Any) -> str:
    """One entry of a 422: where, and what is wrong."""
    if not isinstance(one, dict):
        return str(one)
    violation = cast("Json", one)
    where = violation.get("loc")
    parts = cast("list[Any]", where) if isinstance(where, list) else []
    place = ".".join(str(part) for part in parts if part != "body")
    return f"{place}: {violation.get('msg', '')}" if place else str(violation.get("msg", ""))


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that `Retry-After` asks for, given as seconds or as a date; None if absent, negative or nonsense."""
    said = headers.get("retry-after", "").strip()
    try:
        seconds = float(said)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(said).timestamp() - now
        except (ValueError, TypeError, OverflowError):
            return None
    return seconds if 0 <= seconds < 86_400 else None


def quoted(text: str, longest: int = _LONGEST_QUOTE) -> str:
    """Somebody else's words made safe to show: no control or invisible characters, and not too many of them."""
    seen = _UNSEEN.sub(" ", text).strip()
    return seen if len(seen) <= longest else seen[: longest - 1] + "…"
