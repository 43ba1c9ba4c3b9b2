"""Responses of the Dream Machine API: bytes to values. Pure.

Source: the API reference and the official SDK `lumaai` 1.21.0.
"""

import re
from typing import Any, cast

from pydantic import field_validator
from pydantic_core import from_json

from luma_mcp.backends.dream_machine.request_decoding import request_of
from luma_mcp.backends.responses import JsonObject, LenientResponse, Time, has_id, read_json, read_object, state_of
from luma_mcp.domain.errors import UnexpectedResponseError
from luma_mcp.domain.generation import Generation, Output, OutputKind, Page
from luma_mcp.domain.requests import KINDS
from luma_mcp.domain.text import cleaned

# The fields of `assets`, by the kind of output.
_ASSETS: dict[OutputKind, str] = {"video": "video", "image": "image", "preview": "progress_video"}


class _Assets(LenientResponse):
    video: str | None = None
    image: str | None = None
    progress_video: str | None = None


class _Generation(LenientResponse):
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
    response = read_object(data)
    if not has_id(response):
        raise UnexpectedResponseError("Luma answered a generation without an id.")
    return _generation(response)


def read_page(data: bytes) -> Page:
    """Raises: UnexpectedResponseError. An entry without an id is left out and counted."""
    response = read_object(data)
    entries = response.get("generations")
    if not isinstance(entries, list):
        raise UnexpectedResponseError("Luma answered a list without generations in it.")
    listed = cast("list[Any]", entries)
    generations = tuple(_generation(entry) for entry in listed if has_id(entry))
    return Page(generations, response.get("has_more") is True, unreadable=len(listed) - len(generations))


_MAX_CENTS = 1e15
_MAX_WORDS, _MAX_WORD_LENGTH = 1000, 60


def read_credit_usd(data: bytes) -> float:
    """The balance in dollars; on the wire it is in cents. Raises: UnexpectedResponseError."""
    cents = read_object(data).get("credit_balance")
    # A number beyond every float is read as infinite.
    if isinstance(cents, bool) or not isinstance(cents, int | float) or not abs(cents) < _MAX_CENTS:
        raise UnexpectedResponseError("Luma answered a credit balance that is not a number.")
    return cents / 100


def read_words(data: bytes) -> tuple[str, ...]:
    """A plain list of words, as concepts and camera motions come. Raises: UnexpectedResponseError."""
    response = read_json(data)
    words = cast("list[Any]", response) if isinstance(response, list) else [None]
    if len(words) > _MAX_WORDS or not all(isinstance(word, str) and len(word) <= _MAX_WORD_LENGTH for word in words):
        raise UnexpectedResponseError("Luma answered something other than a list of words.")
    return tuple(cleaned(str(word), 60) for word in words)


def _generation(response: Any) -> Generation:
    read = _Generation.model_validate(response)
    echo = read.request or {}
    kind, prompt = _kind(read, echo), echo.get("prompt")
    outputs = [Output(output, url) for output, field in _ASSETS.items() if (url := getattr(read.assets, field, None))]
    return Generation(
        id=read.id,
        state=state_of(read.state),
        kind=kind,
        failure_reason=read.failure_reason,
        created_at=read.created_at,
        outputs=tuple(outputs),
        model=read.model,
        request=request_of(kind, echo),
        prompt=prompt if isinstance(prompt, str) else None,
        echo=echo,
    )


def _kind(read: _Generation, echo: JsonObject) -> str:
    """The operation. Responses before 2025 name it `type`; some name only whether a video or an image is made."""
    kind = echo.get("generation_type") or echo.get("type")
    if isinstance(kind, str) and (kind in KINDS or read.generation_type != "image"):
        return kind
    return read.generation_type or "video"
