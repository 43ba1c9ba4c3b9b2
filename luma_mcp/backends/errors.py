"""Responses of Luma's APIs that are no success: bytes to errors. Pure.

Both APIs send errors as `{"detail": ...}`: a sentence, sometimes after a literal "400: ", or for a schema violation
(422) a list of what is wrong. Proxies and firewalls on the way send HTML, or nothing. A 4xx in any other shape is not
Luma's own, so it says nothing of the token, the request or the generation: it is an UnexpectedResponseError, which
passes. In a response of Luma's own the status decides; the sentence is shown only.

Sources: the API references, and the official SDKs `lumaai` 1.21.0 and `luma-agents` 0.5.0.
"""

import re
from collections.abc import Mapping
from typing import cast

from luma_mcp.backends.responses import JsonObject, parse_json, per_minute, retry_after, sentence_of
from luma_mcp.domain.errors import (
    IDS_ARE_LISTED,
    AuthenticationError,
    GoneError,
    InsufficientCreditsError,
    InvalidRequestError,
    LumaError,
    NotFoundError,
    RateLimitError,
    ServerError,
    UnexpectedResponseError,
)
from luma_mcp.domain.failures import step_for

# As in "Concurrent generation limit reached (4)", which users of the Agents API meet.
_SLOTS = re.compile(r"(?i)concurren[^()]{0,60}\(([1-9]\d{0,3})\)")
# A limit, and an API that was switched off: no proxy or firewall invents these.
_ANY_BODY = frozenset({410, 429})


def error_of(status: int, data: bytes, headers: Mapping[str, str], now: float) -> LumaError:
    """The error for a response that is not a success. `now` is Unix time, for a Retry-After that is a date."""
    if 400 <= status < 500 and status not in _ANY_BODY and not is_of_luma(data):
        sentence = sentence_of(data)
        words = f" It says: {sentence!r}." if sentence else ""
        return UnexpectedResponseError(
            f"The response has status {status}, and it is not Luma's own.{words}",
            "A proxy, a firewall or a login page stands in between; check the network and the base URL.",
        )
    return _own_error(status, data, headers, now)


def _own_error(status: int, data: bytes, headers: Mapping[str, str], now: float) -> LumaError:
    detail = sentence_of(data)
    reason = f" Luma says: {detail!r}." if detail else ""
    if status == 402 or (status == 400 and "insufficient credit" in detail.lower()):
        return InsufficientCreditsError(
            "The Luma account has insufficient credits for this.",
            "Nothing was bought. Only the account's owner can add API credits, at https://platform.lumalabs.ai.",
        )
    match status:
        case 401 | 403:
            return AuthenticationError(f"Luma refused the token ({status}).{reason}")
        case 404:
            return NotFoundError(f"Luma has nothing at this address (404).{reason}", IDS_ARE_LISTED)
        case 410:
            return GoneError(
                f"Luma has retired this (410).{reason}", "Choose a model of Luma's other API, if this server has a key."
            )
        case 429:
            wait = retry_after(headers, now)
            when = f"in {wait:.0f} s" if wait is not None else "in a minute"
            slots = _SLOTS.search(detail)
            return RateLimitError(
                f"Luma's rate limit is reached (429).{reason}",
                f"Nothing was bought. Call again {when}.",
                wait,
                is_full="concurren" in detail.lower(),
                at_once=int(slots[1]) if slots else None,
                per_minute=per_minute(headers),
            )
        case _ if 400 <= status < 500 and status not in _PASSING:
            step = step_for(detail) or "Change the arguments."
            return InvalidRequestError(f"Luma refused the request ({status}).{reason}", f"Nothing was bought. {step}")
        case _ if status >= 500:
            return ServerError(f"Luma failed to answer ({status}).{reason}", "See https://status.lumalabs.ai.")
        case _:
            return UnexpectedResponseError(f"Luma answered with status {status}, which means nothing here.{reason}")


# These refuse nothing: a time-out, a conflict with what is under way, too early.
_PASSING = frozenset({408, 409, 425})


def is_of_luma(data: bytes) -> bool:
    """Whether the body of an error has Luma's own shape: a JSON object with a `detail`."""
    try:
        content = parse_json(data)
    except (ValueError, RecursionError):
        return False
    return isinstance(content, dict) and isinstance(cast("JsonObject", content).get("detail"), str | list)


# The statuses by which Luma's documentation refuses a request, and 410 of an API that was switched off. An error
# that is not Luma's own is no refusal.
_REFUSALS = frozenset({400, 401, 402, 403, 404, 410, 413, 422, 429})


def is_refusal(status: int, data: bytes, _headers: Mapping[str, str]) -> bool:
    """Whether the response to a purchase proves that nothing was bought: a documented status, in Luma's own shape.

    A proxy on the way may send 403 or 429 in HTML after Luma accepted. Dream Machine's 429 is not documented, so any
    JSON object counts for it.
    """
    if status not in _REFUSALS:
        return False
    return is_of_luma(data) or (status == 429 and _is_object(data))


def _is_object(data: bytes) -> bool:
    try:
        return isinstance(parse_json(data), dict)
    except (ValueError, RecursionError):
        return False
