"""Saved files, by signed links."""

import os
import stat
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import anyio
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.types import Receive, Scope, Send

from luma_mcp.mcp.http.public_responses import INVALID_LINK, SAFE_HEADERS, refusal
from luma_mcp.mcp.public_links import Links
from luma_mcp.media.formats import MEDIA_TYPES
from luma_mcp.sources.open_inside import open_inside


class PublicFiles:
    """Serves the files of the output folder.

    Args:
        links: checks the links.
        folder: the output folder.
    """

    def __init__(self, links: Links, folder: Callable[[], Path]) -> None:
        self._links = links
        self._folder = folder

    async def respond(self, request: Request, text: str) -> Response:
        """A saved file, or a range of it."""
        if request.method not in ("GET", "HEAD"):
            return refusal(405, "A file can be read only.")
        path = self._links.file_of(text.partition("/")[0])
        file = await anyio.to_thread.run_sync(self._open, path) if path else None
        if file is None:
            return refusal(404, INVALID_LINK)
        name = PurePosixPath(str(path)).name
        headers = {**SAFE_HEADERS, "Access-Control-Allow-Origin": "*", "Cache-Control": "private, max-age=3600"}
        return _OpenFileResponse(
            file,
            headers=headers,
            media_type=MEDIA_TYPES[name.rpartition(".")[2]],
            filename=name,
            content_disposition_type="inline",
        )

    def _open(self, path: str) -> BinaryIO | None:
        """A picture or a clip inside the output folder; None if it is absent or behind a symbolic link."""
        root = self._folder().resolve()
        if PurePosixPath(path).suffix[1:] not in MEDIA_TYPES or ".." in PurePosixPath(path).parts:
            return None
        try:
            file = open_inside(root, root / path)
        except (OSError, ValueError):
            return None
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return file
        file.close()
        return None


class _OpenFileResponse(FileResponse):
    """Sends a file that is open, whatever its path leads to by now."""

    def __init__(self, file: BinaryIO, **options: Any) -> None:
        descriptor = file.fileno()
        # Each open of that name has its own position, for ranges of a file that are sent at the same time.
        folder = next((folder for folder in ("/proc/self/fd", "/dev/fd") if Path(folder).is_dir()), None)
        super().__init__(f"{folder}/{descriptor}" if folder else file.name, stat_result=os.fstat(descriptor), **options)
        self._file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._file.close()
