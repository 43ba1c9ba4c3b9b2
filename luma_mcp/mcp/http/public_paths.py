"""What can be reached without signing in, by a sealed link: saved files, a page for sending one, Luma's callbacks."""

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from pydantic_core import from_json
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from luma_mcp.domain.errors import FileError
from luma_mcp.domain.generation import GENERATION_ID
from luma_mcp.files.received import MOST_BYTES, UsedError, receive
from luma_mcp.files.service import RECEIVED
from luma_mcp.mcp.public_links import CALLBACKS, FILES, UPLOAD, Links
from luma_mcp.media.formats import MEDIA_TYPES

# A clip of a hundred megabytes over a slow line.
_SEND_SECONDS = 600.0
_SENDING_AT_ONCE = 20
# What a form adds to its file.
_FORM_BYTES = 64 * 1024
_MOST_CALLBACK_BYTES = 256 * 1024
_BLOCK_BYTES = 1024**2
# Files come from outside: nothing in them may run in this server's name.
_SAFE = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; sandbox allow-forms",
    "Referrer-Policy": "no-referrer",
}
_GONE = "This link is not valid, or it has ended. Ask for another one."
_PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Send a picture or a clip</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 32rem; margin: 4rem auto; padding: 0 1rem; }
button { font: inherit; padding: .5rem 1.5rem; margin-top: 1rem; }
</style>
<h1>Send a picture or a clip</h1>
BODY
</html>
"""
_FORM = """\
<p>JPEG, PNG, WebP, GIF, MP4 or MOV, at most MOST MB. The link takes one file.</p>
<form method="post" enctype="multipart/form-data">
<input type="file" name="file" accept="image/jpeg,image/png,image/webp,image/gif,video/mp4,video/quicktime" required>
<br><button>Send</button>
</form>""".replace("MOST", str(MOST_BYTES // 10**6))
_THANKS = "<p>Thank you, the file is here. You can close this page and go on in your chat.</p>"

OnCallback = Callable[[str], None]


class PublicPaths:
    """Answers sealed links, and hands every other request on.

    Args:
        inner: what is behind.
        links: checks the links.
        folder: the output folder.
        on_callback: called with the id of a generation that Luma says has changed. It is a hint and proves nothing.
    """

    def __init__(self, inner: ASGIApp, links: Links, folder: Callable[[], Path], on_callback: OnCallback) -> None:
        self._inner = inner
        self._links = links
        self._folder = folder
        self._on_callback = on_callback
        self._sending = anyio.CapacityLimiter(_SENDING_AT_ONCE)
        self._answers: dict[str, Callable[[Request, str], Awaitable[Response]]] = {
            FILES: self._file,
            UPLOAD: self._upload,
            CALLBACKS: self._callback,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        for prefix, answer in self._answers.items():
            if scope["type"] == "http" and path.startswith(prefix):
                response = await answer(Request(scope, receive), path.removeprefix(prefix))
                await response(scope, receive, send)
                return
        await self._inner(scope, receive, send)

    async def _file(self, request: Request, text: str) -> Response:
        """A saved file, or a part of it."""
        if request.method not in ("GET", "HEAD"):
            return _refusal(405, "A file can be read only.")
        place = self._links.file_of(text.partition("/")[0])
        path = await anyio.to_thread.run_sync(self._inside, place) if place else None
        if path is None:
            return _refusal(404, _GONE)
        media_type = MEDIA_TYPES[path.suffix[1:]]
        headers = {**_SAFE, "Access-Control-Allow-Origin": "*", "Cache-Control": "private, max-age=3600"}
        return FileResponse(
            path, headers=headers, media_type=media_type, filename=path.name, content_disposition_type="inline"
        )

    def _inside(self, place: str) -> Path | None:
        """A picture or a clip inside the output folder; None if there is none, or it lies elsewhere."""
        root = self._folder().resolve()
        path = root / place
        try:
            is_inside = path.resolve() == path and path.is_relative_to(root) and path.is_file()
        except (OSError, ValueError):
            return None
        return path if is_inside and path.suffix[1:] in MEDIA_TYPES else None

    async def _upload(self, request: Request, text: str) -> Response:
        """The page for sending a file, and the file that is sent, by its form or as a body (`curl -T`)."""
        place = self._links.place_of(text)
        if place is None:
            return _page(404, f"<p>{_GONE}</p>")
        if request.method == "GET":
            return _page(200, _FORM)
        if request.method not in ("POST", "PUT"):
            return _refusal(405, "Send a file with POST or PUT.")
        try:
            with anyio.fail_after(_SEND_SECONDS):
                async with self._sending:
                    await _received(request, self._folder() / place.folder / RECEIVED, place.name)
        except UsedError as error:
            return _page(410, f"<p>{error.full_text}</p>")
        except FileError as error:
            return _page(422, f"<p>{error.full_text}</p>{_FORM}")
        except (ClientDisconnect, TimeoutError, MultiPartException, ValueError):
            return _page(400, f"<p>The file did not come whole. Send it again.</p>{_FORM}")
        except OSError as error:
            return _page(507, f"<p>The file cannot be saved here: {error.strerror or type(error).__name__}.</p>")
        return _page(201, _THANKS)

    async def _callback(self, request: Request, text: str) -> Response:
        """Luma says that a generation has changed."""
        if not self._links.is_callback(text):
            return _refusal(404, "There is nothing here.")
        if request.method != "POST":
            return _refusal(405, "Luma posts here.")
        try:
            body = await _bounded(request, _MOST_CALLBACK_BYTES)
            content: Any = from_json(body)
            generation_id = content["id"]
        except (ClientDisconnect, ValueError, KeyError, TypeError):
            return _refusal(400, "That is no generation.")
        if not isinstance(generation_id, str) or not GENERATION_ID.fullmatch(generation_id):
            return _refusal(400, "That is no generation.")
        self._on_callback(generation_id)
        return JSONResponse({"ok": True})


async def _received(request: Request, folder: Path, name: str) -> None:
    """Save what is sent. Raises: as `received.receive`; ClientDisconnect; MultiPartException for no form."""
    if not Headers(scope=request.scope).get("content-type", "").startswith("multipart/form-data"):
        await receive(request.stream(), folder, name)
        return
    limited = Request(request.scope, partial(_counted, request.receive, _Count()))
    try:
        async with limited.form(max_files=1, max_fields=5) as form:
            file = form.get("file")
            if not isinstance(file, UploadFile):
                raise FileError("No file was sent.", "Choose one.")
            await receive(_blocks(file), folder, name)
    except _TooLargeError:
        raise FileError(f"The file is larger than {MOST_BYTES // 10**6} MB.", "Send a smaller one.") from None


class _TooLargeError(MultiPartException):
    """More comes than a file may have. For an error of this kind the parser closes what it has begun to write."""


class _Count:
    """How many bytes have come."""

    received = 0


async def _counted(receive_: Receive, count: _Count) -> Message:
    """The next message of a request. Raises: _TooLargeError, if it is too large by now."""
    message = await receive_()
    count.received += len(message.get("body", b""))
    if count.received > MOST_BYTES + _FORM_BYTES:
        raise _TooLargeError("too large")
    return message


async def _blocks(file: UploadFile) -> AsyncIterator[bytes]:
    while block := await file.read(_BLOCK_BYTES):
        yield block


async def _bounded(request: Request, most: int) -> bytes:
    """The body of a request. Raises: ValueError, if it is too long."""
    body = b""
    async for block in request.stream():
        body += block
        if len(body) > most:
            raise ValueError("too long")
    return body


def _page(status: int, body: str) -> Response:
    return HTMLResponse(_PAGE.replace("BODY", body), status, {**_SAFE, "Cache-Control": "no-store"})


def _refusal(status: int, sentence: str) -> Response:
    return JSONResponse({"error": sentence}, status, _SAFE)
