"""Answers of the Dream Machine API: bytes to values. Pure.

Answers are read liberally: unknown fields are ignored, and a field that cannot be read counts as absent.

Source: the API reference and the official SDK `lumaai` 1.21.0.
"""

import re
from datetime import UTC, datetime
from typing import Any, cast

from pydantic import BaseModel, ConfigDict, ValidationError, ValidatorFunctionWrapHandler, field_validator
from pydantic_core import from_json

from luma_mcp.backends.dream_machine.encoding import ID
from luma_mcp.domain.errors import UnexpectedResponseError
from luma_mcp.domain.generation import Generation, Output, OutputKind, Page
from luma_mcp.domain.requests import KINDS
from luma_mcp.domain.text import cleaned, replace_lone_surrogates

JsonObject = dict[str, Any]

# The fields of `assets`, by the kind of output.
_ASSETS: dict[OutputKind, str] = {"video": "video", "image": "image", "preview": "progress_video"}
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
    return isinstance(generation_id, str) and ID.fullmatch(generation_id) is not None


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
        return parse_json(data)
    except (ValueError, RecursionError) as error:
        what = "nothing" if not data.strip() else f"{len(data)} bytes that are not JSON"
        hint = "A proxy or a login page may stand in between; check LUMA_BASE_URL and the network."
        raise UnexpectedResponseError(f"Luma answered {what}.", hint) from error


def parse_json(data: bytes) -> Any:
    """JSON, also with half an emoji in it. Raises: ValueError, RecursionError."""
    try:
        return from_json(data, allow_inf_nan=False)
    except ValueError:
        # One prompt with half an emoji in it must not hide the whole list, in which a paid generation may be.
        return from_json(replace_lone_surrogates(data), allow_inf_nan=False)
