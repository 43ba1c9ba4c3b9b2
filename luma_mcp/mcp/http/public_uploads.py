"""The page for sending a file, by a signed link, and the file that is sent.

A link is a bearer secret, so its use has limits: one file at a time for a link, a few for a person, a number for
all; a time for the whole file, and a time for each block.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import anyio
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from luma_mcp.domain.errors import FileError
from luma_mcp.files.received import MAX_BYTES, UsedError, receive
from luma_mcp.files.service import RECEIVED
from luma_mcp.mcp.http.form_files import file_of_form
from luma_mcp.mcp.http.public_responses import INVALID_LINK, page, refusal
from luma_mcp.mcp.public_links import Links, UploadTarget

# A clip of a hundred megabytes over a slow line; and the pause after which a connection is dead.
_WHOLE_SECONDS, _STALL_SECONDS = 600.0, 30.0
MAX_SENDING, MAX_SENDING_OF_PERSON = 20, 4
_RETRY_SECONDS = 30
# The size of a form beside its file.
_MAX_FORM_BYTES = 64 * 1024
_FORM = """\
<p>JPEG, PNG, WebP, GIF, MP4 or MOV, at most MOST MB. The link takes one file.</p>
<form method="post" enctype="multipart/form-data">
<input type="file" name="file" accept="image/jpeg,image/png,image/webp,image/gif,video/mp4,video/quicktime" required>
<br><button>Send</button>
</form>""".replace("MOST", str(MAX_BYTES // 10**6))
_THANKS = "<p>Thank you, the file is here. You can close this page and go on in your chat.</p>"


class PublicUploads:
    """Receives files.

    Args:
        links: checks the links.
        folder: the output folder.
        stall_seconds: the longest pause between two blocks of a file.
    """

    def __init__(self, links: Links, folder: Callable[[], Path], stall_seconds: float = _STALL_SECONDS) -> None:
        self._links = links
        self._folder = folder
        self._stall_seconds = stall_seconds
        self._sending = _Sending()

    async def respond(self, request: Request, text: str) -> Response:
        """The page, or the result of sending a file by its form or as a body (`curl -T`)."""
        target = self._links.upload_target(text)
        if target is None:
            return page(404, f"<p>{INVALID_LINK}</p>")
        if request.method == "GET":
            return page(200, _FORM)
        if request.method not in ("POST", "PUT"):
            return refusal(405, "Send a file with POST or PUT.")
        return await self._receive(request, target)

    async def _receive(self, request: Request, target: UploadTarget) -> Response:
        try:
            with anyio.fail_after(_WHOLE_SECONDS), self._sending.counted(target):
                await receive(self._content(request), self._folder() / target.folder / RECEIVED, target.name)
        except _BusyError as error:
            return page(429, f"<p>{error}</p>{_FORM}", {"Retry-After": str(_RETRY_SECONDS), "Connection": "close"})
        except UsedError as error:
            return page(410, f"<p>{error.full_text}</p>", {"Connection": "close"})
        except FileError as error:
            return page(422, f"<p>{error.full_text}</p>{_FORM}", {"Connection": "close"})
        except (ClientDisconnect, TimeoutError, ValueError):
            return page(400, f"<p>The file did not come whole. Send it again.</p>{_FORM}", {"Connection": "close"})
        except OSError as error:
            reason = error.strerror or type(error).__name__
            return page(507, f"<p>The file cannot be saved here: {reason}.</p>", {"Connection": "close"})
        return page(201, _THANKS)

    def _content(self, request: Request) -> AsyncIterator[bytes]:
        """The bytes of the file."""
        content_type = request.headers.get("content-type", "")
        blocks = _in_time(request.stream(), self._stall_seconds)
        is_form = content_type.startswith("multipart/form-data")
        return file_of_form(content_type, blocks, _MAX_FORM_BYTES) if is_form else blocks


class _BusyError(Exception):
    """Too many files are being sent; this one has to wait."""


class _Sending:
    """The files that are being sent, by person. The name of a file is used once, so a link has one of them."""

    def __init__(self) -> None:
        self._by_person = Counter[str]()

    @contextmanager
    def counted(self, target: UploadTarget) -> Generator[None]:
        """Count a file while it is sent. Raises: _BusyError."""
        if self._by_person.total() >= MAX_SENDING or self._by_person[target.folder] >= MAX_SENDING_OF_PERSON:
            raise _BusyError("Other files are being sent. Wait a moment, and send it again.")
        self._by_person[target.folder] += 1
        try:
            yield
        finally:
            self._by_person[target.folder] -= 1
            self._by_person += Counter()


async def _in_time(stream: AsyncIterator[bytes], stall_seconds: float) -> AsyncIterator[bytes]:
    """The blocks of a body. Raises: TimeoutError, if the next one does not come."""
    while True:
        with anyio.fail_after(stall_seconds):
            block = await anext(stream, None)
        if block is None:
            return
        yield block
