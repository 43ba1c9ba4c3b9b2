"""Answers of the Dream Machine API: bytes to values. Pure.

Source: the API reference and the official SDK `lumaai` 1.21.0.
"""

import re
from typing import Any, cast

from pydantic import field_validator
from pydantic_core import from_json

from luma_mcp.backends.responses import JsonObject, LenientAnswer, Time, has_id, read_json, read_object, state_of
from luma_mcp.domain.errors import UnexpectedResponseError
from luma_mcp.domain.generation import Generation, Output, OutputKind, Page
from luma_mcp.domain.requests import KINDS
from luma_mcp.domain.text import cleaned

# The fields of `assets`, by the kind of output.
_ASSETS: dict[OutputKind, str] = {"video": "video", "image": "image", "preview": "progress_video"}


class _Assets(LenientAnswer):
    video: str | None = None
    image: str | None = None
    progress_video: str | None = None


class _Generation(LenientAnswer):
    id: str
    generation_type: str | None = None
    state: str | None = None
    failure_reason: str | None = None
    created_at: Time | None = None
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


def _snake_case(value: Any) -> Any:
    if isinstance(value, dict):
        names = cast("JsonObject", value)
        return {re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", str(name)).lower(): _snake_case(names[name]) for name in names}
    if isinstance(value, list):
        return [_snake_case(item) for item in cast("list[Any]", value)]
    return value


def read_generation(data: bytes) -> Generation:
    """Raises: UnexpectedResponseError."""
    answer = read_object(data)
    if not has_id(answer):
        raise UnexpectedResponseError("Luma answered a generation without an id.")
    return _generation(answer)


def read_page(data: bytes) -> Page:
    """Raises: UnexpectedResponseError. An entry without an id is left out and counted."""
    answer = read_object(data)
    entries = answer.get("generations")
    if not isinstance(entries, list):
        raise UnexpectedResponseError("Luma answered a list without generations in it.")
    listed = cast("list[Any]", entries)
    generations = tuple(_generation(entry) for entry in listed if has_id(entry))
    return Page(generations, answer.get("has_more") is True, unreadable=len(listed) - len(generations))


_MOST_CENTS = 1e15
_MAX_WORDS, _LONGEST_WORD = 1000, 60


def read_credit_usd(data: bytes) -> float:
    """The balance in dollars; on the wire it is in cents. Raises: UnexpectedResponseError."""
    cents = read_object(data).get("credit_balance")
    # A number beyond every float is read as infinite.
    if isinstance(cents, bool) or not isinstance(cents, int | float) or not abs(cents) < _MOST_CENTS:
        raise UnexpectedResponseError("Luma answered a credit balance that is not a number.")
    return cents / 100


def read_words(data: bytes) -> tuple[str, ...]:
    """A plain list of words, as concepts and camera motions come. Raises: UnexpectedResponseError."""
    answer = read_json(data)
    words = cast("list[Any]", answer) if isinstance(answer, list) else [None]
    if len(words) > _MAX_WORDS or not all(isinstance(word, str) and len(word) <= _LONGEST_WORD for word in words):
        raise UnexpectedResponseError("Luma answered something other than a list of words.")
    return tuple(cleaned(str(word), 60) for word in words)


def _generation(answer: Any) -> Generation:
    read = _Generation.model_validate(answer)
    request = read.request or {}
    outputs = [Output(output, url) for output, field in _ASSETS.items() if (url := getattr(read.assets, field, None))]
    return Generation(
        id=read.id,
        state=state_of(read.state),
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
