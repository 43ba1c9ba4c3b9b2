"""Luma's callbacks, by a signed link."""

from collections.abc import Callable
from typing import Any

import anyio
from pydantic_core import from_json
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from luma_mcp.domain.generation import GENERATION_ID
from luma_mcp.mcp.http.public_responses import refusal
from luma_mcp.mcp.public_links import Links

_MAX_BYTES = 256 * 1024
_BODY_SECONDS = 30.0

OnCallback = Callable[[str], None]


class PublicCallbacks:
    """Receives Luma's reports about generations.

    Args:
        links: checks the link.
        on_callback: called with the id of a generation that Luma reports as changed. It is a hint, no proof.
        body_seconds: the time limit for a body.
    """

    def __init__(self, links: Links, on_callback: OnCallback, body_seconds: float = _BODY_SECONDS) -> None:
        self._links = links
        self._on_callback = on_callback
        self._body_seconds = body_seconds

    async def respond(self, request: Request, text: str) -> Response:
        """Luma reports that a generation has changed."""
        if not self._links.is_callback(text):
            return refusal(404, "There is nothing here.")
        if request.method != "POST":
            return refusal(405, "Luma posts here.")
        try:
            with anyio.fail_after(self._body_seconds):
                content: Any = from_json(await _body(request))
            generation_id = content["id"]
        except TimeoutError:
            response = refusal(408, "The request took too long.")
            response.headers["Connection"] = "close"
            return response
        except (ClientDisconnect, ValueError, KeyError, TypeError):
            return refusal(400, "That is no generation.")
        if not isinstance(generation_id, str) or not GENERATION_ID.fullmatch(generation_id):
            return refusal(400, "That is no generation.")
        self._on_callback(generation_id)
        return JSONResponse({"ok": True})


async def _body(request: Request) -> bytes:
    """The body of a request. Raises: ValueError, if it is too long."""
    body = b""
    async for block in request.stream():
        body += block
        if len(body) > _MAX_BYTES:
            raise ValueError("too long")
    return body
