"""Refusals of a Host name, explained; and `/mcp/`, which is `/mcp`."""

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PATH = "/mcp"


class HostErrors:
    """Serves `/mcp/` as `/mcp`, and names the setting where the SDK refuses the Host.

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
