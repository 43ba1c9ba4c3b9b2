"""Answers of the Dream Machine API that are no success: bytes to errors. Pure.

Luma's server answers errors as `{"detail": ...}`: a sentence, sometimes after a literal "400: ", or for a schema
violation (422) a list of what is wrong. Proxies on the way answer HTML, or nothing.

Source: the API reference and the official SDK `lumaai` 1.21.0.
"""

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, cast

from luma_mcp.backends.dream_machine.answers import parse_json
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
from luma_mcp.domain.text import cleaned

JsonObject = dict[str, Any]


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
        answer = parse_json(data)
    except (ValueError, RecursionError):
        return False
    if not isinstance(answer, dict):
        return False
    return status == 429 or isinstance(cast("JsonObject", answer).get("detail"), str | list)


def detail_of(data: bytes) -> str:
    """Luma's own words in an error, cleaned and cut; empty if there are none."""
    try:
        answer = parse_json(data)
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
