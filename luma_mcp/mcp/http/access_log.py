"""A line of the log for each request."""

import logging
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from luma_mcp.mcp.public_links import CALLBACKS, FILES, UPLOAD

_log = logging.getLogger(__name__)


class AccessLog:
    """Writes a line for each request: the client, the path, the status and the duration. Never a header or a body."""

    def __init__(self, inner: ASGIApp) -> None:
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        start, status = time.monotonic(), 0
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
                "path": _logged_path(scope["path"]),
                "status": status,
                "milliseconds": round((time.monotonic() - start) * 1000, 1),
                "client": (scope.get("client") or ("",))[0],
                **({"person": state["person"]} if state.get("person") else {}),
            }
            _log.info("request", extra={"facts": facts})


def _logged_path(path: str) -> str:
    """A path without the signed text in it, which is a bearer secret."""
    first = next((prefix for prefix in (FILES, UPLOAD, CALLBACKS) if path.startswith(prefix)), None)
    return f"{first}..." if first else path[:200]
