"""The HTTP face of the emulated Agents API: seven endpoints, upload links and links to outputs."""

import hmac
import json
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from luma_mcp.emulator import fetching
from luma_mcp.emulator.agents.account import AgentsAccount, Fetched, Generation
from luma_mcp.emulator.agents.bodies import FileBody, GenerationBody
from luma_mcp.emulator.agents.files import MAX_INLINE_BYTES, UPLOAD_SECONDS, StoredFile, UnknownFileError
from luma_mcp.emulator.agents.links import LinkExpiredError, Links
from luma_mcp.emulator.agents.rules import RefusedError
from luma_mcp.emulator.http import KeyCheck, detail_response, http_error
from luma_mcp.emulator.limiter import LimitReachedError
from luma_mcp.emulator.rendering.agents import OutputStore
from luma_mcp.emulator.store import UnknownGenerationError

PREFIX = "/v1"
# Everything that is answered here.
PATHS = ("/v1/", "/objects/", "/uploads/")
KEY_PREFIX = "luma-api-"
API_VERSION = "2026-04-01"

_MAX_FETCHED_BYTES = 200 * 1024**2
_EXPIRED = "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"
_Handler = Callable[[Request], Awaitable[Response]]


async def fetch_url(url: str) -> Fetched:
    """Read a picture or clip that a request names, as Luma's proxy would. Raises: OSError."""
    return await fetching.fetch(url, seconds=18, max_bytes=_MAX_FETCHED_BYTES)


class AgentsApi:
    """The endpoints of one client.

    Args:
        account: the client.
        token: the only key that is accepted; None accepts any that begins with `luma-api-`.
        wall: Unix time.
        moderation_due: the reason for which the generation that is being created will be moderated, if any.
    """

    def __init__(
        self,
        account: AgentsAccount,
        *,
        token: str | None,
        wall: Callable[[], float],
        moderation_due: Callable[[str, str], str | None],
    ) -> None:
        self.account = account
        self.outputs = OutputStore()
        self.requests: list[tuple[str, str]] = []
        """Method and path of every API request that was accepted, in order."""
        self._token = token
        self._wall = wall
        self._moderation_due = moderation_due
        self._links = Links()
        self.app = Starlette(
            routes=self._routes(),
            middleware=[Middleware(_Headers), Middleware(KeyCheck, refusal_of=self._refusal_of)],
            exception_handlers={
                HTTPException: http_error,
                RefusedError: _refused,
                UnknownGenerationError: _unknown_generation,
                UnknownFileError: _unknown_file,
                LimitReachedError: self._limited,
                ValidationError: _invalid,
            },
        )

    def _routes(self) -> list[Route]:
        endpoints: list[tuple[str, str, _Handler]] = [
            ("POST", "/generations", self._create),
            ("GET", "/generations/{id}", self._get),
            ("POST", "/files", self._create_file),
            ("GET", "/files", self._list_files),
            ("POST", "/files/{id}/complete", self._complete_file),
            ("GET", "/files/{id}", self._get_file),
            ("DELETE", "/files/{id}", self._delete_file),
        ]
        return [
            *(Route(PREFIX + path, handler, methods=[method]) for method, path, handler in endpoints),
            Route("/objects/{id}/{name}", self._object, methods=["GET"]),
            Route("/uploads/{id}/{key}", self._upload, methods=["PUT"]),
        ]

    async def _refusal_of(self, request: Request) -> Response | None:
        """The answer to a request without the key; None lets it through. Links to objects need none."""
        if not request.url.path.startswith(PREFIX):
            return None
        # The case of the scheme matters.
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or not key.startswith(KEY_PREFIX):
            return detail_response(401, "Missing or invalid API key")
        if self._token is not None and not hmac.compare_digest(key.encode(), self._token.encode()):
            return detail_response(401, "Invalid API key")
        self.requests.append((request.method, request.url.path.removeprefix(PREFIX)))
        return None

    async def _create(self, request: Request) -> Response:
        headers = self.account.count_attempt()
        body = GenerationBody.model_validate_json(await request.body() or b"{}")
        reason = self._moderation_due(request.method, request.url.path)
        if reason is not None:
            self.account.failures_due.append(reason)
        generation = await self.account.accept(body)
        return JSONResponse(self._answer(generation, request), 201, headers)

    async def _limited(self, _request: Request, error: Exception) -> Response:
        detail, headers = self.account.refusal(cast("LimitReachedError", error))
        return detail_response(429, detail, headers)

    async def _get(self, request: Request) -> Response:
        return JSONResponse(self._answer(self.account.get(request.path_params["id"]), request))

    def _answer(self, generation: Generation, request: Request) -> dict[str, Any]:
        """A generation. Nothing of the request is echoed, and each answer has new links."""
        state = self.account.state(generation)
        made = generation.output_names if state == "completed" else ()
        return {
            "id": generation.id,
            "type": generation.body.type,
            "state": state,
            "model": generation.body.model,
            "created_at": _time(generation.created_at),
            "output": [self._output(generation, name, number, request) for number, name in enumerate(made)],
            "failure_reason": generation.failure_reason if state == "failed" else None,
            "failure_code": generation.failure_code if state == "failed" else None,
        }

    def _output(self, generation: Generation, name: str, number: int, request: Request) -> dict[str, Any]:
        path = f"/objects/{generation.id}/{name}"
        kind = {".mp4": "video", ".exr": "exr"}.get(name[-4:], "image")
        output: dict[str, Any] = {
            "type": kind,
            "url": f"{_origin(request)}{path}?{self._links.query(path, self._wall())}",
        }
        if generation.body.type == "layering":
            is_last = number == generation.layers - 1
            output["layer"] = {
                "index": number,
                "label": "background" if is_last else f"band {number + 1}",
                "description": "The background." if is_last else f"What is in band {number + 1}.",
                "alpha_hint": "none" if is_last else "soft",
            }
        return output

    async def _create_file(self, request: Request) -> Response:
        if request.headers.get("content-type", "").startswith("multipart/"):
            file = await self._inline_file(request)
            return JSONResponse({"id": file.id, "state": file.state, "file": _file(file), "upload": None}, 201)
        file = self.account.files.create(FileBody.model_validate_json(await request.body() or b"{}"))
        upload = {
            "method": "PUT",
            "url": f"{_origin(request)}/uploads/{file.id}/{file.upload_key}",
            "headers": {"Content-Type": file.body.mime_type},
            "expires_at": _time(file.created_at + timedelta(seconds=UPLOAD_SECONDS)),
        }
        return JSONResponse({"id": file.id, "state": file.state, "file": _file(file), "upload": upload}, 201)

    async def _inline_file(self, request: Request) -> StoredFile:
        async with request.form() as form:
            attachment = form.get("file")
            if not isinstance(attachment, UploadFile):
                raise RefusedError(400, "file is required")
            data = await attachment.read()
            if len(data) > MAX_INLINE_BYTES:
                raise RefusedError(413, "file exceeds the inline limit; use the upload flow")
            fields = {name: value for name, value in form.items() if name != "file" and isinstance(value, str)}
            fields = {"filename": attachment.filename, "mime_type": attachment.content_type} | fields
            return self.account.files.create(FileBody.model_validate(fields | {"size_bytes": len(data)}), data)

    async def _list_files(self, request: Request) -> Response:
        query = request.query_params
        try:
            limit, cursor = int(query.get("limit", 25)), int(query.get("cursor", 0))
        except ValueError:
            raise RefusedError(422, "limit and cursor must be whole") from None
        if not 1 <= limit <= 100:
            raise RefusedError(422, "limit must be between 1 and 100")
        files = [
            file
            for file in self.account.files.newest_first()
            if query.get("purpose") in (None, file.body.purpose) and query.get("state") in (None, file.state)
        ]
        has_more = cursor + limit < len(files)
        page = [_file(file) for file in files[cursor : cursor + limit]]
        return JSONResponse(
            {"data": page, "has_more": has_more, "next_cursor": str(cursor + limit) if has_more else None}
        )

    async def _complete_file(self, request: Request) -> Response:
        return JSONResponse(_file(self.account.files.complete(request.path_params["id"])))

    async def _get_file(self, request: Request) -> Response:
        return JSONResponse(_file(self.account.files.get(request.path_params["id"])))

    async def _delete_file(self, request: Request) -> Response:
        self.account.files.delete(request.path_params["id"])
        return Response(status_code=204)

    async def _upload(self, request: Request) -> Response:
        try:
            self.account.files.put(
                request.path_params["id"],
                request.path_params["key"],
                request.headers.get("content-type", ""),
                await request.body(),
            )
        except (RefusedError, UnknownFileError) as error:
            status = error.status if isinstance(error, RefusedError) else 403
            return Response(f"<Error><Message>{error}</Message></Error>", status, media_type="application/xml")
        return Response(status_code=200)

    async def _object(self, request: Request) -> Response:
        query = request.query_params
        try:
            self._links.check(
                request.url.path, query.get("X-Amz-Date", "0"), query.get("X-Amz-Signature", ""), self._wall()
            )
            generation = self.account.get(request.path_params["id"])
        except (LinkExpiredError, UnknownGenerationError, ValueError):
            return Response(_EXPIRED, 403, media_type="application/xml")
        return FileResponse(await self.outputs.output(generation, request.path_params["name"]))


