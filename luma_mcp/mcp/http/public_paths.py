"""The paths that need no sign-in, because a signed link leads to them: saved files, uploads, Luma's callbacks."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from luma_mcp.mcp.http.public_callbacks import OnCallback, PublicCallbacks
from luma_mcp.mcp.http.public_files import PublicFiles
from luma_mcp.mcp.http.public_uploads import PublicUploads
from luma_mcp.mcp.public_links import CALLBACKS, FILES, UPLOAD, Links


class PublicPaths:
    """Serves signed links, and passes every other request on.

    Args:
        inner: the application behind.
        links: checks the links.
        folder: the output folder.
        on_callback: called with the id of a generation that Luma reports as changed. It is a hint, no proof.
    """

    def __init__(self, inner: ASGIApp, links: Links, folder: Callable[[], Path], on_callback: OnCallback) -> None:
        self._inner = inner
        self._responders: dict[str, Callable[[Request, str], Awaitable[Response]]] = {
            FILES: PublicFiles(links, folder).respond,
            UPLOAD: PublicUploads(links, folder).respond,
            CALLBACKS: PublicCallbacks(links, on_callback).respond,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        for prefix, respond in self._responders.items():
            if scope["type"] == "http" and path.startswith(prefix):
                response = await respond(Request(scope, receive), path.removeprefix(prefix))
                await response(scope, receive, send)
                return
        await self._inner(scope, receive, send)
