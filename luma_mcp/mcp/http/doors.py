"""What stands before the MCP application over HTTP: each a piece of ASGI middleware.

From the outside in: logging, CORS, probes (`probes`), sealed links (`public_paths`), explanations of refusals,
time-outs for a request's body, and who is let in (`sign_in`).
"""

import logging
import re
import time
from collections.abc import Sequence

import anyio
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from luma_mcp.mcp.public_links import CALLBACKS, FILES, UPLOAD

PATH = "/mcp"
# A body has a megabyte at the most, so a client that needs longer is none, or has gone.
BODY_SECONDS = 30.0
# The headers of an answer that a web page may read.
_EXPOSED_HEADERS = ("Mcp-Session-Id", "MCP-Protocol-Version", "WWW-Authenticate")

_log = logging.getLogger(__name__)


class Explained:
    """Takes `/mcp/` for `/mcp`, and says what to set where the SDK refuses the name that it is reached by.

    A redirect from the one path to the other would leave TLS behind a proxy, for the proxy speaks plain HTTP to us.
    """

    def __init__(self, inner: ASGIApp) -> None:
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == f"{PATH}/":
            scope = {**scope, "path": PATH, "raw_path": PATH.encode()}
        is_misdirected = False

        async def explain(message: Message) -> None:
            nonlocal is_misdirected
            if message["type"] == "http.response.start" and message["status"] == 421:
                is_misdirected = True
            if not is_misdirected:
                await send(message)

        await self._inner(scope, receive, explain)
        if is_misdirected:
            name = dict(scope["headers"]).get(b"host", b"").decode("ascii", "replace")[:100]
            sentence = f"This server does not answer to the name {name}. LUMA_HTTP_ALLOWED_HOSTS must have it."
            await JSONResponse({"error": sentence}, 421)(scope, receive, send)


class Bounded:
    """Gives a request some time to send its body, so that one that never ends holds nothing."""

    def __init__(self, inner: ASGIApp, seconds: float = BODY_SECONDS) -> None:
        self._inner = inner
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        deadline, is_whole, has_begun = anyio.current_time() + self._seconds, False, False

        async def receive_in_time() -> Message:
            nonlocal is_whole
            if is_whole:
                return await receive()
            with anyio.fail_after(deadline - anyio.current_time()):
                message = await receive()
            is_whole = not message.get("more_body", False)
            return message

        async def note(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self._inner(scope, receive_in_time, note)
        except TimeoutError:
            if is_whole or has_begun:
                raise
            answer = JSONResponse({"error": "The request took too long."}, 408, {"Connection": "close"})
            await answer(scope, receive, send)


class Logged:
    """Writes a line for each request: who asked what, how it ended, how long it took. Never a header or a body."""

    def __init__(self, inner: ASGIApp) -> None:
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        began, status = time.monotonic(), 0
        state = scope.setdefault("state", {})

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._inner(scope, receive, note)
        finally:
            facts = {
                "method": scope["method"],
                "path": _shown(scope["path"]),
                "status": status,
                "milliseconds": round((time.monotonic() - began) * 1000, 1),
                "client": (scope.get("client") or ("",))[0],
                **({"person": state["person"]} if state.get("person") else {}),
            }
            _log.info("request", extra={"facts": facts})


def _shown(path: str) -> str:
    """A path without the sealed text in it, which opens something to whoever has it."""
    first = next((prefix for prefix in (FILES, UPLOAD, CALLBACKS) if path.startswith(prefix)), None)
    return f"{first}..." if first else path[:200]


def open_to_pages(inner: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    """Lets web pages of these origins call it (CORS). `:*` at the end of an origin stands for every port."""
    pattern = "|".join(re.escape(origin).replace(r":\*", r"(:\d+)?") for origin in origins)
    return CORSMiddleware(
        inner,
        allow_origin_regex=pattern or None,
        allow_methods=("GET", "POST", "DELETE"),
        allow_headers=("*",),
        expose_headers=_EXPOSED_HEADERS,
        max_age=3600,
    )
