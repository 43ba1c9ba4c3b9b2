"""The check of the Host header, with a sentence for a refusal; and `/mcp/` as `/mcp`."""

from collections.abc import Sequence

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from luma_mcp.domain.text import cleaned

PATH = "/mcp"
_ANY_PORT = ":*"


class HostErrors:
    """Refuses host names that are not in the settings, and names the setting. Serves `/mcp/` as `/mcp`.

    The SDK checks its own path only, and compares exactly; this check is for every path. A redirect from `/mcp/` to
    `/mcp` would leave TLS behind a proxy, for the proxy speaks plain HTTP to us.

    Args:
        inner: the application behind.
        hosts: the names; `:*` at the end of a name means every port.
    """

    def __init__(self, inner: ASGIApp, hosts: Sequence[str]) -> None:
        self._inner = inner
        self._hosts = frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        sent = Headers(scope=scope).get("host", "")
        host = _normalized(sent)
        if not {host, _without_port(host) + _ANY_PORT} & self._hosts:
            sentence = (
                f"This server does not answer to the name {cleaned(sent, 100)}. LUMA_HTTP_ALLOWED_HOSTS must have it."
            )
            await JSONResponse({"error": sentence}, 421)(scope, receive, send)
            return
        scope = {**scope, "headers": list(scope["headers"])}
        MutableHeaders(scope=scope)["host"] = host
        if scope["path"] == f"{PATH}/":
            scope |= {"path": PATH, "raw_path": PATH.encode()}
        await self._inner(scope, receive, send)


def _normalized(host: str) -> str:
    """A host as the settings write it: in small letters, without the dot that ends a whole name."""
    host = host.lower()
    name = _without_port(host)
    return name.removesuffix(".") + host[len(name) :]


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdecimal() else host
