"""The check against request smuggling: requests whose end a proxy and this server could read differently."""

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send


class RequestFraming:
    """Refuses requests with both a Content-Length and a Transfer-Encoding, and closes their connection (RFC 9112, 6.3).

    The bytes after a body could be the start of a second request that a proxy in front did not check.
    """

    def __init__(self, inner: ASGIApp) -> None:
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        names = [name.lower() for name, _ in scope.get("headers", ())]
        is_ambiguous = b"transfer-encoding" in names and b"content-length" in names
        if scope["type"] != "http" or not (is_ambiguous or names.count(b"host") > 1):
            await self._inner(scope, receive, send)
            return
        sentence = "The request has a Content-Length and a Transfer-Encoding, or two Hosts."
        await JSONResponse({"error": sentence}, 400, {"Connection": "close"})(scope, receive, send)
