"""Every use of the inside of the MCP SDK, each with the limitation that it works round and the version of the SDK.

Nothing else in this package touches a private name of `mcp`, or depends on an order of events that the SDK does not
document. All of it is true of mcp 2.3.0.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Any, cast

from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.mcpserver import MCPServer

# `MCPServer` logs the traceback of this error and shows the client its text only. It is exported since 2.2.
from mcp.server.mcpserver.exceptions import UnexpectedToolError
from mcp.server.stdio import stdio_server
from mcp.types import EmptyResult, SubscribeRequestParams, UnsubscribeRequestParams

__all__ = [
    "UnexpectedToolError",
    "add_subscription_handlers",
    "connection_key",
    "keep_arguments_out_of_logs",
    "listened_uris",
    "run_on_streams",
]

OnSubscribe = Callable[[ServerRequestContext[Any, Any], SubscribeRequestParams], Awaitable[EmptyResult]]
OnUnsubscribe = Callable[[ServerRequestContext[Any, Any], UnsubscribeRequestParams], Awaitable[EmptyResult]]


def _low_level(server: MCPServer[Any]) -> Server[Any]:
    """The server below `MCPServer`.

    Works round: `MCPServer` has no public access to it. Upstream: modelcontextprotocol/python-sdk, `MCPServer` keeps
    it as `_lowlevel_server` since 2.0.
    """
    return server._lowlevel_server  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]


async def run_on_streams(server: MCPServer[Any], streams: tuple[Any, ...]) -> None:
    """Serve over line streams of our own, or over stdin and stdout if there are none.

    Works round: `MCPServer.run` accepts no streams, and its stdio transport makes two trips through worker threads for
    each message, dies on SIGTERM without cleaning up and hangs on SIGINT until stdin closes. Upstream:
    modelcontextprotocol/python-sdk, `mcp.server.stdio.stdio_server` accepts streams, `MCPServer.run` does not.
    """
    low_level = _low_level(server)
    async with stdio_server(*streams) as (read, write):
        await low_level.run(read, write, low_level.create_initialization_options())


def add_subscription_handlers(server: MCPServer[Any], subscribe: OnSubscribe, unsubscribe: OnUnsubscribe) -> None:
    """Serve `resources/subscribe` and `resources/unsubscribe` of protocol versions before 2026-07-28.

    Works round: `MCPServer` serves `subscriptions/listen` only. Upstream: modelcontextprotocol/python-sdk, the
    low-level `Server.add_request_handler` is public, the way to it is not.
    """
    low_level = _low_level(server)
    low_level.add_request_handler("resources/subscribe", SubscribeRequestParams, subscribe)
    low_level.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, unsubscribe)


def connection_key(ctx: ServerRequestContext[Any, Any]) -> int | None:
    """A number that is the same for all requests of one connection; None where there is no connection.

    Works round: the SDK makes a new session for each request and has no id for a connection; the parameters of the
    handshake are one object for the whole connection. Over stateless HTTP there was no handshake, for all alike.
    """
    handshake = ctx.session.client_params
    return None if handshake is None else id(handshake)


class _WithoutContent(logging.Filter):
    """Cuts a line about a failed call after its name: the reason may repeat arguments, with links and file names."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno <= logging.INFO and isinstance(record.args, tuple) and len(record.args) > 1:
            record.msg, _, _ = str(record.msg).partition(":")
            record.args = record.args[:1]
        return True


_WITHOUT_CONTENT = _WithoutContent()


def keep_arguments_out_of_logs() -> None:
    """Keep the content of calls out of the logs of libraries.

    Works round: `MCPServer` logs "Tool %r failed: %r" with the sentence for the model, and sse-starlette every event
    at DEBUG. Upstream: modelcontextprotocol/python-sdk, `mcp.server.mcpserver.server` in 2.3.0.
    """
    # A filter that is there already is not added again.
    logging.getLogger("mcp.server.mcpserver.server").addFilter(_WITHOUT_CONTENT)
    logging.getLogger("sse_starlette").setLevel(logging.INFO)


def listened_uris(ctx: ServerRequestContext[Any, Any]) -> list[str]:
    """The resources that a `subscriptions/listen` request names.

    Works round: middleware runs before the SDK validates the parameters, so they are read with care.
    """
    if ctx.method != "subscriptions/listen":
        return []
    params = cast("dict[str, Any]", ctx.params or {})
    filters: Any = params.get("notifications")
    uris: Any = cast("dict[str, Any]", filters).get("resourceSubscriptions") if isinstance(filters, dict) else None
    return [uri for uri in cast("list[Any]", uris) if isinstance(uri, str)] if isinstance(uris, list) else []
