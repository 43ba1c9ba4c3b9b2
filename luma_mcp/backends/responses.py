"""The common form of the responses of both APIs: JSON read liberally, states, error texts, Retry-After. Pure."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Annotated, Any, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    ValidationError,
    ValidatorFunctionWrapHandler,
    field_validator,
)
from pydantic_core import from_json

from luma_mcp.domain.errors import UnexpectedResponseError
from luma_mcp.domain.generation import GENERATION_ID
from luma_mcp.domain.text import cleaned, replace_lone_surrogates

JsonObject = dict[str, Any]

# Luma's documented states, and other words for them that APIs use.
STATES = {
    **dict.fromkeys(("completed", "complete", "succeeded", "success", "successful", "done", "finished"), "completed"),
    **dict.fromkeys(("failed", "fail", "failure", "error", "errored", "rejected", "canceled", "cancelled"), "failed"),
    **dict.fromkeys(("dreaming", "processing", "running", "in_progress", "generating"), "dreaming"),
    **dict.fromkeys(("queued", "pending", "submitted", "waiting"), "queued"),
}


def _in_utc(value: datetime) -> datetime:
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value


Time = Annotated[datetime, AfterValidator(_in_utc)]
"""A time of a response. Without a zone it is UTC, as Luma's are."""


class LenientResponse(BaseModel):
    """Part of a response. Unknown fields are ignored, and a field that cannot be read counts as absent."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=(), defer_build=True)

    @field_validator("*", mode="wrap")
    @classmethod
    def _unreadable_is_absent(cls, value: Any, read: ValidatorFunctionWrapHandler) -> Any:
        try:
            return read(value)
        except ValidationError:
            return read(None)


def state_of(text: str | None) -> str:
    """One of the documented states for any word for it; an unknown word as it is."""
    return STATES.get((text or "unknown").strip().casefold(), text or "unknown")


def has_id(response: Any) -> bool:
    """Whether it is an object with an id that can be in a path."""
    generation_id = cast("JsonObject", response).get("id") if isinstance(response, dict) else None
    return isinstance(generation_id, str) and GENERATION_ID.fullmatch(generation_id) is not None


def read_object(data: bytes) -> JsonObject:
    """An object. Raises: UnexpectedResponseError."""
    response = read_json(data)
    if not isinstance(response, dict):
        raise UnexpectedResponseError("Luma answered JSON, but not an object.")
    return cast("JsonObject", response)


def read_json(data: bytes) -> Any:
    """Any JSON. Raises: UnexpectedResponseError."""
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


def complete_part(data: bytes | bytearray) -> Any:
    """The fields of JSON that was cut that came whole; None if it is not JSON so far."""
    try:
        return from_json(bytes(data), allow_inf_nan=False, allow_partial=True)
    except ValueError:
        return None


# Where APIs, gateways and frameworks put the sentence of an error, in the order in which they are searched.
_SENTENCE_FIELDS = (
    "detail",
    "message",
    "msg",
    "error",
    "errors",
    "description",
    "error_description",
    "reason",
    "title",
)
_MAX_DEPTH, _MAX_SENTENCES = 4, 5


def sentence_of(data: bytes) -> str:
    """The words of an error in any shape of JSON that is common, cleaned and cut; empty if there are none."""
    try:
        response = parse_json(data)
    except (ValueError, RecursionError):
        return ""
    sentence = _sentence(response, _MAX_DEPTH) if isinstance(response, dict | list) else ""
    return cleaned(re.sub(r"^\d{3}: ", "", sentence))


def _sentence(value: Any, depth: int) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        sentences = [_sentence(item, depth - 1) for item in cast("list[Any]", value)[:_MAX_SENTENCES]] if depth else []
        return "; ".join(filter(None, sentences))
    if not isinstance(value, dict) or not depth:
        return ""
    fields = cast("JsonObject", value)
    sentences = (_sentence(fields[name], depth - 1) for name in _SENTENCE_FIELDS if name in fields)
    sentence = next(filter(None, sentences), "")
    # An entry of a 422 names the field too.
    location = fields.get("loc")
    names = [str(name) for name in cast("list[Any]", location) if name != "body"] if isinstance(location, list) else []
    return f"{'.'.join(names)}: {sentence}" if names else sentence


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


def per_minute(headers: Mapping[str, str]) -> int | None:
    """The requests in a minute that `X-RateLimit-Limit` states; None if absent or unreadable."""
    text = headers.get("x-ratelimit-limit", "").strip()
    return int(text) if re.fullmatch(r"[1-9]\d{0,4}", text, re.ASCII) else None


def keep_alive_seconds(headers: Mapping[str, str]) -> int | None:
    """The seconds after which the other side closes an idle connection, as `Keep-Alive` states; None if it does not."""
    found = re.search(r"\btimeout\s*=\s*(\d{1,6})\b", headers.get("keep-alive", ""), re.ASCII)
    return int(found[1]) if found else None
