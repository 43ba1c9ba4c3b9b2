"""Telling subscribers of `luma://generations/{id}` when its state changes, on both eras of the protocol.

A subscription waits like any other caller, so its looks are shared and end with it. From 2026-07-28 it is one long
request, and following lives inside that. Before, it is a request that is answered at once; following then lives as long
as the server, and ends when the client unsubscribes, when the generation is over, or when nobody can be told any more.
"""

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import anyio
from anyio.abc import TaskGroup
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import MCPServer
from mcp.server.subscriptions import InMemorySubscriptionBus, ResourceUpdated
from mcp.types import EmptyResult, SubscribeRequestParams, UnsubscribeRequestParams

from luma_mcp.luma.errors import LumaError
from luma_mcp.studio import Studio
from luma_mcp.studio.watch import Look

_log = logging.getLogger(__name__)

_GENERATIONS = "luma://generations/"
# How long one wait of a follower is; it begins another as long as it is subscribed.
_ROUND_SECONDS = 1800.0

Tell = Callable[[str], Awaitable[None]]


class Subscriptions:
    """Follows generations for subscribers."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self.bus = InMemorySubscriptionBus()
        self._followers: TaskGroup | None = None
        self._scopes: dict[tuple[int, str], anyio.CancelScope] = {}

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[None]:
        """Let subscriptions of the older kind be followed while this is entered."""
        async with anyio.create_task_group() as followers:
            self._followers = followers
            try:
                yield
            finally:
                self._followers = None
                self._scopes.clear()
                followers.cancel_scope.cancel()

    def attach(self, server: MCPServer[Any]) -> None:
        """Serve the older requests. The SDK offers no public way to do that on this kind of server."""
        low_level = server._lowlevel_server  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        low_level.add_request_handler("resources/subscribe", SubscribeRequestParams, self._subscribe)
        low_level.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, self._unsubscribe)

    async def middleware(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """Follow what a `subscriptions/listen` asks for, as long as it listens."""
        ids = _generations_in(ctx) if ctx.method == "subscriptions/listen" else []
        if not ids:
            return await call_next(ctx)
        failure: Exception | None = None
        result: HandlerResult = None
        async with anyio.create_task_group() as followers:
            for generation_id in ids:
                followers.start_soon(self._follow, generation_id, self._publish)
            try:
                result = await call_next(ctx)
            except Exception as error:  # noqa: BLE001 - raised again below, or it would come out as a group
                failure = error
            followers.cancel_scope.cancel()
        if failure is not None:
            raise failure
        return result

    async def _publish(self, uri: str) -> None:
        await self.bus.publish(ResourceUpdated(uri=uri))

    async def _subscribe(self, ctx: ServerRequestContext[Any, Any], params: SubscribeRequestParams) -> EmptyResult:
        generation_id = _id_in(params.uri)
        key = _key(ctx, params.uri)
        if generation_id and self._followers is not None and key not in self._scopes:
            scope = self._scopes[key] = anyio.CancelScope()
            self._followers.start_soon(self._follow_in, scope, key, generation_id, ctx.session.send_resource_updated)
        return EmptyResult()

    async def _unsubscribe(self, ctx: ServerRequestContext[Any, Any], params: UnsubscribeRequestParams) -> EmptyResult:
        scope = self._scopes.pop(_key(ctx, params.uri), None)
        if scope is not None:
            scope.cancel()
        return EmptyResult()

    async def _follow_in(self, scope: anyio.CancelScope, key: tuple[int, str], generation_id: str, tell: Tell) -> None:
        with scope:
            try:
                await self._follow(generation_id, tell)
            except Exception:  # noqa: BLE001 - one client that went away must not take the others along
                _log.info("the subscriber of %s cannot be told any more", generation_id, exc_info=True)
        self._scopes.pop(key, None)

    async def _follow(self, generation_id: str, tell: Tell) -> None:
        """Tell of each change of state until the generation is over, or cannot be asked for."""
        known: str | None = None
        over = False

        async def compare(look: Look) -> None:
            nonlocal known, over
            for generation in look.generations:
                if known is not None and generation.state != known:
                    await tell(_GENERATIONS + generation_id)
                known, over = generation.state, generation.is_final

        while not over:
            try:
                await self._studio.watch.wait(
                    [generation_id], until="all", patience_seconds=_ROUND_SECONDS, on_look=compare
                )
            except LumaError:
                return


def _key(ctx: ServerRequestContext[Any, Any], uri: str) -> tuple[int, str]:
    """One for each connection and resource. The SDK makes a session anew for each request, but keeps the handshake."""
    return id(ctx.session.client_params), uri


def _generations_in(ctx: ServerRequestContext[Any, Any]) -> list[str]:
    """The generations that a listen request names. It is not validated yet."""
    params = cast("dict[str, Any]", ctx.params or {})
    filters: Any = params.get("notifications")
    uris: Any = cast("dict[str, Any]", filters).get("resourceSubscriptions") if isinstance(filters, dict) else None
    if not isinstance(uris, list):
        return []
    ids = [_id_in(uri) for uri in cast("list[Any]", uris) if isinstance(uri, str)]
    return [one for one in dict.fromkeys(ids) if one]


def _id_in(uri: str) -> str:
    return uri.removeprefix(_GENERATIONS) if uri.startswith(_GENERATIONS) else ""
