"""Saved files, by signed links."""

from collections.abc import Callable
from pathlib import Path

import anyio
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from luma_mcp.mcp.http.public_responses import INVALID_LINK, SAFE_HEADERS, refusal
from luma_mcp.mcp.public_links import Links
from luma_mcp.media.formats import MEDIA_TYPES


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
        """A saved file, or a part of it."""
        if request.method not in ("GET", "HEAD"):
            return refusal(405, "A file can be read only.")
        place = self._links.file_of(text.partition("/")[0])
        path = await anyio.to_thread.run_sync(self._inside, place) if place else None
        if path is None:
            return refusal(404, INVALID_LINK)
        media_type = MEDIA_TYPES[path.suffix[1:]]
        headers = {**SAFE_HEADERS, "Access-Control-Allow-Origin": "*", "Cache-Control": "private, max-age=3600"}
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
