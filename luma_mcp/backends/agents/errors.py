"""Refusals of a purchase by the Agents API.

Luma releases the reserve of every request that ends in an error (docs.agents.lumalabs.ai, FAQ). So an error of
Luma's own refuses, also a 502 or 503. It is Luma's own if it has the header that Luma puts on every response. Without
that header the documented statuses refuse, as at Dream Machine.
"""

from collections.abc import Mapping

from luma_mcp.backends import errors
from luma_mcp.backends.responses import sentence_of

_LUMA_HEADER = "x-api-version"
_UNAVAILABLE = frozenset({502, 503})


def is_refusal(status: int, data: bytes, headers: Mapping[str, str]) -> bool:
    """Whether a response to a purchase proves that nothing was bought."""
    if status in _UNAVAILABLE:
        return _LUMA_HEADER in headers and errors.is_of_luma(data) and bool(sentence_of(data))
    return errors.is_refusal(status, data, headers)
