"""The names of requests in the ledger. They ignore how links are signed. Pure."""

import hashlib
from typing import Any

from pydantic_core import to_json

from luma_mcp.backends.base import EncodedRequest
from luma_mcp.domain.url_signatures import without_signatures


def unsigned_body(encoded: EncodedRequest) -> dict[str, Any]:
    """The body of a request, with its links unsigned: how they are signed is no part of what is asked for."""
    return without_signatures(encoded.body)


def fingerprint(encoded: EncodedRequest) -> str:
    """The same for the same request, in every process."""
    return _digest(encoded.path + to_json(unsigned_body(encoded)).decode())


def signature(encoded: EncodedRequest) -> str:
    """The same for requests that Luma's list cannot tell apart: it does not name the clip that was upscaled."""
    return _digest(to_json(unsigned_body(encoded)).decode())


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
