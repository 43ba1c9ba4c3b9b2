"""The HTTP face of the emulator: every endpoint of the Dream Machine API, and the files it makes."""

import hmac
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import anyio
from anyio.abc import TaskGroup
from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from luma_mcp.emulator import fetching
from luma_mcp.emulator.dream_machine import openapi
from luma_mcp.emulator.dream_machine.account import (
    DreamMachineAccount,
    Generation,
    UnreadableInputError,
)
from luma_mcp.emulator.dream_machine.bodies import Body, ImageBody, OldVideoBody, RuleBrokenError
from luma_mcp.emulator.dream_machine.callbacks import deliver
from luma_mcp.emulator.dream_machine.catalogue import CAMERA_MOTIONS, CONCEPTS
from luma_mcp.emulator.dream_machine.openapi import Endpoint
from luma_mcp.emulator.dream_machine.operations import OPERATIONS
from luma_mcp.emulator.dream_machine.responses import (
    ConceptsResponse,
    CreditsResponse,
    GenerationResponse,
    PageResponse,
    PingResponse,
    generation_response,
)
from luma_mcp.emulator.habits import Habits
from luma_mcp.emulator.http import KeyCheck, detail_response, http_error
from luma_mcp.emulator.limiter import LimitReachedError, retry_after
from luma_mcp.emulator.rendering.assets import AssetStore, NoSuchAssetError
from luma_mcp.emulator.rendering.images import UnreadableMediaError
from luma_mcp.emulator.store import UnknownGenerationError

PREFIX = "/dream-machine/v1"

ErrorHandler = Callable[[Request, Exception], Awaitable[Response]]
_MAX_INPUT_BYTES = 100 * 1024 * 1024


async def fetch_input(url: str) -> bytes:
    """Read a picture or clip that a request names, as Luma's servers would. Raises: UnreadableInputError."""
    try:
        status, _, data = await fetching.fetch(url, seconds=10, max_bytes=_MAX_INPUT_BYTES)
    except OSError as error:
        raise UnreadableInputError(str(error)) from error
    if status != 200:
        raise UnreadableInputError(f"HTTP {status}")
    return data


