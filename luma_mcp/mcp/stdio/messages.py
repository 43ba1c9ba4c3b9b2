"""The lines of stdin as messages: what the SDK would drop without a response gets one here.

A client that gets no response waits for its time-out, and its user sees nothing. The codes are those of JSON-RPC 2.0,
section 5.1. MCP has no batches since 2025-06-18, and an id is text or a whole number.
"""

import json
from dataclasses import dataclass
from typing import Any, cast

from pydantic_core import from_json, to_json

from luma_mcp.domain.text import replace_lone_surrogates

_PARSE_ERROR, _INVALID_REQUEST = -32700, -32600
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_MISSING = object()


@dataclass(frozen=True, slots=True)
class Line:
    """A line of stdin.

    Args:
        text: the message for the SDK; None if it is none.
        refusal: the response to what is no message; None for a message and for an empty line.
        method: the method of a request; None for anything else.
    """

    text: str | None = None
    refusal: str | None = None
    method: str | None = None


def read_line(line: bytes) -> Line:
    """Read a line."""
    line = line.strip().removeprefix(_BYTE_ORDER_MARK)
    if not line:
        return Line()
    text = line.decode("utf-8", "replace")
    try:
        message: Any = _parsed(text)
    except (ValueError, RecursionError):
        return _refused(_PARSE_ERROR, "The line is not JSON in UTF-8. Send one message on each line.")
    if not isinstance(message, dict):
        return _refused(_INVALID_REQUEST, "A message is an object. Send one message on each line, and no batches.")
    return _read_object(cast("dict[str, Any]", message), text)


def _read_object(fields: dict[str, Any], text: str) -> Line:
    number, method = fields.get("id", _MISSING), fields.get("method", _MISSING)
    if method is _MISSING and ("result" in fields or "error" in fields):
        return Line(text)
    if isinstance(number, float) and number.is_integer():
        # 1.0 and 1 are the same number in JSON, and the SDK knows the second spelling only.
        fields["id"] = number = int(number)
        text = json.dumps(fields)
    if number is not _MISSING and (isinstance(number, bool) or not isinstance(number, str | int)):
        return _refused(_INVALID_REQUEST, "The id of a request is text or a whole number.")
    known_id = None if number is _MISSING else number
    if fields.get("jsonrpc") != "2.0":
        return _refused(_INVALID_REQUEST, 'A message has "jsonrpc": "2.0".', known_id)
    if not isinstance(method, str):
        return _refused(_INVALID_REQUEST, "A request has a method, which is text.", known_id)
    if not isinstance(fields.get("params", {}), dict):
        return _refused(_INVALID_REQUEST, "The params of a request are an object.", known_id)
    return Line(_without_half_characters(text), method=None if number is _MISSING else method)


def _parsed(text: str) -> Any:
    try:
        return from_json(text)
    except ValueError:
        # Half a character is an error there, and none in Python's own reader.
        return json.loads(text)


def _refused(code: int, message: str, number: object = None) -> Line:
    error = {"jsonrpc": "2.0", "id": number, "error": {"code": code, "message": message}}
    return Line(refusal=to_json(error).decode() + "\n")


def _without_half_characters(text: str) -> str:
    """The message without halves of characters, for which the SDK drops it without a response."""
    if "\\ud" not in text and "\\uD" not in text:
        return text
    return replace_lone_surrogates(text.encode()).decode()
