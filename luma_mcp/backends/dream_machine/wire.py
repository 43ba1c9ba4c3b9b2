"""The Dream Machine API's JSON: requests to bytes, bytes to values or errors. Pure.

Luma's server answers errors as `{"detail": ...}`: a sentence, sometimes after a literal "400: ", or for a schema
violation (422) a list of what is wrong. Proxies on the way answer HTML, or nothing. Answers are read liberally: unknown
fields are ignored, and a field that cannot be read counts as absent.

Source: the API reference and the official SDK `lumaai` 1.21.0.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, assert_never, cast
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, ValidationError, ValidatorFunctionWrapHandler, field_validator
from pydantic_core import from_json

from luma_mcp.backends.base import EncodedRequest
from luma_mcp.domain.catalogue import CANVASES
from luma_mcp.domain.errors import (
    AuthenticationError,
    InsufficientCreditsError,
    InvalidRequestError,
    LumaError,
    NotFoundError,
    RateLimitError,
    ServerError,
    UnexpectedResponseError,
)
from luma_mcp.domain.generation import Generation, Output, OutputKind, Page
from luma_mcp.domain.requests import (
    KINDS,
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
from luma_mcp.domain.text import cleaned, replace_lone_surrogates

JsonObject = dict[str, Any]

# Luma's ids are UUIDs. Any short word that is safe in a path is accepted, lest a change of form lose a paid job.
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
# The fields of `assets`, by the kind of output.
_ASSETS: dict[OutputKind, str] = {"video": "video", "image": "image", "preview": "progress_video"}


def encode(request: Request) -> EncodedRequest:
    """The request as the API takes it. Raises: InvalidRequestError, if an id in it is none."""
    path, fields = _path_and_fields(request)
    # Zero pixels and an empty prompt were asked for; an absent list or a loop that is off were not.
    body = {name: value for name, value in fields.items() if value or (value is not False and value in (0, ""))}
    return EncodedRequest(request, path, {"generation_type": request.kind} | body)


def _path_and_fields(request: Request) -> tuple[str, JsonObject]:
    """The path below the base URL, and every field; what was not asked for is empty."""
    match request:
        case VideoRequest():
            return "/generations/video", {
                "model": request.model,
                "prompt": request.prompt,
                "aspect_ratio": request.aspect_ratio,
                "resolution": request.resolution,
                "duration": request.duration,
                "loop": request.loop,
                "keyframes": _keyframes(frame0=request.start, frame1=request.end),
                "concepts": [{"key": key} for key in request.concepts],
            }
        case ImageRequest():
            characters = list(request.character_images)
            return "/generations/image", {
                "model": request.model,
                "prompt": request.prompt,
                "aspect_ratio": request.aspect_ratio,
                "format": request.format,
                "image_ref": [_reference(reference) for reference in request.image_references],
                "style_ref": [_reference(reference) for reference in request.style_references],
                "character_ref": {"identity0": {"images": characters}} if characters else None,
                "modify_image_ref": _reference(request.modify_image) if request.modify_image else None,
            }
        case ReframeVideoRequest() | ReframeImageRequest():
            is_image = isinstance(request, ReframeImageRequest)
            return f"/generations/{'image' if is_image else 'video'}/reframe", {
                "model": request.model,
                "media": {"url": request.media},
                "aspect_ratio": request.aspect_ratio,
                "prompt": request.prompt,
                **({"format": request.format} if is_image else {"first_frame": _media(request.first_frame)}),
            } | _pixels(request.placement, request.aspect_ratio)
        case ModifyVideoRequest():
            return "/generations/video/modify", {
                "model": request.model,
                "media": {"url": request.media},
                "mode": request.mode,
                "prompt": request.prompt,
                "first_frame": _media(request.first_frame),
            }
        case UpscaleRequest():
            return f"{generation_path(request.generation_id)}/upscale", {"resolution": request.resolution}
        case AddAudioRequest():
            fields = {"prompt": request.prompt, "negative_prompt": request.negative_prompt}
            return f"{generation_path(request.generation_id)}/audio", fields
        case _ as unreachable:
            assert_never(unreachable)


def generation_path(generation_id: str) -> str:
    """The path of a generation.

    Raises:
        InvalidRequestError: it cannot be an id; it might otherwise name another path.
    """
    if not _ID.fullmatch(generation_id):
        raise InvalidRequestError(
            f"{cleaned(generation_id, 60)!r} is not a generation id.",
            "An id looks like 15b7abb1-3741-4b7e-9615-1f9a16c7442d; list_generations shows yours.",
        )
    return f"/generations/{quote(generation_id, safe='')}"


def _keyframes(**frames: Keyframe | None) -> JsonObject:
    encoded: JsonObject = {}
    for name, frame in frames.items():
        match frame:
            case ImageKeyframe(url):
                encoded[name] = {"type": "image", "url": url}
            case GenerationKeyframe(generation_id):
                encoded[name] = {"type": "generation", "id": generation_id}
            case None:
                pass
            case _ as unreachable:
                assert_never(unreachable)
    return encoded


def _reference(reference: ImageReference) -> JsonObject:
    weight = {} if reference.weight is None else {"weight": reference.weight}
    return {"url": reference.url, **weight}


def _media(url: str | None) -> JsonObject | None:
    return {"url": url} if url else None


def _pixels(placement: Placement | None, aspect_ratio: str) -> JsonObject:
    """The eight integers that say in pixels of the target canvas where the source lies (docs, reframe)."""
    if placement is None:
        return {}
    width, height = CANVASES[aspect_ratio]
    left, right = (round(x * width) for x in (placement.left, placement.left + placement.width))
    top, bottom = (round(y * height) for y in (placement.top, placement.top + placement.height))
    return {
        "grid_position_x": left,
        "grid_position_y": top,
        "x_start": left,
        "x_end": right,
        "y_start": top,
        "y_end": bottom,
        "resized_width": right - left,
        "resized_height": bottom - top,
    }


# Luma's documented states, and other words for them that APIs use.
_STATES = {
    **dict.fromkeys(("completed", "complete", "succeeded", "success", "successful", "done", "finished"), "completed"),
    **dict.fromkeys(("failed", "fail", "failure", "error", "errored", "rejected", "canceled", "cancelled"), "failed"),
    **dict.fromkeys(("dreaming", "processing", "running", "in_progress", "generating"), "dreaming"),
    **dict.fromkeys(("queued", "pending", "submitted", "waiting"), "queued"),
}


class _Answer(BaseModel):
    """Part of an answer. A field that cannot be read counts as absent."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=(), defer_build=True)

    @field_validator("*", mode="wrap")
    @classmethod
    def _unreadable_is_absent(cls, value: Any, read: ValidatorFunctionWrapHandler) -> Any:
        try:
            return read(value)
        except ValidationError:
            return read(None)