class DreamMachineApi:
    """The endpoints of one account.

    Args:
        account: the account.
        token: the only key that is accepted; None accepts any.
        habits: how the API answers where its documentation does not say.
        moderation_due: the reason for which the generation that is being created will fail, if any.
    """

    def __init__(
        self,
        account: DreamMachineAccount,
        *,
        token: str | None,
        habits: Habits,
        moderation_due: Callable[[str, str], str | None],
    ) -> None:
        self.account = account
        self.habits = habits
        self.assets = AssetStore()
        self.requests: list[tuple[str, str]] = []
        """Method and path of every API request that was accepted, in order."""
        self._token = token
        self._moderation_due = moderation_due
        self._callbacks: TaskGroup | None = None
        self.app = Starlette(
            routes=self._routes(),
            middleware=[Middleware(KeyCheck, refusal_of=self._refusal_of)],
            exception_handlers={
                error: self._as_documented(handler)
                for error, handler in (
                    (HTTPException, http_error),
                    (RuleBrokenError, _rule_broken),
                    (UnknownGenerationError, _unknown),
                    (LimitReachedError, _limited),
                    (ValidationError, _invalid),
                )
            },
        )

    def _endpoints(self) -> list[Endpoint]:
        created = [
            Endpoint(
                "POST",
                operation.path,
                self._create(operation.body, operation.status),
                GenerationResponse,
                operation.status,
                operation.body,
            )
            for operation in OPERATIONS.values()
        ]
        generation = "/generations/{id}"
        return [
            Endpoint("GET", "/ping", self._ping, PingResponse),
            Endpoint("GET", "/credits", self._credits, CreditsResponse),
            Endpoint("POST", "/generations", self._create(OldVideoBody), GenerationResponse, 201, OldVideoBody),
            Endpoint("GET", "/generations", self._list, PageResponse, query=("limit", "offset")),
            *created,
            Endpoint("GET", "/generations/concepts/list", self._concepts, ConceptsResponse),
            Endpoint("GET", "/generations/camera_motion/list", self._camera_motions, ConceptsResponse),
            Endpoint("GET", generation, self._get, GenerationResponse),
            Endpoint("DELETE", generation, self._delete, None, 204),
        ]

    def _routes(self) -> list[Route]:
        return [
            *(Route(PREFIX + known.path, known.handler, methods=[known.method]) for known in self._endpoints()),
            Route("/assets/{id}/{name}", self._asset, methods=["GET"]),
            Route(openapi.PATH, self._describe, methods=["GET"]),
        ]

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Deliver callbacks while this is entered; then delete what was rendered."""
        async with anyio.create_task_group() as callbacks:
            self._callbacks = callbacks
            try:
                yield
            finally:
                self._callbacks = None
                callbacks.cancel_scope.cancel()
                self.assets.close()

    def _as_documented(self, handler: ErrorHandler) -> ErrorHandler:
        """The handler, whose answers are HTML pages where that is this API's habit."""

        async def handle(request: Request, error: Exception) -> Response:
            response = await handler(request, error)
            if self.habits.errors == "html":
                return HTMLResponse(f"<html><h1>{response.status_code}</h1></html>", response.status_code)
            return response

        return handle

    async def _refusal_of(self, request: Request) -> Response | None:
        """The answer to a request without the key; None lets it through."""
        if not request.url.path.startswith(PREFIX):
            return None
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key:
            return detail_response(403, "Not authenticated")
        if self._token is not None and not hmac.compare_digest(key.encode(), self._token.encode()):
            return detail_response(401, "Invalid API key is provided")
        self.requests.append((request.method, request.url.path.removeprefix(PREFIX)))
        await self.account.settle()
        return None

    async def _ping(self, _request: Request) -> Response:
        return _json(PingResponse())

    async def _credits(self, _request: Request) -> Response:
        return _json(CreditsResponse(credit_balance=self.account.balance_cents(self.habits.balance_lag)))

    async def _concepts(self, _request: Request) -> Response:
        return JSONResponse(CONCEPTS)

    async def _camera_motions(self, _request: Request) -> Response:
        return JSONResponse(CAMERA_MOTIONS)

    def _create(self, kind: type[Body], status: int = 201) -> Callable[[Request], Awaitable[Response]]:
        async def create(request: Request) -> Response:
            body = kind.model_validate_json(await request.body() or b"{}")
            reason = self._moderation_due(request.method, request.url.path)
            if reason is not None:
                self.account.failures_due.append(reason)
            generation = self.account.accept(body, request.path_params.get("id"))
            if isinstance(body, ImageBody) and body.sync:
                await anyio.sleep(min(self.account.seconds_left(generation), body.sync_timeout))
                await self.account.finish_now(generation)
            if body.callback_url and self._callbacks is not None:
                self._callbacks.start_soon(self._call_back, body.callback_url, generation, _origin(request))
            return JSONResponse(self._content_of(generation, request), status)

        return create

    async def _call_back(self, url: str, generation: Generation, origin: str) -> None:
        reported = None
        while reported not in ("completed", "failed"):
            await self.account.settle()
            state = self.account.state(generation)
            if state not in (reported, "queued"):
                await deliver(url, generation_response(self.account, generation, origin).model_dump(mode="json"))
                reported = state
            await anyio.sleep(min(0.5, max(0.02, self.account.seconds_left(generation) / 10)))

    async def _list(self, request: Request) -> Response:
        limit, offset = _whole(request, "limit", 100), _whole(request, "offset", 0)
        habits = self.habits
        everything = habits.sorted(self.account.newest_first(min_age_seconds=habits.list_lag))
        size = min(limit, habits.page) if habits.page else limit
        page = everything[offset : offset + size]
        content = PageResponse(
            has_more=habits.more == "true" and offset + size < len(everything),
            count=len(page),
            limit=limit,
            offset=offset,
            generations=[],
        ).model_dump(mode="json")
        content["generations"] = [self._content_of(generation, request) for generation in page]
        if habits.more == "missing":
            del content["has_more"]
        return JSONResponse(content)

    async def _get(self, request: Request) -> Response:
        generation = self.account.get(request.path_params["id"], min_age_seconds=self.habits.get_lag)
        return JSONResponse(self._content_of(generation, request))

    async def _delete(self, request: Request) -> Response:
        self.account.delete(request.path_params["id"])
        return Response(status_code=204)

    async def _asset(self, request: Request) -> Response:
        generation = self.account.with_asset(request.path_params["id"])
        if generation.ended != "completed" and not self.account.shows_preview(generation):
            return detail_response(404, "Not found")
        try:
            path = await self.assets.asset(generation, request.path_params["name"])
        except NoSuchAssetError:
            return detail_response(404, "Not found")
        except UnreadableMediaError as error:
            return detail_response(404, f"Nothing was made of this input: {error}")
        return FileResponse(path)

    def _content_of(self, generation: Generation, request: Request) -> dict[str, Any]:
        content = generation_response(self.account, generation, _origin(request)).model_dump(mode="json")
        return self.habits.apply(content, generation.created_at.timestamp())

    async def _describe(self, _request: Request) -> Response:
        return JSONResponse(openapi.describe(self._endpoints(), PREFIX))


def _whole(request: Request, name: str, default: int) -> int:
    try:
        value = int(request.query_params.get(name, default))
    except ValueError:
        value = -1
    if value < 0:
        raise HTTPException(422, f"{name} must be a whole number of 0 or more")
    return value


def _origin(request: Request) -> str:
    return str(request.base_url).rstrip("/")


def _json(content: BaseModel, status: int = 200) -> Response:
    return JSONResponse(content.model_dump(mode="json"), status)


async def _rule_broken(_request: Request, error: Exception) -> Response:
    return detail_response(400, str(error))


async def _unknown(_request: Request, _error: Exception) -> Response:
    return detail_response(404, "Generation not found")


async def _limited(_request: Request, error: Exception) -> Response:
    limit = cast("LimitReachedError", error)
    full = f"Concurrent generation limit reached ({limit.limits.at_once})"
    detail = full if limit.kind == "at_once" else "Rate limit exceeded"
    return detail_response(429, detail, retry_after(limit.retry_seconds or 0))


async def _invalid(_request: Request, error: Exception) -> Response:
    """422, shaped as FastAPI shapes it: a list of what is wrong and where."""
    problems = error.errors(include_url=False) if isinstance(error, ValidationError) else []
    shown = [
        {**problem, "loc": ["body", *problem["loc"]], "input": repr(problem["input"])[:200]} for problem in problems
    ]
    return JSONResponse({"detail": shown}, 422)
