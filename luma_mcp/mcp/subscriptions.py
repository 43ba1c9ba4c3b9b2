"""Subscriptions to `luma://generations/{id}` and `luma://films/{id}`: subscribers are notified of each change of state.

Watching a film buys nothing; waiting for it does.

A subscription waits like any other caller, so its polls are shared and end with it. From protocol 2026-07-28 on it is
one long request that holds the watching. Before, it is a request that returns at once; watching then continues
until the client unsubscribes, the generation is final, the subscriber cannot be notified any more, or the server stops.
"""

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
from anyio.abc import TaskGroup
from mcp import MCPError
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import MCPServer
from mcp.server.subscriptions import InMemorySubscriptionBus, ResourceUpdated
from mcp.types import INVALID_PARAMS, INVALID_REQUEST, EmptyResult, SubscribeRequestParams, UnsubscribeRequestParams

from luma_mcp.domain.clock import Clock
from luma_mcp.domain.errors import LumaError
from luma_mcp.domain.generation import GENERATION_ID
from luma_mcp.film.film import FILM_ID
from luma_mcp.film.service import FilmService
from luma_mcp.mcp import sdk_compat
from luma_mcp.mcp.persons import current_person
from luma_mcp.polling.poller import Poller, Snapshot
from luma_mcp.purchasing.access import Access

_log = logging.getLogger(__name__)

_GENERATIONS, _FILMS = "luma://generations/", "luma://films/"
# The time between two polls of a film.
_FILM_SECONDS = 5.0
# The length of one wait; a new one starts as long as there is a subscriber.
_WAIT_SECONDS = 1800.0
# Each is polled until it is final, so their number for a client is limited.
MAX_WATCHED = 100
_NO_CONNECTION = (
    "This server keeps no connection over HTTP before protocol 2026-07-28, so nobody could be notified. "
    "Ask again with get_generation, or listen with the newer protocol."
)

Notify = Callable[[str], Awaitable[None]]


class Subscriptions:
    """Watches generations for subscribers."""

    def __init__(self, poller: Poller, access: Access, films: FilmService, clock: Clock) -> None:
        self._poller = poller
        self._access = access
        self._films = films
        self._clock = clock
        self.bus = InMemorySubscriptionBus()
        self._watchers: TaskGroup | None = None
        self._scopes: dict[tuple[int, str], anyio.CancelScope] = {}

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[None]:
        """Watch for subscriptions of the older protocol versions while this is entered."""
        async with anyio.create_task_group() as watchers:
            self._watchers = watchers
            try:
                yield
            finally:
                self._watchers = None
                self._scopes.clear()
                watchers.cancel_scope.cancel()

    def attach(self, server: MCPServer[Any]) -> None:
        """Serve the requests of protocol versions before 2026-07-28."""
        sdk_compat.add_subscription_handlers(server, self._subscribe, self._unsubscribe)

    async def middleware(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """Watch the resources that a `subscriptions/listen` request names, as long as it listens."""
        uris = sdk_compat.listened_uris(ctx)
        watched = list(dict.fromkeys(uri for uri in uris if _watched_id(uri)))
        if not watched:
            return await call_next(ctx)
        if len(watched) > MAX_WATCHED:
            raise _too_many()
        await self._check(*watched)
        failure: Exception | None = None
        result: HandlerResult = None
        async with anyio.create_task_group() as watchers:
            for uri in watched:
                watchers.start_soon(self._watch, uri, self._publish)
            try:
                result = await call_next(ctx)
            except Exception as error:  # noqa: BLE001 - raised again below, or it would come out as a group
                failure = error
            watchers.cancel_scope.cancel()
        if failure is not None:
            raise failure
        return result

    async def _check(self, *uris: str) -> None:
        """Raises: MCPError, if the person may not see one of them."""
        person = current_person()
        try:
            await self._access.check(person, [_watched_id(uri) for uri in uris if uri.startswith(_GENERATIONS)])
            for uri in uris:
                if uri.startswith(_FILMS):
                    await self._films.get(_watched_id(uri), self._access.visible_person(person))
        except LumaError as error:
            raise MCPError(code=INVALID_PARAMS, message=error.full_text) from error

    async def _publish(self, uri: str) -> None:
        await self.bus.publish(ResourceUpdated(uri=uri))

    async def _subscribe(self, ctx: ServerRequestContext[Any, Any], params: SubscribeRequestParams) -> EmptyResult:
        connection = sdk_compat.connection_key(ctx)
        if connection is None:
            raise MCPError(code=INVALID_REQUEST, message=_NO_CONNECTION)
        key = (connection, params.uri)
        if _watched_id(params.uri) and self._watchers is not None and key not in self._scopes:
            if sum(known == connection for known, _ in self._scopes) >= MAX_WATCHED:
                raise _too_many()
            await self._check(params.uri)
            scope = self._scopes[key] = anyio.CancelScope()
            self._watchers.start_soon(self._watch_in_scope, scope, key, ctx.session.send_resource_updated)
        return EmptyResult()

    async def _unsubscribe(self, ctx: ServerRequestContext[Any, Any], params: UnsubscribeRequestParams) -> EmptyResult:
        connection = sdk_compat.connection_key(ctx)
        scope = None if connection is None else self._scopes.pop((connection, params.uri), None)
        if scope is not None:
            scope.cancel()
        return EmptyResult()

    async def _watch_in_scope(self, scope: anyio.CancelScope, key: tuple[int, str], notify: Notify) -> None:
        with scope:
            try:
                await self._watch(key[1], notify)
            except Exception:  # noqa: BLE001 - whatever a damaged EXIF breaks in Pillow, the picture is there
                _log.info("the subscriber of %s cannot be notified any more", key[1], exc_info=True)
        self._scopes.pop(key, None)

    async def _watch(self, uri: str, notify: Notify) -> None:
        """Notify of each change of state until the resource is final, or cannot be polled."""
        watch = self._watch_film if uri.startswith(_FILMS) else self._watch_generation
        await watch(_watched_id(uri), uri, notify)

    async def _watch_film(self, film_id: str, uri: str, notify: Notify) -> None:
        known: tuple[str, ...] | None = None
        while True:
            try:
                film = await self._films.get(film_id, None)
            except LumaError:
                return
            states = tuple(shot.state for shot in film.shots)
            if known not in (None, states):
                await notify(uri)
            known = states
            if film.is_over:
                return
            await self._clock.sleep(_FILM_SECONDS)

    async def _watch_generation(self, generation_id: str, uri: str, notify: Notify) -> None:
        known: str | None = None
        is_final = False

        async def compare(snapshot: Snapshot) -> None:
            nonlocal known, is_final
            for generation in snapshot.generations:
                if known is not None and generation.state != known:
                    await notify(uri)
                known, is_final = generation.state, generation.is_final

        while not is_final:
            try:
                await self._poller.wait(
                    [generation_id], until="all", timeout_seconds=_WAIT_SECONDS, on_snapshot=compare
                )
            except LumaError:
                return


def _watched_id(uri: str) -> str:
    """The id of the generation or film that a URI names; empty if it names none."""
    for prefix, pattern in ((_GENERATIONS, GENERATION_ID), (_FILMS, FILM_ID)):
        if uri.startswith(prefix) and pattern.fullmatch(uri.removeprefix(prefix)):
            return uri.removeprefix(prefix)
    return ""


def _too_many() -> MCPError:
    return MCPError(
        code=INVALID_PARAMS, message=f"At most {MAX_WATCHED} generations and films can be watched at a time."
    )
