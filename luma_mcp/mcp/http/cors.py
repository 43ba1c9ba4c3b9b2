"""CORS: the web pages that may call this server."""

import re
from collections.abc import Sequence

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

# The headers of a response that a web page may read.
_EXPOSED_HEADERS = ("Mcp-Session-Id", "MCP-Protocol-Version", "WWW-Authenticate")


def with_cors(inner: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    """Lets web pages of these origins call it (CORS). `:*` at the end of an origin means every port."""
    pattern = "|".join(re.escape(origin).replace(r":\*", r"(:\d+)?") for origin in origins)
    return CORSMiddleware(
        inner,
        allow_origin_regex=pattern or None,
        allow_methods=("GET", "POST", "DELETE"),
        allow_headers=("*",),
        expose_headers=_EXPOSED_HEADERS,
        max_age=3600,
    )