class _Assets(_Answer):
    video: str | None = None
    image: str | None = None
    progress_video: str | None = None


class _Generation(_Answer):
    id: str
    generation_type: str | None = None
    state: str | None = None
    failure_reason: str | None = None
    created_at: datetime | None = None
    assets: _Assets | None = None
    model: str | None = None
    request: dict[str, Any] | None = None

    @field_validator("request", mode="before")
    @classmethod
    def _echo(cls, value: Any) -> Any:
        """The echoed request, also where it comes as JSON in a string or in camelCase."""
        if isinstance(value, str):
            try:
                value = from_json(value)
            except ValueError:
                return None
        return _snake_case(value) if isinstance(value, dict) else None

    @field_validator("created_at", mode="after")
    @classmethod
    def _in_utc(cls, value: datetime | None) -> datetime | None:
        """A time without a zone is UTC, as Luma's are."""
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


def _snake_case(value: Any) -> Any:
    if isinstance(value, dict):
        names = cast("JsonObject", value)
        return {re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", str(name)).lower(): _snake_case(names[name]) for name in names}
    if isinstance(value, list):
        return [_snake_case(item) for item in cast("list[Any]", value)]
    return value


def read_generation(data: bytes) -> Generation:
    """Raises: UnexpectedResponseError."""
    answer = _object(data)
    if not _has_id(answer):
        raise UnexpectedResponseError("Luma answered a generation without an id.")
    return _generation(answer)


def read_page(data: bytes) -> Page:
    """Raises: UnexpectedResponseError. An entry without an id is left out."""
    answer = _object(data)
    entries = answer.get("generations")
    if not isinstance(entries, list):
        raise UnexpectedResponseError("Luma answered a list without generations in it.")
    generations = tuple(_generation(entry) for entry in cast("list[Any]", entries) if _has_id(entry))
    return Page(generations, has_more=answer.get("has_more") is True)


def read_credit_usd(data: bytes) -> float:
    """The balance in dollars; on the wire it is in cents. Raises: UnexpectedResponseError."""
    cents = _object(data).get("credit_balance")
    if isinstance(cents, bool) or not isinstance(cents, int | float):
        raise UnexpectedResponseError("Luma answered a credit balance that is not a number.")
    return cents / 100


def read_words(data: bytes) -> tuple[str, ...]:
    """A plain list of words, as concepts and camera motions come. Raises: UnexpectedResponseError."""
    answer = _json(data)
    words = cast("list[Any]", answer) if isinstance(answer, list) else [None]
    if not all(isinstance(word, str) for word in words):
        raise UnexpectedResponseError("Luma answered something other than a list of words.")
    return tuple(cleaned(str(word), 60) for word in words)


def _has_id(answer: Any) -> bool:
    generation_id = cast("JsonObject", answer).get("id") if isinstance(answer, dict) else None
    return isinstance(generation_id, str) and _ID.fullmatch(generation_id) is not None


def _generation(answer: Any) -> Generation:
    read = _Generation.model_validate(answer)
    request = read.request or {}
    outputs = [Output(output, url) for output, field in _ASSETS.items() if (url := getattr(read.assets, field, None))]
    return Generation(
        id=read.id,
        state=_STATES.get((read.state or "unknown").strip().casefold(), read.state or "unknown"),
        kind=_kind(read, request),
        failure_reason=read.failure_reason,
        created_at=read.created_at,
        outputs=tuple(outputs),
        model=read.model,
        request=request,
    )


def _kind(read: _Generation, request: JsonObject) -> str:
    """The operation. Answers before 2025 name it `type`; some name only whether a video or an image is made."""
    kind = request.get("generation_type") or request.get("type")
    if isinstance(kind, str) and (kind in KINDS or read.generation_type != "image"):
        return kind
    return read.generation_type or "video"


def _object(data: bytes) -> JsonObject:
    answer = _json(data)
    if not isinstance(answer, dict):
        raise UnexpectedResponseError("Luma answered JSON, but not an object.")
    return cast("JsonObject", answer)


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
        # One prompt with half an emoji in it must not hide the whole list, in which a paid generation may be.
        return from_json(replace_lone_surrogates(data), allow_inf_nan=False)


def error_of(status: int, data: bytes, headers: Mapping[str, str], now: float) -> LumaError:
    """What an answer that is not a success means. `now` is Unix time, for a Retry-After that is a date."""
    detail = detail_of(data)
    reason = f" Luma says: {detail!r}." if detail else ""
    match status:
        case 400 if "insufficient credit" in detail.lower():
            return InsufficientCreditsError(
                "The Luma account has insufficient credits for this.",
                "Nothing was bought. Only the account's owner can add API credits, at https://platform.lumalabs.ai.",
            )
        case 408 | 409 | 425:
            return UnexpectedResponseError(f"Luma answered with status {status}.{reason}")
        case 401 | 403:
            return AuthenticationError(f"Luma refused the token ({status}).{reason}")
        case 404:
            return NotFoundError(
                f"Luma has nothing at this address (404).{reason}", "list_generations shows the ids that exist."
            )
        case 429:
            wait = retry_after(headers, now)
            when = f"in {wait:.0f} s" if wait is not None else "in a minute"
            return RateLimitError(
                f"Luma's rate limit is reached (429).{reason}", f"Nothing was bought. Call again {when}.", wait
            )
        case _ if 400 <= status < 500:
            return InvalidRequestError(
                f"Luma refused the request ({status}).{reason}", "Nothing was bought. Change the arguments."
            )
        case _ if status >= 500:
            return ServerError(f"Luma failed to answer ({status}).{reason}", "See https://status.lumalabs.ai.")
        case _:
            return UnexpectedResponseError(f"Luma answered with status {status}, which means nothing here.{reason}")


# The statuses by which Luma's documentation refuses a request. An error that is not Luma's own is no refusal.
_REFUSALS = frozenset({400, 401, 403, 404, 413, 422, 429})


def is_refusal(status: int, data: bytes) -> bool:
    """Whether an answer to a purchase proves that nothing was bought: a documented status, in Luma's own shape.

    A proxy on the way may answer 403 or 429 in HTML after Luma accepted. Luma's 429 is not documented, so any JSON
    object counts for it.
    """
    if status not in _REFUSALS:
        return False
    try:
        answer = _parsed(data)
    except (ValueError, RecursionError):
        return False
    if not isinstance(answer, dict):
        return False
    return status == 429 or isinstance(cast("JsonObject", answer).get("detail"), str | list)


def detail_of(data: bytes) -> str:
    """Luma's own words in an error, cleaned and cut; empty if there are none."""
    try:
        answer = _parsed(data)
    except (ValueError, RecursionError):
        return ""
    detail: Any = cast("JsonObject", answer).get("detail") if isinstance(answer, dict) else None
    if isinstance(detail, list):
        detail = "; ".join(_violation(violation) for violation in cast("list[Any]", detail)[:5])
    return cleaned(re.sub(r"^\d{3}: ", "", detail)) if isinstance(detail, str) else ""


def _violation(violation: Any) -> str:
    """An entry of a 422: where, and what is wrong."""
    if not isinstance(violation, dict):
        return str(violation)
    entry = cast("JsonObject", violation)
    location = entry.get("loc")
    parts = cast("list[Any]", location) if isinstance(location, list) else []
    place = ".".join(str(part) for part in parts if part != "body")
    return f"{place}: {entry.get('msg', '')}" if place else str(entry.get("msg", ""))


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """The seconds that `Retry-After` asks for, as a number or a date; None if absent, negative or unreadable."""
    text = headers.get("retry-after", "").strip()
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - now
        except (ValueError, TypeError, OverflowError):
            return None
    return seconds if 0 <= seconds < 86_400 else None