class _Headers:
    """Middleware that puts the two headers of every answer on it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sent = dict(scope.get("headers", ())).get(b"x-request-id")
        request_id = sent or str(uuid.uuid4()).encode()

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                extra = [(b"x-request-id", request_id), (b"x-api-version", API_VERSION.encode())]
                message["headers"] = [*message["headers"], *extra]
            await send(message)

        await self._app(scope, receive, with_headers)


def _file(file: StoredFile) -> dict[str, Any]:
    return {
        "id": file.id,
        "created_at": _time(file.created_at),
        "mime_type": file.body.mime_type,
        "purpose": file.body.purpose,
        "size_bytes": file.body.size_bytes,
        "state": file.state,
        "filename": file.body.filename,
        "user_id": file.body.user_id,
        "expires_at": _time(file.body.expires_at) if file.body.expires_at else None,
        "deleted_at": _time(file.deleted_at) if file.deleted_at else None,
        "failure_reason": file.failure_reason,
    }


def _time(moment: datetime) -> str:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _origin(request: Request) -> str:
    return f"{request.url.scheme}://{request.url.netloc}"


async def _refused(_request: Request, error: Exception) -> Response:
    refusal = cast("RefusedError", error)
    return detail_response(refusal.status, refusal.detail)


async def _unknown_generation(_request: Request, _error: Exception) -> Response:
    return detail_response(404, "Generation not found")


async def _unknown_file(_request: Request, _error: Exception) -> Response:
    return detail_response(404, "File not found")


async def _invalid(_request: Request, error: Exception) -> Response:
    """422 in the form that FastAPI gives it: a list of what is wrong and where."""
    problems = cast("ValidationError", error).json(include_url=False, include_context=False, include_input=False)
    return detail_response(422, json.loads(problems))
