"""The HTTP code that both emulated APIs share."""

from collections.abc import Awaitable, Callable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

RefusalOf = Callable[[Request], Awaitable[Response | None]]
"""The answer to a request without the key; None lets it through."""


class KeyCheck:
    """Middleware that lets requests with the key through."""

    def __init__(self, app: ASGIApp, refusal_of: RefusalOf) -> None:
        self._app = app
        self._refusal_of = refusal_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = await self._refusal_of(Request(scope)) if scope["type"] == "http" else None
        await (refusal or self._app)(scope, receive, send)


def detail_response(status: int, detail: object, headers: dict[str, str] | None = None) -> Response:
    """An error in Luma's shape."""
    return JSONResponse({"detail": detail}, status, headers)


async def http_error(_request: Request, error: Exception) -> Response:
    """The answer to an error of the framework."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    return detail_response(status, error.detail if isinstance(error, HTTPException) else "Internal Server Error")
