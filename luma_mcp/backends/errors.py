"""Answers of Luma's APIs that are no success: bytes to errors. Pure.

Both answer errors as `{"detail": ...}`: a sentence, sometimes after a literal "400: ", or for a schema violation (422)
a list of what is wrong. Proxies on the way answer HTML, or nothing. The status decides; the words are shown only.

Sources: the API references, and the official SDKs `lumaai` 1.21.0 and `luma-agents` 0.5.0.
"""

from collections.abc import Mapping
from typing import cast

from luma_mcp.backends.responses import JsonObject, detail_of, parse_json, retry_after
from luma_mcp.domain.errors import (
    IDS_ARE_LISTED,
    AuthenticationError,
    InsufficientCreditsError,
    InvalidRequestError,
    LumaError,
    NotFoundError,
    RateLimitError,
    ServerError,
    UnexpectedResponseError,
)


def error_of(status: int, data: bytes, headers: Mapping[str, str], now: float) -> LumaError:
    """What an answer that is not a success means. `now` is Unix time, for a Retry-After that is a date."""
    detail = detail_of(data)
    reason = f" Luma says: {detail!r}." if detail else ""
    if status == 402 or (status == 400 and "insufficient credit" in detail.lower()):
        return InsufficientCreditsError(
            "The Luma account has insufficient credits for this.",
            "Nothing was bought. Only the account's owner can add API credits, at https://platform.lumalabs.ai.",
        )
    match status:
        case 408 | 409 | 425:
            return UnexpectedResponseError(f"Luma answered with status {status}.{reason}")
        case 401 | 403:
            return AuthenticationError(f"Luma refused the token ({status}).{reason}")
        case 404:
            return NotFoundError(f"Luma has nothing at this address (404).{reason}", IDS_ARE_LISTED)
        case 429:
            wait = retry_after(headers, now)
            when = f"in {wait:.0f} s" if wait is not None else "in a minute"
            return RateLimitError(
                f"Luma's rate limit is reached (429).{reason}", f"Nothing was bought. Call again {when}.", wait
            )
        case _ if 400 <= status < 500:
            return _refusal(status, reason)
        case _ if status >= 500:
            return ServerError(f"Luma failed to answer ({status}).{reason}", "See https://status.lumalabs.ai.")
        case _:
            return UnexpectedResponseError(f"Luma answered with status {status}, which means nothing here.{reason}")


def _refusal(status: int, reason: str) -> InvalidRequestError:
    if status == 410:
        return InvalidRequestError(
            f"Luma has retired this (410).{reason}", "Choose a model of Luma's other API, if this server has a key."
        )
    return InvalidRequestError(
        f"Luma refused the request ({status}).{reason}", "Nothing was bought. Change the arguments."
    )


# The statuses by which Luma's documentation refuses a request. An error that is not Luma's own is no refusal.
_REFUSALS = frozenset({400, 401, 402, 403, 404, 413, 422, 429})


def is_refusal(status: int, data: bytes, _headers: Mapping[str, str]) -> bool:
    """Whether an answer to a purchase proves that nothing was bought: a documented status, in Luma's own shape.

    A proxy on the way may answer 403 or 429 in HTML after Luma accepted. Dream Machine's 429 is not documented, so any
    JSON object counts for it.
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
